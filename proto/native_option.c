#include "proto/native_option.h"

static void note_value(struct option_names names, struct span key, struct span value, struct span *values)
{
    bool is_nil = value.data[0] == 0xc0;
    for (size_t i = 0; i < names.count; i++) {
        if (span_eq(key, span_str(names.names[i]))) {
            values[i] = is_nil ? (struct span){0} : value;
            return;
        }
    }
}

enum err option_map(struct cursor *c, struct option_names names, struct span *values)
{
    for (size_t i = 0; i < names.count; i++)
        values[i] = (struct span){0};
    if (cursor_nil(c) == ERR_NONE)
        return ERR_NONE;
    uint32_t count;
    if (cursor_map(c, &count))
        return ERR_PROTOCOL;
    while (count-- > 0) {
        struct span key;
        if (cursor_str(c, &key))
            return ERR_PROTOCOL;
        const uint8_t *value = c->at;
        if (cursor_skip(c))
            return ERR_PROTOCOL;
        note_value(names, key, span_of(value, (size_t)(c->at - value)), values);
    }
    return ERR_NONE;
}

enum err option_uint(struct span value, uint64_t least, uint64_t most, uint64_t *out)
{
    if (!value.data)
        return ERR_NONE;
    struct cursor c = cursor_of(value);
    uint64_t number;
    if (cursor_uint(&c, &number) || number < least || number > most)
        return ERR_BAD_OPTION;
    *out = number;
    return ERR_NONE;
}

enum err option_uint32(struct span value, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t number = *out;
    enum err e = option_uint(value, least, most, &number);
    if (!e)
        *out = (uint32_t)number;
    return e;
}

/* A float of either size; the encoding is known to be complete. */
static double float_of(const uint8_t *p)
{
    uint64_t bits = 0;
    size_t bytes = p[0] == 0xca ? 4 : 8;
    for (size_t i = 1; i <= bytes; i++)
        bits = bits << 8 | p[i];
    if (bytes == 8) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    uint32_t low = (uint32_t)bits;
    float narrow;
    memcpy(&narrow, &low, sizeof narrow);
    return (double)narrow;
}

enum err option_number(struct span value, double least, double most, double *out)
{
    if (!value.data)
        return ERR_NONE;
    struct cursor c = cursor_of(value);
    uint64_t whole;
    double number;
    if (cursor_peek(&c) == CURSOR_FLOAT)
        number = float_of(value.data);
    else if (cursor_uint(&c, &whole) == ERR_NONE)
        number = (double)whole;
    else
        return ERR_BAD_OPTION;
    bool within = number >= least && number <= most; /* false for NaN */
    if (!within)
        return ERR_BAD_OPTION;
    *out = number;
    return ERR_NONE;
}

enum err option_bool(struct span value, bool *out)
{
    if (!value.data)
        return ERR_NONE;
    if (value.data[0] != 0xc2 && value.data[0] != 0xc3)
        return ERR_BAD_OPTION;
    *out = value.data[0] == 0xc3;
    return ERR_NONE;
}

enum err option_str(struct span value, size_t len_max, struct span *out)
{
    struct cursor c = cursor_of(value);
    if (value.data && cursor_peek(&c) != CURSOR_STR)
        return ERR_BAD_OPTION;
    return option_bytes(value, len_max, out);
}

enum err option_bytes(struct span value, size_t len_max, struct span *out)
{
    if (!value.data)
        return ERR_NONE;
    struct cursor c = cursor_of(value);
    struct span bytes;
    if (cursor_bytes(&c, &bytes) || bytes.len > len_max)
        return ERR_BAD_OPTION;
    *out = bytes;
    return ERR_NONE;
}
