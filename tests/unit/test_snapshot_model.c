#include "tests/unit/shard_fixture.h"

#include "broker/random.h"
#include "proto/topic.h"

/*
 * Retained values against a model, in random interleavings of two shards, publishers and slow subscribers. Each topic has
 * one publisher, so that its numbers tell exactly what a subscriber must get: live, in order, all that was retained or
 * cleared from some moment on and all that was published behind the OK; and in front of it the value that was retained at
 * that moment, once, unless a newer one or its clearing came live instead.
 */
enum { TOPICS = 100, NUMBERS = 100, SUBSCRIBERS = 6, STEPS = 2500, ROUNDS = 300, PAYLOAD_MAX = 800 };

enum kind { PASSING, KEPT, CLEARED };

static struct {
    struct random dice;
    struct peer *publisher[2];
    uint8_t kind[TOPICS][NUMBERS]; /* enum kind, by number; the first is 1 */
    unsigned last[TOPICS];
    struct peer *subscriber[SUBSCRIBERS];
    const char *filter[SUBSCRIBERS]; /* NULL: has not subscribed */
    bool answered[SUBSCRIBERS];
    unsigned before[SUBSCRIBERS][TOPICS]; /* the last number published before the OK */
} m;

static bool chance(unsigned percent)
{
    return random_below(&m.dice, 100) < percent;
}

static void input(struct peer *peer, struct wire_buf *out)
{
    session_input(peer->session, span_of(out->data, out->len));
    wire_buf_fini(out);
}

static void topic_name(char topic[12], unsigned t)
{
    snprintf(topic, 12, "t/%u", t);
}

static void publish_something(void)
{
    unsigned t = (unsigned)random_below(&m.dice, TOPICS);
    static const uint8_t payload[PAYLOAD_MAX];
    char topic[12], number[12];
    struct wire_buf out;
    if (m.last[t] == NUMBERS - 1)
        return;
    enum kind kind = chance(40) ? PASSING : chance(85) ? KEPT : CLEARED;
    m.kind[t][++m.last[t]] = (uint8_t)kind;
    topic_name(topic, t);
    snprintf(number, sizeof number, "%u", m.last[t]);
    /* long enough that a snapshot of few topics waits for the peer */
    struct native_pub frame = {
        .topic = span_str(topic),
        .payload = span_of(payload, kind == CLEARED ? 0 : 1 + random_below(&m.dice, PAYLOAD_MAX)),
        .key = span_str(number),
        .flags = NATIVE_PUB_KEY | (kind == PASSING ? 0u : NATIVE_PUB_RETAIN)};
    wire_buf_init(&out, 0);
    assert_int_equal(native_encode_pub(&out, &frame), ERR_NONE);
    input(m.publisher[t % 2], &out);
}

static void subscribe_somebody(void)
{
    static const char *const filters[] = {"#", "t/#", "t/+", "+/3", "t/5"};
    unsigned s = (unsigned)random_below(&m.dice, SUBSCRIBERS);
    struct wire_buf out;
    if (m.filter[s])
        return;
    m.filter[s] = filters[random_below(&m.dice, 5)];
    m.subscriber[s]->room = random_below(&m.dice, 2000);
    wire_buf_init(&out, 0);
    sub(&out, 1, m.filter[s], NATIVE_POLICY_DEFAULT, 100000);
    input(m.subscriber[s], &out);
}

static void turn_somewhere(void)
{
    struct shard *shard = &w.shards[random_below(&m.dice, SHARDS)];
    if (chance(70))
        shard_receive(shard);
    if (chance(70))
        shard_end_turn(shard);
}

static void drain_somebody(void)
{
    struct peer *peer = m.subscriber[random_below(&m.dice, SUBSCRIBERS)];
    peer->room = random_below(&m.dice, 600);
    session_writable(peer->session);
}

/* ---- judging -------------------------------------------------------------------------------------------- */

/* What one subscriber got of one topic. */
struct got {
    unsigned retained, last; /* numbers; 0: none */
    bool live[NUMBERS];
};

static void take(struct got *got, const struct native_msg *msg, unsigned t)
{
    char text[12];
    snprintf(text, sizeof text, "%.*s", (int)msg->key.len, (const char *)msg->key.data);
    unsigned number = (unsigned)strtoul(text, NULL, 10);
    assert_in_range(number, got->last + 1, m.last[t]); /* in order, and the value before all that is newer */
    got->last = number;
    if (msg->flags & NATIVE_PUB_RETAINED) {
        assert_int_equal(got->retained, 0);
        assert_int_equal(m.kind[t][number], KEPT);
        got->retained = number;
    } else {
        got->live[number] = true;
    }
}

