#include "broker/router/router.h"
#include "broker/router/topic_rules.h"
#include "proto/topic.h"
#include "tests/unit/delivery_fixture.h"

enum { ROUTES = 129, OUTBOXES = 8 };

static struct router router;
static struct topic_rule block_rule = {.filter = "block/#", .filter_len = 7, .block = true};
static struct topic_rules rules = {.rules = &block_rule, .count = 1};
static struct local_route route[ROUTES];
static struct interest_wait waits[ROUTES];
static struct fake_transport sockets[OUTBOXES];
static struct outbox outboxes[OUTBOXES];
static char said[1024]; /* what other shards are told */
static bool mailbox_full;

static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t len = strlen(said);
    vsnprintf(said + len, sizeof said - len, format, arguments);
    va_end(arguments);
}

static void on_announce(void *context, unsigned shard, struct span filter, uint64_t cookie)
{
    (void)context, (void)cookie;
    say("+%u %.*s;", shard, (int)filter.len, (const char *)filter.data);
    interest_confirmed(router.interest, cookie);
}

static void on_withdraw(void *context, unsigned shard, struct span filter)
{
    (void)context;
    say("-%u %.*s;", shard, (int)filter.len, (const char *)filter.data);
}

static void on_ready(void *context, struct interest_wait *wait)
{
    (void)context, (void)wait;
}

static bool on_forward(void *context, unsigned shard, const struct run *run, uint64_t token,
                       struct retained *retained)
{
    (void)context, (void)retained;
    say("run of %u to %u token %u;", run->count, shard, (unsigned)token);
    return !mailbox_full;
}

static const struct router_ops ops = {
    .interest = {.announce = on_announce, .withdraw = on_withdraw, .ready = on_ready}, .forward = on_forward};

static int setup(void **state)
{
    fixture_setup(state);
    said[0] = '\0';
    mailbox_full = false;
    memset(route, 0, sizeof route);
    for (int i = 0; i < OUTBOXES; i++) {
        sockets[i] =
            (struct fake_transport){.transport = {.ops = &fake_ops, .kind = "fake"}, .room = SIZE_MAX};
        sockets[i].bytes = malloc(FAKE_BYTES_MAX / 8);
        outbox_init(&outboxes[i], &f.delivery, &sockets[i].transport, &encoder_native);
    }
    const struct router_config config = {&rules, 100, 1 << 20};
    return router_init(&router, &f.delivery, &config, &ops, NULL, 0, 3);
}

static int teardown(void **state)
{
    memory_set_fail_hook(NULL, NULL);
    for (int i = 0; i < ROUTES; i++)
        if (route[i].route.entry.node)
            router_unsubscribe(&router, &route[i]);
    for (int i = 0; i < OUTBOXES; i++) {
        outbox_fini(&outboxes[i]);
        free(sockets[i].bytes);
    }
    router_fini(&router);
    return fixture_teardown(state);
}

static void subscribe(int i, int outbox, const char *filter)
{
    bool must_wait;
    subscription_init(&route[i].sub, &outboxes[outbox], filter, NATIVE_POLICY_DROP_OLDEST, 10);
    route[i].sub.order = (uint32_t)i;
    assert_int_equal(router_subscribe(&router, &route[i], &waits[i], &must_wait), ERR_NONE);
}

static struct route_result publish(const char *topic, uint32_t number, const struct outbox *publisher,
                                   uint64_t token)
{
    struct match *match = router_match(&router, span_str(topic));
    assert_non_null(match);
    struct run run = make_run(topic, number, 1, NULL, 0);
    struct route_result result = router_publish(&router, match, &run, publisher, token, NULL);
    chunk_unref(&f.delivery.pool, run.chunk);
    return result;
}

static const char *heard(int outbox)
{
    end_turn();
    return frames_of(&sockets[outbox]);
}

