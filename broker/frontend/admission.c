#include "broker/frontend/admission.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "broker/memory.h"

/* An IPv6 address, or an IPv4 one mapped into it (RFC 4291, 2.5.5.2). */
struct address {
    uint8_t bytes[16];
};

struct address_count {
    struct address address; /* key */
    uint64_t connections;
    UT_hash_handle hh;
};

struct admission {
    _Atomic uint64_t connections;
    uint64_t most, most_per_address;
    pthread_mutex_t lock;         /* of what follows */
    struct address_count *counts; /* owns; those with connections, while there is a limit */
};

struct admission *admission_new(uint64_t connections, uint64_t per_address)
{
    struct admission *admission = memory_must(sizeof *admission);
    admission->most = connections;
    admission->most_per_address = per_address;
    pthread_mutex_init(&admission->lock, NULL);
    return admission;
}

void admission_free(struct admission *admission)
{
    struct address_count *count, *next;
    HASH_ITER(hh, admission->counts, count, next)
    {
        HASH_DEL(admission->counts, count);
        free(count);
    }
    pthread_mutex_destroy(&admission->lock);
    free(admission);
}

uint64_t admission_count(const struct admission *admission)
{
    return atomic_load_explicit(&admission->connections, memory_order_relaxed);
}

static struct address address_of(const struct sockaddr_storage *peer)
{
    struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};
    if (peer->ss_family == AF_INET6)
        memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
    else if (peer->ss_family == AF_INET)
        memcpy(address.bytes + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    return address;
}

static struct address_count *count_of(struct admission *admission, const struct address *address)
{
    struct address_count *count = NULL;
    HASH_FIND(hh, admission->counts, address, sizeof *address, count);
    return count;
}

static struct address_count *take_address(struct admission *admission, const struct sockaddr_storage *peer)
{
    struct address address = address_of(peer);
    pthread_mutex_lock(&admission->lock);
    struct address_count *count = count_of(admission, &address);
    if (!count) {
        count = memory_must(sizeof *count);
        count->address = address;
        HASH_ADD(hh, admission->counts, address, sizeof count->address, count);
    }
    if (count->connections < admission->most_per_address)
        count->connections++;
    else
        count = NULL;
    pthread_mutex_unlock(&admission->lock);
    return count;
}

static void give_address(struct admission *admission, struct address_count *count)
{
    pthread_mutex_lock(&admission->lock);
    if (--count->connections == 0) {
        HASH_DEL(admission->counts, count);
        free(count);
    }
    pthread_mutex_unlock(&admission->lock);
}

enum err admission_take(struct admission *admission, const struct sockaddr_storage *peer,
                        struct address_count **ticket, const char **text)
{
    *ticket = NULL;
    if (memory_over()) {
        *text = "the broker is at limits.memory";
        return ERR_OVERLOADED;
    }
    if (atomic_fetch_add_explicit(&admission->connections, 1, memory_order_relaxed) >= admission->most)
        *text = "as many connections as limits.connections allows";
    else if (admission->most_per_address && !(*ticket = take_address(admission, peer)))
        *text = "as many connections from one address as limits.connections_per_address allows";
    else
        return ERR_NONE;
    atomic_fetch_sub_explicit(&admission->connections, 1, memory_order_relaxed);
    return ERR_LIMIT;
}

void admission_give(struct admission *admission, struct address_count *ticket)
{
    if (ticket)
        give_address(admission, ticket);
    atomic_fetch_sub_explicit(&admission->connections, 1, memory_order_relaxed);
}
