/*
 * One virtual client: the frames that it has written, the answers it waits for, and everything it was sent, checked
 * frame by frame as it comes. What takes the whole run to judge is in account.h.
 */
#ifndef SLUICE_SIM_CLIENT_H
#define SLUICE_SIM_CLIENT_H

#include "broker/session/session.h"
#include "proto/native_reply.h"
#include "proto/wire_buf.h"
#include "tests/sim/bits.h"
#include "tests/sim/profile.h"
#include "tests/sim/transport.h"

struct world;

enum request_kind {
    REQUEST_HELLO,
    REQUEST_SUB,
    REQUEST_UNSUB,
    REQUEST_PUB,
    REQUEST_PING,
    REQUEST_PONG,
    REQUEST_WRONG
};
enum request_answer { ANSWER_NONE, ANSWER_OK, ANSWER_ERR };

/* When the last value of a topic and key came, for max_hz. */
struct pace_log {
    uint64_t last_ms[TOPICS_MAX][KEYS + 1];
};

struct request {
    uint8_t kind;   /* enum request_kind */
    uint8_t answer; /* enum request_answer */
    bool tagged;
    uint64_t id;               /* 0: no answer wanted */
    uint64_t end;              /* of its bytes in the client's stream */
    uint64_t start;            /* the step in which the broker got it; STEP_NEVER: not yet */
    uint64_t done;             /* by then it was served; STEP_UNKNOWN: not known */
    uint64_t answered;         /* the step of its answer */
    uint32_t publish;          /* PUB: the model's number */
    uint16_t filter;           /* SUB, UNSUB */
    struct native_sub granted; /* SUB: asked for, then what OK says */
    struct bits got;           /* SUB with a tag: publishes received for it */
    uint32_t *last_seen;       /* owns; SUB with a tag: the newest received, by publisher and topic */
    struct pace_log *pace;     /* owns; SUB with max_hz whose messages are told apart */
};

enum reader { READER_EAGER, READER_PIECEMEAL, READER_SLOW, READER_MOODY, READER_DEAD };

enum client_end { END_NONE, END_LOST, END_LOST_BY_BROKER, END_GOODBYE };

struct client {
    struct world *world; /* borrows */
    unsigned index, shard;
    struct sim_transport link;
    struct session *session; /* borrows; NULL: not open */
    bool opened;
    uint8_t end; /* enum client_end */
    /* who it is */
    uint8_t reader; /* enum reader */
    bool publishes, mute, wild;
    unsigned opens_at; /* round */
    /* what it says */
    struct wire_buf out;
    uint64_t out_at;          /* stream offset of out.data */
    struct request *requests; /* owns */
    uint32_t request_count, request_cap, unsent, undone;
    uint32_t subs_sent, unsubs_sent;
    bool silent; /* says nothing more */
    /* what it hears */
    struct wire_buf in;
    bool welcome, bye;
    char bye_code[24];
    uint64_t left; /* the step in which it said goodbye or the broker was told to drain; STEP_NEVER */
    bool tag_pending;
    uint32_t tag;
    struct bits got;     /* publishes received without a tag */
    uint32_t *last_seen; /* owns; per stream of order: publisher, topic, key */
    uint64_t gap[FILTERS_MAX][NATIVE_GAP_COUNT];
    uint64_t gap_sum, pongs, pings;
    uint64_t heard; /* messages */
    uint64_t
        routed; /* publishes that surely went to its only subscription, which blocks; fewer may be known than were */
    /* the place of GAPs, for a client with one subscription */
    uint32_t place;   /* started publishes looked at */
    uint64_t missing; /* of them matched and not received */
    bool fuzzy;       /* the order in which they were routed is not known */
    const char *
        hasty_topic; /* values of it came faster than max_hz; wrong unless it is leaving, which sends what is held */
    bool any_conflated; /* an untagged subscription may conflate */
};

void client_init(struct client *client, struct world *world, unsigned index);
void client_fini(struct client *client);

/* The record of a request whose bytes are about to be appended to `out`, then the end of it. */
struct request *client_request(struct client *client, enum request_kind kind);
void client_request_written(struct client *client);
/* Hands up to `bytes` of what the client has written to its session. */
void client_send(struct client *client, size_t bytes);
static inline size_t client_unsent(const struct client *client)
{
    return client->out.len;
}
/* Notes what has surely been worked off, when the broker reads on. */
void client_settle(struct client *client);

/* The one SUB of a client that never said another, nor an UNSUB; or NULL. */
struct request *client_only_sub(struct client *client);

/* For the transport (hearing.c): bytes from the broker; the broker closes. */
void client_receive(struct client *client, struct span bytes);
void client_closed(struct client *client, bool lost);

/* Whether the session is there and not leaving. */
bool client_open(const struct client *client);

#endif
