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
#include "api/guard.h"
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

struct events;

struct api {
    struct control *control;
    struct str version;
    bool policy_from_file;
    struct str server_url;
    struct str_list origins;
    struct worker_pool *pool; /* what would hold a loop up: judging policies. NULL: done at once */
    struct http_route *routes[2]; /* by door */
    size_t n_routes[2];
    struct events *events;
    _Atomic(size_t) calls;
    struct guard guard; /* against guessing OAuth clients' secrets */
};

/* ---- The tables of calls ---- */

/*
 * v1 in headscale's shapes, v2 in those of Tailscale's own API. Each has its table of calls, its
 * table of objects and its document; refusals look as its clients expect.
 */
enum api_version { API_V1, API_V2, API_VERSIONS };

struct api_call;

struct api_operation {
    const char *method;
    const char *pattern;
    void (*handler)(struct api_call *c);
    const char *id;      /* operationId in the document */
    const char *summary; /* one line for people */
    enum area area;      /* what the caller must be allowed */
    uint32_t or_areas;   /* BIT(area): one of these will do, too; the handler then looks closer */
    bool reads;          /* a POST that changes nothing */
    bool is_own;         /* about who asks and nobody else: whatever his areas */
    bool is_public;      /* nobody is asked who he is */
    bool socket_only;    /* not on the network's door */
    size_t max_body;     /* bytes; 0: 64 KiB */
    const char *query;   /* schema of the query's parameters; NULL: none */
    const char *body;    /* schema of the body; NULL: what is sent is not looked at */
    const char *answer;  /* schema of the answer; NULL: no JSON object */
    const char *refusal; /* schema of refusals that are plain JSON; NULL: they are problems */
    const char *doing; /* what a refusal's detail says, the reason then follows; NULL: the reason */
    bool conflict_is_400; /* headscale's word for it */
};
const struct api_operation *api_operations(enum api_version version, size_t *n);
const struct api_operation *api_v2_operations(size_t *n);

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
    bool is_map; /* members may have any name: they are data */
};
const struct api_schema *api_schemas(enum api_version version, size_t *n);
const struct api_schema *api_v2_schemas(size_t *n);
const struct api_schema *api_schema_find(enum api_version version, const char *name);

enum api_document { DOCUMENT_3_1, DOCUMENT_3_0 };
/* The document of one version; `release`: the server's. */
void api_document_put(struct buf *out, enum api_version version, enum api_document which,
                      const char *release);

/* ---- A call ---- */

