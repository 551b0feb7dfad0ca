/*
 * The operator's log: one line per event on stderr (or a file that SIGUSR1 reopens), text or JSON, with
 * structured fields. Any thread; a line is one write() and never interleaves. Repeats are limited per cause: a
 * call site writes at most LOG_BURST lines per LOG_WINDOW_MS, then says how many it held back, so that a flood of
 * bad input cannot flood the log. Text that a peer chose cannot forge a line: what is not printable is escaped.
 *
 *   2026-11-23T21:16:32.123Z info  listener ready url=tcp://127.0.0.1:7400
 *   {"ts":"...","level":"info","msg":"listener ready","url":"tcp://127.0.0.1:7400"}
 */
#ifndef SLUICE_BROKER_LOG_H
#define SLUICE_BROKER_LOG_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/option.h"
#include "proto/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum { LOG_BURST = 10, LOG_WINDOW_MS = 10000, LOG_LINE_MAX = 2048 };

struct log_settings {
    int level;                    /* enum log_level */
    int format;                   /* 0 text, 1 json */
    char file[OPTION_STRING_MAX]; /* "" is stderr */
};
extern const struct option_table log_options;

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_UINT, LOG_FIELD_INT } type;
    struct span str;
    uint64_t number;
};

/* Per call site; zero-initialised static, and static it must be: a site that held lines back stays on a list. */
struct log_site {
    _Atomic uint64_t window_start_ms;
    _Atomic uint32_t written;
    _Atomic uint64_t held_back;
    _Atomic bool listed;
    struct log_site *next; /* borrows; set once, when listed */
    const char *message;   /* borrows; what its lines say, set when listed */
    enum log_level level;
};

/* Opens the file if one is set; without a call, lines go to stderr as text from `info` up. Returns false (and explains
 * on stderr) when it cannot be opened. Main thread, before the shards start. */
bool log_init(const struct log_settings *settings);
/* Reopens the file (after rotation); a no-op for stderr. False: the file cannot be opened, lines go where they
 * went. Not async-signal-safe: call from a loop. */
bool log_reopen(void);
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);
/* Says how many lines were held back by sites whose window is over, or by all when the broker ends. For a slow
 * timer (a flood that stops would else never be accounted for) and for the end of main. Any thread. */
void log_report_held_back(bool all);
/* Milliseconds: monotonic and since 1970. Tests only; before any thread. NULL: the machine's clocks. */
typedef uint64_t log_clock(void);
void log_set_clocks(log_clock *monotonic_ms, log_clock *unix_ms);
void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields, size_t count);

#define LOG_S(name_, text_)                                                                                  \
    (struct log_field)                                                                                       \
    {                                                                                                        \
        .name = (name_), .type = LOG_FIELD_STR, .str = span_str(text_)                                       \
    }
#define LOG_SPAN(name_, span_)                                                                               \
    (struct log_field)                                                                                       \
    {                                                                                                        \
        .name = (name_), .type = LOG_FIELD_STR, .str = (span_)                                               \
    }
#define LOG_U(name_, number_)                                                                                \
    (struct log_field)                                                                                       \
    {                                                                                                        \
        .name = (name_), .type = LOG_FIELD_UINT, .number = (uint64_t)(number_)                               \
    }

/* log_event(LOG_WARN, "accept failed", LOG_S("error", strerror(errno)), LOG_U("fd", fd)); at least one field. */
#define log_event(level_, message_, ...)                                                                     \
    do {                                                                                                     \
        if (log_wants(level_)) {                                                                             \
            static struct log_site site_;                                                                    \
            const struct log_field fields_[] = {__VA_ARGS__};                                                \
            log_write(&site_, (level_), (message_), fields_, sizeof fields_ / sizeof fields_[0]);            \
        }                                                                                                    \
    } while (0)

#endif
