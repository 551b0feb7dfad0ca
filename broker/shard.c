#include "broker/shard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/memory.h"
#include "broker/session/snapshot.h"
#include "broker/shard_mail.h"

enum {
    ROUNDS_PER_TURN =
        8, /* of flushing and acting on what came of it, in one turn; the rest is for the next */
    RELAY_AT_FIRST = 16,
    REPLANT_MS = 100 /* until what memory was short for is tried again */
};

/* Runs for a shard whose mailbox is at its bound, in order. Their publishers read nothing more until it is empty, so that
 * it holds at most what each had in hand. */
struct shard_relay {
    struct mail_publish *runs; /* owns */
    size_t first, count, cap;
    bool full; /* since when publishers are held back */
};

struct remote_wait {
    struct waiting waiting; /* first */
    struct shard *shard;    /* borrows */
    struct remote_wait *next, *prev;
    struct remote_wait *resumed_next;
    unsigned from;
    uint64_t token;
    size_t topic_len;
    uint8_t topic[];
};

/* ---- mail going out ------------------------------------------------------------------------------------- */

static bool stage(struct shard *shard, unsigned to, enum mail_kind kind, const union mail_body *body,
                  uint32_t charge)
{
    struct mail mail = {.kind = (uint16_t)kind};
    _Static_assert(sizeof *body <= sizeof mail.body, "a mail holds every body");
    memcpy(mail.body, body, sizeof *body);
    return mailbox_stage(shard->mailbox, to, &mail, charge);
}

static void stage_control(struct shard *shard, unsigned to, enum mail_kind kind, const union mail_body *body)
{
    bool fits = stage(shard, to, kind, body, 0);
    assert(fits);
}

static bool stage_publish(struct shard *shard, unsigned to, const struct mail_publish *publish)
{
    union mail_body body = {.publish = *publish};
    return stage(shard, to, MAIL_PUBLISH, &body, publish->len + (uint32_t)sizeof(struct mail));
}

static void relay_add(struct shard *shard, struct shard_relay *relay, const struct mail_publish *publish)
{
    if (relay->first + relay->count == relay->cap) {
        size_t cap = relay->cap ? 2 * relay->cap : RELAY_AT_FIRST;
        struct mail_publish *runs = memory_must(cap * sizeof *runs);
        if (relay->count > 0)
            memcpy(runs, relay->runs + relay->first, relay->count * sizeof *runs);
        free(relay->runs);
        *relay = (struct shard_relay){.runs = runs, .count = relay->count, .cap = cap, .full = relay->full};
    }
    relay->runs[relay->first + relay->count++] = *publish;
    if (!relay->full) {
        relay->full = true;
        shard->congested++;
    }
}

/* The reference of a local entry becomes one that travels. */
static void send_body(struct shard *shard, struct retained *retained)
{
    if (!retained || !retained->chunk)
        return;
    chunk_send(retained->chunk);
    chunk_unref(&shard->delivery.pool, retained->chunk);
}

static bool forward(void *context, unsigned to, const struct run *run, uint64_t token,
                    struct retained *retained)
{
    struct shard *shard = context;
    struct shard_relay *relay = &shard->relays[to];
    struct mail_publish publish = {.chunk = run->chunk,
                                   .token = token,
                                   .retained = retained,
                                   .off = run->off,
                                   .len = run->len,
                                   .count = run->count,
                                   .meta = run->meta};
    chunk_send(run->chunk);
    send_body(shard, retained);
    if (relay->count == 0 && stage_publish(shard, to, &publish))
        return true;
    relay_add(shard, relay, &publish);
    return false;
}

/* The other shard has worked off some of its mail. */
static void on_credit(void *context, unsigned to)
{
    struct shard *shard = context;
    struct shard_relay *relay = &shard->relays[to];
    while (relay->count > 0 && stage_publish(shard, to, &relay->runs[relay->first])) {
        relay->first++;
        relay->count--;
    }
    if (relay->count > 0 || !relay->full)
        return;
    free(relay->runs);
    *relay = (struct shard_relay){0};
    if (--shard->congested == 0)
        holds_uncongested(&shard->sessions.holds);
}

static struct interest_mail *interest_mail_new(const struct shard *shard, struct span filter, uint64_t cookie)
{
    struct interest_mail *interest = memory_must(sizeof *interest + filter.len);
    interest->from = shard->id;
    interest->cookie = cookie;
    interest->filter_len = filter.len;
    memcpy(interest->filter, filter.data, filter.len);
    return interest;
}

static void announce(void *context, unsigned to, struct span filter, uint64_t cookie)
{
    union mail_body body = {.interest = interest_mail_new(context, filter, cookie)};
    stage_control(context, to, MAIL_INTEREST, &body);
}

static void withdraw(void *context, unsigned to, struct span filter)
{
    union mail_body body = {.interest = interest_mail_new(context, filter, 0)};
    stage_control(context, to, MAIL_INTEREST_GONE, &body);
}

static void interest_ready(void *context, struct interest_wait *wait)
{
    (void)context;
    subscribe_ready(wait);
}

