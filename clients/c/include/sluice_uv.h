/*
 * libsluice on a libuv loop. All calls and callbacks happen on the loop's thread; nothing blocks, name
 * resolution included. What is published in one turn of the loop goes out in one write.
 *
 *   struct sluice_uv *client = sluice_uv_new(loop, "tcp://127.0.0.1:7400", NULL, &callbacks, &error);
 *   sluice_uv_subscribe(client, "room/#", NULL, on_message, NULL, NULL, NULL);
 *   uv_run(loop, UV_RUN_DEFAULT);
 *
 * Functions mean the same as their sluice_core_ namesakes in sluice.h.
 */
#ifndef SLUICE_UV_H
#define SLUICE_UV_H

#include <sluice.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_uv;

/* Starts to connect in the loop's next turn; failures arrive through on_down, and attempts go on until a terminal
 * error, no_reconnect or sluice_uv_close(). loop is borrowed and must outlive the client; the rest is copied.
 * url NULL is SLUICE_DEFAULT_URL. Returns NULL for a bad URL or when out of memory, and fills *error (may be NULL). */
SLUICE_API struct sluice_uv *sluice_uv_new(uv_loop_t *loop, const char *url,
                                           const struct sluice_options *options,
                                           const struct sluice_callbacks *callbacks,
                                           struct sluice_error *error);
/* Sends what is buffered (for at most a second), disconnects, frees, and calls on_closed (may be NULL). Publishes
 * and requests still waiting end with SLUICE_UNKNOWN_OUTCOME first. May be called from a callback. After it no
 * other function may be called on the client, except from those last callbacks. */
SLUICE_API void sluice_uv_close(struct sluice_uv *client, void (*on_closed)(void *user), void *user);

SLUICE_API enum sluice_status sluice_uv_publish(struct sluice_uv *client,
                                                const struct sluice_publish *publish, sluice_done_fn *on_done,
                                                void *user);
SLUICE_API enum sluice_status sluice_uv_subscribe(struct sluice_uv *client, const char *filter,
                                                  const struct sluice_subscribe_options *options,
                                                  sluice_message_fn *on_message,
                                                  sluice_subscribed_fn *on_subscribed, void *user,
                                                  uint64_t *subscription);
SLUICE_API enum sluice_status sluice_uv_unsubscribe(struct sluice_uv *client, uint64_t subscription,
                                                    sluice_done_fn *on_done, void *user);
SLUICE_API enum sluice_status sluice_uv_request(struct sluice_uv *client,
                                                const struct sluice_publish *request, uint64_t timeout_ms,
                                                sluice_reply_fn *on_reply, void *user);
/* Bytes waiting to be sent; whether there is a connection. */
SLUICE_API size_t sluice_uv_buffered_bytes(const struct sluice_uv *client);
SLUICE_API bool sluice_uv_is_open(const struct sluice_uv *client);

#ifdef __cplusplus
}
#endif

#endif
