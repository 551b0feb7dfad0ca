#include "clients/cli/format.h"

#include <time.h>

#include "clients/cli/output.h"

static uint64_t unix_ms(const struct sluice_message *message)
{
    struct timespec now;
    if (message->ts_ms)
        return message->ts_ms;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void print_iso_time(FILE *out, const struct sluice_message *message)
{
    uint64_t ms = unix_ms(message);
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[40];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(out, "%s.%03uZ", text, (unsigned)(ms % 1000));
}

static void print_unix_time(FILE *out, const struct sluice_message *message)
{
    uint64_t ms = unix_ms(message);
    fprintf(out, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static void print_bytes(FILE *out, struct sluice_bytes bytes)
{
    if (bytes.len)
        fwrite(bytes.data, 1, bytes.len, out);
}

static void print_headers(FILE *out, const struct sluice_message *message)
{
    struct sluice_header_iter it = {0};
    const char *between = "";
    while (sluice_header_next(message, &it)) {
        fputs(between, out);
        print_bytes(out, it.header.name);
        putc('=', out);
        print_bytes(out, it.header.value);
        between = ", ";
    }
}

/* ---- JSON ----------------------------------------------------------------------------------------------- */

/* "name":"text", or "name_base64":"..." for what is not UTF-8. */
static void json_field(FILE *out, const char *name, struct sluice_bytes value)
{
    bool text = output_is_utf8(value.data, value.len);
    fprintf(out, ",\"%s%s\":", name, text ? "" : "_base64");
    if (text) {
        output_json_string(out, value.data, value.len);
        return;
    }
    putc('"', out);
    output_base64(out, value.data, value.len);
    putc('"', out);
}

static void json_headers(FILE *out, const struct sluice_message *message)
{
    struct sluice_header_iter it = {0};
    const char *between = "";
    fputs(",\"headers\":[", out);
    while (sluice_header_next(message, &it)) {
        fprintf(out, "%s[", between);
        output_json_string(out, it.header.name.data, it.header.name.len);
        putc(',', out);
        output_json_string(out, it.header.value.data, it.header.value.len);
        putc(']', out);
        between = ",";
    }
    putc(']', out);
}

static void print_json(FILE *out, const struct sluice_message *message)
{
    const struct {
        const char *name;
        struct sluice_bytes value;
    } optional[] = {{"key", message->key},
                    {"reply", message->reply},
                    {"correlation", message->correlation},
                    {"content_type", message->content_type}};
    fputs("{\"time\":\"", out);
    print_iso_time(out, message);
    putc('"', out);
    json_field(out, "topic", message->topic);
    json_field(out, "payload", message->payload);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        if (optional[i].value.data)
            json_field(out, optional[i].name, optional[i].value);
    if (message->ttl_ms)
        fprintf(out, ",\"ttl_ms\":%llu", (unsigned long long)message->ttl_ms);
    if (message->retained)
        fputs(",\"retained\":true", out);
    if (message->raw_headers.data)
        json_headers(out, message);
    putc('}', out);
}

/* ---- templates ------------------------------------------------------------------------------------------ */

static const char placeholders[] = "tpxlkhjrIU%";
static const char escapes[] = "ntr0\\";
static const char escaped[] = "\n\t\r\0\\";

bool format_check(const char *template, const char **bad)
{
    *bad = NULL;
    for (const char *at = template; *at && !*bad; at++) {
        const char *valid = *at == '%' ? placeholders : *at == '\\' ? escapes : NULL;
        if (!valid)
            continue;
        if (!at[1] || !strchr(valid, at[1]))
            *bad = at;
        else
            at++;
    }
    return !*bad;
}

static void print_topic(FILE *out, const struct sluice_message *message)
{
    fputs(output_topic_on(), out);
    print_bytes(out, message->topic);
    fputs(output_topic_off(), out);
}

static void print_placeholder(FILE *out, char what, const struct sluice_message *message)
{
    switch (what) {
    case 't':
        print_topic(out, message);
        break;
    case 'p':
        print_bytes(out, message->payload);
        break;
    case 'x':
        output_hex(out, message->payload.data, message->payload.len);
        break;
    case 'l':
        fprintf(out, "%zu", message->payload.len);
        break;
    case 'k':
        print_bytes(out, message->key);
        break;
    case 'h':
        print_headers(out, message);
        break;
    case 'j':
        print_json(out, message);
        break;
    case 'r':
        putc(message->retained ? '1' : '0', out);
        break;
    case 'I':
        print_iso_time(out, message);
        break;
    case 'U':
        print_unix_time(out, message);
        break;
    default:
        putc(what, out);
        break;
    }
}

void format_print(FILE *out, const struct format *format, const struct sluice_message *message)
{
    for (const char *at = format->template; *at; at++) {
        if (*at == '%')
            print_placeholder(out, *++at, message);
        else if (*at == '\\')
            putc(escaped[strchr(escapes, *++at) - escapes], out);
        else
            putc(*at, out);
    }
    if (!format->no_newline)
        putc('\n', out);
}
