#include "tests/unit/shard_fixture.h"

/* A rule that lets everything below "jobs" block. */
static void let_jobs_block(void)
{
    struct config_error error;
    const struct config_rule_field fields[] = {{"filter", "jobs/#", 1}, {"block", "true", 1}};
    assert_int_equal(topic_rules_add(&w.rules, fields, 2, &error), ERR_NONE);
}

static void a_publish_crosses_to_the_other_shard_and_to_no_one_twice(void **state)
{
    (void)state;
    struct peer *near = greeted(0), *far = greeted(1), *publisher = greeted(0);
    SAY(near, sub(out, 1, "a/#", NATIVE_POLICY_DEFAULT, 0););
    SAY(far, sub(out, 1, "a/+", NATIVE_POLICY_DEFAULT, 0); sub(out, 2, "#", NATIVE_POLICY_DEFAULT, 0););
    heard(near);
    heard(far);
    SAY(publisher, pub(out, 1, "a/b", "1"); pub(out, 2, "a/b", "2"); pub(out, 3, "c", "3"););
    assert_string_equal(heard(near), "a/b 1\na/b 2\n");
    assert_string_equal(heard(far), "a/b 1\na/b 2\nc 3\n");
    peer_free(near);
    peer_free(far);
    peer_free(publisher);
}

static void ok_to_sub_waits_until_the_other_shard_knows(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    struct wire_buf out;
    wire_buf_init(&out, 0);
    sub(&out, 1, "a", NATIVE_POLICY_DEFAULT, 0);
    session_input(peer->session, span_of(out.data, out.len));
    shard_end_turn(&w.shards[0]);
    shard_receive(&w.shards[0]);
    shard_end_turn(&w.shards[0]);
    assert_string_equal(heard(peer), "");
    shard_receive(&w.shards[1]);
    shard_end_turn(&w.shards[1]);
    assert_string_equal(heard(peer), "");
    shard_receive(&w.shards[0]);
    shard_end_turn(&w.shards[0]);
    assert_string_equal(heard(peer), "ok 1\n");
    wire_buf_fini(&out);
    peer_free(peer);
}

/* Reads on one shard, while the other does nothing. */
static void read_alone(struct peer *peer, const struct wire_buf *frames)
{
    session_input(peer->session, span_of(frames->data, frames->len));
    shard_end_turn(peer->shard);
}

static void at_the_bound_of_unconfirmed_subs_only_a_sub_waits(void **state)
{
    (void)state;
    enum { PER_READ = 64, ANNOUNCED_MAX = INTEREST_UNCONFIRMED_MAX };
    struct peer *flood = greeted(0), *other = greeted(0);
    struct wire_buf frames;
    wire_buf_init(&frames, 0);
    for (unsigned i = 0; i < PER_READ; i++) {
        sub(&frames, 1, "a", NATIVE_POLICY_DEFAULT, 0);
        unsub(&frames, 2, "a");
    }
    unsigned reads = 0;
    for (; !flood->paused && reads < 2 * ANNOUNCED_MAX / PER_READ; reads++)
        read_alone(flood, &frames);
    assert_int_equal(reads, ANNOUNCED_MAX / PER_READ + 1);
    frames.len = 0;
    ping(&frames);
    read_alone(other, &frames);
    assert_string_equal(heard(other), "PONG\n");
    frames.len = 0;
    sub(&frames, 3, "b", NATIVE_POLICY_DEFAULT, 0);
    ping(&frames);
    read_alone(other, &frames);
    assert_string_equal(heard(other), "");
    assert_true(other->paused);
    settle();
    assert_string_equal(heard(other), "PONG\nok 3\n");
    assert_false(flood->paused || other->paused);
    wire_buf_fini(&frames);
    peer_free(flood);
    peer_free(other);
}

