/*
 * Delivery against a model of what each subscription must hear: random pushes, stalls, short writes, time, evacuation
 * and failing memory from one seed. A message says to which of a connection's subscriptions it belongs by its topic;
 * what was matched and what was heard must agree at rest, message for message.
 */
#include "tests/unit/delivery_fixture.h"

enum { PEERS = 3, SUBS = 3, TOPICS = 3, PUSHED_MAX = 4096, RUN_MAX = 20, MESSAGE_MAX = 1000 };

struct pushed {
    uint32_t number;
    uint8_t name; /* of topic and key, which conflation goes by */
    bool heard;
};

/* One subscription and what is known about it. */
struct listener {
    struct subscription sub;
    char filter[8];
    struct pushed pushed[PUSHED_MAX];
    uint32_t count, delivered, lost;
    uint32_t lost_by[NATIVE_GAP_COUNT];
    bool ttl;   /* some message had one */
    bool paced; /* has a max_hz */
};

struct peer {
    struct fake_transport fake;
    struct outbox outbox;
    struct listener listener[SUBS];
    size_t parsed;
    uint32_t ok_sent, ok_heard;
    int tag; /* the one just heard, or -1 */
};

struct world {
    uint64_t dice;
    uint32_t numbers;
    struct peer peer[PEERS];
    bool failing; /* memory may fail */
    uint64_t fail_at, allocations;
    unsigned closed, drops, shorts;
};

static struct world w;

static uint32_t dice(uint32_t sides)
{
    w.dice = w.dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w.dice >> 33) % sides;
}

static bool fail_once(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return w.allocations++ == w.fail_at;
}

static void memory_may_fail(bool may)
{
    memory_set_fail_hook(w.failing && may ? fail_once : NULL, NULL);
}

/* ---- setting up ------------------------------------------------------------------------------------------ */

static void listener_start(struct peer *peer, unsigned i)
{
    static const enum native_policy policies[] = {NATIVE_POLICY_DROP_OLDEST, NATIVE_POLICY_DROP_NEWEST,
                                                  NATIVE_POLICY_CONFLATE, NATIVE_POLICY_DISCONNECT,
                                                  NATIVE_POLICY_BLOCK};
    struct listener *listener = &peer->listener[i];
    memset(listener, 0, sizeof *listener);
    snprintf(listener->filter, sizeof listener->filter, "%u/#", i);
    subscription_init(&listener->sub, &peer->outbox, listener->filter, policies[dice(5)], 1 + dice(12));
    if (listener->sub.policy == NATIVE_POLICY_DISCONNECT)
        listener->sub.queue = 60;
    listener->sub.prefixed = dice(4) == 0;
    listener->sub.tag = 100 + i;
    listener->paced = listener->sub.policy == NATIVE_POLICY_CONFLATE && dice(2) == 0;
    if (listener->paced)
        assert_int_equal(rate_start(&listener->sub, dice(2) ? 100 : 1000), ERR_NONE);
}

static void peer_start(struct peer *peer, bool framed)
{
    uint8_t *bytes = peer->fake.bytes;
    peer->fake =
        (struct fake_transport){.transport = {.ops = framed ? &fake_framed_ops : &fake_ops, .kind = "fake"},
                                .room = SIZE_MAX,
                                .bytes = bytes};
    outbox_init(&peer->outbox, &f.delivery, &peer->fake.transport, &encoder_native);
    for (unsigned i = 0; i < SUBS; i++)
        listener_start(peer, i);
    peer->parsed = 0;
    peer->ok_sent = peer->ok_heard = 0;
    peer->tag = -1;
}

static void peer_stop(struct peer *peer)
{
    for (unsigned i = 0; i < SUBS; i++) {
        rate_discard(&peer->listener[i].sub);
        peer->listener[i].sub.ended = true;
    }
    outbox_fini(&peer->outbox);
}

static void world_start(uint64_t seed)
{
    w = (struct world){.dice = seed * 7919 + 1};
    for (int i = 0; i < PEERS; i++)
        w.peer[i].fake.bytes = malloc(FAKE_BYTES_MAX / 8);
    f.settings.batch = (uint64_t[]){60, 300, 65536}[dice(3)];
    f.settings.queue_bytes = (uint64_t[]){1500, 4000, 1 << 20}[dice(3)];
    f.settings.log_window = 0;
    for (int i = 0; i < PEERS; i++)
        peer_start(&w.peer[i], i == 2);
}

static void world_stop(void)
{
    for (int i = 0; i < PEERS; i++) {
        peer_stop(&w.peer[i]);
        free(w.peer[i].fake.bytes);
    }
}

