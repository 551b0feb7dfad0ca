/*
 * Broker URLs: tcp://HOST[:PORT]. HOST is a name, an IPv4 address, or an IPv6 address in brackets. Pure.
 */
#ifndef SLUICE_CLIENT_URL_H
#define SLUICE_CLIENT_URL_H

#include <sluice.h>

struct url {
    char host[256];  /* without brackets */
    char port[6];    /* decimal, 1..65535 */
    char shown[300]; /* the whole, with the port, for messages */
};

/* NULL is SLUICE_DEFAULT_URL. False, with SLUICE_BAD_ARGUMENT and the reason in *error, for what it cannot be. */
bool url_parse(const char *text, struct url *out, struct sluice_error *error);

#endif