static void a_message_reaches_everybody_whose_filter_fits_and_nobody_else(void **state)
{
    (void)state;
    subscribe(0, 0, "a/b");
    subscribe(1, 1, "a/+");
    subscribe(2, 2, "#");
    subscribe(3, 3, "a/c");
    publish("a/b", 1, NULL, 0);
    for (int i = 0; i < 3; i++)
        assert_string_equal(heard(i), "a/b 1\n");
    assert_string_equal(heard(3), "");
    assert_int_equal(router.matched, 3);
    assert_int_equal(router.published, 1);
}

static void overlapping_filters_of_a_connection_are_one_copy_under_the_first_sub(void **state)
{
    (void)state;
    static const char *const filters[] = {"a/+", "a/b", "#"};
    for (int first = 0; first < 3; first++) {
        for (int i = 0; i < 3; i++) {
            subscribe(i, 0, filters[i]);
            route[i].sub.order = i == first ? 0 : 5 + (uint32_t)i;
        }
        struct match *match = router_match(&router, span_str("a/b"));
        assert_int_equal(match->count, 1);
        assert_ptr_equal(match->subs[0], &route[first].sub);
        for (int i = 0; i < 3; i++)
            router_unsubscribe(&router, &route[i]);
    }
}

static void tagged_subscriptions_get_copies_of_their_own_besides(void **state)
{
    (void)state;
    subscribe(0, 0, "a/+");
    subscribe(1, 0, "a/b");
    subscribe(2, 0, "#");
    subscribe(3, 0, "+/b");
    for (uint32_t i = 1; i < 3; i++) {
        route[i].sub.prefixed = true;
        route[i].sub.tag = i;
    }
    publish("a/b", 1, NULL, 0);
    const char *text = heard(0);
    assert_int_equal(strlen(text), strlen("tag 1\ntag 2\na/b 1\na/b 1\na/b 1\n"));
    assert_non_null(strstr(text, "tag 1\na/b 1\n"));
    assert_non_null(strstr(text, "tag 2\na/b 1\n"));
}

/* The mark of a match comes around after 2^32 of them: what an outbox noted then must not be believed. */
static void a_mark_that_has_come_around_is_not_taken_for_the_present_one(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        subscribe(i, i, "a");
    subscribe(4, 3, "#");
    subscribe(5, 4, "a");
    subscribe(6, 4, "#");
    route[5].sub.prefixed = true;
    for (uint32_t slot = 0; slot < 20; slot++) {
        router.mark = slot & 1 ? UINT32_MAX - 1 : UINT32_MAX;
        for (uint32_t i = 0; i < 5; i++) {
            outboxes[i].match_mark = slot & 1 ? UINT32_MAX : 1;
            outboxes[i].match_slot = (slot / 2 + i) % 10;
        }
        match_cache_forget_all(&router.cache);
        assert_int_equal(router_match(&router, span_str("a"))->count, 6);
    }
}

static void each_change_of_the_index_shows_in_the_next_match(void **state)
{
    (void)state;
    assert_int_equal(router_match(&router, span_str("a/b"))->count, 0);
    subscribe(0, 0, "a/b");
    assert_int_equal(router_match(&router, span_str("a/b"))->count, 1);
    subscribe(1, 1, "a/#");
    assert_int_equal(router_match(&router, span_str("a/b"))->count, 2);
    router_unsubscribe(&router, &route[0]);
    assert_int_equal(router_match(&router, span_str("a/b"))->count, 1);
    router_unsubscribe(&router, &route[1]);
    assert_int_equal(router_match(&router, span_str("a/b"))->count, 0);
    assert_int_equal(router_remote_add(&router, 2, span_str("+/b")), ERR_NONE);
    assert_int_equal(router_match(&router, span_str("a/b"))->shards, 1 << 2);
    router_remote_remove(&router, 2, span_str("+/b"));
    assert_int_equal(router_match(&router, span_str("a/b"))->shards, 0);
}

/* ---- other shards ---------------------------------------------------------------------------------------- */

