#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/frontend/address.h"

static char why[512];

static void a_listen_url_has_a_scheme_a_host_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        enum listen_scheme scheme;
        uint16_t port;
    } good[] = {
        {"tcp://127.0.0.1:7400", "127.0.0.1", LISTEN_TCP, 7400},
        {"ws://localhost:0", "localhost", LISTEN_WS, 0},
        {"tcp://[::1]:65535", "::1", LISTEN_TCP, 65535},
        {"ws://a.example:80/", "a.example", LISTEN_WS, 80},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct listen_url url;
        assert_int_equal(listen_url_parse(good[i].text, &url, why, sizeof why), ERR_NONE);
        assert_string_equal(url.host, good[i].host);
        assert_int_equal(url.scheme, good[i].scheme);
        assert_int_equal(url.port, good[i].port);
    }
}

static void what_is_no_listen_url_is_explained(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "7400",
                               "tcp://",
                               "tcp://localhost",
                               "tcp://localhost:",
                               "tcp://:80",
                               "tcp://h:65536",
                               "tcp://h:80x",
                               "tcp://h:80/path",
                               "http://h:80",
                               "tcp://::1:80",
                               "tcp://[::1]",
                               "tcp://[::1:80",
                               "tcp://h:-1",
                               "tcp://h: 80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct listen_url url;
        why[0] = '\0';
        if (listen_url_parse(bad[i], &url, why, sizeof why) != ERR_CONFIG)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strstr(why, "cannot listen on"));
        assert_null(strchr(why, '\n'));
    }
}

static enum err probe(struct listen_socket *out, const char *text, bool loopback_only)
{
    struct listen_url url;
    assert_int_equal(listen_url_parse(text, &url, why, sizeof why), ERR_NONE);
    return listen_socket_probe(out, &url, loopback_only, why, sizeof why);
}

static void port_0_becomes_a_free_port_that_shards_can_share(void **state)
{
    (void)state;
    struct listen_socket socket;
    assert_int_equal(probe(&socket, "tcp://127.0.0.1:0", true), ERR_NONE);
    assert_null(strstr(socket.text, ":0 "));
    int first = listen_socket_open(&socket, 0), second = listen_socket_open(&socket, 0);
    assert_true(first >= 0 && second >= 0);
    close(first);
    close(second);
}

static void a_port_that_another_broker_shares_is_busy_all_the_same(void **state)
{
    (void)state;
    struct listen_socket socket, other;
    assert_int_equal(probe(&socket, "tcp://127.0.0.1:0", true), ERR_NONE);
    int taken = listen_socket_open(&socket, 0);
    assert_int_equal(probe(&other, socket.text, true), ERR_IN_USE);
    assert_non_null(strstr(why, "in use"));
    close(taken);
}

static void beyond_loopback_it_takes_permission(void **state)
{
    (void)state;
    struct listen_socket socket;
    assert_int_equal(probe(&socket, "tcp://0.0.0.0:0", true), ERR_CONFIG);
    assert_non_null(strstr(why, "auth.allow_anonymous"));
    assert_int_equal(probe(&socket, "tcp://0.0.0.0:0", false), ERR_NONE);
    assert_int_equal(probe(&socket, "tcp://no-such-host.invalid:0", true), ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listen_url_has_a_scheme_a_host_and_a_port),
        cmocka_unit_test(what_is_no_listen_url_is_explained),
        cmocka_unit_test(port_0_becomes_a_free_port_that_shards_can_share),
        cmocka_unit_test(a_port_that_another_broker_shares_is_busy_all_the_same),
        cmocka_unit_test(beyond_loopback_it_takes_permission),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
