/*
 * The service: each call of gRPC becomes one of REST.
 *
 *   body --frame--> message --table--> path, query, body --> api_serve
 *                                                                |
 *   trailers <-- status, message <--table-- {"node": …} <--------+-- or a problem, with its code
 *                   ^
 *                   +-- deadline passed first: DEADLINE_EXCEEDED, what comes later is dropped
 *
 * A call lives until its exchange is over; everything in it is in its arena.
 */

#include "grpc/grpc_internal.h"

#include <headscale.pb-c.h>
#include <inttypes.h>

#include "core/metric.h"

#define SERVICE "/headscale.v1.HeadscaleService/"
#define REFLECTION(version) "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo"
#define PARAMS_MAX 4
#define ANSWER_NODES_MAX ((size_t)16 << 20)
/* A longer answer is turned into a message on a worker: other calls and machines do not wait. */
#define ANSWER_AT_ONCE_MAX ((size_t)256 << 10)

static struct metric calls_total = METRIC_COUNTER("hatsize_grpc_calls_total", "Calls over gRPC.");

/* ---- The table ---- */

/*
 * A call's place in REST. What its pattern does not take goes into the body, or into the query. Of
 * several rows for one call the first counts whose `when` was said.
 */
struct row {
    const char *call;
    const char *method;
    const char *pattern;
    bool query;
    const char *when;    /* a field, by its name in JSON; NULL: always */
    const char *without; /* a field that is not handed on */
    bool first_only;     /* the answer is the first of REST's list */
};

#define ROW(its_call, its_method, its_pattern, ...)                                   \
    {                                                                                 \
        .call = its_call, .method = its_method, .pattern = its_pattern, ##__VA_ARGS__ \
    }

static const struct row rows[] = {
    ROW("CreateUser", "POST", "/api/v1/user"),
    ROW("RenameUser", "POST", "/api/v1/user/{oldId}/rename/{newName}"),
    ROW("DeleteUser", "DELETE", "/api/v1/user/{id}"),
    ROW("ListUsers", "GET", "/api/v1/user", .query = true),
    ROW("GetUser", "GET", "/api/v1/user", .query = true, .first_only = true),

    ROW("CreatePreAuthKey", "POST", "/api/v1/preauthkey"),
    ROW("ExpirePreAuthKey", "POST", "/api/v1/preauthkey/expire", .when = "key", .without = "id"),
    ROW("ExpirePreAuthKey", "POST", "/api/v1/preauthkey/expire"),
    ROW("DeletePreAuthKey", "DELETE", "/api/v1/preauthkey", .query = true),
    ROW("ListPreAuthKeys", "GET", "/api/v1/preauthkey", .query = true),

    ROW("DebugCreateNode", "POST", "/api/v1/debug/node"),
    ROW("GetNode", "GET", "/api/v1/node/{nodeId}"),
    ROW("SetTags", "POST", "/api/v1/node/{nodeId}/tags"),
    ROW("SetApprovedRoutes", "POST", "/api/v1/node/{nodeId}/approve_routes"),
    ROW("RegisterNode", "POST", "/api/v1/node/register"),
    ROW("DeleteNode", "DELETE", "/api/v1/node/{nodeId}"),
    ROW("ExpireNode", "POST", "/api/v1/node/{nodeId}/expire"),
    ROW("RenameNode", "POST", "/api/v1/node/{nodeId}/rename/{newName}"),
    ROW("ListNodes", "GET", "/api/v1/node", .query = true),
    ROW("MoveNode", "POST", "/api/v1/node/{nodeId}/user"),
    ROW("BackfillNodeIPs", "POST", "/api/v1/node/backfillips", .query = true),

    ROW("AuthRegister", "POST", "/api/v1/auth/register"),
    ROW("AuthApprove", "POST", "/api/v1/auth/approve"),
    ROW("AuthReject", "POST", "/api/v1/auth/reject"),

    ROW("CreateApiKey", "POST", "/api/v1/apikey"),
    ROW("ExpireApiKey", "POST", "/api/v1/apikey/expire"),
    ROW("ListApiKeys", "GET", "/api/v1/apikey"),
    ROW("DeleteApiKey", "DELETE", "/api/v1/apikey/{prefix}", .query = true, .when = "prefix"),
    ROW("DeleteApiKey", "DELETE", "/api/v1/apikey", .query = true),

    ROW("GetPolicy", "GET", "/api/v1/policy"),
    ROW("SetPolicy", "PUT", "/api/v1/policy"),
    ROW("CheckPolicy", "POST", "/api/v1/policy/check"),
    ROW("Health", "GET", "/api/v1/health"),

    ROW("GetRoutes", "GET", "/api/v1/routes"),
    ROW("EnableRoute", "POST", "/api/v1/routes/{routeId}/enable"),
    ROW("DisableRoute", "POST", "/api/v1/routes/{routeId}/disable"),
    ROW("DeleteRoute", "DELETE", "/api/v1/routes/{routeId}"),
    ROW("GetNodeRoutes", "GET", "/api/v1/node/{nodeId}/routes"),
};

