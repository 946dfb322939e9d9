/*
 * POST /api/v2/oauth/token: an OAuth client's secret for a token of an hour (RFC 6749 4.4).
 *
 * The only call of the API that nobody is let in for: it does the letting in. So it has a guard
 * against guessing of its own, and its refusals are OAuth's.
 */

#include "api/v2_internal.h"
#include "auth/oauth.h"
#include "core/clock.h"
#include "core/metric.h"

static struct metric tokens =
    METRIC_COUNTER("hatsize_oauth_tokens_total", "Access tokens given to OAuth clients.");

/* Both OAuth's words and v2's, for whoever reads them. */
static void refuse(struct api_call *c, int status, const char *code, const char *why)
{
    struct buf body = BUF(4096);
    struct json_writer w = JSON_WRITER(&body);

    if (c->a->x) {
        json_begin_object(&w);
        json_field_str(&w, STR("error"), str_from(code));
        json_field_str(&w, STR("error_description"), str_from(why));
        json_field_str(&w, STR("message"), str_from(why));
        json_field_u64(&w, STR("status"), (uint64_t)status);
        json_end_object(&w);
        buf_put_char(&body, '\n');
        if (status == 401)
            http_add_header(c->a->x, STR("www-authenticate"), STR("Basic realm=\"oauth\""));
        http_add_header(c->a->x, STR("pragma"), STR("no-cache"));
        http_respond(c->a->x, status, "application/json", buf_str(&body));
    }
    buf_fini(&body);
    api_end(c);
}

static void refuse_client(struct api_call *c, const char *why)
{
    guard_missed(&c->api->guard, c->a->req->peer.addr, clock_unix_ms());
    refuse(c, 401, "invalid_client", why);
}

static void done_token(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);
    struct buf body = BUF(16384), scope = BUF(8192);
    struct json_writer w = JSON_WRITER(&body);

    if (call->status < 0) {
        refuse(c, call->err.code == ERR_LIMIT ? 429 : 503, "temporarily_unavailable",
               call->err.text);
        return;
    }
    const struct str_list *scopes = &call->result.api_key->scopes;

    for (size_t i = 0; i < scopes->len; i++)
        buf_printf(&scope, "%s%.*s", i > 0 ? " " : "", STR_ARG(scopes->items[i]));
    json_begin_object(&w);
    json_field_str(&w, STR("access_token"), call->result.secret);
    json_field_str(&w, STR("token_type"), STR("Bearer"));
    json_field_u64(&w, STR("expires_in"), OAUTH_TOKEN_MS / 1000);
    json_field_str(&w, STR("scope"), buf_str(&scope));
    json_end_object(&w);
    buf_fini(&scope);
    metric_add(&tokens, 1);
    if (c->a->x)
        http_add_header(c->a->x, STR("pragma"), STR("no-cache"));
    api_respond(c, &body);
}

/* Of the newest set this loop has: the client may have changed since it was checked. */
static const struct api_key *client_now(const struct api_call *c, api_key_id id)
{
    const struct api_key_set *keys = auth_keys(control_auth(c->api->control), c->a->loop);

    return keys ? api_key_set_find(keys, id) : NULL;
}

/* The set of keys may go before the command is done. */
static struct str_list kept(const struct api_call *c, const struct str_list *list)
{
    struct str_list copy = {.items =
                                arena_alloc(api_arena(c), (list->len + 1) * sizeof(struct str))};

    for (; copy.len < list->len; copy.len++)
        copy.items[copy.len] = arena_copy(api_arena(c), list->items[copy.len]);
    return copy;
}

static void on_client(void *user, enum auth_answer answer, const struct caller *who)
{
    struct api_call *c = user;
    const struct oauth_request *req = c->a->more;
    struct oauth_error error = {0};
    struct str_list scopes, tags;

    if (!c->a->x) {
        api_end(c);
        return;
    }
    if (answer == AUTH_BUSY) {
        http_add_header(c->a->x, STR("retry-after"), STR("1"));
        refuse(c, 503, "temporarily_unavailable", "too many secrets are being checked, try again");
        return;
    }
    const struct api_key *client = answer == AUTH_OK ? client_now(c, who->api_key) : NULL;

    if (!client) {
        refuse_client(c, "invalid client credentials");
        return;
    }
    c->caller = caller_copy(who);
    caller_set_from(&c->caller, c->a->req->peer);
    c->tailnet = who->tailnet;
    if (!oauth_narrow(api_arena(c), req, &client->scopes, &client->tags, &scopes, &tags, &error)) {
        refuse(c, 400, error.code, error.why);
        return;
    }
    struct command *command = api_command(c, COMMAND_OAUTH_TOKEN_CREATE);
    command->id = client->id;
    command->scopes = kept(c, &scopes);
    command->tags = kept(c, &tags);
    /* Programs do this all day long: in the log it is theirs, not the administrators'. */
    command->origin = ORIGIN_CLIENT;
    api_submit(c, done_token);
}

void api_v2_oauth_token(struct api_call *c)
{
    const struct http_request *http = c->a->req;
    struct oauth_request *req = arena_alloc(api_arena(c), sizeof(*req));
    struct oauth_error error = {0};
    int64_t wait_s = 0;

    if (!http->is_unix &&
        guard_must_wait(&c->api->guard, http->peer.addr, clock_unix_ms(), &wait_s)) {
        http_add_header(c->a->x, STR("retry-after"), arena_printf(api_arena(c), "%d", (int)wait_s));
        refuse(c, 429, "temporarily_unavailable", "too many wrong secrets; wait a minute");
        return;
    }
    if (!oauth_request_parse(api_arena(c), http_header_get(http, STR("content-type")),
                             http_header_get(http, STR("authorization")),
                             arena_copy(api_arena(c), http->body), req, &error)) {
        if (str_eq(str_from(error.code), STR("invalid_client")))
            refuse_client(c, error.why);
        else
            refuse(c, 400, error.code, error.why);
        return;
    }
    c->a->more = req;
    (void)auth_check_client(control_auth(c->api->control), c->a->loop, req->client_id, req->secret,
                            on_client, c);
}
