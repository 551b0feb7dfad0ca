#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/config.h"
#include "broker/limits.h"
#include "broker/machine.h"
#include "broker/session/session_settings.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct limits_settings defaults(void)
{
    struct limits_settings limits;
    const struct config_binding binding = {&limits_options, &limits};
    const struct config config = {.bindings = &binding, .count = 1};
    config_defaults(&config);
    return limits;
}

static void refuses(const struct limits_settings *limits, const char *why)
{
    char text[256] = "";
    assert_int_equal(limits_validate(limits, text, sizeof text), ERR_CONFIG);
    assert_string_equal(text, why);
}

static void accepts(const struct limits_settings *limits)
{
    char text[256] = "";
    if (limits_validate(limits, text, sizeof text))
        fail_msg("%s", text);
}

static void the_defaults_fit_each_other(void **state)
{
    (void)state;
    struct limits_settings limits = defaults();
    accepts(&limits);
}

static void a_frame_must_have_room_for_the_largest_payload_and_the_longest_topic(void **state)
{
    (void)state;
    struct limits_settings limits = defaults();
    limits.max_payload = limits.max_frame - limits.max_topic - 32;
    accepts(&limits);
    limits.max_payload++;
    refuses(
        &limits,
        "limits.max_frame (1088KiB) must be at least limits.max_payload + limits.max_topic + 32 (1114113)");
    limits = defaults();
    limits.max_payload = 1024;
    limits.max_frame = 4096;
    refuses(&limits, "limits.max_frame (4KiB) must be at least limits.max_frame_before_hello (8KiB)");
}

static void unfinished_input_must_have_room_for_one_frame(void **state)
{
    (void)state;
    struct limits_settings limits = defaults();
    limits.inbound_per_connection = limits.max_frame - 1;
    refuses(&limits, "limits.inbound_per_connection (1114111) must be at least limits.max_frame (1088KiB)");
    limits = defaults();
    limits.inbound_total = 1 * MIB;
    refuses(&limits, "limits.inbound_total (1MiB) must be at least limits.inbound_per_connection (2MiB)");
}

static void the_connections_of_one_address_are_among_all_connections(void **state)
{
    (void)state;
    struct limits_settings limits = defaults();
    limits.connections_per_address = limits.connections;
    accepts(&limits);
    limits.connections_per_address++;
    refuses(&limits, "limits.connections_per_address (100001) must not be above limits.connections (100000)");
}

static void a_memory_bound_too_small_to_run_with_is_refused(void **state)
{
    (void)state;
    struct limits_settings limits = defaults();
    limits.memory = 8 * MIB;
    accepts(&limits);
    limits.memory--;
    refuses(&limits, "limits.memory (8388607) must be at least the least it can run with, or 0 (8MiB)");
}

static void the_default_keepalive_is_one_a_client_may_ask_for(void **state)
{
    (void)state;
    char text[256];
    struct session_settings session = {.keepalive = 60000, .keepalive_max = 60000};
    assert_int_equal(session_settings_validate(&session, text, sizeof text), ERR_NONE);
    session.keepalive = 61000;
    assert_int_equal(session_settings_validate(&session, text, sizeof text), ERR_CONFIG);
    assert_string_equal(text, "session.keepalive (61s) must not be above session.keepalive_max (1m)");
}

/* ---- the machine ----------------------------------------------------------------------------------------- */

/* A root directory with made-up kernel files; written in test order, removed as a whole. */
static char root[64];

static void put_file(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/sluice-test-machine-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    put_file("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000 kB\n");
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void without_a_cgroup_the_machine_has_what_meminfo_says(void **state)
{
    (void)state;
    assert_int_equal(limits_machine_memory_at(root), 16 * GIB);
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/sys/fs/cgroup/memory.max", "max\n");
    assert_int_equal(limits_machine_memory_at(root), 16 * GIB);
}

static void of_a_v2_group_and_its_parents_the_least_limit_holds(void **state)
{
    (void)state;
    put_file("/proc/self/cgroup", "0::/system.slice/sluiced.service\n");
    put_file("/sys/fs/cgroup/system.slice/sluiced.service/memory.max", "max\n");
    put_file("/sys/fs/cgroup/system.slice/memory.max", "2147483648\n");
    assert_int_equal(limits_machine_memory_at(root), 2 * GIB);
    put_file("/sys/fs/cgroup/system.slice/sluiced.service/memory.max", "1073741824\n");
    assert_int_equal(limits_machine_memory_at(root), 1 * GIB);
}

static void a_v1_group_is_found_among_the_controllers(void **state)
{
    (void)state;
    put_file("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/docker/1f\n1:name=systemd:/y\n0::/\n");
    put_file("/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes", "536870912\n");
    put_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(limits_machine_memory_at(root), 512 * MIB);
}

static void a_container_that_sees_its_group_from_outside_finds_it_at_the_mount(void **state)
{
    (void)state;
    put_file("/proc/self/cgroup", "4:memory:/docker/1f\n");
    put_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
    assert_int_equal(limits_machine_memory_at(root), 256 * MIB);
    put_file("/proc/self/cgroup", "4:memory:/../../other\n");
    put_file("/sys/fs/other/memory.limit_in_bytes", "4096\n"); /* not a cgroup */
    assert_int_equal(limits_machine_memory_at(root), 256 * MIB);
}

static void a_limit_above_the_machine_does_not_count(void **state)
{
    (void)state;
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/sys/fs/cgroup/memory.max", "1099511627776\n");
    assert_int_equal(limits_machine_memory_at(root), 16 * GIB);
}

static void a_machine_that_tells_nothing_is_taken_for_a_small_one(void **state)
{
    (void)state;
    assert_int_equal(limits_machine_memory_at("/nonexistent"), 1 * GIB);
    assert_true(limits_machine_memory() >= 64 * MIB);
}

#define MACHINE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_fit_each_other),
        cmocka_unit_test(a_frame_must_have_room_for_the_largest_payload_and_the_longest_topic),
        cmocka_unit_test(unfinished_input_must_have_room_for_one_frame),
        cmocka_unit_test(the_connections_of_one_address_are_among_all_connections),
        cmocka_unit_test(a_memory_bound_too_small_to_run_with_is_refused),
        cmocka_unit_test(the_default_keepalive_is_one_a_client_may_ask_for),
        MACHINE(without_a_cgroup_the_machine_has_what_meminfo_says),
        MACHINE(of_a_v2_group_and_its_parents_the_least_limit_holds),
        MACHINE(a_v1_group_is_found_among_the_controllers),
        MACHINE(a_container_that_sees_its_group_from_outside_finds_it_at_the_mount),
        MACHINE(a_limit_above_the_machine_does_not_count),
        MACHINE(a_machine_that_tells_nothing_is_taken_for_a_small_one),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
