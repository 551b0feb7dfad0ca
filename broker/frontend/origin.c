#include "broker/frontend/origin.h"

#include <ctype.h>
#include <strings.h>

static bool same_text(struct span a, struct span b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

static bool listed(const struct option_list *list, struct span text)
{
    for (size_t i = 0; i < list->count; i++)
        if (same_text(span_str(list->item[i]), text))
            return true;
    return false;
}

/* "name:port" without the port; IPv6 keeps its brackets. Empty when malformed. */
static struct span name_of(struct span authority)
{
    size_t end = 0;
    if (authority.len > 0 && authority.data[0] == '[') {
        while (end < authority.len && authority.data[end] != ']')
            end++;
        end = end < authority.len ? end + 1 : 0;
    } else {
        while (end < authority.len && authority.data[end] != ':')
            end++;
    }
    for (size_t i = end + 1; i < authority.len; i++)
        if (!isdigit(authority.data[i]))
            return (struct span){0};
    if (end < authority.len && authority.data[end] != ':')
        return (struct span){0};
    return span_of(authority.data, end);
}

static bool is_loopback(struct span name)
{
    if (same_text(name, span_str("localhost")) || same_text(name, span_str("[::1]")))
        return true;
    if (name.len < 4 || memcmp(name.data, "127.", 4) != 0)
        return false;
    for (size_t i = 0; i < name.len; i++) /* 127.example.org is a name like any other */
        if (name.data[i] != '.' && !isdigit(name.data[i]))
            return false;
    return true;
}

bool origin_host_allowed(const struct http_settings *http, struct span host, struct span local)
{
    struct span name = name_of(host);
    return name.len > 0 &&
           (is_loopback(name) || same_text(name, local) || listed(&http->allowed_hosts, name));
}

bool origin_allowed(const struct http_settings *http, struct span origin, struct span host)
{
    if (origin.len == 0 || listed(&http->allowed_origins, origin) ||
        listed(&http->allowed_origins, span_str("*")))
        return true;
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);
        if (origin.len <= len || strncasecmp((const char *)origin.data, schemes[i], len) != 0)
            continue;
        struct span name = name_of(span_of(origin.data + len, origin.len - len));
        return name.len > 0 && (is_loopback(name) || same_text(name, name_of(host)));
    }
    return false;
}
