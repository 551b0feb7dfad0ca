/*
 * The seam between delivery and a frontend: all that the core knows of a connection. A frontend (TCP,
 * WebSocket) or the simulation embeds `struct transport` and fills in the ops. Shard thread; no call here may
 * call back into session or outbox.
 */
#ifndef SLUICE_BROKER_TRANSPORT_H
#define SLUICE_BROKER_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Writable bytes that a batch leaves in front of its first byte for a framed transport's header (RFC 6455: 10). */
enum { TRANSPORT_HEADROOM = 16 };

struct transport;

struct transport_ops {
    /* Hands bytes to the kernel now, without blocking. Returns how many were accepted (0: would block) or -1 when
     * the connection is gone (the frontend reports that to the session later). A framed transport gets one
     * piece with TRANSPORT_HEADROOM writable bytes in front, and takes all of it or nothing. */
    ssize_t (*write)(struct transport *transport, const struct iovec *pieces, int count, size_t bytes);
    /* Asks for session_writable() once the connection takes bytes again; false takes the wish back. */
    void (*want_writable)(struct transport *transport, bool wanted);
    /* Stops or resumes session_input(); input already read is the session's. */
    void (*pause_reading)(struct transport *transport, bool paused);
    /* Who is at the other end, as text for logs; at most `size` bytes, NUL included. */
    void (*peer)(const struct transport *transport, char *text, size_t size);
    /* Closes after what was accepted is sent; the memory stays until the end of the turn. `lost` says that the
     * peer is not worth a farewell (reset at once). */
    void (*close)(struct transport *transport, bool lost);
    bool framed;
};

struct transport {
    const struct transport_ops *ops;
    const char *kind; /* "tcp", "ws": for logs */
};

#endif
