#include "broker/log_text.h"

#include <stdio.h>
#include <time.h>

/* Kept free for the end of the line: a closing quote, "truncated":true, brace and newline. */
enum { TAIL = 32, BODY_MAX = LOG_LINE_MAX - TAIL };

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Appends all of it or nothing. */
static bool put(struct log_line *line, const char *bytes, size_t len)
{
    if (len > BODY_MAX - line->len) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
    return true;
}

static bool put_str(struct log_line *line, const char *s)
{
    return put(line, s, strlen(s));
}

/* Reads one UTF-8 character (RFC 3629). Returns its bytes and leaves the code point, or 0 for what is none. */
static size_t decode(const uint8_t *p, size_t len, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *code = bytes == 1 ? p[0] : p[0] & (0x7fu >> bytes);
    if (p[0] >= 0xf8 || (p[0] >= 0x80 && p[0] < 0xc0) || bytes > len)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3fu);
    }
    if (bytes > 1 && *code < least[bytes])
        return 0;
    return *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : bytes;
}

/* Control characters, and those that turn the direction of writing: a terminal would act on them. */
static bool harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* Appends text with JSON's escapes, as much of it as fits. Bytes that are not UTF-8 become U+FFFD. */
static void put_escaped(struct log_line *line, struct span text)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        size_t bytes = decode(text.data + at, text.len - at, &code);
        char escape[12];
        bool fits;
        if (bytes == 0) {
            fits = put_str(line, "\\ufffd");
            bytes = 1;
        } else if (code == '"' || code == '\\') {
            snprintf(escape, sizeof escape, "\\%c", (char)code);
            fits = put_str(line, escape);
        } else if (harmful(code)) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)code);
            fits = put_str(line, escape);
        } else {
            fits = put(line, (const char *)text.data + at, bytes);
        }
        if (!fits)
            return;
        at += bytes;
    }
}

/* Whether text stands in a text line as it is; anything that reads like syntax is quoted. */
static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || strchr("\"\\=", text.data[i]))
            return false;
    }
    return text.len > 0;
}

static void put_quoted(struct log_line *line, struct span text)
{
    if (!put_str(line, "\""))
        return;
    put_escaped(line, text);
    line->text[line->len++] = '"'; /* TAIL has room for it */
}

static void put_time(struct log_line *line, uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    char text[64];
    gmtime_r(&seconds, &utc);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + len, sizeof text - len, ".%03uZ", (unsigned)(unix_ms % 1000));
    put_str(line, text);
}

void log_line_begin(struct log_line *line, bool json, uint64_t unix_ms, enum log_level level,
                    const char *message)
{
    line->json = json;
    line->cut = false;
    line->len = 0;
    put_str(line, json ? "{\"ts\":\"" : "");
    put_time(line, unix_ms);
    put_str(line, json ? "\",\"level\":\"" : " ");
    put_str(line, level_names[level]);
    if (json) {
        put_str(line, "\",\"msg\":");
        put_quoted(line, span_str(message));
    } else {
        put_str(line, &" "[strlen(level_names[level]) - 4]); /* messages line up */
        put_str(line, " ");
        put_escaped(line, span_str(message));
    }
}

static void put_value(struct log_line *line, const struct log_field *field)
{
    char number[24];
    switch (field->type) {
    case LOG_FIELD_STR:
        if (!line->json && is_plain(field->str))
            put_escaped(line, field->str);
        else
            put_quoted(line, field->str);
        return;
    case LOG_FIELD_UINT:
        snprintf(number, sizeof number, "%" PRIu64, field->number);
        break;
    case LOG_FIELD_INT:
        snprintf(number, sizeof number, "%" PRId64, (int64_t)field->number);
        break;
    }
    put_str(line, number);
}

void log_line_field(struct log_line *line, const struct log_field *field)
{
    size_t start = line->len;
    if (line->cut)
        return;
    put_str(line, line->json ? ",\"" : " ");
    put_str(line, field->name);
    put_str(line, line->json ? "\":" : "=");
    size_t value = line->len;
    if (!line->cut)
        put_value(line, field);
    if (line->cut && line->len <= value)
        line->len = start; /* a name without any of its value would not be JSON */
}

void log_line_end(struct log_line *line)
{
    const char *tail =
        line->json ? (line->cut ? ",\"truncated\":true}\n" : "}\n") : (line->cut ? " ...\n" : "\n");
    size_t len = strlen(tail);
    memcpy(line->text + line->len, tail, len);
    line->len += len;
}
