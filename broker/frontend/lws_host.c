#include "broker/frontend/lws_host.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "broker/frontend/http.h"
#include "broker/log.h"
#include "broker/memory.h"
#include "proto/native.h"

enum {
    SERVICE_BUFFER = 64 * 1024, /* for sending files, one per context */
    RX_BUFFER = 128,            /* read from a WebSocket at a time; one per connection, idle ones included */
    TX_MAX = 1 << 30,           /* written at a time; without it, no more than RX_BUFFER is */
    HEADERS_MAX = 8 * 1024      /* of one request */
};

struct lws_host {
    struct lws_host_config config;
    struct ws_frontend *ws; /* owns */
    struct lws_context *context;
    struct lws_vhost *vhost;
    bool stopping;
};

/* What we know of a connection before and beyond what libwebsockets makes of it. */
struct adopted {
    struct address_count *ticket; /* the admission's */
};

/* ---- callbacks ------------------------------------------------------------------------------------------ */

static void destroyed(struct lws_host *host, struct lws *wsi)
{
    struct adopted *adopted = lws_get_opaque_user_data(wsi);
    if (!adopted)
        return;
    lws_set_opaque_user_data(wsi, NULL);
    admission_give(host->config.admission, adopted->ticket);
    free(adopted);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct lws_host *host = lws_context_user(lws_get_context(wsi));
    struct ws_connection *connection = user;
    if (!host)
        return 0;
    clock_set(host->config.ws.clock, uv_now(host->config.loop));
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return http_upgrade(host->config.http, wsi, in);
    case LWS_CALLBACK_HTTP:
        return http_request(host->config.http, wsi, span_of(in, len));
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return lws_http_transaction_completed(wsi) ? -1 : 0;
    case LWS_CALLBACK_ESTABLISHED:
        return ws_established(host->ws, connection, wsi);
    case LWS_CALLBACK_RECEIVE:
        return ws_received(host->ws, connection, span_of(in, len));
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return ws_writable(connection);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return ws_peer_closes(connection);
    case LWS_CALLBACK_CLOSED:
        ws_closed(host->ws, connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        destroyed(host, wsi);
        return 0;
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return -1;
    default:
        return 0;
    }
}

static void on_log(int level, const char *line)
{
    struct span text = span_str(line);
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == ' '))
        text.len--;
    log_event(level & LLL_ERR ? LOG_WARN : LOG_DEBUG, "libwebsockets", LOG_SPAN("text", text));
}

/* ---- coming in ------------------------------------------------------------------------------------------ */

static void refuse(int fd, const char *text)
{
    char response[512], ignored[4096];
    int len = snprintf(response, sizeof response,
                       "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Content-Length: %zu\r\nRetry-After: 5\r\nConnection: close\r\n\r\n%s\n",
                       strlen(text) + 1, text);
    log_event(LOG_WARN, "connection refused", LOG_S("text", text));
    (void)!send(fd, response, (size_t)len, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, ignored, sizeof ignored,
                0); /* unread input would reset the connection under the answer */
    close(fd);
}

void lws_host_accepted(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct lws_host *host = context;
    struct address_count *ticket;
    const char *text;
    if (admission_take(host->config.admission, peer, &ticket, &text)) {
        refuse(fd, text);
        return;
    }
    unsigned lowat = host->config.notsent_lowat;
    if (lowat)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    struct lws *wsi = lws_adopt_socket_vhost(host->vhost, fd);
    if (!wsi) {
        admission_give(host->config.admission, ticket); /* it has closed the descriptor */
        return;
    }
    struct adopted *adopted = memory_must(sizeof *adopted);
    adopted->ticket = ticket;
    lws_set_opaque_user_data(wsi, adopted);
}

/* ---- the context ---------------------------------------------------------------------------------------- */

static bool make_context(struct lws_host *host)
{
    /* All zero: the default policy keeps a sorted list of validity timers, which makes connecting O(connections). */
    static const lws_retry_bo_t no_policy;
    static struct lws_protocols protocols[] = {
        {.name = NATIVE_SUBPROTOCOL,
         .callback = callback,
         .rx_buffer_size = RX_BUFFER,
         .tx_packet_size = TX_MAX},
        {0},
    };
    protocols[0].per_session_data_size = ws_connection_bytes();
    void *loops[] = {host->config.loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
        .foreign_loops = loops,
        .protocols = protocols,
        .retry_and_idle_policy = &no_policy,
        .alpn = "http/1.1",
        .pt_serv_buf_size = SERVICE_BUFFER,
        .max_http_header_data = HEADERS_MAX,
        .timeout_secs_ah_idle = (unsigned)((host->config.http->handshake_timeout + 999) / 1000),
        .timeout_secs = (unsigned)((host->config.http->handshake_timeout + 999) / 1000),
        .server_string = "sluiced",
        .user = host,
        .vhost_name = "sluice",
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    host->context = lws_create_context(&info);
    host->vhost = host->context ? lws_get_vhost_by_name(host->context, "sluice") : NULL;
    return host->vhost != NULL;
}

struct lws_host *lws_host_new(const struct lws_host_config *config)
{
    struct lws_host *host = memory_must(sizeof *host);
    host->config = *config;
    host->config.ws.read_bytes = RX_BUFFER + LWS_PRE;
    host->ws = ws_new(&host->config.ws);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    if (make_context(host))
        return host;
    ws_free(host->ws);
    free(host);
    return NULL;
}

void lws_host_end_turn(struct lws_host *host)
{
    ws_end_turn(host->ws);
}

void lws_host_stop(struct lws_host *host)
{
    ws_stop(host->ws);
    lws_context_destroy(host->context);
}

/* On a loop that is not its own libwebsockets ends in two steps, with the closing of its handles in between. */
void lws_host_free(struct lws_host *host)
{
    lws_context_destroy(host->context);
    ws_free(host->ws);
    free(host);
}
