#pragma once

/*
 * The API with everything behind it but the network: a store, the registrar, one loop, and requests
 * over stream pairs, which count as the network's door. Requests with `socket` set are served as if
 * they came over the Unix socket.
 *
 * Every answer is held against the table of calls: a 200 must be the operation's object, member by
 * member, and a refusal a problem (or the bare word of a 401).
 */

#include "../first_tailnet.h"
#include "../unit.h"

#include <stdatomic.h>
#include <unistd.h>

#include "api/api_internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"
#include "http/body_limit.h"

struct harness {
    char path[64];
    struct loop *loop;
    struct control *control;
    struct api *api;
    struct http_server *server; /* of the network's door */
    struct machine_private noise_key;
    struct str key; /* the server's own, whole; what ask() shows */
    /* What came of the last call. */
    int status;
    struct buf raw; /* headers and body */
    struct str body;
    struct arena *arena; /* of the last call */
    struct json_value *json;
};

struct harness_options {
    bool policy_from_file;
    struct str_list origins;
    const struct oidc_provider *providers;
    size_t n_providers;
};

struct question {
    const char *method;
    const char *path;
    struct str body;
    const char *key;     /* NULL: the harness's; "": none */
    const char *headers; /* further lines, each with its CRLF; NULL: none */
    bool unchecked;      /* the answer is not one of an operation's */
};

static inline bool got_header(const struct harness *h, const char *line);

#define WAITS 6000

/* ---- The server ---- */

struct order {
    struct registrar_call call;
    bool done;
};

static inline void order_done(struct registrar_call *call)
{
    CONTAINER_OF(call, struct order, call)->done = true;
}

/* The result is good until the next order. */
static inline void order(struct harness *h, struct order *o, struct command command)
{
    o->call.command = command;
    o->call.command.now_ms = clock_unix_ms();
    o->call.command.origin = ORIGIN_SERVER;
    o->call.loop = h->loop;
    o->call.done = order_done;
    registrar_submit(control_registrar(h->control), &o->call);
    for (int i = 0; i < WAITS && !o->done; i++)
        loop_run_once(h->loop, 10);
    assert_true(o->done);
    if (o->call.status < 0)
        fail_msg("%s", o->call.err.text);
}

/* A tailnet and the first key, as a start with its configuration and `apikeys create` leave them.
 */
static inline void make_tailnet(struct harness *h)
{
    struct tailnet_info *info = first_tailnet();
    struct order tailnet = {0}, key = {0};

    order(h, &tailnet,
          (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("default"), .info = info});
    command_result_fini(&tailnet.call.result);
    tailnet_info_unref(info);
    order(h, &key,
          (struct command){.type = COMMAND_API_KEY_CREATE, .expiry_ms = clock_unix_ms() + 3600000});
    h->key = str_copy(key.call.result.secret);
    command_result_fini(&key.call.result);
}

static inline size_t harness_body_limit(void *user, const struct http_request *req,
                                        const struct http_route *route)
{
    (void)route;
    return api_body_limit(user, req);
}

