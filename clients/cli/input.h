/*
 * Payloads from standard input: all of it, or line by line while the connection stays served.
 */
#ifndef SLUICE_CLI_INPUT_H
#define SLUICE_CLI_INPUT_H

#include <sluice.h>

enum { INPUT_BYTES_MAX = 64 << 20 };

struct input {
    int fd;
    char *data; /* owns */
    size_t len, cap;
    size_t start; /* of what has not been handed out */
    bool ended;
};

void input_init(struct input *input, int fd);
void input_fini(struct input *input);
/* Everything up to the end, in one piece that is valid until input_fini(). False after an error, explained. */
bool input_all(struct input *input, struct sluice_bytes *out);

enum input_result { INPUT_LINE, INPUT_END, INPUT_STOPPED, INPUT_FAILED };
/* The next line without its newline, valid until the next call. A last line without newline counts.
 * INPUT_STOPPED: interrupted, or the connection is closed for good. INPUT_FAILED is explained. */
enum input_result input_line(struct input *input, struct sluice *client, struct sluice_bytes *out);

#endif
