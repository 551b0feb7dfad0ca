#include "broker/router/retained.h"

#include <assert.h>
#include <string.h>

#include "broker/memory.h"
#include "proto/native_reply.h"
#include "proto/topic.h"

/* Of a stamp: the shard, below the Lamport time. */
enum { SHARD_BITS = 8 };

static int compare(const struct retained *a, const struct retained *b)
{
    size_t len = a->topic.len < b->topic.len ? a->topic.len : b->topic.len;
    int order = len ? memcmp(a->topic.data, b->topic.data, len) : 0;
    return order ? order : (a->topic.len > b->topic.len) - (a->topic.len < b->topic.len);
}

/* RB_GENERATE_STATIC() of the library needs a macro that Debian's headers no longer define. */
RB_GENERATE_INTERNAL(retained_tree, retained, link, compare, __attribute__((unused)) static)

/* ---- entries -------------------------------------------------------------------------------------------- */

static size_t struct_bytes(const struct retained *entry)
{
    return sizeof *entry + entry->topic.len;
}

/* What a value costs the broker, with an entry on each shard. */
static uint64_t value_bytes(const struct retained_table *table, size_t topic_len, const struct chunk *chunk)
{
    return table->config.shards * (sizeof(struct retained) + topic_len) + chunk->alloc;
}

static struct retained *entry_new(struct span topic, uint64_t stamp)
{
    struct retained *entry = memory_alloc(sizeof *entry + topic.len, 0);
    if (!entry)
        return NULL;
    *entry = (struct retained){.stamp = stamp, .topic = span_of(entry->name, topic.len)};
    memcpy(entry->name, topic.data, topic.len);
    return entry;
}

static void entry_free(struct chunk_pool *pool, struct retained *entry)
{
    if (entry->chunk)
        chunk_unref(pool, entry->chunk);
    memory_free(entry, struct_bytes(entry));
}

void retained_discard(struct chunk_pool *pool, struct retained *entries, bool sent)
{
    while (entries) {
        struct retained *entry = entries;
        entries = entry->next;
        if (entry->chunk && sent)
            chunk_discard(pool, entry->chunk);
        else if (entry->chunk)
            chunk_unref(pool, entry->chunk);
        memory_free(entry, struct_bytes(entry));
    }
}

/* ---- the table ------------------------------------------------------------------------------------------ */

void retained_init(struct retained_table *table, const struct retained_config *config)
{
    *table = (struct retained_table){.config = *config};
    RB_INIT(&table->tree);
    wire_buf_init(&table->scratch, 0);
}

static void count(struct retained_table *table, const struct retained *entry, int by)
{
    table->entries += (uint64_t)by;
    if (!entry->chunk)
        return;
    table->values += (uint64_t)by;
    table->bytes += (uint64_t)by * value_bytes(table, entry->topic.len, entry->chunk);
}

static void remove_entry(struct retained_table *table, struct retained *entry)
{
    RB_REMOVE(retained_tree, &table->tree, entry);
    timer_stop(table->config.wheel, &entry->timer);
    count(table, entry, -1);
    entry_free(table->config.pool, entry);
}

void retained_fini(struct retained_table *table)
{
    struct retained *entry;
    while ((entry = RB_ROOT(&table->tree)))
        remove_entry(table, entry);
    wire_buf_fini(&table->scratch);
}

static struct retained *find_entry(struct retained_table *table, struct span topic)
{
    struct retained key = {.topic = topic};
    return RB_FIND(retained_tree, &table->tree, &key);
}

struct retained *retained_find(struct retained_table *table, struct span topic)
{
    struct retained *entry = table->entries ? find_entry(table, topic) : NULL;
    return entry && entry->chunk ? entry : NULL;
}

/* ---- making --------------------------------------------------------------------------------------------- */

/* Not more than half of the broker's memory: what lies above limits.memory costs connections. */
static uint64_t bytes_max(const struct retained_table *table)
{
    uint64_t half = memory_limit() / 2;
    return half < table->config.bytes_max ? half : table->config.bytes_max;
}

static enum err admit(struct retained_table *table, struct span topic, const struct chunk *chunk,
                      const char **text)
{
    const struct retained *old = retained_find(table, topic);
    uint64_t values = table->values + (old ? 0 : 1);
    uint64_t bytes = table->bytes + value_bytes(table, topic.len, chunk) -
                     (old ? value_bytes(table, old->topic.len, old->chunk) : 0);
    if (values > table->config.messages_max)
        *text = "as many retained values as limits.retained_messages allows";
    else if (bytes > bytes_max(table))
        *text = "as many bytes of retained values as limits.retained_bytes or half of limits.memory allows";
    else
        return ERR_NONE;
    return ERR_LIMIT;
}

/* The frame in a chunk of its own, with this shard's reference. */
static enum err make_body(struct retained_table *table, const struct native_pub *pub, struct chunk **chunk,
                          uint32_t *len, const char **text)
{
    table->scratch.len = 0;
    enum err e = native_encode_retained(&table->scratch, pub, *table->config.unix_ms);
    if (e)
        return e;
    *len = (uint32_t)table->scratch.len;
    *chunk = chunk_new_single(table->config.pool, *len);
    if (!*chunk)
        return ERR_NO_MEMORY;
    memcpy((*chunk)->data, table->scratch.data, *len);
    e = admit(table, pub->topic, *chunk, text);
    if (e)
        chunk_unref(table->config.pool, *chunk);
    return e;
}

