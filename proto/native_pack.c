#include "proto/native_pack.h"

/* msgpack-c's writer: what it packs goes to the end of the buffer. */
static int write_bytes(void *user, const char *data, size_t len)
{
    struct native_pack *p = user;
    if (!p->error)
        p->error = wire_buf_append(p->out, data, len);
    return p->error ? -1 : 0;
}

void pack_open(struct native_pack *p, struct wire_buf *out, size_t count, enum native_op op)
{
    static const char size_to_come[NATIVE_SIZE_BYTES];
    *p = (struct native_pack){.out = out, .start = out->len};
    msgpack_packer_init(&p->packer, p, write_bytes);
    write_bytes(p, size_to_come, sizeof size_to_come);
    msgpack_pack_array(&p->packer, count);
    pack_uint(p, op);
}

void pack_uint(struct native_pack *p, uint64_t value)
{
    msgpack_pack_uint64(&p->packer, value);
}

void pack_str(struct native_pack *p, struct span text)
{
    msgpack_pack_str(&p->packer, text.len);
    msgpack_pack_str_body(&p->packer, text.data, text.len);
}

void pack_map(struct native_pack *p, size_t count)
{
    msgpack_pack_map(&p->packer, count);
}

void pack_key(struct native_pack *p, const char *key)
{
    pack_str(p, span_str(key));
}

void pack_true(struct native_pack *p)
{
    msgpack_pack_true(&p->packer);
}

void pack_number(struct native_pack *p, double value)
{
    bool whole = value >= 0 && value < 9007199254740992.0 && value == (double)(uint64_t)value;
    if (whole)
        pack_uint(p, (uint64_t)value);
    else
        msgpack_pack_double(&p->packer, value);
}

enum err pack_close(struct native_pack *p)
{
    size_t len = p->out->len - p->start - NATIVE_SIZE_BYTES;
    if (!p->error && len > UINT32_MAX)
        p->error = ERR_TOO_LARGE;
    if (p->error)
        p->out->len = p->start;
    else
        native_put_size(p->out->data + p->start, (uint32_t)len);
    return p->error;
}
