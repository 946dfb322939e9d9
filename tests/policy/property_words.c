/*
 * The laws of what is said about policies in words, over random tailnets and random policies:
 *
 *   1. a policy does not differ from itself, parsed once more;
 *   2. where a packet is let in under one policy and not under another, the difference has a line
 *      that says so, the right way round; where all filters are the same it has none;
 *   3. turned round, a difference has as many lines the other way;
 *   4. policy_allows is the naive evaluator's word, and the headline of an explanation says the
 * same;
 *   5. findings are in the text's order and stand inside the text.
 *
 * PROPERTY_RUNS and PROPERTY_SEED change how many tailnets there are and where they begin.
 */

#include "../property.h"
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "naive.h"
#include "policy/policy.h"
#include "random_policy.h"

#define RUNS 150
#define NODES 9

struct round {
    uint64_t seed;
    struct random_tailnet t;
    struct buf text[2];
    const struct policy_document *d[2];
    const struct policy *p[2];
};

static const struct {
    int proto;
    uint16_t port;
} packets[] = {{6, 22}, {6, 443}, {6, 80}, {17, 53}, {1, 0}, {58, 0}, {132, 80}, {47, 0}};
static const char *const others[] = {"10.1.2.3",     "10.33.0.9", "192.168.1.77",
                                     "172.20.1.200", "fd00:1::5", "8.8.8.8"};

static const struct policy_document *parse(struct str text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint complaint = {0};

    return policy_document_parse(text, NULL, &d, &complaint) < 0 ? NULL : d;
}

static const struct policy *compile(const struct policy_document *d, const struct tailnet_view *v)
{
    return policy_compile(&(struct policy_input){.document = d, .view = v});
}

static NO_RETURN void complain(const struct round *r, const char *what, struct str detail)
{
    struct buf tailnet = BUF(0);

    random_tailnet_put(&r->t, &tailnet);
    printf("PROPERTY_SEED=%llu PROPERTY_RUNS=1\n%s\n%.*s\nfirst:\n%.*s\nsecond:\n%.*s\n"
           "tailnet:\n%.*s\n",
           (unsigned long long)r->seed, what, STR_ARG(detail), STR_ARG(buf_str(&r->text[0])),
           STR_ARG(buf_str(&r->text[1])), STR_ARG(buf_str(&tailnet)));
    fail_msg("seed %llu: %s", (unsigned long long)r->seed, what);
    abort();
}

/* ---- Two policies ---- */

/* The text without one element of a list or object, picked by chance. */
static void cut_one(struct rand_seeded *rand, struct str text, struct buf *out)
{
    size_t at = random_below(rand, text.len), end;
    int depth = 0;
    bool in_string = false;

    while (at < text.len && text.ptr[at] != '{')
        at++;
    for (end = at; end < text.len; end++) {
        char c = text.ptr[end];

        in_string ^= c == '"';
        if (in_string)
            continue;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth < 0 || (depth == 0 && c == ','))
            break;
    }
    buf_put(out, str_sub(text, 0, at));
    buf_put(out, str_from_index(text, end + (end < text.len && text.ptr[end] == ',')));
}

static bool make_texts(struct round *r)
{
    random_policy_put(&r->t.rand, (struct random_policy_options){.plain = true}, &r->text[0]);
    r->d[0] = parse(buf_str(&r->text[0]));
    for (int i = 0; i < 10 && r->d[0] && !r->d[1]; i++) {
        buf_clear(&r->text[1]);
        if (random_chance(&r->t.rand, 30))
            random_policy_put(&r->t.rand, (struct random_policy_options){.plain = true},
                              &r->text[1]);
        else
            cut_one(&r->t.rand, buf_str(&r->text[0]), &r->text[1]);
        r->d[1] = parse(buf_str(&r->text[1]));
    }
    return r->d[0] && r->d[1];
}

/* ---- Packets ---- */

static bool is_routed(const struct round *r, struct ip_addr addr)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(r->t.view, &at));)
        for (size_t i = 0; i < n->facts->n_routes; i++)
            if (!ip_prefix_is_exit(n->facts->routes[i]) &&
                naive_has_route(n, n->facts->routes[i]) &&
                ip_prefix_contains(n->facts->routes[i], addr))
                return true;
    return false;
}

