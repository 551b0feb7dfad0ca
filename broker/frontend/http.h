/*
 * Plain HTTP on ws:// listeners: the files of http.root, /healthz, and the judgement of each request and upgrade (origin.h)
 * before anything is done for it. Shard thread.
 */
#ifndef SLUICE_BROKER_HTTP_H
#define SLUICE_BROKER_HTTP_H

#include "broker/frontend/http_settings.h"
#include "proto/span.h"

struct lws;

/* A request with its headers complete. Returns what libwebsockets wants of its callback: -1 closes. */
int http_request(const struct http_settings *http, struct lws *wsi, struct span path);
/* Whether the upgrade may go on: 0. Refused, with an answer: not 0. `protocol` is what the client asks for. */
int http_upgrade(const struct http_settings *http, struct lws *wsi, const char *protocol);

#endif
