#include "proto/wire_buf.h"

#include <assert.h>
#include <stdlib.h>

enum { CAP_MIN = 64 };

void wire_buf_init(struct wire_buf *buf, size_t max)
{
    *buf = (struct wire_buf){.max = max};
}

void wire_buf_fini(struct wire_buf *buf)
{
    free(buf->data);
    *buf = (struct wire_buf){.max = buf->max};
}

/* Doubles, so that appending byte by byte stays linear, but never past the bound. */
static size_t next_cap(const struct wire_buf *buf, size_t needed)
{
    size_t cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    if (cap < CAP_MIN)
        cap = CAP_MIN;
    if (cap < needed)
        cap = needed;
    if (buf->max && cap > buf->max)
        cap = buf->max;
    return cap;
}

enum err wire_buf_reserve(struct wire_buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return ERR_NONE;
    if (more > SIZE_MAX - buf->len)
        return ERR_NO_MEMORY;
    size_t needed = buf->len + more;
    if (buf->max && needed > buf->max)
        return ERR_NO_MEMORY;
    size_t cap = next_cap(buf, needed);
    uint8_t *data = realloc(buf->data, cap);
    if (!data)
        return ERR_NO_MEMORY;
    buf->data = data;
    buf->cap = cap;
    return ERR_NONE;
}

enum err wire_buf_append(struct wire_buf *buf, const void *data, size_t len)
{
    enum err e = wire_buf_reserve(buf, len);
    if (e || len == 0)
        return e;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return ERR_NONE;
}

void wire_buf_consume(struct wire_buf *buf, size_t n)
{
    assert(n <= buf->len);
    if (n == 0)
        return;
    buf->len -= n;
    memmove(buf->data, buf->data + n, buf->len);
}
