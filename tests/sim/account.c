#include "tests/sim/account.h"

#include <stdlib.h>

#include "broker/memory.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

/* From its SUB to whatever ended it. Steps of which only bounds are known are given by both. */
struct subscribed {
    const struct request *sub; /* borrows */
    uint32_t order;
    uint64_t since, by;   /* in the index of its own shard */
    uint64_t everywhere;  /* known to all shards; STEP_UNKNOWN */
    bool sure;            /* granted */
    uint64_t ends, ended; /* STEP_NEVER: not */
};

enum fate { MUST_NOT, MAY, MUST };

struct account {
    struct client *client; /* borrows */
    struct subscribed *subs;
    uint32_t count, cap;
    bool whole; /* everything must be accounted for */
    uint64_t must[FILTERS_MAX], may[FILTERS_MAX];
    uint32_t lives[FILTERS_MAX];
    const struct subscribed *last[FILTERS_MAX];
};

/* ---- the lives of subscriptions ------------------------------------------------------------------------- */

static uint64_t served_by(const struct request *request)
{
    if (request->answer != ANSWER_NONE && request->answered < request->done)
        return request->answered;
    return request->done;
}

static void end_of(struct subscribed *live, uint64_t since, uint64_t by)
{
    if (live && live->ends == STEP_NEVER) {
        live->ends = since;
        live->ended = by;
    }
}

static struct subscribed *add(struct account *account, const struct request *request,
                              const struct subscribed *old)
{
    bool same_place = old && old->sub->tagged == request->tagged;
    uint32_t order = same_place ? old->order : (uint32_t)(request - account->client->requests);
    if (account->count == account->cap) {
        account->cap = account->cap ? 2 * account->cap : 16;
        account->subs = realloc(account->subs, account->cap * sizeof *account->subs);
    }
    bool sure = request->answer == ANSWER_OK;
    struct subscribed *sub = &account->subs[account->count++];
    *sub = (struct subscribed){.sub = request,
                               .order = order,
                               .since = request->start,
                               .by = served_by(request),
                               .everywhere = sure ? request->answered : STEP_UNKNOWN,
                               .sure = sure};
    account->lives[request->filter]++;
    return sub;
}

static bool ends_live(struct account *account, const struct request *request, const struct subscribed *live)
{
    struct world *world = account->client->world;
    const char *filter = world->profile.filter[request->filter];
    if (request->answer == ANSWER_OK)
        require(world, live != NULL, "answers",
                "client %u: UNSUB of %s was answered OK though it was not subscribed", account->client->index,
                filter);
    if (request->answer == ANSWER_ERR)
        require(world, !live || !live->sure || world->profile.oom_one_in, "answers",
                "client %u: UNSUB of %s was refused though it was subscribed", account->client->index,
                filter);
    return request->answer != ANSWER_ERR;
}

/* Follows the client's SUBs and UNSUBs of one filter. */
static void follow(struct account *account, unsigned filter)
{
    struct client *client = account->client;
    long live = -1; /* the array moves as it grows */
    for (uint32_t i = 0; i < client->request_count; i++) {
        const struct request *request = &client->requests[i];
        bool about =
            (request->kind == REQUEST_SUB || request->kind == REQUEST_UNSUB) && request->filter == filter;
        if (!about || request->start == STEP_NEVER)
            continue;
        struct subscribed *old = live >= 0 ? &account->subs[live] : NULL;
        if (request->kind == REQUEST_SUB && request->answer != ANSWER_ERR) {
            end_of(old, request->start, request->answer == ANSWER_OK ? served_by(request) : STEP_UNKNOWN);
            live = add(account, request, old) - account->subs;
        } else if (request->kind == REQUEST_UNSUB && ends_live(account, request, old)) {
            end_of(old, request->start, served_by(request));
            live = -1;
        }
    }
    if (live >= 0 && client->left != STEP_NEVER)
        end_of(&account->subs[live], client->left, client->left);
}

