#include "broker/delivery/delivery_settings.h"

#include "proto/native_request.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

_Static_assert(DELIVERY_DROP_OLDEST + 1 == (int)NATIVE_POLICY_DROP_OLDEST &&
                   DELIVERY_DISCONNECT + 1 == (int)NATIVE_POLICY_DISCONNECT,
               "the two enums name the same policies in the same order");

static const char *const policies[] = {"drop_oldest", "drop_newest", "conflate", "disconnect", NULL};

#define ROW(field, ...) OPTION_ROW("delivery", struct delivery_settings, field, __VA_ARGS__)

static const struct option rows[] = {
    ROW(queue, .type = OPTION_UINT, .min = 1, .max = 1000000, .preset = "1024",
        .doc = "Messages queued for a subscription that does not keep up, before its policy applies."),
    ROW(queue_bytes, .type = OPTION_BYTES, .min = 4 * KIB, .max = 1 * GIB, .preset = "4MiB",
        .doc = "Bytes queued for one connection over all its subscriptions, before their policies apply."),
    ROW(policy, .type = OPTION_ENUM, .choices = policies, .preset = "drop_oldest",
        .doc = "What is given up at the bound when neither the subscriber nor a topic rule says otherwise."),
    ROW(log_window, .type = OPTION_BYTES, .min = 512 * KIB, .max = 1 * GIB, .preset = "4MiB",
        .doc =
            "Bytes of recent messages that each shard keeps in its shared log before it copies out what slow "
            "subscribers still need."),
    ROW(batch, .type = OPTION_BYTES, .min = 4 * KIB, .max = 1 * MIB, .preset = "64KiB",
        .doc = "Most bytes handed to a socket in one write, unless a single message is longer."),
    ROW(block_timeout, .type = OPTION_DURATION, .min = 100, .max = 3600000, .preset = "10s",
        .doc = "How long a subscriber with the policy block may hold publishers back before it is closed as "
               "too_slow."),
    ROW(notsent_lowat, .type = OPTION_BYTES, .min = 0, .max = 1 * GIB, .preset = "0",
        .doc = "Sets TCP_NOTSENT_LOWAT on every connection: less stale data in the kernel, more wake-ups. 0 "
               "is the "
               "system's default."),
    ROW(mailbox, .type = OPTION_BYTES, .min = 64 * KIB, .max = 1 * GIB, .preset = "8MiB",
        .doc = "Bytes under way from one shard to another, before the sending shard stops reading its "
               "publishers."),
};

const struct option_table delivery_options = {
    .module = "delivery",
    .doc = "How much is queued for a subscriber that does not keep up, and how messages are written.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct delivery_settings),
};
