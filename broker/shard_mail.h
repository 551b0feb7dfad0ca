/*
 * What shards tell each other, as 64-byte mails. Private to shard.c and its tests.
 */
#ifndef SLUICE_BROKER_SHARD_MAIL_H
#define SLUICE_BROKER_SHARD_MAIL_H

#include "broker/delivery/run.h"
#include "broker/mailbox.h"
#include "broker/router/retained.h"

enum mail_kind {
    MAIL_PUBLISH,        /* a run, with a reference to its chunk */
    MAIL_VERDICT,        /* the subscribers of a run sent with a token have room */
    MAIL_INTEREST,       /* somebody here wants a filter ... */
    MAIL_INTEREST_KNOWN, /* ... which the other shard knows from now on ... */
    MAIL_INTEREST_GONE   /* ... and nobody any more */
};

struct mail_publish {
    struct chunk *chunk;       /* chunk_send() reference */
    uint64_t token;            /* 0: no verdict is wanted */
    struct retained *retained; /* owns, with a chunk_send() reference; NULL: it leaves nothing behind */
    uint32_t off, len, count;
    bool meta;
};

/* Heap copy of a filter; the receiver frees it. */
struct interest_mail {
    struct interest_mail *next; /* the receiver's list, when it could not yet act on it */
    unsigned from;
    uint64_t cookie;
    size_t filter_len;
    char filter[];
};

union mail_body {
    struct mail_publish publish;
    struct interest_mail *interest; /* owns */
    uint64_t token;
    uint64_t cookie;
};

#endif