static int by_order(const void *a, const void *b)
{
    const struct subscribed *left = a, *right = b;
    if (left->order != right->order)
        return left->order < right->order ? -1 : 1;
    return left->sub < right->sub ? -1 : 1;
}

/* ---- who had to get what -------------------------------------------------------------------------------- */

static enum fate least(enum fate a, enum fate b)
{
    return a < b ? a : b;
}

/* In the order of the client's own requests; only an UNSUB may overtake a publish that waits. */
static enum fate fate_of_own(const struct client *client, const struct subscribed *sub,
                             const struct publish *publish)
{
    const struct request *request = &client->requests[publish->request];
    if (request < sub->sub)
        return MUST_NOT;
    if (sub->ends == STEP_NEVER || publish->end < sub->ends)
        return MUST;
    if (publish->start > sub->ended)
        return MUST_NOT;
    return MAY;
}

static enum fate fate(const struct account *account, const struct subscribed *sub,
                      const struct publish *publish)
{
    const struct client *client = account->client;
    const struct world *world = client->world;
    if (publish->start == STEP_NEVER || publish->refused)
        return MUST_NOT;
    enum fate most = publish->certain && sub->sure ? MUST : MAY;
    if (publish->publisher == client->index)
        return least(most, fate_of_own(client, sub, publish));
    unsigned from = world->clients[publish->publisher].shard, to = client->shard;
    bool prompt = from == to || !world->profile.oom_one_in;
    uint64_t arrived = prompt ? model_arrival(&world->model, from, to, publish->end) : STEP_UNKNOWN;
    if (arrived < sub->since || (sub->ends != STEP_NEVER && publish->start > sub->ended))
        return MUST_NOT;
    if (publish->start <= (from == to ? sub->by : sub->everywhere))
        return MAY;
    return sub->ends == STEP_NEVER || arrived < sub->ends ? most : MAY;
}

/* A publish that has not been received. */
static void note(struct account *account, const struct subscribed *sub, uint32_t number, enum fate what)
{
    const struct world *world = account->client->world;
    if (what != MUST_NOT)
        trace(world, "client %u %s publish %u for %s, and did not get it", account->client->index,
              what == MUST ? "was due" : "was perhaps due", number, world->profile.filter[sub->sub->filter]);
    if (what == MUST)
        account->must[sub->sub->filter]++;
    else if (what == MAY)
        account->may[sub->sub->filter]++;
}

static void not_matched(const struct account *account, uint32_t number)
{
    const struct world *world = account->client->world;
    const struct publish *publish = &world->model.publishes[number];
    require(world, false, "matching",
            "client %u got publish %u on %s (steps %llu to %llu), which nothing of it matched",
            account->client->index, number, world->profile.topic[publish->topic],
            (unsigned long long)publish->start, (unsigned long long)publish->end);
}

static void judge_tagged(struct account *account, const struct subscribed *sub, uint32_t number)
{
    enum fate what = fate(account, sub, &account->client->world->model.publishes[number]);
    bool got = bits_has(&sub->sub->got, number);
    if (got && what == MUST_NOT)
        not_matched(account, number);
    if (!got)
        note(account, sub, number, what);
}

/* The one copy without a tag: it belongs to the first SUB that matches. */
static void judge_shared(struct account *account, uint32_t number)
{
    struct client *client = account->client;
    const struct publish *publish = &client->world->model.publishes[number];
    bool got = bits_has(&client->got, number), any = false, doubt = false;
    for (uint32_t i = 0; i < account->count; i++) {
        const struct subscribed *sub = &account->subs[i];
        if (sub->sub->tagged || !client->world->profile.match[sub->sub->filter][publish->topic])
            continue;
        enum fate what = fate(account, sub, publish);
        any |= what != MUST_NOT;
        if (!got)
            note(account, sub, number, doubt ? least(what, MAY) : what);
        if (what == MUST)
            break;
        doubt |= what == MAY;
    }
    if (got && !any)
        not_matched(account, number);
}

