#include "clients/c/inqueue.h"

#include <stdlib.h>

struct inqueue_entry {
    struct inqueue_entry *next;
    size_t bytes;                  /* of the allocation */
    struct sluice_message message; /* its fields point behind the struct */
};

static void move_in(struct sluice_bytes *field, uint8_t **at)
{
    if (!field->data)
        return;
    if (field->len)
        memcpy(*at, field->data, field->len);
    field->data = *at;
    *at += field->len;
}

struct inqueue_entry *inqueue_copy(const struct sluice_message *m)
{
    /* One byte more, so that a field that is present and empty still points inside. */
    size_t bytes = sizeof(struct inqueue_entry) + m->topic.len + m->payload.len + m->key.len + m->reply.len +
                   m->correlation.len + m->content_type.len + m->raw_headers.len + 1;
    struct inqueue_entry *entry = malloc(bytes);
    if (!entry)
        return NULL;
    *entry = (struct inqueue_entry){.bytes = bytes, .message = *m};
    uint8_t *at = (uint8_t *)(entry + 1);
    struct sluice_message *copy = &entry->message;
    struct sluice_bytes *fields[] = {&copy->topic,       &copy->payload,      &copy->key,        &copy->reply,
                                     &copy->correlation, &copy->content_type, &copy->raw_headers};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        move_in(fields[i], &at);
    return entry;
}

const struct sluice_message *inqueue_message(const struct inqueue_entry *entry)
{
    return &entry->message;
}

void inqueue_entry_free(struct inqueue_entry *entry)
{
    free(entry);
}

uint64_t inqueue_push(struct inqueue *queue, struct inqueue_entry *entry)
{
    if (!entry)
        return 1;
    uint64_t lost = 0;
    while (queue->first && queue->bytes + entry->bytes > queue->bytes_max) {
        inqueue_entry_free(inqueue_pop(queue));
        lost++;
    }
    *(queue->first ? &queue->last->next : &queue->first) = entry;
    queue->last = entry;
    queue->bytes += entry->bytes;
    return lost;
}

struct inqueue_entry *inqueue_pop(struct inqueue *queue)
{
    struct inqueue_entry *entry = queue->first;
    if (!entry)
        return NULL;
    queue->first = entry->next;
    queue->bytes -= entry->bytes;
    entry->next = NULL;
    return entry;
}

void inqueue_fini(struct inqueue *queue)
{
    struct inqueue_entry *entry;
    while ((entry = inqueue_pop(queue)))
        inqueue_entry_free(entry);
}
