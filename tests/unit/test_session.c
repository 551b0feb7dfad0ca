#include "tests/unit/shard_fixture.h"

static void a_client_that_never_says_hello_is_sent_away(void **state)
{
    (void)state;
    struct peer *peer = peer_new(0);
    pass(499);
    assert_string_equal(heard(peer), "");
    pass(1);
    assert_string_equal(heard(peer), "bye timeout\n");
    assert_true(peer->closed && !peer->lost);
    peer_free(peer);
}

static void the_first_frame_is_hello_and_no_other_is(void **state)
{
    (void)state;
    struct peer *early = peer_new(0), *twice = greeted(0);
    SAY(early, ping(out););
    assert_string_equal(heard(early), "bye hello_required\n");
    SAY(twice, hello(out, 0););
    assert_string_equal(heard(twice), "bye protocol_error\n");
    peer_free(early);
    peer_free(twice);
}

static void requests_may_follow_hello_in_the_same_read(void **state)
{
    (void)state;
    struct peer *peer = peer_new(0);
    SAY(peer, hello(out, 0); sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0); pub(out, 2, "a", "x"); ping(out););
    const char *text = heard(peer);
    assert_non_null(strstr(text, "WELCOME\n"));
    assert_non_null(strstr(text, "ok 1\n"));
    assert_non_null(strstr(text, "a x\n"));
    assert_non_null(strstr(text, "ok 2\n"));
    assert_non_null(strstr(text, "PONG\n"));
    peer_free(peer);
}

static void input_may_come_a_byte_at_a_time(void **state)
{
    (void)state;
    struct peer *peer = peer_new(0);
    struct wire_buf out;
    wire_buf_init(&out, 0);
    hello(&out, 0);
    sub(&out, 1, "a", NATIVE_POLICY_DEFAULT, 0);
    pub(&out, 2, "a", "x");
    pub(&out, 3, "b", "y");
    for (size_t i = 0; i < out.len; i++) {
        session_input(peer->session, span_of(out.data + i, 1));
        settle();
    }
    wire_buf_fini(&out);
    assert_string_equal(heard(peer), "WELCOME\nok 1\na x\nok 2\nok 3\n");
    assert_int_equal(w.inbound.used, 0);
    peer_free(peer);
}

static void silence_is_asked_about_and_half_a_keepalive_later_the_end(void **state)
{
    (void)state;
    struct peer *silent = peer_new(0), *alive = peer_new(0);
    SAY(silent, hello(out, 1););
    SAY(alive, hello(out, 1););
    heard(silent);
    heard(alive);
    pass(999);
    assert_string_equal(heard(silent), "");
    pass(1);
    assert_string_equal(heard(silent), "PING\n");
    assert_string_equal(heard(alive), "PING\n");
    SAY(alive, assert_int_equal(native_encode_pong(out), ERR_NONE););
    pass(499);
    assert_string_equal(heard(silent), "");
    pass(1);
    assert_string_equal(heard(silent), "bye keepalive_timeout\n");
    assert_string_equal(heard(alive), "");
    peer_free(silent);
    peer_free(alive);
}

static void a_client_without_purpose_is_closed_and_one_that_listens_stays(void **state)
{
    (void)state;
    w.session.idle_timeout = 100;
    struct peer *idle = greeted(0), *listening = greeted(0);
    SAY(listening, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0););
    heard(listening);
    pass(99);
    assert_string_equal(heard(idle), "");
    pass(1);
    assert_string_equal(heard(idle), "bye timeout\n");
    pass(500);
    assert_string_equal(heard(listening), "");
    SAY(listening, unsub(out, 2, "a"););
    pass(100);
    assert_string_equal(heard(listening), "ok 2\nbye timeout\n");
    peer_free(idle);
    peer_free(listening);
}

static void a_client_that_does_not_read_its_answers_is_not_read(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    peer->room = 0;
    SAY(peer, for (unsigned i = 0; i < 1000; i++) ping(out););
    assert_true(peer->paused);
    assert_true(peer->session->outbox.control_bytes < 4096 + 100);
    drink(peer, SIZE_MAX);
    assert_false(peer->paused);
    size_t pongs = 0;
    for (const char *at = heard(peer); (at = strstr(at, "PONG\n")); at++)
        pongs++;
    assert_int_equal(pongs, 1000);
    peer_free(peer);
}

static void a_farewell_that_is_never_read_ends_in_a_reset(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    peer->room = 0;
    SAY(peer, hello(out, 0););
    pass(299);
    assert_false(peer->closed);
    pass(1);
    assert_true(peer->closed && peer->lost);
    peer_free(peer);
}

