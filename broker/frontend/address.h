/*
 * Listen URLs and the sockets behind them: tcp://127.0.0.1:7400, ws://[::1]:0, ws://localhost:7480. Each shard listens on
 * a socket of its own on the same port (SO_REUSEPORT), so that the kernel spreads connections over the shards. Main
 * thread, before the shards start.
 */
#ifndef SLUICE_BROKER_ADDRESS_H
#define SLUICE_BROKER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/err.h"

enum {
    LISTEN_HOST_MAX = 256,
    LISTEN_ADDRESSES_MAX = 8, /* of one host name; more are not listened on */
    LISTEN_URL_MAX = LISTEN_HOST_MAX + 16,
    LISTEN_BACKLOG = 4096
};

enum listen_scheme { LISTEN_TCP, LISTEN_WS };

struct listen_url {
    enum listen_scheme scheme;
    char host[LISTEN_HOST_MAX];
    uint16_t port;
};

/* ERR_CONFIG with one line in `why`: unknown scheme, no port, ... */
MUST_CHECK enum err listen_url_parse(const char *text, struct listen_url *out, char *why, size_t size);

struct listen_socket {
    struct listen_url url;
    struct sockaddr_storage addresses[LISTEN_ADDRESSES_MAX]; /* with the port that was bound */
    size_t count;
    char text[LISTEN_URL_MAX + 32]; /* the URL of the first address, as clients use it */
};

/* Resolves the host and finds out, with a plain bind, whether the port is free; a port 0 becomes a free one. ERR_IN_USE,
 * ERR_CONFIG (unknown host, address not of this machine, not loopback although `loopback_only`), ERR_IO; *why explains. */
MUST_CHECK enum err listen_socket_probe(struct listen_socket *out, const struct listen_url *url,
                                        bool loopback_only, char *why, size_t size);
/* One more listening socket, non-blocking, for one of the addresses: its descriptor, or -1 with errno. */
int listen_socket_open(const struct listen_socket *socket, size_t address);

/* "127.0.0.1:7400", "[::1]:7400" */
void address_text(const struct sockaddr_storage *address, char *text, size_t size);
bool address_is_loopback(const struct sockaddr_storage *address);

#endif
