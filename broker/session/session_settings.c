#include "broker/session/session_settings.h"

#include <stdio.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define ROW(field, ...)                                                                                      \
    OPTION_ROW("session", struct session_settings, field, .type = OPTION_DURATION, __VA_ARGS__)

static const struct option rows[] = {
    ROW(hello_timeout, .min = 50, .max = 1 * HOUR, .preset = "10s",
        .doc = "How long a connection may stay without HELLO before it is closed."),
    ROW(keepalive, .min = 0, .max = 24 * HOUR, .preset = "60s",
        .doc = "Keep-alive of a client that names none: silent for half as long again, it is closed. 0 is "
               "none."),
    ROW(keepalive_max, .min = 1 * SECOND, .max = 24 * HOUR, .preset = "1h",
        .doc = "Longest keep-alive that a client is granted."),
    ROW(idle_timeout, .min = 0, .max = 720ull * HOUR, .preset = "0",
        .doc = "How long a connection may neither publish nor hold a subscription before it is closed; 0 is "
               "for ever."),
    ROW(drain_window, .min = 0, .max = 1 * HOUR, .preset = "5s",
        .doc = "At TERM: over how long clients are told to come back, and within which their queues are "
               "flushed."),
    ROW(close_timeout, .min = 50, .max = 10 * MINUTE, .preset = "5s",
        .doc = "How long a connection that is being closed may take to read its last frames."),
};

const struct option_table session_options = {
    .module = "session",
    .doc = "How patient the broker is with one connection.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct session_settings),
};

enum err session_settings_validate(const struct session_settings *settings, char *text, size_t size)
{
    if (settings->keepalive <= settings->keepalive_max)
        return ERR_NONE;
    char keepalive[OPTION_NUMBER_TEXT], most[OPTION_NUMBER_TEXT];
    snprintf(text, size, "session.keepalive (%s) must not be above session.keepalive_max (%s)",
             option_duration_text(settings->keepalive, keepalive),
             option_duration_text(settings->keepalive_max, most));
    return ERR_CONFIG;
}
