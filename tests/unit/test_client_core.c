/* The life of a client: greeting, keep-alive, going down, coming back, stopping. */
#include "tests/unit/client_fixture.h"

/* ---- greeting ------------------------------------------------------------------------------------------- */

static void hello_comes_first_and_carries_who_we_are(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){
        .client_name = "me", .user = "u", .password = "p", .token = "t", .keepalive_s = 7});
    subscribe(f, "a/b");
    sluice_core_connecting(f->core, f->now_ms);
    expect_nothing(f);
    sluice_core_connected(f->core, f->now_ms);
    take_output(f);
    struct cursor body;
    uint32_t count;
    struct native_hello hello;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_HELLO);
    assert_int_equal(native_decode_hello(body, count, &hello), ERR_NONE);
    assert_int_equal(hello.version, 1);
    assert_true(span_eq(hello.client, span_str("me")) && span_eq(hello.user, span_str("u")));
    assert_true(span_eq(hello.password, span_str("p")) && span_eq(hello.token, span_str("t")));
    assert_int_equal(hello.keepalive_s, 7);
    expect_sub(f, "a/b", NULL);
    expect_nothing(f);
    fixture_free(f);
}

static void welcome_opens_and_says_what_the_broker_allows(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    assert_false(sluice_core_is_open(f->core));
    connect_now(f);
    assert_log(f, "connected 1\n");
    assert_true(sluice_core_is_open(f->core));
    char big[1001];
    memset(big, 'x', sizeof big);
    struct sluice_publish p = {.topic = sluice_str("a"), .payload = sluice_bytes_of(big, 1001)};
    assert_int_equal(sluice_core_publish(f->core, &p, NULL, NULL), SLUICE_TOO_LARGE);
    p.payload.len = 1000;
    assert_int_equal(sluice_core_publish(f->core, &p, NULL, NULL), SLUICE_OK);
    fixture_free(f);
}

static void a_broker_that_never_answers_is_given_up(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.connect_timeout_ms = 300});
    sluice_core_connecting(f->core, f->now_ms);
    pass(f, 299);
    assert_log(f, "");
    assert_int_equal(sluice_core_deadline_ms(f->core), f->now_ms + 1);
    pass(f, 1);
    assert_log(f, "down timeout retry in 100\n");
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CLOSE);
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    assert_log(f, "");
    fixture_free(f);
}

static void nonsense_instead_of_welcome_is_final(void **state)
{
    (void)state;
    static const char *const nonsense[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n",
                                           "\xce\x00\x00\x00\x01\x01", "\xce\x00\x00\x00\x03\x92\x44\xa0"};
    static const size_t lens[] = {28, 11, 6, 8};
    for (size_t i = 0; i < 4; i++) {
        struct fixture *f = fixture_new((struct sluice_options){0});
        sluice_core_connecting(f->core, f->now_ms);
        sluice_core_connected(f->core, f->now_ms);
        sluice_core_receive(f->core, f->now_ms, nonsense[i], lens[i]);
        assert_log(f, "down protocol_error final\n");
        assert_true(sluice_core_stopped(f->core));
        fixture_free(f);
    }
}

static void a_malformed_frame_later_ends_that_connection_only(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    assert_log(f, "connected 1\n");
    sluice_core_receive(f->core, f->now_ms, "\xce\x00\x00\x00\x01\xc1", 6);
    assert_log(f, "down protocol_error retry in 100\n");
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CLOSE);
    fixture_free(f);
}

static void a_frame_over_the_limit_is_refused_by_its_size_alone(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.receive_frame_bytes_max = 100});
    connect_now(f);
    assert_log(f, "connected 1\n");
    sluice_core_receive(f->core, f->now_ms, "\xce\x00\x00\x00\x65", 5);
    assert_log(f, "down too_large retry in 100\n");
    fixture_free(f);
}

