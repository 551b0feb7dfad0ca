/*
 * The ledger: who was to receive which message, and who did. It gives out the numbers of a run, checks every delivery
 * for loss, order and duplicates, and tells a publisher how many of its messages are still on their way.
 * Knows neither sockets nor frames. One thread.
 *
 *   publisher 0 ── messages 0 1 2 3 4 5 ...          a publisher's messages go to its streams in turn
 *        ├── stream 0 (topic a) ── 0 2 4 ...  ──► receivers 0 and 1      flow = one stream at one receiver
 *        └── stream 1 (topic b) ── 1 3 5 ...  ──► receiver 1
 */
#ifndef SLUICE_BENCH_LEDGER_H
#define SLUICE_BENCH_LEDGER_H

#include "clients/cli/bench_histogram.h"
#include "proto/span.h"

/* How far back a late message is told from a second copy. */
enum { LEDGER_MEMORY = 64 };

struct flow {
    uint64_t next;   /* number of the message that is due; ahead of all that were received */
    uint64_t seen;   /* bit i: the i-th message before `next` was received */
    uint32_t wanted; /* whether this receiver is to get this stream */
};

struct stream {
    struct span topic; /* borrows */
    uint32_t publisher;
    uint32_t receivers;
};

struct publisher {
    uint32_t stream_first, stream_count;
    uint64_t sent; /* messages; the number of the next one */
    uint64_t low;  /* all messages below have been received by everybody */
    uint32_t
        *waiting; /* owns: [number & mask], how many receivers a message still misses; NULL: not tracked */
    uint64_t mask;
};

struct receiver {
    uint64_t received;   /* each message once */
    uint64_t reported;   /* that the broker said it dropped */
    uint64_t skipped;    /* were passed over by later ones */
    uint64_t duplicated; /* came again */
    uint64_t reordered;  /* came after later ones */
    uint64_t foreign;    /* do not belong to this receiver, or are damaged */
};

struct ledger {
    struct stream *streams;       /* owns */
    struct publisher *publishers; /* owns */
    struct receiver *receivers;   /* owns */
    struct flow *flows;           /* owns: [receiver * stream_count + stream] */
    uint32_t stream_count, publisher_count, receiver_count;
    uint32_t streams_added;
    struct histogram *latency; /* borrows; NULL: durations are not of interest */
};

/* Everything zero; streams, publishers and wanted flows are the caller's to fill in. Aborts without memory. */
void ledger_init(struct ledger *ledger, uint32_t publishers, uint32_t streams, uint32_t receivers);
void ledger_fini(struct ledger *ledger);
/* The next stream of the topic goes to this publisher; the streams of one publisher are added in a row. */
void ledger_add_stream(struct ledger *ledger, uint32_t publisher, struct span topic);
void ledger_want(struct ledger *ledger, uint32_t receiver, uint32_t stream);
/* Sets the flows to their first message, and tracks at most `window` messages per publisher (0: no tracking).
 * Once, behind the last ledger_want(). */
void ledger_start(struct ledger *ledger, uint64_t window);

/* Takes the next number of a publisher; *stream is where it goes. With tracking: only while ledger_on_the_way() is
 * below the window. */
uint64_t ledger_send(struct ledger *ledger, uint32_t publisher, uint32_t *stream);
/* Messages from the first one that somebody still misses. */
uint64_t ledger_on_the_way(struct ledger *ledger, uint32_t publisher);

/* A delivery that is not the one that was due. */
void ledger_receive_odd(struct ledger *ledger, uint32_t receiver, uint32_t stream, uint64_t number);

static inline void ledger_count_down(struct ledger *ledger, uint32_t publisher, uint64_t number)
{
    struct publisher *p = &ledger->publishers[publisher];
    if (p->waiting)
        p->waiting[number & p->mask]--;
}

/* Enters one delivery; `took_ns` is how long it was on its way. */
static inline void ledger_receive(struct ledger *ledger, uint32_t receiver, uint32_t stream,
                                  struct span topic, uint64_t number, uint64_t took_ns)
{
    if (stream >= ledger->stream_count || !span_eq(topic, ledger->streams[stream].topic)) {
        ledger->receivers[receiver].foreign++;
        return;
    }
    struct flow *flow = &ledger->flows[(size_t)receiver * ledger->stream_count + stream];
    uint32_t publisher = ledger->streams[stream].publisher;
    if (number != flow->next || !flow->wanted || number >= ledger->publishers[publisher].sent) {
        ledger_receive_odd(ledger, receiver, stream, number);
        return;
    }
    flow->next += ledger->publishers[publisher].stream_count;
    flow->seen = flow->seen << 1 | 1;
    ledger->receivers[receiver].received++;
    ledger_count_down(ledger, publisher, number);
    if (ledger->latency)
        histogram_record(ledger->latency, took_ns);
}

/* The broker says that `count` messages were dropped on the way to the receiver. */
void ledger_report(struct ledger *ledger, uint32_t receiver, uint64_t count);
void ledger_receive_damaged(struct ledger *ledger, uint32_t receiver);

/* Deliveries so far, over all receivers; each message counts once per receiver. */
uint64_t ledger_received(const struct ledger *ledger);
/* Whether every receiver has all that was sent to it, or a report of its loss. */
bool ledger_complete(const struct ledger *ledger);

struct verdict {
    uint64_t expected, received;
    uint64_t reported;   /* lost, and the broker said so */
    uint64_t missing;    /* lost, and nobody said so */
    uint64_t overstated; /* said to be lost, but they came */
    uint64_t duplicated, reordered, foreign;
    bool good; /* nothing of the sort but reported losses */
};
/* Final once ledger_complete(); before that, what is still on its way counts as missing. */
struct verdict ledger_judge(const struct ledger *ledger);

#endif