/* A machine's, one behind a router, as a destination one of the internet: what there can be packets
 * from and to. */
static struct ip_addr address(struct round *r, bool is_src)
{
    const struct node *n = random_node(&r->t);
    struct ip_addr addr = {0};

    if (n && random_chance(&r->t.rand, is_src ? 90 : 70))
        return random_chance(&r->t.rand, 50) ? n->v4 : n->v6;
    if (!ip_addr_parse(str_from(others[random_below(&r->t.rand, ARRAY_LEN(others))]), &addr) ||
        (!is_routed(r, addr) && (is_src || addr.bytes[0] != 8)))
        return (struct ip_addr){0};
    return addr;
}

static bool has_line(struct str text, char sign, const char *words)
{
    struct str line;

    while (str_next(&text, '\n', &line))
        if (line.len && line.ptr[0] == sign && str_find(line, str_from(words)) >= 0)
            return true;
    return false;
}

static void check_packet(struct round *r, struct str diff)
{
    struct ip_addr src = address(r, true), dst = address(r, false);
    size_t k = random_below(&r->t.rand, ARRAY_LEN(packets));
    bool is[2];

    if (!ip_addr_is_set(src) || !ip_addr_is_set(dst) || ip_addr_eq(src, dst) ||
        src.family != dst.family)
        return;
    for (int i = 0; i < 2; i++) {
        is[i] = policy_allows(r->p[i], src, dst, packets[k].proto, packets[k].port);
        if (is[i] != naive_allows(r->d[i], r->t.view, src, dst, packets[k].proto, packets[k].port))
            complain(r, "policy_allows and naive", i ? STR("second") : STR("first"));
    }
    if (is[0] != is[1] && !has_line(diff, is[1] ? '+' : '-', "reach ")) {
        struct buf what = BUF(0);

        ip_addr_put(&what, src);
        buf_put(&what, STR(" to "));
        ip_addr_put(&what, dst);
        buf_printf(&what, " proto %d port %u: now %s\n%.*s", packets[k].proto, packets[k].port,
                   is[1] ? "yes" : "no", STR_ARG(diff));
        complain(r, "a difference that is not told", buf_str(&what));
    }
}

/* ---- Explanations ---- */

static void check_explanation(struct round *r)
{
    const struct node *a = random_node(&r->t), *b = random_node(&r->t);
    size_t k = random_below(&r->t.rand, ARRAY_LEN(packets));
    struct buf out = BUF(0);
    struct err err = {0};
    bool is;

    if (!a || !b || a == b)
        return;
    is = policy_allows(r->p[0], a->v4, b->v4, packets[k].proto, packets[k].port) ||
         policy_allows(r->p[0], a->v6, b->v6, packets[k].proto, packets[k].port);
    if (policy_explain(r->p[0], r->t.view, a->stable_id, b->stable_id, packets[k].port,
                       packets[k].proto, &out, &err) < 0)
        complain(r, "explain", str_from(err.text));
    if (str_starts(buf_str(&out), STR("ALLOWED: ")) != is ||
        str_starts(buf_str(&out), STR("DENIED: ")) == is)
        complain(r, "explain and policy_allows", buf_str(&out));
    if (is != (str_find(buf_str(&out), STR("\nAllowed by\n")) >= 0))
        complain(r, "explain names no rule", buf_str(&out));
    buf_fini(&out);
}

/* What people may ask for; only that it comes to an end and says something. */
static void check_any_question(struct round *r)
{
    static const char *const asked[] = {"*",
                                        "tag:a",
                                        "autogroup:member",
                                        "10.0.0.0/8",
                                        "autogroup:self",
                                        "autogroup:internet",
                                        "group:g0",
                                        "autogroup:tagged",
                                        "8.8.8.8"};
    const char *src = asked[random_below(&r->t.rand, ARRAY_LEN(asked))];
    const char *dst = asked[random_below(&r->t.rand, ARRAY_LEN(asked))];
    struct buf out = BUF(0);
    struct err err = {0};

    if (policy_explain(r->p[0], r->t.view, str_from(src), str_from(dst),
                       random_chance(&r->t.rand, 50) ? -1 : 22, 6, &out, &err) == 0 &&
        out.len == 0)
        complain(r, "an explanation of nothing", str_from(src));
    buf_fini(&out);
}