/* ---- hearing --------------------------------------------------------------------------------------------- */

static void hear_msg(struct peer *peer, struct cursor body, uint32_t count)
{
    struct native_msg msg;
    assert_int_equal(native_decode_msg(body, count, &msg), ERR_NONE);
    struct listener *listener = &peer->listener[msg.topic.data[0] - '0'];
    uint32_t number = 0, i;
    for (size_t d = 0; msg.payload.data[d] != ' '; d++)
        number = 10 * number + msg.payload.data[d] - '0';
    assert_int_equal(peer->tag, listener->sub.prefixed ? (int)listener->sub.tag : -1);
    peer->tag = -1;
    for (i = 0; i < listener->count && listener->pushed[i].number != number; i++)
        ;
    assert_true(i < listener->count);
    assert_false(listener->pushed[i].heard);
    listener->pushed[i].heard = true;
    if (listener->sub.policy != NATIVE_POLICY_CONFLATE) {
        assert_int_equal(i, listener->delivered + listener->lost); /* every gap is where it belongs */
    } else {
        for (uint32_t later = i + 1; later < listener->count; later++)
            assert_false(listener->pushed[later].heard &&
                         listener->pushed[later].name == listener->pushed[i].name);
    }
    listener->delivered++;
}

static void hear_gap(struct peer *peer, struct cursor body, uint32_t count)
{
    struct native_gap gap;
    assert_int_equal(native_decode_gap(body, count, &gap), ERR_NONE);
    struct listener *listener = &peer->listener[gap.filter.data[0] - '0'];
    assert_true(gap.count > 0);
    assert_true(peer->fake.ever_refused || listener->paced);
    listener->lost += (uint32_t)gap.count;
    for (int why = 0; why < NATIVE_GAP_COUNT; why++)
        if (span_eq(gap.reason, span_str(native_gap_name((enum native_gap_reason)why))))
            listener->lost_by[why] += (uint32_t)gap.count;
    assert_true(listener->delivered + listener->lost <= listener->count);
    w.drops += (unsigned)gap.count;
}

static void hear_frame(struct peer *peer, struct span frame)
{
    uint32_t op, count, tag;
    struct cursor body;
    struct native_ok ok;
    assert_int_equal(native_open(frame, &op, &count, &body), ERR_NONE);
    if (op != NATIVE_MSG)
        assert_int_equal(peer->tag, -1);
    if (op == NATIVE_MSG) {
        hear_msg(peer, body, count);
    } else if (op == NATIVE_GAP) {
        hear_gap(peer, body, count);
    } else if (op == NATIVE_TAG) {
        assert_int_equal(native_decode_tag(body, count, &tag), ERR_NONE);
        peer->tag = (int)tag;
    } else {
        assert_int_equal(native_decode_ok(body, count, &ok), ERR_NONE);
        assert_int_equal(ok.id, ++peer->ok_heard);
    }
}

static void hear(struct peer *peer)
{
    struct span in = span_of(peer->fake.bytes + peer->parsed, peer->fake.len - peer->parsed), frame;
    size_t need;
    while (in.len > 0 && native_next_frame(&in, 1 << 20, &frame, &need) == ERR_NONE)
        hear_frame(peer, frame);
    peer->parsed = peer->fake.len - in.len;
    if (in.len == 0)
        peer->parsed = peer->fake.len = 0;
}

/* ---- doing ----------------------------------------------------------------------------------------------- */

/* A run of messages numbered on, each with a tail of some length. */
static struct run make_messages(const char *topic, uint32_t count, const char *key, uint64_t ttl_ms)
{
    static uint8_t frames[64 * 1024];
    size_t len = 0, tail = dice(4) == 0 ? dice(900) : dice(20);
    for (uint32_t i = 0; i < count; i++) {
        char payload[1024];
        int n = snprintf(payload, sizeof payload, "%u%*s", w.numbers + i, (int)tail + 1, "");
        struct native_pub pub = {.topic = span_str(topic),
                                 .payload = span_of(payload, (size_t)n),
                                 .flags = (key ? NATIVE_PUB_KEY : 0u) | (ttl_ms ? NATIVE_PUB_TTL : 0u),
                                 .key = key ? span_str(key) : (struct span){0},
                                 .ttl_ms = ttl_ms};
        len += native_put_msg(frames + len, &pub, f.unix_ms);
    }
    return log_run(frames, len, count, key || ttl_ms);
}

