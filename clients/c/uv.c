#include <sluice_uv.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "clients/c/core.h"
#include "clients/c/socket.h"
#include "clients/c/url.h"

/*
 * One client on one loop. Every call and event ends in arrange(), which asks for the prepare phase of the same
 * loop turn; there pump() does what the core wants, writes what it has, and sets the timer to its deadline.
 *
 *   calls ──┐                        ┌─ connect / close
 *   poll ───┼─► core ─► arrange() ─► pump() ─ write once per turn
 *   timer ──┘                        └─ timer
 */
struct sluice_uv {
    struct sluice_core *core; /* owns */
    uv_loop_t *loop;          /* borrows */
    struct url url;
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_getaddrinfo_t resolver;
    bool resolving;
    struct addrinfo *addresses; /* owns; of the attempt that is running */
    const struct addrinfo *address_next;
    struct peer *peer; /* the socket, opening or open; owns until it closes */
    bool closing;
    bool dirty;       /* something happened since pump() ran last */
    int handles_open; /* prepare and timer, when closing */
    void (*on_closed)(void *user);
    void *on_closed_user;
};

/* A socket and its poll handle outlive the connection by one loop turn. */
struct peer {
    uv_poll_t poll;
    int fd;
    int events; /* polled for at the moment */
    bool up;
    struct sluice_uv *client; /* NULL once let go */
};

/* A fast peer, or an on_drained that always refills, must not keep the loop from its other work. */
enum { READ_BYTES = 64 * 1024, READS_PER_TURN = 16, WRITES_PER_TURN = 16, PUMPS_PER_TURN = 4 };

static void on_prepare(uv_prepare_t *handle);

static void arrange(struct sluice_uv *client)
{
    client->dirty = true;
    if (!uv_is_closing((uv_handle_t *)&client->prepare))
        uv_prepare_start(&client->prepare, on_prepare);
}

static uint64_t now_ms(struct sluice_uv *client)
{
    return uv_now(client->loop);
}

/* ---- the socket ----------------------------------------------------------------------------------------- */

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    close(peer->fd);
    free(peer);
}

static void let_go(struct sluice_uv *client)
{
    struct peer *peer = client->peer;
    if (!peer)
        return;
    client->peer = NULL;
    peer->client = NULL;
    uv_close((uv_handle_t *)&peer->poll, on_peer_closed);
}

static void forget_addresses(struct sluice_uv *client)
{
    uv_freeaddrinfo(client->addresses);
    client->addresses = NULL;
    client->address_next = NULL;
}

static void lost(struct sluice_uv *client, const char *text)
{
    let_go(client);
    forget_addresses(client);
    sluice_core_disconnected(client->core, now_ms(client), text);
    arrange(client);
}

static void read_some(struct peer *peer)
{
    static _Thread_local uint8_t buffer[READ_BYTES];
    struct sluice_uv *client = peer->client;
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t got = socket_read(peer->fd, buffer, sizeof buffer);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            lost(client, got == 0 ? NULL : socket_error_text(errno));
            return;
        }
        sluice_core_receive(client->core, now_ms(client), buffer, (size_t)got);
        if (sluice_core_want(client->core) == SLUICE_WANT_CLOSE || (size_t)got < sizeof buffer)
            return;
    }
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct peer *peer, int events)
{
    if (peer->events == events)
        return;
    peer->events = events;
    uv_poll_start(&peer->poll, events, on_poll);
}

static void write_some(struct peer *peer)
{
    struct sluice_uv *client = peer->client;
    size_t len;
    const void *data = NULL;
    for (int i = 0; i < WRITES_PER_TURN && (data = sluice_core_output(client->core, &len)); i++) {
        ssize_t put = socket_write(peer->fd, data, len);
        if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            lost(client, socket_error_text(errno));
            return;
        }
        if (put > 0)
            sluice_core_sent(client->core, now_ms(client), (size_t)put);
        if (put < 0 || (size_t)put < len)
            break;
    }
    data = sluice_core_output(client->core, &len);
    watch(peer, data ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void dial_next(struct sluice_uv *client);

static void dialled(struct peer *peer)
{
    struct sluice_uv *client = peer->client;
    int error = socket_dialled(peer->fd);
    if (error == 0) {
        peer->up = true;
        forget_addresses(client);
        sluice_core_connected(client->core, now_ms(client));
    } else if (client->address_next) {
        let_go(client);
        dial_next(client);
    } else {
        lost(client, socket_error_text(error));
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct peer *peer = handle->data;
    struct sluice_uv *client = peer->client;
    if (!client)
        return;
    if (!peer->up)
        dialled(peer);
    else if (status < 0 || (events & UV_READABLE))
        read_some(peer);
    arrange(client); /* writing follows in the prepare phase, where all writing is */
}

/* ---- connecting ----------------------------------------------------------------------------------------- */

static bool adopt(struct sluice_uv *client, int fd)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer || uv_poll_init(client->loop, &peer->poll, fd) != 0) {
        free(peer);
        close(fd);
        return false;
    }
    peer->fd = fd;
    peer->client = client;
    peer->poll.data = peer;
    client->peer = peer;
    watch(peer, UV_WRITABLE);
    return true;
}

static void dial_next(struct sluice_uv *client)
{
    int fd = socket_dial(&client->address_next);
    if (fd < 0)
        lost(client, socket_error_text(errno));
    else if (!adopt(client, fd))
        lost(client, sluice_status_text(SLUICE_NO_MEMORY));
}

