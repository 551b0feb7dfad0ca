/* What the dashboard's feeder reads from /proc, with text from real machines of different kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "examples/dashboard/proc.h"

/* ---- processors ----------------------------------------------------------------------------------------- */

static const char two_cores[] = "cpu  1200 30 400 9000 250 10 60 50 7 0\n"
                                "cpu0 700 10 250 4400 150 10 40 40 7 0\n"
                                "cpu1 500 20 150 4600 100 0 20 10 0 0\n"
                                "intr 19463527 0 9 0 0\n"
                                "ctxt 28382\n";

static void cpu_time_is_busy_unless_idle_or_waiting_for_a_disk(void **state)
{
    (void)state;
    struct proc_cpus cpus;
    assert_true(proc_parse_stat(two_cores, &cpus));
    assert_int_equal(cpus.all.busy, 1200 + 30 + 400 + 10 + 60 + 50);
    assert_int_equal(cpus.all.total, 1750 + 9000 + 250);
    assert_int_equal(cpus.count, 2);
    assert_int_equal(cpus.core[1].number, 1);
    assert_int_equal(cpus.core[1].busy, 500 + 20 + 150 + 20 + 10);
    assert_int_equal(cpus.core[1].total, 700 + 4600 + 100);
}

static void guest_time_is_not_counted_a_second_time(void **state)
{
    (void)state;
    struct proc_cpus cpus;
    assert_true(proc_parse_stat("cpu  100 0 0 900 0 0 0 0 80 20\n", &cpus));
    assert_int_equal(cpus.all.busy, 100);
    assert_int_equal(cpus.all.total, 1000);
}

static void cores_keep_their_numbers_when_one_is_offline(void **state)
{
    (void)state;
    struct proc_cpus cpus;
    assert_true(proc_parse_stat("cpu  9 0 0 9 0 0 0 0\ncpu0 4 0 0 4 0 0 0 0\ncpu3 5 0 0 5 0 0 0 0\n", &cpus));
    assert_int_equal(cpus.count, 2);
    assert_int_equal(cpus.core[1].number, 3);
}

static void an_old_kernel_with_four_columns_is_understood(void **state)
{
    (void)state;
    struct proc_cpus cpus;
    assert_true(proc_parse_stat("cpu  10 0 5 85\n", &cpus));
    assert_int_equal(cpus.all.busy, 15);
    assert_int_equal(cpus.all.total, 100);
}

static void cores_past_the_limit_count_in_the_total_only(void **state)
{
    (void)state;
    static char text[64 * (PROC_CORES_MAX + 20)];
    struct proc_cpus cpus;
    int len = snprintf(text, sizeof text, "cpu  1 1 1 1 1 1 1 1\n");
    for (int i = 0; i < PROC_CORES_MAX + 10; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "cpu%d 1 1 1 1 1 1 1 1\n", i);
    }
    assert_true(proc_parse_stat(text, &cpus));
    assert_int_equal(cpus.count, PROC_CORES_MAX);
}

static void text_that_is_no_stat_is_refused(void **state)
{
    (void)state;
    struct proc_cpus cpus;
    assert_false(proc_parse_stat("", &cpus));
    assert_false(proc_parse_stat("cpu  1 2 3\n", &cpus));
    assert_false(proc_parse_stat("cpu0 1 2 3 4 5 6 7 8\n", &cpus));
    assert_false(proc_parse_stat("cpu  1 2 3 4 5 6 7 8\ncpufreq 1\n", &cpus));
    assert_false(proc_parse_stat("cpu  -1 2 3 4 5 6 7 8\n", &cpus));
}

/* ---- memory and load ------------------------------------------------------------------------------------ */

static void memory_is_given_in_bytes(void **state)
{
    (void)state;
    struct proc_memory memory;
    assert_true(proc_parse_meminfo("MemTotal:       16318472 kB\n"
                                   "MemFree:          482112 kB\n"
                                   "MemAvailable:   10240000 kB\n"
                                   "HugePages_Total:       0\n",
                                   &memory));
    assert_true(memory.total_bytes == UINT64_C(16318472) * 1024);
    assert_true(memory.available_bytes == UINT64_C(10240000) * 1024);
}

static void memory_without_an_estimate_of_what_is_available_is_refused(void **state)
{
    (void)state;
    struct proc_memory memory;
    assert_false(proc_parse_meminfo("MemTotal: 100 kB\nMemFree: 50 kB\n", &memory));
    assert_false(proc_parse_meminfo("MemTotal: 100 kB\nMemAvailable: 101 kB\n", &memory));
}

static void load_has_three_averages(void **state)
{
    (void)state;
    struct proc_load load;
    assert_true(proc_parse_loadavg("0.52 1.08 12.30 3/512 40112\n", &load));
    assert_true(load.one > 0.519 && load.one < 0.521);
    assert_true(load.fifteen > 12.299 && load.fifteen < 12.301);
    assert_false(proc_parse_loadavg("0.52 1.08\n", &load));
}

/* ---- disks ---------------------------------------------------------------------------------------------- */

