/*
 * Whose browser pages may drive this broker. A browser sends along which page (Origin) opened a connection and under
 * which name (Host); both are checked, because any page of the web can open a WebSocket to loopback, and can make its
 * own name point there (DNS rebinding). Programs that are no browsers leave Origin out and pass. Pure; any thread.
 */
#ifndef SLUICE_BROKER_ORIGIN_H
#define SLUICE_BROKER_ORIGIN_H

#include <stdbool.h>

#include "broker/frontend/http_settings.h"
#include "proto/span.h"

/* Whether a Host header names this broker: loopback, the address that the client connected to ("192.0.2.1", "[::1]";
 * `local`, without port), or one of http.allowed_hosts. An empty header does not. */
bool origin_host_allowed(const struct http_settings *http, struct span host, struct span local);

/* Whether a page of this Origin may connect: absent (empty), of the same host as the Host header, loopback, or one of
 * http.allowed_origins. */
bool origin_allowed(const struct http_settings *http, struct span origin, struct span host);

#endif