static inline void harness_start(struct harness *h, const struct harness_options *options)
{
    struct store *store = NULL;
    struct err err = {0};
    size_t n = 0;

    *h = (struct harness){.arena = arena_new(), .raw = BUF((size_t)64 << 20)};
    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(h->path, sizeof(h->path), "/tmp/hatsize-api-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    assert_int_equal(loop_new("test", &h->loop, &err), 0);
    const struct store_options store_options = {.sqlite_path = str_from(h->path), .wal = true};
    assert_int_equal(store_open(&store_options, &store, &err), 0);
    machine_private_generate(&h->noise_key);
    const struct control_options control_options = {.loops = &h->loop,
                                                    .n_loops = 1,
                                                    .noise_key = &h->noise_key,
                                                    .server_url = STR("http://127.0.0.1:8080"),
                                                    .store = store,
                                                    .domain = domain_new(),
                                                    .providers = options->providers,
                                                    .n_providers = options->n_providers};
    assert_int_equal(control_new(&control_options, &h->control, &err), 0);
    h->api = api_new(&(struct api_options){.control = h->control,
                                           .version = "1.2.3",
                                           .server_url = STR("http://127.0.0.1:8080"),
                                           .policy_from_file = options->policy_from_file,
                                           .origins = options->origins});
    const struct http_route *routes = api_routes(h->api, API_DOOR_NETWORK, &n);
    h->server = http_server_new(
        &(struct http_server_options){.routes = routes, .n_routes = n, .user = h->api});
    http_server_set_body_limit(h->server, harness_body_limit);
    make_tailnet(h);
}

static inline void harness_stop(struct harness *h)
{
    char name[96];

    assert_int_equal(atomic_load(&h->api->calls), 0);
    api_stop(h->api);
    control_stop(h->control);
    loop_free(h->loop);
    http_server_free(h->server);
    api_free(h->api);
    control_free(h->control);
    machine_private_fini(&h->noise_key);
    (void)unlink(h->path);
    (void)snprintf(name, sizeof(name), "%s-wal", h->path);
    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s-shm", h->path);
    (void)unlink(name);
    str_free(&h->key);
    buf_fini(&h->raw);
    arena_free(h->arena);
}

/* ---- What answers must look like ---- */

static inline void assert_fits(const struct json_value *v, enum api_version version,
                               const char *schema);

static inline bool all_texts(const struct json_value *v)
{
    JSON_EACH(item, v) {
        if (!json_is(item, JSON_STRING))
            return false;
    }
    return json_is(v, JSON_ARRAY);
}

static inline bool has_kind(const struct json_value *v, enum api_version version,
                            const struct api_member *m)
{
    uint64_t id;
    int64_t ms;

    if (json_is(v, JSON_NULL))
        return m->nullable || m->kind == KIND_ANY;
    switch (m->kind) {
    case KIND_ID:
        return str_parse_u64(json_as_str(v, STR_NONE), &id);
    case KIND_TIME:
        return clock_parse_rfc3339(json_as_str(v, STR_NONE), &ms);
    case KIND_STRING:
    case KIND_ID_OR_NAME:
        return json_is(v, JSON_STRING);
    case KIND_BOOL:
        return json_is(v, JSON_BOOL);
    case KIND_NUMBER:
        return json_is(v, JSON_NUMBER);
    case KIND_STRINGS:
        return all_texts(v);
    case KIND_ANY:
        return true;
    case KIND_OBJECT:
        assert_fits(v, version, m->of);
        return true;
    case KIND_OBJECTS:
        JSON_EACH(item, v) {
            assert_fits(item, version, m->of);
        }
        return json_is(v, JSON_ARRAY);
    }
    return false;
}

/* Every member that is written is described, in its place, and nothing described is left out. */
static inline void assert_fits(const struct json_value *v, enum api_version version,
                               const char *schema)
{
    const struct api_schema *s = api_schema_find(version, schema);
    const struct json_value *member = json_first(v);

    assert_non_null(s);
    assert_true(json_is(v, JSON_OBJECT));
    for (size_t i = 0; i < s->n; i++) {
        struct str name = str_from(s->members[i].name);

        if (s->members[i].optional && (!member || !str_eq(member->key, name)))
            continue;
        if (!member)
            fail_msg("%s: %s is not written", schema, s->members[i].name);
        assert_str(member->key, name);
        if (!has_kind(member, version, &s->members[i]))
            fail_msg("%s: %s is %s", schema, s->members[i].name, json_type_name(member));
        member = member->next;
    }
    if (member && !s->is_map)
        fail_msg("%s: %.*s is not described", schema, STR_ARG(member->key));
}

static inline bool pattern_fits(const char *pattern, struct str path)
{
    struct str rest = str_from(pattern), want_part, have_part;

    while (str_next(&rest, '/', &want_part)) {
        if (!str_next(&path, '/', &have_part))
            return false;
        if (!str_starts(want_part, STR("{")) && !str_eq(want_part, have_part))
            return false;
    }
    return path.len == 0;
}

static inline enum api_version version_of(const struct question *q)
{
    return str_starts(str_from(q->path), STR("/api/v2/")) ? API_V2 : API_V1;
}

static inline const struct api_operation *operation_of(const struct question *q)
{
    struct str path = STR_NONE, query = STR_NONE;
    size_t n = 0;
    const struct api_operation *ops = api_operations(version_of(q), &n), *found = NULL;

    (void)str_split(str_from(q->path), '?', &path, &query);
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_from(ops[i].method), str_from(q->method)) &&
            pattern_fits(ops[i].pattern, path) && (!found || !strchr(ops[i].pattern, '{')))
            found = &ops[i];
    return found;
}

