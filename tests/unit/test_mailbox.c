#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/mailbox.h"

enum { KIND_DATA = 1, KIND_CONTROL, BOUND = 1000, SHARDS = 3, LOG_MAX = 256 };

static struct mailroom *room;
static struct mailbox *box[SHARDS];
static unsigned wakes[SHARDS];

static struct {
    struct mail mail[LOG_MAX];
    size_t count;
    unsigned credit[LOG_MAX];
    size_t credits;
} heard;

static void count_wake(void *context, unsigned shard)
{
    (void)context;
    wakes[shard]++;
}

static int begin(void **state)
{
    (void)state;
    room = mailroom_new(SHARDS, BOUND, count_wake, NULL);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        box[shard] = mailroom_box(room, shard);
    memset(wakes, 0, sizeof wakes);
    memset(&heard, 0, sizeof heard);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mailroom_free(room);
    return 0;
}

static void hear(void *context, const struct mail *mail)
{
    (void)context;
    if (heard.count < LOG_MAX)
        heard.mail[heard.count] = *mail;
    heard.count++;
}

static void hear_credit(void *context, unsigned receiver)
{
    (void)context;
    heard.credit[heard.credits++] = receiver;
}

static bool stage(unsigned from, unsigned to, uint64_t number, uint32_t charge)
{
    struct mail mail = {.kind = charge ? KIND_DATA : KIND_CONTROL, .body = {number}};
    return mailbox_stage(box[from], to, &mail, charge);
}

static bool receive(unsigned shard)
{
    return mailbox_receive(box[shard], hear, hear_credit, NULL);
}

/* ---- order and wake-ups --------------------------------------------------------------------------------- */

static void mails_arrive_whole_and_in_the_order_of_staging(void **state)
{
    (void)state;
    struct mail mail = {.kind = 7, .body = {1, 2, 3, 4, 5, 6, 7}};
    assert_true(mailbox_stage(box[2], 1, &mail, 100));
    assert_true(stage(2, 1, 2, 0));
    mailbox_flush(box[2]);
    assert_true(stage(2, 1, 3, 70));
    mailbox_flush(box[2]);
    assert_true(receive(1));
    assert_int_equal(heard.count, 3);
    assert_int_equal(heard.mail[0].kind, 7);
    assert_int_equal(heard.mail[0].from, 2);
    assert_int_equal(heard.mail[0].charge, 100);
    assert_memory_equal(heard.mail[0].body, mail.body, sizeof mail.body);
    assert_int_equal(heard.mail[1].body[0], 2);
    assert_int_equal(heard.mail[2].body[0], 3);
    assert_false(receive(1));
    assert_false(receive(0));
}

static void nothing_leaves_before_the_flush(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 1, 0));
    assert_false(receive(1));
    assert_int_equal(wakes[1], 0);
    mailbox_flush(box[0]);
    assert_true(receive(1));
}

static void a_sleeping_receiver_is_woken_once_until_it_receives(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_true(stage(0, 1, turn, 0) && stage(0, 1, turn, 10) && stage(2, 1, turn, 0));
        mailbox_flush(box[0]);
        mailbox_flush(box[2]);
    }
    assert_int_equal(wakes[1], 1);
    assert_int_equal(wakes[2], 0);
    receive(1);
    assert_int_equal(heard.count, 9);
    mailbox_flush(box[0]);
    assert_int_equal(wakes[1], 1);
    assert_true(stage(0, 1, 9, 0));
    mailbox_flush(box[0]);
    assert_int_equal(wakes[1], 2);
    receive(1);
}

static void answer(void *context, const struct mail *mail)
{
    hear(context, mail);
    if (mail->body[0] < 3)
        stage(1, 0, mail->body[0] + 10, 0);
    mailbox_flush(box[1]);
}

static void a_receiver_may_answer_while_it_receives(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 5; number++)
        assert_true(stage(0, 1, number, 0));
    mailbox_flush(box[0]);
    mailbox_receive(box[1], answer, NULL, NULL);
    assert_int_equal(heard.count, 5);
    receive(0);
    assert_int_equal(heard.count, 8);
    assert_int_equal(heard.mail[7].body[0], 12);
}

static void a_shard_may_write_to_itself(void **state)
{
    (void)state;
    assert_true(stage(0, 0, 5, 900));
    mailbox_flush(box[0]);
    assert_int_equal(wakes[0], 1);
    receive(0);
    mailbox_flush(box[0]);
    assert_true(stage(0, 0, 6, 900));
    mailbox_flush(box[0]);
    receive(0);
    assert_int_equal(heard.mail[1].body[0], 6);
}

/* ---- the bound ------------------------------------------------------------------------------------------ */

