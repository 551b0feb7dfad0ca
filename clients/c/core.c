#include "clients/c/core.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

/* ---- options -------------------------------------------------------------------------------------------- */

static bool own_string(const char **slot)
{
    if (!*slot)
        return true;
    *slot = strdup(*slot);
    return *slot != NULL;
}

static bool own_strings(struct sluice_options *o)
{
    const char *name = o->client_name ? o->client_name : "libsluice/" SLUICE_VERSION;
    const char *strings[] = {name, o->user, o->password, o->token};
    bool all = true;
    for (size_t i = 0; i < 4; i++)
        all &= own_string(&strings[i]);
    o->client_name = strings[0];
    o->user = strings[1];
    o->password = strings[2];
    o->token = strings[3];
    return all;
}

static void free_strings(struct sluice_options *o)
{
    free((char *)o->client_name);
    free((char *)o->user);
    free((char *)o->password);
    free((char *)o->token);
}

#define OR_DEFAULT(field, value) ((field) = (field) ? (field) : (value))

static void fill_defaults(struct sluice_options *o)
{
    OR_DEFAULT(o->keepalive_s, CORE_KEEPALIVE_S);
    OR_DEFAULT(o->connect_timeout_ms, CORE_CONNECT_TIMEOUT_MS);
    OR_DEFAULT(o->reconnect_min_ms, 100);
    OR_DEFAULT(o->reconnect_max_ms, 10000);
    OR_DEFAULT(o->send_buffer_bytes_max, CORE_SEND_BUFFER_BYTES);
    OR_DEFAULT(o->in_flight_max, CORE_IN_FLIGHT);
    OR_DEFAULT(o->receive_frame_bytes_max, CORE_RECEIVE_FRAME_BYTES);
}

uint64_t core_random(struct sluice_core *core)
{
    if (core->options.random)
        return core->options.random(core->options.random_arg);
    uint64_t value;
    ssize_t got = getrandom(&value, sizeof value, 0);
    assert(got == sizeof value);
    return value;
}

/* ---- birth and death ------------------------------------------------------------------------------------ */

struct sluice_core *sluice_core_new(const struct sluice_options *options,
                                    const struct sluice_callbacks *callbacks, uint64_t now_ms)
{
    struct sluice_core *core = calloc(1, sizeof *core);
    if (!core)
        return NULL;
    core->options = options ? *options : (struct sluice_options){0};
    core->cb = callbacks ? *callbacks : (struct sluice_callbacks){0};
    if (!own_strings(&core->options)) {
        free_strings(&core->options);
        free(core);
        return NULL;
    }
    fill_defaults(&core->options);
    core->reconnect = (struct reconnect){.min_ms = core->options.reconnect_min_ms,
                                         .max_ms = core->options.reconnect_max_ms};
    core->now_ms = core->retry_at_ms = now_ms;
    core->next_route = 1;
    core->next_subscription = 1;
    core->next_request = 1;
    wire_buf_init(&core->in, 0);
    wire_buf_init(&core->out.bytes, 0);
    wire_buf_init(&core->held, 0);
    pending_init(&core->pending);
    return core;
}

void sluice_core_free(struct sluice_core *core)
{
    if (!core)
        return;
    assert(core->depth == 0 && "a client is not freed from inside its own callback");
    requests_fini(core);
    subscriptions_fini(core);
    pending_fini(&core->pending);
    wire_buf_fini(&core->held);
    wire_buf_fini(&core->out.bytes);
    wire_buf_fini(&core->in);
    free_strings(&core->options);
    free(core);
}

/* ---- callbacks ------------------------------------------------------------------------------------------ */

void core_enter(struct sluice_core *core)
{
    core->depth++;
}

void core_leave(struct sluice_core *core)
{
    assert(core->depth > 0);
    if (--core->depth == 0 && core->has_dead)
        subscriptions_sweep(core);
}

void core_maybe_drained(struct sluice_core *core)
{
    if (!core->starved || core->state != CORE_OPEN)
        return;
    size_t buffered = sluice_core_buffered_bytes(core);
    if (buffered > core->options.send_buffer_bytes_max / 2)
        return;
    if (core->pending.publishes > core->options.in_flight_max / 2)
        return;
    core->starved = false;
    core_enter(core);
    if (core->cb.on_drained)
        core->cb.on_drained(core->cb.user);
    core_leave(core);
}

