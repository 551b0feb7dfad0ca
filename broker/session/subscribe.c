#include "broker/session/subscribe.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/delivery/blocking.h"
#include "broker/delivery/rate.h"
#include "broker/memory.h"
#include "broker/session/sessions.h"
#include "broker/session/snapshot.h"
#include "proto/native_reply.h"
#include "proto/topic.h"

enum { BUCKETS_AT_FIRST = 64 };

/* The OK of a SUB while other shards have not confirmed. */
struct subscribe_wait {
    struct interest_wait interest; /* first */
    struct session_sub *record;    /* borrows */
    uint32_t len;
    uint8_t ok[];
};

static struct session_sub *record_of(struct subscription *sub)
{
    return (struct session_sub *)(void *)((char *)sub - offsetof(struct session_sub, route.sub));
}

static size_t record_bytes(const struct session_sub *record)
{
    return sizeof *record + record->route.sub.filter_len;
}

/* ---- the table ------------------------------------------------------------------------------------------ */

static uint64_t hash_of(const struct session *session, struct span filter)
{
    return XXH3_64bits_withSeed(filter.data, filter.len, session->id);
}

static struct session_sub **bucket_of(const struct sub_table *table, const struct session *session,
                                      struct span filter)
{
    return &table->buckets[hash_of(session, filter) & table->mask];
}

static struct session_sub *table_find(const struct sub_table *table, const struct session *session,
                                      struct span filter)
{
    if (table->count == 0)
        return NULL;
    struct session_sub *record = *bucket_of(table, session, filter);
    while (record &&
           !(record->session == session && span_eq(subscription_filter(&record->route.sub), filter)))
        record = record->lookup_next;
    return record;
}

static bool table_resize(struct sub_table *table, size_t buckets)
{
    struct sub_table next = {.mask = buckets - 1, .count = table->count};
    next.buckets = calloc(buckets, sizeof(struct session_sub *));
    if (!next.buckets)
        return false;
    for (size_t i = 0; table->buckets && i <= table->mask; i++) {
        struct session_sub *record = table->buckets[i];
        while (record) {
            struct session_sub *after = record->lookup_next;
            struct session_sub **bucket =
                bucket_of(&next, record->session, subscription_filter(&record->route.sub));
            record->lookup_next = *bucket;
            *bucket = record;
            record = after;
        }
    }
    free(table->buckets);
    *table = next;
    return true;
}

static bool table_insert(struct sub_table *table, struct session_sub *record)
{
    if (!table->buckets && !table_resize(table, BUCKETS_AT_FIRST))
        return false;
    if (table->count > table->mask)
        (void)table_resize(table, 2 * (table->mask + 1)); /* without memory the chains grow instead */
    struct session_sub **bucket = bucket_of(table, record->session, subscription_filter(&record->route.sub));
    record->lookup_next = *bucket;
    *bucket = record;
    table->count++;
    return true;
}

static void table_remove(struct sub_table *table, struct session_sub *record)
{
    struct session_sub **at = bucket_of(table, record->session, subscription_filter(&record->route.sub));
    while (*at != record)
        at = &(*at)->lookup_next;
    *at = record->lookup_next;
    table->count--;
}

void sub_table_fini(struct sub_table *table)
{
    assert(table->count == 0);
    free(table->buckets);
    table->buckets = NULL;
}

/* ---- one record ----------------------------------------------------------------------------------------- */

static struct session_sub *record_new(struct session *session, struct span filter)
{
    struct session_sub *record = memory_alloc(sizeof *record + filter.len, 0);
    if (!record)
        return NULL;
    *record = (struct session_sub){.session = session, .next = session->subs};
    memcpy(record->filter, filter.data, filter.len);
    record->route.sub = (struct subscription){
        .outbox = &session->outbox, .filter = record->filter, .filter_len = (uint32_t)filter.len};
    if (record->next)
        record->next->prev = record;
    session->subs = record;
    return record;
}

static void record_unlink(struct session_sub *record)
{
    *(record->prev ? &record->prev->next : &record->session->subs) = record->next;
    if (record->next)
        record->next->prev = record->prev;
}

static void record_free(struct session_sub *record)
{
    memory_free(record, record_bytes(record));
}

static bool record_live(const struct session_sub *record)
{
    return record->route.route.entry.node != NULL;
}

void subscribe_drained(struct subscription *sub)
{
    struct session_sub *record = record_of(sub);
    struct session *session = record->session;
    if (session->phase == SESSION_GONE)
        return; /* freed with the session */
    record_unlink(record);
    record->next = session->env->sub_dead;
    session->env->sub_dead = record;
}