static void push_somewhere(void)
{
    unsigned i = dice(SUBS), topic = dice(TOPICS), keyed = dice(3) == 0 ? 1 + dice(2) : 0;
    uint64_t ttl_ms = dice(8) == 0 ? 1 + dice(30) : 0;
    uint32_t count = 1 + (dice(3) == 0 ? dice(RUN_MAX) : dice(3));
    char name[8], key[8];
    snprintf(name, sizeof name, "%u/%u", i, topic);
    snprintf(key, sizeof key, "k%u", keyed);
    struct run run = make_messages(name, count, keyed ? key : NULL, ttl_ms);
    for (int p = 0; p < PEERS; p++) {
        struct listener *listener = &w.peer[p].listener[i];
        if (listener->sub.ended || dice(4) == 0 || listener->count + count > PUSHED_MAX)
            continue;
        for (uint32_t n = 0; n < count; n++)
            listener->pushed[listener->count++] =
                (struct pushed){.number = w.numbers + n, .name = (uint8_t)(3 * topic + keyed)};
        listener->ttl |= ttl_ms > 0;
        memory_may_fail(true);
        outbox_push(&w.peer[p].outbox, &listener->sub, &run);
        memory_may_fail(false);
    }
    w.numbers += count;
    memory_may_fail(true);
    delivery_routed(&f.delivery, run.len);
    memory_may_fail(false);
    chunk_unref(&f.delivery.pool, run.chunk);
}

static void answer(struct peer *peer)
{
    push_ok(&peer->outbox, ++peer->ok_sent);
}

static void turn(void)
{
    if (dice(4) == 0)
        f.delivery.position += CHUNK_BYTES; /* time to evacuate */
    end_turn();
}

static void pass_time(uint64_t ms)
{
    f.now_ms += ms;
    f.unix_ms += ms;
    timer_wheel_advance(&f.wheel, f.now_ms);
}

static void change_room(struct peer *peer)
{
    static const size_t rooms[] = {0, 0, 1, 5, 20, 90, 1000, SIZE_MAX};
    peer->fake.room = rooms[dice(8)];
    w.shorts += peer->fake.room != SIZE_MAX;
    if (peer->fake.room > 0 && peer->fake.wants_writable)
        outbox_flush(&peer->outbox);
}

static void end_or_start(struct peer *peer)
{
    struct listener *listener = &peer->listener[dice(SUBS)];
    if (!listener->sub.ended) {
        outbox_end_subscription(&listener->sub);
    } else if (!listener->sub.first) {
        hear(peer);
        assert_int_equal(listener->delivered + listener->lost, listener->count);
        listener_start(peer, (unsigned)(listener - peer->listener));
    }
}

static bool has_policy(const struct peer *peer, enum native_policy policy)
{
    for (int i = 0; i < SUBS; i++)
        if (peer->listener[i].sub.policy == policy)
            return true;
    return false;
}

/* As a session does that leaves: all is told before the connection goes, unless it is lost. */
static void farewell(struct peer *peer)
{
    if (peer->outbox.verdict != OUTBOX_LOST) {
        for (int i = 0; i < SUBS; i++)
            if (!peer->listener[i].sub.ended)
                outbox_end_subscription(&peer->listener[i].sub);
        outbox_abandon(&peer->outbox);
        open_up(&peer->fake, &peer->outbox, SIZE_MAX);
    }
    hear(peer);
    for (int i = 0; peer->outbox.verdict != OUTBOX_LOST && i < SUBS; i++)
        assert_int_equal(peer->listener[i].delivered + peer->listener[i].lost, peer->listener[i].count);
}

static void close_condemned(void)
{
    struct outbox *outbox;
    while ((outbox = delivery_next_condemned(&f.delivery))) {
        struct peer *peer = (struct peer *)((char *)outbox - offsetof(struct peer, outbox));
        if (outbox->verdict == OUTBOX_TOO_SLOW)
            assert_true(has_policy(peer, NATIVE_POLICY_DISCONNECT));
        else
            assert_true(outbox->verdict == OUTBOX_LOST && w.failing && w.allocations > w.fail_at);
        farewell(peer);
        peer_stop(peer);
        peer_start(peer, peer == &w.peer[2]);
        w.closed++;
    }
}

/* What a connection may hold: its bound, what cannot be dropped, and a notice of loss per subscription; one run more as
 * long as the socket has refused nothing. */