struct grpc {
    struct api *api;
    const struct http_route *places[ARRAY_LEN(rows)]; /* REST's, by row; NULL: it has none */
};

static const ProtobufCServiceDescriptor *service(void)
{
    return &headscale__v1__headscale_service__descriptor;
}

struct call {
    struct grpc *grpc;
    struct http_exchange *x;
    struct arena *arena;
    struct timer deadline;
    const ProtobufCMethodDescriptor *is;
    const struct row *row;
    struct http_request rest;
    struct str bearer; /* what was shown */
    bool is_old;       /* the client is of headscale up to 0.25 */
    /* The answer. A worker has `body`, `arena` and what comes of them while is_working. */
    struct worker_job job;
    struct buf body; /* a copy of REST's, for the worker */
    struct buf message;
    enum grpc_code code;
    struct str why;
    bool is_working;
    bool is_answered;
    bool is_over;
};

/* ---- Answers ---- */

/* The words that headscale has for it. */
static struct str who_are_you(const struct call *c)
{
    if (c->bearer.len == 0)
        return STR("authorization token not supplied");
    if (!str_starts(c->bearer, STR("Bearer ")))
        return STR("missing \"Bearer \" prefix in \"Authorization\" header");
    return STR("invalid token");
}

static void answer_problem(struct call *c, int status, struct str body)
{
    struct json_value *problem = NULL;
    enum grpc_code code = grpc_code_of_http(status);
    struct str text = str_trim(body);

    if (status == 401) {
        grpc_answer(c->x, GRPC_UNAUTHENTICATED, who_are_you(c), NULL);
        return;
    }
    if (json_parse(c->arena, body, NULL, &problem, NULL)) {
        code = (enum grpc_code)json_get_u64(problem, "code", code);
        text = json_get_str(problem, "message");
    }
    grpc_answer(c->x, code, text, NULL);
}

/* Users that are none become an error, as GetUser had it. */
static const struct json_value *first_user(struct call *c, const struct json_value *answer)
{
    const struct json_value *user = json_first(json_get_array(answer, "users"));
    struct json_value *only = arena_alloc(c->arena, sizeof(*only));
    struct json_value *object = arena_alloc(c->arena, sizeof(*object));

    if (!user)
        return NULL;
    *only = *user;
    only->key = STR("user");
    only->next = NULL;
    *object = (struct json_value){.type = JSON_OBJECT, .list = {.first = only, .len = 1}};
    return object;
}

/* REST's answer as a message; code and why say what came of it. */
static void make_message(struct call *c, struct str body)
{
    static const struct proto_swap old_keys = {&headscale__v1__pre_auth_key__descriptor,
                                               &headscale__v1__pre_auth_key_up_to25__descriptor};
    const struct json_options large = {.max_nodes = ANSWER_NODES_MAX, .max_bytes = UINT32_MAX};
    struct json_value *parsed = NULL;

    c->message = BUF(GRPC_ANSWER_MAX);
    c->code = GRPC_RESOURCE_EXHAUSTED;
    c->why = STR("the answer is too large");
    if (!json_parse(c->arena, body, &large, &parsed, NULL))
        return;
    const struct json_value *answer = c->row->first_only ? first_user(c, parsed) : parsed;

    if (!answer) {
        c->code = GRPC_NOT_FOUND;
        c->why = STR("user not found");
        return;
    }
    proto_put(&c->message, c->is->output, answer, c->is_old ? &old_keys : NULL);
    if (!buf_is_full(&c->message))
        c->code = GRPC_OK;
}

static void answer_message(struct call *c)
{
    struct str bytes = buf_str(&c->message);

    c->is_answered = true;
    if (c->code == GRPC_OK)
        grpc_answer(c->x, GRPC_OK, STR_NONE, &bytes);
    else
        grpc_answer(c->x, c->code, c->why, NULL);
}

