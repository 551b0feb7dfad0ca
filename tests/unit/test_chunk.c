#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/delivery/chunk.h"
#include "broker/memory.h"

enum { SHARDS = 3 };

static struct chunk_pool pools[SHARDS];
static uint64_t used_before;

static int begin(void **state)
{
    (void)state;
    used_before = memory_used();
    for (unsigned shard = 0; shard < SHARDS; shard++)
        chunk_pool_init(&pools[shard], shard, SHARDS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        chunk_pool_fini(&pools[shard]);
    return memory_used() == used_before ? 0 : -1;
}

static bool in_pool(const struct chunk_pool *pool, const struct chunk *chunk)
{
    for (const struct chunk *free = pool->free; free; free = free->next_free)
        if (free == chunk)
            return true;
    return false;
}

static void all_of_a_chunk_can_be_written_and_its_counts_lie_outside(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    assert_int_equal(chunk->cap, CHUNK_BYTES);
    memset(chunk->data, 0xff, chunk->cap);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        assert_int_equal(*chunk_local(&pools[shard], chunk), shard == 0 ? 1 : 0);
    assert_ptr_equal(chunk->data + chunk->cap, (uint8_t *)chunk + chunk->alloc);
    chunk_unref(&pools[0], chunk);
}

static void shards_count_on_cache_lines_of_their_own(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        assert_int_equal((uintptr_t)chunk_local(&pools[shard], chunk) % 64, 0);
        assert_ptr_not_equal(chunk_local(&pools[shard], chunk),
                             chunk_local(&pools[(shard + 1) % SHARDS], chunk));
    }
    chunk_unref(&pools[0], chunk);
}

static void the_last_local_reference_lets_go_of_the_shared_one(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    chunk_ref(&pools[0], chunk);
    chunk_ref(&pools[0], chunk);
    assert_int_equal(chunk->shards, 1);
    chunk_unref(&pools[0], chunk);
    chunk_unref(&pools[0], chunk);
    assert_int_equal(chunk->shards, 1);
    assert_int_equal(pools[0].released, 0);
    chunk_unref(&pools[0], chunk);
    assert_int_equal(pools[0].released, 1);
    assert_true(in_pool(&pools[0], chunk));
}

static void a_chunk_in_a_mail_outlives_its_sender_and_ends_where_it_is_used_last(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    memcpy(chunk->data, "bytes", 5);
    chunk_send(chunk);
    chunk_unref(&pools[0], chunk);
    assert_false(in_pool(&pools[0], chunk));
    assert_int_equal(chunk->shards, 1);
    chunk_arrive(&pools[2], chunk);
    assert_int_equal(chunk->shards, 1);
    assert_memory_equal(chunk->data, "bytes", 5);
    chunk_unref(&pools[2], chunk);
    assert_true(in_pool(&pools[2], chunk));
}

static void two_mails_of_one_chunk_to_one_shard_are_one_shared_reference_there(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    chunk_send(chunk);
    chunk_send(chunk);
    assert_int_equal(chunk->shards, 3);
    chunk_arrive(&pools[1], chunk);
    chunk_arrive(&pools[1], chunk);
    assert_int_equal(chunk->shards, 2);
    assert_int_equal(*chunk_local(&pools[1], chunk), 2);
    chunk_unref(&pools[1], chunk);
    chunk_unref(&pools[1], chunk);
    assert_int_equal(chunk->shards, 1);
    chunk_unref(&pools[0], chunk);
    assert_true(in_pool(&pools[0], chunk));
}

static void a_mail_that_is_never_delivered_gives_its_reference_back(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    chunk_send(chunk);
    chunk_unref(&pools[0], chunk);
    chunk_discard(&pools[1], chunk);
    assert_true(in_pool(&pools[1], chunk));
}