void subscribe_free_dead(struct sessions *sessions)
{
    while (sessions->sub_dead) {
        struct session_sub *record = sessions->sub_dead;
        sessions->sub_dead = record->next;
        record_free(record);
    }
}

/* ---- the answer ----------------------------------------------------------------------------------------- */

static void push_answer(struct session *session, const uint8_t *ok, size_t len)
{
    if (outbox_push_control(&session->outbox, ok, (uint32_t)len, 1))
        delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
}

static void wait_free(struct session_sub *record)
{
    struct subscribe_wait *wait = record->wait;
    record->wait = NULL;
    interest_leave(&wait->interest);
    memory_free(wait, sizeof *wait + wait->len);
}

static void answer_waiting(struct session_sub *record)
{
    if (!record->wait)
        return;
    if (record->session->phase == SESSION_OPEN)
        push_answer(record->session, record->wait->ok, record->wait->len);
    wait_free(record);
    if (record->snapshot)
        snapshot_answered(record->snapshot);
}

void subscribe_ready(struct interest_wait *wait)
{
    answer_waiting(((struct subscribe_wait *)(void *)wait)->record);
}

static struct subscribe_wait *wait_new(struct session_sub *record, struct span ok)
{
    struct subscribe_wait *wait = memory_alloc(sizeof *wait + ok.len, 0);
    if (!wait)
        return NULL;
    *wait = (struct subscribe_wait){.record = record, .len = (uint32_t)ok.len};
    memcpy(wait->ok, ok.data, ok.len);
    return wait;
}

/* ---- judging -------------------------------------------------------------------------------------------- */

static enum err judge_filter(struct sessions *env, const struct native_sub *sub, const char **text)
{
    if (sub->unsupported) {
        *text = sessions_text(env, "option %s is not supported by this version", sub->unsupported);
        return ERR_UNSUPPORTED;
    }
    enum err e = filter_check(sub->filter, (size_t)env->limits->max_topic, (size_t)env->limits->max_levels);
    if (e == ERR_TOO_LARGE)
        *text = "filter longer than limits.max_topic";
    else if (e == ERR_LIMIT)
        *text = "filter with more levels than limits.max_levels";
    else if (e)
        *text = "a filter is UTF-8 without control characters; + stands for a level, # for the last ones";
    else if (filter_is_shared(sub->filter)) {
        *text = "queue groups ($share) are not supported by this version";
        return ERR_UNSUPPORTED;
    }
    return e;
}

static enum err judge_policy(struct sessions *env, struct native_sub *granted, const char **text)
{
    const struct topic_rule *rule = topic_rules_find_filter(env->rules, granted->filter);
    if (granted->max_hz > 0 && granted->policy != NATIVE_POLICY_DEFAULT &&
        granted->policy != NATIVE_POLICY_CONFLATE) {
        *text = "max_hz implies the policy conflate";
        return ERR_BAD_OPTION;
    }
    if (granted->policy == NATIVE_POLICY_BLOCK && !(rule && rule->block)) {
        *text = "no topic rule grants the policy block to this filter";
        return ERR_DENIED;
    }
    const struct delivery_settings *delivery = env->delivery->settings;
    if (granted->max_hz > 0)
        granted->policy = NATIVE_POLICY_CONFLATE;
    if (granted->policy == NATIVE_POLICY_DEFAULT)
        granted->policy = rule && rule->policy ? rule->policy : (enum native_policy)(delivery->policy + 1);
    if (granted->queue == 0)
        granted->queue = (uint32_t)(rule && rule->queue ? rule->queue : delivery->queue);
    if (granted->queue > SUBSCRIBE_QUEUE_MAX && granted->queue > delivery->queue)
        granted->queue = SUBSCRIBE_QUEUE_MAX;
    return ERR_NONE;
}

static enum err judge_number(const struct session *session, const struct session_sub *old, const char **text)
{
    if (old || session->sub_count < session->env->limits->subscriptions_per_connection)
        return ERR_NONE;
    *text = "as many subscriptions as limits.subscriptions_per_connection allows";
    return ERR_LIMIT;
}

/* ---- entering and leaving the index --------------------------------------------------------------------- */

/* Out of the index; what is queued still goes out, then subscribe_drained() is called. */
static void record_end(struct session_sub *record)
{
    struct session *session = record->session;
    answer_waiting(record);
    if (record->snapshot)
        snapshot_close(record->snapshot);
    table_remove(&session->env->subs, record);
    router_unsubscribe(session->env->router, &record->route);
    session->sub_count--;
    session->acted_ms = *session->env->now_ms;
    outbox_end_subscription(&record->route.sub);
}

