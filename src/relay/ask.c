/* How admission asks: HTTP to a server, and to the tailscaled on this machine. On pool threads. */

#include "core/log.h"
#include "core/mem.h"
#include "http/client.h"
#include "relay/admission.h"
#include "json/value.h"

#define ASK_MS 5000
#define ANSWER_MAX 4096
#define TAILSCALED_SOCKET "/var/run/tailscale/tailscaled.sock"

/* {"Allow": true} */
static enum verdict read_answer(struct str body)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *root = NULL;

    if (!json_parse(arena, body, NULL, &root, NULL))
        return VERDICT_DENY;
    return json_as_bool(json_get_nocase(root, "Allow"), false) ? VERDICT_ALLOW : VERDICT_DENY;
}

static enum verdict ask_url(struct str url, const struct node_key *key, struct ip_addr from)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(1024), answer = BUF(2 * ANSWER_MAX), addr = BUF(64);
    struct json_writer w = JSON_WRITER(&body);
    struct err err = {0};
    int status = 0;

    ip_addr_put(&addr, ip_addr_unmap(from));
    json_begin_object(&w);
    json_field_hex(&w, STR("NodePublic"), STR("nodekey:"), node_key_str(key));
    json_field_str(&w, STR("Source"), buf_str(&addr));
    json_end_object(&w);
    char *text = str_dup(url);
    const struct http_fetch_options options = {.url = text,
                                               .method = "POST",
                                               .body = buf_str(&body),
                                               .content_type = "application/json",
                                               .timeout_ms = ASK_MS,
                                               .max_body = ANSWER_MAX};
    int got = http_fetch(&options, &status, &answer, &err);

    mem_free(text);
    if (got < 0 && err.code == ERR_IO) {
        log_event(LOG_DEBUG, "asking the admission server", LOG_ERR(&err));
        return VERDICT_UNREACHABLE;
    }
    return got == 0 && status == 200 ? read_answer(buf_str(&answer)) : VERDICT_DENY;
}

/* What `tailscale whois` asks. No answer is a no: fail-open is about the URL. */
static enum verdict ask_tailscaled(const struct admission_urls *u, const struct node_key *key)
{
    AUTO_FINI(buf_fini) struct buf answer = BUF((size_t)1 << 20), url = BUF(1024);
    struct err err = {0};
    int status = 0;

    buf_put(&url, STR("http://local-tailscaled.sock/localapi/v0/whois?addr=nodekey%3A"));
    buf_put_hex(&url, node_key_str(key));
    buf_put_char(&url, 0);
    char *path = str_dup(u->socket.len > 0 ? u->socket : STR(TAILSCALED_SOCKET));
    const struct http_fetch_options options = {
        .url = url.ptr, .unix_path = path, .timeout_ms = ASK_MS, .max_body = (size_t)1 << 20};
    int got = http_fetch(&options, &status, &answer, &err);

    mem_free(path);
    if (got < 0)
        log_event(LOG_WARN, "cannot ask tailscaled about a relay client", LOG_ERR(&err));
    return got == 0 && status == 200 ? VERDICT_ALLOW : VERDICT_DENY;
}

enum verdict admission_ask_urls(void *user, const struct node_key *key, struct ip_addr from)
{
    const struct admission_urls *u = user;

    if (u->tailscaled && ask_tailscaled(u, key) != VERDICT_ALLOW)
        return VERDICT_DENY;
    return u->url.len > 0 ? ask_url(u->url, key, from) : VERDICT_ALLOW;
}
