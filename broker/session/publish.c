#include "broker/session/publish.h"

#include <assert.h>

#include "broker/session/sessions.h"
#include "proto/native_reply.h"
#include "proto/topic.h"

/* ---- judging -------------------------------------------------------------------------------------------- */

static bool reserved(struct span topic)
{
    static const char *const names[] = {"$SYS", "$share"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        if (topic.len >= len && memcmp(topic.data, names[i], len) == 0 &&
            (topic.len == len || topic.data[len] == '/'))
            return true;
    }
    return false;
}

static enum err judge_topic(const struct sessions *env, struct span topic, const char **text)
{
    enum err e = topic_check(topic, (size_t)env->limits->max_topic);
    if (e == ERR_TOO_LARGE)
        *text = "topic longer than limits.max_topic";
    else if (e)
        *text = "a topic is UTF-8, not empty, without control characters, + and #";
    else if (reserved(topic))
        *text = "topics below $SYS and $share are the broker's own";
    else
        return ERR_NONE;
    return e ? e : ERR_DENIED;
}

static enum err judge_payload(const struct sessions *env, const struct match *match,
                              const struct native_pub *pub, const char **text)
{
    bool ruled = match->rule && match->rule->max_payload;
    if (pub->payload.len <= (ruled ? match->rule->max_payload : env->limits->max_payload))
        return ERR_NONE;
    *text = ruled ? "payload larger than the topic's rule allows" : "payload larger than limits.max_payload";
    return ERR_TOO_LARGE;
}

static enum err judge_rate(struct session *session, const char **text)
{
    const struct limits_settings *limits = session->env->limits;
    if (limits->publish_rate == 0)
        return ERR_NONE;
    uint64_t burst = limits->publish_burst ? limits->publish_burst : limits->publish_rate;
    if (pace_take(&session->publishes, *session->env->now_ms, limits->publish_rate, burst))
        return ERR_NONE;
    *text = "more publishes than limits.publish_rate allows";
    return ERR_RATE_LIMITED;
}

static enum err judge_options(struct sessions *env, const struct native_pub *pub, const char **text)
{
    if (pub->unsupported) {
        *text = sessions_text(env, "option %s is not supported by this version", pub->unsupported);
        return ERR_UNSUPPORTED;
    }
    if (!(pub->flags & NATIVE_PUB_REPLY) ||
        topic_check(pub->reply, (size_t)env->limits->max_topic) == ERR_NONE)
        return ERR_NONE;
    *text = "reply is not a valid topic";
    return ERR_BAD_OPTION;
}

static enum err judge_audience(const struct match *match, const struct native_pub *pub, const char **text)
{
    if (!(pub->flags & NATIVE_PUB_REPLY) || pub->id == 0 || match->count > 0 || match->shards != 0)
        return ERR_NONE;
    *text = err_text(ERR_NO_RESPONDERS);
    return ERR_NO_RESPONDERS;
}

static enum err judge(struct session *session, const struct match *match, const struct native_pub *pub,
                      const char **text)
{
    enum err e = judge_payload(session->env, match, pub, text);
    if (!e)
        e = judge_rate(session, text);
    return e ? e : judge_audience(match, pub, text);
}

/* ---- the run -------------------------------------------------------------------------------------------- */

/* Notes the OK of a publish; made before the publish takes effect, because what has cannot be refused any more. */
static enum err note_ok(struct publish_run *open, uint64_t id)
{
    return id == 0 ? ERR_NONE : native_encode_ok(&open->oks, id);
}

/* Whether the publish continues the open run: the same topic, and room behind it in the chunk and in the batch. */
static bool continues(const struct publish_run *open, const struct session *session,
                      const struct native_pub *pub)
{
    if (open->session != session || pub->flags & NATIVE_PUB_RETAIN || !span_eq(open->topic, pub->topic) ||
        open->oks.len >= PUBLISH_OKS_MAX)
        return false;
    if (open->run.count == 0)
        return true;
    const struct delivery *delivery = session->env->delivery;
    size_t most = native_msg_bytes_max(pub);
    return open->run.len + most <= delivery->settings->batch && wire_log_room(&delivery->log) >= most;
}

static enum err open_run(struct session *session, const struct native_pub *pub, const char **text)
{
    struct sessions *env = session->env;
    enum err e = judge_topic(env, pub->topic, text);
    if (e)
        return e;
    struct match *match = router_match(env->router, pub->topic);
    if (!match)
        return ERR_NO_MEMORY;
    struct publish_run *open = &env->run;
    open->session = session;
    open->run = (struct run){0};
    open->topic = pub->topic;
    open->match = match;
    return ERR_NONE;
}

