/*
 * Bytes on their way out: encoders append behind, the transport takes from the front. Consuming moves an index;
 * the bytes move only when the dead front is at least as long as what lives, so each byte moves once on average.
 */
#ifndef SLUICE_CLIENT_SEND_BUFFER_H
#define SLUICE_CLIENT_SEND_BUFFER_H

#include "proto/wire_buf.h"

struct send_buffer {
    struct wire_buf bytes; /* append here; bytes before `head` have gone out */
    size_t head;
};

static inline size_t send_buffer_len(const struct send_buffer *buffer)
{
    return buffer->bytes.len - buffer->head;
}

static inline struct span send_buffer_front(const struct send_buffer *buffer)
{
    if (send_buffer_len(buffer) == 0)
        return (struct span){0};
    return span_of(buffer->bytes.data + buffer->head, send_buffer_len(buffer));
}

static inline void send_buffer_consume(struct send_buffer *buffer, size_t len)
{
    buffer->head += len;
    if (buffer->head >= buffer->bytes.len - buffer->head) {
        wire_buf_consume(&buffer->bytes, buffer->head);
        buffer->head = 0;
    }
}

#endif
