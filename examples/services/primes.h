/* Counting primes: the work that the example service does for those who ask. No I/O. */
#ifndef SLUICE_EXAMPLES_PRIMES_H
#define SLUICE_EXAMPLES_PRIMES_H

#include <stdbool.h>
#include <stdint.h>

enum { PRIMES_LIMIT_MIN = 2, PRIMES_LIMIT_MAX = 5000000 };

struct primes {
    uint32_t count;   /* primes from 2 up to and including the limit */
    uint32_t largest; /* of them */
};

/* `limit` lies in PRIMES_LIMIT_MIN .. PRIMES_LIMIT_MAX. False when out of memory. About 20 ms for the largest. */
bool primes_up_to(uint32_t limit, struct primes *out);

#endif
