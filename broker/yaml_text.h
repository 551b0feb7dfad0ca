/*
 * Text as a quoted YAML scalar that loads to the same text. Any thread.
 */
#ifndef SLUICE_BROKER_YAML_TEXT_H
#define SLUICE_BROKER_YAML_TEXT_H

#include <stdio.h>

/* `text` is valid UTF-8 without control characters below U+0020, as all settings are. */
void yaml_text_print(FILE *out, const char *text);

#endif