/* Its OK is not sent yet. Sets `*must_wait` when subscribe_ready() will send it. */
static enum err enter(struct session_sub *record, struct span ok, bool *must_wait)
{
    struct session *session = record->session;
    struct sessions *env = session->env;
    struct subscribe_wait *wait = wait_new(record, ok);
    if (!wait || !table_insert(&env->subs, record)) {
        if (wait)
            memory_free(wait, sizeof *wait + wait->len);
        return ERR_NO_MEMORY;
    }
    record->wait = wait;
    enum err e = router_subscribe(env->router, &record->route, &wait->interest, must_wait);
    if (e) {
        table_remove(&env->subs, record);
        wait_free(record);
        return e;
    }
    session->sub_count++;
    return ERR_NONE;
}

static struct session_sub *grant(struct session *session, const struct native_sub *granted, enum err *e)
{
    struct session_sub *record = record_new(session, granted->filter);
    *e = ERR_NO_MEMORY;
    if (!record)
        return NULL;
    struct subscription *sub = &record->route.sub;
    sub->policy = (uint8_t)granted->policy;
    sub->queue = granted->queue;
    sub->prefixed = granted->has_tag;
    sub->tag = granted->tag;
    *e = granted->max_hz > 0 ? rate_start(sub, granted->max_hz) : ERR_NONE;
    if (*e == ERR_NONE)
        return record;
    record_unlink(record);
    record_free(record);
    return NULL;
}

/* The record has not been entered after all. */
static void record_drop(struct session_sub *record)
{
    if (record->snapshot)
        snapshot_close(record->snapshot);
    rate_discard(&record->route.sub);
    record_unlink(record);
    record_free(record);
}

/* Notes what is retained, puts the record into the index and answers; the one that it replaces goes. */
static enum err replace(struct session_sub *record, struct session_sub *old, struct native_sub *granted)
{
    struct sessions *env = record->session->env;
    bool must_wait = false;
    enum err e = snapshot_open(record, &record->snapshot);
    if (e)
        return e;
    granted->retained = record->snapshot != NULL;
    env->answer.len = 0;
    e = native_encode_ok_sub(&env->answer, granted);
    if (!e)
        e = enter(record, span_of(env->answer.data, env->answer.len), &must_wait);
    if (e)
        return e;
    if (old)
        record_end(old); /* before the OK: what it holds back belongs to the old one */
    if (!must_wait)
        answer_waiting(record);
    return ERR_NONE;
}

enum err subscribe_add(struct session *session, const struct native_sub *sub, const char **text)
{
    struct sessions *env = session->env;
    struct native_sub granted = *sub;
    struct session_sub *old = table_find(&env->subs, session, sub->filter);
    enum err e = judge_filter(env, sub, text);
    if (!e)
        e = judge_policy(env, &granted, text);
    if (!e)
        e = judge_number(session, old, text);
    if (e)
        return e;
    struct session_sub *record = grant(session, &granted, &e);
    if (!record)
        return e;
    /* What becomes independent or ceases to be is no longer first: what another filter still holds back for the topic
     * would come late. */
    bool same_place = old && old->route.sub.prefixed == granted.has_tag;
    record->route.sub.order = same_place ? old->route.sub.order : session->sub_order++;
    e = replace(record, old, &granted);
    if (e)
        record_drop(record);
    return e;
}

enum err subscribe_remove(struct session *session, struct span filter)
{
    struct session_sub *record = table_find(&session->env->subs, session, filter);
    if (!record)
        return ERR_NOT_SUBSCRIBED;
    record_end(record);
    return ERR_NONE;
}

/* ---- all of a session ----------------------------------------------------------------------------------- */

void subscribe_end_all(struct session *session)
{
    for (struct session_sub *record = session->subs, *next; record; record = next) {
        next = record->next;
        if (record_live(record))
            record_end(record);
    }
}

void subscribe_discard_all(struct session *session)
{
    struct sessions *env = session->env;
    for (struct session_sub *record = session->subs; record; record = record->next) {
        struct subscription *sub = &record->route.sub;
        if (record->wait)
            wait_free(record);
        if (record->snapshot)
            snapshot_close(record->snapshot);
        if (record_live(record)) {
            table_remove(&env->subs, record);
            router_unsubscribe(env->router, &record->route);
        }
        rate_discard(sub);
        sub->ended = true;
        if (sub->blocking)
            blocking_release(sub);
    }
    session->sub_count = 0;
}

void subscribe_free_all(struct session *session)
{
    while (session->subs) {
        struct session_sub *record = session->subs;
        session->subs = record->next;
        record_free(record);
    }
}
