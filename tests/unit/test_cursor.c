#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "proto/cursor.h"

/* A cursor over the bytes of a string literal, without its NUL, in a block of just that size: the sanitizer sees every
 * byte read too many. */
#define CURSOR(literal) cursor_over(literal, sizeof(literal) - 1)

static uint8_t *block;

static struct cursor cursor_over(const char *bytes, size_t len)
{
    free(block);
    block = malloc(len ? len : 1);
    memcpy(block, bytes, len);
    return cursor_of(span_of(block, len));
}

static int teardown(void **state)
{
    (void)state;
    free(block);
    block = NULL;
    return 0;
}

static void an_integer_is_read_in_each_of_its_encodings(void **state)
{
    (void)state;
    const uint64_t values[] = {
        0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        msgpack_sbuffer buffer;
        msgpack_packer packer;
        msgpack_sbuffer_init(&buffer);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        msgpack_pack_uint64(&packer, values[i]);
        struct cursor c = cursor_over(buffer.data, buffer.size);
        uint64_t value;
        assert_int_equal(cursor_uint(&c, &value), ERR_NONE);
        assert_true(value == values[i]);
        assert_int_equal(cursor_left(&c), 0);
        msgpack_sbuffer_destroy(&buffer);
    }
}

static void a_signed_encoding_passes_when_the_value_is_not_negative(void **state)
{
    (void)state;
    uint64_t value;
    struct cursor c = CURSOR("\xd0\x05\xd1\x01\x00\xd0\xff");
    assert_int_equal(cursor_uint(&c, &value), ERR_NONE);
    assert_int_equal(value, 5);
    assert_int_equal(cursor_uint(&c, &value), ERR_NONE);
    assert_int_equal(value, 256);
    assert_int_equal(cursor_uint(&c, &value), ERR_PROTOCOL);
    assert_int_equal(cursor_left(&c), 2);
}

static void a_text_and_bytes_are_read_in_each_of_their_encodings(void **state)
{
    (void)state;
    static const char *const encoded[] = {"\xa2hi", "\xd9\x02hi", "\xda\x00\x02hi", "\xdb\x00\x00\x00\x02hi"};
    static const size_t lengths[] = {3, 4, 5, 7};
    for (size_t i = 0; i < 4; i++) {
        struct span text;
        struct cursor c = cursor_over(encoded[i], lengths[i]);
        assert_int_equal(cursor_str(&c, &text), ERR_NONE);
        assert_true(span_eq(text, span_str("hi")));
        c = cursor_over(encoded[i], lengths[i]);
        assert_int_equal(cursor_bytes(&c, &text), ERR_NONE);
        c = cursor_over(encoded[i], lengths[i] - 1);
        assert_int_equal(cursor_str(&c, &text), ERR_PROTOCOL);
        assert_int_equal(cursor_left(&c), lengths[i] - 1);
    }
    struct cursor c = CURSOR("\xc4\x02hi");
    struct span bytes;
    assert_int_equal(cursor_str(&c, &bytes), ERR_PROTOCOL);
    assert_int_equal(cursor_bytes(&c, &bytes), ERR_NONE);
    assert_true(span_eq(bytes, span_str("hi")));
}

static void a_container_that_claims_more_than_there_is_is_refused_at_once(void **state)
{
    (void)state;
    uint32_t count;
    struct cursor c = CURSOR("\x92\x01");
    assert_int_equal(cursor_array(&c, &count), ERR_PROTOCOL);
    c = CURSOR("\xdd\xff\xff\xff\xff\x01");
    assert_int_equal(cursor_array(&c, &count), ERR_PROTOCOL);
    c = CURSOR("\xdf\x7f\xff\xff\xff\x01\x01");
    assert_int_equal(cursor_map(&c, &count), ERR_PROTOCOL);
    c = CURSOR("\x92\x01\x02");
    assert_int_equal(cursor_array(&c, &count), ERR_NONE);
    assert_int_equal(count, 2);
}

static void skipping_passes_one_whole_value_of_any_type(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } values[] = {
        {"\xc0", 1},
        {"\xc3", 1},
        {"\x7f", 1},
        {"\xe0", 1},
        {"\xcf\1\2\3\4\5\6\7\10", 9},
        {"\xca\1\2\3\4", 5},
        {"\xcb\1\2\3\4\5\6\7\10", 9},
        {"\xa3"
         "abc",
         4},
        {"\xc4\x01x", 3},
        {"\x93\1\2\3", 4},
        {"\x81\xa1k\x91\xc0", 5},
        {"\xd4\1\2", 3},
        {"\xc7\x02\x01xy", 5},
        {"\xd8\1"
         "0123456789abcdef",
         18},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct cursor c = cursor_over(values[i].bytes, values[i].len);
        assert_int_equal(cursor_skip(&c), ERR_NONE);
        assert_int_equal(cursor_left(&c), 0);
        for (size_t cut = 0; cut < values[i].len; cut++) {
            c = cursor_over(values[i].bytes, cut);
            assert_int_equal(cursor_skip(&c), ERR_PROTOCOL);
        }
    }
    struct cursor c = CURSOR("\xc1");
    assert_int_equal(cursor_skip(&c), ERR_PROTOCOL);
}

static void a_hundred_thousand_nested_arrays_are_refused(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, 0x91, DEEP);
    deep[DEEP] = 0x01;
    struct cursor c = cursor_over(deep, DEEP + 1);
    assert_int_equal(cursor_skip(&c), ERR_PROTOCOL);
    c = cursor_over(deep + DEEP - CURSOR_DEPTH_MAX, CURSOR_DEPTH_MAX + 1);
    assert_int_equal(cursor_skip(&c), ERR_NONE);
    c = cursor_over(deep + DEEP - CURSOR_DEPTH_MAX - 1, CURSOR_DEPTH_MAX + 2);
    assert_int_equal(cursor_skip(&c), ERR_PROTOCOL);
    free(deep);
}

static void looking_ahead_tells_each_type(void **state)
{
    (void)state;
    static const struct {
        uint8_t byte;
        enum cursor_type type;
    } cases[] = {
        {0xc0, CURSOR_NIL},  {0xc1, CURSOR_INVALID}, {0xc2, CURSOR_BOOL},  {0x00, CURSOR_UINT},
        {0xcf, CURSOR_UINT}, {0xff, CURSOR_INT},     {0xcb, CURSOR_FLOAT}, {0xa0, CURSOR_STR},
        {0xdb, CURSOR_STR},  {0xc6, CURSOR_BIN},     {0x90, CURSOR_ARRAY}, {0xdd, CURSOR_ARRAY},
        {0x80, CURSOR_MAP},  {0xdf, CURSOR_MAP},     {0xd8, CURSOR_EXT},   {0xc9, CURSOR_EXT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cursor c = cursor_of(span_of(&cases[i].byte, 1));
        assert_int_equal(cursor_peek(&c), cases[i].type);
    }
    struct cursor end = cursor_of((struct span){0});
    assert_int_equal(cursor_peek(&end), CURSOR_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_integer_is_read_in_each_of_its_encodings),
        cmocka_unit_test(a_signed_encoding_passes_when_the_value_is_not_negative),
        cmocka_unit_test(a_text_and_bytes_are_read_in_each_of_their_encodings),
        cmocka_unit_test(a_container_that_claims_more_than_there_is_is_refused_at_once),
        cmocka_unit_test(skipping_passes_one_whole_value_of_any_type),
        cmocka_unit_test(a_hundred_thousand_nested_arrays_are_refused),
        cmocka_unit_test(looking_ahead_tells_each_type),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, teardown);
}