static void ops_of_clients_are_a_fault_and_unknown_ops_are_not(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    assert_log(f, "connected 1\n");
    sluice_core_receive(f->core, f->now_ms, "\xce\x00\x00\x00\x03\x92\x7f\xc0", 8);
    sluice_core_receive(f->core, f->now_ms,
                        "\xce\x00\x00\x00\x0b\x92\xcf\x00\x00\x00\x00\xff\x00\x00\x00\xc0", 16);
    assert_log(f, "");
    struct wire_buf b = {0};
    struct native_unsub unsub = {1, span_str("a")};
    assert_int_equal(native_encode_unsub(&b, &unsub), ERR_NONE);
    feed(f, &b);
    assert_log(f, "down protocol_error retry in 100\n");
    fixture_free(f);
}

/* ---- keep-alive ----------------------------------------------------------------------------------------- */

static void a_ping_is_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    struct wire_buf b = {0};
    assert_int_equal(native_encode_ping(&b), ERR_NONE);
    feed(f, &b);
    take_output(f);
    expect_op(f, NATIVE_PONG);
    expect_nothing(f);
    fixture_free(f);
}

static void silence_brings_a_ping_and_then_the_end(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_with_keepalive(f, 10);
    assert_log(f, "connected 1\n");
    assert_int_equal(sluice_core_deadline_ms(f->core), f->now_ms + 10000);
    pass(f, 9999);
    expect_nothing(f);
    pass(f, 1);
    take_output(f);
    expect_op(f, NATIVE_PING);
    pass(f, 4999);
    expect_nothing(f);
    assert_log(f, "");
    pass(f, 1);
    assert_log(f, "down timeout retry in 100\n");
    fixture_free(f);
}

static void a_pong_keeps_the_connection_and_talking_keeps_the_pings_away(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_with_keepalive(f, 10);
    struct wire_buf b = {0};
    for (int i = 0; i < 5; i++) {
        pass(f, 10000);
        take_output(f);
        expect_op(f, NATIVE_PING);
        assert_int_equal(native_encode_pong(&b), ERR_NONE);
        feed(f, &b);
    }
    for (int i = 0; i < 5; i++) {
        pass(f, 9000);
        assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
        take_output(f);
        expect_pub(f, "a");
        say_msg(f, "a", "x");
    }
    expect_nothing(f);
    fixture_free(f);
}

static void a_client_that_only_listens_still_pings(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_with_keepalive(f, 10);
    pass(f, 5000);
    say_msg(f, "a", "x");
    pass(f, 5000);
    take_output(f);
    expect_op(f, NATIVE_PING);
    fixture_free(f);
}

/* ---- reconnecting --------------------------------------------------------------------------------------- */

static void fail_attempt(struct fixture *f)
{
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CONNECT);
    sluice_core_connecting(f->core, f->now_ms);
    sluice_core_disconnected(f->core, f->now_ms, "connection refused");
}

static void waits_are_random_below_a_ceiling_that_doubles(void **state)
{
    (void)state;
    static const uint64_t ceilings[] = {100, 200, 400, 800, 1500, 1500};
    struct fixture *f = fixture_new((struct sluice_options){.reconnect_max_ms = 1500});
    for (size_t i = 0; i < 6; i++) {
        f->random = (ceilings[i] + 1) * 7 + ceilings[i] / 2;
        fail_attempt(f);
        char expected[64];
        snprintf(expected, sizeof expected, "down io_error retry in %llu\n",
                 (unsigned long long)ceilings[i] / 2);
        assert_log(f, expected);
        assert_int_equal(sluice_core_deadline_ms(f->core), f->now_ms + ceilings[i] / 2);
        pass(f, ceilings[i] / 2 - 1);
        assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_NOTHING);
        pass(f, 1);
    }
    fixture_free(f);
}

static void a_connection_that_lasted_starts_the_backoff_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    f->random = 100; /* the ceiling of the first wait, and within all later ones */
    for (int i = 0; i < 4; i++) {
        fail_attempt(f);
        pass(f, 100);
    }
    f->log[0] = '\0';
    connect_now(f);
    pass(f, 4000);
    f->random = 1600;
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    assert_log(f, "connected 1\ndown disconnected retry in 1600\n");
    pass(f, 1600);
    connect_now(f);
    pass(f, 5000);
    f->random = 100;
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    pass(f, 100);
    f->random = 201;
    connect_now(f);
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    assert_log(f, "connected 2\ndown disconnected retry in 100\nconnected 3\ndown disconnected retry in 0\n");
    fixture_free(f);
}

