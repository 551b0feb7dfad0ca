#include "tests/unit/shard_fixture.h"

#include "broker/session/snapshot.h"

static void the_values_come_behind_the_ok_and_are_closed_by_live(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = greeted(0);
    SAY(publisher, keep(out, 1, "a/1", "old"); keep(out, 2, "a/1", "new"); keep(out, 3, "a/2", "x");
        keep(out, 4, "b", "y"); keep(out, 5, "a/3", "z"); keep(out, 6, "a/3", ""););
    assert_string_equal(heard(publisher), "ok 1\nok 2\nok 3\nok 4\nok 5\nok 6\n");
    SAY(subscriber, sub(out, 1, "a/#", NATIVE_POLICY_DEFAULT, 0););
    assert_string_equal(heard(subscriber), "ok 1\na/1 new retained\na/2 x retained\nlive a/#\n");
    SAY(publisher, keep(out, 7, "a/2", "live"););
    assert_string_equal(heard(subscriber), "a/2 live\n");
    SAY(subscriber, sub(out, 2, "c", NATIVE_POLICY_DEFAULT, 0););
    assert_string_equal(heard(subscriber), "ok 2\n");
    peer_free(publisher);
    peer_free(subscriber);
}

static void a_publish_that_races_the_sub_on_another_shard_comes_once(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = greeted(0);
    SAY(publisher, keep(out, 1, "a", "1"); keep(out, 2, "b", "1"););
    heard(publisher);
    struct wire_buf say;
    wire_buf_init(&say, 0);
    keep(&say, 0, "a",
         "2"); /* the other shard does not know of the SUB yet, and this one not of the publish */
    session_input(publisher->session, span_of(say.data, say.len));
    say.len = 0;
    sub(&say, 1, "#", NATIVE_POLICY_DEFAULT, 0);
    session_input(subscriber->session, span_of(say.data, say.len));
    settle();
    const char *got = heard(subscriber);
    assert_non_null(strstr(got, "a 2\n"));
    assert_null(strstr(got, "a 1"));
    assert_null(strstr(got, "a 2 retained"));
    assert_non_null(strstr(got, "b 1 retained\nlive #\n"));
    wire_buf_fini(&say);
    peer_free(publisher);
    peer_free(subscriber);
}

enum { MANY = 900, PAYLOAD = 200 };

static void topic_of(char topic[16], int i)
{
    snprintf(topic, 16, "m/%04d", i);
}

static void keep_many(struct peer *publisher)
{
    char payload[PAYLOAD + 1], topic[16];
    memset(payload, 'x', PAYLOAD);
    payload[PAYLOAD] = '\0';
    for (int i = 0; i < MANY; i++) {
        topic_of(topic, i);
        SAY(publisher, keep(out, 0, topic, payload););
    }
}

static unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void many_values_come_as_the_peer_drains_them(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = greeted(0);
    keep_many(publisher);
    heard(subscriber);
    subscriber->room = 0;
    SAY(subscriber, sub(out, 1, "m/#", NATIVE_POLICY_DEFAULT, 0););
    assert_true(outbox_bytes(&subscriber->session->outbox) < 2 * SNAPSHOT_BYTES + SNAPSHOT_WAITING);
    for (int i = 0; i < MANY * PAYLOAD / 5000; i++) {
        drink(subscriber, 5000);
        assert_true(outbox_bytes(&subscriber->session->outbox) < 2 * SNAPSHOT_BYTES + SNAPSHOT_WAITING);
    }
    drink(subscriber, SIZE_MAX);
    const char *got = heard(subscriber);
    assert_int_equal(occurrences(got, " retained\n"), MANY);
    assert_int_equal(occurrences(got, "gap"), 0);
    assert_int_equal(occurrences(got, "live m/#\n"), 1);
    assert_null(subscriber->session->snapshots);
    peer_free(publisher);
    peer_free(subscriber);
}

static void a_short_queue_loses_no_value(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = greeted(0);
    keep_many(publisher);
    subscriber->room = 100;
    SAY(subscriber, sub(out, 1, "m/#", NATIVE_POLICY_DEFAULT, 3););
    for (int i = 0; i < 2 * MANY; i++)
        drink(subscriber, 500);
    drink(subscriber, SIZE_MAX);
    const char *got = heard(subscriber);
    assert_int_equal(occurrences(got, " retained\n"), MANY);
    assert_int_equal(occurrences(got, "gap"), 0);
    peer_free(publisher);
    peer_free(subscriber);
}

/* A subscriber that has taken nothing but the first values of "m/#". */
static struct peer *stuck_in_its_snapshot(struct peer *publisher)
{
    struct peer *subscriber = greeted(0);
    keep_many(publisher);
    heard(subscriber);
    subscriber->room = 1000;
    SAY(subscriber, sub(out, 1, "m/#", NATIVE_POLICY_DEFAULT, 0););
    assert_non_null(subscriber->session->snapshots);
    return subscriber;
}

