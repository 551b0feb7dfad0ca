#include "broker/shard_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "broker/frontend/acceptor.h"
#include "broker/frontend/tcp.h"
#include "broker/frontend/lws_host.h"
#include "broker/log.h"
#include "broker/memory.h"

enum { CLOCK_ADJUST_MS = 1000 };

struct shard_loop {
    struct shard_loop_config config;
    struct shard shard;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t busy;             /* runs while a turn left something to do */
    uv_timer_t timer;           /* the wheel's next work */
    uint64_t timer_due_ms;      /* UINT64_MAX: not running */
    uv_async_t wake;            /* mail or commands */
    _Atomic unsigned commands;  /* enum shard_command, or'ed */
    struct acceptor *acceptors; /* owns; one per address of each socket */
    size_t acceptor_count;
    struct tcp_frontend *tcp; /* owns */
    struct lws_host *web;     /* owns; NULL without a ws:// listener */
    uint8_t *receive_buffer;  /* owns */
    uint64_t adjusted_ms;     /* when the clocks were last compared */
    bool started, draining, drained, stopping;
};

static uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- turns ---------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct shard_loop *loop)
{
    uint64_t due_ms = timer_wheel_next(&loop->shard.wheel), now_ms = loop->shard.clock.now_ms;
    if (due_ms == loop->timer_due_ms)
        return;
    loop->timer_due_ms = due_ms;
    if (due_ms == UINT64_MAX)
        uv_timer_stop(&loop->timer);
    else
        uv_timer_start(&loop->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct shard_loop *loop = timer->data;
    loop->timer_due_ms = UINT64_MAX;
    clock_set(&loop->shard.clock, uv_now(&loop->loop));
    timer_wheel_advance(&loop->shard.wheel, loop->shard.clock.now_ms);
}

static void on_busy(uv_idle_t *busy)
{
    (void)busy;
}

static void adjust_clock(struct shard_loop *loop)
{
    uint64_t now_ms = uv_now(&loop->loop);
    if (now_ms - loop->adjusted_ms < CLOCK_ADJUST_MS) {
        clock_set(&loop->shard.clock, now_ms);
        return;
    }
    loop->adjusted_ms = now_ms;
    clock_adjust(&loop->shard.clock, now_ms, wall_ms());
}

static void stop_accepting(struct shard_loop *loop)
{
    for (size_t i = 0; i < loop->acceptor_count; i++)
        acceptor_stop(&loop->acceptors[i]);
}

/* No turn ends from here on, so that no mail leaves. The wake-up stays: other shards may not have stopped yet. */
static void stop(struct shard_loop *loop)
{
    loop->stopping = true;
    stop_accepting(loop);
    sessions_end_all(&loop->shard.sessions);
    if (loop->tcp)
        tcp_stop(loop->tcp);
    if (loop->web)
        lws_host_stop(loop->web);
    uv_idle_stop(&loop->busy);
    uv_timer_stop(&loop->timer);
}

/* Nothing keeps the loop alive any more. */
static void leave(struct shard_loop *loop)
{
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->busy, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
}

static void end_turn(struct shard_loop *loop)
{
    if (loop->stopping)
        return;
    adjust_clock(loop);
    if (loop->web)
        lws_host_end_turn(loop->web);
    bool more = shard_end_turn(&loop->shard);
    if (more)
        uv_idle_start(&loop->busy, on_busy);
    else
        uv_idle_stop(&loop->busy);
    arm_timer(loop);
    if (loop->draining && !loop->drained && loop->shard.sessions.count == 0) {
        loop->drained = true;
        loop->config.report(loop->config.context, SHARD_DRAINED);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    end_turn(prepare->data);
}

static void on_check(uv_check_t *check)
{
    end_turn(check->data);
}

/* ---- commands ------------------------------------------------------------------------------------------- */

static void dump(const struct shard_loop *loop)
{
    const struct shard *shard = &loop->shard;
    const struct sessions_stats *sessions = &shard->sessions.stats;
    const struct delivery_stats *delivery = &shard->delivery.stats;
    log_event(LOG_INFO, "state of a shard", LOG_U("shard", shard->id),
              LOG_U("sessions", shard->sessions.count), LOG_U("opened", sessions->opened),
              LOG_U("subscriptions", shard->sessions.subs.count), LOG_U("published", shard->router.published),
              LOG_U("matched", shard->router.matched), LOG_U("delivered", delivery->delivered),
              LOG_U("writes", delivery->writes), LOG_U("short_writes", delivery->refused),
              LOG_U("dropped_oldest", delivery->gaps[NATIVE_GAP_DROPPED_OLDEST]),
              LOG_U("dropped_newest", delivery->gaps[NATIVE_GAP_DROPPED_NEWEST]),
              LOG_U("conflated", delivery->gaps[NATIVE_GAP_CONFLATED]),
              LOG_U("max_hz", delivery->gaps[NATIVE_GAP_RATE]),
              LOG_U("expired", delivery->gaps[NATIVE_GAP_EXPIRED]), LOG_U("too_slow", delivery->too_slow),
              LOG_U("refused_requests", sessions->refused), LOG_U("faults", sessions->faults),
              LOG_U("memory_bytes", memory_used()));
}

static void drain(struct shard_loop *loop)
{
    loop->draining = true;
    stop_accepting(loop);
    sessions_drain(&loop->shard.sessions);
}

static void on_wake(uv_async_t *wake)
{
    struct shard_loop *loop = wake->data;
    unsigned commands = atomic_exchange(&loop->commands, 0);
    clock_set(&loop->shard.clock, uv_now(&loop->loop));
    if ((commands & SHARD_STOP) && !loop->stopping) {
        stop(loop);
        loop->config.report(loop->config.context, SHARD_STOPPED);
    }
    if (commands & SHARD_EXIT)
        leave(loop);
    if (loop->stopping)
        return;
    shard_receive(&loop->shard);
    if (commands & SHARD_DUMP)
        dump(loop);
    if ((commands & SHARD_DRAIN) && !loop->draining)
        drain(loop);
}

void shard_loop_wake(struct shard_loop *loop)
{
    uv_async_send(&loop->wake);
}

void shard_loop_command(struct shard_loop *loop, enum shard_command command)
{
    atomic_fetch_or(&loop->commands, (unsigned)command);
    shard_loop_wake(loop);
}

/* ---- starting and ending -------------------------------------------------------------------------------- */

static void run(void *context)
{
    struct shard_loop *loop = context;
    uv_run(&loop->loop, UV_RUN_DEFAULT);
}

static void init_handles(struct shard_loop *loop)
{
    uv_prepare_init(&loop->loop, &loop->prepare);
    uv_check_init(&loop->loop, &loop->check);
    uv_idle_init(&loop->loop, &loop->busy);
    uv_timer_init(&loop->loop, &loop->timer);
    loop->prepare.data = loop->check.data = loop->busy.data = loop->timer.data = loop->wake.data = loop;
    loop->timer_due_ms = UINT64_MAX;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
}

static bool listens(const struct shard_loop *loop, enum listen_scheme scheme)
{
    for (size_t i = 0; i < loop->config.socket_count; i++)
        if (loop->config.sockets[i].url.scheme == scheme)
            return true;
    return false;
}

static enum err init_frontends(struct shard_loop *loop, char *why, size_t size)
{
    const struct shard_common *common = loop->config.common;
    struct tcp_config tcp = {
        .loop = &loop->loop,
        .sessions = &loop->shard.sessions,
        .wheel = &loop->shard.wheel,
        .clock = &loop->shard.clock,
        .admission = loop->config.admission,
        .receive_buffer = loop->receive_buffer,
        .notsent_lowat = (unsigned)common->delivery->notsent_lowat,
    };
    loop->tcp = tcp_new(&tcp);
    if (!loop->tcp) {
        snprintf(why, size, "cannot start the TCP frontend of shard %u: out of file descriptors",
                 loop->shard.id);
        return ERR_IO;
    }
    if (!listens(loop, LISTEN_WS))
        return ERR_NONE;
    const struct limits_settings *limits = common->sessions.limits;
    struct lws_host_config web = {
        .loop = &loop->loop,
        .http = loop->config.http,
        .admission = loop->config.admission,
        .notsent_lowat = (unsigned)common->delivery->notsent_lowat,
        .ws = {.sessions = &loop->shard.sessions,
               .wheel = &loop->shard.wheel,
               .clock = &loop->shard.clock,
               .ping_interval_ms = loop->config.http->ping_interval,
               .message_max = limits->max_frame < WS_GATHER_BYTES
                                  ? WS_GATHER_BYTES
                                  : (size_t)limits->max_frame + NATIVE_SIZE_BYTES},
    };
    loop->web = lws_host_new(&web);
    if (loop->web)
        return ERR_NONE;
    snprintf(why, size, "cannot start the WebSocket frontend of shard %u", loop->shard.id);
    return ERR_NO_MEMORY;
}

static enum err listen_on(struct shard_loop *loop, const struct listen_socket *socket, char *why, size_t size)
{
    bool ws = socket->url.scheme == LISTEN_WS;
    for (size_t i = 0; i < socket->count; i++) {
        int fd = listen_socket_open(socket, i);
        if (fd < 0) {
            snprintf(why, size, "cannot listen on %s: %s", socket->text, strerror(errno));
            return errno == EADDRINUSE ? ERR_IN_USE : ERR_IO;
        }
        int e =
            acceptor_start(&loop->acceptors[loop->acceptor_count++], &loop->loop, fd,
                           ws ? lws_host_accepted : tcp_accepted, ws ? (void *)loop->web : (void *)loop->tcp);
        if (e) {
            snprintf(why, size, "cannot listen on %s: %s", socket->text, uv_strerror(e));
            return ERR_IO;
        }
    }
    return ERR_NONE;
}

static enum err listen_on_all(struct shard_loop *loop, char *why, size_t size)
{
    size_t addresses = 0;
    for (size_t i = 0; i < loop->config.socket_count; i++)
        addresses += loop->config.sockets[i].count;
    loop->acceptors = memory_must(addresses * sizeof *loop->acceptors);
    for (size_t i = 0; i < loop->config.socket_count; i++) {
        enum err e = listen_on(loop, &loop->config.sockets[i], why, size);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static bool init_loop(struct shard_loop *loop, unsigned id)
{
    if (uv_loop_init(&loop->loop))
        return false;
    uint64_t seed = uv_hrtime() ^ ((uint64_t)getpid() << 32) ^ id;
    if (uv_async_init(&loop->loop, &loop->wake, on_wake) == 0) {
        if (shard_init(&loop->shard, loop->config.common, id, seed, uv_now(&loop->loop), wall_ms()) ==
            ERR_NONE)
            return true;
        uv_close((uv_handle_t *)&loop->wake, NULL);
        uv_run(&loop->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop->loop);
    return false;
}

struct shard_loop *shard_loop_new(const struct shard_loop_config *config, unsigned id, char *why, size_t size)
{
    struct shard_loop *loop = memory_must(sizeof *loop);
    loop->config = *config;
    loop->receive_buffer = memory_must(SESSION_INPUT_MAX);
    if (!init_loop(loop, id)) {
        snprintf(why, size, "cannot start shard %u: out of memory or file descriptors", id);
        free(loop->receive_buffer);
        free(loop);
        return NULL;
    }
    init_handles(loop);
    if (init_frontends(loop, why, size) == ERR_NONE && listen_on_all(loop, why, size) == ERR_NONE)
        return loop;
    shard_loop_free(loop);
    return NULL;
}

int shard_loop_start(struct shard_loop *loop)
{
    int e = uv_thread_create(&loop->thread, run, loop);
    loop->started = e == 0;
    return e;
}

void shard_loop_join(struct shard_loop *loop)
{
    if (loop->started)
        uv_thread_join(&loop->thread);
}

void shard_loop_dispose(struct shard_loop *loop, const struct mail *mail)
{
    shard_dispose(&loop->shard, mail);
}

/* One that never started is wound up here, on the main thread. */
void shard_loop_free(struct shard_loop *loop)
{
    if (!loop->started) {
        stop(loop);
        leave(loop);
        uv_run(&loop->loop, UV_RUN_DEFAULT);
    }
    if (loop->tcp)
        tcp_free(loop->tcp);
    if (loop->web)
        lws_host_free(loop->web);
    shard_fini(&loop->shard);
    uv_loop_close(&loop->loop);
    free(loop->acceptors);
    free(loop->receive_buffer);
    free(loop);
}
