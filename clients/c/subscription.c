#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "clients/c/core.h"
#include "clients/c/message.h"
#include "proto/topic.h"

/*
 * What the broker knows is a route: one per filter. What the program knows is a subscription; several may share
 * a route. Untagged messages come once per connection however many routes match, so they are matched here again:
 * literal routes by hash, wildcard routes one after the other.
 *
 *   routes:  "room/1" ── sub 1 ── sub 4
 *            "room/+" ── sub 2                 wildcards: "room/+"
 *            "$share/g/#" (tag 3) ── sub 3     found by the TAG before the message
 */
struct route {
    char *filter; /* owns; NUL-terminated */
    size_t filter_len;
    uint32_t number; /* and its tag, when independent */
    bool independent, wildcard;
    struct sluice_subscribe_options options; /* as given last */
    struct subscription *subscriptions;      /* list, in the order of subscribing */
    size_t alive;                            /* those of them that are not dead */
    UT_hash_handle hh, hh_number;
    struct route *prev, *next; /* among the wildcards */
};

struct subscription {
    uint64_t id;
    struct route *route; /* borrows */
    sluice_message_fn *on_message;
    sluice_subscribed_fn *on_subscribed; /* may be NULL */
    void *user;
    bool answered;     /* on_subscribed has been called */
    bool every_answer; /* and is to be called after each renewal */
    bool dead;         /* to be freed once no callback is running */
    UT_hash_handle hh;
    struct subscription *prev, *next; /* within the route */
};

/* ---- routes --------------------------------------------------------------------------------------------- */

static struct route *route_new(struct sluice_core *core, const char *filter, bool independent)
{
    struct route *route = calloc(1, sizeof *route);
    if (!route)
        return NULL;
    route->filter = strdup(filter);
    if (!route->filter) {
        free(route);
        return NULL;
    }
    route->filter_len = strlen(filter);
    route->number = core->next_route++;
    route->independent = independent;
    route->wildcard = filter_is_wildcard(span_str(filter));
    HASH_ADD_KEYPTR(hh, core->routes, route->filter, route->filter_len, route);
    HASH_ADD(hh_number, core->numbered, number, sizeof route->number, route);
    if (route->wildcard && !independent)
        DL_APPEND(core->wildcards, route);
    return route;
}

static void route_free(struct sluice_core *core, struct route *route)
{
    assert(!route->subscriptions);
    HASH_DELETE(hh, core->routes, route);
    HASH_DELETE(hh_number, core->numbered, route);
    if (route->wildcard && !route->independent)
        DL_DELETE(core->wildcards, route);
    free(route->filter);
    free(route);
}

static struct route *route_by_filter(const struct sluice_core *core, const void *filter, size_t len)
{
    struct route *route;
    HASH_FIND(hh, core->routes, filter, len, route);
    return route;
}

static struct route *route_by_number(const struct sluice_core *core, uint32_t number)
{
    struct route *route;
    HASH_FIND(hh_number, core->numbered, &number, sizeof number, route);
    return route;
}

/* ---- the wire ------------------------------------------------------------------------------------------- */

static enum err send_sub(struct sluice_core *core, const struct route *route, bool renewal)
{
    enum err e = pending_reserve(&core->pending);
    if (e != ERR_NONE)
        return e;
    struct native_sub sub = {.id = core->pending.next,
                             .filter = span_of(route->filter, route->filter_len),
                             .policy = (enum native_policy)route->options.policy,
                             .queue = route->options.queue,
                             .max_hz = route->options.max_hz,
                             .has_tag = route->independent,
                             .tag = route->number};
    e = native_encode_sub(&core->out.bytes, &sub);
    if (e == ERR_NONE)
        pending_add(&core->pending, (struct pending){.kind = PENDING_SUBSCRIBE,
                                                     .renewal = renewal,
                                                     .route = route->number,
                                                     .number = core->next_subscription - 1});
    return e;
}

