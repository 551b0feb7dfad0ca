/*
 * The reckoning when a run has come to rest: for every subscription that was ever there, what it had to get, may have
 * got and must not have got, against what came and what GAPs said.
 */
#ifndef SLUICE_SIM_ACCOUNT_H
#define SLUICE_SIM_ACCOUNT_H

struct client;

/* Judges all that the client has received. A connection that was open at rest, or that said goodbye in good order, must
 * have got or been told of everything; another one may only not have got too much. */
void account_client(struct client *client);

#endif
