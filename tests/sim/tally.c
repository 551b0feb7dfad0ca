#include "tests/sim/tally.h"

#include <inttypes.h>
#include <stdio.h>

struct tally tally;

static const char *const reasons[] = {
#define REASON(name, text) [NATIVE_GAP_##name] = text,
    NATIVE_GAP_REASONS(REASON)
#undef REASON
};

static void print_policies(const struct tally *sum)
{
    for (int policy = NATIVE_POLICY_DROP_OLDEST; policy <= NATIVE_POLICY_BLOCK; policy++)
        for (int why = 0; why < NATIVE_GAP_COUNT; why++)
            if (sum->dropped[policy][why])
                printf("%14" PRIu64 "  messages of %s reported as %s\n", sum->dropped[policy][why],
                       native_policy_name((enum native_policy)policy), reasons[why]);
}

void tally_print(const struct tally *sum)
{
#define TALLY_PRINT(name, text) printf("%14" PRIu64 "  %s\n", sum->name, text);
    TALLY_ROWS(TALLY_PRINT)
#undef TALLY_PRINT
    print_policies(sum);
}
