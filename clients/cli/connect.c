#include "clients/cli/connect.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#include "clients/cli/output.h"

enum { SERVE_EVERY_MS = 1000 };

static struct sluice *volatile on_signal;
static volatile sig_atomic_t signalled;

/* ---- signals -------------------------------------------------------------------------------------------- */

static void handle_signal(int number)
{
    (void)number;
    signalled = 1;
    if (on_signal)
        sluice_interrupt(on_signal);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool connect_interrupted(void)
{
    return signalled;
}

/* ---- troubles ------------------------------------------------------------------------------------------- */

static void on_down(void *user, const struct sluice_down *down)
{
    const struct cli_common *common = user;
    if (down->final || common->quiet || !down->was_connected)
        return;
    output_warning("connection lost: %s; reconnecting", down->error.text);
}

static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    const struct cli_common *common = user;
    if (!common->quiet && welcome->connection > 1)
        output_notice("connected again");
}

/* "gap: 123 messages of room/# lost (dropped_oldest)". */
static void on_gap(void *user, const struct sluice_gap *gap)
{
    (void)user;
    struct sluice_bytes filter = gap->filter.len ? gap->filter : sluice_str("all subscriptions");
    fflush(stdout);
    fprintf(stderr, "gap: %llu message%s of %.*s lost (%.*s)\n", (unsigned long long)gap->count,
            gap->count == 1 ? "" : "s", (int)filter.len, (const char *)filter.data, (int)gap->reason.len,
            (const char *)gap->reason.data);
}

static void on_error(void *user, const struct sluice_error *error)
{
    (void)user;
    output_error("the broker says: %s (%s)", error->text, error->code);
}

static void (*live_hook)(void *arg);
static void *live_arg;

static void on_live(void *user, struct sluice_bytes filter)
{
    (void)user, (void)filter;
    if (live_hook)
        live_hook(live_arg);
}

void connect_on_live(void (*live)(void *arg), void *arg)
{
    live_hook = live;
    live_arg = arg;
}

static void explain_no_connection(const char *url, const struct sluice_error *why)
{
    bool refused = strstr(why->text, "connection refused") != NULL;
    if (why->status == SLUICE_BAD_ARGUMENT)
        output_error("%s", why->text);
    else
        output_error("cannot connect to %s: %s%s", url, why->text, refused ? " — is sluiced running?" : "");
}

int connect_explain(struct sluice *client, const char *what, const char *object)
{
    const struct sluice_error *why = sluice_last_error(client);
    if (why->status == SLUICE_INTERRUPTED)
        return CLI_OK;
    bool coded = why->status == SLUICE_REFUSED;
    output_error("%s %s: %s%s%s%s", what, object, why->text, coded ? " (" : "", coded ? why->code : "",
                 coded ? ")" : "");
    return why->status == SLUICE_TIMEOUT ? CLI_TIMEOUT : CLI_FAILURE;
}

/* ---- life ----------------------------------------------------------------------------------------------- */

struct sluice *connect_open(const struct cli_common *common)
{
    const char *url = common->url ? common->url : SLUICE_DEFAULT_URL;
    struct sluice_options options = {.client_name = "sluice/" SLUICE_VERSION,
                                     .user = common->user,
                                     .password = common->password,
                                     .token = common->token,
                                     .no_reconnect = common->no_reconnect};
    struct sluice_error why;
    struct sluice *client = sluice_connect(url, &options, &why);
    if (!client) {
        explain_no_connection(url, &why);
        return NULL;
    }
    struct sluice_callbacks callbacks = {.user = (void *)common,
                                         .on_connected = on_connected,
                                         .on_down = on_down,
                                         .on_gap = on_gap,
                                         .on_error = on_error,
                                         .on_live = on_live};
    sluice_set_callbacks(client, &callbacks);
    on_signal = client;
    catch_signals();
    return client;
}

void connect_close(struct sluice *client)
{
    on_signal = NULL;
    sluice_close(client);
}

enum sluice_status connect_wait_readable(struct sluice *client, int fd)
{
    for (;;) {
        enum sluice_status status = sluice_run(client, 0);
        if (status != SLUICE_OK)
            return status;
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = sluice_fd(client), .events = POLLIN}};
        (void)poll(fds, 2, SERVE_EVERY_MS);
        if (fds[0].revents)
            return SLUICE_OK;
        if (connect_interrupted())
            return SLUICE_INTERRUPTED;
    }
}
