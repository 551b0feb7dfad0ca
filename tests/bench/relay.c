/*
 * The bare relay: the physical limit of a broker on this machine. One thread and one epoll loop copy bytes from
 * publishers to all subscribers of the same group, in batches; there are no topics and nothing is parsed. What
 * a broker costs above this is what topics, matching, policies and accounting cost.
 *
 *   connection = role group frame bytes...      role:  'P' publisher, 'S' subscriber (1 byte)
 *                                               group: uint16 big-endian; who publishes to whom
 *                                               frame: uint32 big-endian; a publisher's bytes are passed on in
 *                                                      multiples of this, so that several can be mixed; 0: as they come
 *   answer     = '+' once the role is known, and then for a subscriber what the publishers of its group send
 *
 * Each turn reads every readable publisher once into its group's block, and sends the block once to each
 * subscriber. A subscriber that cannot take all of it keeps a reference to the block, not a copy.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 64 * 1024,
    ROLE_BYTES = 7,
    GROUPS_MAX = 65536,
    EVENTS_MAX = 1024,
    ACCEPTS_MAX = 64,   /* per turn */
    PENDING_MAX = 1024, /* blocks; a subscriber that is further behind is closed */
    SPARE_BLOCKS_MAX = 256
};

struct block {
    uint32_t refs;
    uint32_t len;
    struct block *next; /* while spare */
    uint8_t data[BLOCK_BYTES];
};

struct piece {
    struct block *block; /* refs */
    uint32_t off;        /* bytes of it that were sent */
};

struct peer {
    int fd;    /* -1: closed, freed at the end of the turn */
    char role; /* '\0' until known */
    uint8_t role_len;
    uint16_t group;
    uint32_t frame;
    uint32_t carry_len; /* publisher: bytes of an unfinished frame */
    uint8_t *carry;     /* publisher: owns `frame` bytes, while role bytes are read: NULL */
    uint8_t role_bytes[ROLE_BYTES];
    uint32_t place; /* subscriber: index in its group */
    uint32_t pending_at, pending_count;
    struct piece *pending; /* subscriber: owns a ring of PENDING_MAX, from the first refused byte on */
    struct peer *next_closed;
};

struct group {
    struct peer **subscribers; /* owns the array, borrows the peers */
    uint32_t count, cap;
    struct block *block; /* owns; what was read this turn, or NULL */
    bool dirty;
    struct group *next_dirty;
};

static int epoll_fd, listen_fd;
static struct group *groups[GROUPS_MAX];
static struct group *dirty;
static struct peer *closed;
static struct block *spare;
static uint32_t spare_count;

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *must(void *memory)
{
    if (!memory)
        fail("memory");
    return memory;
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

static struct block *block_new(void)
{
    struct block *block = spare;
    if (block) {
        spare = block->next;
        spare_count--;
    } else {
        block = must(malloc(sizeof *block));
    }
    block->refs = 1;
    block->len = 0;
    return block;
}

static void block_unref(struct block *block)
{
    if (--block->refs > 0)
        return;
    if (spare_count == SPARE_BLOCKS_MAX) {
        free(block);
        return;
    }
    block->next = spare;
    spare = block;
    spare_count++;
}

/* ---- groups --------------------------------------------------------------------------------------------- */

static struct group *group_of(uint16_t number)
{
    if (!groups[number])
        groups[number] = must(calloc(1, sizeof *groups[number]));
    return groups[number];
}

static void group_add(struct group *group, struct peer *peer)
{
    if (group->count == group->cap) {
        group->cap = group->cap ? group->cap * 2 : 8;
        group->subscribers = must(realloc(group->subscribers, group->cap * sizeof *group->subscribers));
    }
    peer->place = group->count;
    group->subscribers[group->count++] = peer;
}

static void group_remove(struct group *group, struct peer *peer)
{
    struct peer *last = group->subscribers[--group->count];
    group->subscribers[peer->place] = last;
    last->place = peer->place;
}

/* ---- peers ---------------------------------------------------------------------------------------------- */

static void peer_watch(struct peer *peer, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(epoll_fd, operation, peer->fd, &event) != 0)
        fail("epoll_ctl");
}

/* Closes at once; the memory lives until the end of the turn, because events of this turn may name it. */
static void peer_close(struct peer *peer)
{
    if (peer->fd < 0)
        return;
    close(peer->fd);
    peer->fd = -1;
    if (peer->role == 'S')
        group_remove(group_of(peer->group), peer);
    for (; peer->pending_count > 0; peer->pending_count--)
        block_unref(peer->pending[peer->pending_at++ % PENDING_MAX].block);
    peer->next_closed = closed;
    closed = peer;
}

static void free_closed(void)
{
    while (closed) {
        struct peer *peer = closed;
        closed = peer->next_closed;
        free(peer->carry);
        free(peer->pending);
        free(peer);
    }
}

static void peer_take_role(struct peer *peer)
{
    const uint8_t *bytes = peer->role_bytes;
    peer->role = (char)bytes[0];
    peer->group = (uint16_t)(bytes[1] << 8 | bytes[2]);
    peer->frame = (uint32_t)bytes[3] << 24 | (uint32_t)bytes[4] << 16 | (uint32_t)bytes[5] << 8 | bytes[6];
    if ((peer->role != 'P' && peer->role != 'S') || peer->frame > BLOCK_BYTES / 2) {
        peer->role = '\0';
        peer_close(peer);
        return;
    }
    if (peer->role == 'S')
        group_add(group_of(peer->group), peer);
    else if (peer->frame > 0)
        peer->carry = must(malloc(peer->frame));
    if (send(peer->fd, "+", 1, MSG_NOSIGNAL) != 1)
        peer_close(peer);
}

