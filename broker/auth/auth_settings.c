#include "broker/auth/auth_settings.h"

static const struct option rows[] = {
    OPTION_ROW("auth", struct auth_settings, allow_anonymous, .type = OPTION_BOOL, .preset = "false",
               .doc = "Permits listening beyond loopback although clients need not say who they are."),
};

const struct option_table auth_options = {
    .module = "auth",
    .doc = "Who may come in.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct auth_settings),
};
