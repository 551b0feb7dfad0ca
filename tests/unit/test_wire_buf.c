#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/wire_buf.h"

static void it_grows_and_keeps_what_it_holds(void **state)
{
    (void)state;
    struct wire_buf buf;
    wire_buf_init(&buf, 0);
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)i;
        assert_int_equal(wire_buf_append(&buf, &byte, 1), ERR_NONE);
    }
    assert_int_equal(buf.len, 10000);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(buf.data[i], (uint8_t)i);
    wire_buf_fini(&buf);
}

static void it_refuses_to_grow_past_its_bound_and_stays_as_it_was(void **state)
{
    (void)state;
    struct wire_buf buf;
    wire_buf_init(&buf, 10);
    assert_int_equal(wire_buf_append(&buf, "0123456789", 10), ERR_NONE);
    assert_int_equal(wire_buf_append(&buf, "x", 1), ERR_NO_MEMORY);
    assert_int_equal(wire_buf_reserve(&buf, SIZE_MAX), ERR_NO_MEMORY);
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data, "0123456789", 10);
    wire_buf_consume(&buf, 4);
    assert_int_equal(wire_buf_append(&buf, "abcd", 4), ERR_NONE);
    assert_memory_equal(buf.data, "456789abcd", 10);
    wire_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_keeps_what_it_holds),
        cmocka_unit_test(it_refuses_to_grow_past_its_bound_and_stays_as_it_was),
    };
    return cmocka_run_group_tests_name("wire_buf", tests, NULL, NULL);
}
