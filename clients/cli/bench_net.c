#include "clients/cli/bench_net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "clients/c/url.h"

enum { EVENTS_MAX = 1024, PATIENCE_MS = 10000 };

uint64_t net_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the target ----------------------------------------------------------------------------------------- */

static const struct {
    const char *scheme, *port;
    enum net_transport transport;
} schemes[] = {{"tcp://", "7400", NET_TCP}, {"ws://", "7480", NET_WS}, {"relay://", "", NET_RELAY}};

static bool resolve(struct net_target *out, char *why, size_t why_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(out->host, out->port, &hints, &found);
    if (error) {
        snprintf(why, why_size, "%s: %s", out->host, gai_strerror(error));
        return false;
    }
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* The client library's parser knows hosts and ports; the schemes and the path are of here. */
static bool parse_place(const char *place, const char *default_port, struct net_target *out, char *why,
                        size_t why_size)
{
    char text[400];
    size_t len = strcspn(place, "/");
    const char *colon = memchr(place, ':', len);
    bool has_port = place[0] == '[' ? strstr(place, "]:") != NULL : colon != NULL;
    snprintf(text, sizeof text, "tcp://%.*s%s%s", (int)(len < 300 ? len : 300), place, has_port ? "" : ":",
             has_port ? "" : default_port);
    snprintf(out->path, sizeof out->path, "%s", place[len] ? place + len : "/");
    struct url url;
    struct sluice_error error;
    if (!url_parse(text, &url, &error)) {
        snprintf(why, why_size, "\"%s\" needs the form HOST:PORT", place);
        return false;
    }
    snprintf(out->host, sizeof out->host, "%s", url.host);
    snprintf(out->port, sizeof out->port, "%s", url.port);
    return true;
}

bool net_parse_target(const char *url, struct net_target *out, char *why, size_t why_size)
{
    *out = (struct net_target){0};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, len) != 0)
            continue;
        out->transport = schemes[i].transport;
        return parse_place(url + len, schemes[i].port, out, why, why_size) && resolve(out, why, why_size);
    }
    snprintf(why, why_size, "\"%s\" must start with tcp://, ws:// or relay://", url);
    return false;
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

void net_fail(struct net *net, const char *format, ...)
{
    if (net->failure[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(net->failure, sizeof net->failure, format, args);
    va_end(args);
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

bool net_init(struct net *net, const struct net_target *target, struct ledger *ledger)
{
    *net = (struct net){.target = *target,
                        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                        .pace_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                        .ledger = ledger,
                        .buffer = malloc(NET_RECEIVE_BYTES),
                        .now_ns = net_clock_ns()};
    net->run = net->random = (uint32_t)(net->now_ns * 2654435761u) | 1;
    raise_file_limit();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (net->epoll_fd < 0 || net->pace_fd < 0 || !net->buffer ||
        epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, net->pace_fd, &event) != 0)
        net_fail(net, "cannot start: %s", strerror(errno));
    return !net->failure[0];
}

void net_fini(struct net *net)
{
    if (net->epoll_fd >= 0)
        close(net->epoll_fd);
    if (net->pace_fd >= 0)
        close(net->pace_fd);
    free(net->buffer);
}

void net_pace(struct net *net, uint64_t interval_ns)
{
    struct timespec interval = {.tv_sec = (time_t)(interval_ns / 1000000000u),
                                .tv_nsec = (long)(interval_ns % 1000000000u)};
    struct itimerspec pace = {.it_interval = interval, .it_value = interval};
    if (timerfd_settime(net->pace_fd, 0, &pace, NULL) != 0)
        net_fail(net, "cannot set a timer: %s", strerror(errno));
}

static void watch(struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(conn->net->epoll_fd, operation, conn->fd, &event) != 0)
        net_fail(conn->net, "cannot watch a connection: %s", strerror(errno));
}

static void conn_connected(struct conn *conn);
static void conn_drain(struct conn *conn);

static void serve(struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_CONNECTING) {
        conn_connected(conn);
        return;
    }
    if ((events & EPOLLOUT) && conn->state != CONN_CLOSED)
        conn_drain(conn);
    if ((events & ~(uint32_t)EPOLLOUT) && conn->state != CONN_CLOSED)
        conn_receive(conn);
}

bool net_turn(struct net *net, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(net->epoll_fd, events, EVENTS_MAX, timeout_ms);
    if (count < 0 && errno != EINTR)
        net_fail(net, "epoll_wait: %s", strerror(errno));
    net->now_ns = net_clock_ns();
    for (int i = 0; i < count && !net->failure[0]; i++) {
        uint64_t beats;
        if (events[i].data.ptr)
            serve(events[i].data.ptr, events[i].events);
        else if (read(net->pace_fd, &beats, sizeof beats) < 0 && errno != EAGAIN)
            net_fail(net, "cannot read a timer: %s", strerror(errno));
    }
    return !net->failure[0];
}

bool net_await_ready(struct net *net, uint32_t count)
{
    uint32_t before = net->ready;
    uint64_t since = net->now_ns;
    while (net->ready < count) {
        if (!net_turn(net, 100))
            return false;
        if (net->ready != before) {
            before = net->ready;
            since = net->now_ns;
        } else if (net->now_ns - since > (uint64_t)PATIENCE_MS * 1000000) {
            net_fail(net, "the server stopped answering: %u of %u connections are ready", net->ready, count);
        }
    }
    return true;
}

