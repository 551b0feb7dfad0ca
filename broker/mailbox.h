/*
 * What shards say to each other. A shard stages mails during its turn and flushes them at the end: one lock and at
 * most one wake-up per receiver and turn. The receiver takes its whole queue at once and works it off without a lock.
 * Mails from one shard to another arrive in the order of staging. What a mail says is the shards' business.
 *
 *   shard 0: stage ─► staged[1] ─┐ flush: lock, append, unlock, wake      ┌─► deliver
 *   shard 2: stage ─► staged[1] ─┴─► box 1: queue ─► receive: lock, take ─┘
 *   shard 0: may stage again ◄────── bytes delivered ◄── box 1's next flush
 *
 * Bound: the data bytes under way from one shard to another. At the bound data mails are refused, and the sender is
 * told when half of it is free again; nobody waits inside. Control mails (charge 0) always fit: whoever sends them has
 * a bound of its own (one per publish that waits; INTEREST_UNCONFIRMED_MAX; one per subscription that ends). The lists of
 * mails themselves grow as needed: they are small and uncounted, out of memory aborts; what grew large is given back
 * when empty.
 *
 * Threads: a box belongs to one shard and is used on its thread. mailroom_* functions before the first thread starts
 * and after the last one ended.
 */
#ifndef SLUICE_BROKER_MAILBOX_H
#define SLUICE_BROKER_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAIL_BODY_WORDS = 7 };

/* One cache line. The shards define what their kinds carry: structs of at most sizeof body bytes, copied in and out. */
struct mail {
    uint16_t kind;
    uint16_t from;   /* sending shard; written by mailbox_stage() */
    uint32_t charge; /* bytes; written by mailbox_stage() */
    uint64_t body[MAIL_BODY_WORDS];
};
_Static_assert(sizeof(struct mail) == 64, "a mail is one cache line");

struct mailroom; /* all boxes of a broker */
struct mailbox;  /* one shard's */

/* A shard that sleeps has mail, or room again. Called on the sender's thread, outside of all locks, at most once until
 * that shard receives. In a simulation it may do nothing, as long as every shard gets to receive. */
typedef void mailbox_wake(void *context, unsigned shard);

/* `bound_bytes` holds for each pair of shards and direction. Never NULL. */
struct mailroom *mailroom_new(unsigned shards, uint64_t bound_bytes, mailbox_wake *wake, void *context);
/* Borrowed. */
struct mailbox *mailroom_box(struct mailroom *room, unsigned shard);
/* Hands over each mail that was not delivered, staged ones included, so that what it holds can be released. */
typedef void mailbox_dispose(void *context, unsigned receiver, const struct mail *mail);
void mailroom_discard(struct mailroom *room, mailbox_dispose *dispose, void *context);
/* There must be no mail left. */
void mailroom_free(struct mailroom *room);

/* Copies the mail for the receiver. A data mail (charge_bytes > 0; small ones count as the size of a mail) is refused
 * with false when the bytes under way to that receiver would pass the bound; one is always accepted when there are
 * none. After a refusal `credit` is called once there is room. */
bool mailbox_stage(struct mailbox *box, unsigned receiver, const struct mail *mail, uint32_t charge_bytes);

/* The end of the shard's turn: sends what is staged, and lets senders know what was delivered. */
void mailbox_flush(struct mailbox *box);

/* Whether any receiver has refused and not given room since. */
bool mailbox_congested(const struct mailbox *box);

/* The callbacks may stage mails and flush, not receive. */
typedef void mailbox_deliver(void *context, const struct mail *mail);
/* A receiver that had refused has at least half its bound free again, and room for the largest mail it refused. */
typedef void mailbox_credit(void *context, unsigned receiver);

/* Delivers everything that has arrived, then tells of room. Whether there was any of it. `credit` may be NULL. */
bool mailbox_receive(struct mailbox *box, mailbox_deliver *deliver, mailbox_credit *credit, void *context);

#endif
