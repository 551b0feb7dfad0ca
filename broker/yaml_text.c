#include "broker/yaml_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at `text`, which is valid UTF-8, and its length. */
static uint32_t code_point(const char *text, size_t *len)
{
    const uint8_t *at = (const uint8_t *)text;
    *len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t code = *len == 1 ? at[0] : at[0] & (0x7fu >> *len);
    for (size_t i = 1; i < *len; i++)
        code = code << 6 | (at[i] & 0x3fu);
    return code;
}

/* What a YAML file may not hold as it is, or would be taken for the end of a line (YAML 1.1, sections 4.1 and 4.2). */
static bool needs_escape(uint32_t code)
{
    return (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff ||
           code == 0xfffe || code == 0xffff;
}

void yaml_text_print(FILE *out, const char *text)
{
    fputc('"', out);
    for (size_t len; *text; text += len) {
        uint32_t code = code_point(text, &len);
        if (needs_escape(code))
            fprintf(out, "\\u%04x", (unsigned)code);
        else
            fprintf(out, code == '"' || code == '\\' ? "\\%.*s" : "%.*s", (int)len, text);
    }
    fputc('"', out);
}
