#include "clients/cli/input.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "clients/cli/connect.h"
#include "clients/cli/output.h"

enum { READ_BYTES = 64 * 1024 };

void input_init(struct input *input, int fd)
{
    *input = (struct input){.fd = fd};
}

void input_fini(struct input *input)
{
    free(input->data);
    *input = (struct input){.fd = -1};
}

static bool make_room(struct input *input)
{
    if (input->start > 0)
        memmove(input->data, input->data + input->start, input->len - input->start);
    input->len -= input->start;
    input->start = 0;
    if (input->cap - input->len >= READ_BYTES)
        return true;
    size_t cap = input->cap ? input->cap * 2 : 2 * READ_BYTES;
    char *data = cap > INPUT_BYTES_MAX ? NULL : realloc(input->data, cap);
    if (!data) {
        output_error("the input is longer than %d MiB in one piece", INPUT_BYTES_MAX >> 20);
        return false;
    }
    input->data = data;
    input->cap = cap;
    return true;
}

static bool read_more(struct input *input)
{
    if (!make_room(input))
        return false;
    ssize_t got = read(input->fd, input->data + input->len, input->cap - input->len);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (got < 0) {
        output_error("cannot read the input: %s", strerror(errno));
        return false;
    }
    input->ended = got == 0;
    input->len += (size_t)got;
    return true;
}

bool input_all(struct input *input, struct sluice_bytes *out)
{
    while (!input->ended)
        if (!read_more(input))
            return false;
    *out = sluice_bytes_of(input->data ? input->data : "", input->len);
    return true;
}

static bool take_line(struct input *input, struct sluice_bytes *out)
{
    size_t left = input->len - input->start;
    if (left == 0)
        return false;
    char *line = input->data + input->start;
    char *newline = memchr(line, '\n', left);
    if (!newline && !input->ended)
        return false;
    size_t len = newline ? (size_t)(newline - line) : left;
    *out = sluice_bytes_of(line, len);
    input->start += len + (newline != NULL);
    return true;
}

enum input_result input_line(struct input *input, struct sluice *client, struct sluice_bytes *out)
{
    while (!take_line(input, out)) {
        if (input->ended)
            return INPUT_END;
        if (connect_wait_readable(client, input->fd) != SLUICE_OK)
            return INPUT_STOPPED;
        if (!read_more(input))
            return INPUT_FAILED;
    }
    return INPUT_LINE;
}