static void a_standard_chunk_is_used_again_and_starts_empty(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_new_shared(&pools[0], 1);
    assert_non_null(chunk);
    chunk->used = 77;
    chunk_unref(&pools[0], chunk);
    struct chunk *again = chunk_new_shared(&pools[0], CHUNK_BYTES);
    assert_ptr_equal(again, chunk);
    assert_int_equal(again->used, 0);
    assert_int_equal(again->shards, 1);
    assert_int_equal(pools[0].count, 0);
    chunk_unref(&pools[0], again);
}

static void a_kept_chunk_is_not_given_to_one_who_needs_more(void **state)
{
    (void)state;
    chunk_unref(&pools[0], chunk_new_shared(&pools[0], 1));
    assert_int_equal(pools[0].count, 1);
    struct chunk *large = chunk_new_shared(&pools[0], CHUNK_BYTES + 1);
    assert_non_null(large);
    assert_int_equal(large->cap, CHUNK_BYTES + 1);
    chunk_unref(&pools[0], large);
}

static void a_pool_keeps_so_many_and_frees_the_rest(void **state)
{
    (void)state;
    struct chunk *chunks[CHUNK_POOL_MAX + 2];
    for (unsigned i = 0; i < CHUNK_POOL_MAX + 2; i++) {
        chunks[i] = chunk_new_shared(&pools[0], 1);
        assert_non_null(chunks[i]);
    }
    uint64_t each = chunks[0]->alloc;
    for (unsigned i = 0; i < CHUNK_POOL_MAX + 2; i++)
        chunk_unref(&pools[0], chunks[i]);
    assert_int_equal(pools[0].count, CHUNK_POOL_MAX);
    assert_true(memory_used() == used_before + CHUNK_POOL_MAX * each);
}

static void a_larger_or_private_chunk_is_not_kept(void **state)
{
    (void)state;
    struct chunk *large = chunk_new_shared(&pools[0], CHUNK_BYTES + 1);
    struct chunk *small = chunk_new_private(&pools[0], 100);
    struct chunk *standard = chunk_new_private(&pools[0], CHUNK_BYTES);
    assert_true(large && small && standard);
    assert_int_equal(large->cap, CHUNK_BYTES + 1);
    assert_int_equal(small->cap, 100);
    memset(small->data, 0xff, small->cap);
    assert_int_equal(*chunk_local(&pools[0], small), 1);
    chunk_unref(&pools[0], large);
    chunk_unref(&pools[0], small);
    chunk_unref(&pools[0], standard);
    assert_int_equal(pools[0].count, 0);
    assert_true(memory_used() == used_before);
}

static bool always(void *context, size_t bytes)
{
    (void)context;
    (void)bytes;
    return true;
}

static void out_of_memory_is_null_but_for_what_the_pool_holds(void **state)
{
    (void)state;
    struct chunk *kept = chunk_new_shared(&pools[0], 1);
    assert_non_null(kept);
    chunk_unref(&pools[0], kept);
    memory_set_fail_hook(always, NULL);
    struct chunk *again = chunk_new_shared(&pools[0], 1);
    assert_ptr_equal(again, kept);
    assert_null(chunk_new_shared(&pools[0], 1));
    assert_null(chunk_new_private(&pools[0], 1));
    memory_set_fail_hook(NULL, NULL);
    chunk_unref(&pools[0], again);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_of_a_chunk_can_be_written_and_its_counts_lie_outside),
        CASE(shards_count_on_cache_lines_of_their_own),
        CASE(the_last_local_reference_lets_go_of_the_shared_one),
        CASE(a_chunk_in_a_mail_outlives_its_sender_and_ends_where_it_is_used_last),
        CASE(two_mails_of_one_chunk_to_one_shard_are_one_shared_reference_there),
        CASE(a_mail_that_is_never_delivered_gives_its_reference_back),
        CASE(a_standard_chunk_is_used_again_and_starts_empty),
        CASE(a_kept_chunk_is_not_given_to_one_who_needs_more),
        CASE(a_pool_keeps_so_many_and_frees_the_rest),
        CASE(a_larger_or_private_chunk_is_not_kept),
        CASE(out_of_memory_is_null_but_for_what_the_pool_holds),
    };
    return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