static void data_is_refused_at_the_bound_and_control_is_not(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 600));
    assert_true(stage(0, 1, 1, 400));
    assert_false(mailbox_congested(box[0]));
    assert_false(stage(0, 1, 2, 1));
    assert_true(mailbox_congested(box[0]));
    assert_true(stage(0, 1, 3, 0));
    mailbox_flush(box[0]);
    assert_false(stage(0, 1, 4, 64));
    receive(1);
    assert_int_equal(heard.count, 3);
}

static void each_pair_has_a_bound_of_its_own(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 1000));
    assert_true(stage(0, 2, 0, 1000));
    assert_true(stage(2, 1, 0, 1000));
    assert_true(stage(1, 0, 0, 1000));
    for (unsigned shard = 0; shard < SHARDS; shard++)
        mailbox_flush(box[shard]);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        receive(shard);
    assert_int_equal(heard.count, 4);
}

static void small_data_counts_as_the_size_of_a_mail(void **state)
{
    (void)state;
    unsigned accepted = 0;
    while (stage(0, 1, accepted, 1))
        accepted++;
    assert_int_equal(accepted, BOUND / sizeof(struct mail));
    mailbox_flush(box[0]);
    receive(1);
}

static void one_mail_larger_than_the_bound_is_accepted_when_nothing_is_under_way(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 5000));
    assert_false(stage(0, 1, 1, 5000));
    assert_true(stage(0, 1, 2, 0));
    mailbox_flush(box[0]);
    receive(1);
    mailbox_flush(box[1]);
    receive(0);
    assert_int_equal(heard.credits, 1);
    assert_true(stage(0, 1, 1, 5000));
    mailbox_flush(box[0]);
    receive(1);
}

static void bytes_come_back_with_the_receivers_next_flush(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 1000));
    mailbox_flush(box[0]);
    receive(1);
    assert_false(stage(0, 1, 1, 100));
    mailbox_flush(box[1]);
    assert_true(stage(0, 1, 1, 100));
    mailbox_flush(box[0]);
    receive(1);
}

static void one_that_was_refused_is_woken_and_told_once_half_is_free(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 400));
    mailbox_flush(box[0]);
    receive(1);
    assert_true(stage(0, 1, 1, 600));
    mailbox_flush(box[0]);
    assert_false(stage(0, 1, 2, 100));
    mailbox_flush(box[2]);
    assert_int_equal(wakes[0], 0);
    /* 600 are left: more than half. */
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 1);
    assert_false(receive(0));
    assert_int_equal(heard.credits, 0);
    receive(1);
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 2);
    assert_true(receive(0));
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 2);
    assert_int_equal(heard.credits, 1);
    assert_int_equal(heard.credit[0], 1);
    assert_false(mailbox_congested(box[0]));
    assert_false(receive(0));
    assert_int_equal(heard.credits, 1);
}

static void a_flush_without_anything_delivered_wakes_nobody(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 1000));
    mailbox_flush(box[0]);
    assert_false(stage(0, 1, 1, 100));
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 0);
    receive(1);
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 1);
}

static void room_is_told_only_when_the_largest_refused_mail_fits(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 600));
    mailbox_flush(box[0]);
    receive(1);
    assert_true(stage(0, 1, 1, 400));
    assert_false(stage(0, 1, 2, 700));
    assert_false(stage(0, 1, 3, 100));
    mailbox_flush(box[1]);
    receive(0);
    assert_int_equal(heard.credits, 0);
    mailbox_flush(box[0]);
    receive(1);
    mailbox_flush(box[1]);
    receive(0);
    assert_int_equal(heard.credits, 1);
}

static void a_sender_that_was_not_refused_is_not_woken_by_what_comes_back(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 0, 900));
    mailbox_flush(box[0]);
    receive(1);
    mailbox_flush(box[1]);
    assert_int_equal(wakes[0], 0);
    assert_false(receive(0));
}

/* ---- shutdown ------------------------------------------------------------------------------------------- */

static void dispose(void *context, unsigned receiver, const struct mail *mail)
{
    assert_int_equal(mail->body[0] % 10, receiver);
    hear(context, mail);
}

static void what_was_not_delivered_is_handed_over_staged_or_sent(void **state)
{
    (void)state;
    assert_true(stage(0, 1, 11, 100) && stage(0, 2, 2, 0));
    mailbox_flush(box[0]);
    assert_true(stage(0, 1, 21, 100) && stage(2, 0, 0, 100));
    mailroom_discard(room, dispose, NULL);
    assert_int_equal(heard.count, 4);
    mailroom_discard(room, dispose, NULL);
    assert_int_equal(heard.count, 4);
}

static void thousands_of_mails_in_one_turn_arrive(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 3; turn++) {
        for (uint64_t number = 0; number < 10000; number++)
            assert_true(stage(0, 1, number, 0));
        mailbox_flush(box[0]);
        assert_true(stage(0, 1, 10000, 0));
        mailbox_flush(box[0]);
        receive(1);
        assert_int_equal(heard.count, 10001 * (turn + 1));
    }
}

