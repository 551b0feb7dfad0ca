/*
 * A growing byte buffer with a hard bound, for frames that are built on cold paths and by clients. The owner is
 * whoever holds the struct; one thread at a time. Bytes behind `data` move when it grows.
 */
#ifndef SLUICE_PROTO_WIRE_BUF_H
#define SLUICE_PROTO_WIRE_BUF_H

#include "proto/err.h"
#include "proto/span.h"

struct wire_buf {
    uint8_t *data; /* owns; NULL while cap is 0 */
    size_t len;
    size_t cap;
    size_t max; /* bytes; growing past it is ERR_NO_MEMORY; 0 means no bound */
};

void wire_buf_init(struct wire_buf *buf, size_t max);
void wire_buf_fini(struct wire_buf *buf);
/* Makes room for `more` bytes behind len. On error the buffer is unchanged. */
MUST_CHECK enum err wire_buf_reserve(struct wire_buf *buf, size_t more);
MUST_CHECK enum err wire_buf_append(struct wire_buf *buf, const void *data, size_t len);
/* Removes the first n bytes (n <= len). */
void wire_buf_consume(struct wire_buf *buf, size_t n);

#endif
