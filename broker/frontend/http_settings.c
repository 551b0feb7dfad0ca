#include "broker/frontend/http_settings.h"

#define ROW(field, ...) OPTION_ROW("http", struct http_settings, field, __VA_ARGS__)

static const struct option rows[] = {
    ROW(root, .type = OPTION_STRING, .preset = "",
        .doc = "Directory whose files ws:// listeners serve; empty serves none."),
    ROW(allowed_origins, .type = OPTION_LIST, .preset = "",
        .doc = "Origins of web pages that may connect besides those this listener serves itself, such as "
               "https://app.example; * is any."),
    ROW(allowed_hosts, .type = OPTION_LIST, .preset = "",
        .doc = "Names accepted in the Host header besides loopback and the listener's own address."),
    ROW(handshake_timeout, .type = OPTION_DURATION, .min = 100, .max = 600000, .preset = "10s",
        .doc = "How long a client may take to send its HTTP request."),
    ROW(ping_interval, .type = OPTION_DURATION, .min = 0, .max = 3600000, .preset = "30s",
        .doc = "How often a silent WebSocket is pinged, which keeps proxies from closing it; 0 is never."),
};

const struct option_table http_options = {
    .module = "http",
    .doc = "The HTTP side of ws:// listeners.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct http_settings),
};