static void check_topic(const struct got *got, unsigned s, unsigned t)
{
    unsigned kept = 0;
    bool replaced = false;
    for (unsigned n = 1; n <= m.last[t]; n++) {
        if (m.kind[t][n] == PASSING) {
            assert_true(got->live[n] || n <= m.before[s][t]);
            continue;
        }
        assert_true(got->live[n] || !replaced);
        replaced |= got->live[n];
        if (!replaced)
            kept = m.kind[t][n] == KEPT ? n : 0;
    }
    if (got->retained)
        assert_int_equal(got->retained, kept);
    else
        assert_true(kept == 0 || replaced);
}

/* Everything that the subscriber got; returns how many EVENTs. */
static unsigned take_all(struct peer *peer, struct got got[TOPICS])
{
    struct span in = span_of(peer->bytes + peer->read, peer->len - peer->read), frame;
    unsigned events = 0, t;
    size_t need;
    while (native_next_frame(&in, 1 << 20, &frame, &need) == ERR_NONE) {
        uint32_t op, count;
        struct cursor body;
        struct native_msg msg;
        assert_int_equal(native_open(frame, &op, &count, &body), ERR_NONE);
        assert_true(op == NATIVE_MSG || op == NATIVE_OK || op == NATIVE_EVENT);
        events += op == NATIVE_EVENT;
        if (op != NATIVE_MSG)
            continue;
        assert_int_equal(native_decode_msg(body, count, &msg), ERR_NONE);
        char topic[12];
        snprintf(topic, sizeof topic, "%.*s", (int)msg.topic.len, (const char *)msg.topic.data);
        assert_int_equal(sscanf(topic, "t/%u", &t), 1);
        take(&got[t], &msg, t);
    }
    return events;
}

static void check_subscriber(unsigned s)
{
    static struct got got[TOPICS];
    memset(got, 0, sizeof got);
    unsigned events = take_all(m.subscriber[s], got);
    assert_true(events <= 1);
    for (unsigned t = 0; t < TOPICS; t++) {
        char topic[12];
        topic_name(topic, t);
        bool matches = m.filter[s] && filter_matches(span_str(m.filter[s]), span_str(topic));
        if (matches)
            check_topic(&got[t], s, t);
        else
            assert_int_equal(got[t].last, 0);
        assert_true(!got[t].retained || events == 1);
    }
}

/* Who has been answered hears everything from now on. */
static void note_answers(void)
{
    for (unsigned s = 0; s < SUBSCRIBERS; s++) {
        if (!m.filter[s] || m.answered[s] || m.subscriber[s]->session->subs->wait)
            continue;
        m.answered[s] = true;
        memcpy(m.before[s], m.last, sizeof m.last);
    }
}

/* ---- a round -------------------------------------------------------------------------------------------- */

static void play(void)
{
    for (int step = 0; step < STEPS; step++) {
        unsigned what = (unsigned)random_below(&m.dice, 100);
        if (what < 45)
            publish_something();
        else if (what < 46)
            subscribe_somebody();
        else if (what < 80)
            turn_somewhere();
        else
            drain_somebody();
        note_answers();
    }
    for (unsigned s = 0; s < SUBSCRIBERS; s++) {
        settle();
        drink(m.subscriber[s], SIZE_MAX);
    }
    for (int i = 0; i < 20; i++)
        settle();
    note_answers();
}

static void a_snapshot_and_the_stream_are_what_was_published(void **state)
{
    (void)state;
    struct random dice = {.state = 1};
    for (int round = 0; round < ROUNDS; round++) {
        memset(&m, 0, sizeof m);
        m.dice.state = random_next(&dice);
        for (unsigned i = 0; i < 2; i++)
            m.publisher[i] = greeted(i);
        for (unsigned s = 0; s < SUBSCRIBERS; s++) {
            m.subscriber[s] = greeted(s % SHARDS);
            heard(m.subscriber[s]);
        }
        play();
        for (unsigned s = 0; s < SUBSCRIBERS; s++)
            check_subscriber(s);
        for (unsigned i = 0; i < 2; i++)
            peer_free(m.publisher[i]);
        for (unsigned s = 0; s < SUBSCRIBERS; s++)
            peer_free(m.subscriber[s]);
        world_teardown(state);
        world_setup(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_snapshot_and_the_stream_are_what_was_published),
    };
    return cmocka_run_group_tests_name("snapshot_model", tests, NULL, NULL);
}