static void the_wait_the_broker_asked_for_is_the_least(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    f->random = 42;
    say_bye(f, "shutting_down", 700);
    assert_log(f, "connected 1\ndown shutting_down retry in 742\n");
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CLOSE);
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    pass(f, 741);
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_NOTHING);
    pass(f, 1);
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CONNECT);
    fixture_free(f);
}

static void what_is_subscribed_between_bye_and_the_close_waits_for_the_next_connection(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    uint64_t gone = subscribe(f, "gone");
    connect_now(f);
    expect_sub(f, "gone", NULL);
    say_bye(f, "shutting_down", 0);
    subscribe(f, "late");
    assert_int_equal(sluice_core_unsubscribe(f->core, gone, on_done, f), SLUICE_OK);
    assert_log(f, "connected 1\ndown shutting_down retry in 100\ndone ok\n");
    expect_nothing(f);
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    pass(f, 100);
    sluice_core_connecting(f->core, f->now_ms);
    sluice_core_connected(f->core, f->now_ms);
    take_output(f);
    struct cursor body;
    uint32_t count;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_HELLO);
    expect_sub(f, "late", NULL);
    expect_nothing(f);
    fixture_free(f);
}

static void terminal_errors_stop(void **state)
{
    (void)state;
    static const char *const codes[] = {"denied", "unsupported", "protocol_error", "hello_required"};
    for (size_t i = 0; i < 4; i++) {
        struct fixture *f = fixture_new((struct sluice_options){0});
        char expected[64];
        snprintf(expected, sizeof expected, "down %s final\n", codes[i]);
        sluice_core_connecting(f->core, f->now_ms);
        sluice_core_connected(f->core, f->now_ms);
        say_bye(f, codes[i], 0);
        assert_log(f, expected);
        sluice_core_disconnected(f->core, f->now_ms, NULL);
        assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_NOTHING);
        assert_int_equal(sluice_core_deadline_ms(f->core), UINT64_MAX);
        assert_int_equal(publish(f, "a", "x"), SLUICE_CLOSED);
        fixture_free(f);
    }
}

static void without_reconnect_the_first_loss_is_the_end(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.no_reconnect = true});
    connect_now(f);
    sluice_core_disconnected(f->core, f->now_ms, "connection reset by peer");
    assert_log(f, "connected 1\ndown io_error final\n");
    assert_true(sluice_core_stopped(f->core));
    fixture_free(f);
}

static void subscriptions_are_renewed_in_order_without_those_given_up(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    subscribe(f, "z/#");
    uint64_t gone = subscribe(f, "m");
    subscribe(f, "a/+");
    subscribe(f, "z/#");
    assert_int_equal(sluice_core_unsubscribe(f->core, gone, NULL, NULL), SLUICE_OK);
    take_output(f);
    break_and_wait(f);
    connect_now(f);
    struct native_sub sub;
    expect_sub(f, "z/#", NULL);
    uint64_t last = expect_sub(f, "a/+", &sub);
    expect_nothing(f);
    f->log[0] = '\0';
    say_ok(f, last);
    assert_log(f, "subscribed 3 ok\n");
    fixture_free(f);
}

static void options_granted_before_are_asked_for_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    struct sluice_subscribe_options options = {.policy = SLUICE_POLICY_CONFLATE, .queue = 9, .max_hz = 2.5};
    assert_int_equal(sluice_core_subscribe(f->core, "a/#", &options, on_message, NULL, f, NULL), SLUICE_OK);
    connect_now(f);
    for (int i = 0; i < 2; i++) {
        struct native_sub sub;
        expect_sub(f, "a/#", &sub);
        assert_int_equal(sub.policy, NATIVE_POLICY_CONFLATE);
        assert_int_equal(sub.queue, 9);
        assert_true(sub.max_hz == 2.5 && !sub.has_tag);
        break_and_wait(f);
        connect_now(f);
    }
    fixture_free(f);
}

static void a_refused_renewal_is_told_and_not_repeated(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    subscribe(f, "a");
    take_output(f);
    say_ok(f, expect_sub(f, "a", NULL));
    break_and_wait(f);
    connect_now(f);
    f->log[0] = '\0';
    say_err(f, expect_sub(f, "a", NULL), "denied");
    assert_log(f, "subscribed 1 denied without grant\n");
    break_and_wait(f);
    connect_now(f);
    expect_nothing(f);
    fixture_free(f);
}

