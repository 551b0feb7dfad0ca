/*
 * Accepts connections on one listening socket of a shard, a bounded number per wake-up, and survives running out of
 * descriptors: a spare one is given up to accept and close what waits, so that the loop does not spin. Shard thread.
 */
#ifndef SLUICE_BROKER_ACCEPTOR_H
#define SLUICE_BROKER_ACCEPTOR_H

#include <sys/socket.h>
#include <uv.h>

enum { ACCEPTOR_PER_WAKE = 64 };

struct acceptor;
/* A connection: non-blocking, TCP_NODELAY. Takes the descriptor. */
typedef void acceptor_accepted(void *context, int fd, const struct sockaddr_storage *peer);

struct acceptor {
    uv_poll_t poll;
    int fd;    /* owns */
    int spare; /* owns; -1 while given up */
    acceptor_accepted *accepted;
    void *context; /* borrows */
};

/* Takes the listening descriptor. 0, or a libuv error. */
int acceptor_start(struct acceptor *acceptor, uv_loop_t *loop, int fd, acceptor_accepted *accepted,
                   void *context);
/* Stops listening; the memory is free for use when the loop has run its closing handles. Twice is once. */
void acceptor_stop(struct acceptor *acceptor);

#endif
