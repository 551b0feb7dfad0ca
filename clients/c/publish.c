#include "clients/c/core.h"
#include "clients/c/message.h"
#include "proto/topic.h"

enum {
    FIELD_BYTES_MAX = 255, /* key, correlation, content_type */
    PUBLISH_OVERHEAD_MAX =
        192 /* everything of a PUB but its variable parts: size, ids, keys of the options */
};

/* ---- may it be sent ------------------------------------------------------------------------------------- */

size_t publish_bytes_max(const struct sluice_publish *p)
{
    size_t bytes = PUBLISH_OVERHEAD_MAX + p->topic.len + p->payload.len + p->key.len + p->reply.len +
                   p->correlation.len + p->content_type.len;
    for (size_t i = 0; i < p->header_count; i++)
        bytes += 11 + p->headers[i].name.len + p->headers[i].value.len;
    return bytes;
}

static bool headers_valid(const struct sluice_publish *p)
{
    for (size_t i = 0; i < p->header_count; i++)
        if (!message_text_valid(p->headers[i].name) || !message_text_valid(p->headers[i].value))
            return false;
    return true;
}

enum sluice_status publish_check(const struct sluice_core *core, const struct sluice_publish *p)
{
    if (topic_check(span_of_bytes(p->topic), TOPIC_BYTES_MAX) != ERR_NONE)
        return SLUICE_BAD_ARGUMENT;
    if (p->reply.data && topic_check(span_of_bytes(p->reply), TOPIC_BYTES_MAX) != ERR_NONE)
        return SLUICE_BAD_ARGUMENT;
    if (p->key.len > FIELD_BYTES_MAX || p->correlation.len > FIELD_BYTES_MAX ||
        p->content_type.len > FIELD_BYTES_MAX)
        return SLUICE_BAD_ARGUMENT;
    if (p->ttl_ms > (UINT64_C(1) << 53) || !message_text_valid(p->content_type) || !headers_valid(p))
        return SLUICE_BAD_ARGUMENT;
    if (core->max_payload_bytes && p->payload.len > core->max_payload_bytes)
        return SLUICE_TOO_LARGE;
    return SLUICE_OK;
}

static enum sluice_status starve(struct sluice_core *core)
{
    core->starved = true;
    return SLUICE_AGAIN;
}

enum sluice_status publish_room(struct sluice_core *core, size_t bytes)
{
    if (core->state == CORE_STOPPED || core->state == CORE_CLOSING)
        return SLUICE_CLOSED;
    if (core->state != CORE_OPEN)
        return starve(core);
    size_t buffered = sluice_core_buffered_bytes(core);
    if (buffered > 0 && buffered + bytes > core->options.send_buffer_bytes_max)
        return starve(core);
    if (core->pending.publishes >= core->options.in_flight_max)
        return starve(core);
    return SLUICE_OK;
}

/* ---- sending -------------------------------------------------------------------------------------------- */

static struct native_pub native_view(const struct sluice_publish *p, uint64_t id)
{
    struct native_pub pub = {.id = id,
                             .topic = span_of_bytes(p->topic),
                             .payload = span_of_bytes(p->payload),
                             .ttl_ms = p->ttl_ms,
                             .key = span_of_bytes(p->key),
                             .reply = span_of_bytes(p->reply),
                             .correlation = span_of_bytes(p->correlation),
                             .content_type = span_of_bytes(p->content_type),
                             .format = p->text};
    if (!message_text_valid(p->key))
        pub.flags = NATIVE_PUB_KEY_BIN;
    pub.flags |= (p->ttl_ms ? NATIVE_PUB_TTL : 0u) | (p->key.data ? NATIVE_PUB_KEY : 0u) |
                 (p->reply.data ? NATIVE_PUB_REPLY : 0u) |
                 (p->correlation.data ? NATIVE_PUB_CORRELATION : 0u) |
                 (p->content_type.data ? NATIVE_PUB_CONTENT_TYPE : 0u) | (p->text ? NATIVE_PUB_FORMAT : 0u) |
                 (p->retain ? NATIVE_PUB_RETAIN : 0u);
    return pub;
}

static enum err encode_with_headers(struct native_pub *pub, const struct sluice_publish *p,
                                    struct wire_buf *out)
{
    struct wire_buf headers;
    wire_buf_init(&headers, 0);
    enum err e = message_pack_headers(&headers, p->headers, p->header_count);
    if (e == ERR_NONE) {
        pub->flags |= NATIVE_PUB_HEADERS;
        pub->headers = span_of(headers.data, headers.len);
        e = native_encode_pub(out, pub);
    }
    wire_buf_fini(&headers);
    return e;
}

enum sluice_status publish_encode(struct sluice_core *core, const struct sluice_publish *p, uint64_t id,
                                  const char *reply, struct wire_buf *out)
{
    struct native_pub pub = native_view(p, id);
    if (reply) {
        pub.flags |= NATIVE_PUB_REPLY;
        pub.reply = span_str(reply);
    }
    size_t before = out->len;
    enum err e = p->header_count ? encode_with_headers(&pub, p, out) : native_encode_pub(out, &pub);
    if (e == ERR_NONE && core->max_frame_bytes &&
        out->len - before > core->max_frame_bytes + (size_t)NATIVE_SIZE_BYTES)
        e = ERR_TOO_LARGE;
    if (e == ERR_NONE)
        return SLUICE_OK;
    out->len = before;
    return e == ERR_TOO_LARGE ? SLUICE_TOO_LARGE : SLUICE_NO_MEMORY;
}

enum sluice_status sluice_core_publish(struct sluice_core *core, const struct sluice_publish *publish,
                                       sluice_done_fn *on_done, void *user)
{
    enum sluice_status status = publish_check(core, publish);
    if (status == SLUICE_OK)
        status = publish_room(core, publish_bytes_max(publish));
    if (status == SLUICE_OK && pending_reserve(&core->pending) != ERR_NONE)
        status = SLUICE_NO_MEMORY;
    if (status == SLUICE_OK)
        status = publish_encode(core, publish, on_done ? core->pending.next : 0, NULL, &core->out.bytes);
    if (status == SLUICE_OK && on_done)
        pending_add(&core->pending,
                    (struct pending){.kind = PENDING_PUBLISH, .on_done = on_done, .user = user});
    return status;
}
