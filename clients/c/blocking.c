#include "clients/c/blocking.h"

#include <stdlib.h>
#include <utlist.h>

enum { BLOCKING_TIMEOUT_MS = 5000, BLOCKING_QUEUE_BYTES = 64 << 20, BLOCKING_SEND_BYTES = 64 << 10 };

/* ---- results -------------------------------------------------------------------------------------------- */

const struct sluice_error *sluice_last_error(const struct sluice *client)
{
    return &client->last;
}

enum sluice_status blocking_fail(struct sluice *client, enum sluice_status status)
{
    if (status == SLUICE_CLOSED && client->failed) {
        client->last = client->down_error; /* why it is closed says more */
        client->last.status = SLUICE_CLOSED;
    } else {
        error_set(&client->last, status, "%s", sluice_status_text(status));
    }
    return status;
}

enum sluice_status blocking_finish(struct sluice *client, const struct sluice_error *result)
{
    client->last = *result;
    return result->status;
}

uint64_t blocking_until(uint64_t timeout_ms)
{
    uint64_t now = socket_now_ms();
    return timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
}

enum sluice_status blocking_may_wait(struct sluice *client, uint64_t until_ms)
{
    if (blocking_take_interrupt(client))
        return SLUICE_INTERRUPTED;
    if (sluice_core_stopped(client->core))
        return SLUICE_CLOSED;
    return socket_now_ms() >= until_ms ? SLUICE_TIMEOUT : SLUICE_OK;
}

/* ---- calls in flight ------------------------------------------------------------------------------------ */

struct op *op_new(struct sluice *client)
{
    struct op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->client = client;
    DL_APPEND(client->ops, op);
    return op;
}

void op_free(struct op *op)
{
    DL_DELETE(op->client->ops, op);
    inqueue_entry_free(op->reply);
    free(op);
}

void op_done(struct op *op, const struct sluice_error *result)
{
    op->done = true;
    op->client->eventful = true;
    op->result = *result;
    if (op->abandoned)
        op_free(op);
}

static void on_done(void *user, const struct sluice_error *result)
{
    op_done(user, result);
}

enum sluice_status op_wait(struct sluice *client, struct op *op, uint64_t until_ms)
{
    enum sluice_status status = SLUICE_OK;
    while (!op->done && status == SLUICE_OK) {
        blocking_turn(client, until_ms);
        if (!op->done)
            status = blocking_may_wait(client, until_ms);
    }
    if (op->done)
        return SLUICE_OK;
    op->abandoned = true;
    return blocking_fail(client, status);
}

enum sluice_status op_finish(struct op *op)
{
    enum sluice_status status = blocking_finish(op->client, &op->result);
    op_free(op);
    return status;
}

/* ---- what the core tells -------------------------------------------------------------------------------- */

static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    struct sluice *client = user;
    client->eventful = true;
    if (client->cb.on_connected)
        client->cb.on_connected(client->cb.user, welcome);
}

static void on_down(void *user, const struct sluice_down *down)
{
    struct sluice *client = user;
    client->failed = true;
    client->down_error = down->error;
    if (client->cb.on_down)
        client->cb.on_down(client->cb.user, down);
}

/* Nobody asks for it, but a call may be waiting for room. */
static void on_drained(void *user)
{
    struct sluice *client = user;
    client->eventful = true;
    if (client->cb.on_drained)
        client->cb.on_drained(client->cb.user);
}

static void on_gap(void *user, const struct sluice_gap *gap)
{
    struct sluice *client = user;
    if (client->cb.on_gap)
        client->cb.on_gap(client->cb.user, gap);
}

static void on_error(void *user, const struct sluice_error *error)
{
    struct sluice *client = user;
    if (client->cb.on_error)
        client->cb.on_error(client->cb.user, error);
}

