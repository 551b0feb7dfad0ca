/*
 * The deadlines of one shard: a hierarchical timing wheel (Varghese and Lauck, 1987) with a tick of one millisecond.
 * Starting and stopping cost the same however many timers there are, nothing is allocated, and a jump over an idle
 * hour costs a few steps. It reads no clock: whoever turns it says what time it is. Shard thread.
 *
 *   level 0   64 slots of 1 ms       what is due in the current 64 ms
 *   level 1   64 slots of 64 ms      ... in the current 4 s, but not in the current 64 ms
 *   level 2   64 slots of 4,096 ms   ... and so on, up to all of uint64_t
 *
 * A timer lies on the level of the highest 6-bit digit in which its due time differs from the current tick. So all of
 * a level is due before anything on the next, and the first work is in the first slot of the lowest level that holds
 * anything. When the tick reaches a slot above level 0, its timers move down.
 */
#ifndef SLUICE_BROKER_TIMER_WHEEL_H
#define SLUICE_BROKER_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TIMER_LEVEL_BITS = 6,
    TIMER_SLOTS = 1 << TIMER_LEVEL_BITS,
    TIMER_LEVELS = 11, /* 11 digits of 6 bits hold a uint64_t: no due time is too far */
    TIMER_LISTS = TIMER_LEVELS * TIMER_SLOTS + 2
};

struct timer_link {
    struct timer_link *next, *prev; /* circular; NULL: not armed */
};

/* Embedded in its owner, who sets `fire` and otherwise leaves it alone; zeroed is not armed. It must be stopped before
 * its memory goes. */
struct timer {
    struct timer_link link; /* first */
    uint64_t due_ms;
    void (*fire)(struct timer *timer); /* no longer armed when called; may free the timer */
};

struct timer_wheel {
    uint64_t now_ms;  /* of the latest advance */
    uint64_t tick_ms; /* how far the slots have been worked off; behind now_ms only while firing */
    bool firing;      /* inside timer_wheel_advance() */
    uint64_t occupied[TIMER_LEVELS];     /* bit per slot */
    struct timer_link list[TIMER_LISTS]; /* the slots, then what is overdue and what is being fired */
};

/* The wheel holds pointers to itself: it stays where it is. */
void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/* Arms, or arms anew. What is due already fires at the next advance, even if that comes in the same millisecond. */
void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
/* Nothing happens when it is not armed. */
void timer_stop(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
    return timer->link.next != NULL;
}

/* Fires everything due: first what was overdue when started, in that order; then by due time, and timers of one due
 * time in the order of their starting. Callbacks may start and stop any timer, themselves included; what they start
 * for now_ms or earlier fires at the next advance. Time does not run backwards: an earlier now_ms counts as the last
 * one. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);

/* When advancing next has work to do: never late, for far timers early (a slot moves down). UINT64_MAX: no timer is
 * armed. */
uint64_t timer_wheel_next(const struct timer_wheel *wheel);

#endif
