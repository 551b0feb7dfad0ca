#include "broker/session/native.h"

#include <stdio.h>

#include "broker/log.h"
#include "broker/session/sessions.h"
#include "proto/native_reply.h"

/* ERRs without a request that they answer: so many a second, and at once. */
enum { STRAY_ERRORS_PER_S = 16 };

/* ---- answers -------------------------------------------------------------------------------------------- */

/* Queues what the scratch buffer holds, one frame. */
static enum err push_answer(struct session *session, enum err encoded)
{
    struct wire_buf *answer = &session->env->answer;
    return encoded ? encoded : outbox_push_control(&session->outbox, answer->data, (uint32_t)answer->len, 1);
}

static struct wire_buf *blank_answer(struct session *session)
{
    session->env->answer.len = 0;
    return &session->env->answer;
}

/* An answer that cannot be queued ends the connection: a client must not wait for what will never come. */
static void require(struct session *session, enum err e)
{
    if (e)
        delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
}

static void answer_ok(struct session *session, uint64_t id)
{
    require(session, push_answer(session, native_encode_ok(blank_answer(session), id)));
}

static void answer_err(struct session *session, uint64_t id, enum err code, const char *text)
{
    struct sessions *env = session->env;
    publish_finish(session); /* in the log, no answer comes between the frames of a run */
    env->stats.refused++;
    if (id == 0 && !pace_take(&session->errors, *env->now_ms, STRAY_ERRORS_PER_S, STRAY_ERRORS_PER_S))
        return;
    struct native_error error = {
        .id = id, .code = span_str(err_name(code)), .text = span_str(text ? text : err_text(code))};
    require(session, push_answer(session, native_encode_err(blank_answer(session), &error)));
}

static void fault(struct session *session, enum err code, const char *text)
{
    session->env->stats.faults++;
    session_leave(session, code, text, 0);
}

/* The decoder's verdict on a frame: malformed ends the connection, a wrong request is answered. True: go on. */
static bool decoded(struct session *session, enum err e, uint64_t id, const char *what)
{
    if (e == ERR_NONE)
        return true;
    if (e == ERR_PROTOCOL)
        fault(session, e, sessions_text(session->env, "malformed %s frame", what));
    else
        answer_err(session, id, e, NULL);
    return false;
}

/* ---- greeting ------------------------------------------------------------------------------------------- */

static uint32_t granted_keepalive_s(const struct session_settings *settings, const struct native_hello *hello)
{
    uint64_t asked_ms = hello->has_keepalive ? (uint64_t)hello->keepalive_s * 1000 : settings->keepalive;
    uint64_t granted_ms = asked_ms < settings->keepalive_max ? asked_ms : settings->keepalive_max;
    return (uint32_t)((granted_ms + 999) / 1000);
}

static enum err welcome(struct session *session, uint32_t keepalive_s)
{
    struct sessions *env = session->env;
    char name[32];
    snprintf(name, sizeof name, "s%llx", (unsigned long long)session->id);
    struct native_welcome frame = {
        .session = span_str(name),
        .server = span_str(env->server_name),
        .max_frame = (uint32_t)env->limits->max_frame,
        .max_payload = (uint32_t)env->limits->max_payload,
        .keepalive_s = keepalive_s,
    };
    return push_answer(session, native_encode_welcome(blank_answer(session), &frame));
}

static void log_greeted(const struct session *session, const struct native_hello *hello)
{
    if (!log_wants(LOG_DEBUG))
        return;
    const struct transport *transport = session->outbox.transport;
    char peer[SESSION_PEER_TEXT] = "?";
    transport->ops->peer(transport, peer, sizeof peer);
    log_event(LOG_DEBUG, "client greeted", LOG_U("session", session->id), LOG_S("transport", transport->kind),
              LOG_S("peer", peer), LOG_SPAN("client", hello->client));
}

/* Serves the first frame. Nobody has an account, so that who the client says it is is logged, and changes nothing. */
static void greet(struct session *session)
{
    uint32_t op, count;
    struct cursor body;
    if (native_open(session->frame, &op, &count, &body)) {
        fault(session, ERR_PROTOCOL, "malformed frame");
        return;
    }
    if (op != NATIVE_HELLO) {
        fault(session, ERR_HELLO, err_text(ERR_HELLO));
        return;
    }
    struct native_hello hello;
    enum err e = native_decode_hello(body, count, &hello);
    if (e == ERR_PROTOCOL)
        fault(session, e, "malformed HELLO frame");
    else if (e == ERR_UNSUPPORTED)
        fault(session, e, "this broker speaks version 1 of the protocol");
    else if (e)
        fault(session, e, "HELLO with an option of a wrong type or value");
    else {
        log_greeted(session, &hello);
        uint32_t keepalive_s = granted_keepalive_s(session->env->settings, &hello);
        require(session, welcome(session, keepalive_s));
        session_opened(session, keepalive_s * 1000);
    }
}

/* ---- serving -------------------------------------------------------------------------------------------- */

static void serve_pub(struct session *session, struct cursor body, uint32_t count)
{
    struct native_pub pub;
    const char *text = NULL;
    enum err e = native_decode_pub(body, count, &pub);
    if (!decoded(session, e, pub.id, "PUB"))
        return;
    e = publish_add(session, &pub, &text);
    if (e == ERR_TRUNCATED)
        session_unread_frame(session);
    else if (e)
        answer_err(session, pub.id, e, text);
}

static void serve_sub(struct session *session, struct cursor body, uint32_t count)
{
    struct native_sub sub;
    const char *text = NULL;
    if (session->env->crowded) {
        session->sub_held = true;
        session_unread_frame(session);
        return;
    }
    enum err e = native_decode_sub(body, count, &sub);
    if (!decoded(session, e, sub.id, "SUB"))
        return;
    e = subscribe_add(session, &sub, &text);
    if (e)
        answer_err(session, sub.id, e, text);
}

