/*
 * What a client hears: every frame is checked as it comes, in itself and against what was heard before.
 */
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/memory.h"
#include "tests/sim/client.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

static const char *const gap_names[NATIVE_GAP_COUNT] = {
#define GAP_NAME(name, text) [NATIVE_GAP_##name] = text,
    NATIVE_GAP_REASONS(GAP_NAME)
#undef GAP_NAME
};

/* Of what comes without a tag. */
static size_t order_slot(const struct world *world, uint32_t publisher, unsigned topic, unsigned key)
{
    return ((size_t)publisher * world->profile.topics + topic) * (KEYS + 1) + key;
}

/* ---- answers ----------------------------------------------------------------------------- */

static void protocol(struct client *client, enum err e, const char *what)
{
    require(client->world, e == ERR_NONE, "protocol", "client %u got a malformed %s", client->index, what);
}

static struct request *answered(struct client *client, uint64_t id, enum request_answer answer)
{
    struct world *world = client->world;
    require(world, id > 0 && id <= client->request_count && client->requests[id - 1].id == id, "answers",
            "client %u got an answer to %llu, which it never asked", client->index, (unsigned long long)id);
    struct request *request = &client->requests[id - 1];
    require(world, request->answer == ANSWER_NONE, "answers", "client %u got a second answer to %llu",
            client->index, (unsigned long long)id);
    require(world, request->start != STEP_NEVER, "answers",
            "client %u got an answer to %llu before it was sent", client->index, (unsigned long long)id);
    request->answer = (uint8_t)answer;
    request->answered = world->step;
    return request;
}

static void check_grant(struct client *client, const struct request *request, const struct native_ok *ok)
{
    const struct native_sub *asked = &request->granted;
    enum native_policy wanted = asked->max_hz > 0 ? NATIVE_POLICY_CONFLATE : asked->policy;
    bool fits = ok->policy != NATIVE_POLICY_DEFAULT && (!wanted || ok->policy == wanted) &&
                (!asked->queue || ok->queue == asked->queue) && ok->queue > 0 &&
                ok->has_tag == asked->has_tag && ok->tag == asked->tag &&
                (ok->max_hz > 0) == (asked->max_hz > 0);
    require(client->world, fits, "granted", "client %u: OK to %llu grants something else than asked for",
            client->index, (unsigned long long)request->id);
}

static void hear_ok(struct client *client, struct cursor body, uint32_t count)
{
    struct native_ok ok;
    protocol(client, native_decode_ok(body, count, &ok), "OK");
    struct request *request = answered(client, ok.id, ANSWER_OK);
    struct world *world = client->world;
    require(world, request->kind != REQUEST_WRONG, "answers", "client %u: %llu is wrong and was answered OK",
            client->index, (unsigned long long)ok.id);
    trace(world, "client %u hears OK %llu", client->index, (unsigned long long)ok.id);
    if (request->kind == REQUEST_PUB)
        world->model.publishes[request->publish].certain = true;
    if (request->kind != REQUEST_SUB)
        return;
    check_grant(client, request, &ok);
    request->granted.policy = ok.policy;
    request->granted.queue = ok.queue;
}

static void hear_err(struct client *client, struct cursor body, uint32_t count)
{
    struct native_error error;
    protocol(client, native_decode_err(body, count, &error), "ERR");
    tally.refusals++;
    trace(client->world, "client %u hears ERR %llu %.*s", client->index, (unsigned long long)error.id,
          (int)error.code.len, (const char *)error.code.data);
    if (error.id == 0)
        return;
    struct request *request = answered(client, error.id, ANSWER_ERR);
    if (request->kind != REQUEST_PUB)
        return;
    struct publish *publish = &client->world->model.publishes[request->publish];
    publish->refused = true;
    publish->certain = false;
}

/* ---- messages ---------------------------------------------------------------------------- */

static struct request *tagged_sub(struct client *client, uint32_t tag)
{
    require(client->world, tag > 0 && tag <= client->request_count && client->requests[tag - 1].tagged,
            "matching", "client %u got TAG %u, which no SUB asked for", client->index, tag);
    return &client->requests[tag - 1];
}

