/* The feeder's figures from a /proc of our own, whose counters move as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "examples/dashboard/sampler.h"

enum { FIGURES_MAX = 32 };

struct figure {
    char series[64];
    double value;
};

struct fixture {
    char root[64];
    struct sampler *sampler;
    size_t count; /* figures of the last sample */
    struct figure figure[FIGURES_MAX];
};

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture->root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void set_cpu(const struct fixture *fixture, uint64_t busy, uint64_t idle)
{
    char text[256];
    snprintf(text, sizeof text,
             "cpu  %" PRIu64 " 0 0 %" PRIu64 " 0 0 0 0\ncpu0 %" PRIu64 " 0 0 %" PRIu64 " 0 0 0 0\n", busy,
             idle, busy, idle);
    write_file(fixture, "stat", text);
}

static void set_disk(const struct fixture *fixture, uint64_t sectors)
{
    char text[128];
    snprintf(text, sizeof text, "8 0 sda 1 0 %" PRIu64 " 0 1 0 %" PRIu64 " 0\n", sectors, 2 * sectors);
    write_file(fixture, "diskstats", text);
}

static void set_link(const struct fixture *fixture, const char *name, uint64_t received, uint64_t sent)
{
    char text[256];
    snprintf(text, sizeof text, "x\n face |bytes\n%s: %" PRIu64 " 0 0 0 0 0 0 0 %" PRIu64 " 0\n", name,
             received, sent);
    write_file(fixture, "net/dev", text);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    snprintf(fixture.root, sizeof fixture.root, "/tmp/test_sampler_XXXXXX");
    assert_non_null(mkdtemp(fixture.root));
    char net[80];
    snprintf(net, sizeof net, "%s/net", fixture.root);
    assert_int_equal(mkdir(net, 0700), 0);
    set_cpu(&fixture, 1000, 1000);
    set_disk(&fixture, 1000);
    set_link(&fixture, "eth0", 1000, 1000);
    write_file(&fixture, "meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
    write_file(&fixture, "loadavg", "0.50 1.00 1.50 1/2 3\n");
    fixture.sampler = sampler_new(fixture.root);
    assert_non_null(fixture.sampler);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"stat", "diskstats", "meminfo", "loadavg", "net/dev", "net", ""};
    struct fixture *fixture = *state;
    sampler_free(fixture->sampler);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", fixture->root, names[i]);
        remove(path);
    }
    return 0;
}

static void note(void *context, const char *series, double value, int decimals)
{
    struct fixture *fixture = context;
    (void)decimals;
    assert_true(fixture->count < FIGURES_MAX);
    struct figure *figure = &fixture->figure[fixture->count++];
    snprintf(figure->series, sizeof figure->series, "%s", series);
    figure->value = value;
}

static void sample(struct fixture *fixture, uint64_t now_ms)
{
    fixture->count = 0;
    sampler_take(fixture->sampler, now_ms, note, fixture);
}

static const double *find(const struct fixture *fixture, const char *series)
{
    for (size_t i = 0; i < fixture->count; i++) {
        if (strcmp(fixture->figure[i].series, series) == 0) {
            return &fixture->figure[i].value;
        }
    }
    return NULL;
}

static void assert_figure(const struct fixture *fixture, const char *series, double expected)
{
    const double *value = find(fixture, series);
    if (value == NULL) {
        fail_msg("no figure %s", series);
    } else if (*value < expected - 0.01 || *value > expected + 0.01) {
        fail_msg("%s is %f, not %f", series, *value, expected);
    }
}

/* ---- cases ---------------------------------------------------------------------------------------------- */

static void the_first_sample_has_gauges_but_no_rates(void **state)
{
    struct fixture *fixture = *state;
    sample(fixture, 0);
    assert_figure(fixture, "memory/used", 400 * 1024);
    assert_figure(fixture, "load/5", 1.0);
    assert_null(find(fixture, "cpu/total"));
    assert_null(find(fixture, "disk/read"));
    assert_int_equal(sampler_memory_total_bytes(fixture->sampler), 1000 * 1024);
    assert_int_equal(sampler_cores(fixture->sampler), 1);
}

