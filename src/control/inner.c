/* What a client may ask inside Noise: the router, and the polite answers to what is not there. */

#include "control/control_internal.h"
#include "wire/hostinfo.h"

struct node_facts *facts_from_wire(const struct wire_hostinfo *h)
{
    struct node_facts *f = node_facts_new();

    /* A new one says "{}" in both. */
    str_free(&f->hostinfo);
    str_free(&f->hostinfo_peer);
    f->hostinfo = str_copy(h->raw);
    f->hostinfo_peer = str_copy(h->peer);
    f->hostname = str_copy(h->hostname);
    f->os = str_copy(h->os);
    f->ipn_version = str_copy(h->ipn_version);
    if (h->n_routes > 0)
        f->routes = mem_dup(h->routes, h->n_routes * sizeof(*h->routes));
    f->n_routes = h->n_routes;
    for (size_t i = 0; i < h->n_request_tags; i++)
        str_list_add(&f->request_tags, h->request_tags[i]);
    str_list_sort_unique(&f->request_tags);
    return f;
}

struct channel *request_channel(const struct http_request *req)
{
    return req->conn_user;
}

static void on_not_available(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)req;
    http_respond_text(x, 501, "not available on this server");
}

/* Clients up to 1.88 tell us how they feel; nothing waits for an answer. */
static void on_update_health(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)req;
    http_respond(x, 204, NULL, STR_NONE);
}

/* Anything but 200 makes the client try again for ever or drop the entry; we keep no audit of
 * clients. */
static void on_audit_log(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)req;
    http_respond(x, 200, NULL, STR_NONE);
}

static void on_ping_response(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_ping_response(user, x, req);
}

/* A log-in that a rule with action "check" holds; protocol.md 11.2. */
static void on_ssh_action(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct control *c = user;

    ssh_desk_serve(c->ssh, control_hub(c, req->loop), &request_channel(req)->machine, x, req);
}

static const struct http_route routes[] = {
    {"POST", "/machine/register", on_register, CHANNEL_BODY_MAX},
    {"POST", "/machine/map", on_map, CHANNEL_BODY_MAX},
    {"*", "/machine/update-health", on_update_health, CHANNEL_BODY_MAX},
    {"*", "/machine/audit-log", on_audit_log, CHANNEL_BODY_MAX},
    {"*", "/machine/ping-response", on_ping_response, CHANNEL_BODY_MAX},
    {"*", "/machine/ssh/action/{src}/to/{dst}", on_ssh_action, CHANNEL_BODY_MAX},
    {"POST", "/machine/ssh/recording", on_ssh_recording, CHANNEL_BODY_MAX},
    {"POST", "/machine/id-token", on_id_token, CHANNEL_BODY_MAX},
    /* set-dns, feature/query, set-device-attr, webclient, tka, whoami… */
    {"*", "/machine/*", on_not_available, CHANNEL_BODY_MAX},
};

struct http_server *inner_server_new(struct control *c)
{
    const struct http_server_options options = {.routes = routes,
                                                .n_routes = ARRAY_LEN(routes),
                                                .user = c,
                                                .max_streams = 250,
                                                .idle_ms = -1,
                                                .h2_only = true,
                                                .observed = true};

    return http_server_new(&options);
}
