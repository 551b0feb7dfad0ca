/*
 * The YAML loader on arbitrary bytes. What it accepts must print to a file that loads to the same settings; what it refuses
 * must be explained in one line that starts with the file's name.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *print(const struct settings *settings, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    config_print(&settings->config, out);
    fclose(out);
    return text;
}

static void check_round_trip(const struct settings *settings)
{
    struct settings *again = settings_new();
    struct config_error error;
    size_t len, len_again;
    char *text = print(settings, &len);
    enum err err = config_load_text(&again->config, "printed", text, len, &error);
    if (err)
        fprintf(stderr, "%s\n%s", error.text, text);
    assert(err == ERR_NONE);
    char *text_again = print(again, &len_again);
    assert(len == len_again && memcmp(text, text_again, len) == 0);
    settings_free(again);
    free(text);
    free(text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct settings *settings = settings_new();
    struct config_error error;
    if (config_load_text(&settings->config, "fuzz", (const char *)data, len, &error) == ERR_NONE)
        check_round_trip(settings);
    else
        assert(strncmp(error.text, "fuzz", 4) == 0 && !strchr(error.text, '\n'));
    settings_free(settings);
    return 0;
}
