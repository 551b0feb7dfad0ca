#include "clients/cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/cli.h"

static bool colour_out, colour_err;

void output_init(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    bool allowed = !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
    colour_out = allowed && isatty(STDOUT_FILENO);
    colour_err = allowed && isatty(STDERR_FILENO);
}

/* ---- stderr --------------------------------------------------------------------------------------------- */

static void say(const char *colour, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    fflush(stdout); /* so that the two streams read in order on one terminal */
    fprintf(stderr, "%ssluice:%s %s\n", colour_err ? colour : "", colour_err ? "\033[0m" : "", text);
}

void output_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("\033[31m", format, args);
    va_end(args);
}

void output_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("\033[33m", format, args);
    va_end(args);
}

void output_notice(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("\033[2m", format, args);
    va_end(args);
}

/* ---- stdout --------------------------------------------------------------------------------------------- */

static int write_error;

const char *output_topic_on(void)
{
    return colour_out ? "\033[36m" : "";
}

const char *output_topic_off(void)
{
    return colour_out ? "\033[0m" : "";
}

bool output_flush(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (!write_error)
        write_error = errno ? errno : EIO;
    return false;
}

bool output_reader_gone(void)
{
    return write_error == EPIPE;
}

int output_finish(void)
{
    if (output_flush() || output_reader_gone())
        return CLI_OK;
    output_error("cannot write the output: %s", strerror(write_error));
    return CLI_FAILURE;
}

/* ---- encodings ------------------------------------------------------------------------------------------ */

void output_json_string(FILE *out, const void *text, size_t len)
{
    const unsigned char *bytes = text;
    putc('"', out);
    for (size_t i = 0; i < len; i++) {
        const char *found = strchr("\"\"\\\\\nn\rr\tt", bytes[i]);
        if (bytes[i] == '"' || bytes[i] == '\\')
            fprintf(out, "\\%c", bytes[i]);
        else if (bytes[i] < 0x20 && bytes[i] && found)
            fprintf(out, "\\%c", found[1]);
        else if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            fprintf(out, "\\u%04x", bytes[i]);
        else
            putc(bytes[i], out);
    }
    putc('"', out);
}

void output_base64(FILE *out, const void *data, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned b1 = left > 1 ? bytes[i + 1] : 0;
        unsigned b2 = left > 2 ? bytes[i + 2] : 0;
        unsigned group = (unsigned)bytes[i] << 16 | b1 << 8 | b2;
        putc(letters[group >> 18], out);
        putc(letters[group >> 12 & 63], out);
        putc(left > 1 ? letters[group >> 6 & 63] : '=', out);
        putc(left > 2 ? letters[group & 63] : '=', out);
    }
}

void output_hex(FILE *out, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        fprintf(out, "%02x", bytes[i]);
}

/* Length of the UTF-8 sequence at the front (RFC 3629), 0 when there is none. */
static size_t sequence_len(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first, last; /* of the lead byte */
        unsigned char low, high;   /* of the byte behind it */
        unsigned char len;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (s[0] < rows[r].first || s[0] > rows[r].last || rows[r].len > left)
            continue;
        for (size_t i = 1; i < rows[r].len; i++)
            if (s[i] < (i == 1 ? rows[r].low : 0x80) || s[i] > (i == 1 ? rows[r].high : 0xbf))
                return 0;
        return rows[r].len;
    }
    return 0;
}

bool output_is_utf8(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    size_t i = 0;
    while (i < len) {
        size_t step = sequence_len(bytes + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}