struct api_call {
    struct api *api;
    enum api_version version;
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

/*
 * The newest views of the tailnets that the caller may name, oldest first: *at begins as 0. NULL
 * past the last. For what is found by an id alone.
 */
const struct tailnet_view *api_next_view(const struct api_call *c, size_t *at);
/* The call is about this tailnet from now on. */
void api_turn_to(struct api_call *c, const struct tailnet_view *view);

/* ---- Questions ---- */

/* The id in the path. False: answered 400. */
bool api_path_id(struct api_call *c, const char *name, uint64_t *id);
/* In the arena; checked to be UTF-8 in one segment. */
struct str api_path_text(const struct api_call *c, const char *name);
/* A parameter of the query, in the arena; empty counts as absent. Case and '_' do not count. */
bool api_query(const struct api_call *c, const char *name, struct str *value);
/* Absent: *ms stays. False: it is no RFC 3339 time; answered 400. */
bool api_query_time(struct api_call *c, const char *name, int64_t *ms);
/* A member of the body, NULL when absent or null. Case and '_' in its name do not count. */
const struct json_value *api_member(const struct api_call *c, const char *name);
struct str api_text(const struct api_call *c, const char *name);
bool api_bool(const struct api_call *c, const char *name);
/* False: absent, or 0. */
bool api_id(const struct api_call *c, const char *name, uint64_t *id);
/* False: absent. */
bool api_time(const struct api_call *c, const char *name, int64_t *unix_ms);
/*
 * What `text` means as an auth id, in any of the forms people paste: whole, without its prefix as
 * headscale had it up to 0.28, or the page's URL. False: answered.
 */
bool api_auth_id(struct api_call *c, struct str text, struct str *id);
/* The strings of a list, in the arena. */
struct str_list api_texts(const struct api_call *c, const char *name);
/* The same of a value found otherwise; what is no text in it is empty. */
struct str_list api_texts_of(const struct api_call *c, const struct json_value *v);
/* The prefixes that a list says, in the arena. False: answered 400. */
bool api_prefixes(struct api_call *c, const char *name, struct ip_prefix **out, size_t *n);
/* Whether a file has the tailnet's policy: the first one's, if the configuration names one. */
bool api_policy_is_from_file(const struct api_call *c);
/* Checks a body against a schema; unknown members pass. False: *why, *where and *value say. */
bool api_body_check(const struct json_value *body, enum api_version version, const char *schema,
                    const char **why, const char **where, struct str *value);
/*
 * The user somebody means: by name, else by mail address, else by id. NULL: there is none.
 */
const struct user *api_find_user(const struct tailnet_view *view, struct str text);

/*
 * "DST[:PORT[/PROTO]]": an address with colons counts as a whole unless it is in brackets; a name's
 * last part is the port if it can be one. TCP unless something else is said.
 */
void api_parse_target(struct str text, struct str *dst, int *port, int *proto);

/* ---- Who may do what with people ---- */

/* Whether the caller may give a role, or take it away: a person as role_may_give (auth/roles.h)
 * says, others any. False: answered 403. */
bool api_may_give(struct api_call *c, enum user_role role);
/* Whether he may change somebody who has the role that he has; NULL passes: there is nobody. */
bool api_may_change_user(struct api_call *c, const struct user *u);
/* The body's "role"; *role stays when there is none. False: answered 400. */
bool api_role(struct api_call *c, enum user_role *role);
/* The command that gives the user the body's role. False: answered. */
bool api_ask_role(struct api_call *c, const struct user *u);

/* ---- Joining rules and approval (joining.c) ---- */

struct tailnet_settings;
/* Into the settings, in the arena, what the body sets of them: joining, userApproval,
 * deviceApproval. False: answered. */
bool api_read_joining(struct api_call *c, struct tailnet_settings *s);
void api_put_joining(struct json_writer *w, const struct tailnet_settings *s);

/* ---- Web sessions ---- */

/* The token in the session's cookie; empty: there is none. Borrowed. */
struct str api_session_token(const struct api *api, const struct http_request *req);
/* Whether a browser's request can only come from a page of this server. */
bool api_is_from_here(const struct api *api, const struct http_request *req);

/* ---- Answers ---- */

/*
 * problem+json, and the members that clients of gRPC's gateway look for. `why`: the reason when
 * `detail` only says what was tried; may be NULL.
 */
void api_put_problem(struct http_exchange *x, int status, const char *detail, const char *why);
/* The same with the errors as JSON: an array, or empty for none. */
void api_put_problem_with(struct http_exchange *x, int status, const char *detail,
                          struct str message, struct str errors);
/* v2's: {"message", "data"?, "status"}; `data`: a JSON array, or empty. */
void api_v2_put_problem(struct http_exchange *x, int status, struct str message, struct str data);
void api_put_unauthorized(struct http_exchange *x, enum api_version version,
                          const struct http_request *req);
void api_problem(struct api_call *c, int status, const char *detail, const char *why);
void api_respond_err(struct api_call *c, const struct err *err);
/* 200 with the body, which must be one JSON object; frees it. */
void api_respond(struct api_call *c, struct buf *body);
void api_respond_empty(struct api_call *c); /* {} */

/* ---- Shapes (headscale.md 3.2, console.md 6.4) ---- */

void api_field_id(struct json_writer *w, struct str key, uint64_t id);
void api_put_user(struct json_writer *w, const struct user *u); /* NULL: the tagged devices */
void api_field_key(struct json_writer *w, struct str key, const char *prefix,
                   const uint8_t bytes[32]);
void api_field_prefixes(struct json_writer *w, struct str key, const struct ip_prefix *p, size_t n);
/* Those it has, IPv4 first. */
void api_field_addresses(struct json_writer *w, struct str key, const struct node *n);
void api_put_node(struct json_writer *w, const struct tailnet_view *view, const struct node *n);
/* `secret`: the whole key, once; empty: masked. */
void api_put_auth_key(struct json_writer *w, const struct tailnet_view *view,
                      const struct auth_key *k, struct str secret);
void api_put_api_key(struct json_writer *w, const struct api_key *k);

/* ---- Handlers, by file ---- */

typedef void api_handler_fn(struct api_call *c);
api_handler_fn api_users_list, api_users_create, api_users_rename, api_users_delete, api_user_role,
    api_user_approve, api_user_suspend, api_user_restore;
api_handler_fn api_user_invites_list, api_user_invites_create, api_user_invite_revoke;
api_handler_fn api_tailnets_list, api_tailnets_create, api_tailnets_get, api_tailnets_set,
    api_tailnets_suspend, api_tailnets_resume, api_tailnets_delete, api_tailnets_export;
api_handler_fn api_nodes_list, api_nodes_get, api_nodes_delete, api_nodes_expire, api_nodes_rename,
    api_nodes_tags, api_nodes_approve, api_nodes_approve_routes, api_nodes_move, api_nodes_backfill;
api_handler_fn api_auth_keys_list, api_auth_keys_create, api_auth_keys_expire, api_auth_keys_delete;
api_handler_fn api_nodes_register, api_auth_register, api_auth_reject, api_auth_approve,
    api_debug_node;
api_handler_fn api_api_keys_list, api_api_keys_create, api_api_keys_expire, api_api_keys_delete;
api_handler_fn api_ssh_checks_list, api_ssh_checks_approve, api_ssh_checks_reject;
/* For headscale's calls about an auth id that is an SSH check's; answers {} or the error. */
void api_ssh_check_decide(struct api_call *c, struct str id, bool approve);
api_handler_fn api_policy_get, api_policy_set, api_policy_check, api_policy_diff,
    api_policy_explain;
api_handler_fn api_audit_list, api_events;
api_handler_fn api_shares_list, api_shares_create, api_share_get, api_share_update,
    api_share_revoke, api_share_accept, api_share_invites_list, api_share_invites_create,
    api_share_invite_revoke, api_share_invite_accept;
/* Of both versions. */
api_handler_fn api_webhooks_list, api_webhooks_create, api_webhook_get, api_webhook_update,
    api_webhook_rotate, api_webhook_delete, api_webhook_test;
api_handler_fn api_routes_list, api_node_routes_list, api_route_enable, api_route_disable;
api_handler_fn api_dns_get, api_dns_set, api_dns_add, api_dns_remove, api_dns_reset;
api_handler_fn api_health;
api_handler_fn api_session_get, api_session_delete, api_sessions_list, api_sessions_delete;
api_handler_fn api_version, api_metrics;
/* Of the version whose call it is. */
api_handler_fn api_openapi, api_openapi_3_0, api_openapi_yaml, api_openapi_3_0_yaml, api_docs;
