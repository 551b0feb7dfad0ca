#include "broker/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <uv.h>

#include "broker/machine.h"
#include "broker/memory.h"
#include "broker/shard_loop.h"

enum { HELD_BACK_EVERY_MS = 10000 };

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
enum { SIGNALS = sizeof signal_numbers / sizeof signal_numbers[0] };

struct broker {
    struct settings *settings;              /* borrows */
    const struct settings_sources *sources; /* borrows */
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_async_t reported; /* a shard has drained or stopped */
    uv_timer_t slow;     /* accounts for what the log holds back */
    unsigned shards;
    struct shard_loop **loops; /* owns */
    _Atomic unsigned drained, stopped;
    bool draining, stopping;
    struct shard_common common;
    struct inbound_budget inbound;
    struct admission *admission;   /* owns */
    struct listen_socket *sockets; /* owns */
    size_t socket_count;
};

static void command_all(struct broker *broker, enum shard_command command)
{
    for (unsigned i = 0; i < broker->shards; i++)
        shard_loop_command(broker->loops[i], command);
}

/* ---- stopping ------------------------------------------------------------------------------------------- */

static void stop_now(struct broker *broker)
{
    if (broker->stopping)
        return;
    broker->stopping = true;
    command_all(broker, SHARD_STOP);
}

static void drain(struct broker *broker)
{
    broker->draining = true;
    log_event(LOG_INFO, "draining", LOG_U("connections", admission_count(broker->admission)),
              LOG_U("window_ms", broker->settings->session.drain_window));
    command_all(broker, SHARD_DRAIN);
}

/* On a shard's thread. */
static void on_report(void *context, enum shard_report report)
{
    struct broker *broker = context;
    atomic_fetch_add(report == SHARD_DRAINED ? &broker->drained : &broker->stopped, 1);
    uv_async_send(&broker->reported);
}

static void on_reported(uv_async_t *reported)
{
    struct broker *broker = reported->data;
    if (atomic_load(&broker->drained) == broker->shards)
        stop_now(broker);
    if (atomic_load(&broker->stopped) == broker->shards)
        uv_stop(&broker->loop);
}

/* ---- signals -------------------------------------------------------------------------------------------- */

static void reload(struct broker *broker)
{
    struct settings *loaded = settings_new();
    struct config_error error = {0};
    if (settings_load(loaded, broker->sources, &error)) {
        log_event(LOG_ERROR, "configuration not reloaded, the old one stays", LOG_S("error", error.text));
    } else {
        size_t waiting = config_adopt(&broker->settings->config, &loaded->config);
        log_set_level((enum log_level)broker->settings->log.level);
        log_event(LOG_INFO, "configuration reloaded", LOG_U("waiting_for_restart", waiting));
    }
    settings_free(loaded);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct broker *broker = handle->data;
    switch (number) {
    case SIGHUP:
        reload(broker);
        break;
    case SIGUSR1:
        if (!log_reopen())
            log_event(LOG_ERROR, "log file not reopened", LOG_S("file", broker->settings->log.file));
        break;
    case SIGUSR2:
        log_event(LOG_INFO, "state of the broker", LOG_U("connections", admission_count(broker->admission)),
                  LOG_U("memory_bytes", memory_used()), LOG_U("memory_limit_bytes", memory_limit()));
        command_all(broker, SHARD_DUMP);
        break;
    default:
        if (broker->draining)
            stop_now(broker);
        else
            drain(broker);
    }
}

static void on_slow(uv_timer_t *timer)
{
    (void)timer;
    log_report_held_back(false);
}