static void interest_crowded(void *context, bool crowded)
{
    sessions_set_crowded(&((struct shard *)context)->sessions, crowded);
}

static void catch_up(struct outbox *outbox, struct span topic)
{
    snapshots_precede(session_of(outbox), topic);
}

static const struct router_ops router_ops = {
    .interest = {.announce = announce,
                 .withdraw = withdraw,
                 .ready = interest_ready,
                 .crowded = interest_crowded},
    .forward = forward,
    .catch_up = catch_up,
};

/* ---- publishes of other shards that wait here ----------------------------------------------------------- */

static void send_verdict(struct shard *shard, unsigned to, uint64_t token)
{
    union mail_body body = {.token = token};
    stage_control(shard, to, MAIL_VERDICT, &body);
}

static void remote_wait_free(struct remote_wait *wait)
{
    *(wait->prev ? &wait->prev->next : &wait->shard->waiting) = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    memory_free(wait, sizeof *wait + wait->topic_len);
}

/* Without memory to wait with, the verdict is given at once: the subscriber's bound holds all the same. */
static void wait_for(struct shard *shard, struct subscription *full, unsigned from, uint64_t token,
                     struct span topic)
{
    struct remote_wait *wait = memory_alloc(sizeof *wait + topic.len, 0);
    if (!wait) {
        send_verdict(shard, from, token);
        return;
    }
    *wait = (struct remote_wait){.waiting = {.remote = true},
                                 .shard = shard,
                                 .next = shard->waiting,
                                 .from = from,
                                 .token = token,
                                 .topic_len = topic.len};
    memcpy(wait->topic, topic.data, topic.len);
    if (wait->next)
        wait->next->prev = wait;
    shard->waiting = wait;
    blocking_wait(full, &wait->waiting.waiter);
}

static void publisher_resumed(struct waiter *waiter)
{
    struct waiting *waiting = (struct waiting *)(void *)waiter;
    if (!waiting->remote) {
        hold_check((struct hold *)(void *)waiting);
        return;
    }
    struct remote_wait *wait = (struct remote_wait *)(void *)waiting;
    wait->resumed_next = wait->shard->resumed;
    wait->shard->resumed = wait;
}

static bool remote_waits_go_on(struct shard *shard)
{
    struct remote_wait *wait = shard->resumed;
    shard->resumed = NULL;
    bool any = wait != NULL;
    for (struct remote_wait *next; wait; wait = next) {
        next = wait->resumed_next;
        struct subscription *full =
            router_find_full(&shard->router, span_of(wait->topic, wait->topic_len), NULL);
        if (full) {
            blocking_wait(full, &wait->waiting.waiter);
        } else {
            send_verdict(shard, wait->from, wait->token);
            remote_wait_free(wait);
        }
    }
    return any;
}

/* A session that stopped reading because its answers piled up reads on when the turn ends. */
static void answers_sent(struct outbox *outbox)
{
    sessions_look_at(session_of(outbox));
}

static const struct delivery_ops delivery_ops = {
    .subscription_drained = subscribe_drained,
    .publisher_resumed = publisher_resumed,
    .answers_sent = answers_sent,
};

/* ---- mail coming in ------------------------------------------------------------------------------------- */

static void received_publish(struct shard *shard, unsigned from, const struct mail_publish *publish)
{
    struct chunk_pool *pool = &shard->delivery.pool;
    struct run run = {.chunk = publish->chunk,
                      .off = publish->off,
                      .len = publish->len,
                      .count = publish->count,
                      .meta = publish->meta};
    chunk_arrive(pool, run.chunk);
    if (publish->retained && publish->retained->chunk)
        chunk_arrive(pool, publish->retained->chunk);
    struct span topic = native_peek_msg(run_bytes(&run)).topic;
    struct subscription *full = router_deliver(&shard->router, &run, topic, publish->retained);
    if (publish->token && full)
        wait_for(shard, full, from, publish->token, topic);
    else if (publish->token)
        send_verdict(shard, from, publish->token);
    chunk_unref(pool, run.chunk);
}

/* Plants what another shard announced and confirms it; false without memory: to be tried again. */
static bool plant(struct shard *shard, struct interest_mail *interest)
{
    struct span filter = span_of(interest->filter, interest->filter_len);
    if (router_remote_add(&shard->router, interest->from, filter))
        return false;
    union mail_body body = {.cookie = interest->cookie};
    stage_control(shard, interest->from, MAIL_INTEREST_KNOWN, &body);
    free(interest);
    return true;
}

static void received_interest(struct shard *shard, struct interest_mail *interest)
{
    if (plant(shard, interest))
        return;
    interest->next = shard->unplanted;
    shard->unplanted = interest;
    timer_start(&shard->wheel, &shard->replant, shard->clock.now_ms + REPLANT_MS);
}

static bool same_interest(const struct interest_mail *a, const struct interest_mail *b)
{
    return a->from == b->from &&
           span_eq(span_of(a->filter, a->filter_len), span_of(b->filter, b->filter_len));
}

