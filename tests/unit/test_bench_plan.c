#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/cli/bench_frame.h"
#include "clients/cli/bench_plan.h"
#include "proto/native_reply.h"
#include "proto/topic.h"

enum { RUN = 0x1234abcd, FRAME_MAX = 1 << 20, FILTERS_MAX = 64 };

static struct plan plan;
static struct bench_options options;

static int end(void **state)
{
    (void)state;
    plan_fini(&plan);
    return 0;
}

static void start(enum bench_shape shape, bool relay, struct bench_options made)
{
    options = made;
    options.size = options.size ? options.size : 128;
    plan_init(&plan, shape, &options, relay, RUN);
    ledger_start(&plan.ledger, 0);
}

/* What of a greeting goes over the wire. */
static struct span said_in(const struct wire_buf *greeting)
{
    assert_true(greeting->len > NET_HEADROOM);
    return span_of(greeting->data + NET_HEADROOM, greeting->len - NET_HEADROOM);
}

static bool next_frame(struct span *in, uint32_t *op, uint32_t *count, struct cursor *body)
{
    struct span frame;
    size_t need;
    if (in->len == 0)
        return false;
    assert_int_equal(native_next_frame(in, FRAME_MAX, &frame, &need), ERR_NONE);
    assert_int_equal(native_open(frame, op, count, body), ERR_NONE);
    return true;
}

/* Reads HELLO and the filters of the SUBs behind it; they borrow from the greeting. */
static uint32_t read_greeting(const struct wire_buf *greeting, struct span filters[FILTERS_MAX])
{
    struct span in = said_in(greeting);
    struct native_hello hello;
    struct native_sub sub;
    struct cursor body;
    uint32_t op, count, found = 0;
    assert_true(next_frame(&in, &op, &count, &body));
    assert_int_equal(op, NATIVE_HELLO);
    assert_int_equal(native_decode_hello(body, count, &hello), ERR_NONE);
    while (next_frame(&in, &op, &count, &body)) {
        assert_int_equal(op, NATIVE_SUB);
        assert_int_equal(native_decode_sub(body, count, &sub), ERR_NONE);
        assert_true(found < FILTERS_MAX);
        filters[found++] = sub.filter;
    }
    return found;
}

/* Exactly one of the receiver's filters matches what it is to get, and none matches anything else: then a broker that
 * follows the filters satisfies the ledger. */
static void check_receiver(uint32_t receiver)
{
    struct wire_buf greeting;
    struct span filters[FILTERS_MAX];
    uint32_t answers = plan_greet_receiver(&plan, receiver, &greeting);
    uint32_t count = read_greeting(&greeting, filters);
    assert_int_equal(answers, 1 + count);
    for (uint32_t s = 0; s < plan.ledger.stream_count; s++) {
        uint32_t matches = 0;
        for (uint32_t i = 0; i < count; i++)
            matches += filter_matches(filters[i], plan.ledger.streams[s].topic);
        assert_int_equal(matches, plan.ledger.flows[receiver * plan.ledger.stream_count + s].wanted);
    }
    wire_buf_fini(&greeting);
}

static uint32_t check_receivers(void)
{
    uint32_t wanted = 0;
    for (uint32_t r = 0; r < plan.ledger.receiver_count; r++)
        check_receiver(r);
    for (uint32_t s = 0; s < plan.ledger.stream_count; s++)
        wanted += plan.ledger.streams[s].receivers;
    return wanted;
}

static void in_a_fan_out_everybody_wants_everything(void **state)
{
    (void)state;
    start(SHAPE_ALL, false, (struct bench_options){.pubs = 3, .subs = 4});
    assert_int_equal(plan.ledger.publisher_count, 3);
    assert_int_equal(check_receivers(), 12);
    assert_true(span_eq(plan.ledger.streams[0].topic, plan.ledger.streams[2].topic));
}

static void a_fan_in_is_one_wildcard_over_all_topics(void **state)
{
    (void)state;
    start(SHAPE_FANIN, false, (struct bench_options){.pubs = 5, .subs = 1});
    assert_int_equal(check_receivers(), 5);
    assert_false(span_eq(plan.ledger.streams[0].topic, plan.ledger.streams[1].topic));
    assert_int_equal(plan.filter_count, 1);
}

static void pairs_keep_to_themselves(void **state)
{
    (void)state;
    start(SHAPE_PAIRS, false, (struct bench_options){.pairs = 6});
    assert_int_equal(check_receivers(), 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(plan.ledger.flows[i * 6 + i].wanted, 1);
}

static uint32_t wildcards(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan.filter_count; i++)
        count += strpbrk(plan.filters[i].text, "+#") != NULL;
    return count;
}

