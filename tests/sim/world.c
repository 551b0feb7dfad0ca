#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/delivery/queue.h"
#include "broker/memory.h"
#include "tests/sim/account.h"
#include "tests/sim/tally.h"
#include "tests/sim/workload.h"

enum {
    STILL_ROUNDS_MAX = 400,
    REST_TICK_MS = 25,
    SETTLE_ROUNDS = 60,
    LEAVE_ROUNDS_MAX = 600,
    OVER_LIMIT_ROUNDS_MAX = 10,
    PER_CONNECTION = 32 * 1024 /* session, subscriptions, values held for max_hz, one input's answers */
};

void trace(const struct world *world, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("%8llu ms, step %6llu: ", (unsigned long long)world->now_ms, (unsigned long long)world->step);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

void require(const struct world *world, bool ok, const char *invariant, const char *format, ...)
{
    if (ok)
        return;
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    printf("seed %llu violates \"%s\" in step %llu: ", (unsigned long long)world->seed, invariant,
           (unsigned long long)world->step);
    vprintf(format, arguments);
    printf("\nreplay it with: sim --seed %llu --trace\n", (unsigned long long)world->seed);
    va_end(arguments);
    fflush(stdout);
    _Exit(1);
}

/* ---- making and unmaking -------------------------------------------------------------------------------- */

static void wake(void *context, unsigned shard)
{
    (void)context;
    (void)shard;
}

static bool allocation_fails(void *context, size_t bytes)
{
    struct world *world = context;
    (void)bytes;
    if (!world->starving || random_below(&world->oom_dice, world->profile.oom_one_in) > 0)
        return false;
    tally.oom++;
    return true;
}

static void make_shards(struct world *world)
{
    struct profile *profile = &world->profile;
    world->inbound.total = profile->limits.inbound_total;
    world->inbound.each = profile->limits.inbound_per_connection + SESSION_INPUT_MAX;
    world->mailroom = mailroom_new(profile->shards, profile->delivery.mailbox, wake, world);
    world->fattest = memory_must(profile->shards * sizeof *world->fattest);
    world->shards = memory_must(profile->shards * sizeof *world->shards);
    world->common = (struct shard_common){.shards = profile->shards,
                                          .sessions = {.settings = &profile->session,
                                                       .limits = &profile->limits,
                                                       .rules = &profile->rules,
                                                       .inbound = &world->inbound,
                                                       .server_name = "sluiced/sim"},
                                          .delivery = &profile->delivery,
                                          .mailroom = world->mailroom,
                                          .fattest = world->fattest};
    for (unsigned i = 0; i < profile->shards; i++) {
        enum err e = shard_init(&world->shards[i], &world->common, i, random_next(&world->dice),
                                world->now_ms, WORLD_EPOCH_MS + world->now_ms);
        require(world, e == ERR_NONE, "simulation", "shard %u cannot be made", i);
    }
}

static struct world *world_new(uint64_t seed, bool traced)
{
    struct world *world = memory_must(sizeof *world);
    world->seed = seed;
    world->trace = traced;
    world->dice.state = seed;
    world->oom_dice.state = ~seed;
    world->now_ms = 1000;
    profile_draw(&world->profile, &world->dice);
    memory_set_limit(world->profile.memory_limit ? world->profile.memory_limit : UINT64_MAX);
    memory_set_fail_hook(world->profile.oom_one_in ? allocation_fails : NULL, world);
    make_shards(world);
    model_init(&world->model, world->profile.topics, world->profile.shards);
    world->clients = memory_must(world->profile.clients * sizeof *world->clients);
    for (unsigned i = 0; i < world->profile.clients; i++) {
        client_init(&world->clients[i], world, i);
        workload_cast(&world->clients[i]);
    }
    return world;
}

static void dispose(void *context, unsigned receiver, const struct mail *mail)
{
    struct world *world = context;
    shard_dispose(&world->shards[receiver], mail);
}

static void count_shard(const struct shard *shard)
{
    const struct delivery_stats *stats = &shard->delivery.stats;
    tally.evacuated += stats->evacuated;
}

static void world_free(struct world *world)
{
    mailroom_discard(world->mailroom, dispose, world);
    for (unsigned i = 0; i < world->profile.shards; i++) {
        count_shard(&world->shards[i]);
        shard_fini(&world->shards[i]);
    }
    mailroom_free(world->mailroom);
    require(world, memory_used() == 0, "memory", "%llu bytes are left when all is over",
            (unsigned long long)memory_used());
    for (unsigned i = 0; i < world->profile.clients; i++)
        client_fini(&world->clients[i]);
    model_fini(&world->model);
    free(world->clients);
    free(world->shards);
    free(world->fattest);
    memory_set_fail_hook(NULL, NULL);
    free(world);
}

/* ---- turns ---------------------------------------------------------------------------------------------- */

static void settle(struct world *world, unsigned shard)
{
    world->step++;
    for (unsigned i = 0; i < world->profile.clients; i++) {
        struct client *client = &world->clients[i];
        if (client->shard == shard && client->undone < client->unsent)
            client_settle(client);
    }
}

static void clients_act(struct world *world, unsigned shard)
{
    unsigned clients = world->profile.clients, first = (unsigned)random_below(&world->dice, clients);
    for (unsigned i = 0; i < clients; i++) {
        struct client *client = &world->clients[(first + i) % clients];
        if (client->shard != shard)
            continue;
        if (world->resting)
            workload_rest(client);
        else
            workload_turn(client);
    }
}

/* Returns whether the shard wants its next turn at once. */
static bool turn(struct world *world, unsigned number)
{
    struct shard *shard = &world->shards[number];
    clock_set(&shard->clock, world->now_ms);
    world->step++;
    if (world->resting || dice_percent(&world->dice, 80)) { /* the wake-up may come late */
        model_turn_received(&world->model, number, world->step);
        shard_receive(shard);
        settle(world, number);
    }
    timer_wheel_advance(&shard->wheel, world->now_ms);
    settle(world, number);
    clients_act(world, number);
    world->step++;
    bool more = shard_end_turn(shard);
    settle(world, number);
    model_turn_ended(&world->model, number, world->step);
    return more;
}

/* Each shard's log within its window and its chunks for reuse, each connection's queue and answers within theirs. A
 * subscriber that blocks may hold a run more of each publisher. */
static void check_memory(const struct world *world)
{
    const struct profile *profile = &world->profile;
    uint64_t most = atomic_load(&world->inbound.used) + PER_CONNECTION;
    for (unsigned i = 0; i < profile->shards; i++) {
        const struct shard *shard = &world->shards[i];
        most += profile->delivery.log_window + (CHUNK_POOL_MAX + 3) * (CHUNK_BYTES + 1024) +
                shard->router.cache.bytes;
        most += shard->sessions.count *
                (profile->delivery.queue_bytes + profile->limits.control_backlog + PER_CONNECTION);
    }
    require(world, profile->block || memory_used() <= most, "memory",
            "%llu bytes in use, %llu are the sum of all bounds", (unsigned long long)memory_used(),
            (unsigned long long)most);
}

/* Since the last look at it, a subscriber that does not read holds no more of the log than the window. */
static void check_window(const struct world *world)
{
    uint64_t window = world->profile.delivery.log_window;
    for (unsigned i = 0; i < world->profile.shards; i++) {
        const struct delivery *delivery = &world->shards[i].delivery;
        for (const struct queue *queue = delivery->blocked; queue; queue = queue->blocked_next)
            for (const struct queued *node = queue->first; node; node = node->next)
                require(world,
                        !node->run.chunk || (node->flags & QUEUED_PRIVATE) ||
                            queue->outbox->verdict != OUTBOX_GOOD ||
                            node->position + window >= delivery->evacuated_at,
                        "window", "%u messages held on to the log when it was %llu bytes further",
                        node->run.count, (unsigned long long)(delivery->evacuated_at - node->position));
    }
}

/* Over the limit somebody is given up, as long as there is somebody who does not read. */
static void check_limit(struct world *world)
{
    uint64_t given_up = 0;
    bool anybody = false;
    for (unsigned i = 0; i < world->profile.shards; i++) {
        const struct delivery *delivery = &world->shards[i].delivery;
        given_up += delivery->stats.fattest;
        for (const struct queue *queue = delivery->blocked; queue; queue = queue->blocked_next)
            anybody |= queue->outbox->verdict == OUTBOX_GOOD;
    }
    world->over_limit = memory_over() && anybody && given_up == world->given_up ? world->over_limit + 1 : 0;
    world->given_up = given_up;
    require(world, world->over_limit < OVER_LIMIT_ROUNDS_MAX, "memory",
            "%u rounds above the limit, and nobody is given up", world->over_limit);
}

static bool round_of_turns(struct world *world)
{
    unsigned shards = world->profile.shards, first = (unsigned)random_below(&world->dice, shards);
    bool more = false;
    for (unsigned i = 0; i < shards; i++)
        if (world->resting || shards == 1 || !dice_percent(&world->dice, 15))
            more |= turn(world, (first + i) % shards);
    world->round++;
    world->hasty = more;
    check_memory(world);
    check_window(world);
    check_limit(world);
    return more;
}

static void work(struct world *world)
{
    const struct profile *profile = &world->profile;
    world->starving = profile->oom_one_in > 0;
    while (world->round < profile->rounds) {
        uint64_t pause =
            dice_percent(&world->dice, 1) ? 500 : random_below(&world->dice, profile->tick_most_ms + 1);
        world->now_ms += world->hasty ? 0 : pause;
        (void)round_of_turns(world);
    }
    world->starving = false;
}

/* ---- rest ----------------------------------------------------------------------------------------------- */

/* Whether the client still has to say something of its own accord. */
static bool talking(const struct client *client)
{
    return client->out.len > 0 && client->requests[client->unsent].kind != REQUEST_PONG;
}

/* A client that waits for the broker or keeps it waiting, or NULL. */
static const struct client *busy(const struct world *world)
{
    for (unsigned i = 0; i < world->profile.clients; i++) {
        const struct client *client = &world->clients[i];
        if (client->session &&
            (talking(client) || client->link.wants_writable || client->link.paused || client->link.broken))
            return client;
    }
    return NULL;
}

static void check_progress(const struct world *world, unsigned rounds)
{
    const struct client *client = busy(world);
    require(world, rounds < STILL_ROUNDS_MAX, "progress",
            "after %u rounds without a byte client %u has %zu bytes unsent%s%s", rounds,
            client ? client->index : 0, client ? client->out.len : 0,
            client && client->link.paused ? ", is paused" : "",
            client && client->link.wants_writable ? ", is not written to" : "");
}

static void come_to_rest(struct world *world)
{
    uint64_t hash = world->hash;
    for (unsigned calm = 0, still = 0; calm < SETTLE_ROUNDS; still++) {
        check_progress(world, still);
        still = hash == world->hash ? still : 0;
        hash = world->hash;
        world->now_ms += world->hasty ? 0 : REST_TICK_MS;
        bool more = round_of_turns(world);
        calm = !busy(world) && !more ? calm + 1 : 0;
    }
}

static void drain(struct world *world)
{
    world->step++;
    for (unsigned i = 0; i < world->profile.clients; i++) {
        struct client *client = &world->clients[i];
        client->silent = true;
        if (client_open(client) && client->session->outbox.verdict == OUTBOX_GOOD && client->welcome)
            client->left = world->step;
    }
    for (unsigned i = 0; i < world->profile.shards; i++)
        sessions_drain(&world->shards[i].sessions);
    world->step++;
}

/* ---- the end -------------------------------------------------------------------------------------------- */

static size_t sessions_left(const struct world *world)
{
    size_t left = 0;
    for (unsigned i = 0; i < world->profile.shards; i++)
        left += world->shards[i].sessions.count;
    return left;
}

static void all_leave(struct world *world)
{
    for (unsigned i = 0; i < world->profile.clients; i++)
        workload_leave(&world->clients[i]);
    for (unsigned i = 0; i < LEAVE_ROUNDS_MAX && sessions_left(world) > 0; i++) {
        world->now_ms += REST_TICK_MS;
        (void)round_of_turns(world);
    }
    require(world, sessions_left(world) == 0, "nobody stays", "%zu sessions outlive their clients",
            sessions_left(world));
    for (unsigned i = 0; i < 4; i++)
        (void)round_of_turns(world);
}

/* An empty broker holds chunks for reuse, remembered matches, and nothing else. */
static void check_empty(const struct world *world, const struct shard *shard)
{
    require(world, shard->sessions.subs.count == 0, "nobody stays", "%zu subscriptions are left",
            shard->sessions.subs.count);
    require(world, topic_tree_entries(shard->router.tree) == 0, "nobody stays",
            "%zu filters are left in the index", topic_tree_entries(shard->router.tree));
    require(world, !shard->delivery.blocked && !shard->delivery.dirty && !shard->delivery.condemned,
            "nobody stays", "an outbox is left");
    require(world, !shard->sessions.holds.first && !shard->waiting, "nobody stays", "a publish still waits");
    require(world, timer_wheel_next(&shard->wheel) == UINT64_MAX, "nobody stays", "a timer is left");
}

static void check_all_empty(const struct world *world)
{
    uint64_t pools = 0;
    for (unsigned i = 0; i < world->profile.shards; i++) {
        check_empty(world, &world->shards[i]);
        pools += (CHUNK_POOL_MAX + 2) * (CHUNK_BYTES + 1024) + world->shards[i].router.cache.bytes;
    }
    require(world, world->inbound.used == 0, "memory", "unfinished input of nobody is accounted for");
    require(world, memory_used() <= pools + 65536, "memory", "an empty broker holds %llu bytes",
            (unsigned long long)memory_used());
}

static void count_run(const struct world *world)
{
    const struct profile *profile = &world->profile;
    tally.runs++;
    tally.clients += profile->clients;
    tally.sharded += profile->shards > 1;
    tally.starved += profile->oom_one_in > 0;
    tally.cramped += profile->memory_limit > 0;
    tally.drained += profile->drain;
}

static void trace_profile(const struct world *world)
{
    const struct profile *p = &world->profile;
    const struct delivery_settings *d = &p->delivery;
    trace(world,
          "%u shards, %u clients, %u rounds, queue %llu, queue_bytes %llu, batch %llu, window %llu, mailbox "
          "%llu",
          p->shards, p->clients, p->rounds, (unsigned long long)d->queue, (unsigned long long)d->queue_bytes,
          (unsigned long long)d->batch, (unsigned long long)d->log_window, (unsigned long long)d->mailbox);
    trace(world, "backlog %llu, publish_rate %llu, oom 1 in %u, memory limit %llu, block %d, drain %d",
          (unsigned long long)p->limits.control_backlog, (unsigned long long)p->limits.publish_rate,
          p->oom_one_in, (unsigned long long)p->memory_limit, p->block, p->drain);
    for (unsigned i = 0; i < p->clients; i++)
        trace(world, "client %u on shard %u, reader %u%s", i, world->clients[i].shard,
              world->clients[i].reader, world->clients[i].link.transport.ops->framed ? ", framed" : "");
}

uint64_t world_run(uint64_t seed, bool traced)
{
    struct world *world = world_new(seed, traced);
    trace_profile(world);
    work(world);
    world->resting = true;
    if (world->profile.drain)
        drain(world);
    come_to_rest(world);
    for (unsigned i = 0; i < world->profile.clients; i++)
        workload_last_word(&world->clients[i]);
    come_to_rest(world);
    for (unsigned i = 0; i < world->profile.clients; i++)
        account_client(&world->clients[i]);
    all_leave(world);
    check_all_empty(world);
    count_run(world);
    uint64_t hash = world->hash;
    world_free(world);
    return hash;
}
