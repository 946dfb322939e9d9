/*
 * The naive evaluator against the captures of the hosted service: every decision that follows from
 * a recorded filter, SSH policy, peer list or route list. So what the property tests take for the
 * truth has been held against the truth itself.
 *
 * Captures are read in place: $HATSIZE_GOLDEN, or ../shared/golden beside the source. HATSIZE_CASE
 * runs only those whose path has that in it.
 */

#include "../unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rand.h"
#include "model_client.h"
#include "naive.h"
#include "policy/eval_internal.h"
#include "policy/golden_path.h"

#define DIFFERENCES_SHOWN 40

struct run {
    struct rand_seeded rand;
    size_t cases, differences;
    const char *id;
};

struct capture {
    struct run *run;
    struct eval_case c;
    const struct policy_document *d;
    const struct tailnet_view *v;
    const struct json_value *expect;
};

PRINTF_LIKE(2, 3) static void differs(struct run *run, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (run->differences++ < DIFFERENCES_SHOWN)
        print_message("%s: %s\n", run->id, text);
}

static const struct node *node_by_name(const struct capture *c, struct str name)
{
    for (size_t i = 0; i < c->c.n_nodes; i++)
        if (str_eq(c->c.nodes[i].name, name))
            return view_node_find(c->v, c->c.nodes[i].id);
    return NULL;
}

static struct str name_of(const struct capture *c, const struct node *n)
{
    for (size_t i = 0; i < c->c.n_nodes; i++)
        if (c->c.nodes[i].id == n->id)
            return c->c.nodes[i].name;
    return STR_NONE;
}

static bool lists_name(const struct json_value *list, struct str name)
{
    JSON_EACH(v, list) {
        if (str_eq(json_as_str(v, STR_NONE), name))
            return true;
    }
    return false;
}

/* ---- Filters ---- */

static struct ip_addr addr_of(const char *text)
{
    struct ip_addr a;

    assert_true(ip_addr_parse(str_from(text), &a));
    return a;
}

static struct ip_addr some_source(struct capture *c)
{
    static const char *const others[] = {"10.33.0.7", "10.0.0.1",     "100.99.1.2",
                                         "8.8.8.8",   "100.115.92.3", "fd7a:115c:a1e0::9999",
                                         "2001::1",   "192.168.1.5",  "172.16.0.9"};
    const struct node *n = view_node_find(c->v, 1 + rand_seeded_below(&c->run->rand, c->c.n_nodes));

    if (rand_seeded_below(&c->run->rand, 4) == 0)
        return addr_of(others[rand_seeded_below(&c->run->rand, ARRAY_LEN(others))]);
    return rand_seeded_below(&c->run->rand, 3) == 0 ? n->v6 : n->v4;
}

static struct ip_addr some_destination(struct capture *c, const struct node *n)
{
    static const char *const far[] = {"8.8.8.8", "2001:4860::8888", "203.0.113.7"};
    size_t n_routes = n->facts->n_routes;

    if (n_routes > 0 && rand_seeded_below(&c->run->rand, 2) == 0) {
        struct ip_prefix p = n->facts->routes[rand_seeded_below(&c->run->rand, n_routes)];

        if (naive_has_route(n, p) && ip_prefix_is_exit(p))
            return addr_of(far[rand_seeded_below(&c->run->rand, ARRAY_LEN(far))]);
        if (naive_has_route(n, p))
            return rand_seeded_below(&c->run->rand, 2) == 0 ? ip_prefix_first(p)
                                                            : ip_prefix_last(p);
    }
    return rand_seeded_below(&c->run->rand, 3) == 0 ? n->v6 : n->v4;
}