/* ---- up and down ---------------------------------------------------------------------------------------- */

enum sluice_want sluice_core_want(const struct sluice_core *core)
{
    bool over = core->state == CORE_DOWN || core->state == CORE_STOPPED;
    if (core->attached)
        over |= core->state == CORE_CLOSING && send_buffer_len(&core->out) == 0;
    if (core->attached)
        return over ? SLUICE_WANT_CLOSE : SLUICE_WANT_NOTHING;
    if (core->state == CORE_DOWN && core->now_ms >= core->retry_at_ms)
        return SLUICE_WANT_CONNECT;
    return SLUICE_WANT_NOTHING;
}

void sluice_core_connecting(struct sluice_core *core, uint64_t now_ms)
{
    assert(!core->attached && core->state == CORE_DOWN);
    core->now_ms = now_ms;
    core->attached = true;
    core->state = CORE_GREETING;
    core->give_up_at_ms = now_ms + core->options.connect_timeout_ms;
}

static struct span span_or_absent(const char *text)
{
    return text ? span_str(text) : (struct span){0};
}

static enum err greet(struct sluice_core *core)
{
    const struct sluice_options *o = &core->options;
    assert(send_buffer_len(&core->out) == 0 && "HELLO comes first");
    bool none = o->keepalive_s == SLUICE_KEEPALIVE_NONE;
    struct native_hello hello = {.version = NATIVE_VERSION,
                                 .client = span_or_absent(o->client_name),
                                 .user = span_or_absent(o->user),
                                 .password = span_or_absent(o->password),
                                 .token = span_or_absent(o->token),
                                 .has_keepalive = true,
                                 .keepalive_s = none ? 0 : o->keepalive_s};
    return native_encode_hello(&core->out.bytes, &hello);
}

static void out_of_memory(struct sluice_core *core)
{
    struct sluice_error why;
    error_set(&why, SLUICE_NO_MEMORY, "out of memory");
    core_down(core, &why, false, 0);
}

void sluice_core_connected(struct sluice_core *core, uint64_t now_ms)
{
    core->now_ms = now_ms;
    if (core->state != CORE_GREETING)
        return;
    core->connected = true;
    core->received_at_ms = core->sent_at_ms = core->pinged_at_ms = now_ms;
    if (greet(core) != ERR_NONE || subscriptions_renew(core) != ERR_NONE)
        out_of_memory(core);
}

static void forget_connection(struct sluice_core *core)
{
    core->in.len = 0;
    core->out.bytes.len = core->out.head = 0;
    core->held.len = 0;
    core->connected = false; /* even if its socket is still to be closed: what is said now waits for the next one */
    core->tagged = false;
    core->inbox_ready = false;
    core->epoch++;
}

static void end_pending(struct sluice_core *core)
{
    struct sluice_error unknown;
    error_set(&unknown, SLUICE_UNKNOWN_OUTCOME, "%s", sluice_status_text(SLUICE_UNKNOWN_OUTCOME));
    struct pending entry;
    while (pending_take_oldest(&core->pending, &entry)) {
        /* What a lost connection was subscribed to is gone with it. */
        const struct sluice_error *result = entry.kind == PENDING_PUBLISH ? &unknown : &error_none;
        if (entry.on_done)
            entry.on_done(entry.user, result);
    }
    requests_end_all(core, &unknown);
}

void core_down(struct sluice_core *core, const struct sluice_error *why, bool final,
               uint32_t reconnect_after_ms)
{
    if (core->state == CORE_DOWN || core->state == CORE_STOPPED)
        return;
    bool asked_for = core->state == CORE_CLOSING;
    struct sluice_down down = {.error = *why, .was_connected = core->state == CORE_OPEN};
    down.final = final || asked_for || core->options.no_reconnect;
    uint64_t wait_ms =
        reconnect_wait_ms(&core->reconnect, core->now_ms, reconnect_after_ms, core_random(core));
    down.retry_in_ms = down.final ? 0 : wait_ms;
    core->retry_at_ms = core->now_ms + wait_ms;
    core->state = down.final ? CORE_STOPPED : CORE_DOWN;
    forget_connection(core);
    core_enter(core);
    end_pending(core);
    if (core->cb.on_down && !asked_for)
        core->cb.on_down(core->cb.user, &down);
    core_leave(core);
}

