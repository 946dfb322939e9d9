/*
 * The gate: every request passes here, whichever door it came by and whatever it wants, and here
 * alone it is asked who is calling.
 *
 *   CORS, too many at once -> the operation -> who (auth/caller.h) -> may he -> which tailnet
 *       -> path, query, body as the table says -> handler
 *
 * Paths nobody serves are answered here, too, with the methods that a path takes, because browsers
 * ask for them before they call.
 */

#include "api/api_internal.h"

#include <stdatomic.h>

#include "core/metric.h"

#define VALUE_SHOWN_MAX 256

static struct metric calls_total = METRIC_COUNTER("hatsize_api_calls_total", "Calls of the API.");
static struct metric calls_refused = METRIC_COUNTER(
    "hatsize_api_calls_refused_total", "Calls of the API without a key that is good for them.");

/* ---- The call's life ---- */

struct arena *api_arena(const struct api_call *c)
{
    return c->a->arena;
}

static enum api_version version_of(const struct http_request *req)
{
    return str_starts(req->path, STR("/api/v2/")) ? API_V2 : API_V1;
}

static struct api_call *call_new(struct api *api, const struct api_operation *op,
                                 struct http_exchange *x, const struct http_request *req)
{
    struct asked *a = asked_new(NULL, control_registrar(api->control), x, req);
    struct api_call *c = arena_alloc(a->arena, sizeof(*c));

    *c = (struct api_call){.api = api, .version = version_of(req), .op = op, .a = a};
    a->owner = c;
    atomic_fetch_add(&api->calls, 1);
    return c;
}

void api_end(struct api_call *c)
{
    atomic_fetch_sub(&c->api->calls, 1);
    caller_fini(&c->caller);
    asked_free(c->a);
}

struct api_call *api_call_of(struct registrar_call *call)
{
    return asked_of(call)->owner;
}

struct command *api_command(struct api_call *c, enum command_type type)
{
    c->a->call.command = (struct command){.type = type, .tailnet = c->tailnet};
    caller_stamp(&c->caller, &c->a->call.command);
    return &c->a->call.command;
}

void api_submit(struct api_call *c, void (*done)(struct registrar_call *call))
{
    asked_submit(c->a, done);
}

bool api_refused(struct api_call *c)
{
    if (c->a->call.status == 0 && c->a->x)
        return false;
    if (c->a->call.status < 0)
        api_respond_err(c, &c->a->call.err);
    else
        api_end(c);
    return true;
}

void api_done_empty(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        api_respond_empty(c);
}

/* ---- What it says ---- */

/* The reason, or NULL. A segment is one name: nothing that could be taken for a path. */
static const char *bad_segment(struct str s)
{
    if (!str_is_utf8(s))
        return "the path is not UTF-8";
    if (str_has_control(s) || str_find_char(s, '/') >= 0)
        return "a part of the path holds '/' or a control character";
    if (str_eq(s, STR(".")) || str_eq(s, STR("..")))
        return "a part of the path is \".\" or \"..\"";
    return NULL;
}

static const char *bad_words(const struct api_call *c)
{
    const struct http_request *req = c->a->req;
    struct str rest = req->query, key, value;

    for (size_t i = 0; i < req->n_params; i++) {
        const char *why = bad_segment(req->params[i].value);

        if (why)
            return why;
    }
    while (http_query_next(c->a->x, &rest, &key, &value))
        if (!str_is_utf8(value))
            return "the query is not UTF-8";
    return NULL;
}

static void respond_invalid(struct api_call *c, const char *why, const char *where,
                            struct str value)
{
    struct buf errors = BUF(8192), message = BUF(1024);
    struct json_writer w = JSON_WRITER(&errors);
    const char *dot = where[0] ? "." : "";