static void serve_unsub(struct session *session, struct cursor body, uint32_t count)
{
    struct native_unsub unsub;
    enum err e = native_decode_unsub(body, count, &unsub);
    if (!decoded(session, e, unsub.id, "UNSUB"))
        return;
    e = subscribe_remove(session, unsub.filter);
    if (e)
        answer_err(session, unsub.id, e, NULL);
    else if (unsub.id != 0)
        answer_ok(session, unsub.id);
}

static void serve_unsupported(struct session *session, uint32_t op, struct cursor body, uint32_t count)
{
    uint64_t id = 0;
    if ((op == NATIVE_HISTORY || op == NATIVE_PRESENCE) && native_decode_id(body, count, &id)) {
        fault(session, ERR_PROTOCOL, sessions_text(session->env, "malformed %s frame", native_op_name(op)));
        return;
    }
    answer_err(session, id, ERR_UNSUPPORTED,
               sessions_text(session->env, "%s is not supported by this version", native_op_name(op)));
}

/* Everything but PUB. What was published before takes effect before. */
static void serve_request(struct session *session, uint32_t op, struct cursor body, uint32_t count)
{
    publish_finish(session);
    switch (op) {
    case NATIVE_SUB:
        serve_sub(session, body, count);
        break;
    case NATIVE_UNSUB:
        serve_unsub(session, body, count);
        break;
    case NATIVE_PING:
        require(session, push_answer(session, native_encode_pong(blank_answer(session))));
        break;
    case NATIVE_PONG:
        break; /* heard, which is all that was asked */
    case NATIVE_HELLO:
        fault(session, ERR_PROTOCOL, "a second HELLO");
        break;
    case NATIVE_ACK:
    case NATIVE_NACK:
    case NATIVE_HISTORY:
    case NATIVE_PRESENCE:
        serve_unsupported(session, op, body, count);
        break;
    default:
        answer_err(session, 0, ERR_UNKNOWN_OP, NULL); /* whether it has an id, and where, nobody knows */
    }
}

static void serve(struct session *session)
{
    uint32_t op, count;
    struct cursor body;
    if (native_open(session->frame, &op, &count, &body))
        fault(session, ERR_PROTOCOL, "malformed frame");
    else if (op == NATIVE_PUB)
        serve_pub(session, body, count);
    else
        serve_request(session, op, body, count);
}

static bool next_request(struct session *session)
{
    if (session->phase >= SESSION_LEAVING)
        return true;
    return session_may_serve(session) && session_next_frame(session, (size_t)session->env->limits->max_frame);
}

static void run(struct session *session)
{
    CORO_BEGIN(&session->coro);
    CORO_AWAIT(&session->coro,
               session_next_frame(session, (size_t)session->env->limits->max_frame_before_hello));
    greet(session);
    while (session->phase == SESSION_OPEN) {
        CORO_AWAIT(&session->coro, next_request(session));
        if (session->phase == SESSION_OPEN)
            serve(session);
    }
    CORO_END(&session->coro);
}

/* ---- while a publish is held back ----------------------------------------------------------------------- */

/* Serves a frame that must not wait behind a held-back publish; false: it can. */
static bool serve_held(struct session *session, struct span frame, uint32_t at)
{
    uint32_t op, count;
    struct cursor body;
    if (native_open(frame, &op, &count, &body))
        return false;
    struct stash *stash = session->stash;
    if (op == NATIVE_SUB && stash->sub_at == UINT32_MAX)
        stash->sub_at = at;
    bool overtakes_sub = stash->sub_at != UINT32_MAX; /* which may be of the same filter */
    if (op != NATIVE_PING && (op != NATIVE_UNSUB || overtakes_sub))
        return false;
    serve_request(session, op, body, count);
    return true;
}

/* A client whose publish waits for a subscriber must still be able to leave a topic, and hear that the broker lives. What
 * is served is taken out of the stash; the rest keeps its order. Each frame is looked at once, however often the client
 * is held back before its turn comes. */
static void run_held(struct session *session)
{
    struct stash *stash = session->stash;
    if (!stash)
        return;
    stash_resume_search(stash);
    uint32_t keep = stash->searched;
    struct span rest = span_of(stash->data + keep, stash->len - keep), frame;
    size_t need, max = (size_t)session->env->limits->max_frame;
    for (const uint8_t *pair = rest.data; !native_next_frame(&rest, max, &frame, &need); pair = rest.data) {
        if (serve_held(session, frame, keep)) {
            if (session->phase != SESSION_OPEN)
                return; /* the stash is gone */
            continue;
        }
        memmove(stash->data + keep, pair, NATIVE_SIZE_BYTES + frame.len);
        keep += (uint32_t)(NATIVE_SIZE_BYTES + frame.len);
    }
    memmove(stash->data + keep, rest.data, rest.len);
    stash->searched = keep;
    stash->len = keep + (uint32_t)rest.len;
}

/* ---- of its own accord ---------------------------------------------------------------------------------- */

static enum err farewell(struct session *session, enum err reason, const char *text, uint32_t after_ms)
{
    struct native_bye bye = {
        .code = span_str(err_name(reason)), .text = span_str(text), .reconnect_after_ms = after_ms};
    return push_answer(session, native_encode_bye(blank_answer(session), &bye));
}

static enum err probe(struct session *session)
{
    return push_answer(session, native_encode_ping(blank_answer(session)));
}

const struct session_protocol session_native = {
    .name = "sluice.v1",
    .encoder = &encoder_native,
    .run = run,
    .run_held = run_held,
    .farewell = farewell,
    .probe = probe,
};