void sluice_core_disconnected(struct sluice_core *core, uint64_t now_ms, const char *text)
{
    core->now_ms = now_ms;
    core->attached = false;
    struct sluice_error why;
    if (text)
        error_set(&why, SLUICE_IO, "%s", text);
    else
        error_set(&why, SLUICE_DISCONNECTED, "the broker closed the connection");
    core_down(core, &why, false, 0);
}

void sluice_core_close(struct sluice_core *core, uint64_t now_ms)
{
    core->now_ms = now_ms;
    if (core->state == CORE_OPEN) {
        core->state = CORE_CLOSING;
        core->give_up_at_ms = now_ms + CORE_CLOSE_LINGER_MS;
    } else if (core->state != CORE_CLOSING) {
        core->state = CORE_STOPPED;
        forget_connection(core);
    }
}

bool sluice_core_stopped(const struct sluice_core *core)
{
    return core->state == CORE_STOPPED;
}

bool sluice_core_is_open(const struct sluice_core *core)
{
    return core->state == CORE_OPEN;
}

/* ---- output --------------------------------------------------------------------------------------------- */

const void *sluice_core_output(const struct sluice_core *core, size_t *len)
{
    struct span front = send_buffer_front(&core->out);
    *len = core->connected ? front.len : 0;
    return core->connected ? front.data : NULL;
}

void sluice_core_sent(struct sluice_core *core, uint64_t now_ms, size_t len)
{
    core->now_ms = now_ms;
    assert(len <= send_buffer_len(&core->out));
    if (len == 0)
        return;
    send_buffer_consume(&core->out, len);
    core->sent_at_ms = now_ms;
    core_maybe_drained(core);
}

size_t sluice_core_buffered_bytes(const struct sluice_core *core)
{
    return send_buffer_len(&core->out) + core->held.len;
}

/* ---- time ----------------------------------------------------------------------------------------------- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One keep-alive interval after either direction fell silent: the broker has to hear something, and so have we. */
static uint64_t ping_due_ms(const struct sluice_core *core)
{
    uint64_t silent_since = min_u64(core->sent_at_ms, core->received_at_ms);
    if (core->pinged_at_ms > silent_since)
        silent_since = core->pinged_at_ms;
    return core->keepalive_ms ? silent_since + core->keepalive_ms : UINT64_MAX;
}

static uint64_t dead_at_ms(const struct sluice_core *core)
{
    return core->keepalive_ms ? core->received_at_ms + core->keepalive_ms * 3 / 2 : UINT64_MAX;
}

static void keep_alive(struct sluice_core *core)
{
    struct sluice_error why;
    if (core->now_ms >= dead_at_ms(core)) {
        error_set(&why, SLUICE_TIMEOUT, "nothing heard from the broker for %llu ms",
                  (unsigned long long)(core->now_ms - core->received_at_ms));
        core_down(core, &why, false, 0);
    } else if (core->now_ms >= ping_due_ms(core)) {
        core->pinged_at_ms = core->now_ms;
        if (native_encode_ping(&core->out.bytes) != ERR_NONE)
            out_of_memory(core);
    }
}

static void give_up(struct sluice_core *core)
{
    struct sluice_error why;
    if (core->now_ms < core->give_up_at_ms)
        return;
    error_set(&why, SLUICE_TIMEOUT, "no answer within %u ms", (unsigned)core->options.connect_timeout_ms);
    core_down(core, &why, false, 0);
}

uint64_t sluice_core_deadline_ms(const struct sluice_core *core)
{
    switch (core->state) {
    case CORE_DOWN:
        return core->attached ? UINT64_MAX : core->retry_at_ms;
    case CORE_GREETING:
    case CORE_CLOSING:
        return core->give_up_at_ms;
    case CORE_OPEN:
        return min_u64(requests_deadline_ms(core), min_u64(ping_due_ms(core), dead_at_ms(core)));
    case CORE_STOPPED:
        break;
    }
    return UINT64_MAX;
}

void sluice_core_tick(struct sluice_core *core, uint64_t now_ms)
{
    core->now_ms = now_ms;
    if (core->state == CORE_GREETING || core->state == CORE_CLOSING)
        give_up(core);
    if (core->state == CORE_OPEN)
        keep_alive(core);
    if (core->state == CORE_OPEN)
        requests_expire(core);
}
