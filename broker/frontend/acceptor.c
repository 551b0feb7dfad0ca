#include "broker/frontend/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "broker/log.h"

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Out of descriptors: what waits would keep the loop awake for ever. Accepted and closed, its client learns at once. */
static void turn_away(struct acceptor *acceptor)
{
    log_event(LOG_ERROR, "out of file descriptors, connection refused", LOG_S("hint", "raise ulimit -n"));
    if (acceptor->spare < 0)
        return;
    close(acceptor->spare);
    int fd = accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    acceptor->spare = open_spare();
}

/* Whether the error concerns the one connection only (accept(2): treat them like EAGAIN). */
static bool passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

static bool accept_one(struct acceptor *acceptor)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int on = 1, fd = accept4(acceptor->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        acceptor->accepted(acceptor->context, fd, &peer);
        return true;
    }
    if (passing(errno))
        return true;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        turn_away(acceptor);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        log_event(LOG_ERROR, "accept failed", LOG_S("error", strerror(errno)));
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct acceptor *acceptor = poll->data;
    if (status < 0) {
        log_event(LOG_ERROR, "listener failed", LOG_S("error", uv_strerror(status)));
        return;
    }
    for (int i = 0; i < ACCEPTOR_PER_WAKE && accept_one(acceptor); i++)
        ;
}

int acceptor_start(struct acceptor *acceptor, uv_loop_t *loop, int fd, acceptor_accepted *accepted,
                   void *context)
{
    *acceptor = (struct acceptor){.fd = fd, .spare = open_spare(), .accepted = accepted, .context = context};
    int e = uv_poll_init(loop, &acceptor->poll, fd);
    if (e) { /* no handle that could be stopped */
        close(fd);
        if (acceptor->spare >= 0)
            close(acceptor->spare);
        acceptor->fd = acceptor->spare = -1;
        return e;
    }
    acceptor->poll.data = acceptor;
    return uv_poll_start(&acceptor->poll, UV_READABLE, on_readable);
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (acceptor->fd < 0)
        return;
    uv_poll_stop(&acceptor->poll);
    uv_close((uv_handle_t *)&acceptor->poll, NULL);
    close(acceptor->fd);
    if (acceptor->spare >= 0)
        close(acceptor->spare);
    acceptor->fd = acceptor->spare = -1;
}
