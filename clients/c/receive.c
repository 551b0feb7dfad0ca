#include <assert.h>

#include "clients/c/core.h"
#include "clients/c/message.h"

typedef enum err frame_fn(struct sluice_core *core, struct cursor body, uint32_t count);

static enum err on_welcome(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_welcome welcome;
    enum err e = native_decode_welcome(body, count, &welcome);
    if (e != ERR_NONE || core->state == CORE_OPEN)
        return ERR_PROTOCOL;
    if (core->state != CORE_GREETING)
        return ERR_NONE;
    core->state = CORE_OPEN;
    core->connections++;
    core->keepalive_ms = (uint64_t)welcome.keepalive_s * 1000;
    core->max_payload_bytes = welcome.max_payload;
    core->max_frame_bytes = welcome.max_frame;
    reconnect_opened(&core->reconnect, core->now_ms);
    struct sluice_welcome told = {.session = bytes_of_span(welcome.session),
                                  .server = bytes_of_span(welcome.server),
                                  .max_frame_bytes = welcome.max_frame,
                                  .max_payload_bytes = welcome.max_payload,
                                  .keepalive_s = welcome.keepalive_s,
                                  .connection = core->connections};
    core_enter(core);
    if (core->cb.on_connected)
        core->cb.on_connected(core->cb.user, &told);
    core_leave(core);
    return ERR_NONE;
}

static void answered(struct sluice_core *core, uint64_t id, const struct sluice_error *result,
                     const struct native_ok *ok)
{
    struct pending entry;
    if (!pending_take(&core->pending, id, &entry))
        return;
    core_enter(core);
    if (entry.kind == PENDING_SUBSCRIBE)
        subscriptions_answered(core, &entry, result, ok);
    else if (entry.kind == PENDING_REQUEST && result->status != SLUICE_OK)
        requests_refused(core, entry.number, result);
    else if (entry.on_done)
        entry.on_done(entry.user, result);
    core_leave(core);
}

static enum err on_ok(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_ok ok;
    enum err e = native_decode_ok(body, count, &ok);
    if (e == ERR_NONE)
        answered(core, ok.id, &error_none, &ok);
    return e;
}

static enum err on_err(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_error error;
    enum err e = native_decode_err(body, count, &error);
    if (e != ERR_NONE)
        return e;
    struct sluice_error told;
    error_from_broker(&told, error.code, error.text);
    if (error.id != 0) {
        answered(core, error.id, &told, NULL);
    } else if (core->cb.on_error) {
        core_enter(core);
        core->cb.on_error(core->cb.user, &told);
        core_leave(core);
    }
    return ERR_NONE;
}

static enum err on_msg(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_msg msg;
    enum err e = native_decode_msg(body, count, &msg);
    if (e == ERR_NONE && core->state == CORE_OPEN)
        subscriptions_dispatch(core, &msg);
    core->tagged = false;
    return e;
}

static enum err on_tag(struct sluice_core *core, struct cursor body, uint32_t count)
{
    core->tagged = true;
    return native_decode_tag(body, count, &core->tag);
}

static enum err on_gap(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_gap gap;
    enum err e = native_decode_gap(body, count, &gap);
    if (e != ERR_NONE || !core->cb.on_gap)
        return e;
    struct sluice_gap told = {bytes_of_span(gap.filter), gap.count, bytes_of_span(gap.reason)};
    core_enter(core);
    core->cb.on_gap(core->cb.user, &told);
    core_leave(core);
    return ERR_NONE;
}

/* Events of another kind belong to what this version does not ask for (presence, history). */
static enum err on_event(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_event event;
    enum err e = native_decode_event(body, count, &event);
    if (e != ERR_NONE || !core->cb.on_live || !span_eq(event.kind, span_str("live")))
        return e;
    core_enter(core);
    core->cb.on_live(core->cb.user, bytes_of_span(event.topic));
    core_leave(core);
    return ERR_NONE;
}

/* Unanswered while more than a full buffer waits to go out: the broker hears from us by that. */
static enum err on_ping(struct sluice_core *core, struct cursor body, uint32_t count)
{
    (void)body;
    (void)count;
    if (send_buffer_len(&core->out) > core->options.send_buffer_bytes_max)
        return ERR_NONE;
    return native_encode_pong(&core->out.bytes);
}

static enum err on_pong(struct sluice_core *core, struct cursor body, uint32_t count)
{
    (void)core;
    (void)body;
    (void)count;
    return ERR_NONE;
}

