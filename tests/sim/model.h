/*
 * What the clients of a run have published, as they know it: when each publish was handed to the broker and by when it
 * was surely worked off, in steps of the simulation. The model knows nothing of router and delivery: from the steps of
 * SUB, UNSUB and publish alone follows what a subscription must get, may get, and must not get.
 */
#ifndef SLUICE_SIM_MODEL_H
#define SLUICE_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

enum { STEP_NEVER = 0, PAYLOAD_MIN = 4 };
#define STEP_UNKNOWN UINT64_MAX

struct publish {
    uint32_t publisher; /* the client's index */
    uint32_t request;   /* the client's request */
    uint16_t topic;
    uint16_t key;    /* 0: none */
    uint32_t bytes;  /* of payload */
    uint64_t ttl_ms; /* 0: none */
    uint64_t start;  /* the step in which the broker got it; STEP_NEVER: not yet */
    uint64_t end;    /* by then it was routed on its shard; STEP_UNKNOWN: not known */
    uint32_t rank;   /* place in the order of starting */
    bool refused;    /* answered with ERR */
    bool certain;    /* surely routed */
    uint32_t next;   /* of the topic; 0: last */
};

/* Ascending. */
struct steps {
    uint64_t *step; /* owns */
    size_t count, cap;
};

/* When a shard received its mail, and when it sent its own, turn by turn. */
struct turns {
    struct steps received, ended;
};

struct model {
    struct publish *publishes; /* owns; number 0 is none */
    uint32_t count, cap;
    uint32_t *started; /* owns; publishes in the order of starting */
    uint32_t started_count, started_cap;
    uint32_t *first, *last; /* own; per topic */
    struct turns *turns;    /* owns; per shard */
    unsigned shards;
};

void model_init(struct model *model, unsigned topics, unsigned shards);
void model_fini(struct model *model);

/* A publish that is about to be sent; returns its number. */
uint32_t model_publish(struct model *model, const struct publish *publish);
/* The broker gets the bytes of it in this step. */
void model_started(struct model *model, uint32_t number, uint64_t step);

void model_turn_received(struct model *model, unsigned shard, uint64_t step);
void model_turn_ended(struct model *model, unsigned shard, uint64_t step);
/* By when what was routed on a shard up to `step` has arrived on another; STEP_UNKNOWN: not yet. */
uint64_t model_arrival(const struct model *model, unsigned from, unsigned to, uint64_t step);

/* The bytes that a publish carries: its number, then what follows from it. */
void payload_fill(uint8_t *out, uint32_t number, uint32_t bytes);
/* The number in a payload, 0 when the payload is not one of ours. */
uint32_t payload_read(struct span payload, const struct model *model);

#endif
