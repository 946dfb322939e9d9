/*
 * Blocking requests with libcurl: the CLI to the server's Unix socket, start-up, worker threads.
 */

#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "http/client.h"
#include "http/http_internal.h"

#define FETCH_MS 10000
#define FETCH_BODY ((size_t)64 << 20)

struct fetch {
    CURL *curl;
    struct curl_slist *headers;
    struct buf *body;
    size_t max_body;
    size_t got;
    bool too_large;
    bool is_forbidden; /* an address was not to be connected to */
    const struct http_fetch_options *options;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct fetch *f = user;
    size_t len = size * n; /* size is always 1 */

    if (f->options->on_data)
        return f->options->on_data(f->options->user, str_bytes(data, len)) ? len : 0;
    f->got += len;
    if (f->got > f->max_body) {
        f->too_large = true;
        return 0;
    }
    buf_put(f->body, str_bytes(data, len));
    if (buf_is_full(f->body)) {
        f->too_large = true;
        return 0;
    }
    return len;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    const struct fetch *f = user;
    size_t len = size * n; /* size is always 1 */
    struct str name, value;

    if (str_split(str_bytes(data, len), ':', &name, &value))
        f->options->on_header(f->options->user, str_trim(name), str_trim(value));
    return len;
}

static struct ip_addr addr_of(const struct curl_sockaddr *to)
{
    struct ip_addr addr = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (to->family == AF_INET && to->addrlen >= sizeof(v4)) {
        memcpy(&v4, &to->addr, sizeof(v4));
        IGNORE(ip_addr_from_bytes(str_bytes(&v4.sin_addr, sizeof(v4.sin_addr)), &addr));
    } else if (to->family == AF_INET6) {
        /* curl's struct has room for any address behind what it declares. */
        memcpy(&v6, (const char *)to + offsetof(struct curl_sockaddr, addr), sizeof(v6));
        IGNORE(ip_addr_from_bytes(str_bytes(&v6.sin6_addr, sizeof(v6.sin6_addr)), &addr));
    }
    return addr;
}

/* Asked for every address that a name leads to, before it is connected to. */
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct fetch *f = user;

    if (purpose != CURLSOCKTYPE_IPCXN || !f->options->may_connect(f->options->user, addr_of(to))) {
        f->is_forbidden = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Non-zero ends the transfer. */
static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    const struct fetch *f = user;

    (void)down_total, (void)down, (void)up_total, (void)up;
    return atomic_load(f->options->cancelled);
}

static void add_header(struct fetch *f, const char *name, struct str value)
{
    struct str line = str_printf("%s: %.*s", name, STR_ARG(value));
    struct curl_slist *list = curl_slist_append(f->headers, line.ptr);

    ASSERT(list);
    f->headers = list;
    mem_wipe((void *)(uintptr_t)line.ptr, line.len); /* may hold a token */
    str_free(&line);
}

static bool is_one_line(struct str s)
{
    return str_find_char(s, '\r') < 0 && str_find_char(s, '\n') < 0 && str_find_char(s, '\0') < 0;
}

/* Every option a CURLcode; the first that fails decides. */
static CURLcode set_options(struct fetch *f, const struct http_fetch_options *o)
{
    CURLcode bad = CURLE_OK;

#define SET(option, value)                                  \
    do {                                                    \
        if (bad == CURLE_OK)                                \
            bad = curl_easy_setopt(f->curl, option, value); \
    } while (0)
    SET(CURLOPT_URL, o->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS,
        o->timeout_ms < 0 ? 0L : (long)(o->timeout_ms > 0 ? o->timeout_ms : FETCH_MS));
    SET(CURLOPT_USERAGENT, "hatsize/" HATSIZE_VERSION);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    if (o->unix_path) {
        SET(CURLOPT_UNIX_SOCKET_PATH, o->unix_path);
        SET(CURLOPT_PROXY, "");
    }
    if (o->body.len > 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body.len);
        SET(CURLOPT_POSTFIELDS, o->body.ptr);
    } else if (o->method && strcmp(o->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        SET(CURLOPT_POSTFIELDS, "");
    } else if (o->method && strcmp(o->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
    if (o->method && strcmp(o->method, "HEAD") != 0)
        SET(CURLOPT_CUSTOMREQUEST, o->method);
    if (o->insecure) {
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (o->ca_file) {
        SET(CURLOPT_CAINFO, o->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (o->on_header) {
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, f);
    }
    if (o->may_connect) {
        SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
        SET(CURLOPT_OPENSOCKETDATA, f);
    }
    if (o->cancelled) {
        SET(CURLOPT_NOPROGRESS, 0L);
        SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(CURLOPT_XFERINFODATA, f);
    }
    SET(CURLOPT_HTTPHEADER, f->headers);
#undef SET
    return bad;
}

static void set_headers(struct fetch *f, const struct http_fetch_options *o)
{
    add_header(f, "Expect", STR_NONE); /* an empty value: curl leaves the header out */
    if (o->content_type)
        add_header(f, "Content-Type", str_from(o->content_type));
    else if (o->body.len > 0)
        add_header(f, "Content-Type", STR("application/octet-stream"));
    for (size_t i = 0; i < o->n_headers; i++)
        if (is_one_line(o->headers[i].value))
            add_header(f, o->headers[i].name.ptr, o->headers[i].value);
    if (o->bearer.len > 0 || o->basic.len > 0) {
        struct str value = o->bearer.len > 0 ? str_printf("Bearer %.*s", STR_ARG(o->bearer))
                                             : str_printf("Basic %.*s", STR_ARG(o->basic));

        add_header(f, "Authorization", value);
        mem_wipe((void *)(uintptr_t)value.ptr, value.len);
        str_free(&value);
    }
}

static const char *named(const struct http_fetch_options *o)
{
    return o->called ? o->called : o->unix_path ? o->unix_path : o->url;
}

static int perform(struct fetch *f, const struct http_fetch_options *o, int *status,
                   struct err *err)
{
    CURLcode got = set_options(f, o);
    long code = 0;

    if (got == CURLE_OK)
        got = curl_easy_perform(f->curl);
    if (f->too_large)
        return err_set(err, ERR_LIMIT, "the answer from %s is too large", named(o));
    if (got != CURLE_OK && f->is_forbidden)
        return err_set(err, ERR_DENIED, "%s leads to an address that is not to be connected to",
                       named(o));
    if (got != CURLE_OK) {
        long sys = 0;

        (void)curl_easy_getinfo(f->curl, CURLINFO_OS_ERRNO, &sys);
        int code_of = err_set(err, ERR_IO, "%s: %s", named(o), curl_easy_strerror(got));

        if (err)
            err->sys = (int)sys;
        return code_of;
    }
    (void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return 0;
}

int http_fetch(const struct http_fetch_options *o, int *status, struct buf *body, struct err *err)
{
    struct fetch f = {
        .body = body, .max_body = o->max_body ? o->max_body : FETCH_BODY, .options = o};

    if (!is_one_line(o->bearer) || !is_one_line(o->basic) ||
        !is_one_line(str_from(o->content_type)))
        return err_set(err, ERR_INVALID, "a header value has a line end in it");
    (void)pthread_once(&curl_once, init_curl);
    if (curl_ready != CURLE_OK || !(f.curl = curl_easy_init()))
        return err_set(err, ERR_INTERNAL, "libcurl does not start");
    set_headers(&f, o);
    int got = perform(&f, o, status, err);

    curl_slist_free_all(f.headers);
    curl_easy_cleanup(f.curl);
    return got;
}
