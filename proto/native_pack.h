/*
 * Packing whole pairs with msgpack-c into a wire_buf: everything that is sent rarely. A pair is opened, packed value
 * by value, and closed; closing writes its size, or takes back what was written when the buffer could not grow.
 * Private to proto/; any thread.
 */
#ifndef SLUICE_PROTO_NATIVE_PACK_H
#define SLUICE_PROTO_NATIVE_PACK_H

#include <msgpack.h>

#include "proto/native.h"
#include "proto/wire_buf.h"

struct native_pack {
    msgpack_packer packer;
    struct wire_buf *out; /* borrows */
    size_t start;         /* where the pair begins in out */
    enum err error;       /* the first one; later packing is void */
};

/* Opens a pair whose frame is an array of `count` elements including the op, and packs the op. */
void pack_open(struct native_pack *p, struct wire_buf *out, size_t count, enum native_op op);
void pack_uint(struct native_pack *p, uint64_t value);
void pack_str(struct native_pack *p, struct span text);
void pack_map(struct native_pack *p, size_t count);
void pack_key(struct native_pack *p, const char *key);
/* A number that need not be whole: an integer where it is, so that every encoder picks the same bytes. */
void pack_true(struct native_pack *p);
void pack_number(struct native_pack *p, double value);
MUST_CHECK enum err pack_close(struct native_pack *p);

#endif