/* ---- connecting ----------------------------------------------------------------------------------------- */

/* Where many connections come and go, one client address would run out of ports: closed ones are kept by the kernel
 * for a minute. All of 127/8 is loopback, so there are others. */
static void bind_source(const struct net *net, int fd)
{
    const struct sockaddr_in *server = (const struct sockaddr_in *)&net->target.address;
    if (net->source == 0 || server->sin_family != AF_INET || ntohl(server->sin_addr.s_addr) >> 24 != 127)
        return;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | net->source)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    (void)!bind(fd, (struct sockaddr *)&source, sizeof source); /* else the usual address will do */
}

static bool start_connect(struct conn *conn, bool small_window)
{
    const struct net_target *target = &conn->net->target;
    conn->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return false;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (small_window)
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int));
    bind_source(conn->net, conn->fd);
    return connect(conn->fd, (const struct sockaddr *)&target->address, target->address_len) == 0 ||
           errno == EINPROGRESS;
}

void conn_open(struct conn *conn, struct net *net, struct wire_buf *greeting, uint32_t answers,
               bool small_window)
{
    *conn =
        (struct conn){.net = net, .state = CONN_CONNECTING, .receiver = conn->receiver, .awaited = answers};
    conn->greeting = *greeting;
    *greeting = (struct wire_buf){0};
    wire_buf_init(&conn->out, NET_UNSENT_MAX);
    wire_buf_init(&conn->carry, 0);
    if (start_connect(conn, small_window))
        watch(conn, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    else
        net_fail(net, "cannot connect to %s:%s: %s", net->target.host, net->target.port, strerror(errno));
}

void conn_close(struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->state == CONN_READY)
        conn->net->ready--;
    if (conn->fd >= 0)
        close(conn->fd);
    wire_buf_fini(&conn->greeting);
    wire_buf_fini(&conn->out);
    wire_buf_fini(&conn->carry);
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

void conn_stall(struct conn *conn)
{
    epoll_ctl(conn->net->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
}

static void conn_write(struct conn *conn, const uint8_t *bytes, size_t len);

static void conn_connected(struct conn *conn)
{
    struct net *net = conn->net;
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        net_fail(net, "cannot connect to %s:%s: %s", net->target.host, net->target.port, strerror(error));
        return;
    }
    watch(conn, EPOLL_CTL_MOD, EPOLLIN);
    if (net->target.transport == NET_WS) {
        char request[1024];
        size_t size =
            ws_put_request(request, sizeof request, net->target.host, net->target.port, net->target.path);
        conn->state = CONN_UPGRADING;
        conn_write(conn, (const uint8_t *)request, size);
    } else {
        conn_greet(conn);
    }
}

void conn_greet(struct conn *conn)
{
    conn->state = CONN_GREETING;
    conn_send(conn, conn->greeting.data + NET_HEADROOM, conn->greeting.len - NET_HEADROOM);
    wire_buf_fini(&conn->greeting);
}

/* ---- sending -------------------------------------------------------------------------------------------- */

static void conn_write(struct conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n = 0;
    if (!conn_backed_up(conn))
        n = send(conn->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) {
        net_fail(conn->net, "the server closed a connection: %s", strerror(errno));
        return;
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    if (sent == len)
        return;
    if (!conn_backed_up(conn))
        watch(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    if (wire_buf_append(&conn->out, bytes + sent, len - sent) != ERR_NONE)
        net_fail(conn->net, "the server does not read what is published");
}

static void conn_drain(struct conn *conn)
{
    ssize_t n = send(conn->fd, conn->out.data + conn->out_at, conn->out.len - conn->out_at,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) {
        net_fail(conn->net, "the server closed a connection: %s", strerror(errno));
        return;
    }
    conn->out_at += n > 0 ? (size_t)n : 0;
    if (conn->out_at < conn->out.len)
        return;
    conn->out_at = conn->out.len = 0;
    watch(conn, EPOLL_CTL_MOD, EPOLLIN);
}

/* A fresh mask per frame, as RFC 6455 section 5.3 has it; it need not be hard to guess here (xorshift32). */
static uint32_t next_mask(struct net *net)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 17;
    net->random ^= net->random << 5;
    return net->random;
}

static void send_wrapped(struct conn *conn, uint8_t *bytes, size_t len, enum ws_op op)
{
    size_t header = ws_wrap(bytes, len, op, next_mask(conn->net));
    conn_write(conn, bytes - header, header + len);
}

void conn_send(struct conn *conn, uint8_t *bytes, size_t len)
{
    if (conn->net->target.transport == NET_WS)
        send_wrapped(conn, bytes, len, WS_BINARY);
    else
        conn_write(conn, bytes, len);
}

void conn_send_pong(struct conn *conn, struct span body)
{
    uint8_t frame[WS_HEADER_MAX + WS_CONTROL_MAX];
    memcpy(frame + WS_HEADER_MAX, body.data, body.len);
    send_wrapped(conn, frame + WS_HEADER_MAX, body.len, WS_PONG);
}
