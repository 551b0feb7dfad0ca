#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "clients/c/core.h"
#include "clients/c/message.h"

/*
 * All requests of a client share one inbox, `_inbox/RANDOM/+`; the last level of the reply topic is the request's
 * number. A request leaves only after the broker has confirmed the inbox: a reply sent before that by a client
 * of another shard could find nobody. Until then it is held, encoded.
 */
struct request {
    uint64_t number;
    uint64_t id; /* of its PUB */
    uint64_t deadline_ms;
    sluice_reply_fn *on_reply;
    void *user;
    UT_hash_handle hh;
    struct request *prev, *next; /* by deadline */
};

enum { INBOX_LETTERS = 20, REPLY_TOPIC_BYTES = CORE_INBOX_BYTES + 24 };

/* ---- the table ------------------------------------------------------------------------------------------ */

/* Deadlines mostly rise, so the place is found from the end. */
static void insert(struct sluice_core *core, struct request *request)
{
    HASH_ADD(hh, core->requests, number, sizeof request->number, request);
    struct request *before = core->deadlines ? core->deadlines->prev : NULL;
    while (before && before->deadline_ms > request->deadline_ms)
        before = before == core->deadlines ? NULL : before->prev;
    if (before)
        DL_APPEND_ELEM(core->deadlines, before, request);
    else
        DL_PREPEND(core->deadlines, request);
}

static struct request *find(const struct sluice_core *core, uint64_t number)
{
    struct request *request;
    HASH_FIND(hh, core->requests, &number, sizeof number, request);
    return request;
}

static void end(struct sluice_core *core, struct request *request, const struct sluice_error *result,
                const struct sluice_message *reply)
{
    HASH_DELETE(hh, core->requests, request);
    DL_DELETE(core->deadlines, request);
    struct request gone = *request;
    free(request);
    core_enter(core);
    gone.on_reply(gone.user, result, reply);
    core_leave(core);
}

void requests_refused(struct sluice_core *core, uint64_t number, const struct sluice_error *why)
{
    struct request *request = find(core, number);
    if (request)
        end(core, request, why, NULL);
}

void requests_end_all(struct sluice_core *core, const struct sluice_error *why)
{
    while (core->deadlines)
        end(core, core->deadlines, why, NULL);
}

void requests_expire(struct sluice_core *core)
{
    struct sluice_error why;
    error_set(&why, SLUICE_TIMEOUT, "no reply before the deadline");
    while (core->deadlines && core->deadlines->deadline_ms <= core->now_ms)
        end(core, core->deadlines, &why, NULL);
}

uint64_t requests_deadline_ms(const struct sluice_core *core)
{
    return core->deadlines ? core->deadlines->deadline_ms : UINT64_MAX;
}

void requests_fini(struct sluice_core *core)
{
    while (core->deadlines) {
        struct request *request = core->deadlines;
        HASH_DELETE(hh, core->requests, request);
        DL_DELETE(core->deadlines, request);
        free(request);
    }
}

/* ---- the inbox ------------------------------------------------------------------------------------------ */

