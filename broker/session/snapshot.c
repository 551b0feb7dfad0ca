#include "broker/session/snapshot.h"

#include <string.h>

#include <uthash.h>

#include "broker/memory.h"
#include "broker/session/sessions.h"
#include "proto/native_reply.h"
#include "proto/topic.h"

/* A value that went before its turn, because a live message of its topic came. */
struct told {
    UT_hash_handle hh;
    uint64_t arrival; /* which names the value */
};

struct snapshot {
    struct snapshot *next;      /* of the session, in the order of the SUBs */
    struct session_sub *record; /* borrows */
    uint64_t arrival;           /* the table's at the SUB */
    uint64_t turn;              /* delivery's, of the latest slice */
    struct told *told;          /* owns */
    bool answered;
    uint8_t *seen; /* owns: the topic that was visited last; NULL: none yet */
    size_t seen_len, seen_cap;
};

static struct retained_table *table_of(const struct snapshot *snapshot)
{
    return &snapshot->record->session->env->router->retained;
}

static struct span seen_of(const struct snapshot *snapshot)
{
    return span_of(snapshot->seen, snapshot->seen_len);
}

static struct span filter_of(const struct snapshot *snapshot)
{
    return subscription_filter(&snapshot->record->route.sub);
}

/* ---- where it is ---------------------------------------------------------------------------------------- */

static bool remember_seen(struct snapshot *snapshot, struct span topic)
{
    if (topic.len > snapshot->seen_cap) {
        uint8_t *seen = memory_resize(snapshot->seen, snapshot->seen_cap, topic.len);
        if (!seen)
            return false;
        snapshot->seen = seen;
        snapshot->seen_cap = topic.len;
    }
    memcpy(snapshot->seen, topic.data, topic.len);
    snapshot->seen_len = topic.len;
    return true;
}

/* Whether the walk has come past the topic: it goes by the order of bytes. */
static bool has_passed(const struct snapshot *snapshot, struct span topic)
{
    if (!snapshot->seen)
        return false;
    size_t len = topic.len < snapshot->seen_len ? topic.len : snapshot->seen_len;
    int order = memcmp(topic.data, snapshot->seen, len);
    return order < 0 || (order == 0 && topic.len <= snapshot->seen_len);
}

static bool was_told(const struct snapshot *snapshot, const struct retained *value)
{
    struct told *told = NULL;
    HASH_FIND(hh, snapshot->told, &value->arrival, sizeof value->arrival, told);
    return told != NULL;
}

