#pragma once

/*
 * What the files of this room share.
 *
 *   request --gate.c--> who asks, which tailnet, is the body what the table says
 *              |            \--no--> problem
 *              v
 *           handler(call) --read--> answer            \
 *              |                                       +--> the call is over
 *              +--command or job--> done --> answer   /
 *
 * A call is answered once, and the answer ends it: after api_respond…, api_problem or api_end
 * neither the call nor anything of it may be touched. Everything the call borrows lives in its
 * arena, so a client that leaves early takes nothing away.
 */

#include "api/api.h"
#include "auth/caller.h"
#include "control/asked.h"
#include "json/value.h"
#include "json/writer.h"

#define API_BODY_MAX ((size_t)1 << 20)
/* A policy as a JSON string, with every other byte escaped. */
#define API_POLICY_BODY_MAX (2 * TAILNET_POLICY_MAX + 65536)
/* Calls under way at once; who comes later is asked to try again. */
#define API_CALLS_MAX 1024
#define API_ANSWER_MAX ((size_t)512 << 20)

struct api {
    struct control *control;
    struct str version;
    bool policy_from_file;
    struct str_list origins;
    struct worker_pool *pool; /* what would hold a loop up: judging policies. NULL: done at once */
    struct http_route *routes[2]; /* by door */
    size_t n_routes[2];
    _Atomic(size_t) calls;
};

/* ---- The table of calls ---- */

struct api_call;

struct api_operation {
    const char *method;
    const char *pattern;
    void (*handler)(struct api_call *c);
    const char *id;      /* operationId in the document */
    const char *summary; /* one line for people */
    enum area area;      /* what the caller must be allowed */
    bool reads;          /* a POST that changes nothing */
    bool is_public;      /* nobody is asked who he is */
    bool socket_only;    /* not on the network's door */
    size_t max_body;     /* bytes; 0: 64 KiB */
    const char *query;   /* schema of the query's parameters; NULL: none */
    const char *body;    /* schema of the body; NULL: what is sent is not looked at */
    const char *answer;  /* schema of the answer; NULL: no JSON object */
    const char *doing; /* what a refusal's detail says, the reason then follows; NULL: the reason */
    bool conflict_is_400; /* headscale's word for it */
};
const struct api_operation *api_operations(size_t *n);

/* ---- Objects, in the document and in bodies ---- */

enum api_kind {
    KIND_STRING,
    KIND_ID,         /* decimal text; in a body also a number */
    KIND_ID_OR_NAME, /* in a body: text or a number */
    KIND_TIME,
    KIND_BOOL,
    KIND_NUMBER,
    KIND_STRINGS,
    KIND_ANY,
    KIND_OBJECT,  /* of schema `of` */
    KIND_OBJECTS, /* a list of them */
};

struct api_member {
    const char *name;
    enum api_kind kind;
    const char *of;
    bool nullable; /* in answers; in bodies null always means absent */
    bool optional; /* in answers: left out at times. In bodies and queries all are */
    const char *about;
};

struct api_schema {
    const char *name;
    const char *about;
    const struct api_member *members;
    size_t n;
};
const struct api_schema *api_schemas(size_t *n);
const struct api_schema *api_schema_find(const char *name);

enum api_document { DOCUMENT_3_1, DOCUMENT_3_0 };
void api_document_put(struct buf *out, enum api_document which, const char *version);

/* ---- A call ---- */

struct api_call {
    struct api *api;
    const struct api_operation *op;
    struct asked *a;
    struct caller caller;
    const struct json_value *body;   /* an object, checked against op->body; NULL: none was sent */
    const struct tailnet_view *view; /* of the tailnet meant; for the handler itself, not after */
    tailnet_id tailnet;
};

struct arena *api_arena(const struct api_call *c);
/* Is over without an answer, or after one that was given otherwise. */
void api_end(struct api_call *c);
struct api_call *api_call_of(struct registrar_call *call);

/* The command of the call, about its tailnet, ready to be filled in. */
struct command *api_command(struct api_call *c, enum command_type type);
/* `done` gets the call by api_call_of and answers; when api_refused says so it is over already. */
void api_submit(struct api_call *c, void (*done)(struct registrar_call *call));
bool api_refused(struct api_call *c);
/* done: {}. */
void api_done_empty(struct registrar_call *call);
/* done: {"node": …}. */
void api_done_node(struct registrar_call *call);

/* ---- Questions ---- */

