#include "tests/sim/client.h"

#include <stdlib.h>

#include "broker/memory.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

void client_init(struct client *client, struct world *world, unsigned index)
{
    *client = (struct client){.world = world, .index = index};
    wire_buf_init(&client->out, 0);
    wire_buf_init(&client->in, 0);
    size_t slots = (size_t)world->profile.clients * world->profile.topics * (KEYS + 1);
    client->last_seen = memory_must(slots * sizeof *client->last_seen);
}

void client_fini(struct client *client)
{
    for (uint32_t i = 0; i < client->request_count; i++) {
        bits_fini(&client->requests[i].got);
        free(client->requests[i].pace);
        free(client->requests[i].last_seen);
    }
    free(client->requests);
    free(client->last_seen);
    bits_fini(&client->got);
    wire_buf_fini(&client->out);
    wire_buf_fini(&client->in);
}

bool client_open(const struct client *client)
{
    return client->session && client->session->phase <= SESSION_OPEN && !client->bye;
}

/* ---- the only subscription ------------------------------------------------------------------------------ */

struct request *client_only_sub(struct client *client)
{
    for (uint32_t i = 0; client->subs_sent == 1 && client->unsubs_sent == 0 && i < client->request_count; i++)
        if (client->requests[i].kind == REQUEST_SUB)
            return &client->requests[i];
    return NULL;
}

/* The same if it is granted and blocks. */
static const struct request *blocking_sub(struct client *client)
{
    const struct request *sub = client_open(client) && !client->wild ? client_only_sub(client) : NULL;
    bool blocks = sub && sub->answer == ANSWER_OK && sub->granted.policy == NATIVE_POLICY_BLOCK;
    return blocks && client->session->outbox.verdict == OUTBOX_GOOD ? sub : NULL;
}

/* ---- what it says --------------------------------------------------------------------------------------- */

struct request *client_request(struct client *client, enum request_kind kind)
{
    if (client->request_count == client->request_cap) {
        client->request_cap = client->request_cap ? 2 * client->request_cap : 32;
        client->requests = realloc(client->requests, client->request_cap * sizeof *client->requests);
    }
    struct request *request = &client->requests[client->request_count++];
    *request = (struct request){.kind = (uint8_t)kind, .done = STEP_UNKNOWN};
    return request;
}

void client_request_written(struct client *client)
{
    client->requests[client->request_count - 1].end = client->out_at + client->out.len;
}

/* Requests whose last byte is among those that the broker gets now. */
static void start_requests(struct client *client)
{
    struct world *world = client->world;
    bool heard = client->session->phase <= SESSION_OPEN;
    while (client->unsent < client->request_count && client->requests[client->unsent].end <= client->out_at) {
        struct request *request = &client->requests[client->unsent++];
        if (!heard)
            continue;
        request->start = world->step;
        if (request->kind == REQUEST_PUB)
            model_started(&world->model, request->publish, world->step);
    }
}

/* Counts a routed publish for the subscriptions that hold back publishers. */
static void count_blocking(struct client *publisher, const struct publish *publish)
{
    struct world *world = publisher->world;
    for (unsigned c = 0; world->profile.block && c < world->profile.clients; c++) {
        struct client *client = &world->clients[c];
        const struct request *sub = client != publisher ? blocking_sub(client) : NULL;
        if (sub && client->shard == publisher->shard && publish->start > sub->answered &&
            world->profile.match[sub->filter][publish->topic])
            client->routed++;
    }
}

static void request_done(struct client *client, struct request *request)
{
    struct world *world = client->world;
    request->done = world->step;
    if (request->kind != REQUEST_PUB || request->start == STEP_NEVER)
        return;
    struct publish *publish = &world->model.publishes[request->publish];
    publish->end = world->step;
    tally.withheld += publish->end != publish->start;
    publish->certain |= !publish->refused && !profile_refuses(&world->profile);
    if (!profile_refuses(&world->profile))
        count_blocking(client, publish);
}

/* Publishes that wait are routed later than their start says: who may get them cannot tell their order any more. */
static void blur(struct client *client)
{
    struct world *world = client->world;
    client->fuzzy = true;
    for (uint32_t i = client->undone; i < client->unsent; i++) {
        if (client->requests[i].kind != REQUEST_PUB)
            continue;
        for (unsigned c = 0; c < world->profile.clients; c++)
            world->clients[c].fuzzy = true;
        return;
    }
}

/* A client that waits for itself would wait for ever. */
static void check_not_own(const struct client *client)
{
    const struct hold *hold = client->session->hold;
    const struct blocking *blocking = hold ? hold->local.waiter.blocking : NULL;
    require(client->world, !blocking || blocking->sub->outbox != &client->session->outbox, "block",
            "client %u is held back by its own subscription", client->index);
}

void client_settle(struct client *client)
{
    if (!client->session || client->session->phase > SESSION_OPEN)
        return;
    if (client->link.paused) {
        check_not_own(client);
        blur(client);
        return;
    }
    while (client->undone < client->unsent)
        request_done(client, &client->requests[client->undone++]);
}

/* Who was not held back has not filled anybody's queue. */
static void check_held_back(struct client *publisher, const struct publish *publish)
{
    struct world *world = publisher->world;
    for (unsigned c = 0; c < world->profile.clients; c++) {
        struct client *client = &world->clients[c];
        const struct request *sub = client != publisher ? blocking_sub(client) : NULL;
        if (!sub || client->shard != publisher->shard || !world->profile.match[sub->filter][publish->topic])
            continue;
        tally.blocks++;
        uint64_t told = client->heard + client->gap_sum;
        require(world, client->routed < told + sub->granted.queue, "block",
                "client %u publishes on though client %u has %llu of %u messages waiting", publisher->index,
                client->index, (unsigned long long)(client->routed - told), sub->granted.queue);
    }
}

static void check_all_held_back(struct client *client, uint32_t from)
{
    const struct world *world = client->world;
    for (uint32_t i = from; world->profile.block && !world->profile.oom_one_in && i < client->undone; i++)
        if (client->requests[i].kind == REQUEST_PUB)
            check_held_back(client, &world->model.publishes[client->requests[i].publish]);
}

void client_send(struct client *client, size_t bytes)
{
    struct world *world = client->world;
    bytes = bytes < client->out.len ? bytes : client->out.len;
    bytes = bytes < SESSION_INPUT_MAX ? bytes : SESSION_INPUT_MAX;
    if (bytes == 0 || !client->session)
        return;
    uint8_t *copy = memory_must(bytes); /* of its own, so that reading past it is found */
    memcpy(copy, client->out.data, bytes);
    wire_buf_consume(&client->out, bytes);
    client->out_at += bytes;
    world->step++;
    trace(world, "client %u sends %zu bytes%s", client->index, bytes,
          client->link.paused ? " though paused" : "");
    start_requests(client);
    session_input(client->session, span_of(copy, bytes));
    free(copy);
    uint32_t undone = client->undone;
    client_settle(client);
    world->step++;
    check_all_held_back(client, undone);
}