/* Whether the snapshot has this value still to send. */
static bool owes(const struct snapshot *snapshot, const struct retained *value)
{
    return value->chunk && value->arrival <= snapshot->arrival && !was_told(snapshot, value) &&
           filter_matches(filter_of(snapshot), value->topic);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

/* Passes over entries at the front that the filter does not match, as far as one slice may look; false at the end: there
 * is nothing to send. */
static bool find_first(struct snapshot *snapshot, bool *out_of_memory)
{
    struct retained *entry = retained_next(table_of(snapshot), filter_of(snapshot), seen_of(snapshot));
    for (int visits = 0; entry && visits < SNAPSHOT_VISITS; visits++) {
        if (owes(snapshot, entry))
            return true;
        if (!remember_seen(snapshot, entry->topic)) {
            *out_of_memory = true;
            return false;
        }
        entry = retained_next(table_of(snapshot), filter_of(snapshot), seen_of(snapshot));
    }
    return entry != NULL;
}

static void snapshot_free(struct snapshot *snapshot)
{
    struct told *told, *next;
    HASH_ITER(hh, snapshot->told, told, next)
    {
        HASH_DEL(snapshot->told, told);
        memory_free(told, sizeof *told);
    }
    if (snapshot->seen)
        memory_free(snapshot->seen, snapshot->seen_cap);
    memory_free(snapshot, sizeof *snapshot);
}

enum err snapshot_open(struct session_sub *record, struct snapshot **out)
{
    struct session *session = record->session;
    struct retained_table *table = &session->env->router->retained;
    *out = NULL;
    if (table->values == 0)
        return ERR_NONE;
    struct snapshot *snapshot = memory_alloc(sizeof *snapshot, 0);
    if (!snapshot)
        return ERR_NO_MEMORY;
    *snapshot = (struct snapshot){.record = record, .arrival = table->arrival};
    bool out_of_memory = false;
    if (!find_first(snapshot, &out_of_memory)) {
        snapshot_free(snapshot);
        return out_of_memory ? ERR_NO_MEMORY : ERR_NONE;
    }
    struct snapshot **at = &session->snapshots;
    while (*at)
        at = &(*at)->next;
    *at = snapshot;
    session->outbox.catching_up = true;
    *out = snapshot;
    return ERR_NONE;
}

void snapshot_answered(struct snapshot *snapshot)
{
    struct session *session = snapshot->record->session;
    snapshot->answered = true;
    sessions_look_at(session);
}

void snapshot_close(struct snapshot *snapshot)
{
    struct session *session = snapshot->record->session;
    struct snapshot **at = &session->snapshots;
    while (*at != snapshot)
        at = &(*at)->next;
    *at = snapshot->next;
    snapshot->record->snapshot = NULL;
    session->outbox.catching_up = session->snapshots != NULL;
    snapshot_free(snapshot);
}

/* ---- sending -------------------------------------------------------------------------------------------- */

static void push_value(struct snapshot *snapshot, const struct retained *value)
{
    struct session *session = snapshot->record->session;
    struct run run = retained_run(value);
    session->env->router->matched++;
    outbox_push(&session->outbox, &snapshot->record->route.sub, &run);
}

void snapshots_precede(struct session *session, struct span topic)
{
    const struct retained *value = retained_find(&session->env->router->retained, topic);
    for (struct snapshot *snapshot = session->snapshots; snapshot && value; snapshot = snapshot->next) {
        if (has_passed(snapshot, topic) || !owes(snapshot, value))
            continue;
        struct told *told = memory_alloc(sizeof *told, 0);
        if (!told) {
            delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
            return;
        }
        told->arrival = value->arrival;
        HASH_ADD(hh, snapshot->told, arrival, sizeof told->arrival, told);
        push_value(snapshot, value);
    }
}

/* All values have been sent. */
static void finish(struct snapshot *snapshot)
{
    struct session *session = snapshot->record->session;
    struct native_event live = {.kind = span_str("live"), .topic = filter_of(snapshot)};
    struct wire_buf *answer = &session->env->answer;
    answer->len = 0;
    if (native_encode_event(answer, &live) ||
        outbox_push_control(&session->outbox, answer->data, (uint32_t)answer->len, 1))
        delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
    snapshot_close(snapshot);
}

/* As much as may be sent at a time. False: the snapshot is over. */
static bool send_slice(struct snapshot *snapshot)
{
    struct session *session = snapshot->record->session;
    const struct subscription *sub = &snapshot->record->route.sub;
    uint32_t bytes = 0, values = 0, room = sub->queue > sub->queued ? sub->queue - sub->queued : 0;
    for (int visits = 0; visits < SNAPSHOT_VISITS && bytes < SNAPSHOT_BYTES && values < room; visits++) {
        struct retained *entry = retained_next(table_of(snapshot), filter_of(snapshot), seen_of(snapshot));
        if (!entry)
            return false;
        if (!remember_seen(snapshot, entry->topic)) {
            delivery_condemn(session->env->delivery, &session->outbox, OUTBOX_LOST);
            return true;
        }
        if (!owes(snapshot, entry))
            continue;
        push_value(snapshot, entry);
        bytes += entry->len;
        values++;
    }
    return true;
}

static struct snapshot *next_answered(const struct session *session)
{
    struct snapshot *snapshot = session->snapshots;
    while (snapshot && !snapshot->answered)
        snapshot = snapshot->next;
    return snapshot;
}

void snapshots_go_on(struct session *session)
{
    struct delivery *delivery = session->env->delivery;
    struct snapshot *snapshot = next_answered(session);
    if (!snapshot || outbox_bytes(&session->outbox) > SNAPSHOT_WAITING)
        return;
    if (snapshot->turn != delivery->turn) {
        snapshot->turn = delivery->turn;
        if (!send_slice(snapshot))
            finish(snapshot);
    }
    if (session->outbox.verdict == OUTBOX_GOOD && next_answered(session) && !outbox_blocked(&session->outbox))
        sessions_look_at(session);
}
