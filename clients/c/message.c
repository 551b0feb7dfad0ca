#include "clients/c/message.h"

#include "proto/native_put.h"
#include "proto/topic.h"

/* The topic rule is UTF-8 without control characters; those are single bytes, so it is applied between them. */
bool message_text_valid(struct sluice_bytes text)
{
    const uint8_t *bytes = text.data;
    size_t start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        bool cut = i == text.len || bytes[i] < 0x20 || bytes[i] == 0x7f;
        if (!cut)
            continue;
        if (i > start && !topic_text_valid(span_of(bytes + start, i - start)))
            return false;
        start = i + 1;
    }
    return true;
}

/* ---- headers -------------------------------------------------------------------------------------------- */

/* The shortest MessagePack array header (15 elements, 16 bits, 32 bits). */
static size_t put_array(uint8_t out[5], size_t count)
{
    if (count <= 15) {
        out[0] = (uint8_t)(0x90 | count);
        return 1;
    }
    if (count <= UINT16_MAX) {
        out[0] = 0xdc;
        put_big_endian(out + 1, count, 2);
        return 3;
    }
    out[0] = 0xdd;
    put_big_endian(out + 1, count, 4);
    return 5;
}

static enum err pack_str(struct wire_buf *out, struct sluice_bytes text)
{
    enum err e = wire_buf_reserve(out, PUT_HEAD_MAX + text.len);
    if (e == ERR_NONE)
        out->len = (size_t)(put_str(out->data + out->len, span_of_bytes(text)) - out->data);
    return e;
}

enum err message_pack_headers(struct wire_buf *out, const struct sluice_header *headers, size_t count)
{
    uint8_t head[5];
    enum err e = wire_buf_append(out, head, put_array(head, count));
    for (size_t i = 0; i < count && e == ERR_NONE; i++) {
        e = wire_buf_append(out, head, put_array(head, 2));
        if (e == ERR_NONE)
            e = pack_str(out, headers[i].name);
        if (e == ERR_NONE)
            e = pack_str(out, headers[i].value);
    }
    return e;
}

bool sluice_header_next(const struct sluice_message *message, struct sluice_header_iter *it)
{
    struct span raw = span_of_bytes(message->raw_headers);
    if (!raw.data)
        return false;
    struct cursor at;
    if (it->offset == 0)
        at = native_headers_begin(raw, &it->left);
    else
        at = cursor_of(span_of(raw.data + it->offset, raw.len - it->offset));
    struct span name, value;
    if (!native_next_header(&at, &it->left, &name, &value))
        return false;
    it->offset = (size_t)(at.at - raw.data);
    it->header = (struct sluice_header){bytes_of_span(name), bytes_of_span(value)};
    return true;
}

/* ---- views ---------------------------------------------------------------------------------------------- */

struct sluice_message message_view(const struct native_msg *msg)
{
    return (struct sluice_message){.topic = bytes_of_span(msg->topic),
                                   .payload = bytes_of_span(msg->payload),
                                   .key = bytes_of_span(msg->key),
                                   .reply = bytes_of_span(msg->reply),
                                   .correlation = bytes_of_span(msg->correlation),
                                   .content_type = bytes_of_span(msg->content_type),
                                   .raw_headers = bytes_of_span(msg->headers),
                                   .ttl_ms = msg->ttl_ms,
                                   .ts_ms = msg->ts_ms,
                                   .text = msg->format == 1,
                                   .retained = msg->flags & NATIVE_PUB_RETAINED};
}

struct sluice_publish sluice_reply_to(const struct sluice_message *request, struct sluice_bytes payload)
{
    return (struct sluice_publish){
        .topic = request->reply, .payload = payload, .correlation = request->correlation};
}

static const struct {
    const char *name;
    enum sluice_policy policy;
} policies[] = {
    {"default", SLUICE_POLICY_DEFAULT},         {"drop_oldest", SLUICE_POLICY_DROP_OLDEST},
    {"drop_newest", SLUICE_POLICY_DROP_NEWEST}, {"conflate", SLUICE_POLICY_CONFLATE},
    {"disconnect", SLUICE_POLICY_DISCONNECT},   {"block", SLUICE_POLICY_BLOCK},
};

const char *sluice_policy_name(enum sluice_policy policy)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (policies[i].policy == policy)
            return policies[i].name;
    return "default";
}

bool sluice_policy_parse(const char *name, enum sluice_policy *out)
{
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (strcmp(policies[i].name, name) != 0)
            continue;
        *out = policies[i].policy;
        return true;
    }
    return false;
}