static enum err send_unsub(struct sluice_core *core, const struct route *route, sluice_done_fn *on_done,
                           void *user)
{
    enum err e = pending_reserve(&core->pending);
    if (e != ERR_NONE)
        return e;
    struct native_unsub unsub = {core->pending.next, span_of(route->filter, route->filter_len)};
    e = native_encode_unsub(&core->out.bytes, &unsub);
    if (e == ERR_NONE)
        pending_add(&core->pending,
                    (struct pending){.kind = PENDING_UNSUBSCRIBE, .on_done = on_done, .user = user});
    return e;
}

enum err subscriptions_renew(struct sluice_core *core)
{
    enum err e = ERR_NONE;
    for (struct route *route = core->routes; route && e == ERR_NONE; route = route->hh.next)
        if (route->alive > 0)
            e = send_sub(core, route, true);
    return e;
}

/* ---- subscribing ---------------------------------------------------------------------------------------- */

static enum sluice_status may_subscribe(struct sluice_core *core, const char *filter)
{
    if (filter_check(span_str(filter), TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX) != ERR_NONE)
        return SLUICE_BAD_ARGUMENT;
    if (core->state == CORE_STOPPED || core->state == CORE_CLOSING)
        return SLUICE_CLOSED;
    if (core->connected && sluice_core_buffered_bytes(core) > core->options.send_buffer_bytes_max) {
        core->starved = true;
        return SLUICE_AGAIN;
    }
    return SLUICE_OK;
}

static struct subscription *subscription_new(struct sluice_core *core, struct route *route)
{
    struct subscription *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->id = core->next_subscription++;
    s->route = route;
    DL_APPEND(route->subscriptions, s);
    route->alive++;
    HASH_ADD(hh, core->subscriptions, id, sizeof s->id, s);
    return s;
}

static void kill_subscription(struct sluice_core *core, struct subscription *s)
{
    assert(!s->dead);
    s->dead = true;
    s->route->alive--;
    core->has_dead = true;
}

static void sweep_if_idle(struct sluice_core *core)
{
    core_enter(core);
    core_leave(core);
}

static enum sluice_status add(struct sluice_core *core, const char *filter,
                              const struct sluice_subscribe_options *given,
                              const struct subscription *template, uint64_t *id)
{
    enum sluice_status status = may_subscribe(core, filter);
    if (status != SLUICE_OK)
        return status;
    struct sluice_subscribe_options options = given ? *given : (struct sluice_subscribe_options){0};
    options.independent |= filter_is_shared(span_str(filter));
    struct route *route = route_by_filter(core, filter, strlen(filter));
    if (route && route->independent != options.independent)
        return SLUICE_BAD_ARGUMENT;
    if (!route)
        route = route_new(core, filter, options.independent);
    struct subscription *s = route ? subscription_new(core, route) : NULL;
    if (!s) {
        core->has_dead = true; /* the route may be without subscriptions */
        sweep_if_idle(core);
        return SLUICE_NO_MEMORY;
    }
    s->on_message = template->on_message;
    s->on_subscribed = template->on_subscribed;
    s->user = template->user;
    s->every_answer = template->every_answer;
    struct sluice_subscribe_options before = route->options;
    route->options = options;
    if (core->connected && send_sub(core, route, false) != ERR_NONE) {
        route->options = before;
        kill_subscription(core, s);
        sweep_if_idle(core);
        return SLUICE_NO_MEMORY;
    }
    if (id)
        *id = s->id;
    return SLUICE_OK;
}

enum sluice_status sluice_core_subscribe(struct sluice_core *core, const char *filter,
                                         const struct sluice_subscribe_options *options,
                                         sluice_message_fn *on_message, sluice_subscribed_fn *on_subscribed,
                                         void *user, uint64_t *subscription)
{
    struct subscription template = {.on_message = on_message, .on_subscribed = on_subscribed, .user = user};
    return on_message ? add(core, filter, options, &template, subscription) : SLUICE_BAD_ARGUMENT;
}

enum sluice_status subscriptions_add_internal(struct sluice_core *core, const char *filter,
                                              sluice_message_fn *on_message,
                                              sluice_subscribed_fn *on_subscribed, void *user)
{
    struct subscription template = {
        .on_message = on_message, .on_subscribed = on_subscribed, .user = user, .every_answer = true};
    return add(core, filter, NULL, &template, NULL);
}

