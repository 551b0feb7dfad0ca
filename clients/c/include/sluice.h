/*
 * libsluice: a client for the Sluice broker (sluice.v1 over TCP).
 *
 * Three ways in, from the simplest down:
 *
 *   sluice_connect() ...       blocking calls; one thread drives the client, poll() inside
 *   sluice_uv_new() ...        callbacks on a libuv loop (sluice_uv.h)
 *   sluice_core_new() ...      no sockets and no clock: bytes and time in, bytes and callbacks out, for any loop
 *
 * Conventions, everywhere:
 *  - Threads: a client belongs to one thread at a time; only sluice_interrupt() may come from another thread
 *    or a signal handler. Several clients are independent of each other.
 *  - Units are in the names: _ms, _s, _bytes. Times passed in are milliseconds of any monotonic clock.
 *  - Ownership: arguments are copied before a call returns. What a callback receives is borrowed: valid until
 *    the callback returns. Callbacks may call any function of the same client except the ones that free it.
 *  - Zero-initialised options mean the defaults.
 *  - Reconnecting is automatic, with full jitter, and re-subscribes. Nothing is sent twice: a publish that was
 *    on its way when a connection ended is reported as SLUICE_UNKNOWN_OUTCOME, and repeating it is your decision.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

#define SLUICE_VERSION      "0.1.0"
#define SLUICE_DEFAULT_URL  "tcp://127.0.0.1:7400"
#define SLUICE_DEFAULT_PORT 7400

/* ---- results -------------------------------------------------------------------------------------------- */

enum sluice_status {
    SLUICE_OK = 0,
    SLUICE_AGAIN,           /* the send buffer is full, or there is no connection: wait for on_drained */
    SLUICE_TIMEOUT,         /* the deadline passed first */
    SLUICE_INTERRUPTED,     /* sluice_interrupt() was called */
    SLUICE_REFUSED,         /* the broker answered with an error: see the code */
    SLUICE_NO_RESPONDERS,   /* a request on a topic that nobody is subscribed to */
    SLUICE_UNKNOWN_OUTCOME, /* the connection ended before the answer came: done or not, nobody knows */
    SLUICE_DISCONNECTED,    /* the connection ended */
    SLUICE_CLOSED,          /* the client is closed, or stopped for good after a terminal error */
    SLUICE_BAD_ARGUMENT,    /* an invalid topic, filter, option or URL; nothing was sent */
    SLUICE_TOO_LARGE,       /* larger than the broker's limit; nothing was sent */
    SLUICE_NO_MEMORY,       /* out of memory; nothing was sent */
    SLUICE_IO,              /* resolving, connecting, reading or writing failed */
    SLUICE_PROTOCOL         /* the other end does not speak sluice.v1 */
};

/* A short name ("no_responders") and one phrase that explains it. Never NULL; any thread. */
SLUICE_API const char *sluice_status_name(enum sluice_status status);
SLUICE_API const char *sluice_status_text(enum sluice_status status);
/* The version of the library that is running. */
SLUICE_API const char *sluice_version(void);

/* How something ended. code is the broker's stable word ("denied", "bad_topic", ...) when the broker decided,
 * else the status name; text explains. Both are NUL-terminated and cut at their size. */
struct sluice_error {
    enum sluice_status status;
    char code[48];
    char text[256];
};

/* ---- messages ------------------------------------------------------------------------------------------- */

/* Borrowed bytes, not NUL-terminated; data is NULL when absent. Print text with "%.*s". */
struct sluice_bytes {
    const void *data;
    size_t len;
};

static inline struct sluice_bytes sluice_bytes_of(const void *data, size_t len)
{
    struct sluice_bytes bytes = {data, len};
    return bytes;
}

static inline struct sluice_bytes sluice_str(const char *text)
{
    return sluice_bytes_of(text, strlen(text));
}

