/*
 * Reading the map of options that closes HELLO, SUB, PUB, WELCOME, OK and MSG. First option_map() walks the whole
 * map, checks that it is well-formed and notes where the value of each known key lies; then each value is read by
 * its type. It allocates nothing: a map costs what its bytes cost, where an unpacker makes a tree of it that is
 * some twenty times larger, and that at the wish of a peer. Private to proto/; any thread.
 */
#ifndef SLUICE_PROTO_NATIVE_OPTION_H
#define SLUICE_PROTO_NATIVE_OPTION_H

#include "proto/cursor.h"

#define NATIVE_NUMBER_MAX (UINT64_C(1) << 53) /* what every client's numbers hold exactly */

/* The name of each option of one kind of frame; an option's index is its place in `values` below. */
struct option_names {
    const char *const *names; /* borrows; static */
    size_t count;
};

/* Reads a map, or nil in its place. values[i] becomes the encoded value of names[i], .data NULL when the key is
 * absent or nil; of a repeated key the last counts. ERR_PROTOCOL for anything but a well-formed map with str keys. */
MUST_CHECK enum err option_map(struct cursor *c, struct option_names names, struct span *values);

/* Readers of one value: nothing happens and the result is ERR_NONE when it is absent; ERR_BAD_OPTION for a
 * wrong type or a value out of bounds. */
MUST_CHECK enum err option_uint(struct span value, uint64_t least, uint64_t most, uint64_t *out);
MUST_CHECK enum err option_uint32(struct span value, uint32_t least, uint32_t most, uint32_t *out);
MUST_CHECK enum err option_number(struct span value, double least, double most,
                                  double *out); /* float or integer */
MUST_CHECK enum err option_bool(struct span value, bool *out);
MUST_CHECK enum err option_str(struct span value, size_t len_max, struct span *out);
MUST_CHECK enum err option_bytes(struct span value, size_t len_max, struct span *out); /* bin or str */

#endif