static void finish_close(struct sluice_uv *client);

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct sluice_uv *client = request->data;
    client->resolving = false;
    if (client->closing || sluice_core_want(client->core) == SLUICE_WANT_CLOSE) {
        uv_freeaddrinfo(addresses);
        arrange(client);
        finish_close(client);
        return;
    }
    if (status != 0) {
        lost(client, uv_strerror(status));
        return;
    }
    client->addresses = addresses;
    client->address_next = addresses;
    dial_next(client);
}

static void start_connecting(struct sluice_uv *client)
{
    sluice_core_connecting(client->core, now_ms(client));
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    client->resolver.data = client;
    int status = uv_getaddrinfo(client->loop, &client->resolver, on_resolved, client->url.host,
                                client->url.port, &hints);
    if (status != 0)
        lost(client, uv_strerror(status));
    else
        client->resolving = true;
}

/* ---- the turn ------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *handle)
{
    struct sluice_uv *client = handle->data;
    /* What has arrived while the loop was busy elsewhere must count before silence is judged. */
    if (client->peer && client->peer->up)
        read_some(client->peer);
    sluice_core_tick(client->core, now_ms(client));
    arrange(client);
}

static void set_timer(struct sluice_uv *client)
{
    uint64_t now = now_ms(client);
    uint64_t due = client->dirty ? now : sluice_core_deadline_ms(client->core);
    if (due == UINT64_MAX)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timer, due > now ? due - now : 0, 0);
}

static void pump(struct sluice_uv *client)
{
    if (client->peer && client->peer->up)
        write_some(client->peer);
    switch (sluice_core_want(client->core)) {
    case SLUICE_WANT_CLOSE:
        if (client->resolving)
            uv_cancel((uv_req_t *)&client->resolver);
        else
            lost(client, NULL);
        break;
    case SLUICE_WANT_CONNECT:
        if (!client->resolving)
            start_connecting(client);
        break;
    case SLUICE_WANT_NOTHING:
        break;
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    struct sluice_uv *client = handle->data;
    for (int i = 0; i < PUMPS_PER_TURN && client->dirty; i++) {
        client->dirty = false;
        pump(client);
    }
    uv_prepare_stop(handle);
    set_timer(client);
    finish_close(client);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

struct sluice_uv *sluice_uv_new(uv_loop_t *loop, const char *url, const struct sluice_options *options,
                                const struct sluice_callbacks *callbacks, struct sluice_error *error)
{
    struct url parsed;
    if (!url_parse(url, &parsed, error))
        return NULL;
    struct sluice_uv *client = calloc(1, sizeof *client);
    struct sluice_core *core = sluice_core_new(options, callbacks, uv_now(loop));
    if (!client || !core) {
        free(client);
        sluice_core_free(core);
        error_set(error, SLUICE_NO_MEMORY, "out of memory");
        return NULL;
    }
    client->core = core;
    client->loop = loop;
    client->url = parsed;
    uv_prepare_init(loop, &client->prepare);
    uv_timer_init(loop, &client->timer);
    client->prepare.data = client->timer.data = client;
    client->handles_open = 2;
    arrange(client);
    return client;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sluice_uv *client = handle->data;
    if (--client->handles_open > 0)
        return;
    void (*on_closed)(void *user) = client->on_closed;
    void *user = client->on_closed_user;
    sluice_core_free(client->core);
    free(client);
    if (on_closed)
        on_closed(user);
}

/* Frees once the core has stopped and nothing of the loop refers to the client. */
static void finish_close(struct sluice_uv *client)
{
    bool over = client->closing && sluice_core_stopped(client->core) && !client->peer && !client->resolving;
    if (!over || uv_is_closing((uv_handle_t *)&client->timer))
        return;
    uv_close((uv_handle_t *)&client->timer, on_handle_closed);
    uv_close((uv_handle_t *)&client->prepare, on_handle_closed);
}

void sluice_uv_close(struct sluice_uv *client, void (*on_closed)(void *user), void *user)
{
    if (!client || client->closing)
        return;
    client->closing = true;
    client->on_closed = on_closed;
    client->on_closed_user = user;
    sluice_core_close(client->core, now_ms(client));
    arrange(client);
}

/* ---- calls ---------------------------------------------------------------------------------------------- */

enum sluice_status sluice_uv_publish(struct sluice_uv *client, const struct sluice_publish *publish,
                                     sluice_done_fn *on_done, void *user)
{
    arrange(client);
    return sluice_core_publish(client->core, publish, on_done, user);
}

enum sluice_status sluice_uv_subscribe(struct sluice_uv *client, const char *filter,
                                       const struct sluice_subscribe_options *options,
                                       sluice_message_fn *on_message, sluice_subscribed_fn *on_subscribed,
                                       void *user, uint64_t *subscription)
{
    arrange(client);
    return sluice_core_subscribe(client->core, filter, options, on_message, on_subscribed, user,
                                 subscription);
}

enum sluice_status sluice_uv_unsubscribe(struct sluice_uv *client, uint64_t subscription,
                                         sluice_done_fn *on_done, void *user)
{
    arrange(client);
    return sluice_core_unsubscribe(client->core, subscription, on_done, user);
}

enum sluice_status sluice_uv_request(struct sluice_uv *client, const struct sluice_publish *request,
                                     uint64_t timeout_ms, sluice_reply_fn *on_reply, void *user)
{
    arrange(client);
    return sluice_core_request(client->core, request, now_ms(client), timeout_ms, on_reply, user);
}

size_t sluice_uv_buffered_bytes(const struct sluice_uv *client)
{
    return sluice_core_buffered_bytes(client->core);
}

bool sluice_uv_is_open(const struct sluice_uv *client)
{
    return sluice_core_is_open(client->core);
}