static enum err on_bye(struct sluice_core *core, struct cursor body, uint32_t count)
{
    struct native_bye bye;
    enum err e = native_decode_bye(body, count, &bye);
    if (e != ERR_NONE)
        return e;
    struct sluice_error why;
    error_from_broker(&why, bye.code, bye.text);
    core_down(core, &why, reconnect_is_terminal(bye.code), bye.reconnect_after_ms);
    return ERR_NONE;
}

static enum err on_client_op(struct sluice_core *core, struct cursor body, uint32_t count)
{
    (void)core;
    (void)body;
    (void)count;
    return ERR_PROTOCOL;
}

/* What each op does, and whether it may come before WELCOME. Ops that are not here are from the future. */
static const struct {
    frame_fn *handle;
    bool early;
} ops[] = {
    [NATIVE_HELLO] = {on_client_op, true},
    [NATIVE_SUB] = {on_client_op, true},
    [NATIVE_UNSUB] = {on_client_op, true},
    [NATIVE_PUB] = {on_client_op, true},
    [NATIVE_ACK] = {on_client_op, true},
    [NATIVE_HISTORY] = {on_client_op, true},
    [NATIVE_PRESENCE] = {on_client_op, true},
    [NATIVE_NACK] = {on_client_op, true},
    [NATIVE_PING] = {on_ping, true},
    [NATIVE_WELCOME] = {on_welcome, true},
    [NATIVE_OK] = {on_ok, false},
    [NATIVE_ERR] = {on_err, true},
    [NATIVE_MSG] = {on_msg, false},
    [NATIVE_GAP] = {on_gap, false},
    [NATIVE_EVENT] = {on_event, false},
    [NATIVE_PONG] = {on_pong, true},
    [NATIVE_BYE] = {on_bye, true},
    [NATIVE_TAG] = {on_tag, false},
};

static enum err handle_frame(struct sluice_core *core, struct span frame)
{
    uint32_t op, count;
    struct cursor body;
    enum err e = native_open(frame, &op, &count, &body);
    if (e != ERR_NONE)
        return e;
    if (op >= sizeof ops / sizeof ops[0] || !ops[op].handle)
        return ERR_NONE;
    if (core->state == CORE_GREETING && !ops[op].early)
        return ERR_PROTOCOL;
    return ops[op].handle(core, body, count);
}

static void faulty(struct sluice_core *core, enum err e)
{
    /* Who sends nonsense before WELCOME is no Sluice broker, and will not become one. */
    bool never_was = core->state == CORE_GREETING;
    struct sluice_error why;
    if (e == ERR_NO_MEMORY)
        error_set(&why, SLUICE_NO_MEMORY, "out of memory");
    else if (e == ERR_TOO_LARGE && !never_was)
        error_set(&why, SLUICE_TOO_LARGE, "the broker sent a frame of more than %zu bytes",
                  core->options.receive_frame_bytes_max);
    else
        error_set(&why, SLUICE_PROTOCOL, "%s",
                  never_was ? "the other end does not speak sluice.v1" : "the broker sent a malformed frame");
    core_down(core, &why, never_was && e != ERR_NO_MEMORY, 0);
}

/* Handles the whole frames at the front of *in; leaves the rest. */
static void handle_frames(struct sluice_core *core, struct span *in)
{
    uint64_t epoch = core->epoch;
    while (core->epoch == epoch) {
        struct span frame;
        size_t need;
        enum err e = native_next_frame(in, core->options.receive_frame_bytes_max, &frame, &need);
        if (e == ERR_TRUNCATED)
            return;
        if (e == ERR_NONE)
            e = handle_frame(core, frame);
        if (e != ERR_NONE)
            faulty(core, e);
    }
}

static void keep_rest(struct sluice_core *core, struct span rest)
{
    if (wire_buf_append(&core->in, rest.data, rest.len) != ERR_NONE)
        faulty(core, ERR_NO_MEMORY);
}

void sluice_core_receive(struct sluice_core *core, uint64_t now_ms, const void *data, size_t len)
{
    core->now_ms = now_ms;
    if (core->state == CORE_DOWN || core->state == CORE_STOPPED || len == 0)
        return;
    assert(core->depth == 0 && "bytes are not received inside a callback");
    core->received_at_ms = now_ms;
    uint64_t epoch = core->epoch;
    if (core->in.len == 0) {
        struct span rest = span_of(data, len);
        handle_frames(core, &rest);
        if (core->epoch == epoch && rest.len > 0)
            keep_rest(core, rest);
    } else {
        keep_rest(core, span_of(data, len));
        struct span rest = span_of(core->in.data, core->in.len);
        if (core->epoch == epoch)
            handle_frames(core, &rest);
        if (core->epoch == epoch)
            wire_buf_consume(&core->in, core->in.len - rest.len);
    }
    core_maybe_drained(core);
}
