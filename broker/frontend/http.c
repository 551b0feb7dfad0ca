#include "broker/frontend/http.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <libwebsockets.h>

#include "broker/frontend/address.h"
#include "broker/frontend/origin.h"
#include "broker/log.h"
#include "proto/native.h"

enum { HEADER_MAX = 512, PATH_BYTES_MAX = 1024, RESPONSE_MAX = 1024 };

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".woff2", "font/woff2"},
};

/* ---- answers -------------------------------------------------------------------------------------------- */

/* A whole small response; the connection closes behind it. `extra` is a header line or "". */
static int respond(struct lws *wsi, int status, const char *reason, const char *extra, const char *body)
{
    uint8_t buffer[LWS_PRE + RESPONSE_MAX];
    char *text = (char *)buffer + LWS_PRE;
    int len = snprintf(
        text, RESPONSE_MAX,
        "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n%s\r\n%s",
        status, reason, strlen(body), extra, body);
    if (len > 0 && len < RESPONSE_MAX)
        (void)lws_write(wsi, (uint8_t *)text, (size_t)len, LWS_WRITE_RAW);
    return -1;
}

static int refuse(struct lws *wsi, int status, const char *reason, const char *body)
{
    log_event(LOG_INFO, "HTTP request refused", LOG_U("status", status), LOG_S("text", body));
    return respond(wsi, status, reason, "", body);
}

/* ---- who asks ------------------------------------------------------------------------------------------- */

static struct span header(struct lws *wsi, enum lws_token_indexes token, char buffer[HEADER_MAX])
{
    int len = lws_hdr_copy(wsi, buffer, HEADER_MAX, token);
    return span_of(buffer, len > 0 ? (size_t)len : 0);
}

/* The address that the client connected to, without port. */
static struct span local_name(struct lws *wsi, char buffer[64])
{
    struct sockaddr_storage local = {0};
    socklen_t len = sizeof local;
    if (getsockname(lws_get_socket_fd(wsi), (struct sockaddr *)&local, &len))
        return (struct span){0};
    address_text(&local, buffer, 64);
    char *colon = strrchr(buffer, ':');
    return span_of(buffer, colon ? (size_t)(colon - buffer) : 0);
}

static bool host_allowed(const struct http_settings *http, struct lws *wsi)
{
    char host[HEADER_MAX], local[64];
    return origin_host_allowed(http, header(wsi, WSI_TOKEN_HOST, host), local_name(wsi, local));
}

static bool from_allowed_page(const struct http_settings *http, struct lws *wsi)
{
    char origin[HEADER_MAX], host[HEADER_MAX];
    bool too_long = lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) >= HEADER_MAX;
    return !too_long &&
           origin_allowed(http, header(wsi, WSI_TOKEN_ORIGIN, origin), header(wsi, WSI_TOKEN_HOST, host));
}

/* ---- upgrades ------------------------------------------------------------------------------------------- */

/* Whether a list "a, b" has the name. */
static bool offers(struct span list, struct span name)
{
    for (size_t at = 0; at < list.len;) {
        while (at < list.len && (list.data[at] == ' ' || list.data[at] == ','))
            at++;
        size_t begin = at;
        while (at < list.len && list.data[at] != ' ' && list.data[at] != ',')
            at++;
        if (span_eq(span_of(list.data + begin, at - begin), name))
            return true;
    }
    return false;
}

int http_upgrade(const struct http_settings *http, struct lws *wsi, const char *protocol)
{
    char offered[HEADER_MAX];
    if (strcasecmp(protocol, "websocket") != 0)
        return refuse(wsi, 400, "Bad Request", "the only upgrade is to websocket\n");
    if (!host_allowed(http, wsi))
        return refuse(wsi, 403, "Forbidden",
                      "this Host is not served here; http.allowed_hosts permits more\n");
    if (!from_allowed_page(http, wsi))
        return refuse(wsi, 403, "Forbidden",
                      "pages of this Origin may not connect; http.allowed_origins permits more\n");
    struct span list = header(wsi, WSI_TOKEN_PROTOCOL, offered);
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0 && !offers(list, span_str(NATIVE_SUBPROTOCOL)))
        return refuse(wsi, 400, "Bad Request", "the only subprotocol is " NATIVE_SUBPROTOCOL "\n");
    return 0;
}

/* ---- files ---------------------------------------------------------------------------------------------- */

static const char *type_of(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t suffix = strlen(types[i].suffix);
        if (len > suffix && strcmp(path + len - suffix, types[i].suffix) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* No way out of the root, and nothing hidden: no segment begins with a dot. */
static bool path_is_plain(struct span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] < 0x20 || path.data[i] == '\\' ||
            (path.data[i] == '.' && i > 0 && path.data[i - 1] == '/'))
            return false;
    return path.len > 0 && path.data[0] == '/';
}

static int redirect_to_folder(struct lws *wsi, struct span path)
{
    char location[PATH_BYTES_MAX];
    if (path.len > 1 && path.data[1] == '/')
        return refuse(wsi, 404, "Not Found", "not found\n"); /* "//host" would lead to another host */
    for (size_t i = 0; i < path.len; i++)
        if (strchr("%?#\"<>", path.data[i]) || path.data[i] >= 0x7f)
            return refuse(wsi, 404, "Not Found", "not found\n");
    snprintf(location, sizeof location, "Location: %.*s/\r\n", (int)path.len, (const char *)path.data);
    return respond(wsi, 301, "Moved Permanently", location, "");
}

static int serve_file(const struct http_settings *http, struct lws *wsi, struct span path)
{
    static const char headers[] = "X-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n"
                                  "Cache-Control: no-cache\r\n";
    char file[PATH_BYTES_MAX + OPTION_STRING_MAX];
    struct stat status;
    bool folder = path.len > 0 && path.data[path.len - 1] == '/';
    if (http->root[0] == '\0' || path.len >= PATH_BYTES_MAX / 2 || !path_is_plain(path))
        return refuse(wsi, 404, "Not Found", "not found\n");
    snprintf(file, sizeof file, "%s%.*s%s", http->root, (int)path.len, (const char *)path.data,
             folder ? "index.html" : "");
    if (stat(file, &status))
        return refuse(wsi, 404, "Not Found", "not found\n");
    if (S_ISDIR(status.st_mode))
        return redirect_to_folder(wsi, path);
    if (!S_ISREG(status.st_mode))
        return refuse(wsi, 404, "Not Found", "not found\n");
    int served = lws_serve_http_file(wsi, file, type_of(file), headers, sizeof headers - 1);
    return served < 0 || (served > 0 && lws_http_transaction_completed(wsi)) ? -1 : 0;
}

int http_request(const struct http_settings *http, struct lws *wsi, struct span path)
{
    if (!host_allowed(http, wsi))
        return refuse(wsi, 403, "Forbidden",
                      "this Host is not served here; http.allowed_hosts permits more\n");
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return refuse(wsi, 411, "Length Required", "requests with a chunked body are not taken\n");
    if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) == 0)
        return respond(wsi, 405, "Method Not Allowed", "Allow: GET\r\n", "only GET is served here\n");
    if (span_eq(path, span_str("/healthz")))
        return respond(wsi, 200, "OK", "", "ok\n");
    return serve_file(http, wsi, path);
}
