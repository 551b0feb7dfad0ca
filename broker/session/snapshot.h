/*
 * The retained values that a SUB finds, on their way to the subscriber: read from the table in slices, as the peer
 * drains what it has got, so that a hundred thousand values are never one burst. Shard thread.
 *
 *   SUB ─► snapshot_new: notes how many entries the table has seen ─► OK {retained: true} ─► slices ─► EVENT live
 *
 * Joining with the live stream: what was applied to the table after the SUB came live, so that slices skip it. A live
 * message whose topic still has a value to come gets that value in front of it (snapshots_precede()), and the slices pass
 * over it later. So each topic's values come once and in order.
 *
 * Bounds: SNAPSHOT_BYTES and SNAPSHOT_VISITS a slice, one slice a snapshot and turn; no slice while more than
 * SNAPSHOT_WAITING bytes are queued, nor more values than the subscription's queue.
 */
#ifndef SLUICE_BROKER_SNAPSHOT_H
#define SLUICE_BROKER_SNAPSHOT_H

#include "proto/err.h"
#include "proto/span.h"

struct session;
struct session_sub;
struct snapshot;

enum { SNAPSHOT_BYTES = 16 * 1024, SNAPSHOT_VISITS = 512, SNAPSHOT_WAITING = 64 * 1024 };

/* Starts one for the subscription, when the table may hold values that its filter matches: *snapshot is NULL when it does
 * not. It belongs to the session until snapshot_close(). ERR_NO_MEMORY. */
MUST_CHECK enum err snapshot_open(struct session_sub *record, struct snapshot **snapshot);
/* The SUB has been answered: values may be sent. */
void snapshot_answered(struct snapshot *snapshot);
void snapshot_close(struct snapshot *snapshot);

/* A message on the topic is about to be pushed to the session: what snapshots still have of it goes first. */
void snapshots_precede(struct session *session, struct span topic);
/* Sends a slice, if the peer has drained enough and none was sent in this turn. */
void snapshots_go_on(struct session *session);

#endif
