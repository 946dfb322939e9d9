/*
 * How long policies take to compile: a tailnet of made-up nodes, 40 groups, 40 tags and 200 rules.
 *
 *   nodes      six in ten are people's machines, four per person; the rest have one tag or two; one
 *              in five hundred announces a route of its own
 *   people     in one to three groups each
 *   rules      a group, tag, person or everyone, to tags, groups, networks and the internet, on
 * ports
 *
 * Times are means of several rounds by the monotonic clock, memory is what the allocator handed
 * out. No network.
 */

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/made_up.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rand.h"
#include "policy/policy.h"
#include "tailnet/domain.h"

#define ROUNDS 5
#define JOINS 200
#define VIEWERS 200
#define MARKED 2000

struct world {
    struct made_up made_up;
    struct domain *domain;
    size_t nodes;
    uint64_t last_id;
};

struct figures {
    double parse_ms, compile_ms, join_us, sees_ns, mark_ns, filter_us[2];
    double bytes[2]; /* of a filter, by form */
    double kib;
    size_t classes;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->made_up.rand, n);
}

static double ms_since(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e6;
}

/* ---- The tailnet ---- */

static void must(int status, const struct err *err)
{
    if (status == 0)
        return;
    (void)fprintf(stderr, "hatsize-bench: %s\n", err->text);
    exit(1);
}