/* The id in the path. False: answered 400. */
bool api_path_id(struct api_call *c, const char *name, uint64_t *id);
/* In the arena; checked to be UTF-8 in one segment. */
struct str api_path_text(const struct api_call *c, const char *name);
/* A parameter of the query, in the arena; empty counts as absent. Case and '_' do not count. */
bool api_query(const struct api_call *c, const char *name, struct str *value);
/* A member of the body, NULL when absent or null. Case and '_' in its name do not count. */
const struct json_value *api_member(const struct api_call *c, const char *name);
struct str api_text(const struct api_call *c, const char *name);
bool api_bool(const struct api_call *c, const char *name);
/* False: absent, or 0. */
bool api_id(const struct api_call *c, const char *name, uint64_t *id);
/* False: absent. */
bool api_time(const struct api_call *c, const char *name, int64_t *unix_ms);
/* The strings of a list, in the arena. */
struct str_list api_texts(const struct api_call *c, const char *name);
/* Checks a body against a schema; unknown members pass. False: *why, *where and *value say. */
bool api_body_check(const struct json_value *body, const char *schema, const char **why,
                    const char **where, struct str *value);
/*
 * The user somebody means: by name, else by mail address, else by id. NULL: there is none.
 */
const struct user *api_find_user(const struct tailnet_view *view, struct str text);

/*
 * "DST[:PORT[/PROTO]]": an address with colons counts as a whole unless it is in brackets; a name's
 * last part is the port if it can be one. TCP unless something else is said.
 */
void api_parse_target(struct str text, struct str *dst, int *port, int *proto);

/* ---- Answers ---- */

/*
 * problem+json, and the members that clients of gRPC's gateway look for. `why`: the reason when
 * `detail` only says what was tried; may be NULL.
 */
void api_put_problem(struct http_exchange *x, int status, const char *detail, const char *why);
/* The same with the errors as JSON: an array, or empty for none. */
void api_put_problem_with(struct http_exchange *x, int status, const char *detail,
                          struct str message, struct str errors);
void api_put_unauthorized(struct http_exchange *x, const struct http_request *req);
void api_problem(struct api_call *c, int status, const char *detail, const char *why);
void api_respond_err(struct api_call *c, const struct err *err);
/* 200 with the body, which must be one JSON object; frees it. */
void api_respond(struct api_call *c, struct buf *body);
void api_respond_empty(struct api_call *c); /* {} */

/* ---- Shapes (headscale.md 3.2, console.md 6.4) ---- */

void api_field_id(struct json_writer *w, struct str key, uint64_t id);
void api_put_user(struct json_writer *w, const struct user *u); /* NULL: the tagged devices */
void api_put_node(struct json_writer *w, const struct tailnet_view *view, const struct node *n);
/* `secret`: the whole key, once; empty: masked. */
void api_put_auth_key(struct json_writer *w, const struct tailnet_view *view,
                      const struct auth_key *k, struct str secret);
void api_put_api_key(struct json_writer *w, const struct api_key *k);

/* ---- Handlers, by file ---- */

typedef void api_handler_fn(struct api_call *c);
api_handler_fn api_users_list, api_users_create, api_users_rename, api_users_delete;
api_handler_fn api_tailnets_list, api_tailnets_create;
api_handler_fn api_nodes_list, api_nodes_get, api_nodes_delete, api_nodes_expire, api_nodes_rename,
    api_nodes_tags, api_nodes_approve_routes, api_nodes_move, api_nodes_backfill;
api_handler_fn api_auth_keys_list, api_auth_keys_create, api_auth_keys_expire, api_auth_keys_delete;
api_handler_fn api_nodes_register, api_auth_register, api_auth_reject, api_auth_approve,
    api_debug_node;
api_handler_fn api_api_keys_list, api_api_keys_create, api_api_keys_expire, api_api_keys_delete;
api_handler_fn api_ssh_checks_list, api_ssh_checks_approve, api_ssh_checks_reject;
/* For headscale's calls about an auth id that is an SSH check's; answers {} or the error. */
void api_ssh_check_decide(struct api_call *c, struct str id, bool approve);
api_handler_fn api_policy_get, api_policy_set, api_policy_check, api_policy_diff,
    api_policy_explain;
api_handler_fn api_audit_list;
api_handler_fn api_health;
api_handler_fn api_version, api_metrics;
api_handler_fn api_openapi, api_openapi_3_0, api_openapi_yaml, api_openapi_3_0_yaml, api_docs;