static void interest_goes_with_the_last_subscriber(void **state)
{
    (void)state;
    struct peer *first = greeted(0), *second = greeted(0), *publisher = greeted(1);
    SAY(first, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0););
    SAY(second, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0););
    struct span topic = span_str("a");
    assert_true(router_match(&w.shards[1].router, topic)->shards != 0);
    SAY(first, unsub(out, 2, "a"););
    assert_true(router_match(&w.shards[1].router, topic)->shards != 0);
    peer_free(second);
    assert_true(router_match(&w.shards[1].router, topic)->shards == 0);
    peer_free(first);
    peer_free(publisher);
}

static void a_full_mailbox_holds_the_publisher_and_loses_nothing(void **state)
{
    (void)state;
    enum { MESSAGES = 4000, BATCH = 100 };
    struct peer *subscriber = greeted(1), *publisher = greeted(0);
    SAY(subscriber, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, MESSAGES););
    heard(subscriber);
    struct wire_buf out;
    wire_buf_init(&out, 0);
    char payload[700];
    memset(payload, 'x', sizeof payload);
    payload[sizeof payload - 1] = '\0';
    unsigned sent = 0;
    while (sent < MESSAGES && !publisher->paused) {
        out.len = 0;
        for (unsigned i = 0; i < BATCH; i++)
            pub(&out, 0, "a", payload);
        sent += BATCH;
        session_input(publisher->session, span_of(out.data, out.len));
        shard_end_turn(&w.shards[0]); /* the other shard sleeps */
    }
    assert_true(publisher->paused);
    assert_in_range(sent, 1000, 2000);
    settle();
    assert_false(publisher->paused);
    size_t received = 0;
    for (const char *at = heard(subscriber); (at = strstr(at, "a x")); at++)
        received++;
    assert_int_equal(received, sent);
    assert_int_equal(w.shards[1].delivery.stats.delivered, sent);
    wire_buf_fini(&out);
    peer_free(subscriber);
    peer_free(publisher);
}

static void a_publisher_waits_for_a_blocking_subscriber_of_another_shard(void **state)
{
    (void)state;
    let_jobs_block();
    struct peer *subscriber = greeted(1), *publisher = greeted(0), *other = greeted(0);
    SAY(subscriber, sub(out, 1, "jobs/#", NATIVE_POLICY_BLOCK, 2););
    heard(subscriber);
    subscriber->room = 0;
    for (unsigned i = 1; i <= 2; i++) {
        SAY(publisher, pub(out, i, "jobs/1", "x"););
    }
    assert_string_equal(heard(publisher), "ok 1\n");
    assert_true(publisher->paused);
    SAY(other, pub(out, 1, "news", "x"););
    assert_string_equal(heard(other), "ok 1\n");
    drink(subscriber, SIZE_MAX);
    assert_string_equal(heard(subscriber), "jobs/1 x\njobs/1 x\n");
    assert_string_equal(heard(publisher), "ok 2\n");
    assert_false(publisher->paused);
    peer_free(subscriber);
    peer_free(publisher);
    peer_free(other);
}

static void what_is_held_back_twice_keeps_its_order_and_is_looked_through_once(void **state)
{
    (void)state;
    let_jobs_block();
    struct peer *subscriber = greeted(0), *publisher = greeted(0);
    SAY(subscriber, sub(out, 1, "jobs/#", NATIVE_POLICY_BLOCK, 1););
    heard(subscriber);
    subscriber->room = 0;
    SAY(publisher, pub(out, 1, "jobs/1", "x"); pub(out, 2, "jobs/2", "x"); pub(out, 3, "jobs/3", "x");
        sub(out, 4, "y", NATIVE_POLICY_DEFAULT, 0); unsub(out, 5, "y"); ping(out););
    assert_string_equal(heard(publisher), "PONG\n");
    const struct stash *stash = publisher->session->stash;
    assert_int_equal(stash->searched, stash->len);
    drink(subscriber, 10);
    assert_string_equal(heard(publisher), "");
    SAY(publisher, unsub(out, 6, "y"); ping(out););
    stash = publisher->session->stash;
    assert_int_equal(stash->searched, stash->len);
    assert_string_equal(heard(publisher), "PONG\n");
    drink(subscriber, SIZE_MAX);
    assert_string_equal(heard(publisher), "ok 1\nok 2\nok 3\nok 4\nok 5\nerr 6 not_subscribed\n");
    assert_string_equal(heard(subscriber), "jobs/1 x\njobs/2 x\njobs/3 x\n");
    peer_free(subscriber);
    peer_free(publisher);
}

