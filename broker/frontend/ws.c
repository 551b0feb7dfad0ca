#include "broker/frontend/ws.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <libwebsockets.h>

#include "broker/frontend/address.h"
#include "broker/memory.h"
#include "broker/session/native.h"

/* RFC 6455, 5.2 and 7.4.1 */
enum {
    FRAME_BINARY = 0x82, /* final, opcode 2 */
    FRAME_CLOSE = 0x88,
    FRAME_PING = 0x89,
    CLOSE_NORMAL = 1000
};

struct ws_connection {
    struct transport transport; /* first */
    struct ws_frontend *ws;     /* borrows; NULL: not a WebSocket */
    struct lws *wsi;            /* borrows */
    struct session *session;    /* borrows; NULL: closing */
    struct ws_connection *due_next, *due_prev; /* in the list of pings, or while closing, of closes */
    uint64_t due_ms;                           /* next ping, or the end of patience */
    size_t message_bytes; /* of the message that is coming in */
    uint32_t pair_left;   /* bytes of the pair that is coming in */
    uint8_t head[NATIVE_SIZE_BYTES];
    uint8_t head_len;
    bool heard;       /* since the last ping fell due */
    bool hungry;      /* in the frontend's list */
    bool paused;      /* reading stopped */
    bool peer_closed; /* it has said Close: what it sends behind that does not count */
    bool closing, close_sent, lost;
};

/* Connections in the order in which they fall due; all wait equally long. */
struct due_list {
    struct ws_connection *first, *last;
    struct timer timer;
    uint64_t wait_ms;
};

struct ws_frontend {
    struct ws_config config;
    struct due_list pings, closes;
    struct ws_connection *gathered; /* whose input is in the buffer */
    size_t gathered_bytes;
    uint8_t buffer[WS_GATHER_BYTES];
    struct ws_connection *hungry[WS_HUNGRY_MAX]; /* borrows; NULL: gone meanwhile */
    size_t hungry_count;
};

size_t ws_connection_bytes(void)
{
    return sizeof(struct ws_connection);
}

/* ---- lists of what falls due ---------------------------------------------------------------------------- */

static void due_remove(struct due_list *list, struct ws_connection *connection)
{
    *(connection->due_prev ? &connection->due_prev->due_next : &list->first) = connection->due_next;
    *(connection->due_next ? &connection->due_next->due_prev : &list->last) = connection->due_prev;
    connection->due_next = connection->due_prev = NULL;
    connection->due_ms = 0;
}

static void due_append(struct ws_frontend *ws, struct due_list *list, struct ws_connection *connection)
{
    if (list->wait_ms == 0)
        return;
    connection->due_ms = ws->config.clock->now_ms + list->wait_ms;
    connection->due_next = NULL;
    connection->due_prev = list->last;
    *(list->last ? &list->last->due_next : &list->first) = connection;
    list->last = connection;
    if (!timer_armed(&list->timer))
        timer_start(ws->config.wheel, &list->timer, connection->due_ms);
}

/* The first that is due, taken off; NULL: none is, and the timer is set for the next. */
static struct ws_connection *due_take(struct ws_frontend *ws, struct due_list *list)
{
    struct ws_connection *first = list->first;
    if (!first)
        return NULL;
    if (first->due_ms > ws->config.clock->now_ms) {
        timer_start(ws->config.wheel, &list->timer, first->due_ms);
        return NULL;
    }
    due_remove(list, first);
    return first;
}

static struct due_list *due_list_of(struct ws_connection *connection)
{
    return connection->closing ? &connection->ws->closes : &connection->ws->pings;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static int write_raw(struct ws_connection *connection, uint8_t *frame, size_t len)
{
    return lws_write(connection->wsi, frame, len, LWS_WRITE_RAW);
}

static void send_ping(struct ws_connection *connection)
{
    uint8_t frame[LWS_PRE + 2] = {[LWS_PRE] = FRAME_PING, [LWS_PRE + 1] = 0};
    if (!lws_partial_buffered(connection->wsi))
        (void)write_raw(connection, frame + LWS_PRE, 2);
}

/* Puts the header in front of the payload and returns where it begins. */
static uint8_t *put_header(uint8_t *payload, size_t len)
{
    uint8_t *at = payload;
    unsigned bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
    for (unsigned i = 0; i < bytes; i++)
        *--at = (uint8_t)(len >> (8 * i));
    *--at = bytes == 0 ? (uint8_t)len : bytes == 2 ? 126 : 127;
    *--at = FRAME_BINARY;
    return at;
}

static struct ws_connection *connection_of(const struct transport *transport)
{
    return (struct ws_connection *)(uintptr_t)transport;
}

/* What the socket does not take stays in one segment inside libwebsockets, which asks for writability by itself. */
static ssize_t transport_write(struct transport *transport, const struct iovec *pieces, int count,
                               size_t bytes)
{
    struct ws_connection *connection = connection_of(transport);
    (void)count;
    if (lws_partial_buffered(connection->wsi))
        return 0;
    uint8_t *payload = pieces[0].iov_base, *frame = put_header(payload, bytes);
    if (write_raw(connection, frame, bytes + (size_t)(payload - frame)) < 0)
        return -1;
    return (ssize_t)bytes;
}

static void transport_want_writable(struct transport *transport, bool wanted)
{
    struct ws_connection *connection = connection_of(transport);
    if (wanted)
        lws_callback_on_writable(connection->wsi);
}

static void transport_pause_reading(struct transport *transport, bool paused)
{
    struct ws_connection *connection = connection_of(transport);
    connection->paused = paused;
    lws_rx_flow_control(connection->wsi, !paused);
}

static void transport_peer(const struct transport *transport, char *text, size_t size)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    getpeername(lws_get_socket_fd(connection_of(transport)->wsi), (struct sockaddr *)&peer, &len);
    address_text(&peer, text, size);
}