static void each_interested_shard_gets_a_run_once_however_many_filters_fit(void **state)
{
    (void)state;
    assert_int_equal(router_remote_add(&router, 1, span_str("a/b")), ERR_NONE);
    assert_int_equal(router_remote_add(&router, 1, span_str("a/b")), ERR_NONE);
    assert_int_equal(router_remote_add(&router, 1, span_str("#")), ERR_NONE);
    assert_int_equal(router_remote_add(&router, 2, span_str("a/+")), ERR_NONE);
    assert_int_equal(router_remote_add(&router, 2, span_str("x")), ERR_NONE);
    struct route_result result = publish("a/b", 1, NULL, 77);
    assert_string_equal(said, "run of 1 to 1 token 0;run of 1 to 2 token 0;");
    assert_int_equal(result.verdicts, 0);
    assert_false(result.congested);
    router_remote_remove(&router, 1, span_str("a/b"));
    router_remote_remove(&router, 2, span_str("a/+"));
    router_remote_remove(&router, 2, span_str("never"));
    said[0] = '\0';
    publish("a/b", 2, NULL, 0);
    assert_string_equal(said, "run of 1 to 1 token 0;");
}

static void a_verdict_is_asked_of_other_shards_only_where_a_rule_lets_block(void **state)
{
    (void)state;
    assert_int_equal(router_remote_add(&router, 1, span_str("#")), ERR_NONE);
    assert_int_equal(router_remote_add(&router, 2, span_str("block/1")), ERR_NONE);
    assert_int_equal(publish("block/1", 1, NULL, 77).verdicts, 2);
    assert_string_equal(said, "run of 1 to 1 token 77;run of 1 to 2 token 77;");
    assert_int_equal(publish("free", 1, NULL, 77).verdicts, 0);
}

static void a_full_mailbox_is_reported_to_the_publisher(void **state)
{
    (void)state;
    assert_int_equal(router_remote_add(&router, 1, span_str("a")), ERR_NONE);
    mailbox_full = true;
    assert_true(publish("a", 1, NULL, 0).congested);
    assert_false(publish("b", 1, NULL, 0).congested);
}

static void the_first_and_the_last_subscriber_of_a_filter_are_announced(void **state)
{
    (void)state;
    subscribe(0, 0, "a");
    subscribe(1, 1, "a");
    router_unsubscribe(&router, &route[0]);
    assert_string_equal(said, "+1 a;+2 a;");
    router_unsubscribe(&router, &route[1]);
    assert_string_equal(said, "+1 a;+2 a;-1 a;-2 a;");
}

static void what_comes_from_another_shard_is_delivered_here_and_not_sent_on(void **state)
{
    (void)state;
    subscribe(0, 0, "a");
    said[0] = '\0';
    assert_int_equal(router_remote_add(&router, 1, span_str("a")), ERR_NONE);
    struct run run = make_run("a", 3, 2, NULL, 0);
    assert_null(router_deliver(&router, &run, span_str("a"), NULL));
    chunk_unref(&f.delivery.pool, run.chunk);
    assert_string_equal(heard(0), "a 3\na 4\n");
    assert_string_equal(said, "");
}

/* ---- holding publishers back ----------------------------------------------------------------------------- */

static void a_full_block_subscription_holds_its_publishers_but_not_its_own_client(void **state)
{
    (void)state;
    subscribe(0, 0, "block/1");
    route[0].sub.policy = NATIVE_POLICY_BLOCK;
    route[0].sub.queue = 2;
    assert_null(publish("block/1", 1, &outboxes[1], 0).full);
    assert_null(publish("block/1", 2, &outboxes[1], 0).full);
    assert_null(publish("block/1", 3, &outboxes[1], 0).full); /* at the bound it is flushed first */
    sockets[0].room = 0;
    publish("block/1", 4, &outboxes[1], 0);
    end_turn();
    struct route_result result = publish("block/1", 5, &outboxes[1], 0);
    assert_ptr_equal(result.full, &route[0].sub);
    assert_null(publish("block/1", 6, &outboxes[0], 0).full);
    assert_ptr_equal(router_find_full(&router, span_str("block/1"), &outboxes[1]), &route[0].sub);
    assert_null(router_find_full(&router, span_str("block/1"), &outboxes[0]));
    assert_null(router_find_full(&router, span_str("block/2"), &outboxes[1]));
    sockets[0].room = SIZE_MAX;
    outbox_flush(&outboxes[0]);
    assert_string_equal(heard(0), "block/1 1\nblock/1 2\ngap 2 dropped_oldest\nblock/1 5\nblock/1 6\n");
}

