#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/session/pace.h"

static unsigned take_all(struct pace *pace, uint64_t now_ms, uint64_t rate, uint64_t burst)
{
    unsigned taken = 0;
    while (taken < 1000000 && pace_take(pace, now_ms, rate, burst))
        taken++;
    return taken;
}

static void a_pause_earns_the_burst_and_no_more(void **state)
{
    (void)state;
    struct pace pace = {0};
    assert_int_equal(take_all(&pace, 1000000, 10, 5), 5);
    assert_int_equal(take_all(&pace, 1000050, 10, 5), 0);
    assert_int_equal(take_all(&pace, 1000100, 10, 5), 1);
    assert_int_equal(take_all(&pace, 9000000, 10, 5), 5);
}

static void over_a_second_it_is_the_rate(void **state)
{
    (void)state;
    struct pace pace = {0};
    unsigned taken = 0;
    take_all(&pace, 1000, 250, 10);
    for (uint64_t now_ms = 1001; now_ms <= 2000; now_ms++)
        taken += take_all(&pace, now_ms, 250, 10);
    assert_int_equal(taken, 250);
}

static void the_highest_rate_does_not_divide_by_zero(void **state)
{
    (void)state;
    struct pace pace = {0};
    assert_int_equal(take_all(&pace, 1, 1000000000, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_earns_the_burst_and_no_more),
        cmocka_unit_test(over_a_second_it_is_the_rate),
        cmocka_unit_test(the_highest_rate_does_not_divide_by_zero),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
