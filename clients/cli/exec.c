#include "clients/cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/cli/output.h"

enum { READ_BYTES = 64 * 1024, SERVE_EVERY_MS = 1000 };

struct child {
    pid_t pid;
    int in, out;              /* our ends; -1 when closed */
    struct sluice_bytes left; /* to be written; borrows */
    size_t cap;
    struct exec_result *result;
};

/* ---- starting ------------------------------------------------------------------------------------------- */

/* Only async-signal-safe calls; ends in exec. */
static void become_command(const char *command, char *const environment[], int in, int out)
{
    dup2(in, STDIN_FILENO); /* the copies survive exec, the originals are close-on-exec */
    dup2(out, STDOUT_FILENO);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    execle("/bin/sh", "sh", "-c", command, (char *)NULL, environment);
    _exit(127);
}

static bool set_topic(const struct sluice_message *message)
{
    char *topic = strndup(message->topic.data, message->topic.len);
    bool done = topic && setenv("SLUICE_TOPIC", topic, 1) == 0;
    free(topic);
    return done;
}

static bool start(struct child *child, const char *command)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return false;
    if (pipe2(out, O_CLOEXEC) != 0)
        goto fail_out;
    child->pid = fork();
    if (child->pid < 0)
        goto fail_fork;
    if (child->pid == 0)
        become_command(command, environ, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    child->in = in[1];
    child->out = out[0];
    fcntl(child->in, F_SETFL, O_NONBLOCK);
    fcntl(child->out, F_SETFL, O_NONBLOCK);
    return true;

fail_fork:
    close(out[0]);
    close(out[1]);
fail_out:
    close(in[0]);
    close(in[1]);
    return false;
}

/* ---- feeding and reading -------------------------------------------------------------------------------- */

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void feed(struct child *child)
{
    ssize_t put = write(child->in, child->left.data, child->left.len);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (put > 0)
        child->left = sluice_bytes_of((const char *)child->left.data + put, child->left.len - (size_t)put);
    if (put < 0 || child->left.len == 0)
        close_end(&child->in); /* a command that does not read its input is free to do so */
}

static void keep(struct child *child, const char *data, size_t len)
{
    struct exec_result *result = child->result;
    if (result->len + len > child->cap) {
        size_t cap = child->cap ? child->cap * 2 : 2 * READ_BYTES;
        char *bigger = cap > EXEC_OUTPUT_BYTES_MAX ? NULL : realloc(result->output, cap);
        if (!bigger) {
            result->cut = true;
            return;
        }
        result->output = bigger;
        child->cap = cap;
    }
    memcpy(result->output + result->len, data, len);
    result->len += len;
}

static void collect(struct child *child)
{
    char buffer[READ_BYTES];
    ssize_t got = read(child->out, buffer, sizeof buffer);
    if (got > 0 && !child->result->cut)
        keep(child, buffer, (size_t)got);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        close_end(&child->out);
}

static void converse(struct sluice *client, struct child *child)
{
    if (child->left.len == 0)
        close_end(&child->in);
    while (child->out >= 0) {
        struct pollfd fds[3] = {{.fd = child->out, .events = POLLIN},
                                {.fd = child->in, .events = POLLOUT},
                                {.fd = sluice_fd(client), .events = POLLIN}};
        (void)poll(fds, 3, SERVE_EVERY_MS);
        if (fds[0].revents)
            collect(child);
        if (fds[1].revents)
            feed(child);
        if (sluice_run(client, 0) != SLUICE_OK)
            kill(child->pid, SIGTERM); /* interrupted, or no one left to answer */
    }
    close_end(&child->in);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool exec_run(struct sluice *client, const char *command, const struct sluice_message *message,
              struct exec_result *result)
{
    struct child child = {.in = -1, .out = -1, .left = message->payload, .result = result};
    *result = (struct exec_result){0};
    if (!set_topic(message) || !start(&child, command)) {
        output_error("cannot run \"%s\": %s", command, strerror(errno));
        return false;
    }
    converse(client, &child);
    result->exit_status = wait_for(child.pid);
    return true;
}
