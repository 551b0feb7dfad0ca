#include "broker/delivery/blocking.h"

#include <stdlib.h>

#include "broker/delivery/delivery.h"
#include "broker/memory.h"

bool blocking_full(const struct subscription *sub, const struct outbox *publisher)
{
    if (sub->policy != NATIVE_POLICY_BLOCK || sub->outbox == publisher || sub->ended)
        return false;
    if (sub->outbox->verdict != OUTBOX_GOOD || sub->queued == 0)
        return false;
    return sub->queued >= sub->queue ||
           outbox_bytes(sub->outbox) >= sub->outbox->delivery->settings->queue_bytes;
}

static void stuck(struct timer *timer)
{
    struct blocking *blocking = (struct blocking *)((char *)timer - offsetof(struct blocking, deadline));
    struct outbox *outbox = blocking->sub->outbox;
    delivery_condemn(outbox->delivery, outbox, OUTBOX_TOO_SLOW);
}

static void put_off(struct blocking *blocking)
{
    struct delivery *delivery = blocking->sub->outbox->delivery;
    timer_start(delivery->wheel, &blocking->deadline, *delivery->now_ms + delivery->settings->block_timeout);
}

void blocking_wait(struct subscription *sub, struct waiter *waiter)
{
    if (!sub->blocking) {
        sub->blocking = memory_must(sizeof *sub->blocking);
        sub->blocking->sub = sub;
        sub->blocking->deadline.fire = stuck;
        put_off(sub->blocking);
    }
    waiter->blocking = sub->blocking;
    waiter->prev = NULL;
    waiter->next = sub->blocking->first;
    if (waiter->next)
        waiter->next->prev = waiter;
    sub->blocking->first = waiter;
}

static void dissolve(struct blocking *blocking)
{
    timer_stop(blocking->sub->outbox->delivery->wheel, &blocking->deadline);
    blocking->sub->blocking = NULL;
    free(blocking);
}

void blocking_leave(struct waiter *waiter)
{
    struct blocking *blocking = waiter->blocking;
    if (!blocking)
        return;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        blocking->first = waiter->next;
    *waiter = (struct waiter){0};
    if (!blocking->first)
        dissolve(blocking);
}

void blocking_progress(struct subscription *sub)
{
    if (!sub->blocking)
        return;
    bool room = sub->queued <= sub->queue / 2 &&
                outbox_bytes(sub->outbox) <= sub->outbox->delivery->settings->queue_bytes / 2;
    /* With nothing queued it is not full whatever else the connection holds, and there will be no other progress. */
    if (room || sub->queued == 0)
        blocking_release(sub);
    else
        put_off(sub->blocking);
}

void blocking_release(struct subscription *sub)
{
    const struct delivery_ops *ops = sub->outbox->delivery->ops;
    while (sub->blocking) {
        struct waiter *waiter = sub->blocking->first;
        blocking_leave(waiter);
        ops->publisher_resumed(waiter);
    }
}
