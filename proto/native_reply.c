#include "proto/native_reply.h"

#include <assert.h>

#include "proto/native_option.h"
#include "proto/native_pack.h"
#include "proto/native_put.h"
#include "proto/native_subscribe.h"

/* ---- shared --------------------------------------------------------------------------------------------- */

static enum err take_uint32(struct cursor *body, uint32_t *out)
{
    uint64_t value;
    if (cursor_uint(body, &value) || value > UINT32_MAX)
        return ERR_PROTOCOL;
    *out = (uint32_t)value;
    return ERR_NONE;
}

static enum err take_number(struct cursor *body, uint64_t *out)
{
    enum err e = cursor_uint(body, out);
    return !e && *out > NATIVE_NUMBER_MAX ? ERR_PROTOCOL : e;
}

static enum err take_end(const struct cursor *body)
{
    return cursor_left(body) > 0 ? ERR_PROTOCOL : ERR_NONE;
}

/* The map at the end of OK and EVENT as it is; .data NULL for nil or nothing. */
static enum err take_raw_map(struct cursor *body, bool present, struct span *out)
{
    *out = (struct span){0};
    if (!present || cursor_nil(body) == ERR_NONE)
        return take_end(body);
    const uint8_t *start = body->at;
    if (cursor_peek(body) != CURSOR_MAP || cursor_skip(body))
        return ERR_PROTOCOL;
    *out = span_of(start, (size_t)(body->at - start));
    return take_end(body);
}

/* ---- WELCOME -------------------------------------------------------------------------------------------- */

enum welcome_option {
    WELCOME_SERVER,
    WELCOME_MAX_FRAME,
    WELCOME_MAX_PAYLOAD,
    WELCOME_KEEPALIVE,
    WELCOME_OPTIONS
};

static const char *const welcome_names[WELCOME_OPTIONS] = {"server", "max_frame", "max_payload",
                                                           "keepalive_s"};

static void pack_welcome_number(struct native_pack *p, enum welcome_option option, uint32_t value)
{
    pack_key(p, welcome_names[option]);
    pack_uint(p, value);
}

enum err native_encode_welcome(struct wire_buf *out, const struct native_welcome *welcome)
{
    struct native_pack p;
    pack_open(&p, out, 3, NATIVE_WELCOME);
    pack_str(&p, welcome->session);
    pack_map(&p, WELCOME_OPTIONS);
    pack_key(&p, welcome_names[WELCOME_SERVER]);
    pack_str(&p, welcome->server);
    pack_welcome_number(&p, WELCOME_MAX_FRAME, welcome->max_frame);
    pack_welcome_number(&p, WELCOME_MAX_PAYLOAD, welcome->max_payload);
    pack_welcome_number(&p, WELCOME_KEEPALIVE, welcome->keepalive_s);
    return pack_close(&p);
}

enum err native_decode_welcome(struct cursor body, uint32_t count, struct native_welcome *out)
{
    (void)count; /* exactly two, says native_open() */
    struct span v[WELCOME_OPTIONS];
    *out = (struct native_welcome){0};
    if (cursor_str(&body, &out->session) ||
        option_map(&body, (struct option_names){welcome_names, WELCOME_OPTIONS}, v) || take_end(&body))
        return ERR_PROTOCOL;
    enum err e;
    if ((e = option_str(v[WELCOME_SERVER], SIZE_MAX, &out->server)) ||
        (e = option_uint32(v[WELCOME_MAX_FRAME], 0, UINT32_MAX, &out->max_frame)) ||
        (e = option_uint32(v[WELCOME_MAX_PAYLOAD], 0, UINT32_MAX, &out->max_payload)) ||
        (e = option_uint32(v[WELCOME_KEEPALIVE], 0, UINT32_MAX, &out->keepalive_s)))
        return e;
    return ERR_NONE;
}

/* ---- OK and ERR ----------------------------------------------------------------------------------------- */

enum err native_encode_ok(struct wire_buf *out, uint64_t id)
{
    struct native_pack p;
    pack_open(&p, out, 2, NATIVE_OK);
    pack_uint(&p, id);
    return pack_close(&p);
}

enum err native_encode_ok_sub(struct wire_buf *out, const struct native_sub *granted)
{
    struct native_pack p;
    pack_open(&p, out, 3, NATIVE_OK);
    pack_uint(&p, granted->id);
    subscribe_options_pack(&p, granted);
    return pack_close(&p);
}

static enum err read_granted(struct span result, struct native_ok *out)
{
    struct cursor c = cursor_of(result);
    struct option_names names = subscribe_option_names();
    struct span values[SUBSCRIBE_GRANTED];
    struct native_sub granted = {0};
    names.count = SUBSCRIBE_GRANTED;
    if (option_map(&c, names, values))
        return ERR_PROTOCOL;
    enum err e = subscribe_options_read(values, &granted);
    if (!e)
        e = option_bool(values[SUBSCRIBE_RETAINED], &out->retained);
    out->policy = granted.policy;
    out->queue = granted.queue;
    out->max_hz = granted.max_hz;
    out->has_tag = granted.has_tag;
    out->tag = granted.tag;
    return e;
}