static void judge_topic(struct account *account, unsigned topic)
{
    const struct world *world = account->client->world;
    bool shared = false;
    for (uint32_t i = 0; i < account->count; i++) {
        const struct subscribed *sub = &account->subs[i];
        if (!world->profile.match[sub->sub->filter][topic])
            continue;
        shared |= !sub->sub->tagged;
        for (uint32_t n = world->model.first[topic]; sub->sub->tagged && n;
             n = world->model.publishes[n].next)
            judge_tagged(account, sub, n);
    }
    for (uint32_t n = world->model.first[topic]; n; n = world->model.publishes[n].next)
        if (shared)
            judge_shared(account, n);
        else if (bits_has(&account->client->got, n))
            not_matched(account, n);
}

/* ---- against what was reported -------------------------------------------------------------------------- */

static bool reason_fits(const struct client *client, const struct subscribed *sub, unsigned why)
{
    const struct native_sub *granted = &sub->sub->granted;
    switch ((enum native_gap_reason)why) {
    case NATIVE_GAP_EXPIRED:
        return client->world->profile.ttl;
    case NATIVE_GAP_RATE:
        return granted->max_hz > 0;
    case NATIVE_GAP_CONFLATED:
        return granted->policy == NATIVE_POLICY_CONFLATE;
    case NATIVE_GAP_DROPPED_NEWEST:
        return granted->policy == NATIVE_POLICY_DROP_NEWEST;
    case NATIVE_GAP_DROPPED_OLDEST:
        return granted->policy == NATIVE_POLICY_DROP_OLDEST || granted->policy == NATIVE_POLICY_CONFLATE ||
               (granted->policy == NATIVE_POLICY_BLOCK && client->publishes);
    default:
        return false;
    }
}

static void judge_reasons(const struct account *account, unsigned filter)
{
    struct client *client = account->client;
    const struct subscribed *sub = account->last[filter];
    if (account->lives[filter] != 1 || !sub->sure)
        return;
    for (unsigned why = 0; why < NATIVE_GAP_COUNT; why++) {
        uint64_t count = client->gap[filter][why];
        tally.dropped[sub->sub->granted.policy][why] += count;
        require(client->world, count == 0 || reason_fits(client, sub, why), "gap reason",
                "client %u: GAP %u of %s does not fit its policy %s", client->index, why,
                client->world->profile.filter[filter], native_policy_name(sub->sub->granted.policy));
    }
}

static void judge_filter(struct account *account, unsigned filter)
{
    struct client *client = account->client;
    uint64_t told = 0, must = account->must[filter], may = account->may[filter];
    for (unsigned why = 0; why < NATIVE_GAP_COUNT; why++)
        told += client->gap[filter][why];
    require(client->world, told <= must + may, "accounting",
            "client %u: GAPs of %s report %llu messages, it missed %llu and perhaps %llu", client->index,
            client->world->profile.filter[filter], (unsigned long long)told, (unsigned long long)must,
            (unsigned long long)may);
    if (!account->whole)
        return;
    require(client->world, told >= must, "accounting",
            "client %u: GAPs of %s report %llu messages, it missed %llu and perhaps %llu", client->index,
            client->world->profile.filter[filter], (unsigned long long)told, (unsigned long long)must,
            (unsigned long long)may);
    tally.accounts += account->lives[filter];
    tally.exact += may == 0 ? account->lives[filter] : 0;
    judge_reasons(account, filter);
}

/* ---- conflation ----------------------------------------------------------------------------------------- */

/* The values of one topic and key of a conflated subscription. */
struct values {
    uint64_t got_by;    /* by when the latest received one had surely arrived */
    uint64_t lost_from; /* when the latest missing one was sent */
    uint32_t lost;
    bool expiring;
};

static struct values *values_of(struct values *all, const struct publish *publish)
{
    return &all[publish->topic * (KEYS + 1) + publish->key];
}

