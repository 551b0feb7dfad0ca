#include "broker/delivery/encoder.h"
#include "broker/delivery/subscription.h"

static struct frame_view view(const uint8_t *frame)
{
    struct native_msg_peek peek = native_peek_msg(frame);
    return (struct frame_view){.topic = peek.topic, .key = peek.key, .expires_ms = peek.expires_ms};
}

static size_t gap_bytes_max(const struct subscription *sub)
{
    return native_gap_bytes_max(sub->filter_len);
}

static size_t put_gap(uint8_t *out, const struct subscription *sub, uint64_t count,
                      enum native_gap_reason why)
{
    return native_put_gap(out, subscription_filter(sub), count, why);
}

static size_t put_prefix(uint8_t *out, const struct subscription *sub)
{
    return native_put_tag(out, sub->tag);
}

const struct encoder encoder_native = {
    .frame_bytes = native_pair_bytes,
    .frame_view = view,
    .gap_bytes_max = gap_bytes_max,
    .put_gap = put_gap,
    .prefix_bytes_max = NATIVE_TAG_BYTES_MAX,
    .put_prefix = put_prefix,
};