static inline bool sluice_bytes_equal(struct sluice_bytes a, struct sluice_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct sluice_header {
    struct sluice_bytes name, value; /* UTF-8 */
};

/* What to publish. Only topic is required; what is absent (NULL data, zero) is not sent. */
struct sluice_publish {
    struct sluice_bytes topic;   /* 1..1024 bytes of UTF-8, no wildcards */
    struct sluice_bytes payload; /* any bytes; at most the broker's max_payload */
    const struct sluice_header *headers;
    size_t header_count;
    uint64_t ttl_ms;                 /* 0: does not expire */
    struct sluice_bytes key;         /* conflation key, at most 255 bytes; sent as bin where it is no UTF-8 */
    struct sluice_bytes reply;       /* topic for the answer; sluice_*_request() sets it itself */
    struct sluice_bytes correlation; /* at most 255 bytes */
    struct sluice_bytes content_type; /* at most 255 bytes of UTF-8 */
    bool text;                        /* the payload is UTF-8 text (payload format indicator) */
    bool
        retain; /* becomes its topic's retained value, the one that later subscribers get first; an empty payload
                    clears it */
};

struct sluice_message {
    uint64_t subscription; /* which of your subscriptions this is for; 0 for the reply to a request */
    struct sluice_bytes topic, payload;
    struct sluice_bytes key, reply, correlation, content_type; /* .data NULL when absent */
    struct sluice_bytes raw_headers;                           /* read with sluice_header_next() */
    uint64_t ttl_ms;                                           /* 0: does not expire */
    uint64_t ts_ms;                                            /* Unix ms at the broker; 0 when not told */
    bool text;
    bool retained; /* the topic's retained value, sent because of a subscribe: not live */
};

/* Walks the headers in order; repeats are kept. Start with a zeroed iterator; false at the end.
 *   struct sluice_header_iter it = {0};
 *   while (sluice_header_next(message, &it)) use(it.header.name, it.header.value); */
struct sluice_header_iter {
    struct sluice_header header;
    uint32_t left;
    size_t offset;
};
SLUICE_API bool sluice_header_next(const struct sluice_message *message, struct sluice_header_iter *it);

/* The publish that answers `request`: topic and correlation taken from it. Borrows from both. */
SLUICE_API struct sluice_publish sluice_reply_to(const struct sluice_message *request,
                                                 struct sluice_bytes payload);

/* Messages that the broker did not deliver; it stands in the stream where they stood. */
struct sluice_gap {
    struct sluice_bytes filter; /* the subscription's filter; empty with "client_queue" */
    uint64_t count;             /* messages */
    struct sluice_bytes reason; /* "dropped_oldest", "dropped_newest", "conflated", "max_hz", "expired";
                                   "client_queue" from the blocking API when sluice_next() fell behind */
};

/* ---- options and callbacks ------------------------------------------------------------------------------ */

#define SLUICE_KEEPALIVE_NONE UINT32_MAX

struct sluice_options {
    const char *client_name; /* shown in the broker's logs; NULL: "libsluice/VERSION" */
    const char *user, *password, *token;
    uint32_t keepalive_s;         /* 0: 30. SLUICE_KEEPALIVE_NONE: no keep-alive. The broker may shorten it */
    uint32_t connect_timeout_ms;  /* 0: 5,000. From the start of a connection to the broker's WELCOME */
    bool no_reconnect;            /* the first lost connection is the end */
    uint32_t reconnect_min_ms;    /* 0: 100. The n-th wait is random in 0 .. min * 2^n, */
    uint32_t reconnect_max_ms;    /* 0: 10,000. but at most this */
    size_t send_buffer_bytes_max; /* 0: 4 MiB. Above it SLUICE_AGAIN; one larger frame fits an empty buffer */
    uint32_t in_flight_max;       /* 0: 65,536 publishes whose answer is awaited; above it SLUICE_AGAIN */
    size_t receive_frame_bytes_max; /* 0: 64 MiB. A longer frame ends the connection */
    size_t receive_queue_bytes_max; /* 0: 64 MiB. Blocking API: received, not yet taken by sluice_next() */
    uint32_t timeout_ms;            /* 0: 5,000. Blocking API: how long a call waits for its answer */
    uint64_t (*random)(void *arg);  /* 64 random bits; NULL: the system's. For tests */
    void *random_arg;
};

struct sluice_welcome {
    struct sluice_bytes session, server; /* server: "sluiced/0.1.0" */
    uint32_t max_frame_bytes, max_payload_bytes, keepalive_s;
    uint32_t connection; /* 1 for the first, 2 after the first reconnect, ... */
};

struct sluice_down {
    struct sluice_error error; /* why: status SLUICE_IO, _DISCONNECTED, _TIMEOUT, _REFUSED or _PROTOCOL */
    bool was_connected;        /* false: the attempt never reached WELCOME */
    bool final;                /* no further attempt will be made */
    uint64_t retry_in_ms;      /* until the next attempt, unless final */
};

/* Each may be NULL. */
struct sluice_callbacks {
    void *user; /* passed to each of these as the first argument */
    void (*on_connected)(void *user, const struct sluice_welcome *welcome);
    void (*on_down)(void *user, const struct sluice_down *down);
    void (*on_gap)(void *user, const struct sluice_gap *gap);
    /* After SLUICE_AGAIN: there is room (again), at most half of the buffer is in use. */
    void (*on_drained)(void *user);
    /* An error that belongs to no request, a publish without on_done for example. Rate-limited by the broker. */
    void (*on_error)(void *user, const struct sluice_error *error);
    /* The retained values that a subscribe (or its renewal after a reconnect) found have all come; only where its
     * granted.retained is true. With the blocking API they may still wait for sluice_next(). */
    void (*on_live)(void *user, struct sluice_bytes filter);
};

enum sluice_policy {
    SLUICE_POLICY_DEFAULT, /* the broker's for the topic, usually drop_oldest */
    SLUICE_POLICY_DROP_OLDEST,
    SLUICE_POLICY_DROP_NEWEST,
    SLUICE_POLICY_CONFLATE,   /* keep the newest per topic (or key) */
    SLUICE_POLICY_DISCONNECT, /* the broker closes the connection rather than lose messages */
    SLUICE_POLICY_BLOCK       /* only where the broker grants it */
};
/* "drop_oldest", ...; "default" for SLUICE_POLICY_DEFAULT. */
SLUICE_API const char *sluice_policy_name(enum sluice_policy policy);
/* False when there is no such policy. */
SLUICE_API bool sluice_policy_parse(const char *name, enum sluice_policy *out);

struct sluice_subscribe_options {
    enum sluice_policy policy;
    uint32_t queue; /* messages; 0: the broker's default */
    double max_hz;  /* per topic or key; 0: no limit, else 0.001 .. 1000. Implies conflate */
    /* Ask for an own copy of each message even where the filter overlaps others of this client. Without it the
     * broker sends one copy and the client hands it to each subscription that matches, which is cheaper; the
     * policy that applies is then that of the first matching subscription. $share/ filters always have it. */
    bool independent;
};

/* What the broker granted. */
struct sluice_granted {
    enum sluice_policy policy;
    uint32_t queue;
    double max_hz;
    bool retained; /* retained values follow, then on_live */
};

/* The end of a publish or unsubscribe. */
typedef void sluice_done_fn(void *user, const struct sluice_error *result);
typedef void sluice_message_fn(void *user, const struct sluice_message *message);
/* The answer to a subscribe; granted is NULL unless the status is SLUICE_OK. Called once when first answered,
 * and once more if the broker refuses to renew the subscription after a reconnect. After any status but
 * SLUICE_OK the subscription is gone. */
typedef void sluice_subscribed_fn(void *user, uint64_t subscription, const struct sluice_error *result,
                                  const struct sluice_granted *granted);
/* The end of a request; reply is NULL unless the status is SLUICE_OK. */
typedef void sluice_reply_fn(void *user, const struct sluice_error *result,
                             const struct sluice_message *reply);

/* ---- the blocking client -------------------------------------------------------------------------------- */
/*
 * Calls return when they are done, when their time is up, or when sluice_interrupt() is called. A lost connection
 * is re-established inside whichever call comes next. While the program does something else for longer than the
 * keep-alive, call sluice_run() now and then (sluice_fd() says when there is something to read).
 */
struct sluice;

/* Connects and waits for the broker's WELCOME: "tcp://HOST[:PORT]", HOST a name, an IPv4 address or an IPv6
 * address in brackets; url NULL is SLUICE_DEFAULT_URL; options may be NULL. The first attempt is the only one: on
 * failure returns NULL and fills *error (which may be NULL). Name resolution blocks. */
SLUICE_API struct sluice *sluice_connect(const char *url, const struct sluice_options *options,
                                         struct sluice_error *error);
/* Sends what is buffered (for at most a second), disconnects and frees. NULL is fine. */
SLUICE_API void sluice_close(struct sluice *client);

/* Told about gaps, lost connections and reconnects, from inside other calls. Copied; may be called at any time. */
SLUICE_API void sluice_set_callbacks(struct sluice *client, const struct sluice_callbacks *callbacks);

/* Publishes and waits for the broker's OK. */
SLUICE_API enum sluice_status sluice_publish(struct sluice *client, const char *topic, const void *payload,
                                             size_t len);
SLUICE_API enum sluice_status sluice_publish_message(struct sluice *client,
                                                     const struct sluice_publish *publish);
/* Publishes without waiting for the OK, except for room in the send buffer: for many in a row. Finish with
 * sluice_flush(), which waits for all the answers and returns the first failure since the last flush. */
SLUICE_API enum sluice_status sluice_send(struct sluice *client, const struct sluice_publish *publish);
SLUICE_API enum sluice_status sluice_flush(struct sluice *client, uint64_t timeout_ms);

/* Subscribes and waits for the broker's OK. options, subscription and granted may be NULL. */
SLUICE_API enum sluice_status sluice_subscribe(struct sluice *client, const char *filter,
                                               const struct sluice_subscribe_options *options,
                                               uint64_t *subscription, struct sluice_granted *granted);
SLUICE_API enum sluice_status sluice_unsubscribe(struct sluice *client, uint64_t subscription);
/* The next message of any subscription; timeout_ms 0 only looks, UINT64_MAX waits for ever. *message is valid
 * until the next sluice_next() or sluice_close(). SLUICE_TIMEOUT, SLUICE_INTERRUPTED, or SLUICE_CLOSED when no
 * more can come. */
SLUICE_API enum sluice_status sluice_next(struct sluice *client, uint64_t timeout_ms,
                                          struct sluice_message *message);
/* Publishes a request and waits for the first reply. *reply is valid until the next sluice_request() or
 * sluice_close(). SLUICE_NO_RESPONDERS comes at once, SLUICE_TIMEOUT after timeout_ms. */
SLUICE_API enum sluice_status sluice_request(struct sluice *client, const struct sluice_publish *request,
                                             uint64_t timeout_ms, struct sluice_message *reply);

/* Keeps the connection going for timeout_ms (0: only what is ready), queueing messages for sluice_next(). */
SLUICE_API enum sluice_status sluice_run(struct sluice *client, uint64_t timeout_ms);
/* The socket, for poll(); -1 while there is none. It changes with each reconnect. */
SLUICE_API int sluice_fd(const struct sluice *client);
/* Makes the call that is running, or the next one that would wait, return SLUICE_INTERRUPTED. Async-signal-safe. */
SLUICE_API void sluice_interrupt(struct sluice *client);
/* Details of the last call that did not return SLUICE_OK. Valid until the next call. */
SLUICE_API const struct sluice_error *sluice_last_error(const struct sluice *client);

/* ---- the core: bring your own loop ----------------------------------------------------------------------- */
/*
 * Drive it like this, after every call into it and after every event:
 *
 *   switch (sluice_core_want(core)) {
 *     SLUICE_WANT_CONNECT: open a socket, call sluice_core_connecting(); when it is up, sluice_core_connected()
 *     SLUICE_WANT_CLOSE:   close the socket and call sluice_core_disconnected()
 *   }
 *   send sluice_core_output(), tell sluice_core_sent(); feed what arrives to sluice_core_receive();
 *   call sluice_core_tick() at sluice_core_deadline_ms().
 */
struct sluice_core;

enum sluice_want { SLUICE_WANT_NOTHING, SLUICE_WANT_CONNECT, SLUICE_WANT_CLOSE };

/* NULL when out of memory. Both pointers may be NULL; both are copied. Wants to connect at once. */
SLUICE_API struct sluice_core *sluice_core_new(const struct sluice_options *options,
                                               const struct sluice_callbacks *callbacks, uint64_t now_ms);
/* Frees without callbacks. Not from inside one. */
SLUICE_API void sluice_core_free(struct sluice_core *core);

SLUICE_API enum sluice_want sluice_core_want(const struct sluice_core *core);
/* The owner has begun to open a connection; it has connect_timeout_ms until WELCOME. */
SLUICE_API void sluice_core_connecting(struct sluice_core *core, uint64_t now_ms);
/* The connection is up: HELLO and the subscriptions become output. */
SLUICE_API void sluice_core_connected(struct sluice_core *core, uint64_t now_ms);
/* The connection could not be opened, has ended, or was closed as wanted; text says why ("connection refused";
 * NULL: the other end closed it). */
SLUICE_API void sluice_core_disconnected(struct sluice_core *core, uint64_t now_ms, const char *text);
/* Received bytes, cut anywhere. Callbacks happen inside. */
SLUICE_API void sluice_core_receive(struct sluice_core *core, uint64_t now_ms, const void *data, size_t len);
/* Bytes to send, in order; valid until the next call on this core. NULL and *len 0 when there are none. */
SLUICE_API const void *sluice_core_output(const struct sluice_core *core, size_t *len);
/* The first len of them went out. */
SLUICE_API void sluice_core_sent(struct sluice_core *core, uint64_t now_ms, size_t len);
/* When sluice_core_tick() is due next; UINT64_MAX: not before something else happens. */
SLUICE_API uint64_t sluice_core_deadline_ms(const struct sluice_core *core);
SLUICE_API void sluice_core_tick(struct sluice_core *core, uint64_t now_ms);
/* No more reconnecting: sends what is buffered (for at most a second), then wants to close. */
SLUICE_API void sluice_core_close(struct sluice_core *core, uint64_t now_ms);
/* Whether it has ended for good (closed, or after a terminal error). */
SLUICE_API bool sluice_core_stopped(const struct sluice_core *core);
/* Whether the broker's WELCOME has been received on the present connection. */
SLUICE_API bool sluice_core_is_open(const struct sluice_core *core);
/* Bytes waiting to be sent. */
SLUICE_API size_t sluice_core_buffered_bytes(const struct sluice_core *core);

/* SLUICE_OK: accepted, and on_done (if any) will be called exactly once, later. Without on_done the broker is not
 * asked to answer. Anything else: not accepted, on_done will not be called. SLUICE_AGAIN: see on_drained. */
SLUICE_API enum sluice_status sluice_core_publish(struct sluice_core *core,
                                                  const struct sluice_publish *publish,
                                                  sluice_done_fn *on_done, void *user);
/* Accepted also while there is no connection. Subscribing twice to one filter shares one subscription at the
 * broker, with the options given last; SLUICE_BAD_ARGUMENT when one is independent and the other is not.
 * *subscription identifies it; on_subscribed may be NULL. */
SLUICE_API enum sluice_status sluice_core_subscribe(struct sluice_core *core, const char *filter,
                                                    const struct sluice_subscribe_options *options,
                                                    sluice_message_fn *on_message,
                                                    sluice_subscribed_fn *on_subscribed, void *user,
                                                    uint64_t *subscription);
/* No message is handed over after this returns. SLUICE_BAD_ARGUMENT when there is no such subscription. Where the
 * broker need not be asked (no connection, or others share the filter) on_done is called before this returns. */
SLUICE_API enum sluice_status sluice_core_unsubscribe(struct sluice_core *core, uint64_t subscription,
                                                      sluice_done_fn *on_done, void *user);
/* Publishes with a reply topic of its own; the first reply, an error or the deadline ends it, exactly once. */
SLUICE_API enum sluice_status sluice_core_request(struct sluice_core *core,
                                                  const struct sluice_publish *request, uint64_t now_ms,
                                                  uint64_t timeout_ms, sluice_reply_fn *on_reply, void *user);

#ifdef __cplusplus
}
#endif

#endif