static void check_bounds(const struct peer *peer)
{
    if (has_policy(peer, NATIVE_POLICY_BLOCK))
        return;
    uint32_t more = outbox_blocked(&peer->outbox) ? 0 : RUN_MAX;
    size_t most = f.settings.queue_bytes + peer->outbox.control_bytes + more * MESSAGE_MAX +
                  200 * (SUBS + 1 + peer->ok_sent - peer->ok_heard);
    assert_true(outbox_bytes(&peer->outbox) <= most);
    assert_true(peer->outbox.held_bytes <= f.settings.queue_bytes + SUBS * 200);
    for (int i = 0; i < SUBS; i++)
        assert_true(peer->listener[i].sub.queued <= peer->listener[i].sub.queue + more);
}

static void step(void)
{
    struct peer *peer = &w.peer[dice(PEERS)];
    uint32_t what = dice(20);
    if (what < 9) {
        push_somewhere();
    } else if (what < 10) {
        answer(peer);
    } else {
        memory_may_fail(true);
        if (what < 14)
            turn();
        else if (what < 17)
            change_room(peer);
        else if (what < 19)
            pass_time(dice(15));
        memory_may_fail(false);
        if (what == 19)
            end_or_start(peer);
    }
    close_condemned();
    for (int i = 0; i < PEERS; i++) {
        hear(&w.peer[i]);
        check_bounds(&w.peer[i]);
    }
}

/* ---- at rest --------------------------------------------------------------------------------------------- */

static void check_listener(const struct listener *listener)
{
    const uint32_t *by = listener->lost_by;
    enum native_policy policy = (enum native_policy)listener->sub.policy;
    assert_int_equal(listener->delivered + listener->lost, listener->count);
    assert_int_equal(listener->sub.queued, 0);
    assert_true(listener->ttl || by[NATIVE_GAP_EXPIRED] == 0);
    assert_true(policy == NATIVE_POLICY_DROP_NEWEST || by[NATIVE_GAP_DROPPED_NEWEST] == 0);
    assert_true(policy == NATIVE_POLICY_CONFLATE || by[NATIVE_GAP_CONFLATED] + by[NATIVE_GAP_RATE] == 0);
    assert_true(policy == NATIVE_POLICY_CONFLATE || policy == NATIVE_POLICY_DROP_OLDEST ||
                by[NATIVE_GAP_DROPPED_OLDEST] == 0);
    if (policy != NATIVE_POLICY_CONFLATE || by[NATIVE_GAP_DROPPED_OLDEST] + by[NATIVE_GAP_EXPIRED] > 0)
        return;
    bool later[256] = {false};
    for (uint32_t i = listener->count; i-- > 0; later[listener->pushed[i].name] = true)
        if (!later[listener->pushed[i].name])
            assert_true(listener->pushed[i].heard);
}

static void come_to_rest(void)
{
    memory_may_fail(false);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PEERS; i++)
            open_up(&w.peer[i].fake, &w.peer[i].outbox, SIZE_MAX);
        pass_time(50);
        end_turn();
        close_condemned();
    }
    for (int i = 0; i < PEERS; i++) {
        struct peer *peer = &w.peer[i];
        hear(peer);
        assert_true(outbox_empty(&peer->outbox));
        assert_false(peer->fake.wants_writable);
        assert_int_equal(peer->outbox.control_bytes, 0);
        assert_int_equal(peer->ok_heard, peer->ok_sent);
        for (int s = 0; s < SUBS; s++)
            check_listener(&peer->listener[s]);
    }
    assert_null(f.delivery.blocked);
}

static void matched_is_delivered_plus_reported_whatever_happens(void **state)
{
    (void)state;
    unsigned drops = 0, shorts = 0, closed = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        world_start(seed);
        for (int i = 0; i < 250; i++)
            step();
        come_to_rest();
        world_stop();
        drops += w.drops;
        shorts += w.shorts;
        closed += w.closed;
    }
    print_message("# %u drops, %u short rooms, %u closed\n", drops, shorts, closed);
    assert_true(drops > 10000 && shorts > 1000 && closed > 10);
}

/* Each allocation fails once: what can no longer be told costs the connection, never the process. */
static void wherever_memory_fails_the_loss_is_told_or_the_connection_given_up(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        for (uint64_t fail_at = 0;; fail_at++) {
            world_start(seed);
            w.failing = true;
            w.fail_at = fail_at;
            for (int i = 0; i < 80; i++)
                step();
            come_to_rest();
            world_stop();
            if (w.allocations <= fail_at)
                break;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(matched_is_delivered_plus_reported_whatever_happens),
        delivery_test(wherever_memory_fails_the_loss_is_told_or_the_connection_given_up),
    };
    return cmocka_run_group_tests_name("delivery_model", tests, NULL, NULL);
}
