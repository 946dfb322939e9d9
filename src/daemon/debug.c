/*
 * Debug pages under headscale's names, in its shapes, for this machine only: what a loop knows of
 * every tailnet. With several tailnets an object of them by name.
 *
 * Source: headscale.md 9.4. Not served, because nothing here corresponds: policy-manager,
 * mapresponses, statsviz, pprof, gc. Filters and SSH rules are `hatsize policy explain`'s to say.
 */

#include "daemon/daemon_internal.h"
#include "http/local.h"
#include "json/writer.h"

#define PAGE_MAX ((size_t)256 << 20)

struct page {
    struct server *server;
    struct hub *hub;
    struct buf body;
    struct json_writer w;
};

typedef void page_fn(struct page *p, const struct tailnet_view *view);

/* ---- One tailnet ---- */

static void put_id_key(struct page *p, uint64_t id)
{
    struct buf key = BUF(32);

    buf_put_u64(&key, id);
    json_key(&p->w, buf_str(&key));
    buf_fini(&key);
}

static void put_prefix(struct page *p, struct ip_prefix prefix)
{
    json_begin_plain(&p->w);
    ip_prefix_put(&p->body, prefix);
    json_end_plain(&p->w);
}

static void put_primaries(struct page *p, const struct tailnet_view *view)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at));)
        for (size_t i = 0; i < n->n_serving; i++) {
            struct buf key = BUF(64);

            ip_prefix_put(&key, n->serving[i]);
            json_field_u64(&p->w, buf_str(&key), n->id);
            buf_fini(&key);
        }
}

/* {name: nodes}; how many users. */
static size_t put_users(struct page *p, const struct tailnet_view *view)
{
    size_t n_users = 0;
    const struct user *const *users = view_users(view, &n_users);
    const struct node *n;

    json_field_object(&p->w, STR("users"));
    for (size_t i = 0; i < n_users; i++) {
        struct buf scratch = BUF(64);
        uint64_t owns = 0;

        for (size_t at = 0; (n = view_node_next(view, &at));)
            owns += n->user == users[i]->id;
        json_field_u64(&p->w, user_login_name(users[i], &scratch), owns);
        buf_fini(&scratch);
    }
    json_end_object(&p->w);
    return n_users;
}

static void put_overview(struct page *p, const struct tailnet_view *view)
{
    uint64_t total = 0, online = 0, expired = 0, ephemeral = 0;
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(view, &at)); total++) {
        online += n->online;
        expired += n->expired;
        ephemeral += n->ephemeral;
    }
    json_begin_object(&p->w);
    json_field_object(&p->w, STR("nodes"));
    json_field_u64(&p->w, STR("total"), total);
    json_field_u64(&p->w, STR("online"), online);
    json_field_u64(&p->w, STR("expired"), expired);
    json_field_u64(&p->w, STR("ephemeral"), ephemeral);
    json_end_object(&p->w);
    json_field_u64(&p->w, STR("total_users"), put_users(p, view));
    json_field_object(&p->w, STR("policy"));
    json_field_str(&p->w, STR("mode"),
                   p->server->config->policy_in_database ? STR("database") : STR("file"));
    json_field_str(&p->w, STR("path"), p->server->config->policy_path);
    json_end_object(&p->w);
    json_field_object(&p->w, STR("derp"));
    json_field_bool(&p->w, STR("configured"), view_info(view)->n_regions > 0);
    json_field_u64(&p->w, STR("regions"), view_info(view)->n_regions);
    json_end_object(&p->w);
    json_field_object(&p->w, STR("primary_routes"));
    put_primaries(p, view);
    json_end_object(&p->w);
    json_end_object(&p->w);
}

static void put_policy(struct page *p, const struct tailnet_view *view)
{
    json_str(&p->w, view_info(view)->policy);
}

static void put_routes(struct page *p, const struct tailnet_view *view)
{
    const struct node *n;

    json_begin_object(&p->w);
    json_field_object(&p->w, STR("available_routes"));
    for (size_t at = 0; (n = view_node_next(view, &at));) {
        if (n->facts->n_routes == 0 || n->n_approved == 0)
            continue;
        put_id_key(p, n->id);
        json_begin_array(&p->w);
        for (size_t i = 0; i < n->facts->n_routes; i++)
            if (ip_prefix_in(n->approved, n->n_approved, n->facts->routes[i]))
                put_prefix(p, n->facts->routes[i]);
        json_end_array(&p->w);
    }
    json_end_object(&p->w);
    json_field_object(&p->w, STR("primary_routes"));
    put_primaries(p, view);
    json_end_object(&p->w);
    json_end_object(&p->w);
}

