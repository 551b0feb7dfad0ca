#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clients/cli/bench_histogram.h"

static struct histogram histogram;

static int start_empty(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    return 0;
}

static void without_values_every_percentile_is_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
    assert_int_equal(histogram_percentile(&histogram, 100), 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 0), 1);
    assert_int_equal(histogram_percentile(&histogram, 50), 50);
    assert_int_equal(histogram_percentile(&histogram, 99), 99);
    assert_int_equal(histogram_percentile(&histogram, 99.1), 100);
    assert_int_equal(histogram.count, 100);
    assert_int_equal(histogram.max, 100);
}

static void slots_lie_side_by_side_up_to_the_greatest_value(void **state)
{
    (void)state;
    uint32_t last = histogram_index(0);
    for (uint64_t value = 1; value < 100000; value++) {
        uint32_t index = histogram_index(value);
        assert_in_range(index, last, last + 1);
        last = index;
    }
    for (uint32_t bit = 17; bit < 64; bit++)
        assert_int_equal(histogram_index((uint64_t)1 << bit), histogram_index(((uint64_t)1 << bit) - 1) + 1);
    assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_SLOTS - 1);
}

/* Two values, so that the percentile is the end of the first one's slot, not the maximum. */
static void large_values_are_off_by_less_than_one_part_in_64(void **state)
{
    (void)state;
    for (uint64_t value = 200; value < UINT64_MAX / 8; value = value * 3 + 1) {
        start_empty(NULL);
        histogram_record(&histogram, value);
        histogram_record(&histogram, UINT64_MAX);
        uint64_t told = histogram_percentile(&histogram, 50);
        assert_true(told >= value);
        assert_int_equal(histogram_index(told), histogram_index(value));
        assert_true(told - value <= value / HISTOGRAM_PARTS);
    }
}

static void no_percentile_is_above_the_maximum(void **state)
{
    (void)state;
    histogram_record(&histogram, 1000001);
    assert_int_equal(histogram_percentile(&histogram, 50), 1000001);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 1000001);
}

static void a_rare_outlier_moves_the_tail_and_nothing_else(void **state)
{
    (void)state;
    for (int i = 0; i < 999; i++)
        histogram_record(&histogram, 100);
    histogram_record(&histogram, 5000000);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 100);
    assert_int_equal(histogram_percentile(&histogram, 99.95), 5000000);
    assert_int_equal(histogram.max, 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_values_every_percentile_is_zero, start_empty),
        cmocka_unit_test_setup(small_values_are_exact, start_empty),
        cmocka_unit_test_setup(slots_lie_side_by_side_up_to_the_greatest_value, start_empty),
        cmocka_unit_test_setup(large_values_are_off_by_less_than_one_part_in_64, start_empty),
        cmocka_unit_test_setup(no_percentile_is_above_the_maximum, start_empty),
        cmocka_unit_test_setup(a_rare_outlier_moves_the_tail_and_nothing_else, start_empty),
    };
    return cmocka_run_group_tests_name("bench_histogram", tests, NULL, NULL);
}