/* How many topics and keys a filter may see; with more than its queue holds, the rate of the oldest is forgotten. */
static uint32_t keys_most(const struct client *client, unsigned filter)
{
    const struct profile *profile = &client->world->profile;
    uint32_t topics = 0;
    for (unsigned topic = 0; topic < profile->topics; topic++)
        topics += profile->match[filter][topic];
    return topics * (profile->keys ? KEYS + 1 : 1);
}

enum { RATE_BYTES_PER_KEY = 192 /* more than a limiter notes about one name */ };

/* Between two values of one topic and key lies at least the interval, where nothing held the first one up. */
static void check_pace(struct client *client, struct request *sub, const struct publish *publish)
{
    if (!sub->pace)
        sub->pace = memory_must(sizeof *sub->pace);
    struct world *world = client->world;
    uint64_t *last = &sub->pace->last_ms[publish->topic][publish->key], before = *last;
    *last = world->now_ms + 1;
    uint32_t keys = keys_most(client, sub->filter);
    bool crowded =
        sub->granted.queue < keys || world->profile.delivery.queue_bytes < keys * RATE_BYTES_PER_KEY;
    if (before == 0 || client->link.ever_refused || client->subs_sent > 1 || client->unsubs_sent || crowded ||
        client->left != STEP_NEVER)
        return;
    tally.paces++;
    double interval = 1000.0 / sub->granted.max_hz;
    if ((double)(world->now_ms + 1 - before) < interval)
        client->hasty_topic = world->profile.topic[publish->topic];
}

/* All that was matched before this message and has not been received must have been reported by now, and no more. Only
 * for a client with one subscription whose messages leave in the order in which they were routed. */
static void check_place(struct client *client, const struct request *sub, uint32_t number)
{
    struct world *world = client->world;
    const struct profile *profile = &world->profile;
    if (!sub || client->fuzzy || profile->shards > 1 || profile_refuses(profile) || !sub->granted.policy ||
        sub->granted.policy == NATIVE_POLICY_CONFLATE || sub->granted.policy == NATIVE_POLICY_DISCONNECT ||
        client->left != STEP_NEVER)
        return;
    const struct model *model = &world->model;
    for (; client->place < model->started_count; client->place++) {
        uint32_t at = model->started[client->place];
        const struct publish *publish = &model->publishes[at];
        if (at == number)
            break;
        bool own_earlier = publish->publisher == client->index && &client->requests[publish->request] < sub;
        if (publish->start < sub->start || own_earlier || !profile->match[sub->filter][publish->topic])
            continue;
        client->missing++;
    }
    client->place++;
    tally.places++;
    require(world, client->missing == client->gap_sum, "gap place",
            "client %u: before publish %u it missed %llu messages and was told of %llu", client->index,
            number, (unsigned long long)client->missing, (unsigned long long)client->gap_sum);
}

/* No older value of a publisher's topic (or key, where values may overtake each other) after a newer one. */
static void check_order(struct client *client, uint32_t number, const struct publish *publish)
{
    struct world *world = client->world;
    unsigned key = client->any_conflated ? publish->key : 0;
    uint32_t *last = &client->last_seen[order_slot(world, publish->publisher, publish->topic, key)];
    require(world, *last < number, "order", "client %u got publish %u of client %u on %s after %u",
            client->index, number, publish->publisher, world->profile.topic[publish->topic], *last);
    *last = number;
}

static void check_message(struct client *client, const struct native_msg *msg, uint32_t number)
{
    struct world *world = client->world;
    require(world, number != 0, "content", "client %u got a payload that nobody sent", client->index);
    const struct publish *publish = &world->model.publishes[number];
    const char *topic = world->profile.topic[publish->topic];
    char key[] = {'k', (char)('0' + publish->key), 0};
    bool same = span_eq(msg->topic, span_str(topic)) &&
                ((msg->flags & NATIVE_PUB_KEY) != 0) == (publish->key != 0) &&
                (!publish->key || span_eq(msg->key, span_str(key))) && msg->ttl_ms == publish->ttl_ms;
    require(world, same, "content", "client %u got publish %u with another topic or meta", client->index,
            number);
    require(world, publish->start != STEP_NEVER, "matching", "client %u got publish %u before it was sent",
            client->index, number);
    require(world, !publish->refused, "matching", "client %u got publish %u, which was refused",
            client->index, number);
}

