/*
 * A connection that is only pretended: it takes as many bytes as its reader has made room for, cuts wherever that ends,
 * and hands what it took to its client at once. A framed one takes a write as a whole or not at all, and scribbles
 * over the room in front of it, as a WebSocket header would.
 */
#ifndef SLUICE_SIM_TRANSPORT_H
#define SLUICE_SIM_TRANSPORT_H

#include "broker/delivery/transport.h"
#include "proto/span.h"

struct client;

enum { ROOM_ENDLESS = 1 << 30 };

struct sim_transport {
    struct transport transport; /* first */
    struct client *client;      /* borrows */
    uint64_t room;              /* bytes that the reader takes; ROOM_ENDLESS: all */
    bool paused;                /* the broker does not want to read */
    bool wants_writable;
    bool broken; /* the next write fails */
    bool closed; /* by the broker, or reported as lost */
    bool ever_refused;
};

void sim_transport_init(struct sim_transport *transport, struct client *client, bool framed);

#endif