static void check_filter(struct capture *c, const struct node *n, struct str json)
{
    static const int protos[] = {6, 6, 6, 17, 1, 58, 132, 47};
    static const uint16_t ports[] = {22, 80, 443, 8080, 53, 1, 3306, 5432, 65535, 8000, 8443, 0};
    struct model_filter f;
    struct naive_rules r;

    model_filter_parse(&f, json);
    naive_rules_init(&r, c->d, c->v, n);
    if (f.complaint[0])
        differs(c->run, "%.*s: %s", STR_ARG(name_of(c, n)), f.complaint);
    for (int i = 0; i < 100; i++) {
        struct model_peer src = {.addr = some_source(c)};
        struct ip_addr dst = some_destination(c, n);
        int proto = protos[rand_seeded_below(&c->run->rand, ARRAY_LEN(protos))];
        uint16_t port = ports[rand_seeded_below(&c->run->rand, ARRAY_LEN(ports))];
        bool want = model_filter_allows(&f, &src, dst, proto, port);
        struct buf text = BUF(0);

        if (naive_rules_allow(&r, src.addr, dst, proto, port) == want)
            continue;
        ip_addr_put(&text, src.addr);
        buf_put(&text, STR(" -> "));
        ip_addr_put(&text, dst);
        differs(c->run, "at %.*s: %.*s proto %d port %u: %s", STR_ARG(name_of(c, n)),
                STR_ARG(buf_str(&text)), proto, port, want ? "in" : "out");
        buf_fini(&text);
    }
    naive_rules_fini(&r);
    model_filter_fini(&f);
}

static void check_caps(struct capture *c, const struct node *n, struct str json)
{
    struct model_filter f;
    struct naive_rules r;
    const struct node *from;

    model_filter_parse(&f, json);
    naive_rules_init(&r, c->d, c->v, n);
    for (size_t at = 0; (from = view_node_next(c->v, &at));) {
        struct model_peer src = {.addr = from->v4};

        for (size_t i = 0; i < f.len; i++)
            for (size_t k = 0; k < f.items[i].cap_names.len; k++) {
                struct str cap = f.items[i].cap_names.items[k];

                if (model_filter_has_cap(&f, &src, n->v4, cap) !=
                    naive_rules_have_cap(&r, src.addr, n->v4, cap))
                    differs(c->run, "capability %.*s from %.*s at %.*s", STR_ARG(cap),
                            STR_ARG(name_of(c, from)), STR_ARG(name_of(c, n)));
            }
        for (size_t i = 0; i < r.len; i++) {
            struct str cap = r.items[i].cap;

            if (cap.len > 0 && naive_rules_have_cap(&r, src.addr, n->v4, cap) &&
                !model_filter_has_cap(&f, &src, n->v4, cap))
                differs(c->run, "no capability %.*s from %.*s at %.*s", STR_ARG(cap),
                        STR_ARG(name_of(c, from)), STR_ARG(name_of(c, n)));
        }
    }
    naive_rules_fini(&r);
    model_filter_fini(&f);
}

/* ---- Peers, routes, SSH ---- */

static const struct json_value *routes_of(const struct json_value *node, struct str peer)
{
    JSON_EACH(info, json_get_array(node, "peer_info")) {
        if (str_eq(json_get_str(info, "peer"), peer))
            return json_get_array(info, "routes");
    }
    return NULL;
}

static void check_peers(struct capture *c, const struct node *n, const struct json_value *want)
{
    const struct node *peer;

    for (size_t at = 0; (peer = view_node_next(c->v, &at));) {
        struct str name = name_of(c, peer);
        bool is_peer = lists_name(json_get_array(want, "peers"), name);
        const struct json_value *routes = routes_of(want, name);
        struct ip_prefix got[64];
        size_t n_got = naive_peer_routes(c->d, c->v, n, peer, got, ARRAY_LEN(got));

        if (naive_sees(c->d, c->v, n, peer) != is_peer)
            differs(c->run, "%.*s %s %.*s", STR_ARG(name_of(c, n)), is_peer ? "sees" : "sees not",
                    STR_ARG(name));
        if (n_got != json_len(routes))
            differs(c->run, "%.*s has %zu routes of %.*s, not %zu", STR_ARG(name_of(c, n)),
                    json_len(routes), STR_ARG(name), n_got);
        JSON_EACH(r, routes) {
            struct ip_prefix p;

            if (!ip_prefix_parse(json_as_str(r, STR_NONE), &p) || !ip_prefix_in(got, n_got, p))
                differs(c->run, "%.*s lacks route %.*s of %.*s", STR_ARG(name_of(c, n)),
                        STR_ARG(json_as_str(r, STR_NONE)), STR_ARG(name));
        }
    }
}