static void unsub_need_not_wait_for_a_sub_that_has_been_served(void **state)
{
    (void)state;
    let_jobs_block();
    struct peer *subscriber = greeted(0), *publisher = greeted(0);
    SAY(subscriber, sub(out, 1, "jobs/#", NATIVE_POLICY_BLOCK, 1););
    heard(subscriber);
    subscriber->room = 0;
    SAY(publisher, pub(out, 1, "jobs/1", "x"); pub(out, 2, "jobs/2", "x");
        sub(out, 3, "y", NATIVE_POLICY_DEFAULT, 0); pub(out, 4, "jobs/3", "x"); unsub(out, 5, "y"););
    assert_string_equal(heard(publisher), "");
    drink(subscriber, 20); /* the first message, and not all of the second */
    assert_string_equal(heard(publisher), "ok 1\nok 3\nok 5\n");
    drink(subscriber, SIZE_MAX);
    assert_string_equal(heard(publisher), "ok 2\nok 4\n");
    peer_free(subscriber);
    peer_free(publisher);
}

static void a_waiting_publisher_that_vanishes_leaves_nothing_behind(void **state)
{
    (void)state;
    let_jobs_block();
    struct peer *subscriber = greeted(1), *publisher = greeted(0);
    SAY(subscriber, sub(out, 1, "jobs/#", NATIVE_POLICY_BLOCK, 1););
    subscriber->room = 0;
    SAY(publisher, pub(out, 1, "jobs/1", "x"););
    assert_true(publisher->paused);
    peer_free(publisher);
    assert_non_null(w.shards[0].sessions.holds.first); /* until the verdict comes */
    drink(subscriber, SIZE_MAX);
    assert_null(w.shards[0].sessions.holds.first);
    peer_free(subscriber);
}

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void interest_that_there_is_no_memory_for_is_planted_later(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    struct wire_buf out;
    wire_buf_init(&out, 0);
    sub(&out, 1, "a", NATIVE_POLICY_DEFAULT, 0);
    session_input(peer->session, span_of(out.data, out.len));
    shard_end_turn(&w.shards[0]);
    memory_set_fail_hook(fail_all, NULL);
    shard_receive(&w.shards[1]);
    shard_end_turn(&w.shards[1]);
    assert_non_null(w.shards[1].unplanted);
    memory_set_fail_hook(NULL, NULL);
    settle();
    assert_string_equal(heard(peer), "");
    pass(150); /* and nothing else happens that could remind it */
    assert_null(w.shards[1].unplanted);
    assert_string_equal(heard(peer), "ok 1\n");
    wire_buf_fini(&out);
    peer_free(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_publish_crosses_to_the_other_shard_and_to_no_one_twice),
        world_test(ok_to_sub_waits_until_the_other_shard_knows),
        world_test(at_the_bound_of_unconfirmed_subs_only_a_sub_waits),
        world_test(interest_goes_with_the_last_subscriber),
        world_test(a_full_mailbox_holds_the_publisher_and_loses_nothing),
        world_test(a_publisher_waits_for_a_blocking_subscriber_of_another_shard),
        world_test(what_is_held_back_twice_keeps_its_order_and_is_looked_through_once),
        world_test(unsub_need_not_wait_for_a_sub_that_has_been_served),
        world_test(a_waiting_publisher_that_vanishes_leaves_nothing_behind),
        world_test(interest_that_there_is_no_memory_for_is_planted_later),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