static void hear_tagged(struct client *client, uint32_t number)
{
    struct world *world = client->world;
    struct request *sub = tagged_sub(client, client->tag);
    require(world, !bits_has(&sub->got, number), "nothing twice", "client %u got publish %u twice for tag %u",
            client->index, number, client->tag);
    const struct publish *publish = &world->model.publishes[number];
    bool keyed = sub->granted.policy == NATIVE_POLICY_CONFLATE || sub->answer != ANSWER_OK;
    if (!sub->last_seen)
        sub->last_seen =
            memory_must((size_t)world->profile.clients * world->profile.topics * sizeof *sub->last_seen);
    uint32_t *last = &sub->last_seen[(size_t)publish->publisher * world->profile.topics + publish->topic];
    require(world, keyed || *last < number, "order", "client %u got publish %u for tag %u after %u",
            client->index, number, client->tag, *last);
    *last = number;
    bits_add(&sub->got, number);
    tally.tagged++;
    if (sub->granted.max_hz > 0)
        check_pace(client, sub, publish);
}

static void hear_msg(struct client *client, struct cursor body, uint32_t count)
{
    struct native_msg msg;
    struct world *world = client->world;
    protocol(client, native_decode_msg(body, count, &msg), "MSG");
    uint32_t number = payload_read(msg.payload, &world->model);
    check_message(client, &msg, number);
    trace(world, "client %u hears publish %u on %s%s", client->index, number,
          world->profile.topic[world->model.publishes[number].topic], client->tag_pending ? " (tagged)" : "");
    tally.deliveries++;
    client->heard++;
    struct request *only = client_only_sub(client);
    check_place(client, only, number);
    if (client->tag_pending) {
        hear_tagged(client, number);
    } else {
        require(world, !bits_has(&client->got, number), "nothing twice", "client %u got publish %u twice",
                client->index, number);
        bits_add(&client->got, number);
        check_order(client, number, &world->model.publishes[number]);
        if (only && only->granted.max_hz > 0)
            check_pace(client, only, &world->model.publishes[number]);
    }
    client->tag_pending = false;
}

/* Whether a subscription of the filter was ever limited in its rate: it holds values, and so may lose them. */
static bool ever_paced(const struct client *client, unsigned filter)
{
    for (uint32_t i = 0; i < client->request_count; i++) {
        const struct request *request = &client->requests[i];
        if (request->kind == REQUEST_SUB && request->filter == filter && request->granted.max_hz > 0)
            return true;
    }
    return false;
}

/* A policy takes nothing from somebody whose socket took all that it was given. */
static void check_cause(const struct client *client, unsigned filter, enum native_gap_reason why)
{
    bool policy = why == NATIVE_GAP_DROPPED_OLDEST || why == NATIVE_GAP_DROPPED_NEWEST ||
                  why == NATIVE_GAP_CONFLATED;
    require(client->world, !policy || client->link.ever_refused || ever_paced(client, filter),
            "loss only behind a refusal", "client %u got a GAP of %s (%s), and its socket never refused",
            client->index, client->world->profile.filter[filter], gap_names[why]);
}

