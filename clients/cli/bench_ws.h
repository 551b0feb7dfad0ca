/*
 * The client's half of WebSocket (RFC 6455), as little as a load generator needs: the request, frames out (masked) and
 * frames in. No I/O. The server's Sec-WebSocket-Accept is not checked: who is measured is known. One thread.
 */
#ifndef SLUICE_BENCH_WS_H
#define SLUICE_BENCH_WS_H

#include "proto/err.h"
#include "proto/span.h"

enum ws_op { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum {
    WS_HEADER_MAX = 14,    /* of a masked frame */
    WS_CONTROL_MAX = 125,  /* bytes in a control frame, RFC 6455 section 5.5 */
    WS_RESPONSE_MAX = 4096 /* of the server's answer to the upgrade */
};

/* Writes the upgrade request and returns its length, or 0 when it does not fit. */
size_t ws_put_request(char *out, size_t room, const char *host, const char *port, const char *path);
/* Judges what the server answered so far: ERR_NONE once the response is whole and good (*len: its bytes),
 * ERR_TRUNCATED while it is not whole, ERR_PROTOCOL when it is not status 101 or too long. */
MUST_CHECK enum err ws_read_response(struct span in, size_t *len);

/* Writes the header of one final, masked frame directly in front of `payload`, which needs WS_HEADER_MAX free bytes
 * there, and masks the payload in place. Returns the header's length. */
size_t ws_wrap(uint8_t *payload, size_t len, enum ws_op op, uint32_t mask);

/* Where the reader stands in the stream of frames from the server. Zero at the start. */
struct ws_reader {
    uint8_t header[10];
    uint8_t have;  /* bytes of it */
    enum ws_op op; /* of the current frame */
    uint64_t left; /* bytes of its payload to come */
    uint8_t control[WS_CONTROL_MAX];
    uint8_t control_len;
};

/* Cuts the next piece off `in`. ERR_NONE: *op and *piece are set: a part of a data frame's payload, or a whole control
 * frame's; ERR_TRUNCATED: all of `in` was taken and there is no piece; ERR_PROTOCOL: masked, reserved bits, ... */
MUST_CHECK enum err ws_next(struct ws_reader *reader, struct span *in, enum ws_op *op, struct span *piece);

#endif
