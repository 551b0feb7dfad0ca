#include "broker/router/interest.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "broker/memory.h"

struct interest {
    UT_hash_handle hh;
    uint64_t cookie;
    uint32_t subscribers;
    uint32_t unconfirmed; /* announcements under way */
    struct interest_wait *waiting;
    size_t filter_len;
    char filter[];
};

struct interest_table {
    unsigned shard, shards;
    const struct interest_ops *ops;
    void *context;
    struct interest *rows;
    uint32_t unconfirmed; /* of all rows */
    bool crowded;
};

struct interest_table *interest_table_new(unsigned shard, unsigned shards, const struct interest_ops *ops,
                                          void *context)
{
    struct interest_table *table = memory_must(sizeof *table);
    *table = (struct interest_table){.shard = shard, .shards = shards, .ops = ops, .context = context};
    return table;
}

static void row_free(struct interest_table *table, struct interest *row)
{
    HASH_DEL(table->rows, row);
    memory_free(row, sizeof *row + row->filter_len);
}

void interest_table_free(struct interest_table *table)
{
    struct interest *row, *next;
    HASH_ITER(hh, table->rows, row, next) row_free(table, row);
    free(table);
}

static struct interest *row_find(struct interest_table *table, struct span filter)
{
    struct interest *row = NULL;
    HASH_FIND(hh, table->rows, filter.data, filter.len, row);
    return row;
}

static struct interest *row_new(struct interest_table *table, struct span filter)
{
    struct interest *row = memory_alloc(sizeof *row + filter.len, 0);
    if (!row)
        return NULL;
    memset(row, 0, sizeof *row);
    row->filter_len = filter.len;
    memcpy(row->filter, filter.data, filter.len);
    row->cookie = (uint64_t)(uintptr_t)row;
    HASH_ADD_KEYPTR(hh, table->rows, row->filter, row->filter_len, row);
    return row;
}

static void set_crowded(struct interest_table *table, bool crowded)
{
    table->crowded = crowded;
    table->ops->crowded(table->context, crowded);
}

static void announce(struct interest_table *table, struct interest *row)
{
    for (unsigned shard = 0; shard < table->shards; shard++) {
        if (shard == table->shard)
            continue;
        row->unconfirmed++;
        table->unconfirmed++;
        table->ops->announce(table->context, shard, span_of(row->filter, row->filter_len), row->cookie);
    }
    if (!table->crowded && table->unconfirmed >= INTEREST_UNCONFIRMED_MAX)
        set_crowded(table, true);
}

enum err interest_add(struct interest_table *table, struct span filter, struct interest_wait *wait,
                      bool *must_wait)
{
    *must_wait = false;
    if (table->shards == 1)
        return ERR_NONE;
    struct interest *row = row_find(table, filter);
    if (!row && !(row = row_new(table, filter)))
        return ERR_NO_MEMORY;
    if (row->subscribers++ == 0)
        announce(table, row);
    if (row->unconfirmed == 0)
        return ERR_NONE;
    *wait = (struct interest_wait){.interest = row, .next = row->waiting};
    if (row->waiting)
        row->waiting->prev = wait;
    row->waiting = wait;
    *must_wait = true;
    return ERR_NONE;
}

void interest_remove(struct interest_table *table, struct span filter)
{
    if (table->shards == 1)
        return;
    struct interest *row = row_find(table, filter);
    if (!row || --row->subscribers > 0)
        return;
    for (unsigned shard = 0; shard < table->shards; shard++)
        if (shard != table->shard)
            table->ops->withdraw(table->context, shard, filter);
    if (row->unconfirmed == 0)
        row_free(table, row);
}

void interest_leave(struct interest_wait *wait)
{
    if (!wait->interest)
        return;
    if (wait->next)
        wait->next->prev = wait->prev;
    *(wait->prev ? &wait->prev->next : &wait->interest->waiting) = wait->next;
    *wait = (struct interest_wait){0};
}

/* A row lives until its last announcement is confirmed, so the cookie is its address. The last one counts only when all
 * who waited have been told: what they do about it may remove the row, or announce it anew. */
void interest_confirmed(struct interest_table *table, uint64_t cookie)
{
    struct interest *row = (struct interest *)(uintptr_t)cookie;
    while (row->unconfirmed == 1 && row->waiting) {
        struct interest_wait *wait = row->waiting;
        interest_leave(wait);
        table->ops->ready(table->context, wait);
    }
    if (--row->unconfirmed == 0 && row->subscribers == 0)
        row_free(table, row);
    table->unconfirmed--;
    if (table->crowded && table->unconfirmed <= INTEREST_UNCONFIRMED_MAX / 2)
        set_crowded(table, false);
}
