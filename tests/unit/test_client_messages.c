/* What a client sends and receives: dispatch, publishes and their answers, backpressure, requests. */
#include "tests/unit/client_fixture.h"

/* ---- dispatch ------------------------------------------------------------------------------------------- */

static void one_copy_goes_to_every_subscription_that_matches(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    subscribe(f, "room/1");
    subscribe(f, "room/+");
    subscribe(f, "#");
    subscribe(f, "room/1");
    subscribe(f, "room/2");
    connect_now(f);
    f->log[0] = '\0';
    say_msg(f, "room/1", "hi");
    assert_log(f, "1: room/1=hi\n4: room/1=hi\n2: room/1=hi\n3: room/1=hi\n");
    say_msg(f, "$SYS/x", "y");
    assert_log(f, "");
    fixture_free(f);
}

static void a_tagged_message_belongs_to_its_subscription_alone(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    struct sluice_subscribe_options own = {.independent = true};
    subscribe(f, "a/+");
    assert_int_equal(sluice_core_subscribe(f->core, "a/#", &own, on_message, NULL, f, NULL), SLUICE_OK);
    subscribe(f, "$share/g/a/b");
    connect_now(f);
    struct native_sub second, third;
    expect_sub(f, "a/+", NULL);
    expect_sub(f, "a/#", &second);
    expect_sub(f, "$share/g/a/b", &third);
    assert_true(second.has_tag && third.has_tag && second.tag != third.tag);
    struct wire_buf b = {0};
    add_tag(&b, second.tag);
    add_msg(&b, "a/b", "x");
    add_msg(&b, "a/b", "y");
    add_tag(&b, third.tag);
    add_gap(&b, "a/+", 1, NATIVE_GAP_EXPIRED);
    add_msg(&b, "a/b", "z");
    add_tag(&b, 999);
    add_msg(&b, "a/b", "for nobody");
    f->log[0] = '\0';
    feed(f, &b);
    assert_log(f, "2: a/b=x\n1: a/b=y\ngap a/+ 1 expired\n3: a/b=z\n");
    assert_int_equal(sluice_core_subscribe(f->core, "a/+", &own, on_message, NULL, f, NULL),
                     SLUICE_BAD_ARGUMENT);
    fixture_free(f);
}

struct actor {
    struct fixture *f;
    uint64_t other;
};

static void unsubscribe_other(void *user, const struct sluice_message *message)
{
    struct actor *actor = user;
    on_message(actor->f, message);
    (void)sluice_core_unsubscribe(actor->f->core, actor->other, NULL, NULL);
    (void)sluice_core_unsubscribe(actor->f->core, message->subscription, NULL, NULL);
    subscribe(actor->f, "a/b");
    subscribe(actor->f, "+/b");
}

static void subscriptions_may_change_inside_a_callback(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    struct actor actor = {.f = f};
    connect_now(f);
    assert_int_equal(sluice_core_subscribe(f->core, "a/b", NULL, unsubscribe_other, NULL, &actor, NULL),
                     SLUICE_OK);
    actor.other = subscribe(f, "a/+");
    f->log[0] = '\0';
    say_msg(f, "a/b", "1");
    assert_log(f, "1: a/b=1\n");
    say_msg(f, "a/b", "2");
    assert_log(f, "3: a/b=2\n4: a/b=2\n");
    fixture_free(f);
}

static void the_last_unsubscribe_of_a_filter_tells_the_broker(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    uint64_t first = subscribe(f, "a");
    uint64_t second = subscribe(f, "a");
    take_output(f);
    f->log[0] = '\0';
    assert_int_equal(sluice_core_unsubscribe(f->core, first, on_done, f), SLUICE_OK);
    assert_log(f, "done ok\n");
    assert_int_equal(sluice_core_unsubscribe(f->core, first, on_done, f), SLUICE_BAD_ARGUMENT);
    assert_int_equal(take_output(f), 0);
    assert_int_equal(sluice_core_unsubscribe(f->core, second, on_done, f), SLUICE_OK);
    take_output(f);
    struct cursor body;
    uint32_t count;
    struct native_unsub unsub;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_UNSUB);
    assert_int_equal(native_decode_unsub(body, count, &unsub), ERR_NONE);
    assert_log(f, "");
    say_ok(f, unsub.id);
    assert_log(f, "done ok\n");
    fixture_free(f);
}

static void a_refused_subscription_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    subscribe(f, "a");
    take_output(f);
    uint64_t id = expect_sub(f, "a", NULL);
    subscribe(f, "a");
    take_output(f);
    uint64_t second = expect_sub(f, "a", NULL);
    f->log[0] = '\0';
    say_ok(f, id);
    say_err(f, second, "limit_reached");
    assert_log(f, "subscribed 1 ok\nsubscribed 2 limit_reached without grant\n");
    say_msg(f, "a", "x");
    assert_log(f, "1: a=x\n");
    fixture_free(f);
}

