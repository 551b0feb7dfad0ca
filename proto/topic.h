/*
 * Topic and filter rules, the same for every protocol (MQTT 5.0 section 4.7): UTF-8, levels separated by '/',
 * `+` is one level, `#` the rest and only last, `$`-topics are not matched by a leading wildcard. Pure: bytes
 * in, verdict out, any thread.
 *
 *   valid topics:   "a", "a/b", "/a", "a//b", "$SYS/x"      not: "", "a/+", "a#", "tab\there"
 *   valid filters:  "a/+/b", "#", "+", "a/#", "$share/g/a/#"  not: "a/#/b", "a+", "#a", "$share/g", "$share//a"
 */
#ifndef SLUICE_PROTO_TOPIC_H
#define SLUICE_PROTO_TOPIC_H

#include "proto/err.h"
#include "proto/span.h"

/* Defaults of the limits; a broker may be configured otherwise. */
enum { TOPIC_BYTES_MAX = 1024, TOPIC_LEVELS_MAX = 32 };

/* Strict UTF-8 (RFC 3629: no overlongs, no surrogates, <= U+10FFFF) without U+0000..U+001F and U+007F. */
bool topic_text_valid(struct span text);

/* ERR_NONE, ERR_BAD_TOPIC (empty, not UTF-8, control character, wildcard) or ERR_TOO_LARGE (bytes > bytes_max). */
MUST_CHECK enum err topic_check(struct span topic, size_t bytes_max);

/* ERR_NONE, ERR_BAD_FILTER, ERR_TOO_LARGE (bytes > bytes_max) or ERR_LIMIT (levels > levels_max). A filter that
 * starts with "$share/" must have the form $share/GROUP/FILTER with a non-empty GROUP free of wildcards. */
MUST_CHECK enum err filter_check(struct span filter, size_t bytes_max, size_t levels_max);

/* Whether the (valid) filter contains `+` or `#`. */
bool filter_is_wildcard(struct span filter);

/* Whether the filter is of the form $share/GROUP/FILTER. */
bool filter_is_shared(struct span filter);

/* Number of '/'-separated levels; 1 for a text without '/'. */
size_t topic_levels(struct span text);

/* The reference matcher: whether the valid topic matches the valid, non-shared filter. O(bytes). */
bool filter_matches(struct span filter, struct span topic);

#endif
