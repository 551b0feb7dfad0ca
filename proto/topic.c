#include "proto/topic.h"

#define SHARE "$share/"

enum { SHARE_LEN = sizeof SHARE - 1 };

/* ---- text ----------------------------------------------------------------------------------------------- */

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Whether none of the eight bytes is a control character, DEL or part of a multi-byte sequence. The subtractions
 * may borrow into a neighbour, but only from a byte that is itself a finding, so the verdict on all eight holds. */
static bool eight_plain(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    uint64_t del = w ^ EACH_BYTE(0x7f);
    uint64_t found = w | (w - EACH_BYTE(0x20)) | (del - EACH_BYTE(0x01));
    return (found & EACH_BYTE(0x80)) == 0;
}

/* Bounds of the second byte for a lead byte: they exclude overlongs, surrogates and what is above U+10FFFF. */
static bool second_valid(uint8_t lead, uint8_t second)
{
    uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= least && second <= most;
}

/* Length of the valid, printable character at p, or 0. */
static size_t character_len(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < len || !second_valid(lead, p[1]))
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool topic_text_valid(struct span text)
{
    size_t i = 0;
    while (i < text.len) {
        if (text.len - i >= 8 && eight_plain(text.data + i)) {
            i += 8;
            continue;
        }
        /* The last few, seen together with those before them. */
        if (text.len >= 8 && text.len - i < 8 && eight_plain(text.data + text.len - 8))
            return true;
        size_t len = character_len(text.data + i, text.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

/* ---- verdicts ------------------------------------------------------------------------------------------- */

static bool has_byte(struct span s, char byte)
{
    return s.len > 0 && memchr(s.data, byte, s.len) != NULL;
}

enum err topic_check(struct span topic, size_t bytes_max)
{
    if (topic.len > bytes_max)
        return ERR_TOO_LARGE;
    if (topic.len == 0 || !topic_text_valid(topic) || filter_is_wildcard(topic))
        return ERR_BAD_TOPIC;
    return ERR_NONE;
}

/* `+` must fill its level, `#` as well and that level must be the last. */
static bool wildcards_placed(struct span filter)
{
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t c = filter.data[i];
        if (c != '+' && c != '#')
            continue;
        bool starts_level = i == 0 || filter.data[i - 1] == '/';
        bool ends_text = i + 1 == filter.len;
        bool ends_level = ends_text || (c == '+' && filter.data[i + 1] == '/');
        if (!starts_level || !ends_level)
            return false;
    }
    return true;
}

/* Cuts $share/GROUP/ off; false when it is not of that form. */
static bool cut_share(struct span *filter)
{
    const uint8_t *group = filter->data + SHARE_LEN;
    const uint8_t *end = filter->data + filter->len;
    const uint8_t *slash = memchr(group, '/', filter->len - SHARE_LEN);
    if (!slash || slash == group || filter_is_wildcard(span_of(group, (size_t)(slash - group))))
        return false;
    *filter = span_of(slash + 1, (size_t)(end - slash - 1));
    /* A queue group inside a queue group would be delivered by no one. */
    return !filter_is_shared(*filter);
}

enum err filter_check(struct span filter, size_t bytes_max, size_t levels_max)
{
    if (filter.len > bytes_max)
        return ERR_TOO_LARGE;
    if (!topic_text_valid(filter))
        return ERR_BAD_FILTER;
    if (filter_is_shared(filter) && !cut_share(&filter))
        return ERR_BAD_FILTER;
    if (filter.len == 0 || !wildcards_placed(filter))
        return ERR_BAD_FILTER;
    return topic_levels(filter) > levels_max ? ERR_LIMIT : ERR_NONE;
}

bool filter_is_wildcard(struct span filter)
{
    return has_byte(filter, '+') || has_byte(filter, '#');
}

bool filter_is_shared(struct span filter)
{
    return filter.len >= SHARE_LEN && memcmp(filter.data, SHARE, SHARE_LEN) == 0;
}

size_t topic_levels(struct span text)
{
    size_t levels = 1;
    for (size_t i = 0; i < text.len; i++)
        levels += text.data[i] == '/';
    return levels;
}

/* ---- matching ------------------------------------------------------------------------------------------- */

/* The level that starts at i, up to the next '/' or the end. */
static struct span level_at(struct span text, size_t i)
{
    const uint8_t *slash = i < text.len ? memchr(text.data + i, '/', text.len - i) : NULL;
    return span_of(text.data + i, slash ? (size_t)(slash - text.data) - i : text.len - i);
}

bool filter_matches(struct span filter, struct span topic)
{
    bool leading_wildcard = filter.data[0] == '+' || filter.data[0] == '#';
    if (topic.data[0] == '$' && leading_wildcard)
        return false;
    size_t f = 0, t = 0;
    for (;;) {
        struct span want = level_at(filter, f), have = level_at(topic, t);
        if (want.len == 1 && want.data[0] == '#')
            return true;
        bool any = want.len == 1 && want.data[0] == '+';
        if (!any && !span_eq(want, have))
            return false;
        f += want.len;
        t += have.len;
        if (t == topic.len) /* "a/#" also matches "a" */
            return f == filter.len || (filter.len - f == 2 && memcmp(filter.data + f, "/#", 2) == 0);
        if (f == filter.len)
            return false;
        f++;
        t++;
    }
}