static void retained_values_are_told_from_live_ones_and_their_end_is_told(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    struct native_sub granted = {.policy = NATIVE_POLICY_DROP_OLDEST, .queue = 10, .retained = true};
    struct native_pub value = {
        .topic = span_str("a/1"), .payload = span_str("old"), .flags = NATIVE_PUB_RETAINED};
    struct native_event live = {.kind = span_str("live"), .topic = span_str("a/#")};
    struct native_event other = {.kind = span_str("join"), .topic = span_str("a/#")};
    struct wire_buf out;
    wire_buf_init(&out, 0);
    connect_now(f);
    subscribe(f, "a/#");
    take_output(f);
    granted.id = expect_sub(f, "a/#", NULL);
    f->log[0] = '\0';
    assert_int_equal(native_encode_ok_sub(&out, &granted), ERR_NONE);
    assert_int_equal(wire_buf_reserve(&out, native_msg_bytes_max(&value)), ERR_NONE);
    out.len += native_put_msg(out.data + out.len, &value, 1700000000000);
    assert_int_equal(native_encode_event(&out, &other), ERR_NONE);
    assert_int_equal(native_encode_event(&out, &live), ERR_NONE);
    feed(f, &out);
    say_msg(f, "a/1", "new");
    assert_log(f, "subscribed 1 ok with retained values\n1: a/1=old retained\nlive a/#\n1: a/1=new\n");
    fixture_free(f);
}

static void headers_and_fields_survive_the_way(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    char long_value[300];
    memset(long_value, 'v', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    struct sluice_header headers[17];
    for (size_t i = 0; i < 17; i++)
        headers[i] = (struct sluice_header){sluice_str("n"), sluice_str(i % 2 ? long_value : "a\tb\n")};
    struct sluice_publish p = {.topic = sluice_str("t"),
                               .payload = sluice_str("p"),
                               .key = sluice_str("k"),
                               .content_type = sluice_str("text/plain"),
                               .correlation = sluice_bytes_of("\0\xff", 2),
                               .ttl_ms = 5,
                               .text = true};
    struct sluice_publish with = p;
    with.headers = headers;
    with.header_count = 17;
    assert_int_equal(sluice_core_publish(f->core, &with, NULL, NULL),
                     SLUICE_TOO_LARGE); /* max_frame is 2000 */
    with.header_count = 5;
    assert_int_equal(sluice_core_publish(f->core, &with, NULL, NULL), SLUICE_OK);
    take_output(f);
    struct native_pub pub = expect_pub(f, "t");
    assert_int_equal(pub.id, 0);
    assert_int_equal(pub.ttl_ms, 5);
    assert_true(span_eq(pub.key, span_str("k")) && span_eq(pub.correlation, span_of("\0\xff", 2)));
    assert_true(span_eq(pub.content_type, span_str("text/plain")) && pub.format == 1);
    struct sluice_message back = {.raw_headers = sluice_bytes_of(pub.headers.data, pub.headers.len)};
    struct sluice_header_iter it = {0};
    size_t seen = 0;
    while (sluice_header_next(&back, &it)) {
        assert_true(sluice_bytes_equal(it.header.name, headers[seen].name));
        assert_true(sluice_bytes_equal(it.header.value, headers[seen].value));
        seen++;
    }
    assert_int_equal(seen, 5);
    fixture_free(f);
}

/* ---- publishing ----------------------------------------------------------------------------------------- */

static void bad_arguments_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    struct sluice_header bad_header = {sluice_str("n"), sluice_str("\xff")};
    char long_key[256] = {0};
    const struct sluice_publish bad[] = {
        {.topic = sluice_str("")},
        {.topic = sluice_str("a/+")},
        {.topic = sluice_str("\xc3\x28")},
        {.topic = sluice_str("a"), .reply = sluice_str("#")},
        {.topic = sluice_str("a"), .key = sluice_bytes_of(long_key, sizeof long_key)},
        {.topic = sluice_str("a"), .content_type = sluice_str("\x80")},
        {.topic = sluice_str("a"), .headers = &bad_header, .header_count = 1},
        {.topic = sluice_str("a"), .ttl_ms = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sluice_core_publish(f->core, &bad[i], on_done, f), SLUICE_BAD_ARGUMENT);
    static const char *const filters[] = {"", "a/#/b", "a+", "$share/g", "\xff"};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(sluice_core_subscribe(f->core, filters[i], NULL, on_message, NULL, f, NULL),
                         SLUICE_BAD_ARGUMENT);
    expect_nothing(f);
    fixture_free(f);
}

static void answers_find_their_publish_in_any_order(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    for (int i = 0; i < 200; i++)
        assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
    take_output(f);
    uint64_t ids[200];
    for (int i = 0; i < 200; i++)
        ids[i] = expect_pub(f, "a").id;
    f->log[0] = '\0';
    say_err(f, ids[150], "rate_limited");
    say_ok(f, ids[0]);
    say_err(f, ids[199], "no_responders");
    say_ok(f, ids[150]);
    say_ok(f, 777777);
    assert_log(f, "done rate_limited\ndone ok\ndone no_responders\n");
    fixture_free(f);
}

static void publishes_in_flight_when_the_connection_ends_have_an_unknown_outcome(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    publish(f, "a", "1");
    take_output(f);
    publish(f, "a", "2");
    f->log[0] = '\0';
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    assert_log(f, "done unknown_outcome\ndone unknown_outcome\ndown disconnected retry in 100\n");
    pass(f, 100);
    connect_now(f);
    expect_nothing(f);
    fixture_free(f);
}

static void an_error_without_request_is_told(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    f->log[0] = '\0';
    say_err(f, 0, "rate_limited");
    assert_log(f, "error rate_limited: because\n");
    fixture_free(f);
}

/* ---- backpressure --------------------------------------------------------------------------------------- */

static void a_full_buffer_says_again_and_later_that_it_has_drained(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.send_buffer_bytes_max = 1000});
    connect_now(f);
    int accepted = 0;
    while (publish(f, "a", "0123456789012345678901234567890123456789") == SLUICE_OK)
        accepted++;
    assert_in_range(accepted, 5, 20);
    assert_true(sluice_core_buffered_bytes(f->core) <= 1000);
    f->log[0] = '\0';
    size_t len;
    assert_non_null(sluice_core_output(f->core, &len));
    sluice_core_sent(f->core, f->now_ms, len - 501);
    assert_log(f, "");
    sluice_core_sent(f->core, f->now_ms, 1);
    assert_log(f, "drained\n");
    sluice_core_sent(f->core, f->now_ms, 500);
    assert_log(f, "");
    fixture_free(f);
}

