#include "proto/native.h"

void native_put_size(uint8_t out[NATIVE_SIZE_BYTES], uint32_t len)
{
    out[0] = 0xce;
    out[1] = (uint8_t)(len >> 24);
    out[2] = (uint8_t)(len >> 16);
    out[3] = (uint8_t)(len >> 8);
    out[4] = (uint8_t)len;
}

enum err native_next_frame(struct span *in, size_t frame_max, struct span *frame, size_t *need)
{
    *need = NATIVE_SIZE_BYTES;
    if (in->len > 0 && in->data[0] != 0xce)
        return ERR_PROTOCOL;
    if (in->len < NATIVE_SIZE_BYTES)
        return ERR_TRUNCATED;
    const uint8_t *p = in->data;
    size_t len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (len == 0)
        return ERR_PROTOCOL;
    if (len > frame_max)
        return ERR_TOO_LARGE;
    *need = NATIVE_SIZE_BYTES + len;
    if (in->len < *need)
        return ERR_TRUNCATED;
    *frame = span_of(p + NATIVE_SIZE_BYTES, len);
    *in = span_of(p + *need, in->len - *need);
    return ERR_NONE;
}

struct op_rule {
    const char *name; /* NULL: no such op */
    uint8_t least, most;
};

static const struct op_rule *op_rule(uint64_t op)
{
    static const struct op_rule rules[] = {
#define OP_RULE(name, op, least, most) [op] = {#name, least, most},
        NATIVE_OPS(OP_RULE)
#undef OP_RULE
    };
    bool known = op < sizeof rules / sizeof rules[0] && rules[op].name;
    return known ? &rules[op] : NULL;
}

enum err native_open(struct span frame, uint32_t *op, uint32_t *count, struct cursor *body)
{
    struct cursor c = cursor_of(frame);
    uint32_t elements;
    uint64_t number;
    if (cursor_array(&c, &elements) || elements == 0 || cursor_uint(&c, &number) || number > UINT32_MAX)
        return ERR_PROTOCOL;
    const struct op_rule *rule = op_rule(number);
    if (rule && (elements < rule->least || elements > rule->most))
        return ERR_PROTOCOL;
    if (elements == 1 && cursor_left(&c) > 0)
        return ERR_PROTOCOL;
    *op = (uint32_t)number;
    *count = elements - 1;
    /* Not *body = c: copying what was just stored in halves makes the processor wait for the stores. */
    *body = (struct cursor){c.at, frame.data + frame.len};
    return ERR_NONE;
}

const char *native_op_name(uint32_t op)
{
    const struct op_rule *rule = op_rule(op);
    return rule ? rule->name : NULL;
}
