/* What comes in on a connection: bytes to frames, frames to the ledger. The path of a MSG is the hot one. */
#include "clients/cli/bench_net.h"

#include <errno.h>

#include "clients/cli/bench_frame.h"
#include "proto/native_reply.h"

enum { FRAME_MAX = 16 * 1024 * 1024 };

/* ---- frames --------------------------------------------------------------------------------------------- */

static void conn_answered(struct conn *conn)
{
    if (conn->state != CONN_GREETING || --conn->awaited > 0)
        return;
    conn->state = CONN_READY;
    conn->net->ready++;
    if (conn->net->on_ready)
        conn->net->on_ready(conn);
}

static void take_msg(struct conn *conn, struct span topic, struct span payload)
{
    struct net *net = conn->net;
    struct stamp stamp;
    if (!net->ledger || conn->receiver == UINT32_MAX)
        return;
    if (stamp_get(payload, net->run, &stamp))
        ledger_receive(net->ledger, conn->receiver, stamp.stream, topic, stamp.number,
                       net->now_ns - stamp.sent_ns);
    else
        ledger_receive_damaged(net->ledger, conn->receiver);
}

static void take_gap(struct conn *conn, struct cursor body, uint32_t count)
{
    struct native_gap gap;
    if (native_decode_gap(body, count, &gap) != ERR_NONE)
        net_fail(conn->net, "the server sent a malformed GAP");
    else if (conn->net->ledger && conn->receiver != UINT32_MAX)
        ledger_report(conn->net->ledger, conn->receiver, gap.count);
}

static void take_refusal(struct conn *conn, uint32_t op, struct cursor body, uint32_t count)
{
    struct span code = {0}, text = {0};
    struct native_error error;
    struct native_bye bye;
    if (op == NATIVE_ERR && native_decode_err(body, count, &error) == ERR_NONE) {
        code = error.code;
        text = error.text;
    } else if (op == NATIVE_BYE && native_decode_bye(body, count, &bye) == ERR_NONE) {
        code = bye.code;
        text = bye.text;
    }
    net_fail(conn->net, "the server says %s: %.*s (%.*s)", native_op_name(op), (int)text.len, text.data,
             (int)code.len, code.data);
}

static void answer_ping(struct conn *conn)
{
    uint8_t frame[NET_HEADROOM + NATIVE_SIZE_BYTES + 2];
    uint8_t *pair = frame + NET_HEADROOM;
    native_put_size(pair, 2);
    pair[NATIVE_SIZE_BYTES] = 0x91;
    pair[NATIVE_SIZE_BYTES + 1] = NATIVE_PONG;
    conn_send(conn, pair, NATIVE_SIZE_BYTES + 2);
}

/* Any frame but a plain MSG. What a generator has no use for (EVENT, TAG, ops to come) is passed over. */
static void take_other(struct conn *conn, struct span frame)
{
    uint32_t op, count;
    struct cursor body;
    struct span topic, payload;
    if (native_open(frame, &op, &count, &body) != ERR_NONE) {
        net_fail(conn->net, "the server sent a malformed frame");
        return;
    }
    switch (op) {
    case NATIVE_MSG:
        if (frame_read_any_msg(body, count, &topic, &payload))
            take_msg(conn, topic, payload);
        else
            net_fail(conn->net, "the server sent a malformed MSG");
        break;
    case NATIVE_WELCOME:
    case NATIVE_OK:
        conn_answered(conn);
        break;
    case NATIVE_GAP:
        take_gap(conn, body, count);
        break;
    case NATIVE_PING:
        answer_ping(conn);
        break;
    case NATIVE_ERR:
    case NATIVE_BYE:
        take_refusal(conn, op, body, count);
        break;
    default:
        break;
    }
}