static void one_message_larger_than_the_buffer_fits_when_it_is_empty(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.send_buffer_bytes_max = 10});
    connect_now(f);
    assert_int_equal(publish(f, "a", "longer than ten bytes"), SLUICE_OK);
    assert_int_equal(publish(f, "a", "x"), SLUICE_AGAIN);
    fixture_free(f);
}

static void without_a_connection_publishing_says_again_and_drained_follows_welcome(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    assert_int_equal(publish(f, "a", "x"), SLUICE_AGAIN);
    connect_now(f);
    assert_log(f, "connected 1\ndrained\n");
    assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
    fixture_free(f);
}

static void answers_that_stay_out_bound_what_is_in_flight(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){.in_flight_max = 4});
    connect_now(f);
    for (int i = 0; i < 4; i++)
        assert_int_equal(publish(f, "a", "x"), SLUICE_OK);
    assert_int_equal(publish(f, "a", "x"), SLUICE_AGAIN);
    take_output(f);
    f->log[0] = '\0';
    say_ok(f, expect_pub(f, "a").id);
    say_ok(f, expect_pub(f, "a").id);
    assert_log(f, "done ok\ndone ok\ndrained\n");
    fixture_free(f);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

/* Sends a first request and confirms the inbox; the reply topic is left in `reply`. Returns the PUB's id. */
static uint64_t first_request(struct fixture *f, char reply[64])
{
    assert_int_equal(request(f, "svc", 500), SLUICE_OK);
    take_output(f);
    struct cursor body;
    uint32_t count;
    struct native_sub sub;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_SUB);
    assert_int_equal(native_decode_sub(body, count, &sub), ERR_NONE);
    assert_int_equal(memcmp(sub.filter.data, "_inbox/", 7), 0);
    assert_int_equal(sub.filter.data[sub.filter.len - 1], '+');
    expect_nothing(f);
    say_ok(f, sub.id);
    take_output(f);
    struct native_pub pub = expect_pub(f, "svc");
    snprintf(reply, 64, "%.*s", (int)pub.reply.len, (const char *)pub.reply.data);
    assert_int_not_equal(pub.id, 0);
    f->log[0] = '\0';
    return pub.id;
}

static void a_request_leaves_after_its_inbox_is_confirmed_and_gets_its_reply(void **state)
{
    (void)state;
    char reply[64];
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    say_ok(f, first_request(f, reply));
    say_msg(f, reply, "42");
    assert_log(f, "reply 42\n");
    say_msg(f, reply, "43");
    assert_log(f, "");
    fixture_free(f);
}