static void put_derp(struct page *p, const struct tailnet_view *view)
{
    const struct tailnet_info *info = view_info(view);

    json_begin_object(&p->w);
    json_field_object(&p->w, STR("regions"));
    for (size_t i = 0; i < info->n_regions; i++) {
        const struct derp_region *r = &info->regions[i];

        put_id_key(p, r->id);
        json_begin_object(&p->w);
        json_field_str(&p->w, STR("region_code"), r->code);
        json_field_str(&p->w, STR("region_name"), r->name);
        json_field_array(&p->w, STR("nodes"));
        for (size_t k = 0; k < r->n_nodes; k++) {
            json_begin_object(&p->w);
            json_field_str(&p->w, STR("name"), r->nodes[k].name);
            json_field_str(&p->w, STR("host_name"), r->nodes[k].host_name);
            json_field_i64(&p->w, STR("derp_port"), r->nodes[k].derp_port);
            json_field_i64(&p->w, STR("stun_port"), r->nodes[k].stun_port);
            json_end_object(&p->w);
        }
        json_end_array(&p->w);
        json_end_object(&p->w);
    }
    json_end_object(&p->w);
    json_end_object(&p->w);
}

static void put_node(struct page *p, const struct node *n)
{
    json_begin_object(&p->w);
    json_field_str(&p->w, STR("given_name"), n->given_name);
    json_field_u64(&p->w, STR("user"), n->user);
    json_field_str_list(&p->w, STR("tags"), &n->tags);
    json_field_hex(&p->w, STR("node_key"), STR("nodekey:"), str_bytes(&n->key, sizeof(n->key)));
    json_field_array(&p->w, STR("addresses"));
    for (int i = 0; i < 2; i++) {
        struct ip_addr addr = i == 0 ? n->v4 : n->v6;

        if (!ip_addr_is_set(addr))
            continue;
        json_begin_plain(&p->w);
        ip_addr_put(&p->body, addr);
        json_end_plain(&p->w);
    }
    json_end_array(&p->w);
    json_field_bool(&p->w, STR("online"), n->online);
    json_field_bool(&p->w, STR("expired"), n->expired);
    json_field_u64(&p->w, STR("capver"), n->capver);
    json_field_u64(&p->w, STR("home_derp"), n->home_derp);
    json_end_object(&p->w);
}

static void put_nodestore(struct page *p, const struct tailnet_view *view)
{
    const struct node *n;

    json_begin_object(&p->w);
    for (size_t at = 0; (n = view_node_next(view, &at));) {
        put_id_key(p, n->id);
        put_node(p, n);
    }
    json_end_object(&p->w);
}

static void put_batcher(struct page *p, const struct tailnet_view *view)
{
    const struct node *n;
    uint64_t total = 0;

    json_begin_object(&p->w);
    json_field_object(&p->w, STR("connected_nodes"));
    for (size_t at = 0; (n = view_node_next(view, &at)); total++)
        if (n->online) {
            put_id_key(p, n->id);
            json_begin_object(&p->w);
            json_field_bool(&p->w, STR("connected"), true);
            json_end_object(&p->w);
        }
    json_end_object(&p->w);
    json_field_u64(&p->w, STR("total_nodes"), total);
    json_end_object(&p->w);
}

/* ---- All of them ---- */

static const struct {
    const char *path;
    page_fn *put;
} pages[] = {
    {"/debug/overview", put_overview},   {"/debug/policy", put_policy},
    {"/debug/routes", put_routes},       {"/debug/derp", put_derp},
    {"/debug/nodestore", put_nodestore}, {"/debug/batcher", put_batcher},
};

static void put_all(struct page *p, page_fn *put)
{
    const struct tailnet_view *view;

    if (!hub_view_at(p->hub, 1)) {
        if ((view = hub_view_at(p->hub, 0)))
            put(p, view);
        else
            json_null(&p->w);
        return;
    }
    json_begin_object(&p->w);
    for (size_t i = 0; (view = hub_view_at(p->hub, i)); i++) {
        json_key(&p->w, view_info(view)->name);
        put(p, view);
    }
    json_end_object(&p->w);
}

void debug_on_page(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct server *s = user;
    struct page p = {.server = s, .body = BUF(PAGE_MAX)};
    const struct tailnet_view *view;

    if (http_refuse_stranger(x, req))
        return;
    p.hub = control_hub(s->control, req->loop);
    p.w = JSON_WRITER_PRETTY(&p.body);
    view = hub_view_at(p.hub, 0);
    /* As its author wrote it, where that is possible. */
    if (str_eq(req->path, STR("/debug/policy")) && view && !hub_view_at(p.hub, 1)) {
        http_respond(x, 200, "text/plain; charset=utf-8", view_info(view)->policy);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (str_eq(req->path, str_from(pages[i].path)))
            put_all(&p, pages[i].put);
    buf_put_char(&p.body, '\n');
    http_respond(x, 200, "application/json", buf_str(&p.body));
    buf_fini(&p.body);
}
