#include "broker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "broker/log_text.h"

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const formats[] = {"text", "json", NULL};

#define ROW(field, ...) OPTION_ROW("log", struct log_settings, field, __VA_ARGS__)

static const struct option rows[] = {
    ROW(level, .type = OPTION_ENUM, .choices = levels, .preset = "info", .reloadable = true,
        .doc = "The least important events that are logged."),
    ROW(format, .type = OPTION_ENUM, .choices = formats, .preset = "text",
        .doc = "One event per line, as text or as a JSON object."),
    ROW(file, .type = OPTION_STRING, .preset = "",
        .doc = "File to append to, which SIGUSR1 reopens; empty is standard error."),
};

const struct option_table log_options = {
    .module = "log",
    .doc = "The broker's log.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct log_settings),
};

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t machine_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t machine_unix_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* Written by the main thread before the others start, but for `level` and the list. */
static struct {
    _Atomic int level;
    bool json;
    int fd;
    char file[OPTION_STRING_MAX];
    log_clock *monotonic_ms, *unix_ms;
    struct log_site *_Atomic held_back; /* sites that ever held lines back; only grows */
} logger = {
    .level = LOG_INFO, .fd = STDERR_FILENO, .monotonic_ms = machine_monotonic_ms, .unix_ms = machine_unix_ms};

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        fprintf(stderr, "log.file: cannot open \"%s\": %s\n", path, strerror(errno));
    return fd;
}

bool log_init(const struct log_settings *settings)
{
    int fd = STDERR_FILENO;
    if (settings->file[0] != '\0' && (fd = open_file(settings->file)) < 0)
        return false;
    if (logger.fd != STDERR_FILENO)
        close(logger.fd);
    logger.fd = fd;
    logger.json = settings->format == 1;
    snprintf(logger.file, sizeof logger.file, "%s", settings->file);
    atomic_store(&logger.level, settings->level);
    return true;
}

bool log_reopen(void)
{
    if (logger.fd == STDERR_FILENO)
        return true;
    int fd = open_file(logger.file);
    if (fd < 0)
        return false;
    /* Other threads write meanwhile: the number stays, and each line goes to the old file or to the new one. */
    bool moved = dup3(fd, logger.fd, O_CLOEXEC) >= 0;
    close(fd);
    return moved;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&logger.level, level, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

void log_set_clocks(log_clock *monotonic_ms, log_clock *unix_ms)
{
    logger.monotonic_ms = monotonic_ms ? monotonic_ms : machine_monotonic_ms;
    logger.unix_ms = unix_ms ? unix_ms : machine_unix_ms;
}

static void write_line(enum log_level level, const char *message, const struct log_field *fields,
                       size_t count)
{
    struct log_line line;
    log_line_begin(&line, logger.json, logger.unix_ms(), level, message);
    for (size_t i = 0; i < count; i++)
        log_line_field(&line, &fields[i]);
    log_line_end(&line);
    int saved = errno;
    ssize_t done;
    do {
        done = write(logger.fd, line.text, line.len);
    } while (done < 0 && errno == EINTR);
    errno = saved; /* logging must not change what the caller is about to report */
}

static void report(struct log_site *site, enum log_level level, const char *message)
{
    uint64_t held_back = atomic_exchange(&site->held_back, 0);
    if (held_back == 0)
        return;
    const struct log_field fields[] = {LOG_S("event", message), LOG_U("lines", held_back)};
    write_line(level, "lines held back", fields, 2);
}

/* Puts the site where log_report_held_back() finds it, once. */
static void list(struct log_site *site, enum log_level level, const char *message)
{
    if (atomic_exchange(&site->listed, true))
        return;
    site->level = level;
    site->message = message;
    site->next = atomic_load(&logger.held_back);
    while (!atomic_compare_exchange_weak(&logger.held_back, &site->next, site))
        ;
}

static bool window_over(const struct log_site *site, uint64_t now_ms)
{
    uint64_t start = atomic_load(&site->window_start_ms);
    return start == 0 || now_ms >= start + LOG_WINDOW_MS;
}

/* Opens a window when the last one is over. Of several threads one does; 0 stands for "none yet". */
static void turn_window(struct log_site *site, enum log_level level, const char *message, uint64_t now_ms)
{
    uint64_t start = atomic_load(&site->window_start_ms);
    if (!window_over(site, now_ms) ||
        !atomic_compare_exchange_strong(&site->window_start_ms, &start, now_ms ? now_ms : 1))
        return;
    atomic_store(&site->written, 0);
    report(site, level, message);
}

void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields, size_t count)
{
    if (!log_wants(level))
        return;
    turn_window(site, level, message, logger.monotonic_ms());
    if (atomic_load(&site->written) < LOG_BURST && atomic_fetch_add(&site->written, 1) < LOG_BURST) {
        write_line(level, message, fields, count);
        return;
    }
    list(site, level, message);
    atomic_fetch_add(&site->held_back, 1);
}

void log_report_held_back(bool all)
{
    uint64_t now_ms = logger.monotonic_ms();
    for (struct log_site *site = atomic_load(&logger.held_back); site; site = site->next) {
        if (all || window_over(site, now_ms))
            report(site, site->level, site->message);
    }
}