/* ---- closing -------------------------------------------------------------------------------------------- */

/* libwebsockets loses its own Close frame when a callback asks to close: so ours, raw, and behind it the end of what we
 * send; then patience for the answer. ws_writable() comes back to what does not fit now. */
static void send_close(struct ws_connection *connection)
{
    uint8_t frame[LWS_PRE + 4] = {[LWS_PRE] = FRAME_CLOSE, 2, CLOSE_NORMAL >> 8, CLOSE_NORMAL & 0xff};
    if (!connection->close_sent && !lws_partial_buffered(connection->wsi)) {
        connection->close_sent = true;
        (void)write_raw(connection, frame + LWS_PRE, 4);
    }
    if (connection->close_sent && !lws_partial_buffered(connection->wsi))
        shutdown(lws_get_socket_fd(connection->wsi), SHUT_WR);
}

/* From outside of its callbacks. */
static void kill_connection(struct ws_connection *connection)
{
    connection->lost = true;
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(connection->wsi));
}

static void transport_close(struct transport *transport, bool lost)
{
    struct ws_connection *connection = connection_of(transport);
    struct ws_frontend *ws = connection->ws;
    connection->session = NULL;
    if (connection->due_ms)
        due_remove(&ws->pings, connection);
    connection->closing = true;
    lws_rx_flow_control(connection->wsi, 1);
    if (lost) {
        kill_connection(connection);
        return;
    }
    send_close(connection);
    due_append(ws, &ws->closes, connection);
}

static const struct transport_ops transport_ops = {
    .write = transport_write,
    .want_writable = transport_want_writable,
    .pause_reading = transport_pause_reading,
    .peer = transport_peer,
    .close = transport_close,
    .framed = true,
};

static void on_ping_timer(struct timer *timer)
{
    struct ws_frontend *ws =
        (struct ws_frontend *)(void *)((char *)timer - offsetof(struct ws_frontend, pings.timer));
    struct ws_connection *connection;
    while ((connection = due_take(ws, &ws->pings))) {
        if (!connection->heard)
            send_ping(connection);
        connection->heard = false;
        due_append(ws, &ws->pings, connection);
    }
}

static void on_close_timer(struct timer *timer)
{
    struct ws_frontend *ws =
        (struct ws_frontend *)(void *)((char *)timer - offsetof(struct ws_frontend, closes.timer));
    struct ws_connection *connection;
    while ((connection = due_take(ws, &ws->closes)))
        kill_connection(connection);
}

/* ---- events --------------------------------------------------------------------------------------------- */

int ws_established(struct ws_frontend *ws, struct ws_connection *connection, struct lws *wsi)
{
    *connection =
        (struct ws_connection){.transport = {.ops = &transport_ops, .kind = "ws"}, .ws = ws, .wsi = wsi};
    connection->session = session_open(ws->config.sessions, &connection->transport, &session_native);
    if (!connection->session)
        return -1;
    due_append(ws, &ws->pings, connection);
    return 0;
}

static void deliver(struct ws_frontend *ws)
{
    struct ws_connection *connection = ws->gathered;
    size_t len = ws->gathered_bytes;
    ws->gathered = NULL;
    ws->gathered_bytes = 0;
    if (connection && connection->session && len > 0)
        session_input(connection->session, span_of(ws->buffer, len));
}

static void gather(struct ws_frontend *ws, struct ws_connection *connection, struct span piece)
{
    while (piece.len > 0) {
        if (ws->gathered != connection || ws->gathered_bytes == sizeof ws->buffer)
            deliver(ws);
        ws->gathered = connection;
        size_t room = sizeof ws->buffer - ws->gathered_bytes, take = piece.len < room ? piece.len : room;
        memcpy(ws->buffer + ws->gathered_bytes, piece.data, take);
        ws->gathered_bytes += take;
        piece = span_of(piece.data + take, piece.len - take);
    }
}

/* Follows the pairs in the stream, as far as it takes to know whether one is open. What does not begin with a size is
 * the session's to refuse. */
