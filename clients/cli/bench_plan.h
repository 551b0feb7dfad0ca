/*
 * Who subscribes to what and publishes to what in a scenario, as a ledger and the greetings of the connections. Owned
 * by the scenario; one thread.
 */
#ifndef SLUICE_BENCH_PLAN_H
#define SLUICE_BENCH_PLAN_H

#include "clients/cli/bench.h"

enum {
    PLAN_NAME_BYTES = 40,
    PLAN_RELAY_FRAME_MAX = 32 * 1024 /* bytes that the relay passes on whole */
};

struct plan_filter {
    uint32_t receiver;
    char text[PLAN_NAME_BYTES];
};

struct plan {
    const struct bench_options *options; /* borrows */
    enum bench_shape shape;
    bool relay;
    uint32_t run;
    struct ledger ledger;
    char (*topics)[PLAN_NAME_BYTES]; /* owns: one per stream */
    struct plan_filter *filters;     /* owns, sorted by receiver */
    uint32_t filter_count;
    struct wire_buf frames; /* one published pair per stream, back to back */
    uint32_t *frame_at;     /* owns: where they start; one more than there are streams */
};

/* All but the ledger's start. `run` makes the topics this run's own. */
void plan_init(struct plan *plan, enum bench_shape shape, const struct bench_options *options, bool relay,
               uint32_t run);
void plan_fini(struct plan *plan);

/* What a publisher says first. Returns the number of answers that follow; the bytes begin behind NET_HEADROOM. */
uint32_t plan_greet_publisher(const struct plan *plan, uint32_t publisher, struct wire_buf *out);
/* The same for a receiver, with its subscriptions. */
uint32_t plan_greet_receiver(const struct plan *plan, uint32_t receiver, struct wire_buf *out);
/* The same for one subscription, outside of a plan. */
uint32_t plan_greet_single(const struct bench_options *options, bool relay, const char *filter,
                           struct wire_buf *out);

/* The pair that is published on a stream; its payload is the last options->size bytes. */
static inline struct span plan_frame(const struct plan *plan, uint32_t stream)
{
    return span_of(plan->frames.data + plan->frame_at[stream],
                   plan->frame_at[stream + 1] - plan->frame_at[stream]);
}

#endif
