#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/native_reply.h"

static const uint8_t ping[] = {0xce, 0, 0, 0, 2, 0x91, 6};

static void a_frame_is_cut_off_only_when_all_of_it_is_there(void **state)
{
    (void)state;
    struct span frame;
    size_t need = 0;
    for (size_t len = 0; len < sizeof ping; len++) {
        struct span in = span_of(ping, len);
        assert_int_equal(native_next_frame(&in, 100, &frame, &need), ERR_TRUNCATED);
        assert_int_equal(in.len, len);
        assert_int_equal(need, len < NATIVE_SIZE_BYTES ? NATIVE_SIZE_BYTES : sizeof ping);
    }
    struct span in = span_of(ping, sizeof ping);
    assert_int_equal(native_next_frame(&in, 100, &frame, &need), ERR_NONE);
    assert_int_equal(in.len, 0);
    assert_int_equal(frame.len, 2);
    assert_ptr_equal(frame.data, ping + NATIVE_SIZE_BYTES);
}

static void a_size_is_judged_as_soon_as_it_is_there(void **state)
{
    (void)state;
    static const uint8_t wrong[] = {0xcd, 0, 0, 0, 2}, zero[] = {0xce, 0, 0, 0, 0},
                         big[] = {0xce, 0, 0, 0, 101};
    struct span frame, in = span_of(wrong, 1);
    size_t need;
    assert_int_equal(native_next_frame(&in, 100, &frame, &need), ERR_PROTOCOL);
    in = span_of(zero, sizeof zero);
    assert_int_equal(native_next_frame(&in, 100, &frame, &need), ERR_PROTOCOL);
    in = span_of(big, sizeof big);
    assert_int_equal(native_next_frame(&in, 100, &frame, &need), ERR_TOO_LARGE);
    in = span_of(big, sizeof big);
    assert_int_equal(native_next_frame(&in, 101, &frame, &need), ERR_TRUNCATED);
    assert_int_equal(need, NATIVE_SIZE_BYTES + 101);
}

static void opening_a_frame_wants_an_array_that_begins_with_an_op(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0x92, 0xce, 0xff, 0xff, 0xff, 0xff, 1},
                         too_big[] = {0x91, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0};
    static const uint8_t empty[] = {0x90}, short_pub[] = {0x92, 4, 1}, map[] = {0x81, 1, 1};
    uint32_t op, count;
    struct cursor body;
    assert_int_equal(native_open(span_of(unknown, sizeof unknown), &op, &count, &body), ERR_NONE);
    assert_true(op == UINT32_MAX);
    assert_int_equal(count, 1);
    assert_int_equal(cursor_left(&body), 1);
    assert_int_equal(native_open(span_of(too_big, sizeof too_big), &op, &count, &body), ERR_PROTOCOL);
    assert_int_equal(native_open(span_of(empty, sizeof empty), &op, &count, &body), ERR_PROTOCOL);
    assert_int_equal(native_open(span_of(short_pub, sizeof short_pub), &op, &count, &body), ERR_PROTOCOL);
    assert_int_equal(native_open(span_of(map, sizeof map), &op, &count, &body), ERR_PROTOCOL);
}

static void peeking_at_a_message_finds_what_delivery_needs(void **state)
{
    (void)state;
    struct native_pub pub = {.topic = span_str("feed/1"),
                             .payload = span_str("hello"),
                             .flags = NATIVE_PUB_KEY | NATIVE_PUB_TTL,
                             .key = span_str("k"),
                             .ttl_ms = 500};
    uint8_t *pair = malloc(native_msg_bytes_max(&pub));
    size_t len = native_put_msg(pair, &pub, 1000);
    struct native_msg_peek peek = native_peek_msg(pair);
    assert_int_equal(peek.pair_bytes, len);
    assert_int_equal(native_pair_bytes(pair), len);
    assert_true(span_eq(peek.topic, pub.topic));
    assert_true(span_eq(peek.key, pub.key));
    assert_true(peek.expires_ms == 1500);
    pub.flags = 0;
    len = native_put_msg(pair, &pub, 1000);
    peek = native_peek_msg(pair);
    assert_null(peek.key.data);
    assert_true(peek.expires_ms == 0);
    assert_int_equal(peek.pair_bytes, len);
    free(pair);
}

/* A ttl that reaches beyond the end of time never ends, rather than having ended long ago. */
static void the_longest_ttl_does_not_wrap_around(void **state)
{
    (void)state;
    struct native_pub pub = {.topic = span_str("a"),
                             .payload = span_str(""),
                             .flags = NATIVE_PUB_TTL,
                             .ttl_ms = UINT64_C(1) << 53};
    uint8_t *pair = malloc(native_msg_bytes_max(&pub));
    native_put_msg(pair, &pub, 1700000000000);
    uint64_t expires_ms = native_peek_msg(pair).expires_ms;
    assert_true(expires_ms == 0 || expires_ms > 1700000000000);
    free(pair);
}

static void headers_come_out_in_their_order_with_repeats(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x93, 0x92, 0xa1, 'a',  0xa1, '1',  0x92, 0xa1,
                                    'b',  0xa0, 0x92, 0xa1, 'a',  0xa1, '2'};
    static const char *const expected[][2] = {{"a", "1"}, {"b", ""}, {"a", "2"}};
    uint32_t left;
    struct span name, value;
    struct cursor c = native_headers_begin(span_of(bytes, sizeof bytes), &left);
    for (size_t i = 0; i < 3; i++) {
        assert_true(native_next_header(&c, &left, &name, &value));
        assert_true(span_eq(name, span_str(expected[i][0])));
        assert_true(span_eq(value, span_str(expected[i][1])));
    }
    assert_false(native_next_header(&c, &left, &name, &value));
}

static void a_gap_fits_the_room_that_is_promised_to_fit(void **state)
{
    (void)state;
    char filter[70000];
    memset(filter, 'x', sizeof filter);
    const size_t lengths[] = {1, 31, 32, 255, 256, 65535, 65536};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t most = native_gap_bytes_max(lengths[i]);
        uint8_t *pair = malloc(most);
        size_t len = native_put_gap(pair, span_of(filter, lengths[i]), UINT64_MAX, NATIVE_GAP_DROPPED_OLDEST);
        assert_true(len <= most);
        assert_int_equal(native_pair_bytes(pair), len);
        free(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_cut_off_only_when_all_of_it_is_there),
        cmocka_unit_test(a_size_is_judged_as_soon_as_it_is_there),
        cmocka_unit_test(opening_a_frame_wants_an_array_that_begins_with_an_op),
        cmocka_unit_test(peeking_at_a_message_finds_what_delivery_needs),
        cmocka_unit_test(the_longest_ttl_does_not_wrap_around),
        cmocka_unit_test(headers_come_out_in_their_order_with_repeats),
        cmocka_unit_test(a_gap_fits_the_room_that_is_promised_to_fit),
    };
    return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
