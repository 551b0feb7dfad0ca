/*
 * The composition root: makes the shards and what they share from settings, plugs the parts into each other, listens to
 * signals, and takes everything down in order. Main thread.
 */
#ifndef SLUICE_BROKER_BROKER_H
#define SLUICE_BROKER_BROKER_H

#include "broker/settings.h"

/* The exit codes of sluiced. */
enum { BROKER_CLEAN = 0, BROKER_FAILED = 1, BROKER_BAD_CONFIG = 2 };

/* Serves until told to stop; returns the exit code. The sources are read again at HUP. */
int broker_run(struct settings *settings, const struct settings_sources *sources);

#endif
