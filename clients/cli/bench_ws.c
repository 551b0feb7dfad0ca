#include "clients/cli/bench_ws.h"

#include <stdio.h>

#include "proto/native.h"

/* ---- the handshake -------------------------------------------------------------------------------------- */

size_t ws_put_request(char *out, size_t room, const char *host, const char *port, const char *path)
{
    /* The nonce is the example of RFC 6455 section 1.3: nobody here is protected by a fresh one. */
    int len = snprintf(out, room,
                       "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Protocol: " NATIVE_SUBPROTOCOL "\r\n\r\n",
                       path, host, port);
    return len > 0 && (size_t)len < room ? (size_t)len : 0;
}

enum err ws_read_response(struct span in, size_t *len)
{
    static const char status[] = "HTTP/1.1 101";
    const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    if (!end)
        return in.len < WS_RESPONSE_MAX ? ERR_TRUNCATED : ERR_PROTOCOL;
    *len = (size_t)((const uint8_t *)end + 4 - in.data);
    return *len > sizeof status && memcmp(in.data, status, sizeof status - 1) == 0 ? ERR_NONE : ERR_PROTOCOL;
}

/* ---- out ------------------------------------------------------------------------------------------------ */

static void mask_bytes(uint8_t *data, size_t len, uint32_t mask)
{
    uint64_t wide = (uint64_t)mask << 32 | mask;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    uint8_t rest[4];
    memcpy(rest, &mask, 4);
    for (; i < len; i++)
        data[i] ^= rest[i % 4];
}

size_t ws_wrap(uint8_t *payload, size_t len, enum ws_op op, uint32_t mask)
{
    size_t extra = len < 126 ? 0 : len < 65536 ? 2 : 8;
    size_t header = 2 + extra + 4;
    uint8_t *out = payload - header;
    out[0] = (uint8_t)(0x80 | op);
    out[1] = (uint8_t)(0x80 | (extra == 0 ? len : extra == 2 ? 126 : 127));
    for (size_t i = 0; i < extra; i++)
        out[2 + i] = (uint8_t)(len >> (8 * (extra - 1 - i)));
    memcpy(out + 2 + extra, &mask, 4);
    mask_bytes(payload, len, mask);
    return header;
}

/* ---- in ------------------------------------------------------------------------------------------------- */

static size_t header_bytes(const struct ws_reader *reader)
{
    if (reader->have < 2)
        return 2;
    uint8_t len = reader->header[1] & 0x7f;
    return len < 126 ? 2 : len == 126 ? 4 : 10;
}

static enum err open_frame(struct ws_reader *reader)
{
    const uint8_t *header = reader->header;
    size_t bytes = header_bytes(reader);
    reader->op = header[0] & 0x0f;
    reader->left = header[1] & 0x7f;
    if (bytes > 2)
        reader->left = 0;
    for (size_t i = 2; i < bytes; i++)
        reader->left = reader->left << 8 | header[i];
    reader->control_len = 0;
    bool control = reader->op >= WS_CLOSE;
    bool known = reader->op <= WS_BINARY || (control && reader->op <= WS_PONG);
    bool masked = header[1] & 0x80, reserved = header[0] & 0x70;
    if (!known || masked || reserved || (control && reader->left > WS_CONTROL_MAX))
        return ERR_PROTOCOL;
    return ERR_NONE;
}

/* False while the header is not whole. */
static bool take_header(struct ws_reader *reader, struct span *in)
{
    while (reader->have < header_bytes(reader)) {
        if (in->len == 0)
            return false;
        reader->header[reader->have++] = *in->data;
        *in = span_of(in->data + 1, in->len - 1);
    }
    return true;
}

static struct span take_payload(struct ws_reader *reader, struct span *in)
{
    size_t len = in->len < reader->left ? in->len : (size_t)reader->left;
    struct span piece = span_of(in->data, len);
    *in = span_of(in->data + len, in->len - len);
    reader->left -= len;
    return piece;
}

enum err ws_next(struct ws_reader *reader, struct span *in, enum ws_op *op, struct span *piece)
{
    bool at_start = reader->left == 0 && reader->have < header_bytes(reader);
    if (at_start) {
        if (!take_header(reader, in))
            return ERR_TRUNCATED;
        if (open_frame(reader) != ERR_NONE)
            return ERR_PROTOCOL;
    }
    *op = reader->op;
    *piece = take_payload(reader, in);
    if (reader->op >= WS_CLOSE) {
        memcpy(reader->control + reader->control_len, piece->data, piece->len);
        reader->control_len = (uint8_t)(reader->control_len + piece->len);
        *piece = span_of(reader->control, reader->control_len);
    }
    bool whole = reader->left == 0;
    if (whole)
        reader->have = 0;
    return (reader->op >= WS_CLOSE ? whole : piece->len > 0 || whole) ? ERR_NONE : ERR_TRUNCATED;
}
