#include "examples/services/primes.h"

#include <assert.h>
#include <stdlib.h>

/* The sieve of Eratosthenes over odd numbers: composite[i] speaks of 2i + 1. */
static void sieve(bool *composite, uint32_t limit)
{
    for (uint32_t n = 3; n <= limit / n; n += 2) {
        if (composite[n / 2]) {
            continue;
        }
        for (uint32_t multiple = n * n; multiple <= limit; multiple += 2 * n) {
            composite[multiple / 2] = true;
        }
    }
}

bool primes_up_to(uint32_t limit, struct primes *out)
{
    assert(limit >= PRIMES_LIMIT_MIN && limit <= PRIMES_LIMIT_MAX);
    bool *composite = calloc(limit / 2 + 1, sizeof *composite);
    if (composite == NULL) {
        return false;
    }
    sieve(composite, limit);
    *out = (struct primes){.count = 1, .largest = 2};
    for (uint32_t n = 3; n <= limit; n += 2) {
        if (!composite[n / 2]) {
            out->count++;
            out->largest = n;
        }
    }
    free(composite);
    return true;
}