static inline void take_frame(struct conn *conn, struct span frame)
{
    struct span topic, payload;
    if (frame_read_plain_msg(frame, &topic, &payload))
        take_msg(conn, topic, payload);
    else
        take_other(conn, frame);
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

/* Takes all whole frames off `in`. */
static void take_frames(struct conn *conn, struct span *in)
{
    const uint8_t *at = in->data, *end = in->data + in->len;
    while ((size_t)(end - at) >= NATIVE_SIZE_BYTES && conn->state != CONN_CLOSED) {
        size_t len = frame_be32(at + 1);
        if (at[0] != 0xce || len > FRAME_MAX) {
            net_fail(conn->net, "what the server sends is not sluice.v1");
            break;
        }
        if ((size_t)(end - at) - NATIVE_SIZE_BYTES < len)
            break;
        take_frame(conn, span_of(at + NATIVE_SIZE_BYTES, len));
        at += NATIVE_SIZE_BYTES + len;
    }
    *in = span_of(at, (size_t)(end - at));
}

static void carry_on(struct conn *conn, struct span *in, size_t len)
{
    len = len < in->len ? len : in->len;
    if (wire_buf_append(&conn->carry, in->data, len) != ERR_NONE)
        net_fail(conn->net, "out of memory");
    *in = span_of(in->data + len, in->len - len);
}

/* Completes the frame whose beginning was kept. */
static void complete_carry(struct conn *conn, struct span *in)
{
    if (conn->carry.len < NATIVE_SIZE_BYTES)
        carry_on(conn, in, NATIVE_SIZE_BYTES - conn->carry.len);
    if (conn->carry.len < NATIVE_SIZE_BYTES)
        return;
    carry_on(conn, in, native_pair_bytes(conn->carry.data) - conn->carry.len);
    struct span pair = span_of(conn->carry.data, conn->carry.len);
    take_frames(conn, &pair);
    if (pair.len == 0)
        conn->carry.len = 0;
}

static void take_bytes(struct conn *conn, struct span in)
{
    if (conn->net->target.transport == NET_RELAY && conn->state == CONN_GREETING && in.len > 0) {
        in = span_of(in.data + 1, in.len - 1); /* the '+' */
        conn_answered(conn);
    }
    while (conn->carry.len > 0 && in.len > 0 && conn->state != CONN_CLOSED && !conn->net->failure[0])
        complete_carry(conn, &in);
    take_frames(conn, &in);
    if (in.len > 0 && conn->state != CONN_CLOSED && !conn->net->failure[0])
        carry_on(conn, &in, in.len);
}

/* ---- WebSocket ------------------------------------------------------------------------------------------ */

static void take_websocket(struct conn *conn, struct span in)
{
    enum ws_op op;
    struct span piece;
    enum err e = ERR_NONE;
    while (in.len > 0 && conn->state != CONN_CLOSED &&
           (e = ws_next(&conn->ws, &in, &op, &piece)) == ERR_NONE) {
        if (op == WS_PING)
            conn_send_pong(conn, piece);
        else if (op == WS_CLOSE)
            net_fail(conn->net, "the server closed a WebSocket");
        else if (op != WS_PONG)
            take_bytes(conn, piece);
    }
    if (e == ERR_PROTOCOL)
        net_fail(conn->net, "the server sent a malformed WebSocket frame");
}

static void take_response(struct conn *conn, struct span in)
{
    carry_on(conn, &in, in.len);
    size_t len;
    struct span all = span_of(conn->carry.data, conn->carry.len);
    enum err e = ws_read_response(all, &len);
    if (e == ERR_TRUNCATED)
        return;
    if (e != ERR_NONE) {
        const uint8_t *line_end = memchr(all.data, '\r', all.len);
        net_fail(conn->net, "the server did not accept the WebSocket: %.*s",
                 line_end ? (int)(line_end - all.data) : 0, (const char *)all.data);
        return;
    }
    if (len < all.len) {
        net_fail(conn->net, "the server spoke before HELLO");
        return;
    }
    conn->carry.len = 0;
    conn_greet(conn);
}

void conn_receive(struct conn *conn)
{
    struct net *net = conn->net;
    ssize_t n = recv(conn->fd, net->buffer, NET_RECEIVE_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        net_fail(net, "the server closed a connection%s%s", n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
        return;
    }
    if (net->exact)
        net->now_ns = net_clock_ns();
    struct span in = span_of(net->buffer, (size_t)n);
    if (conn->state == CONN_UPGRADING)
        take_response(conn, in);
    else if (net->target.transport == NET_WS)
        take_websocket(conn, in);
    else
        take_bytes(conn, in);
}
