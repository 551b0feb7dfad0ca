/*
 * Between the public message structs and the codec's: headers in both directions, views without copies.
 */
#ifndef SLUICE_CLIENT_MESSAGE_H
#define SLUICE_CLIENT_MESSAGE_H

#include <sluice.h>

#include "proto/native_reply.h"

static inline struct sluice_bytes bytes_of_span(struct span s)
{
    return sluice_bytes_of(s.data, s.len);
}

static inline struct span span_of_bytes(struct sluice_bytes b)
{
    return span_of(b.data, b.len);
}

/* Whether it can travel as a MessagePack str: strict UTF-8, control characters allowed. Absent is valid. */
bool message_text_valid(struct sluice_bytes text);
/* Appends the headers as MessagePack: an array of [name, value] pairs. */
MUST_CHECK enum err message_pack_headers(struct wire_buf *out, const struct sluice_header *headers,
                                         size_t count);
/* The public view of a received message; borrows what msg borrows. */
struct sluice_message message_view(const struct native_msg *msg);

#endif
