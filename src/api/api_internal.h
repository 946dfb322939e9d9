#pragma once

/* What the handlers share: answers, bodies, arguments. */

#include "api/api.h"
#include "control/asked.h"
#include "json/value.h"
#include "json/writer.h"

#define API_BODY_MAX ((size_t)1 << 20)
/* A policy as a JSON string, with every other byte escaped. */
#define API_POLICY_BODY_MAX (2 * TAILNET_POLICY_MAX + 65536)

struct api {
    struct control *control;
    struct str version;
    bool policy_from_file;
    struct worker_pool *pool; /* what would hold a loop up: judging policies. NULL: done at once */
};

/* ---- Answers ---- */

void api_problem(struct http_exchange *x, int status, const char *detail, const char *message);
void api_respond_err(struct http_exchange *x, const struct err *err);
/* 200 with the body, which must be a JSON object; frees it. */
void api_respond(struct http_exchange *x, struct buf *body);
void api_respond_empty(struct http_exchange *x); /* {} */

/* ---- Questions ---- */

/* The view the request is about, borrowed, or NULL after answering 404. */
const struct tailnet_view *api_view(struct api *api, struct http_exchange *x,
                                    const struct http_request *req);
/*
 * A command about the request's tailnet, ready to be filled in; NULL after answering. With
 * `with_body` the body is parsed into *body (NULL when empty).
 */
struct asked *api_ask(struct api *api, struct http_exchange *x, const struct http_request *req,
                      enum command_type type, const struct json_value **body);
/* An id in the path or a body member that may be a string or a number. False: answered 400. */
bool api_path_id(struct http_exchange *x, const struct http_request *req, const char *name,
                 uint64_t *id);
bool api_body_id(const struct json_value *body, const char *name, uint64_t *id);
/* done: answers the error and frees, or returns false. */
bool api_refused(struct asked *a);
/* done: {} or the error. */
void api_done_empty(struct registrar_call *call);

/* done: {"node": …} or the error. */
void api_done_node(struct registrar_call *call);

/*
 * "DST[:PORT[/PROTO]]": an address with colons counts as a whole unless it is in brackets; a name's
 * last part is the port if it can be one. TCP unless something else is said.
 */
void api_parse_target(struct str text, struct str *dst, int *port, int *proto);

/* ---- Shapes (headscale.md 3.2) ---- */

void api_put_user(struct json_writer *w, const struct user *u); /* NULL: the tagged devices */
/* `in_list`: tagged nodes then show the synthetic user, single answers null. */
void api_put_node(struct json_writer *w, const struct tailnet_view *view, const struct node *n,
                  bool in_list);
/* `secret`: the whole key, once; empty: masked. */
void api_put_auth_key(struct json_writer *w, const struct tailnet_view *view,
                      const struct auth_key *k, struct str secret);

/* ---- Handlers, by file ---- */

http_handler_fn api_users_list, api_users_create, api_users_rename, api_users_delete;
http_handler_fn api_nodes_list, api_nodes_get, api_nodes_delete, api_nodes_expire, api_nodes_rename,
    api_nodes_tags, api_nodes_approve_routes, api_nodes_register;
http_handler_fn api_auth_keys_list, api_auth_keys_create, api_auth_keys_expire,
    api_auth_keys_delete;
http_handler_fn api_auth_register, api_auth_reject;
http_handler_fn api_auth_approve;
http_handler_fn api_ssh_checks_list, api_ssh_checks_approve, api_ssh_checks_reject;
/* For headscale's calls about an auth id that is an SSH check's; answers {} or the error. */
void api_ssh_check_decide(struct api *api, struct http_exchange *x, const struct http_request *req,
                          struct str id, bool approve);
http_handler_fn api_policy_get, api_policy_set, api_policy_check, api_policy_diff,
    api_policy_explain;
http_handler_fn api_health;
http_handler_fn api_tailnets_list, api_tailnets_create;
