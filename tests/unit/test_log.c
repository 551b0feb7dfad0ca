#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>

#include "broker/log.h"

enum { TEXT_MAX = 1 << 20 };

static uint64_t now_ms;
static char path[64], rotated[80];

static uint64_t monotonic(void)
{
    return now_ms;
}

/* 2026-11-23T21:16:32.123Z */
static uint64_t since_1970(void)
{
    return 1795468592123;
}

static void open_log(int level, int format)
{
    struct log_settings settings = {.level = level, .format = format};
    snprintf(settings.file, sizeof settings.file, "%s", path);
    assert_true(log_init(&settings));
}

/* A log in an empty file, at the start of a fresh window of every site. */
static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/sluice-test-log-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    snprintf(rotated, sizeof rotated, "%s.1", path);
    now_ms += 10 * LOG_WINDOW_MS;
    log_set_clocks(monotonic, since_1970);
    open_log(LOG_INFO, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct log_settings settings = {.level = LOG_INFO};
    log_init(&settings);
    unlink(path);
    unlink(rotated);
    return 0;
}

static const char *read_file(const char *name)
{
    static char text[TEXT_MAX];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t found = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        found++;
    return found;
}

/* ---- lines ----------------------------------------------------------------------------------------------- */

static void a_text_line_has_time_level_message_and_fields(void **state)
{
    (void)state;
    log_event(LOG_INFO, "listener ready", LOG_S("url", "tcp://127.0.0.1:7400"), LOG_U("fd", 7));
    log_event(LOG_ERROR, "accept failed", LOG_S("error", "Too many open files"));
    assert_string_equal(read_file(path),
                        "2026-11-23T21:16:32.123Z info  listener ready url=tcp://127.0.0.1:7400 fd=7\n"
                        "2026-11-23T21:16:32.123Z error accept failed error=\"Too many open files\"\n");
}

static void a_json_line_has_the_same(void **state)
{
    (void)state;
    open_log(LOG_INFO, 1);
    const struct log_field fields[] = {LOG_S("url", "a \"b\" \\"),
                                       {.name = "n", .type = LOG_FIELD_INT, .number = (uint64_t)-5}};
    static struct log_site site;
    log_write(&site, LOG_WARN, "listener ready", fields, 2);
    assert_string_equal(read_file(path),
                        "{\"ts\":\"2026-11-23T21:16:32.123Z\",\"level\":\"warn\",\"msg\":\"listener "
                        "ready\",\"url\":\"a \\\"b\\\" \\\\\",\"n\":-5}\n");
}

static void text_of_a_peer_cannot_forge_a_line_or_drive_a_terminal(void **state)
{
    (void)state;
    log_event(LOG_INFO, "hello", LOG_S("client", "x\n2026 error forged\x1b[2J\x7f"), LOG_S("c1", "\xc2\x9b"),
              LOG_S("bidi", "\xe2\x80\xae"), LOG_S("bad", "\xff\xed\xa0\x80\xc0\xaf"),
              LOG_S("ok", "gr\xc3\xbc\xc3\x9f"));
    assert_string_equal(
        read_file(path),
        "2026-11-23T21:16:32.123Z info  hello client=\"x\\u000a2026 error forged\\u001b[2J\\u007f\" "
        "c1=\"\\u009b\" bidi=\"\\u202e\" bad=\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\" "
        "ok=\"gr\xc3\xbc\xc3\x9f\"\n");
}

static void a_value_that_reads_like_syntax_is_quoted(void **state)
{
    (void)state;
    log_event(LOG_INFO, "m", LOG_S("a", "x=y"), LOG_S("b", ""), LOG_SPAN("c", span_of("x\0y", 3)));
    assert_string_equal(read_file(path),
                        "2026-11-23T21:16:32.123Z info  m a=\"x=y\" b=\"\" c=\"x\\u0000y\"\n");
}

static void a_line_too_long_is_cut_but_stays_json(void **state)
{
    (void)state;
    static char text[2 * LOG_LINE_MAX];
    open_log(LOG_INFO, 1);
    for (size_t len = LOG_LINE_MAX - 400; len < LOG_LINE_MAX + 10; len++) {
        static struct log_site site;
        now_ms += LOG_WINDOW_MS;
        memset(text, '"', len); /* two bytes each */
        memset(text, 'x', len - 200);
        text[len] = '\0';
        const struct log_field fields[] = {LOG_S("text", text), LOG_U("after", 1)};
        log_write(&site, LOG_INFO, "m", fields, 2);
    }
    char *line = (char *)read_file(path), *end;
    for (size_t lines = 0; (end = strchr(line, '\n')); line = end + 1, lines++) {
        assert_true(end - line < LOG_LINE_MAX);
        json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_true(json_is_true(json_object_get(json, "truncated")) == !json_object_get(json, "after"));
        json_decref(json);
    }
    assert_string_equal(line, "");
}

static void a_cut_text_line_says_so(void **state)
{
    (void)state;
    static char text[2 * LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    log_event(LOG_INFO, "m", LOG_S("text", text), LOG_U("after", 1));
    const char *line = read_file(path);
    assert_int_equal(strcmp(line + strlen(line) - 6, "x ...\n"), 0);
    assert_int_equal(count(line, "\n"), 1);
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_event(LOG_DEBUG, "quiet", LOG_U("n", 1));
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "loud", LOG_U("n", 1));
    log_set_level(LOG_ERROR);
    log_event(LOG_WARN, "quiet", LOG_U("n", 1));
    assert_string_equal(read_file(path), "2026-11-23T21:16:32.123Z debug loud n=1\n");
}

