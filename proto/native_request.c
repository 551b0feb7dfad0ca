#include "proto/native_request.h"

#include "proto/native_option.h"
#include "proto/native_pack.h"
#include "proto/native_publish.h"
#include "proto/native_put.h"
#include "proto/native_subscribe.h"

enum { KEEPALIVE_S_MAX = 65535 };

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* ---- shared --------------------------------------------------------------------------------------------- */

static enum err take_id(struct cursor *body, uint64_t *id)
{
    enum err e = cursor_uint(body, id);
    return !e && *id > NATIVE_NUMBER_MAX ? ERR_PROTOCOL : e;
}

/* The optional map at a frame's end, behind which nothing may follow. */
static enum err take_options(struct cursor *body, bool present, struct option_names names,
                             struct span *values)
{
    memset(values, 0, names.count * sizeof *values);
    if (present && option_map(body, names, values))
        return ERR_PROTOCOL;
    return cursor_left(body) > 0 ? ERR_PROTOCOL : ERR_NONE;
}

/* Name of the first of the options first..last that is present; NULL when none is. */
static const char *first_present(struct option_names names, const struct span *values, size_t first,
                                 size_t last)
{
    for (size_t i = first; i <= last; i++) {
        if (values[i].data)
            return names.names[i];
    }
    return NULL;
}

enum err native_decode_id(struct cursor body, uint32_t count, uint64_t *id)
{
    uint64_t value;
    if (count == 0 || take_id(&body, &value))
        return ERR_PROTOCOL;
    while (--count > 0) {
        if (cursor_skip(&body))
            return ERR_PROTOCOL;
    }
    if (cursor_left(&body) > 0)
        return ERR_PROTOCOL;
    *id = value;
    return ERR_NONE;
}

/* ---- HELLO ---------------------------------------------------------------------------------------------- */

enum hello_option { HELLO_CLIENT, HELLO_USER, HELLO_PASSWORD, HELLO_TOKEN, HELLO_SESSION, HELLO_KEEPALIVE };

static const char *const hello_names[] = {"client", "user", "password", "token", "session", "keepalive_s"};

enum err native_decode_hello(struct cursor body, uint32_t count, struct native_hello *out)
{
    struct span v[COUNT_OF(hello_names)];
    *out = (struct native_hello){0};
    if (cursor_uint(&body, &out->version) ||
        take_options(&body, count > 1, (struct option_names){hello_names, COUNT_OF(hello_names)}, v))
        return ERR_PROTOCOL;
    if (out->version != NATIVE_VERSION)
        return ERR_UNSUPPORTED;
    enum err e;
    if ((e = option_str(v[HELLO_CLIENT], SIZE_MAX, &out->client)) ||
        (e = option_str(v[HELLO_USER], SIZE_MAX, &out->user)) ||
        (e = option_str(v[HELLO_PASSWORD], SIZE_MAX, &out->password)) ||
        (e = option_str(v[HELLO_TOKEN], SIZE_MAX, &out->token)) ||
        (e = option_str(v[HELLO_SESSION], SIZE_MAX, &out->session)) ||
        (e = option_uint32(v[HELLO_KEEPALIVE], 0, KEEPALIVE_S_MAX, &out->keepalive_s)))
        return e;
    out->has_keepalive = v[HELLO_KEEPALIVE].data != NULL;
    return ERR_NONE;
}

static void pack_hello_text(struct native_pack *p, enum hello_option option, struct span text)
{
    if (!text.data)
        return;
    pack_key(p, hello_names[option]);
    pack_str(p, text);
}

enum err native_encode_hello(struct wire_buf *out, const struct native_hello *hello)
{
    const struct span texts[] = {
        [HELLO_CLIENT] = hello->client, [HELLO_USER] = hello->user,       [HELLO_PASSWORD] = hello->password,
        [HELLO_TOKEN] = hello->token,   [HELLO_SESSION] = hello->session,
    };
    size_t options = hello->has_keepalive;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        options += texts[i].data != NULL;
    struct native_pack p;
    pack_open(&p, out, options ? 3 : 2, NATIVE_HELLO);
    pack_uint(&p, hello->version);
    if (options)
        pack_map(&p, options);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        pack_hello_text(&p, (enum hello_option)i, texts[i]);
    if (hello->has_keepalive) {
        pack_key(&p, hello_names[HELLO_KEEPALIVE]);
        pack_uint(&p, hello->keepalive_s);
    }
    return pack_close(&p);
}

/* ---- SUB and UNSUB -------------------------------------------------------------------------------------- */

