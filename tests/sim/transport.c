#include "tests/sim/transport.h"

#include <stdio.h>

#include "tests/sim/client.h"
#include "tests/sim/tally.h"
#include "tests/sim/world.h"

static struct sim_transport *sim_of(const struct transport *transport)
{
    return (struct sim_transport *)(uintptr_t)transport;
}

static size_t accepted(struct sim_transport *sim, size_t bytes)
{
    bool all = sim->room >= bytes || (sim->transport.ops->framed && sim->room > 0);
    size_t taken = all ? bytes : sim->transport.ops->framed ? 0 : (size_t)sim->room;
    if (sim->room < ROOM_ENDLESS)
        sim->room -= sim->room < taken ? sim->room : taken;
    tally.writes++;
    tally.partial += taken > 0 && taken < bytes;
    tally.refused += taken == 0;
    sim->ever_refused |= taken < bytes;
    return taken;
}

static void check_write(const struct sim_transport *sim, const struct iovec *pieces, int count, size_t bytes)
{
    struct world *world = sim->client->world;
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += pieces[i].iov_len;
    require(world, sum == bytes && bytes > 0, "write", "client %u: %zu bytes said, %zu in %d pieces",
            sim->client->index, bytes, sum, count);
    require(world, !sim->closed, "write", "client %u: written to after it was closed", sim->client->index);
    require(world, !sim->transport.ops->framed || count == 1, "write", "client %u: framed, %d pieces",
            sim->client->index, count);
}

static ssize_t sim_write(struct transport *transport, const struct iovec *pieces, int count, size_t bytes)
{
    struct sim_transport *sim = sim_of(transport);
    check_write(sim, pieces, count, bytes);
    if (sim->broken)
        return -1;
    if (transport->ops->framed)
        memset((uint8_t *)pieces[0].iov_base - TRANSPORT_HEADROOM, 0xee, TRANSPORT_HEADROOM);
    size_t taken = accepted(sim, bytes), left = taken;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        client_receive(sim->client, span_of(pieces[i].iov_base, n));
        left -= n;
    }
    return (ssize_t)taken;
}

static void sim_want_writable(struct transport *transport, bool wanted)
{
    sim_of(transport)->wants_writable = wanted;
}

static void sim_pause_reading(struct transport *transport, bool paused)
{
    struct sim_transport *sim = sim_of(transport);
    sim->paused = paused;
    tally.pauses += paused;
}

static void sim_peer(const struct transport *transport, char *text, size_t size)
{
    snprintf(text, size, "client %u", sim_of(transport)->client->index);
}

static void sim_close(struct transport *transport, bool lost)
{
    struct sim_transport *sim = sim_of(transport);
    require(sim->client->world, !sim->closed, "write", "client %u: closed twice", sim->client->index);
    sim->closed = true;
    client_closed(sim->client, lost);
}

#define OPS                                                                                                  \
    .write = sim_write, .want_writable = sim_want_writable, .pause_reading = sim_pause_reading,              \
    .peer = sim_peer, .close = sim_close

static const struct transport_ops stream_ops = {OPS};
static const struct transport_ops framed_ops = {OPS, .framed = true};

void sim_transport_init(struct sim_transport *transport, struct client *client, bool framed)
{
    *transport = (struct sim_transport){
        .transport = {.ops = framed ? &framed_ops : &stream_ops, .kind = framed ? "sim-framed" : "sim"},
        .client = client,
        .room = ROOM_ENDLESS};
}
