/*
 * The sessions of one shard and what they share: settings, clocks, the way to router and delivery, the registry, and
 * the lists of those that need a look when the turn ends. Embedded in the shard; shard thread.
 */
#ifndef SLUICE_BROKER_SESSIONS_H
#define SLUICE_BROKER_SESSIONS_H

#include "broker/clock.h"
#include "broker/limits.h"
#include "broker/random.h"
#include "broker/router/router.h"
#include "broker/session/hold.h"
#include "broker/session/publish.h"
#include "broker/session/session.h"
#include "broker/session/session_settings.h"
#include "broker/session/subscribe.h"

struct sessions_stats {
    uint64_t opened, closed;
    uint64_t refused;  /* requests answered with ERR */
    uint64_t faults;   /* connections closed for what they sent */
    uint64_t timeouts; /* closed by a deadline: HELLO, keep-alive, idle */
};

struct sessions {
    const struct session_settings *settings; /* borrows */
    const struct limits_settings *limits;    /* borrows */
    const struct topic_rules *rules;         /* borrows */
    struct inbound_budget *inbound;          /* borrows; shared by all shards */
    struct delivery *delivery;               /* borrows */
    struct router *router;                   /* borrows */
    struct timer_wheel *wheel;               /* borrows */
    const uint64_t *now_ms, *unix_ms;        /* borrows: the shard's clocks */
    struct random *random;                   /* borrows */
    const char *server_name;                 /* borrows: what WELCOME says */
    unsigned shard;
    uint64_t next_id;
    struct session *first; /* all sessions */
    size_t count;
    struct session *look;  /* to be looked at, or freed, when the turn ends */
    struct sub_table subs; /* all subscriptions by (session, filter) */
    struct session_sub *sub_dead;
    struct holds holds;     /* publishes that wait */
    struct publish_run run; /* the publish under way */
    struct wire_buf answer; /* scratch for one answer */
    char text[128];         /* scratch for the text of one answer */
    bool draining;
    bool crowded; /* too many SUBs that other shards have not confirmed: no other is served */
    struct sessions_stats stats;
};

struct sessions_config {
    const struct session_settings *settings;
    const struct limits_settings *limits;
    const struct topic_rules *rules;
    struct inbound_budget *inbound;
    const char *server_name;
};

/* Everything is borrowed and outlives the sessions. */
void sessions_init(struct sessions *sessions, const struct sessions_config *config, struct delivery *delivery,
                   struct router *router, struct timer_wheel *wheel, const struct clock *clock,
                   struct random *random, unsigned shard);
/* All sessions have ended. */
void sessions_fini(struct sessions *sessions);

/* Stops serving SUBs (a session reads no further than its next one), or goes on with what has waited. */
void sessions_set_crowded(struct sessions *sessions, bool crowded);
/* Before the flush at the end of a turn: publishers whose wait is over go on. Returns whether somebody did. */
bool sessions_go_on(struct sessions *sessions);
/* After the flush: acts on delivery's verdicts, ends those that have said everything, frees the dead. Returns whether
 * there is more to send or to do in this turn. */
bool sessions_settle(struct sessions *sessions);

/* TERM: everybody is told to come back at a random moment of the drain window. */
void sessions_drain(struct sessions *sessions);
/* Ends whatever is left, without a farewell. */
void sessions_end_all(struct sessions *sessions);

/* Has the session looked at when the turn ends. */
void sessions_look_at(struct session *session);
/* A text for one answer; valid until the next call. `format` has one %s. */
const char *sessions_text(struct sessions *sessions, const char *format, const char *detail)
    __attribute__((format(printf, 2, 0)));

#endif