enum sluice_status sluice_core_unsubscribe(struct sluice_core *core, uint64_t subscription,
                                           sluice_done_fn *on_done, void *user)
{
    struct subscription *s;
    HASH_FIND(hh, core->subscriptions, &subscription, sizeof subscription, s);
    if (!s || s->dead)
        return SLUICE_BAD_ARGUMENT;
    bool told_broker = core->connected && s->route->alive == 1;
    if (told_broker && send_unsub(core, s->route, on_done, user) != ERR_NONE)
        return SLUICE_NO_MEMORY;
    core_enter(core);
    kill_subscription(core, s);
    if (!told_broker && on_done)
        on_done(user, &error_none);
    core_leave(core);
    return SLUICE_OK;
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void tell(struct subscription *s, const struct sluice_error *result,
                 const struct sluice_granted *granted)
{
    s->answered = true;
    if (s->on_subscribed)
        s->on_subscribed(s->user, s->id, result, granted);
}

void subscriptions_answered(struct sluice_core *core, const struct pending *pending,
                            const struct sluice_error *result, const struct native_ok *ok)
{
    struct route *route = route_by_number(core, pending->route);
    if (!route)
        return;
    struct sluice_granted granted = {0};
    if (ok)
        granted =
            (struct sluice_granted){(enum sluice_policy)ok->policy, ok->queue, ok->max_hz, ok->retained};
    struct subscription *s;
    DL_FOREACH(route->subscriptions, s)
    {
        /* A refused change of an existing subscription leaves the older ones as they were. */
        bool concerned = !s->answered || s->every_answer || (!ok && pending->renewal);
        if (s->dead || s->id > pending->number || !concerned)
            continue;
        if (!ok)
            kill_subscription(core, s);
        tell(s, result, ok ? &granted : NULL);
    }
}

/* ---- dispatch ------------------------------------------------------------------------------------------- */

/* newest: subscriptions made by the callbacks of this very message do not get it. */
static void hand_over(const struct route *route, struct sluice_message *message, uint64_t newest)
{
    struct subscription *s;
    DL_FOREACH(route->subscriptions, s)
    {
        if (s->dead || s->id > newest)
            continue;
        message->subscription = s->id;
        s->on_message(s->user, message);
    }
}

static void hand_over_untagged(struct sluice_core *core, struct span topic, struct sluice_message *message)
{
    uint64_t newest = core->next_subscription - 1;
    const struct route *literal = route_by_filter(core, topic.data, topic.len);
    if (literal && !literal->independent && !literal->wildcard)
        hand_over(literal, message, newest);
    const struct route *route;
    DL_FOREACH(core->wildcards, route)
    {
        if (route->alive > 0 && filter_matches(span_of(route->filter, route->filter_len), topic))
            hand_over(route, message, newest);
    }
}

void subscriptions_dispatch(struct sluice_core *core, const struct native_msg *msg)
{
    struct sluice_message message = message_view(msg);
    core_enter(core);
    if (core->tagged) {
        const struct route *route = route_by_number(core, core->tag);
        if (route && route->independent)
            hand_over(route, &message, core->next_subscription - 1);
    } else {
        hand_over_untagged(core, msg->topic, &message);
    }
    core_leave(core);
}

/* ---- freeing -------------------------------------------------------------------------------------------- */

static void free_subscription(struct sluice_core *core, struct subscription *s)
{
    DL_DELETE(s->route->subscriptions, s);
    HASH_DELETE(hh, core->subscriptions, s);
    free(s);
}

void subscriptions_sweep(struct sluice_core *core)
{
    assert(core->depth == 0);
    core->has_dead = false;
    struct subscription *s, *next_s;
    HASH_ITER(hh, core->subscriptions, s, next_s)
    {
        if (s->dead)
            free_subscription(core, s);
    }
    struct route *route, *next_route;
    HASH_ITER(hh, core->routes, route, next_route)
    {
        if (!route->subscriptions)
            route_free(core, route);
    }
}

void subscriptions_fini(struct sluice_core *core)
{
    struct subscription *s, *next;
    HASH_ITER(hh, core->subscriptions, s, next)
    {
        s->dead = true;
    }
    subscriptions_sweep(core);
}
