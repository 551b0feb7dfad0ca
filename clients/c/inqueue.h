/*
 * Received messages of the blocking client that nobody has asked for yet: copies, in order, bounded in bytes. At
 * the bound the oldest go, and the owner hears how many. One thread.
 */
#ifndef SLUICE_CLIENT_INQUEUE_H
#define SLUICE_CLIENT_INQUEUE_H

#include <sluice.h>

struct inqueue_entry; /* one message in one allocation */

struct inqueue {
    struct inqueue_entry *first, *last; /* owns */
    size_t bytes, bytes_max;
};

/* An owned copy of a message; NULL when out of memory. */
struct inqueue_entry *inqueue_copy(const struct sluice_message *message);
const struct sluice_message *inqueue_message(const struct inqueue_entry *entry);
void inqueue_entry_free(struct inqueue_entry *entry);

/* Takes the entry (which may be NULL: lost for want of memory); returns how many messages were lost by that. */
uint64_t inqueue_push(struct inqueue *queue, struct inqueue_entry *entry);
/* The caller owns the result; NULL when empty. */
struct inqueue_entry *inqueue_pop(struct inqueue *queue);
void inqueue_fini(struct inqueue *queue);

#endif
