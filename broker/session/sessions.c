#include "broker/session/sessions.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/log.h"
#include "broker/memory.h"

void sessions_init(struct sessions *sessions, const struct sessions_config *config, struct delivery *delivery,
                   struct router *router, struct timer_wheel *wheel, const struct clock *clock,
                   struct random *random, unsigned shard)
{
    *sessions = (struct sessions){
        .settings = config->settings,
        .limits = config->limits,
        .rules = config->rules,
        .inbound = config->inbound,
        .server_name = config->server_name,
        .delivery = delivery,
        .router = router,
        .wheel = wheel,
        .now_ms = &clock->now_ms,
        .unix_ms = &clock->unix_ms,
        .random = random,
        .shard = shard,
        .next_id = ((uint64_t)shard << 48) + 1,
    };
    wire_buf_init(&sessions->run.oks, 0);
    wire_buf_init(&sessions->answer, 0);
}

void sessions_fini(struct sessions *sessions)
{
    assert(!sessions->first);
    (void)sessions_settle(sessions);
    holds_fini(&sessions->holds);
    sub_table_fini(&sessions->subs);
    wire_buf_fini(&sessions->run.oks);
    wire_buf_fini(&sessions->answer);
}

const char *sessions_text(struct sessions *sessions, const char *format, const char *detail)
{
    snprintf(sessions->text, sizeof sessions->text, format, detail);
    return sessions->text;
}

void sessions_look_at(struct session *session)
{
    if (session->listed)
        return;
    session->listed = true;
    session->look_next = session->env->look;
    session->env->look = session;
}

void sessions_set_crowded(struct sessions *sessions, bool crowded)
{
    sessions->crowded = crowded;
    for (struct session *session = sessions->first; session && !crowded; session = session->next) {
        if (!session->sub_held)
            continue;
        session->sub_held = false;
        sessions_look_at(session);
    }
}

bool sessions_go_on(struct sessions *sessions)
{
    return holds_go_on(&sessions->holds);
}

/* ---- the end of the turn -------------------------------------------------------------------------------- */

static void act_on_verdict(struct session *session)
{
    switch ((enum outbox_verdict)session->outbox.verdict) {
    case OUTBOX_TOO_SLOW:
        session_leave(session, ERR_TOO_SLOW, err_text(ERR_TOO_SLOW), 0);
        break;
    case OUTBOX_FATTEST:
        session_leave(session, ERR_OVERLOADED,
                      "the broker is at limits.memory and this connection holds most of it", 0);
        break;
    case OUTBOX_LOST:
        session_end(session, true);
        break;
    case OUTBOX_GOOD:
        break;
    }
}

/* Those with something to do go on a list of their own first: looking at one may add another. */
bool sessions_settle(struct sessions *sessions)
{
    bool more = false;
    struct outbox *outbox;
    while ((outbox = delivery_next_condemned(sessions->delivery))) {
        act_on_verdict(session_of(outbox));
        more = true;
    }
    struct session *look = sessions->look;
    sessions->look = NULL;
    while (look) {
        struct session *session = look;
        look = session->look_next;
        session->listed = false;
        if (session->phase == SESSION_GONE)
            memory_free(session, sizeof *session);
        else
            session_look(session);
    }
    subscribe_free_dead(sessions);
    return more || sessions->look || sessions->delivery->dirty;
}

/* ---- stopping ------------------------------------------------------------------------------------------- */

/* The waits are spread at random, so that the clients do not come back all at once. */
void sessions_drain(struct sessions *sessions)
{
    sessions->draining = true;
    uint64_t window = sessions->settings->drain_window;
    for (struct session *session = sessions->first; session; session = session->next)
        session_leave(session, ERR_SHUTDOWN, err_text(ERR_SHUTDOWN),
                      (uint32_t)(1 + random_below(sessions->random, window)));
}

void sessions_end_all(struct sessions *sessions)
{
    while (sessions->first)
        session_end(sessions->first, true);
    while (sessions_settle(sessions))
        ;
}