static void follow_pairs(struct ws_connection *connection, struct span piece)
{
    while (piece.len > 0) {
        size_t skip = 1;
        if (connection->pair_left > 0) {
            skip = connection->pair_left < piece.len ? connection->pair_left : piece.len;
            connection->pair_left -= (uint32_t)skip;
        } else {
            connection->head[connection->head_len++] = piece.data[0];
            if (connection->head_len == NATIVE_SIZE_BYTES) {
                connection->pair_left = native_pair_bytes(connection->head) - NATIVE_SIZE_BYTES;
                connection->head_len = 0;
            }
        }
        piece = span_of(piece.data + skip, piece.len - skip);
    }
}

/* A fault of the WebSocket layer: libwebsockets sends the Close with its code. */
static int refuse(struct ws_connection *connection, enum lws_close_status status, const char *text)
{
    deliver(connection->ws);
    lws_close_reason(connection->wsi, status, (unsigned char *)(uintptr_t)text, strlen(text));
    return -1;
}

int ws_received(struct ws_frontend *ws, struct ws_connection *connection, struct span piece)
{
    struct lws *wsi = connection->wsi;
    connection->heard = true;
    if (!connection->session || connection->peer_closed)
        return 0;
    if (!lws_frame_is_binary(wsi))
        return refuse(connection, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "sluice.v1 is binary");
    if (connection->message_bytes + piece.len + lws_remaining_packet_payload(wsi) > ws->config.message_max)
        return refuse(connection, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message over limits.max_frame");
    if (!connection->hungry && ws->hungry_count < WS_HUNGRY_MAX) {
        connection->hungry = true;
        ws->hungry[ws->hungry_count++] = connection;
    }
    connection->message_bytes += piece.len;
    follow_pairs(connection, piece);
    gather(ws, connection, piece);
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
        return 0;
    connection->message_bytes = 0;
    if (connection->pair_left > 0 || connection->head_len > 0) {
        deliver(ws);
        if (connection->session)
            session_refuse(connection->session, ERR_PROTOCOL, "a WebSocket message must hold whole frames");
    }
    return 0;
}

int ws_writable(struct ws_connection *connection)
{
    if (connection->lost)
        return -1;
    if (connection->session)
        session_writable(connection->session);
    else
        send_close(connection);
    return 0;
}

int ws_peer_closes(struct ws_connection *connection)
{
    if (!connection->session)
        return -1; /* the answer to ours */
    connection->peer_closed = true;
    return 0; /* libwebsockets answers and closes */
}

void ws_closed(struct ws_frontend *ws, struct ws_connection *connection)
{
    if (!connection->ws)
        return;
    if (ws->gathered == connection)
        deliver(ws);
    for (size_t i = 0; connection->hungry && i < ws->hungry_count; i++)
        if (ws->hungry[i] == connection)
            ws->hungry[i] = NULL;
    if (connection->due_ms)
        due_remove(due_list_of(connection), connection);
    if (connection->session)
        session_lost(connection->session);
    connection->session = NULL;
    connection->ws = NULL;
}

/* Lets libwebsockets read until the socket is empty, or the session has enough for a turn. */
static void read_on(struct ws_frontend *ws, size_t index)
{
    struct ws_connection *connection = ws->hungry[index];
    struct lws_context *context = lws_get_context(connection->wsi);
    int fd = lws_get_socket_fd(connection->wsi), waiting = 0;
    size_t read = 0;
    if (ioctl(fd, FIONREAD, &waiting))
        return;
    while (read < (size_t)waiting && read < WS_GATHER_BYTES) {
        struct lws_pollfd event = {.fd = fd, .events = POLLIN, .revents = POLLIN};
        if (!ws->hungry[index] || connection->paused || !connection->session)
            return;
        lws_service_fd(context, &event);
        read += ws->config.read_bytes;
    }
}

void ws_end_turn(struct ws_frontend *ws)
{
    for (size_t i = 0; i < ws->hungry_count; i++)
        if (ws->hungry[i])
            read_on(ws, i);
    deliver(ws);
    for (size_t i = 0; i < ws->hungry_count; i++)
        if (ws->hungry[i])
            ws->hungry[i]->hungry = false;
    ws->hungry_count = 0;
}

/* ---- the frontend --------------------------------------------------------------------------------------- */

struct ws_frontend *ws_new(const struct ws_config *config)
{
    struct ws_frontend *ws = memory_must(sizeof *ws);
    ws->config = *config;
    ws->pings.wait_ms = config->ping_interval_ms;
    ws->pings.timer.fire = on_ping_timer;
    ws->closes.wait_ms = WS_CLOSE_MS;
    ws->closes.timer.fire = on_close_timer;
    return ws;
}

void ws_stop(struct ws_frontend *ws)
{
    timer_stop(ws->config.wheel, &ws->pings.timer);
    timer_stop(ws->config.wheel, &ws->closes.timer);
}

void ws_free(struct ws_frontend *ws)
{
    free(ws);
}
