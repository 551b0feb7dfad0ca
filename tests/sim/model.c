#include "tests/sim/model.h"

#include "broker/memory.h"

#include <stdlib.h>

void model_init(struct model *model, unsigned topics, unsigned shards)
{
    *model = (struct model){.count = 1, .shards = shards};
    model->first = memory_must(topics * sizeof *model->first);
    model->last = memory_must(topics * sizeof *model->last);
    model->turns = memory_must(shards * sizeof *model->turns);
}

void model_fini(struct model *model)
{
    for (unsigned i = 0; i < model->shards; i++) {
        free(model->turns[i].received.step);
        free(model->turns[i].ended.step);
    }
    free(model->turns);
    free(model->first);
    free(model->last);
    free(model->started);
    free(model->publishes);
}

uint32_t model_publish(struct model *model, const struct publish *publish)
{
    if (model->count >= model->cap) {
        model->cap = model->cap ? 2 * model->cap : 256;
        model->publishes = realloc(model->publishes, model->cap * sizeof *model->publishes);
    }
    uint32_t number = model->count++;
    model->publishes[number] = *publish;
    model->publishes[number].end = STEP_UNKNOWN;
    uint32_t last = model->last[publish->topic];
    *(last ? &model->publishes[last].next : &model->first[publish->topic]) = number;
    model->last[publish->topic] = number;
    return number;
}

void model_started(struct model *model, uint32_t number, uint64_t step)
{
    if (model->started_count == model->started_cap) {
        model->started_cap = model->started_cap ? 2 * model->started_cap : 256;
        model->started = realloc(model->started, model->started_cap * sizeof *model->started);
    }
    model->publishes[number].start = step;
    model->publishes[number].rank = model->started_count;
    model->started[model->started_count++] = number;
}

/* ---- shards --------------------------------------------------------------------------------------------- */

static void steps_add(struct steps *steps, uint64_t step)
{
    if (steps->count == steps->cap) {
        steps->cap = steps->cap ? 2 * steps->cap : 256;
        steps->step = realloc(steps->step, steps->cap * sizeof *steps->step);
    }
    steps->step[steps->count++] = step;
}

void model_turn_received(struct model *model, unsigned shard, uint64_t step)
{
    steps_add(&model->turns[shard].received, step);
}

void model_turn_ended(struct model *model, unsigned shard, uint64_t step)
{
    steps_add(&model->turns[shard].ended, step);
}

static uint64_t first_from(const struct steps *steps, uint64_t step)
{
    size_t low = 0, high = steps->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (steps->step[middle] < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low < steps->count ? steps->step[low] : STEP_UNKNOWN;
}

uint64_t model_arrival(const struct model *model, unsigned from, unsigned to, uint64_t step)
{
    if (from == to || step == STEP_UNKNOWN)
        return step;
    uint64_t sent = first_from(&model->turns[from].ended, step);
    return sent == STEP_UNKNOWN ? sent : first_from(&model->turns[to].received, sent);
}

/* ---- payloads ------------------------------------------------------------------------------------------- */

static uint8_t filler(uint32_t number, uint32_t i)
{
    return (uint8_t)(number * 131u + i * 7u + (i >> 8));
}

void payload_fill(uint8_t *out, uint32_t number, uint32_t bytes)
{
    for (uint32_t i = 0; i < PAYLOAD_MIN; i++)
        out[i] = (uint8_t)(number >> (8 * i));
    for (uint32_t i = PAYLOAD_MIN; i < bytes; i++)
        out[i] = filler(number, i);
}

uint32_t payload_read(struct span payload, const struct model *model)
{
    if (payload.len < PAYLOAD_MIN)
        return 0;
    uint32_t number = 0;
    for (uint32_t i = 0; i < PAYLOAD_MIN; i++)
        number |= (uint32_t)payload.data[i] << (8 * i);
    if (number >= model->count || model->publishes[number].bytes != payload.len)
        return 0;
    for (uint32_t i = PAYLOAD_MIN; i < payload.len; i++)
        if (payload.data[i] != filler(number, i))
            return 0;
    return number;
}