static inline void check_answer(struct harness *h, const struct question *q)
{
    const struct api_operation *op = operation_of(q);

    if (h->status >= 500 && h->status != 501)
        fail_msg("%s %s: %d %.*s", q->method, q->path, h->status, STR_ARG(h->body));
    enum api_version version = version_of(q);

    if (h->status == 401 && str_eq(h->body, STR("Unauthorized")))
        return;
    assert_true(str_ends(h->body, STR("\n")));
    if (h->status != 200) {
        assert_fits(h->json, version, "Problem");
        assert_int_equal(json_get_u64(h->json, "status", 0), h->status);
        assert_true(got_header(h, "content-type: application/problem+json\r\n"));
        return;
    }
    assert_non_null(op);
    if (!op->answer)
        return;
    assert_fits(h->json, version, op->answer);
    /* Consoles take it for an error. */
    assert_null(json_get(h->json, "code"));
}

/* ---- Asking ---- */

struct peer {
    struct harness *h;
    struct stream *stream;
    bool closed;
};

static inline void peer_data(void *user, struct str data)
{
    struct peer *p = user;

    buf_put(&p->h->raw, data);
}

static inline void peer_close(void *user, const struct err *why)
{
    struct peer *p = user;

    (void)why;
    p->closed = true;
}

static inline void write_request(struct harness *h, struct stream *s, const struct question *q)
{
    struct buf out = BUF((size_t)64 << 20);

    buf_printf(&out, "%s %s HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", q->method, q->path);
    if (!q->key)
        buf_printf(&out, "authorization: Bearer %.*s\r\n", STR_ARG(h->key));
    else if (q->key[0])
        buf_printf(&out, "authorization: %s\r\n", q->key);
    if (q->headers)
        buf_put(&out, str_from(q->headers));
    if (q->body.len > 0)
        buf_printf(&out, "content-length: %zu\r\n", q->body.len);
    buf_put(&out, STR("\r\n"));
    buf_put(&out, q->body);
    stream_write(s, buf_str(&out));
    buf_fini(&out);
}

static inline void read_answer(struct harness *h)
{
    struct str raw = buf_str(&h->raw);
    ptrdiff_t end = str_find(raw, STR("\r\n\r\n"));
    uint64_t status = 0;

    assert_true(end > 0);
    assert_true(str_parse_u64(str_sub(raw, STR("HTTP/1.1 ").len, 3), &status));
    h->status = (int)status;
    h->body = str_from_index(raw, (size_t)end + 4);
    h->json = NULL;
    if (h->body.len > 0 &&
        !json_parse(h->arena, h->body, &(struct json_options){.max_bytes = (size_t)64 << 20},
                    &h->json, NULL))
        h->json = NULL;
}

/* Returns the status. */
static inline int harness_ask(struct harness *h, const struct question *q)
{
    static const struct stream_events events = {.on_data = peer_data, .on_close = peer_close};
    struct stream *pair[2];
    struct peer p = {.h = h};

    arena_free(h->arena);
    h->arena = arena_new();
    buf_clear(&h->raw);
    stream_pair(h->loop, pair);
    p.stream = pair[1];
    stream_set_events(pair[1], &events, &p);
    (void)http_serve(h->server, pair[0], NULL, NULL);
    write_request(h, pair[1], q);
    for (int i = 0; i < WAITS && !p.closed; i++)
        loop_run_once(h->loop, 10);
    assert_true(p.closed);
    read_answer(h);
    if (!q->unchecked)
        check_answer(h, q);
    return h->status;
}

static inline int ask(struct harness *h, const char *method, const char *path, const char *body)
{
    return harness_ask(h,
                       &(struct question){.method = method, .path = path, .body = str_from(body)});
}

