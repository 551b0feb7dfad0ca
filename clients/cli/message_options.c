#include "clients/cli/message_options.h"

#include <string.h>

static struct sluice_bytes optional(const char *text)
{
    return text ? sluice_str(text) : sluice_bytes_of(NULL, 0);
}

bool message_options_apply(const struct message_options *options, const struct cli_spec *spec,
                           struct sluice_header headers[CLI_LIST_MAX], struct sluice_publish *publish,
                           int *exit_code)
{
    for (size_t i = 0; i < options->headers.count; i++) {
        const char *item = options->headers.items[i];
        const char *equals = strchr(item, '=');
        if (!equals) {
            *exit_code = cli_usage_error(spec, "--header: \"%s\" is not NAME=VALUE", item);
            return false;
        }
        headers[i].name = sluice_bytes_of(item, (size_t)(equals - item));
        headers[i].value = sluice_str(equals + 1);
    }
    publish->headers = headers;
    publish->header_count = options->headers.count;
    publish->ttl_ms = (uint64_t)(options->ttl_s * 1000 + 0.5);
    publish->retain = options->retain;
    publish->key = optional(options->key);
    publish->content_type = optional(options->content_type);
    publish->reply = optional(options->reply);
    return true;
}
