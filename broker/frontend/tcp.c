#include "broker/frontend/tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "broker/frontend/address.h"
#include "broker/log.h"
#include "broker/memory.h"
#include "broker/session/native.h"
#include "proto/native_reply.h"

enum { EVENTS_PER_WAIT = 256 };

struct connection {
    struct transport transport;                   /* first */
    struct tcp_frontend *tcp;                     /* borrows */
    struct session *session;                      /* borrows; NULL: lingering, or dead */
    struct address_count *ticket;                 /* the admission's */
    struct connection *linger_next, *linger_prev; /* while lingering; linger_next also links the dead */
    uint64_t linger_until_ms;
    uint32_t events; /* what is watched: EPOLLIN, EPOLLOUT */
    int fd;          /* owns; -1: dead */
    bool finished;   /* the peer will send no more */
    bool refused;    /* lingers only to be told why */
};

struct tcp_frontend {
    struct tcp_config config;
    int epoll;                                     /* owns; of all connections */
    uv_poll_t poll;                                /* of `epoll`, in the shard's loop */
    struct connection *linger_first, *linger_last; /* in the order of their deadlines */
    struct timer linger_timer;
    struct connection *dead; /* freed when no event can name them any more */
    bool reading;            /* events are being worked off */
    size_t refused;          /* lingering connections that never had a session */
};

static void watch(struct connection *connection, uint32_t events)
{
    if (events == connection->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    connection->events = events;
    epoll_ctl(connection->tcp->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

/* ---- closing -------------------------------------------------------------------------------------------- */

static void linger_unlink(struct connection *connection)
{
    struct tcp_frontend *tcp = connection->tcp;
    *(connection->linger_prev ? &connection->linger_prev->linger_next : &tcp->linger_first) =
        connection->linger_next;
    *(connection->linger_next ? &connection->linger_next->linger_prev : &tcp->linger_last) =
        connection->linger_prev;
}

static void free_dead(struct tcp_frontend *tcp)
{
    while (tcp->dead) {
        struct connection *connection = tcp->dead;
        tcp->dead = connection->linger_next;
        memory_free(connection, sizeof *connection);
    }
}

static void close_now(struct connection *connection)
{
    struct tcp_frontend *tcp = connection->tcp;
    if (connection->linger_until_ms)
        linger_unlink(connection);
    if (connection->refused)
        tcp->refused--;
    else
        admission_give(tcp->config.admission, connection->ticket);
    close(connection->fd);
    connection->fd = -1;
    connection->linger_next = tcp->dead;
    tcp->dead = connection;
    if (!tcp->reading)
        free_dead(tcp);
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
    watch(connection, EPOLLIN);
}

/* ---- the transport -------------------------------------------------------------------------------------- */

static struct connection *connection_of(const struct transport *transport)
{
    return (struct connection *)(uintptr_t)transport;
}

static ssize_t transport_write(struct transport *transport, const struct iovec *pieces, int count,
                               size_t bytes)
{
    int fd = connection_of(transport)->fd;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do
        sent = count == 1 ? send(fd, pieces[0].iov_base, bytes, MSG_NOSIGNAL)
                          : sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
        return 0;
    return sent;
}

static void transport_want_writable(struct transport *transport, bool wanted)
{
    struct connection *connection = connection_of(transport);
    watch(connection, wanted ? connection->events | EPOLLOUT : connection->events & ~(uint32_t)EPOLLOUT);
}

static void transport_pause_reading(struct transport *transport, bool paused)
{
    struct connection *connection = connection_of(transport);
    bool reads = !paused && !connection->finished;
    watch(connection, reads ? connection->events | EPOLLIN : connection->events & ~(uint32_t)EPOLLIN);
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
        watch(connection, connection->events & ~(uint32_t)EPOLLIN);
        session_peer_finished(connection->session);
    } else {
        lost(connection);
    }
}

static void on_event(struct connection *connection, uint32_t events)
{
    bool broken = events & (EPOLLERR | EPOLLHUP);
    if (connection->fd >= 0 && connection->session && (events & EPOLLOUT))
        session_writable(connection->session);
    if (connection->fd < 0)
        return;
    if ((events & EPOLLIN || broken) && (connection->events & EPOLLIN))
        on_readable(connection);
    else if (broken && connection->session)
        lost(connection); /* nobody reads, so that nobody else would notice */
    else if (broken)
        close_now(connection);
}

/* One wait for all connections of the shard: an epoll of our own inside the loop's costs a call per wake-up, and saves 160
 * bytes per connection (docs/decisions/0001-own-epoll-for-tcp.md). */
static void on_ready(uv_poll_t *poll, int status, int ready)
{
    struct tcp_frontend *tcp = poll->data;
    struct epoll_event events[EVENTS_PER_WAIT];
    (void)status, (void)ready;
    clock_set(tcp->config.clock, uv_now(tcp->config.loop));
    int count = epoll_wait(tcp->epoll, events, EVENTS_PER_WAIT, 0);
    tcp->reading = true;
    for (int i = 0; i < count; i++)
        on_event(events[i].data.ptr, events[i].events);
    tcp->reading = false;
    free_dead(tcp);
}

/* ---- coming in ------------------------------------------------------------------------------------------ */

static struct connection *connection_new(struct tcp_frontend *tcp, int fd)
{
    struct connection *connection = memory_alloc(sizeof *connection, 0);
    if (!connection)
        return NULL;
    *connection = (struct connection){
        .transport = {.ops = &transport_ops, .kind = "tcp"}, .tcp = tcp, .fd = fd, .events = EPOLLIN};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(tcp->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return connection;
    memory_free(connection, sizeof *connection);
    return NULL;
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
    if (!connection) {
        close(fd);
        return;
    }
    connection->refused = true;
    tcp->refused++;
    if (shutdown(fd, SHUT_WR) == 0)
        linger(connection);
    else
        close_now(connection);
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
    connection->session = session_open(tcp->config.sessions, &connection->transport, &session_native);
    if (!connection->session)
        transport_close(&connection->transport, false);
}

struct tcp_frontend *tcp_new(const struct tcp_config *config)
{
    struct tcp_frontend *tcp = memory_must(sizeof *tcp);
    tcp->config = *config;
    tcp->linger_timer.fire = on_linger_timer;
    tcp->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (tcp->epoll < 0 || uv_poll_init(config->loop, &tcp->poll, tcp->epoll)) {
        if (tcp->epoll >= 0)
            close(tcp->epoll);
        free(tcp);
        return NULL;
    }
    tcp->poll.data = tcp;
    uv_poll_start(&tcp->poll, UV_READABLE, on_ready);
    return tcp;
}

void tcp_stop(struct tcp_frontend *tcp)
{
    while (tcp->linger_first)
        close_now(tcp->linger_first);
    timer_stop(tcp->config.wheel, &tcp->linger_timer);
    uv_close((uv_handle_t *)&tcp->poll, NULL);
}

void tcp_free(struct tcp_frontend *tcp)
{
    assert(!tcp->linger_first && !tcp->dead);
    close(tcp->epoll);
    free(tcp);
}
