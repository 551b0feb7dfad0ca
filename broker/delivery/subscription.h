/*
 * One subscription of one connection, as delivery sees it: its policy, its bound, and what it holds in its
 * outbox's queue. Embedded in the session's record of it; the router finds it by its filter. Shard thread.
 *
 * Lifetime: live while it is in the index. Once ended (UNSUB, replaced) it stays until the messages already
 * matched have left the queue, so that what was matched is delivered or reported; then the delivery's
 * subscription_drained hook gives it back to the session.
 */
#ifndef SLUICE_BROKER_SUBSCRIPTION_H
#define SLUICE_BROKER_SUBSCRIPTION_H

#include "proto/native_request.h"
#include "proto/span.h"

struct outbox;
struct queued;
struct rate;
struct blocking;

struct subscription {
    struct outbox *outbox;       /* borrows */
    struct queued *first, *last; /* its nodes in the outbox's queue, oldest first */
    struct rate *rate;           /* owns; NULL without max_hz */
    struct blocking *blocking;   /* publishers held back by this one; NULL: none. See blocking.h */
    const char *filter;          /* borrows from the record that embeds this */
    uint32_t filter_len;
    uint32_t order;  /* of the SUB in its connection: the lowest of several that match gets the copy */
    uint32_t queue;  /* bound in messages */
    uint32_t queued; /* messages in the outbox's queue */
    uint32_t tag;
    uint8_t policy; /* enum native_policy; never DEFAULT */
    bool prefixed;  /* independent: each message behind the encoder's prefix (TAG) */
    bool ended;     /* out of the index, draining */
};

static inline struct span subscription_filter(const struct subscription *sub)
{
    return span_of(sub->filter, sub->filter_len);
}

#endif
