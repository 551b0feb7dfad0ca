#include "tests/sim/workload.h"

#include <stdlib.h>

#include "broker/memory.h"
#include "broker/session/native.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

enum { UNSENT_MAX = 256 * 1024, UNDONE_MAX = 400 };

static struct random *dice_of(const struct client *client)
{
    return &client->world->dice;
}

static void must(struct client *client, enum err e)
{
    require(client->world, e == ERR_NONE, "simulation", "client %u cannot encode a request", client->index);
    client_request_written(client);
}

static uint64_t next_id(const struct client *client)
{
    return client->request_count; /* the newest request's place, from 1 */
}

/* ---- who it is ------------------------------------------------------------------------------------------ */

static void say_hello(struct client *client)
{
    struct native_hello hello = {.version = NATIVE_VERSION};
    client_request(client, REQUEST_HELLO);
    must(client, native_encode_hello(&client->out, &hello));
}

void workload_cast(struct client *client)
{
    struct world *world = client->world;
    const struct profile *profile = &world->profile;
    struct random *dice = &world->dice;
    client->shard = (unsigned)random_below(dice, profile->shards);
    client->opens_at = dice_percent(dice, 60) ? 0 : (unsigned)random_below(dice, profile->rounds / 2 + 1);
    client->publishes = dice_percent(dice, profile->publishers);
    client->reader = READER_EAGER;
    if (dice_percent(dice, profile->slow))
        client->reader =
            (uint8_t)DICE_PICK(dice, READER_PIECEMEAL, READER_SLOW, READER_MOODY, READER_MOODY, READER_DEAD);
    client->mute = profile->mute && dice_percent(dice, 30);
    sim_transport_init(&client->link, client, dice_percent(dice, 40));
    client->link.room = client->reader == READER_EAGER ? ROOM_ENDLESS : random_below(dice, 2000);
    if (!dice_percent(dice, 2))
        say_hello(client);
}

/* ---- what it asks --------------------------------------------------------------------------------------- */

/* What the topic rules grant; asking for it elsewhere is wrong. */
static bool may_block(const struct profile *profile, unsigned filter)
{
    const char *name = profile->filter[filter];
    return profile->block && (strncmp(name, "block/", 6) == 0 || (strncmp(name, "jobs/", 5) == 0));
}

static enum native_policy draw_policy(const struct client *client, unsigned filter)
{
    struct random *dice = dice_of(client);
    if (may_block(&client->world->profile, filter) && dice_percent(dice, 60))
        return NATIVE_POLICY_BLOCK;
    return (enum native_policy)DICE_PICK(dice, NATIVE_POLICY_DEFAULT, NATIVE_POLICY_DROP_OLDEST,
                                         NATIVE_POLICY_DROP_OLDEST, NATIVE_POLICY_DROP_NEWEST,
                                         NATIVE_POLICY_CONFLATE, NATIVE_POLICY_DISCONNECT);
}

static void say_sub(struct client *client)
{
    struct random *dice = dice_of(client);
    const struct profile *profile = &client->world->profile;
    struct request *request = client_request(client, REQUEST_SUB);
    request->id = next_id(client);
    request->filter = (uint16_t)random_below(dice, profile->filters);
    for (uint32_t i = 0; i + 1 < client->request_count; i++)
        if (client->requests[i].kind == REQUEST_SUB && client->requests[i].filter == request->filter)
            tally.replacements++;
    struct native_sub sub = {.id = request->id,
                             .filter = span_str(profile->filter[request->filter]),
                             .policy = draw_policy(client, request->filter),
                             .queue = (uint32_t)DICE_PICK(dice, 0, 1, 2, 5, 20, 200)};
    if (profile->hz && dice_percent(dice, 25)) {
        sub.max_hz = (double)DICE_PICK(dice, 1, 5, 50, 1000);
        sub.policy = dice_percent(dice, 50) ? NATIVE_POLICY_DEFAULT : NATIVE_POLICY_CONFLATE;
    }
    if (profile->tags && dice_percent(dice, 40)) {
        sub.has_tag = request->tagged = true;
        sub.tag = (uint32_t)request->id;
    }
    request->granted = sub;
    client->subs_sent++;
    client->any_conflated |=
        !sub.has_tag && (sub.policy == NATIVE_POLICY_CONFLATE || sub.policy == NATIVE_POLICY_DEFAULT);
    tally.subscribes++;
    trace(client->world, "client %u writes SUB %llu %s policy %d queue %u hz %g tag %u", client->index,
          (unsigned long long)sub.id, profile->filter[request->filter], (int)sub.policy, sub.queue,
          sub.max_hz, sub.tag);
    must(client, native_encode_sub(&client->out, &sub));
}

