/*
 * TCP sockets for the two adapters: the addresses of one host, tried one after the other without blocking.
 */
#ifndef SLUICE_CLIENT_SOCKET_H
#define SLUICE_CLIENT_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts to connect a non-blocking socket to the first address from *at on that does not fail at once, and moves
 * *at behind it. -1 with errno when none is left. The owner closes the socket. */
int socket_dial(const struct addrinfo **at);
/* After the socket became writable: 0 when it is connected, else the errno of the failure. */
int socket_dialled(int fd);
/* Like recv() and send() without blocking or SIGPIPE; -1 with errno EAGAIN when it is not ready. 0 is the end. */
ssize_t socket_read(int fd, void *data, size_t size);
ssize_t socket_write(int fd, const void *data, size_t len);
/* "connection refused" for ECONNREFUSED: strerror() as it reads inside a sentence. Static storage per thread. */
const char *socket_error_text(int error);
uint64_t socket_now_ms(void);

#endif
