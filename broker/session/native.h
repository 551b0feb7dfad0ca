/*
 * sluice.v1 on the broker's side: one coroutine per session that greets, serves requests until somebody closes, and says
 * goodbye (docs/protocol.md). It knows the frames; what they do lies in publish.h and subscribe.h. Shard thread.
 */
#ifndef SLUICE_BROKER_NATIVE_H
#define SLUICE_BROKER_NATIVE_H

#include "broker/session/session.h"

extern const struct session_protocol session_native;

#endif
