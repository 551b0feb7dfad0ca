#include "broker/timer_wheel.h"

#include <assert.h>

enum { SLOTS_IN_ALL = TIMER_LEVELS * TIMER_SLOTS, OVERDUE = SLOTS_IN_ALL, FIRING };

_Static_assert(sizeof(struct timer) <= 40, "every session has one");
_Static_assert(TIMER_SLOTS == 64, "a level's occupancy is one word");

/* ---- lists ---------------------------------------------------------------------------------------------- */

static bool list_empty(const struct timer_link *list)
{
    return list->next == list;
}

static void list_append(struct timer_link *list, struct timer *timer)
{
    struct timer_link *last = list->prev;
    timer->link = (struct timer_link){.next = list, .prev = last};
    last->next = &timer->link;
    list->prev = &timer->link;
}

/* Moves all of `from` behind the end of `to`. */
static void list_move(struct timer_link *from, struct timer_link *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    *from = (struct timer_link){.next = from, .prev = from};
}

/* ---- slots ---------------------------------------------------------------------------------------------- */

static unsigned level_of(uint64_t tick_ms, uint64_t due_ms)
{
    uint64_t differing = tick_ms ^ due_ms;
    return differing == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differing)) / TIMER_LEVEL_BITS;
}

static void put_into_slot(struct timer_wheel *wheel, struct timer *timer)
{
    unsigned level = level_of(wheel->tick_ms, timer->due_ms);
    unsigned slot = (timer->due_ms >> (level * TIMER_LEVEL_BITS)) % TIMER_SLOTS;
    wheel->occupied[level] |= UINT64_C(1) << slot;
    list_append(&wheel->list[level * TIMER_SLOTS + slot], timer);
}

static void vacate(struct timer_wheel *wheel, unsigned index)
{
    wheel->occupied[index / TIMER_SLOTS] &= ~(UINT64_C(1) << index % TIMER_SLOTS);
}

/* When the slots have work next, and which slot. False: all are empty. */
static bool next_slot(const struct timer_wheel *wheel, uint64_t *when_ms, unsigned *index)
{
    unsigned level = 0;
    while (level < TIMER_LEVELS && wheel->occupied[level] == 0)
        level++;
    if (level == TIMER_LEVELS)
        return false;
    unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
    unsigned shift = level * TIMER_LEVEL_BITS;
    /* The digits above are those of the tick, the ones below are zero. */
    uint64_t above = level + 1 == TIMER_LEVELS ? 0 : wheel->tick_ms >> (shift + TIMER_LEVEL_BITS);
    *when_ms = ((above << TIMER_LEVEL_BITS) | slot) << shift;
    *index = level * TIMER_SLOTS + slot;
    return true;
}

/* ---- starting and stopping ------------------------------------------------------------------------------ */

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct timer_wheel){.now_ms = now_ms, .tick_ms = now_ms};
    for (unsigned i = 0; i < TIMER_LISTS; i++)
        wheel->list[i] = (struct timer_link){.next = &wheel->list[i], .prev = &wheel->list[i]};
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    timer_stop(wheel, timer);
    timer->due_ms = due_ms;
    if (due_ms <= wheel->now_ms)
        list_append(&wheel->list[OVERDUE], timer);
    else
        put_into_slot(wheel, timer);
}

void timer_stop(struct timer_wheel *wheel, struct timer *timer)
{
    struct timer_link *next = timer->link.next, *prev = timer->link.prev;
    if (!next)
        return;
    next->prev = prev;
    prev->next = next;
    timer->link = (struct timer_link){0};
    /* Only a list's head is ever alone. */
    if (next == prev && next - wheel->list < SLOTS_IN_ALL)
        vacate(wheel, (unsigned)(next - wheel->list));
}

/* ---- turning -------------------------------------------------------------------------------------------- */

/* Callbacks may stop timers that wait here, or start them elsewhere. */
static void fire_all(struct timer_wheel *wheel)
{
    struct timer_link *firing = &wheel->list[FIRING];
    while (!list_empty(firing)) {
        struct timer *timer = (struct timer *)firing->next;
        timer_stop(wheel, timer);
        timer->fire(timer);
    }
}

static void move_down(struct timer_wheel *wheel, struct timer_link *slot)
{
    struct timer_link moving = {.next = &moving, .prev = &moving};
    list_move(slot, &moving);
    while (!list_empty(&moving)) {
        struct timer *timer = (struct timer *)moving.next;
        moving.next = timer->link.next;
        moving.next->prev = &moving;
        put_into_slot(wheel, timer);
    }
}

static void work_off(struct timer_wheel *wheel, unsigned index)
{
    vacate(wheel, index);
    if (index >= TIMER_SLOTS) {
        move_down(wheel, &wheel->list[index]);
        return;
    }
    list_move(&wheel->list[index], &wheel->list[FIRING]);
    fire_all(wheel);
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
    assert(!wheel->firing);
    wheel->firing = true;
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    list_move(&wheel->list[OVERDUE], &wheel->list[FIRING]);
    fire_all(wheel);
    unsigned index;
    uint64_t when_ms;
    while (next_slot(wheel, &when_ms, &index) && when_ms <= wheel->now_ms) {
        wheel->tick_ms = when_ms;
        work_off(wheel, index);
    }
    wheel->tick_ms = wheel->now_ms;
    wheel->firing = false;
}

uint64_t timer_wheel_next(const struct timer_wheel *wheel)
{
    if (!list_empty(&wheel->list[OVERDUE]))
        return wheel->now_ms;
    unsigned index;
    uint64_t when_ms;
    return next_slot(wheel, &when_ms, &index) ? when_ms : UINT64_MAX;
}
