#include "clients/cli/bench_plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/native_reply.h"

enum { MATCHES_PER_TOPIC = 4 };

/* Of the subs scenario: what matches a topic. Both kinds: two exact subscriptions, and one on each of its levels. */
static const struct {
    const char *kind; /* NULL: what --filters is when nothing is said */
    const char *filters[MATCHES_PER_TOPIC];
} mixtures[] = {
    {NULL, {"%05u/v%05u", "%05u/v%05u", "%05u/+", "+/v%05u"}},
    {"exact", {"%05u/v%05u", "%05u/v%05u", "%05u/v%05u", "%05u/v%05u"}},
    {"wildcard", {"%05u/+", "+/v%05u", "%05u/#", "+/v%05u"}},
};

static void must(enum err e)
{
    assert(e == ERR_NONE && "a load generator without memory has nothing to measure");
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert(memory && "a load generator without memory has nothing to measure");
    return memory;
}

/* ---- topics and subscriptions --------------------------------------------------------------------------- */

/* Names have a fixed width: the relay mixes the frames of publishers in units of one size. */
static void name(char out[PLAN_NAME_BYTES], const struct plan *plan, const char *format, uint32_t number)
{
    int len = snprintf(out, PLAN_NAME_BYTES, "bench/%08x/", plan->run);
    snprintf(out + len, PLAN_NAME_BYTES - (size_t)len, format, number, number);
}

static void add_stream(struct plan *plan, uint32_t publisher, const char *format, uint32_t number)
{
    char *topic = plan->topics[plan->ledger.streams_added];
    name(topic, plan, format, number);
    ledger_add_stream(&plan->ledger, publisher, span_str(topic));
}

static void add_filter(struct plan *plan, uint32_t receiver, const char *format, uint32_t number)
{
    struct plan_filter *filter = &plan->filters[plan->filter_count++];
    filter->receiver = receiver;
    name(filter->text, plan, format, number);
}

static void reserve(struct plan *plan, uint64_t publishers, uint64_t streams, uint64_t receivers,
                    uint64_t filters)
{
    ledger_init(&plan->ledger, (uint32_t)publishers, (uint32_t)streams, (uint32_t)receivers);
    plan->topics = zeroed(streams, sizeof *plan->topics);
    plan->filters = zeroed(filters, sizeof *plan->filters);
}

/* Every publisher on the same topic, and every receiver gets them all. Fan-in: each publisher on a topic of its own,
 * and the receivers' filter is a wildcard. */
static void plan_all(struct plan *plan, const char *topic, const char *filter)
{
    uint32_t pubs = (uint32_t)plan->options->pubs, subs = (uint32_t)plan->options->subs;
    reserve(plan, pubs, pubs, subs, subs);
    for (uint32_t p = 0; p < pubs; p++)
        add_stream(plan, p, topic, p);
    for (uint32_t r = 0; r < subs; r++) {
        add_filter(plan, r, filter, 0);
        for (uint32_t p = 0; p < pubs; p++)
            ledger_want(&plan->ledger, r, p);
    }
}

static void plan_pairs(struct plan *plan)
{
    uint32_t pairs = (uint32_t)plan->options->pairs;
    reserve(plan, pairs, pairs, pairs, pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        add_stream(plan, i, "%05u", i);
        add_filter(plan, i, "%05u", i);
        ledger_want(&plan->ledger, i, i);
    }
}

static const char *const *filters_of(const char *kind)
{
    for (size_t i = 1; kind && i < sizeof mixtures / sizeof mixtures[0]; i++)
        if (strcmp(mixtures[i].kind, kind) == 0)
            return mixtures[i].filters;
    return mixtures[0].filters;
}

/* One publisher goes round all topics `NUMBER/vNUMBER`; the subscriptions of a topic lie at different receivers, and
 * those of a receiver at different topics. */
static void plan_subs(struct plan *plan)
{
    const char *const *filters = filters_of(plan->options->filters);
    uint32_t subs = (uint32_t)plan->options->subs;
    uint32_t topics = (uint32_t)plan->options->subscriptions / MATCHES_PER_TOPIC;
    reserve(plan, 1, topics, subs, (uint64_t)topics * MATCHES_PER_TOPIC);
    for (uint32_t t = 0; t < topics; t++) {
        add_stream(plan, 0, "%05u/v%05u", t);
        for (uint32_t i = 0; i < MATCHES_PER_TOPIC; i++) {
            uint32_t receiver = (t * MATCHES_PER_TOPIC + i) % subs;
            add_filter(plan, receiver, filters[i], t);
            ledger_want(&plan->ledger, receiver, t);
        }
    }
}

static int by_receiver(const void *a, const void *b)
{
    uint32_t left = ((const struct plan_filter *)a)->receiver;
    uint32_t right = ((const struct plan_filter *)b)->receiver;
    return left < right ? -1 : left > right;
}

/* ---- frames --------------------------------------------------------------------------------------------- */