static void partitions_and_stacked_devices_do_not_count_twice(void **state)
{
    (void)state;
    struct proc_disk disk;
    assert_true(proc_parse_diskstats("   7       0 loop0 9 0 999 0 9 0 999 0 0 0 0\n"
                                     "   8       0 sda 50 1 1000 9 70 2 3000 9 0 9 9 0 0 0 0 1 1\n"
                                     "   8       1 sda1 40 1 900 9 60 2 2900 9 0 9 9\n"
                                     "   8      16 sdaa 1 0 2 0 1 0 4 0 0 0 0\n"
                                     " 259       0 nvme0n1 5 0 100 0 5 0 200 0 0 0 0\n"
                                     " 259       1 nvme0n1p1 5 0 100 0 5 0 200 0 0 0 0\n"
                                     " 259       2 nvme0n1p12 5 0 100 0 5 0 200 0 0 0 0\n"
                                     " 259       3 nvme0n112 1 0 1 0 1 0 1 0 0 0 0\n"
                                     " 253       0 dm-0 40 1 900 9 60 2 2900 9 0 9 9\n"
                                     " 252       0 zram0 40 1 900 9 60 2 2900 9 0 9 9\n",
                                     &disk));
    assert_int_equal(disk.read_bytes, (1000 + 2 + 100 + 1) * 512);
    assert_int_equal(disk.written_bytes, (3000 + 4 + 200 + 1) * 512);
}

static void a_machine_without_disks_reads_and_writes_nothing(void **state)
{
    (void)state;
    struct proc_disk disk;
    assert_true(proc_parse_diskstats("", &disk));
    assert_int_equal(disk.read_bytes + disk.written_bytes, 0);
}

static void a_disk_line_that_ends_early_is_refused(void **state)
{
    (void)state;
    struct proc_disk disk;
    assert_false(proc_parse_diskstats("   8       0 sda 50 1 1000\n   8 1 sdb 1 2 3 4 5 6 7 8\n", &disk));
    assert_false(proc_parse_diskstats("nonsense\n", &disk));
}

/* ---- network -------------------------------------------------------------------------------------------- */

static const char heading[] = "Inter-|   Receive                                                |  Transmit\n"
                              " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                              "packets errs drop fifo colls\n";

static bool parse_links(const char *lines, struct proc_links *links)
{
    char text[4096];
    snprintf(text, sizeof text, "%s%s", heading, lines);
    return proc_parse_net_dev(text, links);
}

static void interfaces_are_named_and_counted_in_both_directions(void **state)
{
    (void)state;
    struct proc_links links;
    assert_true(parse_links("    lo: 3193 29 0 0 0 0 0 0 3193 29 0 0 0 0 0 0\n"
                            "wlp0s20f3:198771911 3832 0 0 0 0 0 7 184341 2361 0 0 0 0 0 0\n",
                            &links));
    assert_int_equal(links.count, 2);
    assert_string_equal(links.link[0].name, "lo");
    assert_string_equal(links.link[1].name, "wlp0s20f3");
    assert_int_equal(links.link[1].received_bytes, 198771911);
    assert_int_equal(links.link[1].sent_bytes, 184341);
}

static void an_interface_that_never_carried_a_byte_is_left_out(void **state)
{
    (void)state;
    struct proc_links links;
    assert_true(parse_links("  ifb0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
                            "  eth0: 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                            &links));
    assert_int_equal(links.count, 1);
    assert_string_equal(links.link[0].name, "eth0");
}

static void interfaces_past_the_limit_are_left_out(void **state)
{
    (void)state;
    char lines[80 * (PROC_LINKS_MAX + 5)];
    size_t len = 0;
    struct proc_links links;
    for (int i = 0; i < PROC_LINKS_MAX + 4; i++) {
        len +=
            (size_t)snprintf(lines + len, sizeof lines - len, "veth%d: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", i);
    }
    assert_true(parse_links(lines, &links));
    assert_int_equal(links.count, PROC_LINKS_MAX);
}

static void a_broken_interface_line_is_refused(void **state)
{
    (void)state;
    struct proc_links links;
    assert_false(parse_links("  eth0: 1 2 3\n", &links));
    assert_false(parse_links("  eth0 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", &links));
    assert_false(parse_links("  an-interface-name-that-is-far-too-long: 1 1 0 0 0 0 0 0 1 1\n", &links));
    assert_false(proc_parse_net_dev("", &links));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_time_is_busy_unless_idle_or_waiting_for_a_disk),
        cmocka_unit_test(guest_time_is_not_counted_a_second_time),
        cmocka_unit_test(cores_keep_their_numbers_when_one_is_offline),
        cmocka_unit_test(an_old_kernel_with_four_columns_is_understood),
        cmocka_unit_test(cores_past_the_limit_count_in_the_total_only),
        cmocka_unit_test(text_that_is_no_stat_is_refused),
        cmocka_unit_test(memory_is_given_in_bytes),
        cmocka_unit_test(memory_without_an_estimate_of_what_is_available_is_refused),
        cmocka_unit_test(load_has_three_averages),
        cmocka_unit_test(partitions_and_stacked_devices_do_not_count_twice),
        cmocka_unit_test(a_machine_without_disks_reads_and_writes_nothing),
        cmocka_unit_test(a_disk_line_that_ends_early_is_refused),
        cmocka_unit_test(interfaces_are_named_and_counted_in_both_directions),
        cmocka_unit_test(an_interface_that_never_carried_a_byte_is_left_out),
        cmocka_unit_test(interfaces_past_the_limit_are_left_out),
        cmocka_unit_test(a_broken_interface_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