/* Writes the MSG to the end of the log, where it joins the run. */
static enum err append(struct session *session, const struct native_pub *pub)
{
    struct sessions *env = session->env;
    struct run *run = &env->run.run;
    struct chunk *chunk;
    uint32_t off;
    uint8_t *to = wire_log_reserve(&env->delivery->log, (uint32_t)native_msg_bytes_max(pub), &chunk, &off);
    if (!to)
        return ERR_NO_MEMORY;
    assert(run->count == 0 || (run->chunk == chunk && run->off + run->len == off));
    uint32_t len = (uint32_t)native_put_msg(to, pub, *env->unix_ms);
    wire_log_commit(&env->delivery->log, len);
    if (run->count == 0) {
        *run = (struct run){.chunk = chunk, .off = off};
        chunk_ref(&env->delivery->pool, chunk);
        env->run.topic = native_peek_msg(to).topic;
    }
    run->len += len;
    run->count++;
    run->meta |= (pub->flags & NATIVE_PUB_META) != 0;
    return ERR_NONE;
}

/* What the publish leaves behind, ready to be applied when it is routed. */
static enum err retain(struct session *session, const struct native_pub *pub, const char **text)
{
    struct publish_run *open = &session->env->run;
    if (open->match->rule && open->match->rule->unretained) {
        *text = "the topic's rule does not let a publish leave a retained value";
        return ERR_DENIED;
    }
    return retained_prepare(&session->env->router->retained, pub, &open->retained, text);
}

/* Nothing that was noted for the publish holds. */
static void take_back(struct publish_run *open, struct chunk_pool *pool, size_t oks)
{
    open->oks.len = oks;
    retained_discard(pool, open->retained, false);
    open->retained = NULL;
}

static enum err add_to_run(struct session *session, const struct native_pub *pub, const char **text)
{
    struct sessions *env = session->env;
    struct publish_run *open = &env->run;
    enum err e = judge(session, open->match, pub, text);
    if (e)
        return e;
    session->acted_ms = *env->now_ms;
    size_t oks = open->oks.len;
    e = note_ok(open, pub->id);
    if (!e && pub->flags & NATIVE_PUB_RETAIN)
        e = retain(session, pub, text);
    if (!e && (open->match->count > 0 || open->match->shards != 0 || open->retained))
        e = append(session, pub);
    else if (!e)
        env->router->published++;
    if (e)
        take_back(open, &env->delivery->pool, oks);
    else
        open->ok_count += pub->id != 0;
    return e;
}

enum err publish_add(struct session *session, const struct native_pub *pub, const char **text)
{
    struct publish_run *open = &session->env->run;
    enum err e = judge_options(session->env, pub, text);
    if (e)
        return e;
    if (!continues(open, session, pub)) {
        publish_finish(session);
        if (session->hold)
            return ERR_TRUNCATED;
        e = open_run(session, pub, text);
        if (e)
            return e;
    }
    e = add_to_run(session, pub, text);
    /* Without a frame in the log the topic is still that of the input, which the next frame may overwrite. */
    if (open->retained || (open->run.count == 0 && (session->frame_stashed || e)))
        publish_finish(session);
    return e;
}

/* ---- routing it ----------------------------------------------------------------------------------------- */

static void push_oks(struct session *session, const struct publish_run *open)
{
    struct outbox *outbox = &session->outbox;
    if (open->oks.len > 0 &&
        outbox_push_control(outbox, open->oks.data, (uint32_t)open->oks.len, open->ok_count))
        delivery_condemn(outbox->delivery, outbox, OUTBOX_LOST);
}

static void wait_for(struct hold *hold, const struct route_result *result)
{
    hold->verdicts = result->verdicts;
    hold->congested = result->congested;
    if (result->full)
        blocking_wait(result->full, &hold->local.waiter);
    hold_check(hold);
}

/* The answer is withheld where somebody must catch up first. Without memory for that nobody waits: the subscriber's
 * bound holds all the same. */
static void route(struct session *session, struct publish_run *open)
{
    struct sessions *env = session->env;
    struct span oks = span_of(open->oks.data, open->oks.len);
    bool may_block = open->match->rule && open->match->rule->block;
    struct hold *hold = NULL;
    if (may_block && open->match->shards != 0)
        hold = hold_open(session, open->topic, oks, open->ok_count);
    struct route_result result = router_publish(env->router, open->match, &open->run, &session->outbox,
                                                hold ? hold_token(hold) : 0, open->retained);
    open->retained = NULL;
    if (!hold && (result.full || result.congested))
        hold = hold_open(session, open->topic, oks, open->ok_count);
    if (hold)
        wait_for(hold, &result);
    else
        push_oks(session, open);
    chunk_unref(&env->delivery->pool, open->run.chunk);
}

void publish_finish(struct session *session)
{
    struct publish_run *open = &session->env->run;
    if (open->session != session)
        return;
    open->session = NULL;
    if (open->run.count > 0)
        route(session, open);
    else
        push_oks(session, open);
    open->oks.len = 0;
    open->ok_count = 0;
}
