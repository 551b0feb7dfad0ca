#include "broker/session/hold.h"

#include <string.h>

#include "broker/memory.h"
#include "broker/session/sessions.h"

static size_t hold_bytes(const struct hold *hold)
{
    return sizeof *hold + hold->topic_len + hold->oks_len;
}

struct hold *hold_open(struct session *session, struct span topic, struct span oks, uint32_t ok_count)
{
    struct sessions *env = session->env;
    struct hold *hold = memory_alloc(sizeof *hold + topic.len + oks.len, 0);
    if (!hold)
        return NULL;
    *hold = (struct hold){.next = env->holds.first,
                          .env = env,
                          .session = session,
                          .topic_len = (uint32_t)topic.len,
                          .oks_len = (uint32_t)oks.len,
                          .ok_count = ok_count};
    memcpy(hold->bytes, topic.data, topic.len);
    if (oks.len > 0)
        memcpy(hold->bytes + topic.len, oks.data, oks.len);
    if (hold->next)
        hold->next->prev = hold;
    env->holds.first = hold;
    session->hold = hold;
    return hold;
}

static void hold_free(struct hold *hold)
{
    *(hold->prev ? &hold->prev->next : &hold->env->holds.first) = hold->next;
    if (hold->next)
        hold->next->prev = hold->prev;
    memory_free(hold, hold_bytes(hold));
}

void hold_check(struct hold *hold)
{
    if (hold->ready || hold->local.waiter.blocking || hold->verdicts > 0 || hold->congested)
        return;
    hold->ready = true;
    hold->ready_next = hold->env->holds.ready;
    hold->env->holds.ready = hold;
}

void hold_verdict(uint64_t token)
{
    struct hold *hold = (struct hold *)(uintptr_t)token;
    hold->verdicts--;
    hold_check(hold);
}

void holds_uncongested(struct holds *holds)
{
    for (struct hold *hold = holds->first; hold; hold = hold->next) {
        hold->congested = false;
        hold_check(hold);
    }
}

/* The session has nothing to do with it any more; it stays until the last verdict has come. */
static void orphan(struct hold *hold)
{
    hold->session->hold = NULL;
    hold->session = NULL;
    hold->congested = false;
    blocking_leave(&hold->local.waiter);
    hold_check(hold);
}

static void answer(struct hold *hold)
{
    struct outbox *outbox = &hold->session->outbox;
    if (hold->oks_len > 0 &&
        outbox_push_control(outbox, hold->bytes + hold->topic_len, hold->oks_len, hold->ok_count))
        delivery_condemn(outbox->delivery, outbox, OUTBOX_LOST);
}

void hold_give_up(struct hold *hold)
{
    answer(hold);
    orphan(hold);
}

void hold_abandon(struct hold *hold)
{
    orphan(hold);
}

/* Room again, but somebody else may have used it, or another subscriber be full: look once more. */
static void go_on(struct hold *hold)
{
    struct session *session = hold->session;
    if (!session) {
        hold_free(hold);
        return;
    }
    struct span topic = span_of(hold->bytes, hold->topic_len);
    struct subscription *full = router_find_full(hold->env->router, topic, &session->outbox);
    if (full) {
        blocking_wait(full, &hold->local.waiter);
        return;
    }
    answer(hold);
    session->hold = NULL;
    hold_free(hold);
    session_resume(session);
}

bool holds_go_on(struct holds *holds)
{
    struct hold *ready = holds->ready;
    holds->ready = NULL;
    bool any = ready != NULL;
    while (ready) {
        struct hold *hold = ready;
        ready = hold->ready_next;
        hold->ready = false;
        go_on(hold);
    }
    return any;
}

void holds_fini(struct holds *holds)
{
    while (holds->first)
        hold_free(holds->first);
    holds->ready = NULL;
}
