/*
 * A shard on a thread of its own: a libuv loop, the shard's listeners and frontends, and the binding of turns to the
 * loop's phases. Started and stopped by the main thread, which talks to it by commands only.
 *
 *   poll ──► input, timers, mail ──► check: end of turn ──► closing ──► timers ──► prepare: end of turn ──► poll
 */
#ifndef SLUICE_BROKER_SHARD_LOOP_H
#define SLUICE_BROKER_SHARD_LOOP_H

#include "broker/frontend/address.h"
#include "broker/frontend/admission.h"
#include "broker/shard.h"

enum shard_command {
    SHARD_DRAIN = 1, /* listeners close, clients are sent away; SHARD_DRAINED when the last has gone */
    SHARD_STOP = 2,  /* everything ends at once, nothing is sent any more; SHARD_STOPPED */
    SHARD_EXIT = 4,  /* the thread ends; when all shards have stopped, since others may wake it until then */
    SHARD_DUMP = 8   /* state to the log */
};
enum shard_report { SHARD_DRAINED, SHARD_STOPPED };

struct shard_loop_config {
    const struct shard_common *common;
    struct admission *admission;
    const struct http_settings *http;
    const struct listen_socket *sockets;
    size_t socket_count;
    void (*report)(void *context, enum shard_report report); /* on the shard's thread */
    void *context;
};

struct shard_loop;

/* Opens the listening sockets; nothing is accepted before shard_loop_start(). Everything in config is borrowed until
 * shard_loop_free(). NULL: *why explains. Main thread. */
struct shard_loop *shard_loop_new(const struct shard_loop_config *config, unsigned id, char *why,
                                  size_t size);
/* Starts the thread, once all shards have been made: they wake each other. 0, or a libuv error. Main thread. */
int shard_loop_start(struct shard_loop *loop);
/* Any thread. */
void shard_loop_command(struct shard_loop *loop, enum shard_command command);
/* Waits for the thread to end; it must have been told to exit. Main thread. */
void shard_loop_join(struct shard_loop *loop);
/* Of one that never started, or was joined, as all others were. Main thread. */
void shard_loop_free(struct shard_loop *loop);
/* The mailboxes' wake hook. Any thread. */
void shard_loop_wake(struct shard_loop *loop);
/* For mail that is never worked off; see shard_dispose(). */
void shard_loop_dispose(struct shard_loop *loop, const struct mail *mail);

#endif
