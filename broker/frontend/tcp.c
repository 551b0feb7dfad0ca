#include "broker/frontend/tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/frontend/address.h"
#include "broker/log.h"
#include "broker/memory.h"
#include "broker/session/native.h"
#include "proto/native_reply.h"

struct connection {
    struct transport transport;      /* first */
    struct tcp_frontend *tcp;        /* borrows */
    struct session *session;         /* borrows; NULL: lingering */
    struct address_count *ticket;    /* the admission's */
    struct connection *linger_next, *linger_prev;
    uint64_t linger_until_ms;
    uint8_t events;                  /* what the loop watches: uv_poll_event */
    bool finished;                   /* the peer will send no more */
    bool refused;                    /* lingers only to be told why */
    int fd;                          /* owns */
    uv_poll_t poll;
};

struct tcp_frontend {
    struct tcp_config config;
    struct connection *linger_first, *linger_last; /* in the order of their deadlines */
    struct timer linger_timer;
    size_t connections; /* not yet freed */
    size_t refused;     /* of them, those that never had a session */
};

static void on_events(uv_poll_t *poll, int status, int events);

static void watch(struct connection *connection, int events)
{
    if (events == connection->events)
        return;
    connection->events = (uint8_t)events;
    if (events)
        uv_poll_start(&connection->poll, events, on_events);
    else
        uv_poll_stop(&connection->poll);
}

/* ---- closing -------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    connection->tcp->connections--;
    connection->tcp->refused -= connection->refused;
    memory_free(connection, sizeof *connection);
}

static void linger_unlink(struct connection *connection)
{
    struct tcp_frontend *tcp = connection->tcp;
    *(connection->linger_prev ? &connection->linger_prev->linger_next : &tcp->linger_first) = connection->linger_next;
    *(connection->linger_next ? &connection->linger_next->linger_prev : &tcp->linger_last) = connection->linger_prev;
}

static void close_now(struct connection *connection)
{
    if (connection->linger_until_ms)
        linger_unlink(connection);
    uv_poll_stop(&connection->poll);
    uv_close((uv_handle_t *)&connection->poll, on_closed);
    close(connection->fd);
    connection->fd = -1;
}

static void on_linger_timer(struct timer *timer)
{
    struct tcp_frontend *tcp =
        (struct tcp_frontend *)(void *)((char *)timer - offsetof(struct tcp_frontend, linger_timer));
    while (tcp->linger_first && tcp->linger_first->linger_until_ms <= tcp->config.clock->now_ms)
        close_now(tcp->linger_first);
    if (tcp->linger_first)
        timer_start(tcp->config.wheel, &tcp->linger_timer, tcp->linger_first->linger_until_ms);
}

static void linger(struct connection *connection)
{
    struct tcp_frontend *tcp = connection->tcp;
    connection->linger_until_ms = tcp->config.clock->now_ms + TCP_LINGER_MS;
    connection->linger_prev = tcp->linger_last;
    *(tcp->linger_last ? &tcp->linger_last->linger_next : &tcp->linger_first) = connection;
    tcp->linger_last = connection;
    if (!timer_armed(&tcp->linger_timer))
        timer_start(tcp->config.wheel, &tcp->linger_timer, connection->linger_until_ms);
    watch(connection, UV_READABLE);
}

/* ---- the transport -------------------------------------------------------------------------------------- */

static struct connection *connection_of(const struct transport *transport)
{
    return (struct connection *)(uintptr_t)transport;
}

static ssize_t transport_write(struct transport *transport, const struct iovec *pieces, int count, size_t bytes)
{
    int fd = connection_of(transport)->fd;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do
        sent = count == 1 ? send(fd, pieces[0].iov_base, bytes, MSG_NOSIGNAL) : sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
        return 0;
    return sent;
}

static void transport_want_writable(struct transport *transport, bool wanted)
{
    struct connection *connection = connection_of(transport);
    watch(connection, wanted ? connection->events | UV_WRITABLE : connection->events & ~UV_WRITABLE);
}

static void transport_pause_reading(struct transport *transport, bool paused)
{
    struct connection *connection = connection_of(transport);
    bool reads = !paused && !connection->finished;
    watch(connection, reads ? connection->events | UV_READABLE : connection->events & ~UV_READABLE);
}

static void transport_peer(const struct transport *transport, char *text, size_t size)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    getpeername(connection_of(transport)->fd, (struct sockaddr *)&peer, &len);
    address_text(&peer, text, size);
}