static void a_live_message_does_not_overtake_the_value_of_its_topic(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = stuck_in_its_snapshot(publisher);
    char topic[16], value[64], line[64];
    topic_of(topic, MANY - 2);
    SAY(publisher, pub(out, 1, topic, "passing"););
    drink(subscriber, SIZE_MAX);
    settle();
    const char *got = heard(subscriber);
    snprintf(value, sizeof value, "%s xxx", topic);
    snprintf(line, sizeof line, "%s passing\n", topic);
    assert_int_equal(occurrences(got, value), 1);
    assert_int_equal(occurrences(got, line), 1);
    assert_true(strstr(got, value) < strstr(got, line));
    assert_int_equal(occurrences(got, " retained\n"), MANY);
    peer_free(publisher);
    peer_free(subscriber);
}

static void a_value_replaced_or_cleared_meanwhile_comes_only_as_what_it_has_become(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = stuck_in_its_snapshot(publisher);
    char replaced[16], cleared[16], line[64];
    topic_of(replaced, MANY - 2);
    topic_of(cleared, MANY - 3);
    SAY(publisher, keep(out, 1, replaced, "new"); keep(out, 2, cleared, ""););
    drink(subscriber, SIZE_MAX);
    settle();
    const char *got = heard(subscriber);
    assert_int_equal(occurrences(got, " retained\n"), MANY - 2);
    snprintf(line, sizeof line, "%s new\n", replaced);
    assert_int_equal(occurrences(got, line), 1);
    assert_int_equal(occurrences(got, replaced), 1);
    assert_int_equal(occurrences(got, cleared), 1);
    peer_free(publisher);
    peer_free(subscriber);
}

static void a_second_sub_gets_the_values_anew_and_unsub_ends_them(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = stuck_in_its_snapshot(publisher);
    SAY(subscriber, sub(out, 2, "m/#", NATIVE_POLICY_DEFAULT, 0););
    SAY(subscriber, unsub(out, 3, "m/#"););
    assert_null(subscriber->session->snapshots);
    drink(subscriber, SIZE_MAX);
    const char *got = heard(subscriber);
    assert_non_null(strstr(got, "ok 3\n"));
    assert_null(strstr(got, "live"));
    SAY(subscriber, sub(out, 4, "m/0000", NATIVE_POLICY_DEFAULT, 0););
    assert_int_equal(occurrences(heard(subscriber), " retained\n"), 1);
    peer_free(publisher);
    peer_free(subscriber);
}

static void a_subscriber_that_goes_in_mid_snapshot_leaves_nothing_behind(void **state)
{
    (void)state;
    struct peer *publisher = greeted(1), *subscriber = stuck_in_its_snapshot(publisher);
    peer_free(subscriber);
    peer_free(publisher);
}

static void a_rule_and_the_bounds_refuse_the_publish_and_deliver_nothing(void **state)
{
    (void)state;
    struct config_error error;
    struct config_rule_field fields[] = {{"filter", "events/#", 1}, {"retained", "false", 1}};
    assert_int_equal(topic_rules_add(&w.rules, fields, 2, &error), ERR_NONE);
    struct peer *publisher = greeted(0);
    w.shards[0].router.retained.config.messages_max = 1;
    SAY(publisher, sub(out, 1, "#", NATIVE_POLICY_DEFAULT, 0); keep(out, 2, "events/1", "x");
        keep(out, 3, "a", "x"); keep(out, 4, "b", "x"); pub(out, 5, "events/1", "y"););
    const char *got = heard(publisher);
    assert_non_null(strstr(got, "err 2 denied\n"));
    assert_non_null(strstr(got, "err 4 limit_reached\n"));
    assert_null(strstr(got, "events/1 x"));
    assert_null(strstr(got, "b x"));
    assert_non_null(strstr(got, "a x\n"));
    assert_non_null(strstr(got, "events/1 y\n"));
    peer_free(publisher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(the_values_come_behind_the_ok_and_are_closed_by_live),
        world_test(a_publish_that_races_the_sub_on_another_shard_comes_once),
        world_test(many_values_come_as_the_peer_drains_them),
        world_test(a_short_queue_loses_no_value),
        world_test(a_live_message_does_not_overtake_the_value_of_its_topic),
        world_test(a_value_replaced_or_cleared_meanwhile_comes_only_as_what_it_has_become),
        world_test(a_second_sub_gets_the_values_anew_and_unsub_ends_them),
        world_test(a_subscriber_that_goes_in_mid_snapshot_leaves_nothing_behind),
        world_test(a_rule_and_the_bounds_refuse_the_publish_and_deliver_nothing),
    };
    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
