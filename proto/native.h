/*
 * sluice.v1: the wire vocabulary and the framing, shared by broker and clients. docs/protocol.md is the
 * specification; this file and its two neighbours (native_request: what a client sends; native_reply: what the
 * broker sends) are the only code that knows it. Pure: bytes in, bytes out; any thread.
 *
 *   stream = *( size frame )      size  = 0xce + uint32 big-endian: bytes of the frame that follows
 *                                 frame = MessagePack array, first element the op
 */
#ifndef SLUICE_PROTO_NATIVE_H
#define SLUICE_PROTO_NATIVE_H

#include "proto/cursor.h"
#include "proto/err.h"
#include "proto/span.h"

#define NATIVE_VERSION     1
#define NATIVE_SUBPROTOCOL "sluice.v1"

/* name, op, least and most elements of the frame's array including the op */
#define NATIVE_OPS(X)                                                                                        \
    X(HELLO, 1, 2, 3)                                                                                        \
    X(SUB, 2, 3, 4)                                                                                          \
    X(UNSUB, 3, 3, 3)                                                                                        \
    X(PUB, 4, 4, 5)                                                                                          \
    X(ACK, 5, 4, 4)                                                                                          \
    X(PING, 6, 1, 1)                                                                                         \
    X(HISTORY, 7, 3, 4)                                                                                      \
    X(PRESENCE, 8, 3, 4)                                                                                     \
    X(NACK, 9, 5, 5)                                                                                         \
    X(WELCOME, 65, 3, 3)                                                                                     \
    X(OK, 66, 2, 3)                                                                                          \
    X(ERR, 67, 4, 4)                                                                                         \
    X(MSG, 68, 3, 4)                                                                                         \
    X(GAP, 69, 4, 4)                                                                                         \
    X(EVENT, 70, 3, 4)                                                                                       \
    X(PONG, 71, 1, 1)                                                                                        \
    X(BYE, 72, 4, 4)                                                                                         \
    X(TAG, 73, 2, 2)

enum native_op {
#define NATIVE_ENUM(name, op, least, most) NATIVE_##name = (op),
    NATIVE_OPS(NATIVE_ENUM)
#undef NATIVE_ENUM
};

enum {
    NATIVE_SIZE_BYTES = 5,          /* the size in front of each frame */
    NATIVE_CONTROL_BYTES_MAX = 8192 /* no frame but MSG, OK to HISTORY/PRESENCE and EVENT is longer */
};

/* Writes the 5 size bytes for a frame of `len` bytes. */
void native_put_size(uint8_t out[NATIVE_SIZE_BYTES], uint32_t len);

/* Cuts the next frame off `in`. ERR_NONE: *frame is set (without its size) and *in advanced past it;
 * ERR_TRUNCATED: *in is unchanged and *need holds how many bytes the pair has in all (NATIVE_SIZE_BYTES while
 * the size itself is incomplete); ERR_PROTOCOL: the size does not start with 0xce, or is 0;
 * ERR_TOO_LARGE: the size is above frame_max. The size is judged as soon as its bytes are there. */
MUST_CHECK enum err native_next_frame(struct span *in, size_t frame_max, struct span *frame, size_t *need);

/* Opens a frame: reads the array header and op and leaves *body behind the op. ERR_PROTOCOL for anything but an
 * array that starts with an unsigned integer; for known ops also when the number of elements is out of
 * range. Unknown ops succeed: *op is their number (up to 2^32 - 1), *count the elements left. */
MUST_CHECK enum err native_open(struct span frame, uint32_t *op, uint32_t *count, struct cursor *body);

/* Name of a known op ("PUB"), or NULL. */
const char *native_op_name(uint32_t op);

#endif
