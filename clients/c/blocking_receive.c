#include <stdlib.h>
#include <utlist.h>

#include "clients/c/blocking.h"

enum { IDLE_TURN_MS = 1000 };

struct watch {
    struct sluice *client; /* borrows */
    struct op *op;         /* borrows; the sluice_subscribe() that waits for its answer, else NULL */
    uint64_t subscription;
    struct watch *prev, *next;
};

/* ---- watches -------------------------------------------------------------------------------------------- */

static struct watch *watch_new(struct sluice *client, struct op *op)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->client = client;
    watch->op = op;
    DL_APPEND(client->watches, watch);
    return watch;
}

static void watch_free(struct watch *watch)
{
    DL_DELETE(watch->client->watches, watch);
    free(watch);
}

void watches_free(struct sluice *client)
{
    while (client->watches)
        watch_free(client->watches);
}

/* ---- what the core tells -------------------------------------------------------------------------------- */

static void on_message(void *user, const struct sluice_message *message)
{
    struct sluice *client = ((struct watch *)user)->client;
    uint64_t lost = inqueue_push(&client->queue, inqueue_copy(message));
    struct sluice_gap gap = {.count = lost, .reason = sluice_str("client_queue")};
    if (lost && client->cb.on_gap)
        client->cb.on_gap(client->cb.user, &gap);
}

static void on_subscribed(void *user, uint64_t subscription, const struct sluice_error *result,
                          const struct sluice_granted *granted)
{
    (void)subscription;
    struct watch *watch = user;
    struct sluice *client = watch->client;
    struct op *op = watch->op;
    watch->op = NULL;
    if (op && granted)
        op->granted = *granted;
    if (op)
        op_done(op, result);
    else if (client->cb.on_error) /* the renewal after a reconnect was refused */
        client->cb.on_error(client->cb.user, result);
    if (result->status != SLUICE_OK)
        watch_free(watch);
}

static void on_reply(void *user, const struct sluice_error *result, const struct sluice_message *reply)
{
    struct op *op = user;
    struct sluice_error told = *result;
    if (reply)
        op->reply = inqueue_copy(reply);
    if (reply && !op->reply)
        error_set(&told, SLUICE_NO_MEMORY, "out of memory");
    op_done(op, &told);
}

/* ---- subscribing ---------------------------------------------------------------------------------------- */

static enum sluice_status ask_core(struct watch *watch, const char *filter,
                                   const struct sluice_subscribe_options *options, uint64_t until_ms)
{
    struct sluice *client = watch->client;
    enum sluice_status status;
    while ((status = sluice_core_subscribe(client->core, filter, options, on_message, on_subscribed, watch,
                                           &watch->subscription)) == SLUICE_AGAIN) {
        status = blocking_may_wait(client, until_ms);
        if (status != SLUICE_OK)
            break;
        blocking_turn(client, until_ms);
    }
    return status == SLUICE_OK ? status : blocking_fail(client, status);
}

enum sluice_status sluice_subscribe(struct sluice *client, const char *filter,
                                    const struct sluice_subscribe_options *options, uint64_t *subscription,
                                    struct sluice_granted *granted)
{
    uint64_t until_ms = blocking_until(client->timeout_ms);
    struct op *op = op_new(client);
    struct watch *watch = op ? watch_new(client, op) : NULL;
    enum sluice_status status =
        watch ? ask_core(watch, filter, options, until_ms) : blocking_fail(client, SLUICE_NO_MEMORY);
    if (status != SLUICE_OK)
        goto fail_watch;
    uint64_t id = watch->subscription;
    status = op_wait(client, op, until_ms);
    if (status != SLUICE_OK) {
        if (sluice_core_unsubscribe(client->core, id, NULL, NULL) == SLUICE_OK)
            goto fail_watch;
        return status; /* no memory to leave with: the core will still call both, and they go with it */
    }
    if (subscription)
        *subscription = id;
    if (granted)
        *granted = op->granted;
    return op_finish(op);

fail_watch:
    if (watch)
        watch_free(watch);
    if (op)
        op_free(op);
    return status;
}

static void on_unsubscribed(void *user, const struct sluice_error *result)
{
    op_done(user, result);
}

enum sluice_status sluice_unsubscribe(struct sluice *client, uint64_t subscription)
{
    struct watch *watch;
    DL_SEARCH_SCALAR(client->watches, watch, subscription, subscription);
    struct op *op = watch ? op_new(client) : NULL;
    if (!op)
        return blocking_fail(client, watch ? SLUICE_NO_MEMORY : SLUICE_BAD_ARGUMENT);
    enum sluice_status status = sluice_core_unsubscribe(client->core, subscription, on_unsubscribed, op);
    if (status != SLUICE_OK) {
        op_free(op);
        return blocking_fail(client, status);
    }
    watch_free(watch);
    status = op_wait(client, op, blocking_until(client->timeout_ms));
    return status == SLUICE_OK ? op_finish(op) : status;
}

/* ---- receiving ------------------------------------------------------------------------------------------ */

static bool take_next(struct sluice *client, struct sluice_message *message)
{
    struct inqueue_entry *entry = inqueue_pop(&client->queue);
    if (!entry)
        return false;
    inqueue_entry_free(client->current);
    client->current = entry;
    *message = *inqueue_message(entry);
    return true;
}

enum sluice_status sluice_next(struct sluice *client, uint64_t timeout_ms, struct sluice_message *message)
{
    uint64_t until_ms = blocking_until(timeout_ms);
    /* A long queue must not keep the connection from being served. */
    if (client->queue.first && socket_now_ms() >= client->turned_at_ms + IDLE_TURN_MS)
        blocking_turn(client, 0);
    bool looked = false;
    while (!take_next(client, message)) {
        enum sluice_status status = blocking_may_wait(client, until_ms);
        if (status != SLUICE_OK && (looked || status != SLUICE_TIMEOUT))
            return blocking_fail(client, status);
        blocking_turn(client, until_ms);
        looked = true;
    }
    return SLUICE_OK;
}

/* ---- requesting ----------------------------------------------------------------------------------------- */

static enum sluice_status ask(struct sluice *client, const struct sluice_publish *request, struct op *op,
                              uint64_t until_ms)
{
    enum sluice_status status;
    for (;;) {
        uint64_t now = socket_now_ms();
        uint64_t left_ms = until_ms > now ? until_ms - now : 0;
        status = sluice_core_request(client->core, request, now, left_ms, on_reply, op);
        if (status != SLUICE_AGAIN)
            break;
        status = blocking_may_wait(client, until_ms);
        if (status != SLUICE_OK)
            break;
        blocking_turn(client, until_ms);
    }
    return status == SLUICE_OK ? status : blocking_fail(client, status);
}

enum sluice_status sluice_request(struct sluice *client, const struct sluice_publish *request,
                                  uint64_t timeout_ms, struct sluice_message *reply)
{
    uint64_t until_ms = blocking_until(timeout_ms);
    struct op *op = op_new(client);
    if (!op)
        return blocking_fail(client, SLUICE_NO_MEMORY);
    enum sluice_status status = ask(client, request, op, until_ms);
    if (status != SLUICE_OK) {
        op_free(op);
        return status;
    }
    status = op_wait(client, op, until_ms);
    if (status != SLUICE_OK)
        return status;
    if (op->reply) {
        inqueue_entry_free(client->reply);
        client->reply = op->reply;
        *reply = *inqueue_message(op->reply);
        op->reply = NULL;
    }
    return op_finish(op);
}