static void peer_read_role(struct peer *peer)
{
    ssize_t n = recv(peer->fd, peer->role_bytes + peer->role_len, (size_t)(ROLE_BYTES - peer->role_len), 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            peer_close(peer);
        return;
    }
    peer->role_len = (uint8_t)(peer->role_len + n);
    if (peer->role_len == ROLE_BYTES)
        peer_take_role(peer);
}

/* ---- from publishers ------------------------------------------------------------------------------------ */

static void group_flush(struct group *group);

/* A block with room for the peer's unfinished frame and what is to follow it. */
static struct block *group_block(struct group *group, const struct peer *peer)
{
    if (group->block && BLOCK_BYTES - group->block->len < peer->carry_len + peer->frame + 1)
        group_flush(group);
    if (!group->block)
        group->block = block_new();
    if (!group->dirty) {
        group->dirty = true;
        group->next_dirty = dirty;
        dirty = group;
    }
    return group->block;
}

static void publisher_read(struct peer *peer)
{
    struct block *block = group_block(group_of(peer->group), peer);
    uint8_t *start = block->data + block->len;
    if (peer->carry_len > 0)
        memcpy(start, peer->carry, peer->carry_len);
    ssize_t n = recv(peer->fd, start + peer->carry_len, BLOCK_BYTES - block->len - peer->carry_len, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            peer_close(peer);
        return;
    }
    uint32_t bytes = peer->carry_len + (uint32_t)n;
    peer->carry_len = peer->frame ? bytes % peer->frame : 0;
    if (peer->carry_len > 0)
        memcpy(peer->carry, start + bytes - peer->carry_len, peer->carry_len);
    block->len += bytes - peer->carry_len;
}

/* ---- to subscribers ------------------------------------------------------------------------------------- */

/* Sends bytes of a block; returns how many were taken, or -1 after closing the peer. */
static ssize_t subscriber_send(struct peer *peer, const struct block *block, uint32_t off)
{
    ssize_t n = send(peer->fd, block->data + off, block->len - off, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
        return n;
    if (errno == EAGAIN)
        return 0;
    peer_close(peer);
    return -1;
}

static void subscriber_keep(struct peer *peer, struct block *block, uint32_t off)
{
    if (!peer->pending)
        peer->pending = must(malloc(PENDING_MAX * sizeof *peer->pending));
    if (peer->pending_count == PENDING_MAX) {
        peer_close(peer);
        return;
    }
    if (peer->pending_count == 0)
        peer_watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    block->refs++;
    peer->pending[(peer->pending_at + peer->pending_count++) % PENDING_MAX] = (struct piece){block, off};
}

static void subscriber_push(struct peer *peer, struct block *block)
{
    if (peer->pending_count > 0) {
        subscriber_keep(peer, block, 0);
        return;
    }
    ssize_t n = subscriber_send(peer, block, 0);
    if (n >= 0 && (uint32_t)n < block->len)
        subscriber_keep(peer, block, (uint32_t)n);
}

static void subscriber_drain(struct peer *peer)
{
    while (peer->pending_count > 0) {
        struct piece *piece = &peer->pending[peer->pending_at];
        ssize_t n = subscriber_send(peer, piece->block, piece->off);
        if (n < 0)
            return;
        piece->off += (uint32_t)n;
        if (piece->off < piece->block->len)
            return;
        block_unref(piece->block);
        peer->pending_at = (peer->pending_at + 1) % PENDING_MAX;
        peer->pending_count--;
    }
    peer_watch(peer, EPOLL_CTL_MOD, EPOLLIN);
}

/* A subscriber has nothing to say: what it sends is thrown away, and its end is noticed. */
static void subscriber_read(struct peer *peer)
{
    uint8_t nothing[512];
    ssize_t n = recv(peer->fd, nothing, sizeof nothing, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        peer_close(peer);
}

static void group_flush(struct group *group)
{
    struct block *block = group->block;
    group->block = NULL;
    /* Downwards, because closing a peer moves the last one into its place. */
    for (uint32_t i = group->count; block->len > 0 && i-- > 0;)
        subscriber_push(group->subscribers[i], block);
    block_unref(block);
}

static void flush_dirty(void)
{
    while (dirty) {
        struct group *group = dirty;
        dirty = group->next_dirty;
        group->dirty = false;
        if (group->block)
            group_flush(group);
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

static void accept_peers(void)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct peer *peer = must(calloc(1, sizeof *peer));
        peer->fd = fd;
        peer_watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void serve(struct peer *peer, uint32_t events)
{
    if (peer->fd >= 0 && (events & EPOLLOUT))
        subscriber_drain(peer);
    if (peer->fd < 0 || !(events & ~(uint32_t)EPOLLOUT))
        return;
    switch (peer->role) {
    case 'P':
        publisher_read(peer);
        break;
    case 'S':
        subscriber_read(peer);
        break;
    default:
        peer_read_role(peer);
    }
}

static void run(void)
{
    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_peers();
        }
        flush_dirty();
        free_closed();
    }
}

static void start_listening(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listen_fd, (struct sockaddr *)&address, len) != 0 || listen(listen_fd, 4096) != 0 ||
        getsockname(listen_fd, (struct sockaddr *)&address, &len) != 0)
        fail("cannot listen");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0)
        fail("epoll");
    printf("listening relay://127.0.0.1:%u\nready\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc > 1 ? strtoul(argv[1], &end, 10) : 0;
    if (argc > 2 || (end && *end) || port > 65535) {
        fprintf(stderr,
                "Usage: relay [PORT]\nListens on 127.0.0.1; without PORT, or with 0, on a free port.\n");
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    start_listening((uint16_t)port);
    run();
}