/* ---- the end -------------------------------------------------------------------------------------------- */

static void closing_sends_what_is_buffered_first(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
    sluice_core_close(f->core, f->now_ms);
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_NOTHING);
    assert_int_equal(publish(f, "a", "x"), SLUICE_CLOSED);
    take_output(f);
    expect_pub(f, "a");
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CLOSE);
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    assert_log(f, "connected 1\ndone unknown_outcome\n");
    assert_true(sluice_core_stopped(f->core));
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_NOTHING);
    fixture_free(f);
}

static void closing_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
    sluice_core_close(f->core, f->now_ms);
    pass(f, 1000);
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CLOSE);
    fixture_free(f);
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

static void frames_cut_at_every_byte_mean_the_same(void **state)
{
    (void)state;
    struct wire_buf b = {0};
    struct native_welcome welcome = {.session = span_str("s"), .server = span_str("t")};
    struct native_bye bye = {span_str("too_slow"), span_str("x"), 5};
    assert_int_equal(native_encode_welcome(&b, &welcome), ERR_NONE);
    add_msg(&b, "a/b", "one");
    add_gap(&b, "a/#", 3, NATIVE_GAP_DROPPED_OLDEST);
    add_msg(&b, "a/b", "two");
    assert_int_equal(native_encode_bye(&b, &bye), ERR_NONE);
    for (size_t step = 1; step <= 3; step++) {
        for (size_t cut = 0; cut <= b.len; cut++) {
            struct fixture *f = fixture_new((struct sluice_options){0});
            subscribe(f, "a/b");
            sluice_core_connecting(f->core, f->now_ms);
            sluice_core_connected(f->core, f->now_ms);
            sluice_core_receive(f->core, f->now_ms, b.data, cut);
            for (size_t at = cut; at < b.len; at += step)
                sluice_core_receive(f->core, f->now_ms, b.data + at, b.len - at < step ? b.len - at : step);
            assert_log(f, "connected 1\n1: a/b=one\ngap a/# 3 dropped_oldest\n1: a/b=two\n"
                          "down too_slow retry in 105\n");
            fixture_free(f);
        }
    }
    wire_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_comes_first_and_carries_who_we_are),
        cmocka_unit_test(welcome_opens_and_says_what_the_broker_allows),
        cmocka_unit_test(a_broker_that_never_answers_is_given_up),
        cmocka_unit_test(nonsense_instead_of_welcome_is_final),
        cmocka_unit_test(a_malformed_frame_later_ends_that_connection_only),
        cmocka_unit_test(a_frame_over_the_limit_is_refused_by_its_size_alone),
        cmocka_unit_test(ops_of_clients_are_a_fault_and_unknown_ops_are_not),
        cmocka_unit_test(a_ping_is_answered),
        cmocka_unit_test(silence_brings_a_ping_and_then_the_end),
        cmocka_unit_test(a_pong_keeps_the_connection_and_talking_keeps_the_pings_away),
        cmocka_unit_test(a_client_that_only_listens_still_pings),
        cmocka_unit_test(waits_are_random_below_a_ceiling_that_doubles),
        cmocka_unit_test(a_connection_that_lasted_starts_the_backoff_again),
        cmocka_unit_test(the_wait_the_broker_asked_for_is_the_least),
        cmocka_unit_test(what_is_subscribed_between_bye_and_the_close_waits_for_the_next_connection),
        cmocka_unit_test(terminal_errors_stop),
        cmocka_unit_test(without_reconnect_the_first_loss_is_the_end),
        cmocka_unit_test(subscriptions_are_renewed_in_order_without_those_given_up),
        cmocka_unit_test(options_granted_before_are_asked_for_again),
        cmocka_unit_test(a_refused_renewal_is_told_and_not_repeated),
        cmocka_unit_test(closing_sends_what_is_buffered_first),
        cmocka_unit_test(closing_does_not_wait_for_ever),
        cmocka_unit_test(frames_cut_at_every_byte_mean_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