static struct retained *make_entries(struct retained_table *table, struct span topic)
{
    uint64_t stamp = (table->clock + 1) << SHARD_BITS | table->config.shard;
    struct retained *entries = NULL;
    for (unsigned i = 0; i < table->config.shards; i++) {
        struct retained *entry = entry_new(topic, stamp);
        if (!entry) {
            retained_discard(table->config.pool, entries, false);
            return NULL;
        }
        entry->next = entries;
        entries = entry;
    }
    return entries;
}

static uint64_t expiry(const struct retained_table *table, const struct native_pub *pub)
{
    if (!(pub->flags & NATIVE_PUB_TTL))
        return 0;
    uint64_t now = *table->config.unix_ms;
    return pub->ttl_ms > UINT64_MAX - now ? UINT64_MAX : now + pub->ttl_ms;
}

enum err retained_prepare(struct retained_table *table, const struct native_pub *pub,
                          struct retained **entries, const char **text)
{
    struct chunk *chunk = NULL;
    uint32_t len = 0;
    enum err e = pub->payload.len > 0 ? make_body(table, pub, &chunk, &len, text) : ERR_NONE;
    if (e)
        return e;
    *entries = make_entries(table, pub->topic);
    if (!*entries) {
        if (chunk)
            chunk_unref(table->config.pool, chunk);
        return ERR_NO_MEMORY;
    }
    for (struct retained *entry = *entries; entry && chunk; entry = entry->next) {
        entry->chunk = chunk;
        entry->len = len;
        entry->expires_ms = expiry(table, pub);
        if (entry != *entries)
            chunk_ref(table->config.pool, chunk);
    }
    return ERR_NONE;
}

/* ---- applying ------------------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
    struct retained *entry = (struct retained *)(void *)((char *)timer - offsetof(struct retained, timer));
    remove_entry(entry->table, entry);
}

/* When the entry goes by itself: past its ttl, or as a tombstone that nothing older can follow any more. */
static void arm(struct retained_table *table, struct retained *entry)
{
    uint64_t wait_ms = RETAINED_TOMBSTONE_MS, unix_ms = *table->config.unix_ms;
    if (entry->chunk && entry->expires_ms == 0)
        return;
    if (entry->chunk)
        wait_ms = entry->expires_ms > unix_ms ? entry->expires_ms - unix_ms : 0;
    uint64_t now_ms = *table->config.now_ms;
    timer_start(table->config.wheel, &entry->timer,
                wait_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + wait_ms);
}

/* Nobody could send an older value, or there is no room to remember that. */
static bool needs_no_tombstone(const struct retained_table *table)
{
    return table->config.shards == 1 || table->entries >= table->config.messages_max;
}

void retained_apply(struct retained_table *table, struct retained *entry)
{
    uint64_t time = entry->stamp >> SHARD_BITS;
    table->clock = time > table->clock ? time : table->clock;
    struct retained *old = find_entry(table, entry->topic);
    if (old && old->stamp > entry->stamp) {
        entry_free(table->config.pool, entry);
        return;
    }
    if (old)
        remove_entry(table, old);
    if (!entry->chunk && needs_no_tombstone(table)) {
        entry_free(table->config.pool, entry);
        return;
    }
    entry->table = table;
    entry->next = NULL;
    entry->timer.fire = on_timer;
    entry->arrival = ++table->arrival;
    RB_INSERT(retained_tree, &table->tree, entry);
    count(table, entry, 1);
    arm(table, entry);
}

/* ---- walking -------------------------------------------------------------------------------------------- */

/* The first entry at or behind the topic; behind it where that is wanted. */
static struct retained *seek(struct retained_table *table, struct span topic, bool behind)
{
    struct retained key = {.topic = topic};
    struct retained *entry = RB_NFIND(retained_tree, &table->tree, &key);
    if (entry && behind && compare(entry, &key) == 0)
        entry = RB_NEXT(retained_tree, &table->tree, entry);
    return entry;
}

static bool has_prefix(struct span topic, struct span prefix)
{
    return topic.len >= prefix.len && memcmp(topic.data, prefix.data, prefix.len) == 0;
}

/* The levels before the first wildcard, the slash behind them included. */
static struct span literal_prefix(struct span filter)
{
    size_t len = 0;
    while (len < filter.len && filter.data[len] != '+' && filter.data[len] != '#')
        len++;
    return span_of(filter.data, len);
}

struct retained *retained_next(struct retained_table *table, struct span filter, struct span after)
{
    if (table->entries == 0)
        return NULL;
    if (!filter_is_wildcard(filter))
        return after.data ? NULL : find_entry(table, filter);
    struct span prefix = literal_prefix(filter);
    bool rest = prefix.len > 1 && filter.data[prefix.len] == '#'; /* "a/b/#" is also "a/b" */
    if (rest && !after.data) {
        struct retained *parent = find_entry(table, span_of(prefix.data, prefix.len - 1));
        if (parent)
            return parent;
    }
    bool inside = after.data && has_prefix(after, prefix);
    struct retained *entry = inside ? seek(table, after, true) : seek(table, prefix, false);
    return entry && has_prefix(entry->topic, prefix) ? entry : NULL;
}
