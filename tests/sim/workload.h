/*
 * What clients do: say HELLO, subscribe and leave, publish, ask wrong things, read fast or slowly or not at all, and go
 * away without a word.
 */
#ifndef SLUICE_SIM_WORKLOAD_H
#define SLUICE_SIM_WORKLOAD_H

struct client;

/* Who the client is, before the first round. */
void workload_cast(struct client *client);
/* One turn of its shard. */
void workload_turn(struct client *client);
/* One turn when the run comes to rest: sends what is written, reads everything. */
void workload_rest(struct client *client);
/* The last request of a client that is still there. */
void workload_last_word(struct client *client);
/* The client goes away now, one way or another. */
void workload_leave(struct client *client);

#endif