/* ---- Differences ---- */

static size_t count_lines(struct str text, char sign)
{
    struct str line;
    size_t n = 0;

    while (str_next(&text, '\n', &line))
        n += line.len && line.ptr[0] == sign;
    return n;
}

static bool same_filters(const struct round *r)
{
    const struct node *n;
    bool same = true;

    for (size_t at = 0; same && (n = view_node_next(r->t.view, &at));) {
        struct buf x = BUF(0), y = BUF(0);

        policy_put_filter(r->p[0], n->id, POLICY_CANONICAL, &x);
        policy_put_filter(r->p[1], n->id, POLICY_CANONICAL, &y);
        same = str_eq(buf_str(&x), buf_str(&y));
        buf_fini(&x);
        buf_fini(&y);
    }
    return same;
}

static void check_itself(struct round *r)
{
    AUTO(policy_document_unref) const struct policy_document *d = parse(buf_str(&r->text[0]));
    AUTO(policy_unref) const struct policy *p = compile(d, r->t.view);
    struct buf out = BUF(0);

    policy_diff(r->p[0], p, r->t.view, &out);
    if (out.len)
        complain(r, "a policy and itself", buf_str(&out));
    buf_fini(&out);
}

static void check_difference(struct round *r)
{
    struct buf out = BUF(0), back = BUF(0);

    policy_diff(r->p[0], r->p[1], r->t.view, &out);
    policy_diff(r->p[1], r->p[0], r->t.view, &back);
    for (int i = 0; i < 150; i++)
        check_packet(r, buf_str(&out));
    if (same_filters(r) &&
        (has_line(buf_str(&out), '+', "reach ") || has_line(buf_str(&out), '-', "reach ")))
        complain(r, "the same filters", buf_str(&out));
    if (count_lines(buf_str(&out), '+') != count_lines(buf_str(&back), '-') ||
        count_lines(buf_str(&out), '-') != count_lines(buf_str(&back), '+') ||
        count_lines(buf_str(&out), '~') != count_lines(buf_str(&back), '~')) {
        buf_put(&out, STR("back:\n"));
        buf_put(&out, buf_str(&back));
        complain(r, "turned round", buf_str(&out));
    }
    buf_fini(&out);
    buf_fini(&back);
}

/* ---- Findings ---- */

static void check_findings(struct round *r)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str text = buf_str(&r->text[0]), line;
    struct policy_findings found;
    uint32_t lines = 0;

    while (str_next(&text, '\n', &line))
        lines++;
    policy_lint(r->p[0], arena, &found);
    for (size_t i = 0; i < found.len; i++) {
        const struct policy_finding *f = &found.items[i];

        if (f->pos.line == 0 || f->pos.line > lines || f->pos.col == 0 || f->text.len == 0)
            complain(r, "a finding is nowhere", f->text);
        if (i && (f[-1].pos.line > f->pos.line ||
                  (f[-1].pos.line == f->pos.line && f[-1].pos.col > f->pos.col)))
            complain(r, "findings are out of order", f->text);
    }
}

/* ---- One round ---- */

static bool run(uint64_t seed)
{
    struct round r = {.seed = seed, .text = {BUF(0), BUF(0)}};
    bool made;

    random_tailnet_init(&r.t, (struct random_tailnet_options){.seed = seed, .max_nodes = NODES});
    made = make_texts(&r);
    if (made) {
        r.p[0] = compile(r.d[0], r.t.view);
        r.p[1] = compile(r.d[1], r.t.view);
        check_itself(&r);
        check_difference(&r);
        for (int i = 0; i < 20; i++)
            check_explanation(&r);
        for (int i = 0; i < 5; i++)
            check_any_question(&r);
        check_findings(&r);
    }
    for (int i = 0; i < 2; i++) {
        policy_unref(r.p[i]);
        policy_document_unref(r.d[i]);
        buf_fini(&r.text[i]);
    }
    random_tailnet_fini(&r.t);
    return made;
}

static void words_agree_with_decisions(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed(), made = 0;

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu tailnets\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++)
        made += run(seed + i);
    assert_true(runs < 20 || made > runs / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_agree_with_decisions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
