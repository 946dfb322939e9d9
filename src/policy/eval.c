/*
 * A case's answer: parse, compile, test, and then every node's part, member by member in the order
 * the captures have them.
 *
 *   case --eval_case_read--> text --policy_document_parse--> document --eval_case_view--> view
 *        --policy_compile--> policy --policy_run_tests--> nodes, or the refusal
 */

#include "policy/eval.h"

#include <stdlib.h>

#include "policy/eval_internal.h"

/* ---- Addresses and routes ---- */

static void put_prefix(struct json_writer *w, struct ip_prefix p)
{
    json_begin_plain(w);
    ip_prefix_put(w->out, p);
    json_end_plain(w);
}

/* Here and below: whether there was anything to say. */
static bool put_prefixes(struct json_writer *w, struct str key, const struct ip_prefix *items,
                         size_t n)
{
    if (n == 0)
        return false;
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++)
        put_prefix(w, items[i]);
    json_end_array(w);
    return true;
}

/* Said only where the IPv4 address is held back. */
static bool put_addresses(struct json_writer *w, const struct node *n, bool hides_ipv4)
{
    if (!hides_ipv4 || !ip_addr_is_set(n->v4))
        return false;
    json_field_array(w, STR("addresses"));
    if (ip_addr_is_set(n->v6))
        put_prefix(w, ip_prefix_single(n->v6));
    json_end_array(w);
    return true;
}

static void put_own_routes(struct json_writer *w, const struct node *n)
{
    struct ip_prefix *routes = mem_alloc_array(n->facts->n_routes, sizeof(*routes));
    size_t len = 0;

    /* Subnets first. */
    for (int exits = 0; exits <= 1; exits++) {
        for (size_t i = 0; i < n->facts->n_routes; i++) {
            struct ip_prefix r = n->facts->routes[i];

            if (ip_prefix_is_exit(r) == exits && ip_prefix_in(n->approved, n->n_approved, r))
                routes[len++] = r;
        }
    }
    (void)put_prefixes(w, STR("self_routes"), routes, len);
    (void)put_prefixes(w, STR("self_primary"), n->serving, n->n_serving);
    mem_free(routes);
}

/* ---- Peers ---- */

static bool sees(const struct eval_answer *a, const struct eval_node *viewer,
                 const struct eval_node *peer)
{
    return viewer != peer && policy_sees(a->policy, viewer->id, peer->id);
}

static int by_text(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static void put_peers(const struct eval_answer *a, const struct eval_node *viewer)
{
    struct str *names = mem_alloc_array(a->c->n_nodes, sizeof(*names));
    size_t n = 0;

    for (size_t i = 0; i < a->c->n_nodes; i++)
        if (sees(a, viewer, &a->c->nodes[i]))
            names[n++] = a->c->nodes[i].name;
    qsort(names, n, sizeof(*names), by_text);
    json_field_array(a->w, STR("peers"));
    for (size_t i = 0; i < n; i++)
        json_str(a->w, names[i]);
    json_end_array(a->w);
    mem_free(names);
}

static bool put_peer_routes(const struct eval_answer *a, const struct eval_node *viewer,
                            const struct eval_node *peer)
{
    size_t n = policy_peer_routes(a->policy, viewer->id, peer->id, a->routes, NODE_ROUTES_MAX);

    return put_prefixes(a->w, STR("routes"), a->routes, MIN(n, (size_t)NODE_ROUTES_MAX));
}

static void put_peer_info(const struct eval_answer *a, const struct eval_node *viewer)
{
    struct buf *out = a->w->out;
    struct json_writer before = *a->w;
    size_t before_len = out->len;
    bool said_any = false;

    json_field_array(a->w, STR("peer_info"));
    for (size_t i = 0; i < a->c->n_nodes && !buf_is_full(out); i++) {
        const struct eval_node *peer = &a->c->nodes[i];
        struct json_writer here = *a->w;
        size_t here_len = out->len;
        bool said = false;

        if (!sees(a, viewer, peer))
            continue;
        json_begin_object(a->w);
        json_field_str(a->w, STR("peer"), peer->name);
        said |= put_addresses(a->w, view_node_find(a->view, peer->id),
                              policy_hides_ipv4(a->policy, peer->id) ||
                                  policy_hides_ipv4(a->policy, viewer->id));
        said |= put_peer_routes(a, viewer, peer);
        said |= eval_put_peer_caps(a, peer);
        json_end_object(a->w);
        said_any |= said;
        if (said)
            continue;
        buf_cut(out, here_len);
        *a->w = here;
    }
    json_end_array(a->w);
    if (said_any)
        return;
    buf_cut(out, before_len);
    *a->w = before;
}

/* ---- Nodes ---- */

/* The captures hold the list of rules only. */
static void put_ssh(const struct eval_answer *a, const struct eval_node *en)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct buf text = BUF(0);
    struct json_value *ssh = NULL;

    policy_put_ssh(a->policy, en->id, STR("https://unused"), &text);
    json_key(a->w, STR("ssh"));
    if (json_parse(arena, buf_str(&text), NULL, &ssh, NULL) && json_get_array(ssh, "rules"))
        json_raw(a->w, json_get_raw(ssh, "rules"));
    else
        json_null(a->w); /* over the buffer's ceiling */
    buf_fini(&text);
}

