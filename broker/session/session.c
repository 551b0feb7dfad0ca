#include "broker/session/session.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/log.h"
#include "broker/memory.h"
#include "broker/session/sessions.h"
#include "broker/session/snapshot.h"

/* ---- opening and ending --------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer);

static uint64_t now_of(const struct session *session)
{
    return *session->env->now_ms;
}

static void arm(struct session *session, uint64_t due_ms)
{
    timer_start(session->env->wheel, &session->timer, due_ms);
}

struct session *session_open(struct sessions *env, struct transport *transport,
                             const struct session_protocol *protocol)
{
    struct session *session = memory_alloc(sizeof *session, 0);
    if (!session)
        return NULL;
    *session = (struct session){.env = env, .protocol = protocol, .id = env->next_id++};
    outbox_init(&session->outbox, env->delivery, transport, protocol->encoder);
    session->next = env->first;
    if (env->first)
        env->first->prev = session;
    env->first = session;
    env->count++;
    env->stats.opened++;
    session->heard_ms = session->acted_ms = now_of(session);
    session->timer.fire = on_timer;
    arm(session, now_of(session) + env->settings->hello_timeout);
    session->protocol->run(session);
    return session;
}

static void unlink_session(struct session *session)
{
    struct sessions *env = session->env;
    *(session->prev ? &session->prev->next : &env->first) = session->next;
    if (session->next)
        session->next->prev = session->prev;
    env->count--;
    env->stats.closed++;
}

/* Lets go of everything but the memory, which a caller further up may still look at. */
static void let_go(struct session *session)
{
    struct sessions *env = session->env;
    assert(session->phase != SESSION_GONE && env->run.session != session);
    session->phase = SESSION_GONE;
    timer_stop(env->wheel, &session->timer);
    if (session->hold)
        hold_abandon(session->hold);
    subscribe_discard_all(session);
    outbox_fini(&session->outbox);
    subscribe_free_all(session);
    stash_drop(&session->stash, env->inbound);
    session->input = (struct span){0};
    unlink_session(session);
    sessions_look_at(session);
}

void session_end(struct session *session, bool lost)
{
    if (session->phase == SESSION_GONE)
        return;
    struct transport *transport = session->outbox.transport;
    let_go(session);
    transport->ops->close(transport, lost);
}

void session_lost(struct session *session)
{
    if (session->phase == SESSION_GONE)
        return;
    publish_finish(session);
    let_go(session);
}

/* What a peer did wrong is worth a line; that it went, or that we stop, is not. */
static void log_leaving(const struct session *session, enum err reason, const char *text)
{
    bool ordinary = reason == ERR_SHUTDOWN || reason == ERR_CLOSED;
    if (!log_wants(ordinary ? LOG_DEBUG : LOG_INFO))
        return;
    const struct transport *transport = session->outbox.transport;
    char peer[SESSION_PEER_TEXT] = "?";
    transport->ops->peer(transport, peer, sizeof peer);
    if (ordinary)
        log_event(LOG_DEBUG, "connection closed", LOG_U("session", session->id), LOG_S("peer", peer),
                  LOG_S("code", err_name(reason)));
    else
        log_event(LOG_INFO, "connection closed by the broker", LOG_U("session", session->id),
                  LOG_S("peer", peer), LOG_S("code", err_name(reason)), LOG_S("text", text));
}

void session_leave(struct session *session, enum err reason, const char *text, uint32_t after_ms)
{
    if (session->phase >= SESSION_LEAVING)
        return;
    struct sessions *env = session->env;
    publish_finish(session);
    session->phase = SESSION_LEAVING;
    if (session->hold)
        hold_give_up(session->hold);
    session->input = (struct span){0};
    stash_drop(&session->stash, env->inbound);
    subscribe_end_all(session);
    if (session->outbox.verdict != OUTBOX_GOOD)
        outbox_abandon(&session->outbox);
    log_leaving(session, reason, text);
    if (session->protocol->farewell(session, reason, text, after_ms))
        delivery_condemn(env->delivery, &session->outbox, OUTBOX_LOST);
    session->outbox.awaited = true;
    arm(session,
        now_of(session) + (env->draining ? env->settings->drain_window : env->settings->close_timeout));
    sessions_look_at(session);
}