enum err native_decode_ok(struct cursor body, uint32_t count, struct native_ok *out)
{
    *out = (struct native_ok){0};
    if (take_number(&body, &out->id) || take_raw_map(&body, count > 1, &out->result))
        return ERR_PROTOCOL;
    return out->result.data ? read_granted(out->result, out) : ERR_NONE;
}

enum err native_encode_err(struct wire_buf *out, const struct native_error *error)
{
    struct native_pack p;
    pack_open(&p, out, 4, NATIVE_ERR);
    pack_uint(&p, error->id);
    pack_str(&p, error->code);
    pack_str(&p, error->text);
    return pack_close(&p);
}

enum err native_decode_err(struct cursor body, uint32_t count, struct native_error *out)
{
    (void)count; /* exactly three */
    *out = (struct native_error){0};
    if (take_number(&body, &out->id) || cursor_str(&body, &out->code) || cursor_str(&body, &out->text))
        return ERR_PROTOCOL;
    return take_end(&body);
}

/* ---- GAP and TAG ---------------------------------------------------------------------------------------- */

const char *native_gap_name(enum native_gap_reason reason)
{
    static const char *const names[] = {
#define GAP_NAME(name, text) text,
        NATIVE_GAP_REASONS(GAP_NAME)
#undef GAP_NAME
    };
    assert((unsigned)reason < NATIVE_GAP_COUNT);
    return names[reason];
}

enum { GAP_REASON_BYTES_MAX = 31 };

size_t native_gap_bytes_max(size_t filter_len)
{
    return NATIVE_SIZE_BYTES + 2 + PUT_HEAD_MAX + filter_len + PUT_UINT_MAX + 1 + GAP_REASON_BYTES_MAX;
}

size_t native_put_gap(uint8_t *out, struct span filter, uint64_t count, enum native_gap_reason reason)
{
    uint8_t *frame = out + NATIVE_SIZE_BYTES, *at = frame;
    *at++ = 0x94;
    *at++ = NATIVE_GAP;
    at = put_str(at, filter);
    at = put_uint(at, count);
    at = put_str(at, span_str(native_gap_name(reason)));
    native_put_size(out, (uint32_t)(at - frame));
    return (size_t)(at - out);
}

enum err native_decode_gap(struct cursor body, uint32_t count, struct native_gap *out)
{
    (void)count; /* exactly three */
    *out = (struct native_gap){0};
    if (cursor_str(&body, &out->filter) || cursor_uint(&body, &out->count) || cursor_str(&body, &out->reason))
        return ERR_PROTOCOL;
    return take_end(&body);
}

size_t native_put_tag(uint8_t out[NATIVE_TAG_BYTES_MAX], uint32_t tag)
{
    uint8_t *frame = out + NATIVE_SIZE_BYTES, *at = frame;
    *at++ = 0x92;
    *at++ = NATIVE_TAG;
    at = put_uint(at, tag);
    native_put_size(out, (uint32_t)(at - frame));
    return (size_t)(at - out);
}

enum err native_decode_tag(struct cursor body, uint32_t count, uint32_t *tag)
{
    (void)count; /* exactly one */
    uint32_t value;
    if (take_uint32(&body, &value) || take_end(&body))
        return ERR_PROTOCOL;
    *tag = value;
    return ERR_NONE;
}

/* ---- BYE and EVENT -------------------------------------------------------------------------------------- */

enum err native_encode_bye(struct wire_buf *out, const struct native_bye *bye)
{
    struct native_pack p;
    pack_open(&p, out, 4, NATIVE_BYE);
    pack_str(&p, bye->code);
    pack_str(&p, bye->text);
    pack_uint(&p, bye->reconnect_after_ms);
    return pack_close(&p);
}

enum err native_decode_bye(struct cursor body, uint32_t count, struct native_bye *out)
{
    (void)count; /* exactly three */
    *out = (struct native_bye){0};
    if (cursor_str(&body, &out->code) || cursor_str(&body, &out->text) ||
        take_uint32(&body, &out->reconnect_after_ms))
        return ERR_PROTOCOL;
    return take_end(&body);
}

enum err native_encode_event(struct wire_buf *out, const struct native_event *event)
{
    struct native_pack p;
    pack_open(&p, out, 3, NATIVE_EVENT);
    pack_str(&p, event->kind);
    pack_str(&p, event->topic);
    return pack_close(&p);
}

enum err native_decode_event(struct cursor body, uint32_t count, struct native_event *out)
{
    *out = (struct native_event){0};
    if (cursor_str(&body, &out->kind) || cursor_str(&body, &out->topic))
        return ERR_PROTOCOL;
    return take_raw_map(&body, count > 2, &out->data);
}
