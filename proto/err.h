/*
 * The one list of error codes. A function that can fail returns `enum err`; 0 is success. The name in quotes
 * is the stable string a peer sees in ERR and BYE frames (docs/protocol.md) and an operator sees in logs: it
 * never changes once released. The text is the default explanation where the caller has nothing more specific.
 */
#ifndef SLUICE_PROTO_ERR_H
#define SLUICE_PROTO_ERR_H

#define ERR_LIST(X)                                                                                          \
    X(ERR_NONE, "ok", "success")                                                                             \
    X(ERR_TRUNCATED, "truncated", "more bytes are needed")                                                   \
    X(ERR_PROTOCOL, "protocol_error", "malformed frame")                                                     \
    X(ERR_UNKNOWN_OP, "unknown_op", "unknown op")                                                            \
    X(ERR_UNSUPPORTED, "unsupported", "not supported by this broker")                                        \
    X(ERR_BAD_TOPIC, "bad_topic", "topic is not valid")                                                      \
    X(ERR_BAD_FILTER, "bad_filter", "filter is not valid")                                                   \
    X(ERR_BAD_OPTION, "bad_option", "option has a wrong type or value")                                      \
    X(ERR_TOO_LARGE, "too_large", "larger than the limit")                                                   \
    X(ERR_DENIED, "denied", "not permitted")                                                                 \
    X(ERR_RATE_LIMITED, "rate_limited", "publish rate limit exceeded")                                       \
    X(ERR_LIMIT, "limit_reached", "a configured limit is reached")                                           \
    X(ERR_NO_RESPONDERS, "no_responders", "nobody is subscribed to the request topic")                       \
    X(ERR_NOT_SUBSCRIBED, "not_subscribed", "no such subscription")                                          \
    X(ERR_HELLO, "hello_required", "the first frame must be HELLO")                                          \
    X(ERR_TIMEOUT, "timeout", "deadline exceeded")                                                           \
    X(ERR_KEEPALIVE, "keepalive_timeout", "nothing heard within the keep-alive interval")                    \
    X(ERR_TOO_SLOW, "too_slow", "the subscriber did not keep up")                                            \
    X(ERR_OVERLOADED, "overloaded", "the broker is at its memory limit")                                     \
    X(ERR_SHUTDOWN, "shutting_down", "the broker is shutting down")                                          \
    X(ERR_NO_MEMORY, "no_memory", "out of memory")                                                           \
    X(ERR_CLOSED, "closed", "the connection is closed")                                                      \
    X(ERR_IO, "io_error", "input or output failed")                                                          \
    X(ERR_IN_USE, "in_use", "address already in use")                                                        \
    X(ERR_CONFIG, "bad_config", "configuration is not valid")

enum err {
#define ERR_ENUM(code, name, text) code,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

/* The stable short name ("bad_topic"). Never NULL; any thread. */
const char *err_name(enum err e);
/* The default explanation, one phrase without a full stop. Never NULL; any thread. */
const char *err_text(enum err e);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
