#include "broker/limits.h"

#include <stdio.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Of a PUB frame beside topic and payload: array and op, id, headers of topic, payload and an empty map. */
enum { FRAME_OVERHEAD = 32 };

/* Below this the log window and the queues of a handful of clients do not fit. */
static const uint64_t MEMORY_MIN = 8 * MIB;

#define ROW(field, ...) OPTION_ROW("limits", struct limits_settings, field, __VA_ARGS__)

static const struct option rows[] = {
    ROW(max_payload, .type = OPTION_BYTES, .min = 1, .max = 256 * MIB, .preset = "1MiB",
        .doc = "Largest payload of one message; a larger one is answered too_large. Topic rules may say "
               "otherwise."),
    ROW(max_frame, .type = OPTION_BYTES, .min = 1 * KIB, .max = 257 * MIB, .preset = "1088KiB",
        .doc =
            "Largest frame taken from a client: payload, topic and options together; a larger one ends the "
            "connection."),
    ROW(max_frame_before_hello, .type = OPTION_BYTES, .min = 256, .max = 1 * MIB, .preset = "8KiB",
        .doc = "Largest frame taken from a client that has not yet said HELLO."),
    ROW(max_topic, .type = OPTION_UINT, .min = 1, .max = 65535, .preset = "1024",
        .doc = "Longest topic or filter in bytes."),
    ROW(max_levels, .type = OPTION_UINT, .min = 1, .max = 256, .preset = "32",
        .doc = "Most levels of a filter."),
    ROW(subscriptions_per_connection, .type = OPTION_UINT, .min = 1, .max = 10000000, .preset = "10000",
        .doc = "Most filters that one connection may hold; one more is answered limit_reached."),
    ROW(connections, .type = OPTION_UINT, .min = 1, .max = 10000000, .preset = "100000",
        .doc = "Most connections over all listeners; one more is accepted and closed at once."),
    ROW(connections_per_address, .type = OPTION_UINT, .min = 0, .max = 10000000, .preset = "0",
        .doc = "Most connections from one address; 0 is no limit, because all clients of a proxy share one "
               "address."),
    ROW(publish_rate, .type = OPTION_UINT, .min = 0, .max = 1000000000, .preset = "0",
        .doc = "Messages that one connection may publish per second; beyond it they are answered "
               "rate_limited. 0 is "
               "no limit."),
    ROW(publish_burst, .type = OPTION_UINT, .min = 0, .max = 1000000000, .preset = "0",
        .doc =
            "Messages that one connection may publish at once after a pause; 0 is as many as publish_rate."),
    ROW(inbound_per_connection, .type = OPTION_BYTES, .min = 1 * KIB, .max = 1 * GIB, .preset = "2MiB",
        .doc = "Bytes of unfinished frames kept for one connection; at least limits.max_frame."),
    ROW(inbound_total, .type = OPTION_BYTES, .min = 1 * KIB, .max = 1024 * GIB, .preset = "64MiB",
        .doc =
            "Bytes of unfinished frames kept for all connections together; at the bound the connection that "
            "asks for more is closed."),
    ROW(memory, .type = OPTION_BYTES, .min = 0, .max = 1024 * 1024 * GIB, .preset = "0",
        .doc =
            "Memory for messages, queues and unfinished frames; at the bound the connection with the longest "
            "queue is closed. 0 is three quarters of what the machine or its cgroup has."),
    ROW(retained_messages, .type = OPTION_UINT, .min = 0, .max = 100000000, .preset = "100000",
        .doc = "Most topics with a retained value; a publish that would retain one more is answered "
               "limit_reached."),
    ROW(retained_bytes, .type = OPTION_BYTES, .min = 0, .max = 1024 * GIB, .preset = "256MiB",
        .doc = "Bytes of all retained values, never more than half of limits.memory; a publish that would "
               "retain more "
               "is answered limit_reached."),
    ROW(control_backlog, .type = OPTION_BYTES, .min = 4 * KIB, .max = 64 * MIB, .preset = "256KiB",
        .doc =
            "Bytes of answers to a client that does not read them, before its requests are no longer read."),
};

const struct option_table limits_options = {
    .module = "limits",
    .doc = "What one client, or all of them together, may ask of the broker.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct limits_settings),
};

/* "limits.inbound_total (1MiB) must be at least limits.inbound_per_connection (2MiB)" */
static enum err at_least(const char *name, uint64_t value, const char *other, uint64_t bound, char *text,
                         size_t size)
{
    if (value >= bound)
        return ERR_NONE;
    char value_text[OPTION_NUMBER_TEXT], bound_text[OPTION_NUMBER_TEXT];
    snprintf(text, size, "%s (%s) must be at least %s (%s)", name, option_bytes_text(value, value_text),
             other, option_bytes_text(bound, bound_text));
    return ERR_CONFIG;
}

static enum err validate_connections(const struct limits_settings *limits, char *text, size_t size)
{
    if (limits->connections_per_address <= limits->connections)
        return ERR_NONE;
    snprintf(text, size, "limits.connections_per_address (%llu) must not be above limits.connections (%llu)",
             (unsigned long long)limits->connections_per_address, (unsigned long long)limits->connections);
    return ERR_CONFIG;
}

enum err limits_validate(const struct limits_settings *limits, char *text, size_t size)
{
    if (at_least("limits.max_frame", limits->max_frame, "limits.max_payload + limits.max_topic + 32",
                 limits->max_payload + limits->max_topic + FRAME_OVERHEAD, text, size) ||
        at_least("limits.max_frame", limits->max_frame, "limits.max_frame_before_hello",
                 limits->max_frame_before_hello, text, size) ||
        at_least("limits.inbound_per_connection", limits->inbound_per_connection, "limits.max_frame",
                 limits->max_frame, text, size) ||
        at_least("limits.inbound_total", limits->inbound_total, "limits.inbound_per_connection",
                 limits->inbound_per_connection, text, size) ||
        validate_connections(limits, text, size))
        return ERR_CONFIG;
    if (limits->memory == 0)
        return ERR_NONE;
    return at_least("limits.memory", limits->memory, "the least it can run with, or 0", MEMORY_MIN, text,
                    size);
}
