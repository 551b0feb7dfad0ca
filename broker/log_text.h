/*
 * One line of the log as bytes: escaping and bounds, without clock or file. The line always ends well-formed: a field
 * that does not fit is cut, and what comes behind it is left out. Any thread, one line per thread at a time.
 */
#ifndef SLUICE_BROKER_LOG_TEXT_H
#define SLUICE_BROKER_LOG_TEXT_H

#include "broker/log.h"

struct log_line {
    bool json;
    bool cut; /* something did not fit */
    size_t len;
    char text[LOG_LINE_MAX];
};

/* Starts the line: time (ms since 1970, UTC), level, message. */
void log_line_begin(struct log_line *line, bool json, uint64_t unix_ms, enum log_level level,
                    const char *message);
void log_line_field(struct log_line *line, const struct log_field *field);
/* Closes the line; text[0 .. len) ends with a newline. */
void log_line_end(struct log_line *line);

#endif
