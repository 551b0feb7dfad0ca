#include "clients/cli/bench_ledger.h"

#include <assert.h>
#include <stdlib.h>

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert(memory && "a load generator without memory has nothing to measure");
    return memory;
}

void ledger_init(struct ledger *ledger, uint32_t publishers, uint32_t streams, uint32_t receivers)
{
    *ledger = (struct ledger){
        .streams = zeroed(streams, sizeof *ledger->streams),
        .publishers = zeroed(publishers, sizeof *ledger->publishers),
        .receivers = zeroed(receivers, sizeof *ledger->receivers),
        .flows = zeroed((size_t)receivers * streams, sizeof *ledger->flows),
        .stream_count = streams,
        .publisher_count = publishers,
        .receiver_count = receivers,
    };
}

void ledger_fini(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->publisher_count; i++)
        free(ledger->publishers[i].waiting);
    free(ledger->streams);
    free(ledger->publishers);
    free(ledger->receivers);
    free(ledger->flows);
}

/* ---- who is to receive what ----------------------------------------------------------------------------- */

void ledger_add_stream(struct ledger *ledger, uint32_t publisher, struct span topic)
{
    struct publisher *p = &ledger->publishers[publisher];
    uint32_t stream = ledger->streams_added++;
    assert(stream < ledger->stream_count);
    if (p->stream_count == 0)
        p->stream_first = stream;
    assert(stream == p->stream_first + p->stream_count);
    p->stream_count++;
    ledger->streams[stream] = (struct stream){.topic = topic, .publisher = publisher};
}

void ledger_want(struct ledger *ledger, uint32_t receiver, uint32_t stream)
{
    ledger->flows[(size_t)receiver * ledger->stream_count + stream].wanted = 1;
    ledger->streams[stream].receivers++;
}

void ledger_start(struct ledger *ledger, uint64_t window)
{
    assert(ledger->streams_added == ledger->stream_count);
    for (uint32_t r = 0; r < ledger->receiver_count; r++)
        for (uint32_t s = 0; s < ledger->stream_count; s++)
            ledger->flows[(size_t)r * ledger->stream_count + s].next =
                s - ledger->publishers[ledger->streams[s].publisher].stream_first;
    uint64_t slots = 1;
    while (slots < window)
        slots *= 2;
    for (uint32_t p = 0; p < ledger->publisher_count && window > 0; p++) {
        ledger->publishers[p].waiting = zeroed(slots, sizeof(uint32_t));
        ledger->publishers[p].mask = slots - 1;
    }
}

/* ---- messages ------------------------------------------------------------------------------------------- */

uint64_t ledger_send(struct ledger *ledger, uint32_t publisher, uint32_t *stream)
{
    struct publisher *p = &ledger->publishers[publisher];
    *stream = p->stream_first + (uint32_t)(p->stream_count > 1 ? p->sent % p->stream_count : 0);
    if (p->waiting) {
        assert(p->waiting[p->sent & p->mask] == 0);
        p->waiting[p->sent & p->mask] = ledger->streams[*stream].receivers;
    }
    return p->sent++;
}

uint64_t ledger_on_the_way(struct ledger *ledger, uint32_t publisher)
{
    struct publisher *p = &ledger->publishers[publisher];
    if (!p->waiting)
        return 0;
    while (p->low < p->sent && p->waiting[p->low & p->mask] == 0)
        p->low++;
    return p->sent - p->low;
}

/* A message ahead of the one that was due: those between are passed over, and nobody waits for them any more. */
static void skip_to(struct ledger *ledger, struct flow *flow, uint32_t receiver, uint32_t stream,
                    uint64_t number)
{
    uint32_t publisher = ledger->streams[stream].publisher;
    uint64_t step = ledger->publishers[publisher].stream_count;
    for (; flow->next < number; flow->next += step) {
        ledger_count_down(ledger, publisher, flow->next);
        flow->seen <<= 1;
        ledger->receivers[receiver].skipped++;
    }
    flow->next += step;
    flow->seen = flow->seen << 1 | 1;
    ledger->receivers[receiver].received++;
    ledger_count_down(ledger, publisher, number);
}

/* A message behind the one that is due: one that was passed over before, or a second copy. */
static void look_back(struct flow *flow, struct receiver *receiver, uint64_t behind)
{
    uint64_t bit = behind <= LEDGER_MEMORY ? (uint64_t)1 << (behind - 1) : 0;
    if (!bit || (flow->seen & bit)) {
        receiver->duplicated++;
        return;
    }
    flow->seen |= bit;
    receiver->reordered++;
    receiver->skipped--;
    receiver->received++;
}

void ledger_receive_odd(struct ledger *ledger, uint32_t receiver, uint32_t stream, uint64_t number)
{
    struct flow *flow = &ledger->flows[(size_t)receiver * ledger->stream_count + stream];
    const struct publisher *p = &ledger->publishers[ledger->streams[stream].publisher];
    uint64_t place = p->stream_first + number % p->stream_count;
    if (!flow->wanted || number >= p->sent || place != stream)
        ledger->receivers[receiver].foreign++;
    else if (number > flow->next)
        skip_to(ledger, flow, receiver, stream, number);
    else
        look_back(flow, &ledger->receivers[receiver], (flow->next - number) / p->stream_count);
}

void ledger_report(struct ledger *ledger, uint32_t receiver, uint64_t count)
{
    ledger->receivers[receiver].reported += count;
}

void ledger_receive_damaged(struct ledger *ledger, uint32_t receiver)
{
    ledger->receivers[receiver].foreign++;
}

/* ---- the result ----------------------------------------------------------------------------------------- */

uint64_t ledger_received(const struct ledger *ledger)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ledger->receiver_count; i++)
        sum += ledger->receivers[i].received;
    return sum;
}

/* Messages that went to a stream: of n messages dealt out in turn to k streams. */
static uint64_t sent_to(const struct ledger *ledger, uint32_t stream)
{
    const struct publisher *p = &ledger->publishers[ledger->streams[stream].publisher];
    uint64_t place = stream - p->stream_first;
    return p->sent / p->stream_count + (place < p->sent % p->stream_count);
}

static uint64_t expected_by(const struct ledger *ledger, uint32_t receiver)
{
    const struct flow *flows = &ledger->flows[(size_t)receiver * ledger->stream_count];
    uint64_t sum = 0;
    for (uint32_t s = 0; s < ledger->stream_count; s++)
        if (flows[s].wanted)
            sum += sent_to(ledger, s);
    return sum;
}

bool ledger_complete(const struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->receiver_count; i++)
        if (ledger->receivers[i].received + ledger->receivers[i].reported < expected_by(ledger, i))
            return false;
    return true;
}

struct verdict ledger_judge(const struct ledger *ledger)
{
    struct verdict verdict = {0};
    for (uint32_t i = 0; i < ledger->receiver_count; i++) {
        const struct receiver *r = &ledger->receivers[i];
        uint64_t expected = expected_by(ledger, i), known = r->received + r->reported;
        verdict.expected += expected;
        verdict.received += r->received;
        verdict.reported += r->reported;
        verdict.missing += known < expected ? expected - known : 0;
        verdict.overstated += known > expected ? known - expected : 0;
        verdict.duplicated += r->duplicated;
        verdict.reordered += r->reordered;
        verdict.foreign += r->foreign;
    }
    verdict.good =
        verdict.missing + verdict.overstated + verdict.duplicated + verdict.reordered + verdict.foreign == 0;
    return verdict;
}
