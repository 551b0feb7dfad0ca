/*
 * What the user sees: results on stdout, everything else on stderr; colours only where a terminal shows them and
 * NO_COLOR (https://no-color.org) does not forbid it. One thread.
 */
#ifndef SLUICE_CLI_OUTPUT_H
#define SLUICE_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Looks at the terminals and the environment. First of all. */
void output_init(void);
/* "sluice: TEXT" on stderr, one line. */
void output_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void output_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void output_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The escape sequences around a topic on stdout; "" without colours. */
const char *output_topic_on(void);
const char *output_topic_off(void);
/* Flushes stdout. False when it can no longer be written. */
bool output_flush(void);
/* Whether stdout was closed by its reader, which is an ordinary end. */
bool output_reader_gone(void);
/* Flushes for the last time and returns the exit code that follows: success, also when the reader has gone;
 * failure, explained, when writing failed otherwise. */
int output_finish(void);

/* Appends to a stream. JSON strings come with their quotes; bytes that are not UTF-8 are the caller's to avoid. */
void output_json_string(FILE *out, const void *text, size_t len);
void output_base64(FILE *out, const void *data, size_t len);
void output_hex(FILE *out, const void *data, size_t len);
bool output_is_utf8(const void *data, size_t len);

#endif