static void hear_gap(struct client *client, struct cursor body, uint32_t count)
{
    struct native_gap gap;
    struct world *world = client->world;
    protocol(client, native_decode_gap(body, count, &gap), "GAP");
    unsigned filter = 0, why = 0;
    while (filter < world->profile.filters && !span_eq(gap.filter, span_str(world->profile.filter[filter])))
        filter++;
    while (why < NATIVE_GAP_COUNT && !span_eq(gap.reason, span_str(gap_names[why])))
        why++;
    require(world, filter < world->profile.filters && why < NATIVE_GAP_COUNT && gap.count > 0, "protocol",
            "client %u got a GAP of an unknown filter or reason, or of 0 messages", client->index);
    trace(world, "client %u hears GAP %s %llu %s", client->index, world->profile.filter[filter],
          (unsigned long long)gap.count, gap_names[why]);
    check_cause(client, filter, (enum native_gap_reason)why);
    client->gap[filter][why] += gap.count;
    client->gap_sum += gap.count;
    tally.gaps[why] += gap.count;
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void hear_bye(struct client *client, struct cursor body, uint32_t count)
{
    struct native_bye bye;
    protocol(client, native_decode_bye(body, count, &bye), "BYE");
    client->bye = true;
    snprintf(client->bye_code, sizeof client->bye_code, "%.*s", (int)bye.code.len,
             (const char *)bye.code.data);
    trace(client->world, "client %u hears BYE %s", client->index, client->bye_code);
    require(client->world, client->link.ever_refused || strcmp(client->bye_code, "too_slow") != 0,
            "loss only behind a refusal", "client %u is too slow, and its socket never refused", client->index);
    tally.too_slow += strcmp(client->bye_code, "too_slow") == 0;
    tally.fattest += strcmp(client->bye_code, "overloaded") == 0;
    tally.timeouts +=
        strcmp(client->bye_code, "timeout") == 0 || strcmp(client->bye_code, "keepalive_timeout") == 0;
}

static void hear_ping(struct client *client)
{
    client->pings++;
    if (client->mute || client->silent || client->out.len > 0)
        return;
    client_request(client, REQUEST_PONG);
    protocol(client, native_encode_pong(&client->out), "PING");
    client_request_written(client);
}

static void hear_welcome(struct client *client, struct cursor body, uint32_t count)
{
    struct native_welcome welcome;
    protocol(client, native_decode_welcome(body, count, &welcome), "WELCOME");
    require(client->world, !client->welcome, "protocol", "client %u was welcomed twice", client->index);
    client->welcome = true;
}

static void hear(struct client *client, struct span frame)
{
    struct world *world = client->world;
    uint32_t op, count, tag;
    struct cursor body;
    protocol(client, native_open(frame, &op, &count, &body), "frame");
    require(world, !client->bye, "protocol", "client %u got a frame after BYE", client->index);
    require(world, client->welcome || op == NATIVE_WELCOME || op == NATIVE_BYE, "protocol",
            "client %u got op %u before WELCOME", client->index, op);
    require(world, !client->tag_pending || op == NATIVE_MSG, "protocol", "client %u got op %u behind TAG",
            client->index, op);
    switch (op) {
    case NATIVE_WELCOME:
        hear_welcome(client, body, count);
        break;
    case NATIVE_OK:
        hear_ok(client, body, count);
        break;
    case NATIVE_ERR:
        hear_err(client, body, count);
        break;
    case NATIVE_MSG:
        hear_msg(client, body, count);
        break;
    case NATIVE_GAP:
        hear_gap(client, body, count);
        break;
    case NATIVE_BYE:
        hear_bye(client, body, count);
        break;
    case NATIVE_PING:
        hear_ping(client);
        break;
    case NATIVE_PONG:
        client->pongs++;
        break;
    case NATIVE_TAG:
        protocol(client, native_decode_tag(body, count, &tag), "TAG");
        client->tag_pending = true;
        client->tag = tag;
        break;
    default:
        require(world, false, "protocol", "client %u got op %u", client->index, op);
    }
}

void client_receive(struct client *client, struct span bytes)
{
    struct world *world = client->world;
    world->hash = XXH3_64bits_withSeed(bytes.data, bytes.len, world->hash + client->index);
    if (client->wild)
        return;
    protocol(client, wire_buf_append(&client->in, bytes.data, bytes.len), "buffer");
    struct span in = span_of(client->in.data, client->in.len), frame;
    size_t need;
    enum err e;
    while ((e = native_next_frame(&in, UINT32_MAX, &frame, &need)) == ERR_NONE)
        hear(client, frame);
    require(world, e == ERR_TRUNCATED, "protocol", "client %u: the stream is torn", client->index);
    wire_buf_consume(&client->in, client->in.len - in.len);
}

void client_closed(struct client *client, bool lost)
{
    struct world *world = client->world;
    trace(world, "client %u is closed by the broker%s", client->index, lost ? " (lost)" : "");
    client->session = NULL;
    client->end = lost ? END_LOST_BY_BROKER : END_GOODBYE;
    require(world, lost || client->wild || (client->bye && client->in.len == 0), "goodbye",
            "client %u was closed in good order without BYE", client->index);
}