enum err native_decode_sub(struct cursor body, uint32_t count, struct native_sub *out)
{
    struct span values[SUBSCRIBE_OPTIONS];
    *out = (struct native_sub){0};
    if (take_id(&body, &out->id) || cursor_str(&body, &out->filter) ||
        take_options(&body, count > 2, subscribe_option_names(), values))
        return ERR_PROTOCOL;
    out->unsupported =
        first_present(subscribe_option_names(), values, SUBSCRIBE_REFUSED_FIRST, SUBSCRIBE_REFUSED_LAST);
    return subscribe_options_read(values, out);
}

enum err native_encode_sub(struct wire_buf *out, const struct native_sub *sub)
{
    bool options = subscribe_options_count(sub) > 0;
    struct native_pack p;
    pack_open(&p, out, options ? 4 : 3, NATIVE_SUB);
    pack_uint(&p, sub->id);
    pack_str(&p, sub->filter);
    if (options)
        subscribe_options_pack(&p, sub);
    return pack_close(&p);
}

enum err native_decode_unsub(struct cursor body, uint32_t count, struct native_unsub *out)
{
    (void)count; /* native_open() has seen to it */
    *out = (struct native_unsub){0};
    if (take_id(&body, &out->id) || cursor_str(&body, &out->filter) || cursor_left(&body) > 0)
        return ERR_PROTOCOL;
    return ERR_NONE;
}

enum err native_encode_unsub(struct wire_buf *out, const struct native_unsub *unsub)
{
    struct native_pack p;
    pack_open(&p, out, 3, NATIVE_UNSUB);
    pack_uint(&p, unsub->id);
    pack_str(&p, unsub->filter);
    return pack_close(&p);
}

/* ---- PUB ------------------------------------------------------------------------------------------------ */

static enum err decode_pub_options(struct cursor body, struct native_pub *out)
{
    struct span values[PUBLISH_OPTIONS];
    if (take_options(&body, true, publish_option_names(), values))
        return ERR_PROTOCOL;
    enum err e = publish_options_read(values, out);
    bool retain = false;
    if (!e)
        e = option_bool(values[PUBLISH_RETAIN], &retain);
    if (retain)
        out->flags |= NATIVE_PUB_RETAIN;
    out->unsupported = first_present(publish_option_names(), values, PUBLISH_DEDUP, PUBLISH_DEDUP);
    return e;
}

/* Field by field: for a struct of this size compilers choose a string instruction, which takes longer than all the
 * rest of decoding. */
static void clear_options(struct native_pub *out)
{
    out->flags = 0;
    out->headers = (struct span){0};
    out->ttl_ms = 0;
    out->key = (struct span){0};
    out->reply = (struct span){0};
    out->correlation = (struct span){0};
    out->content_type = (struct span){0};
    out->format = 0;
    out->unsupported = NULL;
}

enum err native_decode_pub(struct cursor body, uint32_t count, struct native_pub *out)
{
    clear_options(out);
    if (take_id(&body, &out->id) || cursor_str(&body, &out->topic) || cursor_bytes(&body, &out->payload))
        return ERR_PROTOCOL;
    if (count > 3)
        return decode_pub_options(body, out);
    return cursor_left(&body) > 0 ? ERR_PROTOCOL : ERR_NONE;
}

enum err native_encode_pub(struct wire_buf *out, const struct native_pub *pub)
{
    size_t fixed = NATIVE_SIZE_BYTES + 2 + PUT_UINT_MAX + 2 * PUT_HEAD_MAX;
    enum err e =
        wire_buf_reserve(out, fixed + pub->topic.len + pub->payload.len + publish_options_bytes_max(pub));
    if (e)
        return e;
    uint8_t *start = out->data + out->len, *frame = start + NATIVE_SIZE_BYTES, *at = frame;
    *at++ = pub->flags ? 0x95 : 0x94;
    *at++ = NATIVE_PUB;
    at = put_uint(at, pub->id);
    at = put_str(at, pub->topic);
    at = put_bin(at, pub->payload);
    if (pub->flags)
        at = publish_options_put(at, pub);
    if ((size_t)(at - frame) > UINT32_MAX)
        return ERR_TOO_LARGE;
    native_put_size(start, (uint32_t)(at - frame));
    out->len = (size_t)(at - out->data);
    return ERR_NONE;
}

/* ---- PING and PONG -------------------------------------------------------------------------------------- */

static enum err encode_bare(struct wire_buf *out, enum native_op op)
{
    struct native_pack p;
    pack_open(&p, out, 1, op);
    return pack_close(&p);
}

enum err native_encode_ping(struct wire_buf *out)
{
    return encode_bare(out, NATIVE_PING);
}

enum err native_encode_pong(struct wire_buf *out)
{
    return encode_bare(out, NATIVE_PONG);
}
