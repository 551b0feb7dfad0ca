/*
 * The life of one client: greeted within a deadline, served until somebody closes, then said goodbye to. The protocol's
 * coroutine (native.h) reads the frames; this file owns what is true of every protocol: input and its bounds, deadlines
 * and keep-alive, closing. Shard thread; memory is given back at the end of the turn in which the session ends.
 *
 *   GREETING ──HELLO──► OPEN ──fault, drain, too slow──► LEAVING ──all sent, or deadline──► GONE
 *       └────────────────────────── the peer goes ──────────────────────────────────────────►
 *
 * A frontend opens a session for a connection and calls session_input(), session_writable() and session_lost(). Once the
 * session has called the transport's close, or the frontend session_lost(), neither knows the other any more.
 */
#ifndef SLUICE_BROKER_SESSION_H
#define SLUICE_BROKER_SESSION_H

#include "broker/coro.h"
#include "broker/delivery/outbox.h"
#include "broker/session/pace.h"
#include "broker/session/stash.h"
#include "broker/timer_wheel.h"

struct sessions;
struct session;
struct session_sub;
struct snapshot;
struct hold;

/* The most that one call of session_input() may bring: a frontend's receive buffer. */
enum { SESSION_INPUT_MAX = 256 * 1024 };

/* A peer as text for logs. */
enum { SESSION_PEER_TEXT = 64 };

enum session_phase { SESSION_GREETING, SESSION_OPEN, SESSION_LEAVING, SESSION_GONE };

/* What differs from protocol to protocol. */
struct session_protocol {
    const char *name;
    const struct encoder *encoder;
    /* Resumes the coroutine; it returns at its next suspension point. */
    void (*run)(struct session *session);
    /* While a publish is held back: serves what must not wait behind it, out of what is stashed. */
    void (*run_held)(struct session *session);
    /* Queues the last frame. `reason` is a stable code; after_ms: when to come back, 0 is unsaid. */
    enum err (*farewell)(struct session *session, enum err reason, const char *text, uint32_t after_ms);
    /* Queues a question that a living client answers. */
    enum err (*probe)(struct session *session);
};

struct session {
    struct outbox outbox;
    struct coro coro;
    uint8_t phase;      /* enum session_phase */
    bool paused;        /* the transport was told to stop reading */
    bool frame_stashed; /* `frame` lies in the stash, not in `input` */
    bool probed;        /* asked whether it lives, since it was heard last */
    bool sub_held; /* its next frame is a SUB that waits until other shards have confirmed enough of them */
    bool listed;   /* in the sessions' list of those to look at when the turn ends */
    struct sessions *env; /* borrows */
    const struct session_protocol *protocol;
    struct session *next, *prev; /* all of the shard */
    struct session *look_next;   /* list of those to look at; of the dead, once gone */
    struct span input;           /* what is being worked off; borrowed during session_input() */
    struct span frame;           /* the frame being served; borrowed until the next */
    struct stash *stash;         /* owns */
    struct session_sub *subs;    /* owns: live and draining ones */
    struct snapshot *snapshots;  /* owns: retained values on their way */
    struct hold *hold;           /* owns: the publish that waits; NULL: none */
    struct timer timer;          /* the nearest deadline */
    uint64_t id;                 /* unique in the process */
    uint64_t heard_ms;           /* shard clock: last input */
    uint64_t acted_ms;           /* last publish, or end of a subscription */
    struct pace publishes, errors;
    uint32_t keepalive_ms; /* 0: none */
    uint32_t sub_count;    /* live subscriptions */
    uint32_t sub_order;    /* of the next SUB */
};

static inline struct session *session_of(struct outbox *outbox)
{
    return (struct session *)(void *)((char *)outbox - offsetof(struct session, outbox));
}

/* ---- for frontends -------------------------------------------------------------------------------------- */

/* Starts a session on the transport. NULL when memory is short: the frontend closes. */
struct session *session_open(struct sessions *env, struct transport *transport,
                             const struct session_protocol *protocol);
/* Received bytes, at most SESSION_INPUT_MAX; borrowed during the call. */
void session_input(struct session *session, struct span bytes);
/* The socket takes bytes again. */
void session_writable(struct session *session);
/* The peer has sent all that it will: what is queued is still flushed, then the connection closes. */
void session_peer_finished(struct session *session);
/* The connection is gone; the transport is not called any more. */
void session_lost(struct session *session);
/* A fault that the frontend found (text where binary is due, a message over the cap). */
void session_refuse(struct session *session, enum err reason, const char *text);

/* ---- for protocols and the registry --------------------------------------------------------------------- */

/* Cuts the next frame off what has been received; false: not there yet (or the session is leaving). The frame is valid
 * until the next call or suspension. */
bool session_next_frame(struct session *session, size_t frame_max);
/* The frame has not been served after all: it comes again. */
void session_unread_frame(struct session *session);
/* Whether another request may be read: nothing is held back, and the client reads its answers. */
bool session_may_serve(const struct session *session);
/* HELLO was accepted. */
void session_opened(struct session *session, uint32_t keepalive_ms);
/* Says goodbye; input is ignored from here on. Nothing happens when it is leaving already. */
void session_leave(struct session *session, enum err reason, const char *text, uint32_t after_ms);
/* Goes on where the coroutine waits, with what is stashed. */
void session_resume(struct session *session);
/* Whether everything is said that was to be said: one that is leaving ends then, one that was paused for its unread
 * answers reads on. At the end of the turn. */
void session_look(struct session *session);
/* Closes the transport and lets go of everything. `lost`: no farewell is worth waiting for. */
void session_end(struct session *session, bool lost);

#endif