    buf_printf(&message, "validation failed: body%s%s: %s", dot, where, why);
    if (c->version == API_V2) {
        api_v2_put_problem(c->a->x, 400, buf_str(&message), STR_NONE);
        buf_fini(&message);
        api_end(c);
        return;
    }
    json_begin_array(&w);
    json_begin_object(&w);
    json_field_str(&w, STR("message"), str_from(why));
    json_key(&w, STR("location"));
    json_begin_plain(&w);
    buf_printf(w.out, "body%s%s", dot, where);
    json_end_plain(&w);
    if (value.len > 0 && value.len <= VALUE_SHOWN_MAX)
        json_field_raw(&w, STR("value"), value);
    json_end_object(&w);
    json_end_array(&w);
    api_put_problem_with(c->a->x, 422, "validation failed", buf_str(&message), buf_str(&errors));
    buf_fini(&errors);
    buf_fini(&message);
    api_end(c);
}

/* False: answered. */
static bool read_body(struct api_call *c)
{
    struct str text, value = STR_NONE;
    struct json_value *body = NULL;
    struct json_error error;
    const char *why = NULL, *where = "";

    if (!c->op->body)
        return true;
    /* What a command borrows must outlive a client that leaves. */
    text = arena_copy(api_arena(c), str_trim(c->a->req->body));
    if (text.len == 0)
        return true;
    if (!json_parse(api_arena(c), text, NULL, &body, &error)) {
        struct str at =
            arena_printf(api_arena(c), "line %u, column %u: %s", error.line, error.col, error.text);

        api_problem(c, 400, "the body is not JSON", at.ptr);
        return false;
    }
    if (json_is(body, JSON_NULL))
        return true;
    if (!api_body_check(body, c->version, c->op->body, &why, &where, &value)) {
        respond_invalid(c, why, where, value);
        return false;
    }
    c->body = body;
    return true;
}

/* ---- Who, and about what ---- */

/* The tailnet meant: the one named, else the caller's own, else the first. False: answered. */
static bool find_tailnet(struct api_call *c)
{
    struct hub *hub = control_hub(c->api->control, c->a->loop);
    struct str name = http_param_get(c->a->req, STR("tailnet"));

    /* v2's paths name it; "-" is the one of who asks. */
    if (str_eq(name, STR("-")))
        name = STR_NONE;
    if (name.len > 0 || api_query(c, "tailnet", &name))
        c->view = hub_view_by_name(hub, name);
    else
        c->view = hub_view(hub, c->caller.tailnet);
    /* Somebody else's is as good as none. */
    if (!c->view || !caller_may_name(&c->caller, view_info(c->view)->id)) {
        api_problem(c, 404, "tailnet not found", NULL);
        return false;
    }
    /* Only who runs the server may go on. */
    if (c->caller.tailnet != 0 && view_info(c->view)->suspended) {
        metric_add(&calls_refused, 1);
        api_problem(c, 403, "this tailnet is suspended", NULL);
        return false;
    }
    api_turn_to(c, c->view);
    return true;
}

const struct tailnet_view *api_next_view(const struct api_call *c, size_t *at)
{
    struct hub *hub = control_hub(c->api->control, c->a->loop);
    const struct tailnet_view *view;

    while ((view = hub_view_at(hub, (*at)++)))
        if (caller_may_name(&c->caller, view_info(view)->id))
            return view;
    return NULL;
}

void api_turn_to(struct api_call *c, const struct tailnet_view *view)
{
    c->view = view;
    c->tailnet = view_info(view)->id;
}

static bool is_reading(const struct api_call *c)
{
    return c->op->reads || str_eq(str_from(c->op->method), STR("GET"));
}

static bool may_enter(const struct api_call *c)
{
    uint32_t areas = BIT(c->op->area) | c->op->or_areas;

    if (c->op->is_own)
        return true;
    for (unsigned area = 0; area < AREA_COUNT; area++)
        if ((areas & BIT(area)) != 0 && (is_reading(c) ? caller_may_read(&c->caller, area)
                                                       : caller_may_write(&c->caller, area)))
            return true;
    return false;
}