/* ---- threads -------------------------------------------------------------------------------------------- */

enum { THREADS = 4, MAILS_EACH = 4000 };

/* A shard that sends numbered mails to all the others, and checks what it gets. */
struct runner {
    struct mailbox *box;
    unsigned shard;
    uint64_t next_out[THREADS], next_in[THREADS]; /* data */
    uint64_t refusals, credits, disorder;
    bool blocked[THREADS];
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool awake;
};

static struct runner runner[THREADS];

static void ring(void *context, unsigned shard)
{
    (void)context;
    pthread_mutex_lock(&runner[shard].lock);
    runner[shard].awake = true;
    pthread_cond_signal(&runner[shard].rung);
    pthread_mutex_unlock(&runner[shard].lock);
}

static void sleep_until_rung(struct runner *self)
{
    pthread_mutex_lock(&self->lock);
    while (!self->awake)
        pthread_cond_wait(&self->rung, &self->lock);
    self->awake = false;
    pthread_mutex_unlock(&self->lock);
}

static void check(void *context, const struct mail *mail)
{
    struct runner *self = context;
    if (mail->body[0] != self->next_in[mail->from]++)
        self->disorder++;
}

static void unblock(void *context, unsigned receiver)
{
    struct runner *self = context;
    self->blocked[receiver] = false;
    self->credits++;
}

static void send_some(struct runner *self, unsigned to)
{
    for (unsigned i = 0; i < 50 && self->next_out[to] < MAILS_EACH; i++) {
        uint64_t number = self->next_out[to];
        struct mail mail = {.kind = KIND_DATA, .body = {number}};
        if (!mailbox_stage(self->box, to, &mail, number % 7 == 0 ? 0 : 64 + (uint32_t)(number % 200))) {
            self->refusals++;
            self->blocked[to] = true;
            return;
        }
        self->next_out[to]++;
    }
}

/* Whether it can send on without being woken. */
static bool send_to_all(struct runner *self)
{
    bool more = false;
    for (unsigned to = 0; to < THREADS; to++) {
        if (to == self->shard || self->blocked[to])
            continue;
        send_some(self, to);
        more |= !self->blocked[to] && self->next_out[to] < MAILS_EACH;
    }
    return more;
}

static bool finished(const struct runner *self)
{
    for (unsigned peer = 0; peer < THREADS; peer++)
        if (peer != self->shard && (self->next_in[peer] < MAILS_EACH || self->next_out[peer] < MAILS_EACH))
            return false;
    return true;
}

static void *run_shard(void *argument)
{
    struct runner *self = argument;
    for (;;) {
        mailbox_receive(self->box, check, unblock, self);
        bool more = send_to_all(self);
        mailbox_flush(self->box);
        if (finished(self))
            return NULL;
        if (!more)
            sleep_until_rung(self);
    }
}

static void four_threads_lose_nothing_keep_order_and_never_sleep_through_room(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    struct mailroom *shared = mailroom_new(THREADS, 2000, ring, NULL);
    memset(runner, 0, sizeof runner);
    for (unsigned i = 0; i < THREADS; i++) {
        runner[i].box = mailroom_box(shared, i);
        runner[i].shard = i;
        assert_int_equal(pthread_mutex_init(&runner[i].lock, NULL), 0);
        assert_int_equal(pthread_cond_init(&runner[i].rung, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_shard, &runner[i]), 0);
    uint64_t refusals = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(runner[i].disorder, 0);
        refusals += runner[i].refusals;
    }
    assert_true(refusals > 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_mutex_destroy(&runner[i].lock);
        pthread_cond_destroy(&runner[i].rung);
    }
    mailroom_free(shared);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(mails_arrive_whole_and_in_the_order_of_staging),
        CASE(nothing_leaves_before_the_flush),
        CASE(a_sleeping_receiver_is_woken_once_until_it_receives),
        CASE(a_receiver_may_answer_while_it_receives),
        CASE(a_shard_may_write_to_itself),
        CASE(data_is_refused_at_the_bound_and_control_is_not),
        CASE(each_pair_has_a_bound_of_its_own),
        CASE(small_data_counts_as_the_size_of_a_mail),
        CASE(one_mail_larger_than_the_bound_is_accepted_when_nothing_is_under_way),
        CASE(bytes_come_back_with_the_receivers_next_flush),
        CASE(one_that_was_refused_is_woken_and_told_once_half_is_free),
        CASE(a_flush_without_anything_delivered_wakes_nobody),
        CASE(room_is_told_only_when_the_largest_refused_mail_fits),
        CASE(a_sender_that_was_not_refused_is_not_woken_by_what_comes_back),
        CASE(what_was_not_delivered_is_handed_over_staged_or_sent),
        CASE(thousands_of_mails_in_one_turn_arrive),
        cmocka_unit_test(four_threads_lose_nothing_keep_order_and_never_sleep_through_room),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