static void judge_newest(const struct account *account, const struct subscribed *sub)
{
    struct client *client = account->client;
    const struct world *world = client->world;
    struct values values[TOPICS_MAX * (KEYS + 1)] = {0};
    for (uint32_t n = 1; n < world->model.count; n++) {
        const struct publish *publish = &world->model.publishes[n];
        if (!world->profile.match[sub->sub->filter][publish->topic])
            continue;
        struct values *group = values_of(values, publish);
        bool got = bits_has(sub->sub->tagged ? &sub->sub->got : &client->got, n);
        unsigned from = world->clients[publish->publisher].shard;
        uint64_t arrived = model_arrival(&world->model, from, client->shard, publish->end);
        group->expiring |= publish->ttl_ms != 0;
        if (got && arrived > group->got_by)
            group->got_by = arrived;
        if (!got && publish->start > group->lost_from && fate(account, sub, publish) == MUST) {
            group->lost_from = publish->start;
            group->lost = n;
        }
    }
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        tally.newest += values[i].got_by > 0;
        require(world, values[i].lost_from <= values[i].got_by || values[i].expiring, "newest value",
                "client %u: the newest value on %s (publish %u) was conflated away", client->index,
                world->profile.filter[sub->sub->filter], values[i].lost);
    }
}

static void judge_conflated(const struct account *account)
{
    const struct client *client = account->client;
    for (uint32_t i = 0; i < account->count; i++) {
        const struct subscribed *sub = &account->subs[i];
        bool alone = sub->sub->tagged || account->count == 1;
        if (sub->sure && alone && account->lives[sub->sub->filter] == 1 &&
            sub->sub->granted.policy == NATIVE_POLICY_CONFLATE &&
            client->gap[sub->sub->filter][NATIVE_GAP_DROPPED_OLDEST] == 0)
            judge_newest(account, sub);
    }
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static void judge_answers(const struct client *client)
{
    uint64_t pings = 0;
    for (uint32_t i = 0; i < client->request_count; i++) {
        const struct request *request = &client->requests[i];
        require(client->world, request->id == 0 || request->answer != ANSWER_NONE, "answers",
                "client %u: request %llu was never answered", client->index, (unsigned long long)request->id);
        pings += request->kind == REQUEST_PING;
    }
    require(client->world, pings == client->pongs, "answers", "client %u: %llu PINGs, %llu PONGs",
            client->index, (unsigned long long)pings, (unsigned long long)client->pongs);
}

/* One that leaves with a `disconnect` subscription past its bound is not told what that one lost. */
static bool tells_all(const struct client *client)
{
    for (uint32_t i = 0; i < client->request_count; i++)
        if (client->requests[i].kind == REQUEST_SUB &&
            client->requests[i].granted.policy == NATIVE_POLICY_DISCONNECT)
            return false;
    return client->left != STEP_NEVER && client->bye && client->end == END_GOODBYE;
}

void account_client(struct client *client)
{
    if (client->wild)
        return;
    struct account *account = memory_must(sizeof *account);
    bool open = client_open(client);
    account->client = client;
    account->whole = (open && client->welcome) || tells_all(client);
    if (open && client->welcome) {
        judge_answers(client);
        require(client->world, !client->hasty_topic, "max_hz",
                "client %u got values of %s faster than max_hz", client->index, client->hasty_topic);
    }
    for (unsigned filter = 0; filter < client->world->profile.filters; filter++)
        follow(account, filter);
    if (account->count > 0)
        qsort(account->subs, account->count, sizeof *account->subs, by_order);
    for (unsigned filter = 0; filter < client->world->profile.filters; filter++)
        for (uint32_t i = 0; i < account->count; i++)
            if (account->subs[i].sub->filter == filter)
                account->last[filter] = &account->subs[i];
    for (unsigned topic = 0; topic < client->world->profile.topics; topic++)
        judge_topic(account, topic);
    for (unsigned filter = 0; filter < client->world->profile.filters; filter++)
        judge_filter(account, filter);
    if (account->whole)
        judge_conflated(account);
    free(account->subs);
    free(account);
}
