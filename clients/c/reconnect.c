#include "clients/c/reconnect.h"

#include "proto/err.h"

enum { RECONNECT_DOUBLINGS_MAX = 20 };

void reconnect_opened(struct reconnect *reconnect, uint64_t now_ms)
{
    reconnect->opened_at_ms = now_ms ? now_ms : 1;
}

uint64_t reconnect_wait_ms(struct reconnect *reconnect, uint64_t now_ms, uint32_t after_ms, uint64_t random)
{
    bool was_stable = reconnect->opened_at_ms && now_ms >= reconnect->opened_at_ms + RECONNECT_STABLE_MS;
    reconnect->opened_at_ms = 0;
    if (was_stable)
        reconnect->attempt = 0;
    uint32_t doublings =
        reconnect->attempt < RECONNECT_DOUBLINGS_MAX ? reconnect->attempt : RECONNECT_DOUBLINGS_MAX;
    uint64_t ceiling = reconnect->min_ms << doublings;
    if (ceiling > reconnect->max_ms)
        ceiling = reconnect->max_ms;
    reconnect->attempt++;
    return after_ms + random % (ceiling + 1);
}

bool reconnect_is_terminal(struct span code)
{
    static const enum err terminal[] = {ERR_DENIED,     ERR_PROTOCOL, ERR_UNSUPPORTED,
                                        ERR_UNKNOWN_OP, ERR_HELLO,    ERR_BAD_OPTION};
    for (size_t i = 0; i < sizeof terminal / sizeof terminal[0]; i++)
        if (span_eq(code, span_str(err_name(terminal[i]))))
            return true;
    return false;
}