/* Both may hold a key that is shown this once. */
static void wipe(struct buf *b)
{
    if (b->ptr)
        mem_wipe(b->ptr, b->len);
    buf_fini(b);
}

static void call_free(struct call *c)
{
    wipe(&c->body);
    wipe(&c->message);
    arena_free(c->arena);
    mem_free(c);
}

static void job_work(struct worker_job *job)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    make_message(c, buf_str(&c->body));
}

static void job_done(struct worker_job *job)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    c->is_working = false;
    if (c->is_over) {
        call_free(c);
        return;
    }
    timer_stop(&c->deadline);
    if (!c->is_answered)
        answer_message(c);
}

static void on_answer(void *user, int status, struct str body)
{
    struct call *c = user;
    struct worker_pool *pool = api_pool(c->grpc->api);

    if (status != 200) {
        timer_stop(&c->deadline);
        answer_problem(c, status, body);
        return;
    }
    if (body.len <= ANSWER_AT_ONCE_MAX || !pool) {
        timer_stop(&c->deadline);
        make_message(c, body);
        answer_message(c);
        return;
    }
    c->body = BUF(body.len);
    buf_put(&c->body, body);
    c->job = (struct worker_job){.work = job_work, .done = job_done, .loop = c->rest.loop};
    c->is_working = true;
    worker_submit(pool, &c->job);
}

static void on_deadline(void *user)
{
    struct call *c = user;

    c->is_answered = true;
    grpc_answer(c->x, GRPC_DEADLINE_EXCEEDED, STR("context deadline exceeded"), NULL);
}

static void on_over(void *user)
{
    struct call *c = user;

    timer_stop(&c->deadline);
    c->is_over = true;
    if (!c->is_working)
        call_free(c);
}

static const struct http_between between = {.answer = on_answer, .over = on_over};

/* ---- REST's request ---- */

static struct str as_text(struct call *c, const struct proto_field *f)
{
    if (f->is->type == PROTOBUF_C_TYPE_BOOL)
        return f->number ? STR("true") : STR("false");
    return f->is_text ? f->text : arena_printf(c->arena, "%" PRIu64, f->number);
}

static bool is_said(const struct proto_field *f)
{
    return f && f->present && (f->is_text ? f->text.len > 0 : f->number != 0);
}

/* The next "{name}" of a pattern; *rest is what follows. */
static bool next_param(struct str *rest, struct str *name)
{
    struct str piece = STR_NONE;

    while (str_next(rest, '/', &piece)) {
        if (piece.len < 2 || piece.ptr[0] != '{')
            continue;
        *name = str_sub(piece, 1, piece.len - 2);
        return true;
    }
    return false;
}

static bool is_in_path(const struct row *row, const struct proto_field *f)
{
    struct str rest = str_from(row->pattern), name = STR_NONE;

    while (next_param(&rest, &name))
        if (proto_is_named(f->is, name))
            return true;
    return false;
}

static void fill_path(struct call *c, const struct proto_message *m)
{
    struct http_param *params = arena_alloc(c->arena, PARAMS_MAX * sizeof(*params));
    struct str ours = str_from(c->row->pattern), theirs = str_from(c->rest.route->pattern);
    struct str name = STR_NONE, param = STR_NONE;
    size_t n = 0;

    while (next_param(&ours, &name) && next_param(&theirs, &param)) {
        const struct proto_field *f = proto_field(m, name);

        ASSERT(f && n < PARAMS_MAX);
        params[n++] = (struct http_param){param, as_text(c, f)};
    }
    c->rest.params = params;
    c->rest.n_params = n;
}

static bool goes_elsewhere(const struct row *row, const struct proto_field *f)
{
    return is_in_path(row, f) || (row->without && proto_is_named(f->is, str_from(row->without)));
}

static void put_query(struct call *c, struct buf *out, const struct proto_field *f)
{
    struct str text = as_text(c, f);

    if (!is_said(f))
        return;
    buf_printf(out, "%s%s=", out->len > 0 ? "&" : "", f->is->name);
    for (size_t i = 0; i < text.len; i++)
        buf_printf(out, "%%%02X", (unsigned)(uint8_t)text.ptr[i]);
}