/* False: answered. */
static bool permitted(struct api_call *c)
{
    const char *reading = is_reading(c) ? ":read" : "", *scope = area_scope(c->op->area);

    if (may_enter(c))
        return true;
    metric_add(&calls_refused, 1);
    if (c->version == API_V2)
        api_problem(
            c, 403,
            arena_printf(api_arena(c), "token is missing the required scope %s%s", scope, reading)
                .ptr,
            NULL);
    else
        api_problem(
            c, 403, "not permitted",
            arena_printf(api_arena(c), "the key is missing the scope %s%s", scope, reading).ptr);
    return false;
}

/* The caller is known and the client still there. */
static void enter(struct api_call *c)
{
    const char *why;

    if (!permitted(c))
        return;
    why = bad_words(c);
    if (why) {
        api_problem(c, 400, why, NULL);
        return;
    }
    if (find_tailnet(c) && read_body(c))
        c->op->handler(c);
}

static void on_checked(void *user, enum auth_answer answer, const struct caller *who)
{
    struct api_call *c = user;

    if (!c->a->x) {
        api_end(c);
        return;
    }
    if (answer == AUTH_BUSY) {
        http_add_header(c->a->x, STR("retry-after"), STR("1"));
        api_problem(c, 503, "too many keys are being checked, try again", NULL);
        return;
    }
    /* Access tokens of OAuth clients are REST v2's alone (headscale.md 3.1). */
    if (answer != AUTH_OK || (who->kind == CALLER_OAUTH && c->version == API_V1)) {
        metric_add(&calls_refused, 1);
        api_put_unauthorized(c->a->x, c->version, c->a->req);
        api_end(c);
        return;
    }
    c->caller = caller_copy(who);
    caller_set_from(&c->caller, c->a->req->peer);
    enter(c);
}

/* A browser with a session's cookie. */
static void ask_session(struct api_call *c, struct str token)
{
    if (!is_reading(c) && !api_is_from_here(c->api, c->a->req))
        api_problem(c, 403, "a browser's request must come from a page of this server",
                    "Origin is another, or neither it nor x-hatsize-request is there");
    else
        (void)auth_check_session(control_auth(c->api->control), c->a->loop, token, on_checked, c);
}

static void ask_who(struct api_call *c)
{
    struct str header = http_header_get(c->a->req, STR("authorization"));
    struct str token = header.len > 0 ? STR_NONE : api_session_token(c->api, c->a->req);

    if (c->op->is_public) {
        c->op->handler(c);
    } else if (c->a->req->is_unix) {
        c->caller = caller_socket();
        enter(c);
    } else if (token.len > 0) {
        ask_session(c, token);
    } else if (!str_starts(header, STR("Bearer ")) && c->version == API_V1) {
        on_checked(c, AUTH_REFUSED, NULL);
    } else {
        /* A client that leaves is noticed when the answer comes. */
        (void)auth_check(control_auth(c->api->control), c->a->loop, header, on_checked, c);
    }
}

/* Whether a key of that prefix is known; whether it is that key is not asked yet. */
static bool is_known(const struct api *api, const struct http_request *req, struct str key)
{
    const struct api_key_set *keys = auth_keys(control_auth(api->control), req->loop);
    enum api_key_kind kind;
    struct str prefix, secret;
    const struct api_key *k;

    if (!keys || !api_key_split_any(key, &kind, &prefix, &secret))
        return false;
    for (size_t at = 0; (k = api_key_set_next(keys, &at));)
        if (str_eq(k->prefix, prefix))
            return true;
    return false;
}

size_t api_body_limit(const struct api *api, const struct http_request *req)
{
    struct auth_credentials shown = {0};
    bool known = req->is_unix ||
                 (auth_credentials_parse(http_header_get(req, STR("authorization")), &shown) &&
                  is_known(api, req, str_bytes(shown.name, shown.name_len)));

    auth_credentials_fini(&shown);
    return known ? SIZE_MAX : API_STRANGER_BODY_MAX;
}

/* ---- Browsers ---- */

