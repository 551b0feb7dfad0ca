/*
 * sim: runs the broker's core against virtual clients, one run per seed, and ends at the first violated invariant.
 *
 *   sim [--seed N | --seeds FROM..TO] [--count N] [--time SECONDS] [--trace] [--twice]
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/log.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

enum { RUN_SECONDS_MAX = 60 };

struct plan {
    uint64_t from, to; /* seeds, both included */
    double seconds;    /* 0: no limit */
    bool trace, twice;
};

static volatile uint64_t running; /* the seed, for what ends the process from below */

static void say(const char *text)
{
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));
    (void)written;
}

/* An assert, a bad access, or a run that does not end. */
static void on_signal(int number)
{
    char digits[24] = {0};
    size_t at = sizeof digits - 1;
    uint64_t seed = running;
    do
        digits[--at] = (char)('0' + seed % 10);
    while ((seed /= 10) > 0);
    say("seed ");
    say(digits + at);
    say(number == SIGALRM ? " violates \"progress\": the run does not end\n"
                          : " violates \"assert\": the broker crashed\n");
    say("replay it with: sim --seed ");
    say(digits + at);
    say(" --trace\n");
    _exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim [--seed N | --seeds FROM..TO] [--count N] [--time SECONDS] [--trace] [--twice]\n");
    return 2;
}

/* The options are few, and <getopt.h> has a struct option of its own. False: not one of ours. */
static bool take(struct plan *plan, const char *name, const char *value)
{
    if (strcmp(name, "--seed") == 0)
        plan->from = plan->to = strtoull(value, NULL, 10);
    else if (strcmp(name, "--seeds") == 0)
        return sscanf(value, "%" SCNu64 "..%" SCNu64, &plan->from, &plan->to) == 2;
    else if (strcmp(name, "--count") == 0)
        plan->to = plan->from + strtoull(value, NULL, 10) - 1;
    else if (strcmp(name, "--time") == 0)
        plan->seconds = strtod(value, NULL);
    else
        return false;
    return true;
}

static bool parse(int argc, char **argv, struct plan *plan)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            plan->trace = true;
        else if (strcmp(argv[i], "--twice") == 0)
            plan->twice = true;
        else if (i + 1 == argc || !take(plan, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

static void run_seed(const struct plan *plan, uint64_t seed)
{
    running = seed;
    alarm(RUN_SECONDS_MAX);
    uint64_t hash = world_run(seed, plan->trace);
    if (!plan->twice || world_run(seed, false) == hash)
        return;
    printf("seed %" PRIu64 " violates \"same seed, same run\"\nreplay it with: sim --seed %" PRIu64
           " --twice\n",
           seed, seed);
    exit(1);
}

int main(int argc, char **argv)
{
    struct plan plan = {.from = 1, .to = 1000};
    if (!parse(argc, argv, &plan))
        return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_ERROR);
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    double began = now_s();
    for (uint64_t seed = plan.from; seed <= plan.to; seed++) {
        if (plan.seconds > 0 && now_s() - began > plan.seconds)
            break;
        run_seed(&plan, seed);
    }
    tally_print(&tally);
    return 0;
}