static void put_member(struct call *c, struct json_writer *w, const struct proto_field *f)
{
    struct str name = str_from(f->is->name);

    if (f->is->label == PROTOBUF_C_LABEL_REPEATED) {
        json_field_array(w, name);
        for (size_t i = 0; i < f->n_list; i++)
            json_str(w, f->list[i]);
        json_end_array(w);
    } else if (f->is->type == PROTOBUF_C_TYPE_BOOL) {
        json_field_bool(w, name, f->number != 0);
    } else if (f->is->type != PROTOBUF_C_TYPE_MESSAGE || f->present) {
        json_field_str(w, name, as_text(c, f));
    }
}

static void make_request(struct call *c, const struct http_request *req,
                         const struct http_route *place, const struct proto_message *m)
{
    struct buf text = BUF(8 * GRPC_POLICY_MAX);
    struct json_writer w = JSON_WRITER(&text);

    c->rest = *req;
    c->rest.method = str_from(place->method);
    c->rest.path = str_from(place->pattern);
    c->rest.route = place;
    c->rest.query = c->rest.body = STR_NONE;
    fill_path(c, m);
    if (!c->row->query)
        json_begin_object(&w);
    for (unsigned i = 0; i < m->is->n_fields; i++) {
        if (goes_elsewhere(c->row, &m->fields[i]))
            continue;
        if (c->row->query)
            put_query(c, &text, &m->fields[i]);
        else
            put_member(c, &w, &m->fields[i]);
    }
    if (!c->row->query)
        json_end_object(&w);
    *(c->row->query ? &c->rest.query : &c->rest.body) = arena_copy(c->arena, buf_str(&text));
    buf_fini(&text);
}

/* ---- Calls ---- */

/* grpc-go before 1.70 is headscale's up to 0.25, whose keys had another form. */
static bool is_old_client(const struct http_request *req)
{
    struct str agent = http_header_get(req, STR("user-agent")), minor = STR_NONE, rest = STR_NONE;
    ptrdiff_t at = str_find(agent, STR("grpc-go/1."));
    uint64_t n = 0;

    if (at < 0)
        return false;
    (void)str_split(str_from_index(agent, (size_t)at + STR("grpc-go/1.").len), '.', &minor, &rest);
    return str_parse_u64(minor, &n) && n < 70;
}

static const ProtobufCMethodDescriptor *find_method(struct str name)
{
    for (unsigned i = 0; i < service()->n_methods; i++)
        if (str_eq(str_from(service()->methods[i].name), name))
            return &service()->methods[i];
    return NULL;
}

/* What the fields lead to; NULL: nothing does. */
static const struct row *find_row(struct call *c, const struct proto_message *m)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!c->grpc->places[i] || !str_eq(str_from(rows[i].call), str_from(c->is->name)))
            continue;
        if (!rows[i].when || is_said(proto_field(m, str_from(rows[i].when))))
            return &rows[i];
    }
    return NULL;
}

static size_t message_max(const ProtobufCMethodDescriptor *is)
{
    return str_ends(str_from(is->name), STR("Policy")) ? GRPC_POLICY_MAX : GRPC_MESSAGE_MAX;
}

/* The one message of the body. GRPC_OK, or why not. */
static enum grpc_code read_message(struct call *c, const struct http_request *req,
                                   struct proto_message *m, const char **why)
{
    struct str bytes = STR_NONE;
    bool more = false;

    *why = "a call has one message";
    switch (grpc_frame_only(req->body, message_max(c->is), &bytes, &more)) {
    case GRPC_FRAME_OK:
        break;
    case GRPC_FRAME_COMPRESSED:
        *why = "messages are not compressed here: grpc-accept-encoding is identity";
        return GRPC_UNIMPLEMENTED;
    case GRPC_FRAME_TOO_LONG:
        *why = "the message is too long";
        return GRPC_RESOURCE_EXHAUSTED;
    case GRPC_FRAME_MORE:
    case GRPC_FRAME_BROKEN:
        return GRPC_INTERNAL;
    }
    if (more)
        return GRPC_INTERNAL;
    return proto_read(c->arena, c->is->input, bytes, m, why) ? GRPC_OK : GRPC_INVALID_ARGUMENT;
}

/* False: answered. */
static bool set_deadline(struct call *c, const struct http_request *req)
{
    struct str text = http_header_get(req, STR("grpc-timeout"));
    int64_t ms = 0;

    if (text.len == 0)
        return true;
    if (!grpc_parse_timeout(text, &ms)) {
        grpc_answer(c->x, GRPC_INTERNAL, STR("malformed grpc-timeout"), NULL);
        return false;
    }
    if (ms <= 0) {
        on_deadline(c);
        return false;
    }
    timer_start(&c->deadline, ms);
    return true;
}

