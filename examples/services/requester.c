/*
 * requester: asks the responder for the time and for a count of primes, and prints what comes back. The whole use of
 * the blocking client: connect, request, read, close.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice.h>

enum { PATIENCE_MS = 2000, EXIT_USAGE = 2 };

/* The broker knows at once when nobody serves a topic; only a service that is stuck costs the whole wait. */
static bool ask(struct sluice *client, const char *topic, const char *question)
{
    struct sluice_publish request = {.topic = sluice_str(topic), .payload = sluice_str(question)};
    struct sluice_message reply;
    enum sluice_status status = sluice_request(client, &request, PATIENCE_MS, &reply);
    switch (status) {
    case SLUICE_OK:
        printf("%s %s\n  %.*s\n", topic, question, (int)reply.payload.len, (const char *)reply.payload.data);
        return true;
    case SLUICE_NO_RESPONDERS:
        fprintf(stderr, "requester: nobody answers %s; is the responder running?\n", topic);
        return false;
    default:
        fprintf(stderr, "requester: %s: %s\n", topic, sluice_last_error(client)->text);
        return false;
    }
}

static const char usage[] = "usage: requester [URL [LIMIT]]\n"
                            "Asks services/time, and services/primes for the primes up to LIMIT.\n"
                            "  URL    of the broker, default " SLUICE_DEFAULT_URL "\n"
                            "  LIMIT  default 1000000\n";

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct sluice_error error;
    const struct sluice_options options = {.client_name = "example-requester"};
    struct sluice *client = sluice_connect(argc > 1 ? argv[1] : NULL, &options, &error);
    if (client == NULL) {
        fprintf(stderr, "requester: %s\n", error.text);
        return EXIT_FAILURE;
    }
    bool ok =
        ask(client, "services/time", "") && ask(client, "services/primes", argc > 2 ? argv[2] : "1000000");
    sluice_close(client);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