static void who_is_given_up_and_then_takes_all_is_closed_at_once(void **state)
{
    (void)state;
    struct peer *subscriber = greeted(0), *publisher = greeted(0);
    struct wire_buf frames;
    wire_buf_init(&frames, 0);
    SAY(subscriber, sub(out, 1, "a", NATIVE_POLICY_DISCONNECT, 2););
    assert_string_equal(heard(subscriber), "ok 1\n");
    subscriber->room = 0;
    SAY(publisher, pub(out, 0, "a", "1"););
    pub(&frames, 0, "a", "2");
    pub(&frames, 0, "a", "3");
    session_input(publisher->session, span_of(frames.data, frames.len));
    assert_int_equal(subscriber->session->outbox.verdict, OUTBOX_TOO_SLOW);
    subscriber->room = SIZE_MAX;
    session_writable(subscriber->session);
    settle();
    assert_true(subscriber->closed && !subscriber->lost);
    assert_string_equal(heard(subscriber), "a 1\ngap 2\nbye too_slow\n");
    wire_buf_fini(&frames);
    peer_free(subscriber);
    peer_free(publisher);
}

static void a_drain_tells_everybody_and_waits_for_what_they_still_get(void **state)
{
    (void)state;
    struct peer *quick = greeted(0), *slow = greeted(0), *publisher = greeted(0);
    SAY(slow, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0););
    heard(slow);
    slow->room = 0;
    SAY(publisher, pub(out, 1, "a", "last"););
    heard(publisher);
    sessions_drain(&w.shards[0].sessions);
    settle();
    assert_string_equal(heard(quick), "bye shutting_down\n");
    assert_true(quick->closed);
    assert_false(slow->closed);
    drink(slow, SIZE_MAX);
    assert_string_equal(heard(slow), "a last\nbye shutting_down\n");
    assert_true(slow->closed && !slow->lost);
    peer_free(quick);
    peer_free(slow);
    peer_free(publisher);
}

static void unfinished_input_over_everybodys_budget_costs_the_one_that_asks_for_more(void **state)
{
    (void)state;
    w.inbound.total = 70000;
    struct peer *first = greeted(0), *second = greeted(0);
    uint8_t head[40000] = {0xce, 0, 0, 0xea, 0x60};
    session_input(first->session, span_of(head, sizeof head));
    session_input(second->session, span_of(head, sizeof head));
    settle();
    assert_string_equal(heard(first), "");
    assert_string_equal(heard(second), "bye overloaded\n");
    peer_free(first);
    peer_free(second);
}

static void a_publish_whose_answer_finds_no_memory_is_refused_and_not_delivered(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    struct wire_buf *oks = &w.shards[0].sessions.run.oks;
    SAY(peer, sub(out, 1, "a", NATIVE_POLICY_DEFAULT, 0););
    assert_string_equal(heard(peer), "ok 1\n");
    wire_buf_fini(oks);
    wire_buf_init(oks, 1);
    SAY(peer, pub(out, 2, "a", "x"); pub(out, 0, "a", "y"););
    assert_string_equal(heard(peer), "err 2 no_memory\na y\n");
    peer_free(peer);
}

static void a_rate_limit_refuses_what_comes_too_soon(void **state)
{
    (void)state;
    w.limits.publish_rate = 10;
    w.limits.publish_burst = 2;
    struct peer *peer = greeted(0);
    SAY(peer, for (unsigned i = 1; i <= 3; i++) pub(out, i, "a", "x"););
    assert_string_equal(heard(peer), "ok 1\nok 2\nerr 3 rate_limited\n");
    pass(100);
    SAY(peer, pub(out, 4, "a", "x"););
    assert_string_equal(heard(peer), "ok 4\n");
    peer_free(peer);
}

static void errors_that_answer_nothing_are_rationed(void **state)
{
    (void)state;
    struct peer *peer = greeted(0);
    SAY(peer, for (unsigned i = 0; i < 1000; i++) pub(out, 0, "bad/#", "x"););
    size_t errors = 0;
    for (const char *at = heard(peer); (at = strstr(at, "err 0 bad_topic\n")); at++)
        errors++;
    assert_in_range(errors, 1, 17);
    peer_free(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_client_that_never_says_hello_is_sent_away),
        world_test(the_first_frame_is_hello_and_no_other_is),
        world_test(requests_may_follow_hello_in_the_same_read),
        world_test(input_may_come_a_byte_at_a_time),
        world_test(silence_is_asked_about_and_half_a_keepalive_later_the_end),
        world_test(a_client_without_purpose_is_closed_and_one_that_listens_stays),
        world_test(a_client_that_does_not_read_its_answers_is_not_read),
        world_test(a_farewell_that_is_never_read_ends_in_a_reset),
        world_test(who_is_given_up_and_then_takes_all_is_closed_at_once),
        world_test(a_drain_tells_everybody_and_waits_for_what_they_still_get),
        world_test(unfinished_input_over_everybodys_budget_costs_the_one_that_asks_for_more),
        world_test(a_publish_whose_answer_finds_no_memory_is_refused_and_not_delivered),
        world_test(a_rate_limit_refuses_what_comes_too_soon),
        world_test(errors_that_answer_nothing_are_rationed),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
