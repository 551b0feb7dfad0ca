/*
 * The options of a SUB, which its OK grants under the same names: reading and packing them in one place. Private to
 * proto/; any thread.
 */
#ifndef SLUICE_PROTO_NATIVE_SUBSCRIBE_H
#define SLUICE_PROTO_NATIVE_SUBSCRIBE_H

#include "proto/native_option.h"
#include "proto/native_pack.h"
#include "proto/native_request.h"

/* Places in the values of subscribe_option_names(). What can be granted comes first, what is refused behind it. */
enum subscribe_option {
    SUBSCRIBE_POLICY,
    SUBSCRIBE_QUEUE,
    SUBSCRIBE_MAX_HZ,
    SUBSCRIBE_TAG,
    SUBSCRIBE_RETAINED, /* OK only */
    SUBSCRIBE_GRANTED,  /* how many can be */
    SUBSCRIBE_REFUSED_FIRST = SUBSCRIBE_GRANTED,
    SUBSCRIBE_REFUSED_LAST = SUBSCRIBE_REFUSED_FIRST + 6,
    SUBSCRIBE_OPTIONS
};

/* All names; the first SUBSCRIBE_GRANTED of them are those of an OK. */
struct option_names subscribe_option_names(void);

/* Sets policy, queue, max_hz and tag from the first SUBSCRIBE_GRANTED values; ERR_BAD_OPTION. */
MUST_CHECK enum err subscribe_options_read(const struct span *values, struct native_sub *out);

/* How many of them are set, and packing those as a map. */
size_t subscribe_options_count(const struct native_sub *sub);
void subscribe_options_pack(struct native_pack *p, const struct native_sub *sub);

#endif