static void transport_close(struct transport *transport, bool lost)
{
    struct connection *connection = connection_of(transport);
    admission_give(connection->tcp->config.admission, connection->ticket);
    connection->session = NULL;
    if (!lost && !connection->finished && shutdown(connection->fd, SHUT_WR) == 0) {
        linger(connection);
        return;
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (lost)
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close_now(connection);
}

static const struct transport_ops transport_ops = {
    .write = transport_write,
    .want_writable = transport_want_writable,
    .pause_reading = transport_pause_reading,
    .peer = transport_peer,
    .close = transport_close,
};

/* ---- events --------------------------------------------------------------------------------------------- */

static void lost(struct connection *connection)
{
    session_lost(connection->session);
    transport_close(&connection->transport, true);
}

static void on_readable(struct connection *connection)
{
    uint8_t *buffer = connection->tcp->config.receive_buffer;
    ssize_t got = recv(connection->fd, buffer, SESSION_INPUT_MAX, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (!connection->session) {
        if (got <= 0)
            close_now(connection);
    } else if (got > 0) {
        session_input(connection->session, span_of(buffer, (size_t)got));
    } else if (got == 0) {
        connection->finished = true;
        watch(connection, connection->events & ~UV_READABLE);
        session_peer_finished(connection->session);
    } else {
        lost(connection);
    }
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct connection *connection = poll->data;
    clock_set(connection->tcp->config.clock, uv_now(connection->tcp->config.loop));
    if (status < 0) {
        connection->events = 0;
        if (connection->session)
            lost(connection);
        else
            close_now(connection);
        return;
    }
    if ((events & UV_WRITABLE) && connection->session)
        session_writable(connection->session);
    if ((events & UV_READABLE) && (connection->events & UV_READABLE) && connection->fd >= 0)
        on_readable(connection);
}

/* ---- coming in ------------------------------------------------------------------------------------------ */

static struct connection *connection_new(struct tcp_frontend *tcp, int fd)
{
    struct connection *connection = memory_alloc(sizeof *connection, 0);
    if (!connection)
        return NULL;
    *connection = (struct connection){.transport = {.ops = &transport_ops, .kind = "tcp"}, .tcp = tcp, .fd = fd};
    if (uv_poll_init(tcp->config.loop, &connection->poll, fd)) {
        memory_free(connection, sizeof *connection);
        return NULL;
    }
    connection->poll.data = connection;
    tcp->connections++;
    return connection;
}

/* A peer that may not come in is told why, as far as one send goes. It lingers, so that the reason is not lost in the
 * reset that unread input would cause. */
static void refuse(struct tcp_frontend *tcp, int fd, enum err code, const char *text)
{
    struct wire_buf frame;
    struct native_bye bye = {.code = span_str(err_name(code)), .text = span_str(text)};
    log_event(LOG_WARN, "connection refused", LOG_S("code", err_name(code)), LOG_S("text", text));
    wire_buf_init(&frame, 0);
    if (native_encode_bye(&frame, &bye) == ERR_NONE)
        (void)!send(fd, frame.data, frame.len, MSG_NOSIGNAL);
    wire_buf_fini(&frame);
    struct connection *connection = tcp->refused < TCP_REFUSED_MAX ? connection_new(tcp, fd) : NULL;
    if (!connection || shutdown(fd, SHUT_WR)) {
        if (connection)
            close_now(connection);
        else
            close(fd);
        return;
    }
    connection->refused = true;
    tcp->refused++;
    linger(connection);
}

void tcp_accepted(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct tcp_frontend *tcp = context;
    struct address_count *ticket;
    const char *text;
    clock_set(tcp->config.clock, uv_now(tcp->config.loop));
    enum err e = admission_take(tcp->config.admission, peer, &ticket, &text);
    if (e) {
        refuse(tcp, fd, e, text);
        return;
    }
    unsigned lowat = tcp->config.notsent_lowat;
    if (lowat)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    struct connection *connection = connection_new(tcp, fd);
    if (!connection) {
        admission_give(tcp->config.admission, ticket);
        refuse(tcp, fd, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY));
        return;
    }
    connection->ticket = ticket;
    watch(connection, UV_READABLE);
    connection->session = session_open(tcp->config.sessions, &connection->transport, &session_native);
    if (!connection->session)
        transport_close(&connection->transport, false);
}

struct tcp_frontend *tcp_new(const struct tcp_config *config)
{
    struct tcp_frontend *tcp = memory_must(sizeof *tcp);
    tcp->config = *config;
    tcp->linger_timer.fire = on_linger_timer;
    return tcp;
}

void tcp_stop(struct tcp_frontend *tcp)
{
    while (tcp->linger_first)
        close_now(tcp->linger_first);
    timer_stop(tcp->config.wheel, &tcp->linger_timer);
}

void tcp_free(struct tcp_frontend *tcp)
{
    assert(tcp->connections == 0);
    free(tcp);
}