/* To a broker goes PUB. To the relay goes what a broker would make of it: receivers check the same bytes. */
static void put_frame(struct wire_buf *out, const struct native_pub *pub, bool relay)
{
    if (!relay) {
        must(native_encode_pub(out, pub));
        return;
    }
    must(wire_buf_reserve(out, native_msg_bytes_max(pub)));
    out->len += native_put_msg(out->data + out->len, pub, 0);
}

static void make_frames(struct plan *plan)
{
    uint32_t streams = plan->ledger.stream_count;
    uint8_t *payload = zeroed(plan->options->size, 1);
    plan->frame_at = zeroed(streams + 1, sizeof *plan->frame_at);
    wire_buf_init(&plan->frames, 0);
    for (uint32_t i = 0; i < streams; i++) {
        struct native_pub pub = {.topic = plan->ledger.streams[i].topic,
                                 .payload = span_of(payload, plan->options->size)};
        plan->frame_at[i] = (uint32_t)plan->frames.len;
        put_frame(&plan->frames, &pub, plan->relay);
    }
    plan->frame_at[streams] = (uint32_t)plan->frames.len;
    free(payload);
}

void plan_init(struct plan *plan, enum bench_shape shape, const struct bench_options *options, bool relay,
               uint32_t run)
{
    *plan = (struct plan){.options = options, .shape = shape, .relay = relay, .run = run};
    switch (shape) {
    case SHAPE_ALL:
        plan_all(plan, "all", "all");
        break;
    case SHAPE_FANIN:
        plan_all(plan, "%05u", "+");
        break;
    case SHAPE_PAIRS:
        plan_pairs(plan);
        break;
    case SHAPE_SUBS:
        plan_subs(plan);
        break;
    }
    qsort(plan->filters, plan->filter_count, sizeof *plan->filters, by_receiver);
    make_frames(plan);
}

void plan_fini(struct plan *plan)
{
    ledger_fini(&plan->ledger);
    wire_buf_fini(&plan->frames);
    free(plan->topics);
    free(plan->filters);
    free(plan->frame_at);
}

/* ---- greetings ------------------------------------------------------------------------------------------ */

static void start_greeting(struct wire_buf *out)
{
    static const uint8_t headroom[NET_HEADROOM];
    wire_buf_init(out, 0);
    must(wire_buf_append(out, headroom, sizeof headroom));
}

static struct span text_or_nothing(const char *text)
{
    return text ? span_str(text) : (struct span){0};
}

static void put_hello(const struct bench_options *options, struct wire_buf *out)
{
    struct native_hello hello = {.version = NATIVE_VERSION,
                                 .user = text_or_nothing(options->common.user),
                                 .password = text_or_nothing(options->common.password),
                                 .token = text_or_nothing(options->common.token)};
    must(native_encode_hello(out, &hello));
}

static void put_sub(struct wire_buf *out, uint64_t id, const char *filter)
{
    struct native_sub sub = {.id = id, .filter = span_str(filter)};
    must(native_encode_sub(out, &sub));
}

/* tests/bench/relay.c describes it. Larger frames than it can hold back are passed on in the pieces they come in. */
static uint32_t put_role(struct wire_buf *out, char role, uint32_t group, size_t frame)
{
    if (frame > PLAN_RELAY_FRAME_MAX)
        frame = 0;
    uint8_t bytes[] = {(uint8_t)role,          (uint8_t)(group >> 8), (uint8_t)group, (uint8_t)(frame >> 24),
                       (uint8_t)(frame >> 16), (uint8_t)(frame >> 8), (uint8_t)frame};
    must(wire_buf_append(out, bytes, sizeof bytes));
    return 1;
}

uint32_t plan_greet_publisher(const struct plan *plan, uint32_t publisher, struct wire_buf *out)
{
    start_greeting(out);
    if (plan->relay)
        return put_role(out, 'P', plan->shape == SHAPE_PAIRS ? publisher : 0,
                        plan_frame(plan, publisher).len);
    put_hello(plan->options, out);
    return 1;
}

static uint32_t first_filter_of(const struct plan *plan, uint32_t receiver)
{
    uint32_t low = 0, high = plan->filter_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (plan->filters[middle].receiver < receiver)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t plan_greet_receiver(const struct plan *plan, uint32_t receiver, struct wire_buf *out)
{
    start_greeting(out);
    if (plan->relay)
        return put_role(out, 'S', plan->shape == SHAPE_PAIRS ? receiver : 0, 0);
    put_hello(plan->options, out);
    uint32_t count = 0;
    for (uint32_t i = first_filter_of(plan, receiver);
         i < plan->filter_count && plan->filters[i].receiver == receiver; i++)
        put_sub(out, ++count, plan->filters[i].text);
    return 1 + count;
}

uint32_t plan_greet_single(const struct bench_options *options, bool relay, const char *filter,
                           struct wire_buf *out)
{
    start_greeting(out);
    if (relay)
        return put_role(out, 'S', 0, 0);
    put_hello(options, out);
    put_sub(out, 1, filter);
    return 2;
}