static void received_interest_gone(struct shard *shard, struct interest_mail *gone)
{
    for (struct interest_mail **at = &shard->unplanted; *at; at = &(*at)->next) {
        if (!same_interest(*at, gone))
            continue;
        struct interest_mail *interest = *at;
        union mail_body body = {.cookie = interest->cookie};
        *at = interest->next;
        stage_control(shard, interest->from, MAIL_INTEREST_KNOWN, &body);
        free(interest);
        break;
    }
    router_remote_remove(&shard->router, gone->from, span_of(gone->filter, gone->filter_len));
    free(gone);
}

static void plant_again(struct timer *timer)
{
    struct shard *shard = (struct shard *)(void *)((char *)timer - offsetof(struct shard, replant));
    struct interest_mail *interest = shard->unplanted;
    shard->unplanted = NULL;
    for (struct interest_mail *next; interest; interest = next) {
        next = interest->next;
        received_interest(shard, interest);
    }
}

static void received(void *context, const struct mail *mail)
{
    struct shard *shard = context;
    union mail_body body;
    memcpy(&body, mail->body, sizeof body);
    switch ((enum mail_kind)mail->kind) {
    case MAIL_PUBLISH:
        received_publish(shard, mail->from, &body.publish);
        break;
    case MAIL_VERDICT:
        hold_verdict(body.token);
        break;
    case MAIL_INTEREST:
        received_interest(shard, body.interest);
        break;
    case MAIL_INTEREST_KNOWN:
        interest_confirmed(shard->router.interest, body.cookie);
        break;
    case MAIL_INTEREST_GONE:
        received_interest_gone(shard, body.interest);
        break;
    }
}

static void discard_publish(struct shard *shard, const struct mail_publish *publish)
{
    chunk_discard(&shard->delivery.pool, publish->chunk);
    if (publish->retained)
        retained_discard(&shard->delivery.pool, publish->retained, true);
}

void shard_dispose(struct shard *shard, const struct mail *mail)
{
    union mail_body body;
    memcpy(&body, mail->body, sizeof body);
    if (mail->kind == MAIL_PUBLISH)
        discard_publish(shard, &body.publish);
    else if (mail->kind == MAIL_INTEREST || mail->kind == MAIL_INTEREST_GONE)
        free(body.interest);
}

/* ---- the shard ------------------------------------------------------------------------------------------ */

enum err shard_init(struct shard *shard, const struct shard_common *common, unsigned id, uint64_t seed,
                    uint64_t now_ms, uint64_t unix_ms)
{
    *shard = (struct shard){.id = id, .random = {.state = seed}};
    clock_adjust(&shard->clock, now_ms, unix_ms);
    timer_wheel_init(&shard->wheel, now_ms);
    shard->replant.fire = plant_again;
    shard->relays = memory_must(common->shards * sizeof *shard->relays);
    delivery_init(&shard->delivery, common->delivery, &delivery_ops, &shard->wheel, &shard->clock.now_ms,
                  &shard->clock.unix_ms, id, common->shards, common->fattest);
    const struct limits_settings *limits = common->sessions.limits;
    const struct router_config router = {common->sessions.rules, limits->retained_messages,
                                         limits->retained_bytes};
    enum err e =
        router_init(&shard->router, &shard->delivery, &router, &router_ops, shard, id, common->shards);
    if (e)
        goto fail_router;
    sessions_init(&shard->sessions, &common->sessions, &shard->delivery, &shard->router, &shard->wheel,
                  &shard->clock, &shard->random, id);
    shard->mailbox = mailroom_box(common->mailroom, id);
    return ERR_NONE;

fail_router:
    delivery_fini(&shard->delivery);
    free(shard->relays);
    return e;
}

static void discard_relays(struct shard *shard, unsigned shards)
{
    for (unsigned i = 0; i < shards; i++) {
        struct shard_relay *relay = &shard->relays[i];
        for (size_t k = 0; k < relay->count; k++)
            discard_publish(shard, &relay->runs[relay->first + k]);
        free(relay->runs);
    }
    free(shard->relays);
}

void shard_fini(struct shard *shard)
{
    sessions_end_all(&shard->sessions);
    while (shard->waiting) {
        blocking_leave(&shard->waiting->waiting.waiter);
        remote_wait_free(shard->waiting);
    }
    while (shard->unplanted) {
        struct interest_mail *interest = shard->unplanted;
        shard->unplanted = interest->next;
        free(interest);
    }
    discard_relays(shard, shard->router.shards);
    sessions_fini(&shard->sessions);
    router_fini(&shard->router);
    delivery_fini(&shard->delivery);
}

void shard_receive(struct shard *shard)
{
    mailbox_receive(shard->mailbox, received, on_credit, shard);
}

bool shard_end_turn(struct shard *shard)
{
    bool more = true;
    for (int round = 0; more && round < ROUNDS_PER_TURN; round++) {
        more = sessions_go_on(&shard->sessions);
        more |= remote_waits_go_on(shard);
        delivery_flush(&shard->delivery);
        more |= sessions_settle(&shard->sessions);
    }
    mailbox_flush(shard->mailbox);
    delivery_begin_turn(&shard->delivery);
    return more || shard->sessions.holds.ready || shard->resumed || shard->delivery.dirty;
}