/* The number in `_inbox/RANDOM/NUMBER`; 0 for anything else. */
static uint64_t reply_number(const struct sluice_core *core, struct sluice_bytes topic)
{
    size_t prefix = strlen(core->inbox);
    const char *digits = (const char *)topic.data + prefix;
    uint64_t number = 0;
    for (size_t i = 0; i < topic.len - prefix; i++) {
        if (digits[i] < '0' || digits[i] > '9' || i >= 19)
            return 0;
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    return number;
}

static void on_inbox_message(void *user, const struct sluice_message *message)
{
    struct sluice_core *core = user;
    struct request *request = find(core, reply_number(core, message->topic));
    if (!request)
        return;
    struct sluice_message reply = *message;
    reply.subscription = 0;
    end(core, request, &error_none, &reply);
}

static struct request *first_before(const struct sluice_core *core, uint64_t number)
{
    struct request *request = core->deadlines;
    while (request && request->number >= number)
        request = request->next;
    return request;
}

/* Nobody will answer what never left: their ids are taken back. What the callbacks ask for anew is not meant. */
static void fail_held(struct sluice_core *core, const struct sluice_error *why)
{
    uint64_t limit = core->next_request;
    core->held.len = 0;
    core->inbox[0] = '\0';
    struct request *request;
    while ((request = first_before(core, limit))) {
        struct pending taken;
        (void)pending_take(&core->pending, request->id, &taken);
        end(core, request, why, NULL);
    }
}

static void on_inbox_subscribed(void *user, uint64_t subscription, const struct sluice_error *result,
                                const struct sluice_granted *granted)
{
    (void)subscription;
    (void)granted;
    struct sluice_core *core = user;
    struct sluice_error why = *result;
    if (why.status == SLUICE_OK &&
        wire_buf_append(&core->out.bytes, core->held.data, core->held.len) != ERR_NONE)
        error_set(&why, SLUICE_NO_MEMORY, "out of memory");
    if (why.status != SLUICE_OK) {
        fail_held(core, &why);
        return;
    }
    core->held.len = 0;
    core->inbox_ready = true;
}

static enum sluice_status open_inbox(struct sluice_core *core)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char random[INBOX_LETTERS + 1] = "";
    char filter[CORE_INBOX_BYTES + 1];
    for (size_t i = 0; i < INBOX_LETTERS; i += 10) {
        uint64_t bits = core_random(core);
        for (size_t k = 0; k < 10; k++, bits >>= 5)
            random[i + k] = letters[bits & 31];
    }
    snprintf(core->inbox, sizeof core->inbox, "_inbox/%s/", random);
    snprintf(filter, sizeof filter, "%s+", core->inbox);
    enum sluice_status status =
        subscriptions_add_internal(core, filter, on_inbox_message, on_inbox_subscribed, core);
    if (status != SLUICE_OK)
        core->inbox[0] = '\0';
    return status;
}

/* ---- requesting ----------------------------------------------------------------------------------------- */

static enum sluice_status send_request(struct sluice_core *core, const struct sluice_publish *publish,
                                       struct request *request)
{
    char reply[REPLY_TOPIC_BYTES];
    snprintf(reply, sizeof reply, "%s%llu", core->inbox, (unsigned long long)request->number);
    struct wire_buf *out = core->inbox_ready ? &core->out.bytes : &core->held;
    request->id = core->pending.next;
    enum sluice_status status = publish_encode(core, publish, request->id, reply, out);
    if (status == SLUICE_OK)
        pending_add(&core->pending, (struct pending){.kind = PENDING_REQUEST, .number = request->number});
    return status;
}

enum sluice_status sluice_core_request(struct sluice_core *core, const struct sluice_publish *publish,
                                       uint64_t now_ms, uint64_t timeout_ms, sluice_reply_fn *on_reply,
                                       void *user)
{
    core->now_ms = now_ms;
    enum sluice_status status = on_reply ? publish_check(core, publish) : SLUICE_BAD_ARGUMENT;
    if (status == SLUICE_OK)
        status = publish_room(core, publish_bytes_max(publish));
    if (status == SLUICE_OK && core->inbox[0] == '\0')
        status = open_inbox(core);
    if (status == SLUICE_OK && pending_reserve(&core->pending) != ERR_NONE)
        status = SLUICE_NO_MEMORY;
    if (status != SLUICE_OK)
        return status;
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return SLUICE_NO_MEMORY;
    request->number = core->next_request++;
    timeout_ms = timeout_ms ? timeout_ms : 1; /* so that requests made while expiring others expire later */
    request->deadline_ms = timeout_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + timeout_ms;
    request->on_reply = on_reply;
    request->user = user;
    status = send_request(core, publish, request);
    if (status == SLUICE_OK)
        insert(core, request);
    else
        free(request);
    return status;
}
