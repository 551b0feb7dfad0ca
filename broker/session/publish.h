/*
 * From PUB frames to routed runs: consecutive publishes of one topic in one read are written straight to the end of the
 * wire log, as the MSG frames that subscribers get, and routed once. One run is open per shard, while one session's input
 * is worked off; nothing else may append to the log meanwhile, so answers wait in `oks`. Shard thread.
 */
#ifndef SLUICE_BROKER_PUBLISH_H
#define SLUICE_BROKER_PUBLISH_H

#include "broker/router/router.h"
#include "proto/native_request.h"
#include "proto/wire_buf.h"

struct session;
struct sessions;

/* Answers of one run; more of them close it. */
enum { PUBLISH_OKS_MAX = 32 * 1024 };

struct publish_run {
    struct session *session;   /* borrows; NULL: none is open */
    struct run run;            /* owns a reference to the chunk; count 0: nobody is subscribed */
    struct span topic;         /* borrows from the run's first frame, or (nobody subscribed) from the input */
    struct match *match;       /* borrows */
    struct retained *retained; /* owns: what the run's only message leaves behind, or NULL */
    struct wire_buf oks;       /* owns; OKs to the publishes of the run */
    uint32_t ok_count;
};

/* Adds a checked-out PUB to the run or opens one. `topic` and options are checked here. ERR_NONE: taken, and answered
 * when the run is finished. Any other: the publish is refused with *text; `id` of the answer is the caller's affair.
 * ERR_TRUNCATED: it has to wait for an earlier one; the frame must come again. */
MUST_CHECK enum err publish_add(struct session *session, const struct native_pub *pub, const char **text);

/* Routes the run if one is open, and answers. Afterwards session->hold tells whether the next publish must wait. */
void publish_finish(struct session *session);

#endif
