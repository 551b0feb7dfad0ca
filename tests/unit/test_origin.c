#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/frontend/origin.h"

static struct http_settings http;

static int setup(void **state)
{
    (void)state;
    memset(&http, 0, sizeof http);
    http.allowed_hosts.count = 1;
    strcpy(http.allowed_hosts.item[0], "chat.example");
    http.allowed_origins.count = 1;
    strcpy(http.allowed_origins.item[0], "https://app.example:8443");
    return 0;
}

static bool host(const char *text)
{
    return origin_host_allowed(&http, span_str(text), span_str("192.0.2.1"));
}

static bool origin(const char *text, const char *host_header)
{
    return origin_allowed(&http, span_str(text), span_str(host_header));
}

static void a_host_is_loopback_the_address_connected_to_or_listed(void **state)
{
    (void)state;
    const char *const good[] = {"localhost",      "localhost:7480", "LOCALHOST",
                                "127.0.0.1:7480", "127.9.9.9",      "[::1]:7480",
                                "192.0.2.1:80",   "chat.example",   "Chat.Example:443"};
    const char *const bad[] = {"",
                               "evil.example",
                               "127.0.0.1.evil.example",
                               "127.evil:80",
                               "localhost.evil.example",
                               "192.0.2.2",
                               "[::1",
                               "[::1]evil",
                               "[::2]",
                               "localhost:80x",
                               "user@localhost"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!host(good[i]))
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (host(bad[i]))
            fail_msg("%s was let in", bad[i]);
}

static void a_page_comes_from_nowhere_the_same_host_loopback_or_a_listed_origin(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        bool allowed;
    } cases[] = {
        {"", "localhost", true},
        {"http://localhost:3000", "127.0.0.1:7480", true},
        {"http://127.0.0.1", "localhost:7480", true},
        {"https://[::1]:8443", "localhost", true},
        {"https://chat.example", "chat.example", true},
        {"https://CHAT.example:8443", "chat.example:443", true},
        {"https://app.example:8443", "localhost", true},
        {"https://app.example", "localhost", false},
        {"http://evil.example", "localhost", false},
        {"http://localhost.evil.example", "localhost", false},
        {"http://localhost@evil.example", "localhost", false},
        {"http://evil.example:80@localhost", "localhost", false},
        {"http://127.0.0.1.evil.example", "localhost", false},
        {"null", "localhost", false},
        {"file://", "localhost", false},
        {"chrome-extension://abc", "abc", false},
        {"http://", "", false},
        {"localhost", "localhost", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (origin(cases[i].origin, cases[i].host) != cases[i].allowed)
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
}

static void an_asterisk_lets_any_page_in(void **state)
{
    (void)state;
    strcpy(http.allowed_origins.item[0], "*");
    assert_true(origin("http://evil.example", "localhost"));
    assert_true(origin("null", "localhost"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_host_is_loopback_the_address_connected_to_or_listed, setup),
        cmocka_unit_test_setup(a_page_comes_from_nowhere_the_same_host_loopback_or_a_listed_origin, setup),
        cmocka_unit_test_setup(an_asterisk_lets_any_page_in, setup),
    };
    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
