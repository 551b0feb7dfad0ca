/*
 * Stackless coroutines: a function that waits in the middle, written from top to bottom. It is an ordinary function
 * that jumps to where it left off (Duff's device; after Adam Dunkels' protothreads), so a wait costs two bytes, and
 * debuggers and sanitizers see nothing unusual. This is the one place that knows how.
 *
 *   static void run(struct session *session)
 *   {
 *       CORO_BEGIN(&session->coro);
 *       CORO_AWAIT(&session->coro, frame_complete(session));
 *       greet(session);
 *       while (!session->closed) {
 *           CORO_AWAIT(&session->coro, session->closed || frame_complete(session));
 *           serve(session);
 *       }
 *       CORO_END(&session->coro);
 *   }
 *
 * Whoever may have made a condition true calls the function again, with the same coroutine; calling too often does no
 * harm. The rules:
 *   - The function returns nothing. It must not be called from inside itself.
 *   - Local variables do not survive a wait: what must, lives beside the coroutine. What was borrowed is fetched again.
 *   - Nothing comes between the function's variables and CORO_BEGIN, as it would run at every resumption.
 *   - No wait inside a switch (the cases would belong to it), and one wait a line.
 */
#ifndef SLUICE_BROKER_CORO_H
#define SLUICE_BROKER_CORO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { CORO_START = 0, CORO_DONE = UINT16_MAX };

/* Zeroed: not begun. */
struct coro {
    uint16_t point; /* the line it waits at, CORO_START or CORO_DONE */
};

static inline bool coro_done(const struct coro *coro)
{
    return coro->point == CORO_DONE;
}

#define CORO_BEGIN(coro)                                                                                     \
    switch ((coro)->point) {                                                                                 \
    default: /* a point of another function */                                                               \
        abort();                                                                                             \
    case CORO_START:

/* Goes on when the condition holds; it is tried at once, and then at each call. */
#define CORO_AWAIT(coro, condition)                                                                          \
    do {                                                                                                     \
        _Static_assert(__LINE__ < CORO_DONE, "the file is too long for a coroutine");                        \
        (coro)->point = __LINE__;                                                                            \
        __attribute__((fallthrough));                                                                        \
    case __LINE__:                                                                                           \
        if (!(condition))                                                                                    \
            return;                                                                                          \
    } while (0)

/* Goes on at the next call. */
#define CORO_YIELD(coro)                                                                                     \
    do {                                                                                                     \
        _Static_assert(__LINE__ < CORO_DONE, "the file is too long for a coroutine");                        \
        (coro)->point = __LINE__;                                                                            \
        return;                                                                                              \
    case __LINE__:;                                                                                          \
    } while (0)

/* Ends it in the middle. A coroutine that has ended does nothing when called. */
#define CORO_RETURN(coro)                                                                                    \
    do {                                                                                                     \
        (coro)->point = CORO_DONE;                                                                           \
        return;                                                                                              \
    } while (0)

#define CORO_END(coro)                                                                                       \
    (coro)->point = CORO_DONE;                                                                               \
    __attribute__((fallthrough));                                                                            \
    case CORO_DONE:;                                                                                         \
        }                                                                                                    \
        _Static_assert(1, "takes the semicolon")

#endif