static void put_node(const struct eval_answer *a, const struct eval_node *en)
{
    const struct node *n = view_node_find(a->view, en->id);
    struct json_writer *w = a->w;

    json_begin_object(w);
    json_field_str(w, STR("name"), en->name);
    json_key(w, STR("filter"));
    json_value_follows(w);
    policy_put_filter(a->policy, en->id, POLICY_CANONICAL, w->out);
    put_ssh(a, en);
    (void)put_addresses(w, n, policy_hides_ipv4(a->policy, en->id));
    put_own_routes(w, n);
    put_peers(a, en);
    put_peer_info(a, en);
    eval_put_caps(a, en);
    eval_put_dns(a);
    json_end_object(w);
}

static void put_nodes(const struct eval_answer *a)
{
    json_begin_object(a->w);
    json_field_u64(a->w, STR("status"), 200);
    json_field_array(a->w, STR("nodes"));
    for (size_t i = 0; i < a->c->n_nodes && !buf_is_full(a->w->out); i++)
        put_node(a, &a->c->nodes[i]);
    json_end_array(a->w);
    json_end_object(a->w);
}

/* ---- The whole ---- */

/* What the hosted service does not foresee it answers with these words, and as its own fault. */
#define UNFORESEEN STR("internal server error")

static int put_refusal(struct json_writer *w, const struct policy_complaint *complaint)
{
    struct str text = str_from(complaint->text);

    json_begin_object(w);
    json_field_u64(w, STR("status"), str_eq(text, UNFORESEEN) ? 500 : 400);
    json_field_str(w, STR("message"), text);
    json_end_object(w);
    return 0;
}

static int answer(struct eval_case *c, struct json_writer *w, struct err *err)
{
    const struct policy_parse_options options = {.domains = &c->domains};
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    AUTO(view_unref) const struct tailnet_view *view = NULL;
    AUTO(policy_unref) const struct policy *policy = NULL;
    struct policy_complaint complaint = {0};

    if (policy_document_parse(c->policy, &options, &document, &complaint) < 0)
        return put_refusal(w, &complaint);
    if (eval_case_view(c, document, &view, err) < 0)
        return -(int)err->code;
    policy = policy_compile(&(struct policy_input){.document = document, .view = view});
    if (policy_run_tests(policy, &complaint, NULL) < 0)
        return put_refusal(w, &complaint);

    struct eval_answer a = {.c = c,
                            .document = document,
                            .view = view,
                            .policy = policy,
                            .w = w,
                            .routes =
                                arena_alloc(c->arena, NODE_ROUTES_MAX * sizeof(struct ip_prefix))};
    put_nodes(&a);
    return 0;
}

int policy_eval_case(struct str case_json, struct buf *out, struct err *err)
{
    struct json_writer w = JSON_WRITER(out);
    struct eval_case c;
    int status = eval_case_read(case_json, &c, err);

    if (status == 0)
        status = answer(&c, &w, err);
    eval_case_fini(&c);
    if (status < 0) {
        err->code = ERR_INVALID; /* a conflict is one inside the case */
        return err_wrap(err, "the case");
    }
    if (buf_is_full(out))
        return err_set(err, ERR_LIMIT, "the answer is over %zu bytes", out->limit);
    return 0;
}
