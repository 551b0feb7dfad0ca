#include "clients/c/url.h"

#include <stdio.h>
#include <stdlib.h>

#include "clients/c/core.h"

static bool refuse(struct sluice_error *error, const char *text, const char *why)
{
    error_set(error, SLUICE_BAD_ARGUMENT, "\"%.100s\" is not a broker URL: %s", text, why);
    return false;
}

static bool copy_host(struct url *out, const char *host, size_t len)
{
    if (len == 0 || len >= sizeof out->host || strcspn(host, "/?#@ ") < len)
        return false;
    memcpy(out->host, host, len);
    out->host[len] = '\0';
    return true;
}

/* The port's digits, and a '/' behind them at most. */
static bool copy_port(struct url *out, const char *digits)
{
    size_t len = strspn(digits, "0123456789");
    if (len == 0 || len > 5 || (strcmp(digits + len, "") != 0 && strcmp(digits + len, "/") != 0))
        return false;
    long port = strtol(digits, NULL, 10);
    if (port < 1 || port > 65535)
        return false;
    snprintf(out->port, sizeof out->port, "%u", (unsigned)(port & 0xffff));
    return true;
}

/* Finds the end of the host; what is behind it is "" or ":PORT". NULL when a bracket or colon is out of place. */
static const char *end_of_host(const char **host)
{
    if (**host == '[') {
        const char *close = strchr(++*host, ']');
        return close;
    }
    const char *end = *host + strcspn(*host, ":/");
    return *end == ':' && strchr(end + 1, ':') ? NULL : end;
}

bool url_parse(const char *text, struct url *out, struct sluice_error *error)
{
    text = text ? text : SLUICE_DEFAULT_URL;
    if (strncmp(text, "tcp://", 6) != 0)
        return refuse(error, text, "it must start with tcp://");
    const char *host = text + 6;
    const char *end = end_of_host(&host);
    if (!end)
        return refuse(error, text, "write an IPv6 address in brackets, tcp://[::1]:7400");
    if (!copy_host(out, host, (size_t)(end - host)))
        return refuse(error, text, "the host name is missing or not valid");
    bool bracket = *end == ']';
    const char *rest = end + bracket;
    snprintf(out->port, sizeof out->port, "%d", SLUICE_DEFAULT_PORT);
    if (*rest == ':' && !copy_port(out, rest + 1))
        return refuse(error, text, "the port must be a number from 1 to 65535");
    if (*rest != ':' && strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)
        return refuse(error, text, "nothing may follow the port");
    snprintf(out->shown, sizeof out->shown, bracket ? "tcp://[%s]:%s" : "tcp://%s:%s", out->host, out->port);
    return true;
}