void session_look(struct session *session)
{
    if (session->phase != SESSION_LEAVING) {
        if (session->paused && session_may_serve(session))
            session_resume(session);
        if (session->phase == SESSION_OPEN && session->snapshots)
            snapshots_go_on(session);
    } else if (session->outbox.verdict == OUTBOX_LOST)
        session_end(session, true);
    else if (outbox_empty(&session->outbox))
        session_end(session, false);
}

/* ---- deadlines ------------------------------------------------------------------------------------------ */

static uint64_t nearest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The client's silence: first a question, half a keep-alive later the end. A publisher that is held back cannot talk, and
 * is not to blame. Returns when to look again. */
static uint64_t watch_keepalive(struct session *session)
{
    uint64_t alive = session->keepalive_ms;
    if (alive == 0)
        return UINT64_MAX;
    if (session->hold)
        session->heard_ms = now_of(session);
    uint64_t silent = now_of(session) - session->heard_ms;
    if (silent >= alive + alive / 2) {
        session->env->stats.timeouts++;
        session_leave(session, ERR_KEEPALIVE, err_text(ERR_KEEPALIVE), 0);
        return UINT64_MAX;
    }
    if (silent < alive)
        return session->heard_ms + alive;
    if (!session->probed && session->protocol->probe(session))
        delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
    session->probed = true;
    return session->heard_ms + alive + alive / 2;
}

static uint64_t watch_idling(struct session *session)
{
    uint64_t timeout = session->env->settings->idle_timeout;
    if (timeout == 0 || session->phase != SESSION_OPEN)
        return UINT64_MAX;
    if (session->sub_count > 0 || session->hold)
        return now_of(session) + timeout;
    if (now_of(session) - session->acted_ms < timeout)
        return session->acted_ms + timeout;
    session->env->stats.timeouts++;
    session_leave(session, ERR_TIMEOUT,
                  "neither published nor subscribed for longer than session.idle_timeout", 0);
    return UINT64_MAX;
}

static void watch(struct session *session)
{
    uint64_t due = nearest(watch_keepalive(session), watch_idling(session));
    if (session->phase == SESSION_OPEN && due != UINT64_MAX)
        arm(session, due);
}

static void on_timer(struct timer *timer)
{
    struct session *session = (struct session *)(void *)((char *)timer - offsetof(struct session, timer));
    switch ((enum session_phase)session->phase) {
    case SESSION_GREETING:
        session->env->stats.timeouts++;
        session_leave(session, ERR_TIMEOUT, "no HELLO within session.hello_timeout", 0);
        break;
    case SESSION_OPEN:
        watch(session);
        break;
    case SESSION_LEAVING:
        session_end(session, true);
        break;
    case SESSION_GONE:
        break;
    }
}

void session_opened(struct session *session, uint32_t keepalive_ms)
{
    session->phase = SESSION_OPEN;
    session->keepalive_ms = keepalive_ms;
    timer_stop(session->env->wheel, &session->timer);
    watch(session);
}

/* ---- input ---------------------------------------------------------------------------------------------- */

static void fault(struct session *session, enum err reason, const char *text)
{
    session->env->stats.faults++;
    session_leave(session, reason, text, 0);
}

static void cut_failed(struct session *session, enum err reason)
{
    if (reason != ERR_TOO_LARGE)
        fault(session, ERR_PROTOCOL, "a frame must begin with its size: 0xce and four bytes, not zero");
    else if (session->phase == SESSION_GREETING)
        fault(session, ERR_TOO_LARGE, "frame larger than limits.max_frame_before_hello");
    else
        fault(session, ERR_TOO_LARGE, "frame larger than limits.max_frame");
}