static void say_unsub(struct client *client)
{
    struct random *dice = dice_of(client);
    const struct profile *profile = &client->world->profile;
    uint16_t filter = (uint16_t)random_below(dice, profile->filters);
    for (uint32_t i = 0; i < client->request_count; i++)
        if (client->requests[i].kind == REQUEST_SUB && dice_percent(dice, 50))
            filter = client->requests[i].filter;
    struct request *request = client_request(client, REQUEST_UNSUB);
    request->id = dice_percent(dice, 80) ? next_id(client) : 0;
    request->filter = filter;
    client->unsubs_sent++;
    tally.unsubscribes++;
    trace(client->world, "client %u writes UNSUB %llu %s", client->index, (unsigned long long)request->id,
          profile->filter[filter]);
    struct native_unsub unsub = {.id = request->id, .filter = span_str(profile->filter[filter])};
    must(client, native_encode_unsub(&client->out, &unsub));
}

static void say_pub(struct client *client, unsigned topic, bool wants_answer)
{
    struct world *world = client->world;
    struct random *dice = &world->dice;
    const struct profile *profile = &world->profile;
    struct request *request = client_request(client, REQUEST_PUB);
    request->id = wants_answer ? next_id(client) : 0;
    struct publish publish = {.publisher = client->index,
                              .request = client->request_count - 1,
                              .topic = (uint16_t)topic,
                              .bytes = (uint32_t)dice_between(dice, PAYLOAD_MIN, profile->payload_most)};
    if (profile->keys && dice_percent(dice, 60))
        publish.key = (uint16_t)dice_between(dice, 1, KEYS);
    if (profile->ttl && dice_percent(dice, 40))
        publish.ttl_ms = DICE_PICK(dice, 1, 10, 500, 1000000);
    request->publish = model_publish(&world->model, &publish);
    uint8_t *payload = memory_must(publish.bytes);
    payload_fill(payload, request->publish, publish.bytes);
    char key[] = {'k', (char)('0' + publish.key), 0};
    struct native_pub pub = {.id = request->id,
                             .topic = span_str(profile->topic[topic]),
                             .payload = span_of(payload, publish.bytes),
                             .flags =
                                 (publish.key ? NATIVE_PUB_KEY : 0u) | (publish.ttl_ms ? NATIVE_PUB_TTL : 0u),
                             .key = span_str(key),
                             .ttl_ms = publish.ttl_ms};
    trace(world, "client %u writes PUB %llu: publish %u on %s key %u ttl %llu", client->index,
          (unsigned long long)pub.id, request->publish, profile->topic[topic], publish.key,
          (unsigned long long)publish.ttl_ms);
    must(client, native_encode_pub(&client->out, &pub));
    free(payload);
    tally.publishes++;
}