/* A socket that refuses once. */
static ssize_t refuse_once(struct transport *transport, const struct iovec *pieces, int count, size_t bytes)
{
    (void)pieces, (void)count, (void)bytes;
    transport->ops = &fake_ops;
    return 0;
}

static void nobody_waits_for_a_block_subscription_that_the_flush_has_emptied(void **state)
{
    (void)state;
    static const struct transport_ops refusing = {.write = refuse_once, .want_writable = fake_want_writable};
    subscribe(0, 0, "block/1");
    route[0].sub.policy = NATIVE_POLICY_BLOCK;
    route[0].sub.queue = 2;
    publish("block/1", 1, &outboxes[1], 0);
    sockets[0].transport.ops = &refusing;
    f.delivery.unflushed = DELIVERY_UNFLUSHED_MAX;
    struct route_result result = publish("block/1", 2, &outboxes[1], 0);
    assert_int_equal(route[0].sub.queued, 0);
    assert_null(result.full);
    assert_string_equal(heard(0), "block/1 1\nblock/1 2\n");
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void without_memory_to_remember_a_run_from_another_shard_still_reaches_everybody(void **state)
{
    (void)state;
    for (int i = 0; i < OUTBOXES; i++)
        subscribe(i, i, i % 2 ? "a" : "#");
    struct run run = make_run("a", 3, 1, NULL, 0);
    memory_set_fail_hook(fail_all, NULL);
    assert_null(router_match(&router, span_str("a")));
    router_deliver(&router, &run, span_str("a"), NULL);
    memory_set_fail_hook(NULL, NULL);
    chunk_unref(&f.delivery.pool, run.chunk);
    for (int i = 0; i < OUTBOXES; i++)
        assert_string_equal(heard(i), "a 3\n");
}

static void a_match_may_find_every_subscription_there_is(void **state)
{
    (void)state;
    for (int i = 0; i < ROUTES; i++) {
        subscribe(i, i % OUTBOXES, i % 2 ? "a" : "#");
        route[i].sub.prefixed = true;
        assert_true(router.found_cap > (size_t)i);
    }
    assert_int_equal(router_match(&router, span_str("a"))->count, ROUTES);
}

static uint64_t allocations, fail_at;

static bool fail_once(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return allocations++ == fail_at;
}

static void a_sub_that_lacks_memory_is_refused_and_leaves_no_trace(void **state)
{
    (void)state;
    static char filters[ROUTES][8];
    for (int i = 0; i < ROUTES - 1; i++) { /* the next one needs more room for matches, too */
        snprintf(filters[i], sizeof filters[i], "x/%d", i);
        subscribe(i, i % OUTBOXES, filters[i]);
    }
    struct local_route *last = &route[ROUTES - 1];
    subscription_init(&last->sub, &outboxes[0], "a/+/c", NATIVE_POLICY_DROP_OLDEST, 10);
    enum err e = ERR_NO_MEMORY;
    bool must_wait;
    for (fail_at = 0; e; fail_at++) {
        said[0] = '\0';
        allocations = 0;
        memory_set_fail_hook(fail_once, NULL);
        e = router_subscribe(&router, last, &waits[0], &must_wait);
        memory_set_fail_hook(NULL, NULL);
        assert_int_equal(router_match(&router, span_str("a/b/c"))->count, e ? 0 : 1);
        assert_true(e == ERR_NONE || said[0] == '\0');
    }
    assert_true(fail_at > 2);
    for (fail_at = 0, e = ERR_NO_MEMORY; e; fail_at++) {
        allocations = 0;
        memory_set_fail_hook(fail_once, NULL);
        e = router_remote_add(&router, 1, span_str("m/+/n"));
        memory_set_fail_hook(NULL, NULL);
        assert_int_equal(router_match(&router, span_str("m/o/n"))->shards, e ? 0 : 1 << 1);
    }
}

/* ---- against a model ------------------------------------------------------------------------------------- */

static uint32_t dice(uint32_t sides)
{
    static uint64_t seed = 42;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

/* The subscriptions that must get the topic: of each connection the one of lowest order, and all tagged ones. */
static unsigned expected(const char *topic, bool want[ROUTES])
{
    int first[OUTBOXES];
    unsigned count = 0;
    memset(first, -1, sizeof first);
    for (int i = 0; i < ROUTES; i++) {
        struct subscription *sub = &route[i].sub;
        int outbox = (int)(sub->outbox - outboxes);
        want[i] = route[i].route.entry.node && filter_matches(subscription_filter(sub), span_str(topic));
        if (!want[i] || sub->prefixed)
            continue;
        if (first[outbox] >= 0 && route[first[outbox]].sub.order < sub->order) {
            want[i] = false;
            continue;
        }
        if (first[outbox] >= 0)
            want[first[outbox]] = false;
        first[outbox] = i;
    }
    for (int i = 0; i < ROUTES; i++)
        count += want[i];
    return count;
}

static void a_match_is_what_the_filters_say_however_the_index_changes(void **state)
{
    (void)state;
    static const char *const filters[] = {"#",   "+",     "a",   "a/#", "a/+", "a/b",
                                          "+/b", "a/b/#", "+/+", "b",   "b/c", "+/c"};
    static const char *const topics[] = {"a", "b", "a/b", "a/c", "b/c", "a/b/c", "c"};
    for (int step = 0; step < 20000; step++) {
        int i = (int)dice(ROUTES);
        if (dice(3) > 0) {
            const char *topic = topics[dice(7)];
            bool want[ROUTES];
            struct match *match = router_match(&router, span_str(topic));
            assert_int_equal(match->count, expected(topic, want));
            for (uint32_t m = 0; m < match->count; m++)
                assert_true(
                    want[(struct local_route *)((char *)match->subs[m] - offsetof(struct local_route, sub)) -
                         route]);
        } else if (route[i].route.entry.node) {
            router_unsubscribe(&router, &route[i]);
        } else {
            subscribe(i, (int)dice(OUTBOXES), filters[dice(12)]);
            route[i].sub.prefixed = dice(4) == 0;
        }
        said[0] = '\0';
    }
    assert_true(router.cache.hits > 1000 && router.cache.misses > 1000);
}

#define router_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        router_test(a_message_reaches_everybody_whose_filter_fits_and_nobody_else),
        router_test(overlapping_filters_of_a_connection_are_one_copy_under_the_first_sub),
        router_test(tagged_subscriptions_get_copies_of_their_own_besides),
        router_test(a_mark_that_has_come_around_is_not_taken_for_the_present_one),
        router_test(each_change_of_the_index_shows_in_the_next_match),
        router_test(each_interested_shard_gets_a_run_once_however_many_filters_fit),
        router_test(a_verdict_is_asked_of_other_shards_only_where_a_rule_lets_block),
        router_test(a_full_mailbox_is_reported_to_the_publisher),
        router_test(the_first_and_the_last_subscriber_of_a_filter_are_announced),
        router_test(what_comes_from_another_shard_is_delivered_here_and_not_sent_on),
        router_test(a_full_block_subscription_holds_its_publishers_but_not_its_own_client),
        router_test(nobody_waits_for_a_block_subscription_that_the_flush_has_emptied),
        router_test(without_memory_to_remember_a_run_from_another_shard_still_reaches_everybody),
        router_test(a_match_may_find_every_subscription_there_is),
        router_test(a_sub_that_lacks_memory_is_refused_and_leaves_no_trace),
        router_test(a_match_is_what_the_filters_say_however_the_index_changes),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
