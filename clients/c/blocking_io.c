#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "clients/c/blocking.h"

enum { READ_BYTES = 64 * 1024, WRITES_PER_TURN = 16 };

/* ---- interrupt ------------------------------------------------------------------------------------------ */

bool blocking_open_wake(struct sluice *client)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    client->wake_read = ends[0];
    client->wake_write = ends[1];
    return true;
}

void sluice_interrupt(struct sluice *client)
{
    int error = errno;
    ssize_t put = write(client->wake_write, "", 1);
    (void)put; /* a full pipe wakes as well */
    errno = error;
}

static void empty_wake(struct sluice *client)
{
    char bytes[64];
    while (read(client->wake_read, bytes, sizeof bytes) > 0)
        client->interrupted = true;
}

bool blocking_take_interrupt(struct sluice *client)
{
    bool was = client->interrupted;
    client->interrupted = false;
    return was;
}

/* ---- connecting ----------------------------------------------------------------------------------------- */

static void forget_attempt(struct sluice *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->up = false;
    if (client->addresses)
        freeaddrinfo(client->addresses);
    client->addresses = NULL;
    client->address_next = NULL;
}

static void lost(struct sluice *client, const char *text)
{
    forget_attempt(client);
    client->eventful = true;
    sluice_core_disconnected(client->core, socket_now_ms(), text);
}

static void dial_next(struct sluice *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = socket_dial(&client->address_next);
    if (client->fd < 0)
        lost(client, socket_error_text(errno));
}

static void start_connecting(struct sluice *client)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    sluice_core_connecting(client->core, socket_now_ms());
    int error = getaddrinfo(client->url.host, client->url.port, &hints, &client->addresses);
    if (error != 0) {
        client->addresses = NULL;
        lost(client, error == EAI_NONAME ? "unknown host" : gai_strerror(error));
        return;
    }
    client->address_next = client->addresses;
    dial_next(client);
}

static void dialled(struct sluice *client)
{
    int error = socket_dialled(client->fd);
    if (error == 0) {
        client->up = true;
        sluice_core_connected(client->core, socket_now_ms());
    } else if (client->address_next) {
        dial_next(client);
    } else {
        lost(client, socket_error_text(error));
    }
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

static void read_some(struct sluice *client)
{
    uint8_t buffer[READ_BYTES];
    ssize_t got = socket_read(client->fd, buffer, sizeof buffer);
    if (got > 0)
        sluice_core_receive(client->core, socket_now_ms(), buffer, (size_t)got);
    else if (got == 0)
        lost(client, NULL);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        lost(client, socket_error_text(errno));
}

static void write_some(struct sluice *client)
{
    size_t len;
    const void *data;
    for (int i = 0; i < WRITES_PER_TURN && (data = sluice_core_output(client->core, &len)); i++) {
        ssize_t put = socket_write(client->fd, data, len);
        if (put > 0)
            sluice_core_sent(client->core, socket_now_ms(), (size_t)put);
        if (put == (ssize_t)len)
            continue;
        if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            lost(client, socket_error_text(errno));
        return;
    }
}

static void pump(struct sluice *client)
{
    if (client->up)
        write_some(client);
    if (sluice_core_want(client->core) == SLUICE_WANT_CLOSE)
        lost(client, NULL);
    if (sluice_core_want(client->core) == SLUICE_WANT_CONNECT)
        start_connecting(client);
}

/* ---- the turn ------------------------------------------------------------------------------------------- */

static short wanted_events(const struct sluice *client)
{
    size_t len;
    if (!client->up)
        return POLLOUT;
    return sluice_core_output(client->core, &len) ? POLLIN | POLLOUT : POLLIN;
}

static int poll_timeout(const struct sluice *client, uint64_t until_ms)
{
    uint64_t now = socket_now_ms();
    uint64_t due = client->eventful ? now : sluice_core_deadline_ms(client->core);
    due = until_ms < due ? until_ms : due;
    if (due == UINT64_MAX)
        return -1;
    if (due <= now)
        return 0;
    return due - now < INT_MAX ? (int)(due - now) : INT_MAX;
}

void blocking_turn(struct sluice *client, uint64_t until_ms)
{
    client->eventful = false;
    pump(client);
    struct pollfd fds[2] = {{.fd = client->wake_read, .events = POLLIN},
                            {.fd = client->fd, .events = wanted_events(client)}}; /* fd -1 is skipped */
    (void)poll(fds, 2, poll_timeout(client, until_ms));
    if (fds[0].revents)
        empty_wake(client);
    if (fds[1].revents && !client->up)
        dialled(client);
    else if (fds[1].revents & ~POLLOUT)
        read_some(client);
    client->turned_at_ms = socket_now_ms();
    sluice_core_tick(client->core, client->turned_at_ms);
    pump(client);
}

void blocking_release(struct sluice *client)
{
    forget_attempt(client);
    if (client->wake_read >= 0)
        close(client->wake_read);
    if (client->wake_write >= 0)
        close(client->wake_write);
}