static void rates_are_per_second_whatever_the_interval(void **state)
{
    struct fixture *fixture = *state;
    sample(fixture, 5000);
    set_cpu(fixture, 1030, 1070);
    set_disk(fixture, 1010);
    set_link(fixture, "eth0", 1500, 4000);
    sample(fixture, 5250);
    assert_figure(fixture, "cpu/total", 30);
    assert_figure(fixture, "cpu/0", 30);
    assert_figure(fixture, "disk/read", 10 * 512 * 4);
    assert_figure(fixture, "disk/written", 20 * 512 * 4);
    assert_figure(fixture, "net/eth0/rx", 500 * 4);
    assert_figure(fixture, "net/eth0/tx", 3000 * 4);
}

static void a_rate_spans_the_last_ten_samples(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 0; i <= SAMPLER_WINDOW; i++) {
        set_cpu(fixture, i == 0 ? 1000 : 1100, 1000 + (i == 0 ? 0 : 100) + 10 * i);
        sample(fixture, i * 100);
    }
    assert_figure(fixture, "cpu/total", 100.0 * 100 / 300);
    set_cpu(fixture, 1100, 1000 + 100 + 10 * (SAMPLER_WINDOW + 1));
    sample(fixture, (SAMPLER_WINDOW + 1) * 100);
    assert_figure(fixture, "cpu/total", 0);
}

static void a_counter_that_was_reset_gives_no_huge_rate(void **state)
{
    struct fixture *fixture = *state;
    sample(fixture, 0);
    set_cpu(fixture, 10, 10);
    set_link(fixture, "eth0", 5, 5);
    sample(fixture, 100);
    assert_figure(fixture, "cpu/total", 0);
    assert_figure(fixture, "net/eth0/rx", 0);
    set_cpu(fixture, 990, 1200); /* the kernel corrects single columns downwards now and then */
    sample(fixture, 200);
    assert_figure(fixture, "cpu/total", 0);
}

static void an_interface_begins_once_the_window_knows_it_and_its_name_is_one_level(void **state)
{
    struct fixture *fixture = *state;
    sample(fixture, 0);
    set_link(fixture, "a+b/#", 100, 100);
    sample(fixture, 100);
    assert_null(find(fixture, "net/a_b__/rx"));
    assert_null(find(fixture, "net/eth0/rx"));
    set_link(fixture, "a+b/#", 200, 100);
    for (uint64_t i = 2; i <= SAMPLER_WINDOW + 1; i++) {
        sample(fixture, i * 100);
    }
    assert_figure(fixture, "net/a_b__/rx", 100);
}

static void a_source_that_turns_to_nonsense_leaves_only_its_own_figures_out(void **state)
{
    struct fixture *fixture = *state;
    sample(fixture, 0);
    write_file(fixture, "diskstats", "?\n");
    write_file(fixture, "meminfo", "");
    sample(fixture, 100);
    assert_null(find(fixture, "disk/read"));
    assert_null(find(fixture, "memory/used"));
    assert_figure(fixture, "load/1", 0.5);
    assert_figure(fixture, "cpu/total", 0);
}

static void without_processor_figures_there_is_no_sampler(void **state)
{
    (void)state;
    assert_null(sampler_new("/nonexistent"));
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_sample_has_gauges_but_no_rates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rates_are_per_second_whatever_the_interval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rate_spans_the_last_ten_samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_counter_that_was_reset_gives_no_huge_rate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            an_interface_begins_once_the_window_knows_it_and_its_name_is_one_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_source_that_turns_to_nonsense_leaves_only_its_own_figures_out,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_processor_figures_there_is_no_sampler, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