static void check_subscriptions(const char *kind, uint32_t wildcards_expected)
{
    start(SHAPE_SUBS, false, (struct bench_options){.subs = 5, .subscriptions = 40, .filters = kind});
    assert_int_equal(plan.filter_count, 40);
    assert_int_equal(wildcards(), wildcards_expected);
    assert_int_equal(check_receivers(), 40);
}

static void each_topic_of_many_is_for_four_receivers(void **state)
{
    (void)state;
    check_subscriptions(NULL, 20);
}

static void exact_subscriptions_have_no_wildcard(void **state)
{
    (void)state;
    check_subscriptions("exact", 0);
}

static void wildcard_subscriptions_all_have_one(void **state)
{
    (void)state;
    check_subscriptions("wildcard", 40);
}

static void what_is_published_is_a_pub_whose_payload_comes_last(void **state)
{
    (void)state;
    start(SHAPE_PAIRS, false, (struct bench_options){.pairs = 2, .size = 200});
    struct span pair = plan_frame(&plan, 1);
    struct native_pub pub;
    struct cursor body;
    uint32_t op, count;
    memset((uint8_t *)pair.data + pair.len - 200, 'x', 200);
    assert_true(next_frame(&pair, &op, &count, &body));
    assert_int_equal(op, NATIVE_PUB);
    assert_int_equal(native_decode_pub(body, count, &pub), ERR_NONE);
    assert_int_equal(pub.id, 0);
    assert_true(span_eq(pub.topic, plan.ledger.streams[1].topic));
    assert_int_equal(pub.payload.len, 200);
    assert_int_equal(pub.payload.data[0], 'x');
    assert_int_equal(pub.payload.data[199], 'x');
    assert_int_equal(pair.len, 0);
}

static void the_relay_gets_what_a_broker_would_deliver(void **state)
{
    (void)state;
    start(SHAPE_PAIRS, true, (struct bench_options){.pairs = 2});
    struct span pair = plan_frame(&plan, 1), topic = {0}, payload = {0};
    assert_int_equal(native_pair_bytes(pair.data), pair.len);
    assert_true(frame_read_plain_msg(span_of(pair.data + NATIVE_SIZE_BYTES, pair.len - NATIVE_SIZE_BYTES),
                                     &topic, &payload));
    assert_true(span_eq(topic, plan.ledger.streams[1].topic));
    assert_int_equal(payload.len, 128);
    assert_ptr_equal(payload.data + payload.len, pair.data + pair.len);
}

static void the_relay_is_told_role_group_and_frame(void **state)
{
    (void)state;
    struct wire_buf publisher, receiver;
    start(SHAPE_PAIRS, true, (struct bench_options){.pairs = 300});
    assert_int_equal(plan_greet_publisher(&plan, 258, &publisher), 1);
    assert_int_equal(plan_greet_receiver(&plan, 258, &receiver), 1);
    uint8_t frame = (uint8_t)plan_frame(&plan, 258).len;
    const uint8_t for_publisher[] = {'P', 1, 2, 0, 0, 0, frame}, for_receiver[] = {'S', 1, 2, 0, 0, 0, 0};
    assert_true(span_eq(said_in(&publisher), span_of(for_publisher, sizeof for_publisher)));
    assert_true(span_eq(said_in(&receiver), span_of(for_receiver, sizeof for_receiver)));
    wire_buf_fini(&publisher);
    wire_buf_fini(&receiver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(in_a_fan_out_everybody_wants_everything, end),
        cmocka_unit_test_teardown(a_fan_in_is_one_wildcard_over_all_topics, end),
        cmocka_unit_test_teardown(pairs_keep_to_themselves, end),
        cmocka_unit_test_teardown(each_topic_of_many_is_for_four_receivers, end),
        cmocka_unit_test_teardown(exact_subscriptions_have_no_wildcard, end),
        cmocka_unit_test_teardown(wildcard_subscriptions_all_have_one, end),
        cmocka_unit_test_teardown(what_is_published_is_a_pub_whose_payload_comes_last, end),
        cmocka_unit_test_teardown(the_relay_gets_what_a_broker_would_deliver, end),
        cmocka_unit_test_teardown(the_relay_is_told_role_group_and_frame, end),
    };
    return cmocka_run_group_tests_name("bench_plan", tests, NULL, NULL);
}