static void load_tailnet(struct world *w)
{
    struct tailnet_info *info = tailnet_info_new();
    struct err err;

    info->id = 1;
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("a.test"));
    IGNORE(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    IGNORE(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    must(domain_load_tailnet(w->domain, info, 1, &err), &err);
    for (size_t i = 1; i <= w->made_up.people; i++) {
        struct user *u = user_new();

        u->id = i;
        u->tailnet = 1;
        u->name = str_printf("p%zu", i);
        u->email = str_printf("p%zu@example.com", i);
        must(domain_load_user(w->domain, u, &err), &err);
    }
}

static struct ip_addr numbered(const char *first, uint64_t n)
{
    struct ip_addr a;

    IGNORE(ip_addr_parse(str_from(first), &a));
    IGNORE(ip_addr_add(a, n, &a));
    return a;
}

static void give_route(struct node *n)
{
    struct str text = str_printf("10.%u.%u.0/24", (unsigned)(n->id / 500 % 200),
                                 (unsigned)(n->id / 100000 % 250));
    struct ip_prefix *all = mem_alloc_array(2, sizeof *all);

    IGNORE(ip_prefix_parse(text, &all[0]));
    n->approved = all;
    n->n_approved = 1;
    n->facts->routes = mem_dup(all, sizeof *all);
    n->facts->n_routes = 1;
    str_free(&text);
}

static void load_node(struct world *w, uint64_t id)
{
    struct node_facts *facts = node_facts_new();
    struct node *n = node_clone(&(struct node){.facts = facts});
    struct err err;

    node_facts_unref(facts);
    n->id = id;
    n->tailnet = 1;
    n->stable_id = str_printf("n%" PRIu64, id);
    n->given_name = str_printf("node-%" PRIu64, id);
    n->fqdn = str_printf("node-%" PRIu64 ".a.test.", id);
    rand_bytes(n->key.b, sizeof n->key.b);
    rand_bytes(n->machine.b, sizeof n->machine.b);
    n->v4 = numbered("100.64.0.0", id);
    n->v6 = numbered("fd7a:115c:a1e0::", id);
    if (id % 10 < 6) {
        n->user = 1 + id % w->made_up.people;
    } else {
        struct str tag = str_printf("tag:t%" PRIu64, below(w, MADE_UP_TAGS));

        str_list_add(&n->tags, tag);
        str_free(&tag);
        if (id % 500 == 7 && id <= w->nodes)
            give_route(n);
    }
    must(domain_load_node(w->domain, n, &err), &err);
}

static void world_begin(struct world *w)
{
    rand_seed(&w->made_up.rand, 1);
    w->made_up.people = made_up_people(w->nodes);
    w->domain = domain_new();
    load_tailnet(w);
    for (uint64_t id = 1; id <= w->nodes; id++)
        load_node(w, id);
    w->last_id = w->nodes;
    domain_load_counters(w->domain, &(struct domain_counters){.tailnet = 2,
                                                              .user = w->made_up.people + 1,
                                                              .auth_key = 1,
                                                              .node = w->nodes + JOINS + 1});
    domain_load_done(w->domain, clock_unix_ms());
}

/* ---- Measuring ---- */

static const struct policy_document *parse_policy(struct str text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint complaint;

    if (policy_document_parse(text, &(struct policy_parse_options){0}, &d, &complaint) == 0)
        return d;
    (void)fprintf(stderr, "hatsize-bench: %s\n", complaint.text);
    exit(1);
}

static const struct policy_document *time_parse(struct str text, struct figures *f)
{
    const struct policy_document *d = NULL;
    uint64_t start = clock_mono_ns();

    for (int i = 0; i < ROUNDS; i++) {
        policy_document_unref(d);
        d = parse_policy(text);
    }
    f->parse_ms = ms_since(start) / ROUNDS;
    return d;
}

static const struct policy *time_compile(const struct policy_input *in, struct figures *f)
{
    const struct policy *p = policy_compile(in);
    struct mallinfo2 before;
    uint64_t start;

    policy_unref(p);
    before = mallinfo2();
    p = policy_compile(in);
    f->kib = (double)(mallinfo2().uordblks - before.uordblks) / 1024;
    start = clock_mono_ns();
    for (int i = 0; i < ROUNDS; i++) {
        policy_unref(p);
        p = policy_compile(in);
    }
    f->compile_ms = ms_since(start) / ROUNDS;
    return p;
}

/* Machines without routes join one by one, each compiled upon the policy before. */
static const struct policy *time_joins(struct world *w, const struct policy *p, struct figures *f)
{
    uint64_t total = 0;

    for (int i = 0; i < JOINS; i++) {
        uint64_t id = ++w->last_id;
        const struct change c = {
            .kind = CHANGE_NODE, .tailnet = 1, .id = id, .mask = NODE_NEW | NODE_CARD};
        const struct tailnet_view *view;
        const struct policy *next;
        uint64_t start;

        load_node(w, id);
        view = domain_view(w->domain, 1);
        start = clock_mono_ns();
        next = policy_compile(&(struct policy_input){.document = policy_document(p),
                                                     .view = view,
                                                     .before = p,
                                                     .changes = &c,
                                                     .n_changes = 1});
        total += clock_mono_ns() - start;
        policy_unref(p);
        p = next;
        view_unref(view);
    }
    f->join_us = (double)total / 1e3 / JOINS;
    return p;
}

static void time_questions(struct world *w, const struct policy *p, struct figures *f)
{
    struct buf out = BUF((size_t)1 << 28);
    size_t seen = 0;
    uint64_t start = clock_mono_ns();

    for (uint64_t peer = 2; peer <= w->nodes; peer++)
        seen += policy_sees(p, 1, peer);
    f->sees_ns = ms_since(start) * 1e6 / (double)w->nodes;
    start = clock_mono_ns();
    for (uint64_t i = 0; i < MARKED; i++)
        seen += policy_filter_mark(p, 1 + i % w->nodes, POLICY_COMPACT).a & 1;
    f->mark_ns = ms_since(start) * 1e6 / MARKED;
    for (int form = 0; form < 2; form++) {
        start = clock_mono_ns();
        for (uint64_t i = 0; i < VIEWERS; i++) {
            buf_clear(&out);
            policy_put_filter(p, 1 + below(w, w->nodes), (enum policy_form)form, &out);
            f->bytes[form] += (double)out.len / VIEWERS;
        }
        f->filter_us[form] = ms_since(start) * 1e3 / VIEWERS;
    }
    buf_fini(&out);
    for (uint64_t id = 1; id <= w->nodes; id++)
        f->classes = MAX(f->classes, (size_t)policy_class_of(p, id));
    if (seen == SIZE_MAX)
        (void)puts("everybody sees everybody"); /* keeps the answers from being optimised away */
}

static void measure(size_t nodes, bool self, struct figures *f)
{
    struct world w = {.nodes = nodes, .made_up = {.self = self, .rules = MADE_UP_RULES}};
    struct buf text = BUF(POLICY_TEXT_MAX);
    const struct policy_document *d;
    const struct tailnet_view *view;
    const struct policy *p;

    world_begin(&w);
    made_up_put_policy(&w.made_up, &text);
    d = time_parse(buf_str(&text), f);
    view = domain_view(w.domain, 1);
    p = time_compile(&(struct policy_input){.document = d, .view = view}, f);
    p = time_joins(&w, p, f);
    time_questions(&w, p, f);
    policy_unref(p);
    view_unref(view);
    policy_document_unref(d);
    buf_fini(&text);
    domain_free(w.domain);
}

static void print_row(size_t nodes, bool self, const struct figures *f)
{
    (void)printf("%7zu %5s %9.2f %11.2f %8.1f %8.0f %8zu %8.0f %8.0f %10.1f %10.1f %12.0f %12.0f\n",
                 nodes, self ? "yes" : "no", f->parse_ms, f->compile_ms, f->join_us, f->kib,
                 f->classes, f->sees_ns, f->mark_ns, f->filter_us[0], f->filter_us[1], f->bytes[0],
                 f->bytes[1]);
}

static void print_json(size_t nodes, bool self, const struct figures *f)
{
    (void)printf("{\"nodes\":%zu,\"self\":%s,\"parse_ms\":%.2f,\"compile_ms\":%.2f,"
                 "\"join_us\":%.1f,\"kib\":%.0f,\"classes\":%zu,\"sees_ns\":%.0f,"
                 "\"mark_ns\":%.0f,\"filter_us\":%.1f,\"filter_compact_us\":%.1f,"
                 "\"filter_bytes\":%.0f,\"filter_compact_bytes\":%.0f}\n",
                 nodes, self ? "true" : "false", f->parse_ms, f->compile_ms, f->join_us, f->kib,
                 f->classes, f->sees_ns, f->mark_ns, f->filter_us[0], f->filter_us[1], f->bytes[0],
                 f->bytes[1]);
}

int bench_policy(const struct bench_options *o)
{
    static const size_t sizes[] = {1000, 10000, 50000};

    if (!o->json)
        (void)printf("%7s %5s %9s %11s %8s %8s %8s %8s %8s %10s %10s %12s %12s\n", "nodes", "self",
                     "parse ms", "compile ms", "join us", "KiB", "classes", "sees ns", "mark ns",
                     "filter us", "compact us", "filter B", "compact B");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int self = 0; self < 2; self++) {
            struct figures f = {0};

            measure(sizes[i], self, &f);
            (o->json ? print_json : print_row)(sizes[i], self, &f);
            (void)fflush(stdout);
        }
    return 0;
}
