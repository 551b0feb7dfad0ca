#include <stdarg.h>
#include <stdio.h>

#include "clients/c/core.h"

#define STATUS_LIST(X)                                                                                       \
    X(SLUICE_OK, "ok", "success")                                                                            \
    X(SLUICE_AGAIN, "again", "no room to send, or no connection, at the moment")                             \
    X(SLUICE_TIMEOUT, "timeout", "deadline exceeded")                                                        \
    X(SLUICE_INTERRUPTED, "interrupted", "interrupted")                                                      \
    X(SLUICE_REFUSED, "refused", "refused by the broker")                                                    \
    X(SLUICE_NO_RESPONDERS, "no_responders", "nobody is subscribed to the request topic")                    \
    X(SLUICE_UNKNOWN_OUTCOME, "unknown_outcome", "the connection ended before the answer came")              \
    X(SLUICE_DISCONNECTED, "disconnected", "the connection ended")                                           \
    X(SLUICE_CLOSED, "closed", "the client is closed")                                                       \
    X(SLUICE_BAD_ARGUMENT, "bad_argument", "an argument is not valid")                                       \
    X(SLUICE_TOO_LARGE, "too_large", "larger than the broker's limit")                                       \
    X(SLUICE_NO_MEMORY, "no_memory", "out of memory")                                                        \
    X(SLUICE_IO, "io_error", "input or output failed")                                                       \
    X(SLUICE_PROTOCOL, "protocol_error", "the other end does not speak sluice.v1")

struct status_row {
    const char *name, *text;
};

static const struct status_row *status_row(enum sluice_status status)
{
#define STATUS_ROW(code, name, text) [code] = {name, text},
    static const struct status_row rows[] = {STATUS_LIST(STATUS_ROW)};
#undef STATUS_ROW
    static const struct status_row unknown = {"unknown", "unknown status"};
    return (size_t)status < sizeof rows / sizeof rows[0] ? &rows[status] : &unknown;
}

const struct sluice_error error_none = {SLUICE_OK, "ok", "success"};

const char *sluice_status_name(enum sluice_status status)
{
    return status_row(status)->name;
}

const char *sluice_status_text(enum sluice_status status)
{
    return status_row(status)->text;
}

const char *sluice_version(void)
{
    return SLUICE_VERSION;
}

void error_set(struct sluice_error *error, enum sluice_status status, const char *format, ...)
{
    if (!error)
        return;
    error->status = status;
    snprintf(error->code, sizeof error->code, "%s", sluice_status_name(status));
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
}

static void copy_span(char *out, size_t size, struct span text)
{
    size_t len = text.len < size ? text.len : size - 1;
    if (len)
        memcpy(out, text.data, len);
    out[len] = '\0';
}

void error_from_broker(struct sluice_error *error, struct span code, struct span text)
{
    bool nobody = span_eq(code, span_str(err_name(ERR_NO_RESPONDERS)));
    error->status = nobody ? SLUICE_NO_RESPONDERS : SLUICE_REFUSED;
    copy_span(error->code, sizeof error->code, code);
    copy_span(error->text, sizeof error->text, text);
}