/* A publish that must be answered with ERR, and harm neither those around it nor anybody else. */
static void say_wrong_pub(struct client *client, unsigned topic)
{
    const struct profile *profile = &client->world->profile;
    struct request *request = client_request(client, REQUEST_WRONG);
    request->id = next_id(client);
    struct native_pub pub = {.id = request->id, .topic = span_str("a/+"), .payload = span_str("lost")};
    switch (random_below(dice_of(client), 3)) {
    case 0:
        break;
    case 1:
        pub.topic = span_str("$SYS/x");
        break;
    default:
        pub.topic = span_str(profile->topic[topic]);
        pub.flags = NATIVE_PUB_FORMAT;
        pub.format = 2;
        break;
    }
    must(client, native_encode_pub(&client->out, &pub));
}

static void say_pubs(struct client *client)
{
    struct random *dice = dice_of(client);
    const struct profile *profile = &client->world->profile;
    unsigned count = (unsigned)dice_between(dice, 1, profile->burst_most);
    unsigned topic = (unsigned)random_below(dice, profile->topics);
    bool hop = dice_percent(dice, 30), answers = dice_percent(dice, 60);
    for (unsigned i = 0; i < count; i++) {
        if (hop)
            topic = (unsigned)random_below(dice, profile->topics);
        say_pub(client, topic, answers || dice_percent(dice, 10));
        if (dice_percent(dice, 1))
            say_wrong_pub(client, topic);
    }
}

static void say_ping(struct client *client)
{
    client_request(client, REQUEST_PING);
    must(client, native_encode_ping(&client->out));
}

static void say_wrong_sub(struct client *client)
{
    struct request *request = client_request(client, REQUEST_WRONG);
    request->id = next_id(client);
    struct native_sub sub = {.id = request->id, .filter = span_str("a")};
    switch (random_below(dice_of(client), 4)) {
    case 0:
        sub.filter = span_str("$share/g/a");
        break;
    case 1:
        sub.policy = NATIVE_POLICY_BLOCK;
        break;
    case 2:
        sub.policy = NATIVE_POLICY_DROP_NEWEST;
        sub.max_hz = 3;
        break;
    default:
        sub.filter = span_str("a/#/b");
        break;
    }
    must(client, native_encode_sub(&client->out, &sub));
}

/* What no client may send; nothing that it is sent afterwards is looked at. */
static void say_garbage(struct client *client)
{
    struct random *dice = dice_of(client);
    static const uint8_t oversized[] = {0xce, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t op_unknown[] = {0xce, 0, 0, 0, 3, 0x92, 0xcc, 0xc8};
    uint8_t noise[64];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)random_next(dice);
    client->wild = client->silent = true;
    tally.garbage++;
    client_request(client, REQUEST_WRONG);
    enum err e = ERR_NONE;
    switch (random_below(dice, 4)) {
    case 0:
        e = wire_buf_append(&client->out, oversized, sizeof oversized);
        break;
    case 1:
        e = wire_buf_append(&client->out, op_unknown, sizeof op_unknown);
        break;
    case 2:
        e = native_encode_hello(&client->out, &(struct native_hello){.version = 1});
        break;
    default:
        e = wire_buf_append(&client->out, noise, sizeof noise);
        break;
    }
    must(client, e);
}

static void say_something(struct client *client)
{
    struct random *dice = dice_of(client);
    const struct profile *profile = &client->world->profile;
    if (client->silent || client->out.len > UNSENT_MAX || client->request_count - client->undone > UNDONE_MAX)
        return;
    if (client->subs_sent < profile->subs_most && (client->subs_sent == 0 || dice_percent(dice, 40)))
        say_sub(client);
    if (!profile->simple_subs && dice_percent(dice, 8))
        say_sub(client);
    if (!profile->simple_subs && dice_percent(dice, 8))
        say_unsub(client);
    if (client->publishes && dice_percent(dice, 50))
        say_pubs(client);
    if (dice_percent(dice, 10))
        say_ping(client);
    if (dice_percent(dice, 3))
        say_wrong_sub(client);
    if (profile->garbage && dice_percent(dice, profile->garbage) && dice_percent(dice, 5))
        say_garbage(client);
}

/* ---- what it reads -------------------------------------------------------------------------------------- */