static void allow_origin(const struct api *api, struct http_exchange *x,
                         const struct http_request *req)
{
    struct str origin = http_header_get(req, STR("origin"));

    if (api->origins.len == 0)
        return;
    http_add_header(x, STR("vary"), STR("Origin"));
    if (origin.len == 0 ||
        (!str_list_has(&api->origins, STR("*")) && !str_list_has(&api->origins, origin)))
        return;
    http_add_header(x, STR("access-control-allow-origin"), origin);
    http_add_header(x, STR("access-control-allow-headers"),
                    STR("Authorization, Content-Type, Accept"));
    http_add_header(x, STR("access-control-allow-methods"),
                    STR("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
    http_add_header(x, STR("access-control-max-age"), STR("600"));
}

/* ---- Paths ---- */

static bool pattern_fits(struct str pattern, struct str path)
{
    struct str want = STR_NONE, have = STR_NONE;
    bool more_want = true, more_have = true;

    while (more_want && more_have) {
        struct str rest_want = STR_NONE, rest_have = STR_NONE;

        more_want = str_split(pattern, '/', &want, &rest_want);
        more_have = str_split(path, '/', &have, &rest_have);
        if (want.len > 0 && want.ptr[0] == '{' ? have.len == 0 : !str_eq(want, have))
            return false;
        pattern = rest_want;
        path = rest_have;
    }
    return !more_want && !more_have;
}

static void put_method(struct buf *out, const char *method)
{
    if (str_find(buf_str(out), str_from(method)) >= 0)
        return;
    buf_printf(out, "%s%s", out->len > 0 ? ", " : "", method);
}

/* The methods a path takes; empty: nobody serves it. */
static void put_allow(struct buf *out, const struct http_request *req)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(version_of(req), &n);

    for (size_t i = 0; i < n; i++) {
        if ((ops[i].socket_only && !req->is_unix) ||
            !pattern_fits(str_from(ops[i].pattern), req->path))
            continue;
        put_method(out, ops[i].method);
        if (str_eq(str_from(ops[i].method), STR("GET")))
            put_method(out, "HEAD");
    }
    if (out->len > 0)
        put_method(out, "OPTIONS");
}

static void put_bare_problem(struct http_exchange *x, const struct http_request *req, int status,
                             const char *words)
{
    if (version_of(req) == API_V2)
        api_v2_put_problem(x, status, str_from(words), STR_NONE);
    else
        api_put_problem(x, status, words, NULL);
}

static void serve_nothing(struct http_exchange *x, const struct http_request *req)
{
    struct buf allow = BUF(256);

    put_allow(&allow, req);
    if (allow.len == 0) {
        put_bare_problem(x, req, 404, "404 page not found");
    } else {
        http_add_header(x, STR("allow"), buf_str(&allow));
        if (str_eq(req->method, STR("OPTIONS")))
            http_respond(x, 204, NULL, STR_NONE);
        else
            put_bare_problem(x, req, 405, "Method Not Allowed");
    }
    buf_fini(&allow);
}

static const struct api_operation *operation_of(const struct http_request *req)
{
    size_t n = 0;
    const struct api_operation *ops = api_operations(version_of(req), &n);

    for (size_t i = 0; i < n; i++)
        if (req->route->pattern == ops[i].pattern && req->route->method == ops[i].method)
            return &ops[i];
    return NULL;
}

void api_serve(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct api *api = user;
    const struct api_operation *op = operation_of(req);

    metric_add(&calls_total, 1);
    allow_origin(api, x, req);
    if (!op) {
        serve_nothing(x, req);
        return;
    }
    http_add_header(x, STR("cache-control"), STR("no-store"));
    if (atomic_load(&api->calls) >= API_CALLS_MAX) {
        http_add_header(x, STR("retry-after"), STR("1"));
        put_bare_problem(x, req, 429, "too many calls at once, try again");
        return;
    }
    ask_who(call_new(api, op, x, req));
}