static void replies_are_matched_and_the_inbox_is_shared(void **state)
{
    (void)state;
    char reply[64];
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    first_request(f, reply);
    assert_int_equal(request(f, "other", 500), SLUICE_OK);
    take_output(f);
    struct native_pub second = expect_pub(f, "other");
    expect_nothing(f);
    char reply2[64];
    snprintf(reply2, sizeof reply2, "%.*s", (int)second.reply.len, (const char *)second.reply.data);
    assert_string_not_equal(reply, reply2);
    take_output(f);
    say_msg(f, reply2, "second");
    say_msg(f, reply, "first");
    assert_log(f, "reply second\nreply first\n");
    fixture_free(f);
}

static void nobody_to_answer_ends_a_request_at_once(void **state)
{
    (void)state;
    char reply[64];
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    say_err(f, first_request(f, reply), "no_responders");
    assert_log(f, "no reply: no_responders\n");
    pass(f, 500);
    assert_log(f, "");
    fixture_free(f);
}

static void requests_end_at_their_deadlines_in_order(void **state)
{
    (void)state;
    char reply[64];
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    first_request(f, reply);
    assert_int_equal(request(f, "b", 900), SLUICE_OK);
    assert_int_equal(request(f, "c", 100), SLUICE_OK);
    assert_int_equal(sluice_core_deadline_ms(f->core), f->now_ms + 100);
    pass(f, 100);
    assert_log(f, "no reply: timeout\n");
    assert_int_equal(sluice_core_deadline_ms(f->core), f->now_ms + 400);
    pass(f, 400);
    assert_log(f, "no reply: timeout\n");
    say_msg(f, reply, "late");
    assert_log(f, "");
    pass(f, 400);
    assert_log(f, "no reply: timeout\n");
    fixture_free(f);
}

static void requests_in_flight_when_the_connection_ends_have_an_unknown_outcome(void **state)
{
    (void)state;
    char reply[64];
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    first_request(f, reply);
    break_and_wait(f);
    assert_log(f, "no reply: unknown_outcome\ndown disconnected retry in 100\n");
    assert_int_equal(request(f, "svc", 500), SLUICE_AGAIN);
    connect_now(f);
    struct cursor body;
    uint32_t count;
    struct native_sub sub;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_SUB);
    assert_int_equal(native_decode_sub(body, count, &sub), ERR_NONE);
    assert_int_equal(request(f, "svc", 500), SLUICE_OK);
    uint64_t id = sub.id;
    expect_nothing(f);
    say_ok(f, id);
    take_output(f);
    expect_pub(f, "svc");
    fixture_free(f);
}

static void a_refused_inbox_fails_the_requests_that_wait_for_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_new((struct sluice_options){0});
    connect_now(f);
    f->log[0] = '\0';
    assert_int_equal(request(f, "a", 500), SLUICE_OK);
    assert_int_equal(request(f, "b", 500), SLUICE_OK);
    take_output(f);
    struct cursor body;
    uint32_t count;
    struct native_sub sub;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_SUB);
    assert_int_equal(native_decode_sub(body, count, &sub), ERR_NONE);
    say_err(f, sub.id, "denied");
    assert_log(f, "no reply: denied\nno reply: denied\n");
    expect_nothing(f);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_copy_goes_to_every_subscription_that_matches),
        cmocka_unit_test(a_tagged_message_belongs_to_its_subscription_alone),
        cmocka_unit_test(subscriptions_may_change_inside_a_callback),
        cmocka_unit_test(the_last_unsubscribe_of_a_filter_tells_the_broker),
        cmocka_unit_test(a_refused_subscription_is_gone),
        cmocka_unit_test(retained_values_are_told_from_live_ones_and_their_end_is_told),
        cmocka_unit_test(headers_and_fields_survive_the_way),
        cmocka_unit_test(bad_arguments_are_refused_before_anything_is_sent),
        cmocka_unit_test(answers_find_their_publish_in_any_order),
        cmocka_unit_test(publishes_in_flight_when_the_connection_ends_have_an_unknown_outcome),
        cmocka_unit_test(an_error_without_request_is_told),
        cmocka_unit_test(a_full_buffer_says_again_and_later_that_it_has_drained),
        cmocka_unit_test(one_message_larger_than_the_buffer_fits_when_it_is_empty),
        cmocka_unit_test(without_a_connection_publishing_says_again_and_drained_follows_welcome),
        cmocka_unit_test(answers_that_stay_out_bound_what_is_in_flight),
        cmocka_unit_test(a_request_leaves_after_its_inbox_is_confirmed_and_gets_its_reply),
        cmocka_unit_test(replies_are_matched_and_the_inbox_is_shared),
        cmocka_unit_test(nobody_to_answer_ends_a_request_at_once),
        cmocka_unit_test(requests_end_at_their_deadlines_in_order),
        cmocka_unit_test(requests_in_flight_when_the_connection_ends_have_an_unknown_outcome),
        cmocka_unit_test(a_refused_inbox_fails_the_requests_that_wait_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
