#include "broker/server_settings.h"

#define ROW(field, ...) OPTION_ROW("server", struct server_settings, field, __VA_ARGS__)

static const struct option rows[] = {
    ROW(listen, .type = OPTION_LIST, .preset = "tcp://127.0.0.1:7400, ws://127.0.0.1:7480",
        .doc = "URLs to listen on: tcp:// for the native protocol, ws:// for HTTP and WebSocket; port 0 "
               "takes a free one."),
    ROW(shards, .type = OPTION_UINT, .min = 0, .max = SERVER_SHARDS_MAX, .preset = "0",
        .doc = "Threads that serve clients; 0 is one per core."),
};

const struct option_table server_options = {
    .module = "server",
    .doc = "Where the broker listens and on how many threads it runs.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct server_settings),
};