static void init_main_loop(struct broker *broker)
{
    uv_loop_init(&broker->loop);
    uv_async_init(&broker->loop, &broker->reported, on_reported);
    uv_timer_init(&broker->loop, &broker->slow);
    broker->reported.data = broker->slow.data = broker;
    uv_timer_start(&broker->slow, on_slow, HELD_BACK_EVERY_MS, HELD_BACK_EVERY_MS);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(&broker->loop, &broker->signals[i]);
        broker->signals[i].data = broker;
        uv_signal_start(&broker->signals[i], on_signal, signal_numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* ---- starting ------------------------------------------------------------------------------------------- */

/* Each connection is a descriptor; the soft limit of 1,024 is there for select(2), which nobody here uses. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int explain(enum err e, const char *text)
{
    fprintf(stderr, "sluiced: %s\n", text);
    return e == ERR_CONFIG ? BROKER_BAD_CONFIG : BROKER_FAILED;
}

static int probe_sockets(struct broker *broker)
{
    const struct option_list *urls = &broker->settings->server.listen;
    bool loopback_only = !broker->settings->auth.allow_anonymous;
    broker->sockets = memory_must(urls->count * sizeof *broker->sockets + 1);
    if (urls->count == 0)
        return explain(ERR_CONFIG, "server.listen is empty: there is nothing to listen on");
    for (size_t i = 0; i < urls->count; i++) {
        struct listen_url url;
        char why[512];
        enum err e = listen_url_parse(urls->item[i], &url, why, sizeof why);
        if (!e)
            e = listen_socket_probe(&broker->sockets[i], &url, loopback_only, why, sizeof why);
        if (e == ERR_IN_USE)
            snprintf(why + strlen(why), sizeof why - strlen(why), "; choose another port with --listen");
        if (e)
            return explain(e, why);
        broker->socket_count++;
    }
    return BROKER_CLEAN;
}

static unsigned shard_count(const struct settings *settings)
{
    unsigned cores = uv_available_parallelism();
    uint64_t count = settings->server.shards ? settings->server.shards : cores;
    return count > SERVER_SHARDS_MAX ? SERVER_SHARDS_MAX : (unsigned)count;
}

static void wake(void *context, unsigned shard)
{
    struct broker *broker = context;
    shard_loop_wake(broker->loops[shard]);
}

static void make_common(struct broker *broker)
{
    const struct settings *settings = broker->settings;
    uint64_t memory = settings->limits.memory ? settings->limits.memory : limits_machine_memory() / 4 * 3;
    memory_set_limit(memory);
    broker->shards = shard_count(settings);
    broker->loops = memory_must(broker->shards * sizeof *broker->loops);
    broker->admission = admission_new(settings->limits.connections, settings->limits.connections_per_address);
    broker->inbound.total = settings->limits.inbound_total;
    broker->inbound.each = settings->limits.inbound_per_connection + SESSION_INPUT_MAX;
    broker->common = (struct shard_common){
        .shards = broker->shards,
        .sessions = {.settings = &settings->session,
                     .limits = &settings->limits,
                     .rules = &settings->rules,
                     .inbound = &broker->inbound,
                     .server_name = "sluiced/" SLUICE_VERSION},
        .delivery = &settings->delivery,
        .mailroom = mailroom_new(broker->shards, settings->delivery.mailbox, wake, broker),
        .fattest = memory_must(broker->shards * sizeof(_Atomic uint64_t)),
    };
}

static int make_shards(struct broker *broker)
{
    struct shard_loop_config config = {.common = &broker->common,
                                       .admission = broker->admission,
                                       .http = &broker->settings->http,
                                       .sockets = broker->sockets,
                                       .socket_count = broker->socket_count,
                                       .report = on_report,
                                       .context = broker};
    char why[512];
    for (unsigned i = 0; i < broker->shards; i++) {
        broker->loops[i] = shard_loop_new(&config, i, why, sizeof why);
        if (!broker->loops[i])
            return explain(ERR_IO, why);
    }
    return BROKER_CLEAN;
}

/* All or none: with some running, the others could not be taken down. */
static void start_shards(struct broker *broker)
{
    for (unsigned i = 0; i < broker->shards; i++) {
        int e = shard_loop_start(broker->loops[i]);
        if (e) {
            fprintf(stderr, "sluiced: cannot start a thread: %s\n", uv_strerror(e));
            _Exit(BROKER_FAILED);
        }
    }
}

static void announce(const struct broker *broker)
{
    for (size_t i = 0; i < broker->socket_count; i++)
        printf("listening %s\n", broker->sockets[i].text);
    printf("ready\n");
    fflush(stdout);
    log_event(LOG_INFO, "ready", LOG_U("shards", broker->shards),
              LOG_U("memory_limit_bytes", memory_limit()));
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* A signal that comes once nobody listens for it would end the process as if nobody ever had. */
static void ignore_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&set, signal_numbers[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The shards' threads end first: until then they may wake each other, and this loop. */
static void join_all(struct broker *broker)
{
    command_all(broker, SHARD_EXIT);
    for (unsigned i = 0; i < broker->shards; i++)
        shard_loop_join(broker->loops[i]);
    ignore_signals();
    uv_walk(&broker->loop, close_handle, NULL);
    uv_run(&broker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&broker->loop);
}

static void dispose(void *context, unsigned receiver, const struct mail *mail)
{
    struct broker *broker = context;
    shard_loop_dispose(broker->loops[receiver], mail);
}

static void unmake(struct broker *broker)
{
    if (broker->common.mailroom)
        mailroom_discard(broker->common.mailroom, dispose, broker);
    for (unsigned i = 0; i < broker->shards; i++)
        if (broker->loops[i])
            shard_loop_free(broker->loops[i]);
    if (broker->common.mailroom)
        mailroom_free(broker->common.mailroom);
    free(broker->common.fattest);
    if (broker->admission)
        admission_free(broker->admission);
    free(broker->loops);
    free(broker->sockets);
}

int broker_run(struct settings *settings, const struct settings_sources *sources)
{
    struct broker *broker = memory_must(sizeof *broker);
    broker->settings = settings;
    broker->sources = sources;
    raise_descriptor_limit();
    int code = probe_sockets(broker);
    if (code == BROKER_CLEAN) {
        make_common(broker);
        code = make_shards(broker);
    }
    if (code == BROKER_CLEAN) {
        init_main_loop(broker);
        start_shards(broker);
        announce(broker);
        uv_run(&broker->loop, UV_RUN_DEFAULT);
        join_all(broker);
        log_event(LOG_INFO, "stopped", LOG_U("shards", broker->shards));
    }
    unmake(broker);
    free(broker);
    return code;
}
