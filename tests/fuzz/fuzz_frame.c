/*
 * Cutting frames off a stream: however the bytes are split into pieces, the same frames come out, and the same fault ends
 * it. The first byte of the input chooses the size of the pieces.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/native.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FRAME_MAX = 64 };

struct outcome {
    size_t frames, bytes;
    uint64_t hash;
    enum err end;
};

static void note(struct outcome *outcome, struct span frame)
{
    outcome->frames++;
    outcome->bytes += frame.len;
    for (size_t i = 0; i < frame.len; i++)
        outcome->hash = (outcome->hash ^ frame.data[i]) * 0x100000001b3u;
}

/* Works off what is there; what is left over is moved to the front by the caller. */
static size_t drain(struct span in, struct outcome *outcome)
{
    size_t had = in.len, need;
    struct span frame;
    while (in.len > 0 && (outcome->end = native_next_frame(&in, FRAME_MAX, &frame, &need)) == ERR_NONE) {
        assert(frame.len > 0 && frame.len <= FRAME_MAX);
        note(outcome, frame);
    }
    if (in.len > 0 && outcome->end == ERR_TRUNCATED)
        assert(need > in.len && need <= NATIVE_SIZE_BYTES + FRAME_MAX);
    return had - in.len;
}

static struct outcome in_pieces(const uint8_t *data, size_t len, size_t piece)
{
    struct outcome outcome = {.end = ERR_NONE};
    uint8_t *held = malloc(len + 1);
    size_t have = 0;
    for (size_t at = 0; at < len && (outcome.end == ERR_NONE || outcome.end == ERR_TRUNCATED); at += piece) {
        size_t take = piece < len - at ? piece : len - at;
        memcpy(held + have, data + at, take);
        have += take;
        size_t done = drain(span_of(held, have), &outcome);
        memmove(held, held + done, have - done);
        have -= done;
    }
    free(held);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    struct outcome whole = in_pieces(data + 1, len - 1, len),
                   split = in_pieces(data + 1, len - 1, 1u + data[0] % 16u);
    assert(whole.frames == split.frames && whole.bytes == split.bytes && whole.hash == split.hash);
    assert(whole.end == split.end);
    return 0;
}
