/*
 * The options of a PUB, which travel on as the meta of its MSG under the same names: reading and writing them in one
 * place, so that what a publisher says is what a subscriber hears. Private to proto/; any thread.
 */
#ifndef SLUICE_PROTO_NATIVE_PUBLISH_H
#define SLUICE_PROTO_NATIVE_PUBLISH_H

#include "proto/native_option.h"
#include "proto/native_request.h"

/* Places in the values of publish_option_names(); up to FORMAT, an option's flag is 1 << its place. */
enum publish_option {
    PUBLISH_HEADERS,
    PUBLISH_TTL,
    PUBLISH_KEY,
    PUBLISH_REPLY,
    PUBLISH_CORRELATION,
    PUBLISH_CONTENT_TYPE,
    PUBLISH_FORMAT,
    PUBLISH_TS,       /* MSG only */
    PUBLISH_RETAINED, /* MSG only */
    PUBLISH_RETAIN,   /* PUB only */
    PUBLISH_DEDUP,
    PUBLISH_OPTIONS
};

struct option_names publish_option_names(void);

/* Sets the flags and the fields they stand for; ERR_BAD_OPTION. */
MUST_CHECK enum err publish_options_read(const struct span values[PUBLISH_OPTIONS], struct native_pub *out);

/* Upper bound of what publish_options_put() writes. */
size_t publish_options_bytes_max(const struct native_pub *pub);

/* Writes the options of a PUB and returns where they end. */
uint8_t *publish_options_put(uint8_t *at, const struct native_pub *pub);
/* Writes the meta of a MSG and returns where it ends. `ts_ms` goes along with a ttl, and with a retained value. */
uint8_t *publish_meta_put(uint8_t *at, const struct native_pub *pub, uint64_t ts_ms);

#endif