/* ---- held back ------------------------------------------------------------------------------------------- */

static void flood(unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        log_event(LOG_WARN, "flood", LOG_U("n", i));
}

static void a_flooding_site_is_held_back_and_says_how_many_lines(void **state)
{
    (void)state;
    flood(LOG_BURST + 37);
    assert_int_equal(count(read_file(path), "flood"), LOG_BURST);
    now_ms += LOG_WINDOW_MS - 1;
    flood(1);
    assert_int_equal(count(read_file(path), "\n"), LOG_BURST);
    now_ms += 1;
    flood(1);
    const char *text = read_file(path);
    assert_int_equal(count(text, "\n"), LOG_BURST + 2);
    assert_non_null(strstr(text, " warn  lines held back event=flood lines=38\n"
                                 "2026-11-23T21:16:32.123Z warn  flood n=0\n"));
}

static void a_flood_that_stops_is_accounted_for_once_its_window_is_over(void **state)
{
    (void)state;
    flood(LOG_BURST + 5);
    log_report_held_back(false);
    assert_int_equal(count(read_file(path), "held back"), 0);
    now_ms += LOG_WINDOW_MS;
    log_report_held_back(false);
    log_report_held_back(false);
    const char *text = read_file(path);
    assert_int_equal(count(text, "held back"), 1);
    assert_non_null(strstr(text, " warn  lines held back event=flood lines=5\n"));
}

static void at_the_end_everything_held_back_is_accounted_for(void **state)
{
    (void)state;
    flood(LOG_BURST + 2);
    log_report_held_back(true);
    assert_non_null(strstr(read_file(path), "lines held back event=flood lines=2\n"));
}

static void one_flooding_site_does_not_hold_back_another(void **state)
{
    (void)state;
    flood(LOG_BURST + 1);
    log_event(LOG_WARN, "another", LOG_U("n", 1));
    assert_int_equal(count(read_file(path), "another"), 1);
    log_report_held_back(true);
}

/* ---- file and threads ------------------------------------------------------------------------------------ */

static void a_reopened_log_goes_on_in_a_new_file(void **state)
{
    (void)state;
    log_event(LOG_INFO, "before", LOG_U("n", 1));
    assert_int_equal(rename(path, rotated), 0);
    log_event(LOG_INFO, "between", LOG_U("n", 1));
    assert_true(log_reopen());
    log_event(LOG_INFO, "after", LOG_U("n", 1));
    assert_int_equal(count(read_file(rotated), "\n"), 2);
    const char *text = read_file(path);
    assert_int_equal(count(text, "after"), 1);
    assert_int_equal(count(text, "\n"), 1);
}

static void a_file_that_cannot_be_opened_is_refused_and_the_old_one_kept(void **state)
{
    (void)state;
    struct log_settings settings = {.level = LOG_INFO};
    strcpy(settings.file, "/nonexistent/sluice.log");
    assert_false(log_init(&settings));
    log_event(LOG_INFO, "still here", LOG_U("n", 1));
    assert_int_equal(count(read_file(path), "still here"), 1);
}

enum { THREADS = 4, LINES = 2000 };

static struct log_site shared_site;

static void *write_lines(void *context)
{
    (void)context;
    for (unsigned i = 0; i < LINES; i++) {
        const struct log_field field = LOG_U("n", i);
        log_write(&shared_site, LOG_INFO, "from a thread", &field, 1);
    }
    return NULL;
}

static void of_several_threads_every_line_is_written_or_counted(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned long long held_back = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    assert_true(log_reopen());
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_report_held_back(true);
    const char *text = read_file(path);
    assert_int_equal(count(text, "held back"), 1);
    assert_int_equal(sscanf(strstr(text, "lines="), "lines=%llu", &held_back), 1);
    assert_int_equal(count(text, "info  from a thread n="), LOG_BURST);
    assert_int_equal(count(text, "\n"), LOG_BURST + 1);
    assert_int_equal(held_back, THREADS * LINES - LOG_BURST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_text_line_has_time_level_message_and_fields),
        TEST(a_json_line_has_the_same),
        TEST(text_of_a_peer_cannot_forge_a_line_or_drive_a_terminal),
        TEST(a_value_that_reads_like_syntax_is_quoted),
        TEST(a_line_too_long_is_cut_but_stays_json),
        TEST(a_cut_text_line_says_so),
        TEST(lines_below_the_level_are_not_written),
        TEST(a_flooding_site_is_held_back_and_says_how_many_lines),
        TEST(a_flood_that_stops_is_accounted_for_once_its_window_is_over),
        TEST(at_the_end_everything_held_back_is_accounted_for),
        TEST(one_flooding_site_does_not_hold_back_another),
        TEST(a_reopened_log_goes_on_in_a_new_file),
        TEST(a_file_that_cannot_be_opened_is_refused_and_the_old_one_kept),
        TEST(of_several_threads_every_line_is_written_or_counted),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
