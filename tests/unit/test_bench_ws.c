#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/cli/bench_ws.h"

/* ---- the handshake -------------------------------------------------------------------------------------- */

static void the_request_names_host_path_and_subprotocol(void **state)
{
    (void)state;
    char request[512];
    size_t len = ws_put_request(request, sizeof request, "example", "80", "/x");
    assert_int_equal(len, strlen(request));
    assert_int_equal(strncmp(request, "GET /x HTTP/1.1\r\n", 17), 0);
    assert_non_null(strstr(request, "\r\nHost: example:80\r\n"));
    assert_non_null(strstr(request, "\r\nSec-WebSocket-Protocol: sluice.v1\r\n"));
    assert_string_equal(request + len - 4, "\r\n\r\n");
    assert_int_equal(ws_put_request(request, 50, "example", "80", "/x"), 0);
}

static void the_response_is_judged_when_it_is_whole(void **state)
{
    (void)state;
    static const char good[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nmore";
    size_t len = 0;
    assert_int_equal(ws_read_response(span_of(good, strlen(good) - 5), &len), ERR_TRUNCATED);
    assert_int_equal(ws_read_response(span_str(good), &len), ERR_NONE);
    assert_int_equal(len, strlen(good) - 4);
    assert_int_equal(ws_read_response(span_str("HTTP/1.1 403 Forbidden\r\n\r\n"), &len), ERR_PROTOCOL);
}

static void a_response_without_end_is_refused(void **state)
{
    (void)state;
    static char endless[WS_RESPONSE_MAX];
    size_t len;
    memset(endless, 'x', sizeof endless);
    assert_int_equal(ws_read_response(span_of(endless, sizeof endless - 1), &len), ERR_TRUNCATED);
    assert_int_equal(ws_read_response(span_of(endless, sizeof endless), &len), ERR_PROTOCOL);
}

/* ---- out ------------------------------------------------------------------------------------------------ */

/* Wraps len bytes with the filling i * 7, and checks header and unmasked payload against RFC 6455 section 5.2. */
static void check_wrapped(size_t len, size_t header, uint8_t marker)
{
    uint8_t *room = malloc(WS_HEADER_MAX + len);
    assert_non_null(room);
    uint8_t *payload = room + WS_HEADER_MAX;
    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 7);
    assert_int_equal(ws_wrap(payload, len, WS_BINARY, 0x12345678), header);
    const uint8_t *start = payload - header, *mask = payload - 4;
    assert_int_equal(start[0], 0x82);
    assert_int_equal(start[1], 0x80 | marker);
    uint64_t told = marker < 126 ? marker : 0;
    for (const uint8_t *at = start + 2; at < mask; at++)
        told = told << 8 | *at;
    assert_int_equal(told, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(payload[i] ^ mask[i % 4], (uint8_t)(i * 7));
    free(room);
}

static void frames_are_masked_and_have_the_shortest_header(void **state)
{
    (void)state;
    check_wrapped(0, 6, 0);
    check_wrapped(13, 6, 13);
    check_wrapped(125, 6, 125);
    check_wrapped(126, 8, 126);
    check_wrapped(65535, 8, 126);
    check_wrapped(65536, 14, 127);
}

/* ---- in ------------------------------------------------------------------------------------------------- */

struct heard {
    uint8_t data[512];
    size_t len;
    uint8_t control[128];
    size_t control_len;
    unsigned controls;
};

/* Feeds the bytes in pieces of `step`; false when the reader refuses. */
static bool hear(struct heard *heard, const void *bytes, size_t len, size_t step)
{
    struct ws_reader reader = {0};
    *heard = (struct heard){0};
    for (size_t at = 0; at < len; at += step) {
        struct span in = span_of((const uint8_t *)bytes + at, len - at < step ? len - at : step), piece;
        enum ws_op op;
        enum err e;
        while ((e = ws_next(&reader, &in, &op, &piece)) == ERR_NONE) {
            bool control = op >= WS_CLOSE;
            memcpy(control ? heard->control : heard->data + heard->len, piece.data, piece.len);
            heard->len += control ? 0 : piece.len;
            heard->control_len = control ? piece.len : heard->control_len;
            heard->controls += control;
            if (in.len == 0)
                break;
        }
        if (e == ERR_PROTOCOL)
            return false;
    }
    return true;
}

static void frames_are_read_whatever_the_pieces(void **state)
{
    (void)state;
    uint8_t bytes[300] = {0x82, 3,   'a', 'b',  'c', 0x89, 1,   '?', 0x89,
                          2,    'h', 'i', 0x82, 0,   0x82, 126, 0,   200};
    size_t len = 18 + 200;
    memset(bytes + 18, 'x', 200);
    for (size_t step = 1; step <= len; step++) {
        struct heard heard;
        assert_true(hear(&heard, bytes, len, step));
        assert_int_equal(heard.len, 203);
        assert_memory_equal(heard.data, "abcxxx", 6);
        assert_int_equal(heard.data[202], 'x');
        assert_int_equal(heard.controls, 2);
        assert_int_equal(heard.control_len, 2);
        assert_memory_equal(heard.control, "hi", 2);
    }
}

static void a_control_frame_may_stand_inside_a_message(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x02, 1, 'a', 0x8a, 0, 0x80, 1, 'b'};
    struct heard heard;
    assert_true(hear(&heard, bytes, sizeof bytes, sizeof bytes));
    assert_int_equal(heard.len, 2);
    assert_memory_equal(heard.data, "ab", 2);
    assert_int_equal(heard.controls, 1);
}

static void what_a_server_must_not_send_is_refused(void **state)
{
    (void)state;
    static const uint8_t masked[] = {0x82, 0x81, 1, 2, 3, 4, 'a'};
    static const uint8_t reserved[] = {0xc2, 1, 'a'};
    static const uint8_t unknown[] = {0x83, 1, 'a'};
    static const uint8_t long_ping[] = {0x89, 126, 0, 126};
    struct heard heard;
    assert_false(hear(&heard, masked, sizeof masked, 1));
    assert_false(hear(&heard, reserved, sizeof reserved, 1));
    assert_false(hear(&heard, unknown, sizeof unknown, 1));
    assert_false(hear(&heard, long_ping, sizeof long_ping, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_names_host_path_and_subprotocol),
        cmocka_unit_test(the_response_is_judged_when_it_is_whole),
        cmocka_unit_test(a_response_without_end_is_refused),
        cmocka_unit_test(frames_are_masked_and_have_the_shortest_header),
        cmocka_unit_test(frames_are_read_whatever_the_pieces),
        cmocka_unit_test(a_control_frame_may_stand_inside_a_message),
        cmocka_unit_test(what_a_server_must_not_send_is_refused),
    };
    return cmocka_run_group_tests_name("bench_ws", tests, NULL, NULL);
}
