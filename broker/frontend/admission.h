/*
 * Who may come in: connections are counted over all shards and listeners, and per address where there is a limit.
 * One object for the broker; any thread.
 */
#ifndef SLUICE_BROKER_ADMISSION_H
#define SLUICE_BROKER_ADMISSION_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/err.h"

struct admission;

/* `per_address` 0: no limit. NULL when out of memory. */
struct admission *admission_new(uint64_t connections, uint64_t per_address);
void admission_free(struct admission *admission);

/* What a connection gives back when it ends: the count of its address, NULL without such a limit. */
struct address_count;

/* One more connection. ERR_NONE: counted; *ticket is to be given back. ERR_LIMIT: one of the two limits;
 * ERR_OVERLOADED: the broker is at limits.memory. *text says which, for the refused peer. */
MUST_CHECK enum err admission_take(struct admission *admission, const struct sockaddr_storage *peer,
                                   struct address_count **ticket, const char **text);
void admission_give(struct admission *admission, struct address_count *ticket);

/* Connections at the moment. */
uint64_t admission_count(const struct admission *admission);

#endif
