/*
 * The inside of struct sluice, the blocking client: blocking.c is its life and publishing,
 * blocking_receive.c subscribing, receiving and requesting, blocking_io.c its one poll() and all that moves bytes. One thread; sluice_interrupt() alone comes from elsewhere, through a pipe.
 */
#ifndef SLUICE_CLIENT_BLOCKING_H
#define SLUICE_CLIENT_BLOCKING_H

#include "clients/c/core.h"
#include "clients/c/inqueue.h"
#include "clients/c/socket.h"
#include "clients/c/url.h"

/* A call that waits for an answer. It outlives a call that ran out of time, until the answer comes after all. */
struct op {
    struct sluice *client; /* borrows */
    bool done, abandoned;
    struct sluice_error result;
    struct sluice_granted granted;
    struct inqueue_entry *reply; /* owns */
    struct op *prev, *next;
};

struct watch; /* what the core is told to call for one subscription */

struct sluice {
    struct sluice_core *core; /* owns */
    struct url url;
    struct addrinfo *addresses; /* owns; of the attempt that is running */
    const struct addrinfo *address_next;
    int fd; /* -1: none */
    bool up;
    int wake_read, wake_write; /* sluice_interrupt() writes, poll() sees it */
    bool interrupted;
    bool eventful;         /* something that a call may be waiting for happened in this turn */
    uint64_t turned_at_ms; /* when turn() ran last */
    uint32_t timeout_ms;

    struct inqueue queue;
    struct inqueue_entry *current;    /* owns: what sluice_next() returned last */
    struct inqueue_entry *reply;      /* owns: what sluice_request() returned last */
    struct op *ops;                   /* owns; list */
    struct watch *watches;            /* owns; list */
    uint64_t sends_waiting;           /* sluice_send() calls without an answer */
    struct sluice_error send_failure; /* the first since the last flush */
    struct sluice_error last;
    bool failed; /* the connection went down at least once: */
    struct sluice_error down_error;
    struct sluice_callbacks cb; /* the program's */
};

/* One round: sends, waits for the socket, an interrupt, the core's deadline or until_ms, and handles it. */
void blocking_turn(struct sluice *client, uint64_t until_ms);
/* Whether sluice_interrupt() was called; taken once. */
bool blocking_take_interrupt(struct sluice *client);
bool blocking_open_wake(struct sluice *client);
/* Frees sockets and addresses. */
void blocking_release(struct sluice *client);

/* Notes what sluice_last_error() will say, and returns the status. */
enum sluice_status blocking_fail(struct sluice *client, enum sluice_status status);
enum sluice_status blocking_finish(struct sluice *client, const struct sluice_error *result);
uint64_t blocking_until(uint64_t timeout_ms);
/* Why a call must not go on waiting; SLUICE_OK: it may. */
enum sluice_status blocking_may_wait(struct sluice *client, uint64_t until_ms);

struct op *op_new(struct sluice *client);
void op_free(struct op *op);
void op_done(struct op *op, const struct sluice_error *result);
/* Waits for the answer. After SLUICE_OK the caller frees the op; after anything else the answer will. */
enum sluice_status op_wait(struct sluice *client, struct op *op, uint64_t until_ms);
/* The end of a call that has its answer. */
enum sluice_status op_finish(struct op *op);

/* blocking_receive.c */
void watches_free(struct sluice *client);

#endif
