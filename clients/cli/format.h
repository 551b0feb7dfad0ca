/*
 * How a received message is printed: a template with placeholders, checked once, or a line of JSON.
 *
 *   %t topic   %p payload   %x payload in hex   %l payload bytes   %k key   %h headers as "name=value, ..."
 *   %j the whole message as JSON   %r 1 for a retained value, else 0   %I time, ISO 8601   %U time, seconds since 1970   %% %
 *   and \n \t \r \0 \\ ; a newline is added unless no_newline
 *
 * The time is the broker's where the message carries it, else that of its arrival.
 */
#ifndef SLUICE_CLI_FORMAT_H
#define SLUICE_CLI_FORMAT_H

#include <sluice.h>
#include <stdio.h>

struct format {
    const char *template; /* borrows */
    bool no_newline;
};

/* Points *bad at the first placeholder or escape that does not exist, or sets it to NULL. */
bool format_check(const char *template, const char **bad);
void format_print(FILE *out, const struct format *format, const struct sluice_message *message);

#endif
