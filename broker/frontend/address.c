#include "broker/frontend/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const scheme_names[] = {[LISTEN_TCP] = "tcp", [LISTEN_WS] = "ws"};

__attribute__((format(printf, 3, 4))) static enum err refuse(char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
    return ERR_CONFIG;
}

/* ---- the URL -------------------------------------------------------------------------------------------- */

static bool parse_scheme(const char *text, struct listen_url *out, const char **rest)
{
    for (size_t i = 0; i < sizeof scheme_names / sizeof scheme_names[0]; i++) {
        size_t len = strlen(scheme_names[i]);
        if (strncmp(text, scheme_names[i], len) == 0 && strncmp(text + len, "://", 3) == 0) {
            out->scheme = (enum listen_scheme)i;
            *rest = text + len + 3;
            return true;
        }
    }
    return false;
}

static bool parse_port(const char *text, uint16_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (end[0] == '/' && end[1] == '\0')
        end++;
    if (*end != '\0' || errno || port > UINT16_MAX)
        return false;
    *out = (uint16_t)port;
    return true;
}

enum err listen_url_parse(const char *text, struct listen_url *out, char *why, size_t size)
{
    const char *rest;
    if (!parse_scheme(text, out, &rest))
        return refuse(why, size, "cannot listen on '%s': it must begin with tcp:// or ws://", text);
    const char *colon = strrchr(rest, ':');
    bool bracketed = rest[0] == '[';
    if (bracketed && (!colon || colon[-1] != ']'))
        colon = NULL;
    if (!colon || !parse_port(colon + 1, &out->port))
        return refuse(why, size,
                      "cannot listen on '%s': a port from 0 to 65535 is missing, as in tcp://127.0.0.1:7400",
                      text);
    size_t len = (size_t)(colon - rest) - (bracketed ? 2 : 0);
    if (len == 0 || len >= sizeof out->host || (!bracketed && memchr(rest, ':', len)))
        return refuse(why, size,
                      "cannot listen on '%s': write a host in front of the port (IPv6 in brackets)", text);
    memcpy(out->host, rest + bracketed, len);
    out->host[len] = '\0';
    return ERR_NONE;
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

static uint16_t *port_of(struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return &((struct sockaddr_in6 *)(void *)address)->sin6_port;
    return &((struct sockaddr_in *)(void *)address)->sin_port;
}

static socklen_t length_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void address_text(const struct sockaddr_storage *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_storage copy = *address;
    bool six = address->ss_family == AF_INET6;
    const void *bytes = six ? (const void *)&((struct sockaddr_in6 *)(void *)&copy)->sin6_addr
                            : (const void *)&((struct sockaddr_in *)(void *)&copy)->sin_addr;
    inet_ntop(address->ss_family, bytes, host, sizeof host);
    snprintf(text, size, six ? "[%s]:%u" : "%s:%u", host, ntohs(*port_of(&copy)));
}

bool address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
    }
    return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) == 127;
}

static enum err resolve(struct listen_socket *out, char *why, size_t size)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
    int e = getaddrinfo(out->url.host, NULL, &hints, &found);
    if (e)
        return refuse(why, size, "cannot listen on '%s': %s", out->url.host, gai_strerror(e));
    out->count = 0;
    for (const struct addrinfo *at = found; at && out->count < LISTEN_ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        memcpy(&out->addresses[out->count++], at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(found);
    return out->count ? ERR_NONE : refuse(why, size, "cannot listen on '%s': no IP address", out->url.host);
}

/* ---- sockets -------------------------------------------------------------------------------------------- */

static int open_bound(const struct sockaddr_storage *address, bool shared)
{
    int on = 1, fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)address, length_of(address)) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

int listen_socket_open(const struct listen_socket *socket, size_t address)
{
    return open_bound(&socket->addresses[address], true);
}

/* SO_REUSEPORT would succeed on a port that another broker of the same user holds, and steal its connections: so first
 * without. */
static int probe(struct sockaddr_storage *address, uint16_t port)
{
    *port_of(address) = htons(port);
    int fd = open_bound(address, false);
    if (fd < 0)
        return -1;
    socklen_t len = sizeof *address;
    int e = getsockname(fd, (struct sockaddr *)address, &len);
    close(fd);
    return e;
}

static enum err probe_failed(const struct sockaddr_storage *address, char *why, size_t size)
{
    char text[64];
    int e = errno;
    address_text(address, text, sizeof text);
    refuse(why, size, "cannot listen on %s: %s", text, strerror(e));
    return e == EADDRINUSE ? ERR_IN_USE : e == EADDRNOTAVAIL || e == EACCES ? ERR_CONFIG : ERR_IO;
}

enum err listen_socket_probe(struct listen_socket *out, const struct listen_url *url, bool loopback_only,
                             char *why, size_t size)
{
    *out = (struct listen_socket){.url = *url};
    enum err e = resolve(out, why, size);
    if (e)
        return e;
    uint16_t port = url->port;
    size_t bound = 0;
    for (size_t i = 0; i < out->count; i++) {
        struct sockaddr_storage address = out->addresses[i];
        if (loopback_only && !address_is_loopback(&address))
            return refuse(why, size,
                          "refusing to listen on %s, which is not loopback, without authentication: "
                          "--set auth.allow_anonymous=true permits it",
                          url->host);
        if (probe(&address, port)) {
            if (errno == EADDRNOTAVAIL && out->count > 1 && i + 1 - bound < out->count)
                continue; /* a name's other addresses may do: localhost where IPv6 is off */
            return probe_failed(&address, why, size);
        }
        port = ntohs(*port_of(&address));
        out->addresses[bound++] = address;
    }
    out->count = bound;
    char text[64];
    address_text(&out->addresses[0], text, sizeof text);
    snprintf(out->text, sizeof out->text, "%s://%s", scheme_names[url->scheme], text);
    return ERR_NONE;
}