static bool keep(struct session *session, struct span bytes, size_t want)
{
    enum err e = stash_append(&session->stash, session->env->inbound, bytes, want);
    if (e == ERR_NONE)
        return true;
    fault(session, e == ERR_LIMIT ? ERR_TOO_LARGE : e,
          e == ERR_LIMIT ? "more unfinished input than limits.inbound_per_connection"
                         : "the broker holds as much unfinished input as limits.inbound_total allows");
    return false;
}

/* From the stash, which is first completed with as much of the input as the frame at its front needs. */
static bool next_stashed(struct session *session, size_t frame_max)
{
    for (;;) {
        struct span rest = stash_rest(session->stash), at = rest;
        size_t need = 0;
        enum err e = native_next_frame(&at, frame_max, &session->frame, &need);
        if (e == ERR_NONE) {
            session->stash->at += (uint32_t)(rest.len - at.len);
            session->frame_stashed = true;
            return true;
        }
        if (e != ERR_TRUNCATED) {
            cut_failed(session, e);
            return false;
        }
        if (session->input.len == 0)
            return false;
        size_t take = need - rest.len < session->input.len ? need - rest.len : session->input.len;
        if (!keep(session, span_of(session->input.data, take), need))
            return false;
        session->input.data += take;
        session->input.len -= take;
    }
}

bool session_next_frame(struct session *session, size_t frame_max)
{
    if (session->phase >= SESSION_LEAVING)
        return false;
    if (session->stash && session->stash->at == session->stash->len)
        stash_drop(&session->stash, session->env->inbound);
    if (session->stash)
        return next_stashed(session, frame_max);
    if (session->input.len == 0)
        return false;
    size_t need = 0;
    enum err e = native_next_frame(&session->input, frame_max, &session->frame, &need);
    session->frame_stashed = false;
    if (e == ERR_NONE)
        return true;
    if (e != ERR_TRUNCATED) {
        cut_failed(session, e);
        return false;
    }
    if (!keep(session, session->input, need))
        return false;
    session->input = (struct span){0};
    return false;
}

void session_unread_frame(struct session *session)
{
    size_t pair = NATIVE_SIZE_BYTES + session->frame.len;
    if (session->frame_stashed) {
        session->stash->at -= (uint32_t)pair;
    } else {
        session->input.data -= pair;
        session->input.len += pair;
    }
}

bool session_may_serve(const struct session *session)
{
    return !session->hold && !session->sub_held &&
           session->outbox.control_bytes <= session->env->limits->control_backlog;
}

/* Reading stops while requests cannot be served, and starts again with the wait's end. */
static void set_paused(struct session *session)
{
    bool paused = session->phase <= SESSION_OPEN && !session_may_serve(session);
    if (paused == session->paused)
        return;
    session->paused = session->outbox.awaited = paused;
    struct transport *transport = session->outbox.transport;
    transport->ops->pause_reading(transport, paused);
}

void session_resume(struct session *session)
{
    if (session->phase >= SESSION_LEAVING)
        return;
    bool stopped;
    do { /* routing the last run may flush the very answers for which serving stopped */
        session->protocol->run(session);
        stopped = !session_may_serve(session);
        publish_finish(session);
        if (session->phase >= SESSION_LEAVING)
            return;
    } while (stopped && session_may_serve(session));
    if (session->input.len > 0 && !keep(session, session->input, 0))
        return;
    session->input = (struct span){0};
    if (session->hold)
        session->protocol->run_held(session);
    set_paused(session);
}

void session_input(struct session *session, struct span bytes)
{
    if (session->phase >= SESSION_LEAVING)
        return;
    session->heard_ms = now_of(session);
    session->probed = false;
    session->input = bytes;
    session_resume(session);
}

void session_writable(struct session *session)
{
    if (session->phase == SESSION_GONE)
        return;
    outbox_flush(&session->outbox);
    if (session->paused && session_may_serve(session))
        session_resume(session);
    if (session->snapshots)
        sessions_look_at(session);
}

void session_peer_finished(struct session *session)
{
    session_leave(session, ERR_CLOSED, "goodbye", 0);
}

void session_refuse(struct session *session, enum err reason, const char *text)
{
    if (session->phase < SESSION_LEAVING)
        fault(session, reason, text);
}