static void make_room(struct client *client)
{
    struct random *dice = dice_of(client);
    struct sim_transport *link = &client->link;
    switch ((enum reader)client->reader) {
    case READER_EAGER:
        link->room = ROOM_ENDLESS;
        break;
    case READER_PIECEMEAL:
        link->room += random_below(dice, 3000);
        break;
    case READER_SLOW:
        link->room += dice_percent(dice, 30) ? random_below(dice, 300) : 0;
        break;
    case READER_MOODY:
        if (dice_percent(dice, 15))
            link->room = dice_percent(dice, 50) ? random_below(dice, 500) : random_below(dice, 200000);
        break;
    case READER_DEAD:
        break;
    }
}

static void read_on(struct client *client)
{
    struct world *world = client->world;
    if (!client->session || !client->link.wants_writable || client->link.room == 0 || client->link.broken)
        return;
    world->step++;
    trace(world, "client %u is writable", client->index);
    session_writable(client->session);
    world->step++;
    client_settle(client);
}

/* ---- coming and going ----------------------------------------------------------------------------------- */

static void open_session(struct client *client)
{
    struct world *world = client->world;
    client->opened = true;
    world->step++;
    client->session =
        session_open(&world->shards[client->shard].sessions, &client->link.transport, &session_native);
    if (!client->session) {
        client->end = END_LOST;
        client->link.closed = true;
    }
}

static void lose(struct client *client)
{
    struct world *world = client->world;
    struct session *session = client->session;
    world->step++;
    trace(world, "client %u is lost", client->index);
    client->link.closed = true;
    client->session = NULL;
    client->end = END_LOST;
    tally.resets++;
    session_lost(session);
}

static void half_close(struct client *client)
{
    struct world *world = client->world;
    world->step++;
    trace(world, "client %u has finished", client->index);
    client->silent = true;
    if (client_open(client) && client->session->outbox.verdict == OUTBOX_GOOD)
        client->left = world->step;
    tally.half_closes++;
    session_peer_finished(client->session);
    world->step++;
}

void workload_leave(struct client *client)
{
    if (!client->session)
        return;
    if (dice_percent(dice_of(client), 50))
        lose(client);
    else
        half_close(client);
}

static void break_sometimes(struct client *client)
{
    struct random *dice = dice_of(client);
    if (client->link.broken && dice_percent(dice, 50)) {
        lose(client);
    } else if (random_below(dice, 10000) < client->world->profile.leave) {
        if (dice_percent(dice, 40))
            client->link.broken = true;
        else
            workload_leave(client);
    }
}

static void send_some(struct client *client)
{
    struct random *dice = dice_of(client);
    if (!client->session || client->out.len == 0 || (client->link.paused && !dice_percent(dice, 3)))
        return;
    bool some = dice_percent(dice, 30);
    client_send(client,
                some ? (size_t)dice_between(dice, 1, dice_percent(dice, 50) ? 10 : 500) : SESSION_INPUT_MAX);
}

void workload_turn(struct client *client)
{
    struct world *world = client->world;
    if (!client->opened) {
        if (world->round >= client->opens_at)
            open_session(client);
        return;
    }
    if (!client->session)
        return;
    make_room(client);
    read_on(client);
    if (client->session)
        break_sometimes(client);
    if (!client->session || dice_percent(&world->dice, 30))
        return;
    if (client->request_count > 0)
        say_something(client);
    send_some(client);
    if (client->session && dice_percent(&world->dice, 20))
        send_some(client);
}

void workload_rest(struct client *client)
{
    if (!client->session)
        return;
    if (client->link.broken) {
        lose(client);
        return;
    }
    client->link.room = ROOM_ENDLESS;
    read_on(client);
    if (client->session && !client->link.paused && client->opened)
        client_send(client, SESSION_INPUT_MAX);
}

void workload_last_word(struct client *client)
{
    if (!client->session || client->silent || client->request_count == 0)
        return;
    say_ping(client);
    client->silent = true;
}