static void serve(struct call *c, const struct http_request *req)
{
    struct proto_message m;
    const char *why = NULL;
    enum grpc_code code = read_message(c, req, &m, &why);

    if (code != GRPC_OK) {
        grpc_answer(c->x, code, str_from(why), NULL);
        return;
    }
    c->row = find_row(c, &m);
    if (!c->row) {
        grpc_answer(c->x, GRPC_UNIMPLEMENTED, STR("there is no such call any more"), NULL);
        return;
    }
    if (!set_deadline(c, req))
        return;
    make_request(c, req, c->grpc->places[c->row - rows], &m);
    http_stand_between(c->x, &c->rest, &between, c);
    /* `req` is REST's from here on. */
    api_serve(c->grpc->api, c->x, req);
}

static void serve_call(struct grpc *grpc, struct http_exchange *x, const struct http_request *req)
{
    struct str name = http_param_get(req, STR("call"));
    const ProtobufCMethodDescriptor *is = find_method(name);
    struct buf text = BUF(1024);

    if (!is) {
        buf_printf(&text, "unknown method %.*s for service %s", STR_ARG(str_sub(name, 0, 100)),
                   service()->name);
        grpc_answer(x, GRPC_UNIMPLEMENTED, buf_str(&text), NULL);
        buf_fini(&text);
        return;
    }
    struct call *c = NEW(struct call);

    *c = (struct call){.grpc = grpc,
                       .x = x,
                       .arena = arena_new(),
                       .is = is,
                       .bearer = http_header_get(req, STR("authorization")),
                       .is_old = is_old_client(req)};
    timer_init(&c->deadline, req->loop, on_deadline, c);
    http_stand_between(x, req, &between, c);
    serve(c, req);
}

/* ---- Doors ---- */

void grpc_serve(void *grpc, struct http_exchange *x, const struct http_request *req)
{
    if (!grpc_is_call(x, req))
        return;
    metric_add(&calls_total, 1);
    if (str_starts(req->path, STR(SERVICE)))
        serve_call(grpc, x, req);
    else if (req->route->max_body == HTTP_BODY_STREAMED)
        grpc_reflect(x);
    else
        grpc_answer(x, GRPC_UNIMPLEMENTED, STR("unknown service"), NULL);
}

static const struct http_route routes[] = {
    {"POST", SERVICE "{call}", grpc_serve, GRPC_POLICY_MAX + GRPC_FRAME_HEADER},
    {"POST", "/*", grpc_serve, GRPC_MESSAGE_MAX},
};
/* Beside REST's; and what the service looks like is told here only, as headscale had it at last. */
static const struct http_route socket_routes[] = {
    {"POST", SERVICE "{call}", grpc_serve, GRPC_POLICY_MAX + GRPC_FRAME_HEADER},
    {"POST", REFLECTION("v1"), grpc_serve, HTTP_BODY_STREAMED},
    {"POST", REFLECTION("v1alpha"), grpc_serve, HTTP_BODY_STREAMED},
};

const struct http_route *grpc_routes(const struct grpc *grpc, enum api_door door, size_t *n)
{
    (void)grpc;
    *n = door == API_DOOR_SOCKET ? ARRAY_LEN(socket_routes) : ARRAY_LEN(routes);
    return door == API_DOOR_SOCKET ? socket_routes : routes;
}

/* ---- Life ---- */

/* The same but for what parameters are called. */
static bool same_pattern(struct str a, struct str b)
{
    struct str in_a = STR_NONE, in_b = STR_NONE;

    while (str_next(&a, '/', &in_a)) {
        if (!str_next(&b, '/', &in_b) || str_starts(in_a, STR("{")) != str_starts(in_b, STR("{")) ||
            (!str_starts(in_a, STR("{")) && !str_eq(in_a, in_b)))
            return false;
    }
    return !str_next(&b, '/', &in_b);
}

struct grpc *grpc_new(struct api *api)
{
    struct grpc *grpc = NEW(struct grpc);
    size_t n = 0;
    const struct http_route *rest = api_routes(api, API_DOOR_SOCKET, &n);

    grpc->api = api;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t j = 0; j < n; j++)
            if (str_eq(str_from(rest[j].method), str_from(rows[i].method)) &&
                same_pattern(str_from(rest[j].pattern), str_from(rows[i].pattern)))
                grpc->places[i] = &rest[j];
    return grpc;
}

void grpc_free(struct grpc *grpc)
{
    mem_free(grpc);
}