static void on_live(void *user, struct sluice_bytes filter)
{
    struct sluice *client = user;
    if (client->cb.on_live)
        client->cb.on_live(client->cb.user, filter);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void free_client(struct sluice *client)
{
    sluice_core_free(client->core);
    while (client->ops)
        op_free(client->ops);
    watches_free(client);
    inqueue_fini(&client->queue);
    inqueue_entry_free(client->current);
    inqueue_entry_free(client->reply);
    blocking_release(client);
    free(client);
}

static struct sluice *new_client(const struct url *url, const struct sluice_options *options)
{
    struct sluice *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->url = *url;
    client->fd = client->wake_read = client->wake_write = -1;
    client->last = client->send_failure = error_none;
    client->timeout_ms = options && options->timeout_ms ? options->timeout_ms : BLOCKING_TIMEOUT_MS;
    client->queue.bytes_max =
        options && options->receive_queue_bytes_max ? options->receive_queue_bytes_max : BLOCKING_QUEUE_BYTES;
    struct sluice_callbacks inner = {.user = client,
                                     .on_connected = on_connected,
                                     .on_down = on_down,
                                     .on_gap = on_gap,
                                     .on_drained = on_drained,
                                     .on_error = on_error,
                                     .on_live = on_live};
    client->core = sluice_core_new(options, &inner, socket_now_ms());
    if (client->core && blocking_open_wake(client))
        return client;
    free_client(client);
    return NULL;
}

struct sluice *sluice_connect(const char *url, const struct sluice_options *options,
                              struct sluice_error *error)
{
    struct url parsed;
    if (!url_parse(url, &parsed, error))
        return NULL;
    struct sluice *client = new_client(&parsed, options);
    if (!client) {
        error_set(error, SLUICE_NO_MEMORY, "out of memory");
        return NULL;
    }
    while (!sluice_core_is_open(client->core) && !client->failed)
        blocking_turn(client, UINT64_MAX);
    if (sluice_core_is_open(client->core))
        return client;
    if (error)
        *error = client->down_error;
    free_client(client);
    return NULL;
}

void sluice_close(struct sluice *client)
{
    if (!client)
        return;
    sluice_core_close(client->core, socket_now_ms());
    while (!sluice_core_stopped(client->core))
        blocking_turn(client, UINT64_MAX);
    free_client(client);
}

void sluice_set_callbacks(struct sluice *client, const struct sluice_callbacks *callbacks)
{
    client->cb = callbacks ? *callbacks : (struct sluice_callbacks){0};
}

int sluice_fd(const struct sluice *client)
{
    return client->fd;
}

enum sluice_status sluice_run(struct sluice *client, uint64_t timeout_ms)
{
    uint64_t until_ms = blocking_until(timeout_ms);
    enum sluice_status status;
    do {
        blocking_turn(client, until_ms);
        status = blocking_may_wait(client, until_ms);
    } while (status == SLUICE_OK);
    return status == SLUICE_TIMEOUT ? SLUICE_OK : blocking_fail(client, status);
}

/* ---- publishing ----------------------------------------------------------------------------------------- */

/* Hands over to the core, waiting while it has no room. */
static enum sluice_status hand_over(struct sluice *client, const struct sluice_publish *publish,
                                    sluice_done_fn *done, void *user, uint64_t until_ms)
{
    enum sluice_status status;
    while ((status = sluice_core_publish(client->core, publish, done, user)) == SLUICE_AGAIN) {
        status = blocking_may_wait(client, until_ms);
        if (status != SLUICE_OK)
            break;
        blocking_turn(client, until_ms);
    }
    return status == SLUICE_OK ? status : blocking_fail(client, status);
}

enum sluice_status sluice_publish_message(struct sluice *client, const struct sluice_publish *publish)
{
    uint64_t until_ms = blocking_until(client->timeout_ms);
    struct op *op = op_new(client);
    if (!op)
        return blocking_fail(client, SLUICE_NO_MEMORY);
    enum sluice_status status = hand_over(client, publish, on_done, op, until_ms);
    if (status != SLUICE_OK) {
        op_free(op);
        return status;
    }
    status = op_wait(client, op, until_ms);
    return status == SLUICE_OK ? op_finish(op) : status;
}

enum sluice_status sluice_publish(struct sluice *client, const char *topic, const void *payload, size_t len)
{
    struct sluice_publish publish = {.topic = sluice_str(topic), .payload = sluice_bytes_of(payload, len)};
    return sluice_publish_message(client, &publish);
}

static void on_sent(void *user, const struct sluice_error *result)
{
    struct sluice *client = user;
    client->sends_waiting--;
    client->eventful = true;
    if (result->status != SLUICE_OK && client->send_failure.status == SLUICE_OK)
        client->send_failure = *result;
}

enum sluice_status sluice_send(struct sluice *client, const struct sluice_publish *publish)
{
    enum sluice_status status =
        hand_over(client, publish, on_sent, client, blocking_until(client->timeout_ms));
    client->sends_waiting += status == SLUICE_OK;
    if (sluice_core_buffered_bytes(client->core) >= BLOCKING_SEND_BYTES)
        blocking_turn(client, 0); /* in good pieces, and long before the buffer is full */
    return status;
}

enum sluice_status sluice_flush(struct sluice *client, uint64_t timeout_ms)
{
    uint64_t until_ms = blocking_until(timeout_ms);
    enum sluice_status status = SLUICE_OK;
    while (client->sends_waiting > 0 && status == SLUICE_OK) {
        blocking_turn(client, until_ms);
        if (client->sends_waiting > 0)
            status = blocking_may_wait(client, until_ms);
    }
    if (client->sends_waiting > 0)
        return blocking_fail(client, status);
    struct sluice_error failure = client->send_failure;
    client->send_failure = error_none;
    return blocking_finish(client, &failure);
}