/* As ask, and fails when the status is another. */
static inline void want(struct harness *h, int status, const char *method, const char *path,
                        const char *body)
{
    if (ask(h, method, path, body) != status)
        fail_msg("%s %s %s: %d, not %d: %.*s", method, path, body ? body : "", h->status, status,
                 STR_ARG(h->body));
}

static inline const struct json_value *got_value(struct harness *h, const char *where)
{
    const struct json_value *v = h->json;
    struct str rest = str_from(where), part;

    while (str_next(&rest, '.', &part)) {
        uint64_t at = 0;

        v = str_parse_u64(part, &at) ? json_at(v, at) : json_get(v, arena_copy(h->arena, part).ptr);
    }
    return v;
}

/* "node.user.name", "users.0.id" of the last answer; the empty str when it is not there. */
static inline struct str got(struct harness *h, const char *where)
{
    const struct json_value *v = got_value(h, where);

    return json_is(v, JSON_STRING) ? json_as_str(v, STR_NONE) : v ? v->raw : STR_NONE;
}

static inline void want_got(struct harness *h, const char *where, const char *text)
{
    struct str have = got(h, where);

    if (!str_eq(have, str_from(text)))
        fail_msg("%s is \"%.*s\", not \"%s\": %.*s", where, STR_ARG(have), text, STR_ARG(h->body));
}

static inline bool got_header(const struct harness *h, const char *line)
{
    return str_find(str_sub(buf_str(&h->raw), 0, h->raw.len - h->body.len), str_from(line)) >= 0;
}

/* A harness for all tests of a program, as their state, with the user alice. */
static inline int set_up_alice(void **state)
{
    struct harness *h = NEW(struct harness);

    harness_start(h, &(struct harness_options){0});
    want(h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    *state = h;
    return 0;
}

static inline int tear_down_harness(void **state)
{
    harness_stop(*state);
    mem_free(*state);
    return 0;
}

/* ---- Keys ---- */

/* "Bearer …", as a question shows it; mem_free it. */
static inline char *bearer_of(struct str key)
{
    struct str text = str_printf("Bearer %.*s", STR_ARG(key));
    char *out = str_dup(text);

    str_free(&text);
    return out;
}

/* A user's own key, for an hour, as a question shows it; mem_free it. */
static inline char *key_of(struct harness *h, tailnet_id tailnet, user_id user)
{
    struct order key = {0};

    order(h, &key,
          (struct command){.type = COMMAND_API_KEY_CREATE,
                           .tailnet = tailnet,
                           .user = user,
                           .expiry_ms = clock_unix_ms() + 3600000});
    char *out = bearer_of(key.call.result.secret);

    command_result_fini(&key.call.result);
    return out;
}

/* ---- Machines ---- */

/* A machine that waits for approval: its auth id, good until the next call. */
static inline struct str harness_pending(struct harness *h, const char *name)
{
    struct buf id = BUF(64), body = BUF(1024);

    buf_put(&id, STR("hskey-authreq-"));
    for (int i = 0; i < 3; i++)
        buf_printf(&id, "%08x", (unsigned)rand_u64());
    buf_printf(&body, "{\"user\":\"alice\",\"key\":\"%.*s\",\"name\":\"%s\",\"routes\":[]}",
               STR_ARG(buf_str(&id)), name);
    buf_put_char(&body, '\0');
    want(h, 200, "POST", "/api/v1/debug/node", body.ptr);
    struct str copy = arena_copy(h->arena, buf_str(&id));
    buf_fini(&id);
    buf_fini(&body);
    return copy;
}

/* Lets a machine of that name in for the user and returns the node's id. */
static inline uint64_t harness_node(struct harness *h, const char *name, const char *user)
{
    struct str id = harness_pending(h, name);
    struct buf body = BUF(1024);
    uint64_t node = 0;

    buf_printf(&body, "{\"user\":\"%s\",\"authId\":\"%.*s\"}%c", user, STR_ARG(id), 0);
    want(h, 200, "POST", "/api/v1/auth/register", body.ptr);
    buf_fini(&body);
    assert_true(str_parse_u64(got(h, "node.id"), &node));
    return node;
}