static void check_ssh(struct capture *c, const struct node *dst, const struct json_value *rules)
{
    static const char *const logins[] = {"root",  "ubuntu", "odin",  "thor",
                                         "freya", "deploy", "alice", "autogroup:member"};
    struct str text = str_printf("{\"rules\":%.*s}", STR_ARG(rules->raw));
    const struct node *src;

    for (size_t at = 0; (src = view_node_next(c->v, &at));)
        for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
            int want = (int)model_ssh(text, src->v4, str_from(logins[i]));
            int got = (int)naive_ssh(c->d, c->v, src, dst, str_from(logins[i]));

            if (got != want)
                differs(c->run, "ssh from %.*s to %s at %.*s: %d, not %d", STR_ARG(name_of(c, src)),
                        logins[i], STR_ARG(name_of(c, dst)), want, got);
        }
    str_free(&text);
}

static void check_capture(struct capture *c)
{
    JSON_EACH(want, json_get_array(c->expect, "nodes")) {
        const struct node *n = node_by_name(c, json_get_str(want, "name"));
        const struct json_value *filter = json_get_array(want, "filter");

        assert_non_null(n);
        if (filter) {
            check_filter(c, n, filter->raw);
            check_caps(c, n, filter->raw);
        }
        check_peers(c, n, want);
        if (json_get_array(want, "ssh"))
            check_ssh(c, n, json_get_array(want, "ssh"));
    }
}

static void run_case(struct run *run, struct str text)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct capture c = {.run = run};
    struct json_value *root = NULL;
    struct policy_complaint complaint;
    struct err err;

    assert_true(json_parse(arena, text, NULL, &root, NULL));
    c.expect = json_get_object(root, "expect");
    if (json_get_u64(c.expect, "status", 0) != 200 || json_get(root, "unreliable"))
        return;
    assert_int_equal(eval_case_read(text, &c.c, &err), 0);
    struct policy_parse_options options = {.domains = &c.c.domains};
    if (policy_document_parse(c.c.policy, &options, &c.d, &complaint) < 0) {
        differs(run, "refused: %s", complaint.text);
    } else {
        assert_int_equal(eval_case_view(&c.c, c.d, &c.v, &err), 0);
        check_capture(&c);
        run->cases++;
        policy_document_unref(c.d);
        view_unref(c.v);
    }
    eval_case_fini(&c.c);
}

static void run_file(struct run *run, const char *path)
{
    struct buf text = BUF((size_t)1 << 26);
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    for (;;) {
        char *at = buf_reserve(&text, 65536);
        size_t n = fread(at, 1, 65536, file);

        if (n == 0)
            break;
        buf_added(&text, n);
    }
    (void)fclose(file);
    run->id = path;
    run_case(run, buf_str(&text));
    buf_fini(&text);
}

static void run_dir(struct run *run, const char *path, const char *only)
{
    DIR *dir = opendir(path);

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char inner[4096];

        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
        if (!str_ends(str_from(e->d_name), STR(".json")))
            run_dir(run, inner, only);
        else if (!only || strstr(inner, only))
            run_file(run, inner);
    }
    if (dir)
        (void)closedir(dir);
}

static void naive_agrees_with_captures(void **state)
{
    const char *golden = getenv("HATSIZE_GOLDEN"), *only = getenv("HATSIZE_CASE");
    char path[4096];
    struct run run = {0};

    (void)state;
    rand_seed(&run.rand, 1);
    (void)snprintf(path, sizeof(path), "%s/policy", golden ? golden : GOLDEN_DIR);
    run_dir(&run, path, only);
    if (run.cases == 0) {
        print_message("no captures in %s\n", path);
        skip();
    }
    print_message("%zu cases, %zu differences\n", run.cases, run.differences);
    assert_int_equal(run.differences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(naive_agrees_with_captures)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
