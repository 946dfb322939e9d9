/*
 * The laws of property_decisions.c where a tailnet has guests: every decision is the naive
 * evaluator's, of own nodes as if there were no guests, of guests by naive_guests.h; compiled from
 * the policy before it says the same as from scratch; one lineage means what it says; equal marks
 * mean equal texts; named rules, patched from one policy to the next, are the rules of the filter.
 */

#include "../property.h"
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "decisions_guests.h"
#include "random_neighbours.h"
#include "random_policy.h"
#include "core/map.h"
#include "json/value.h"

#define RUNS 100
#define STEPS 8

struct history {
    uint64_t seed;
    struct random_neighbours t;
    struct buf text;
    const struct policy_document *d;
    const struct policy *p;
    uint64_t unchanged, lineages, steps;
};

static void complain(struct history *h, const char *what, const char *why)
{
    struct buf tailnet = BUF(0);

    random_neighbours_put(&h->t, &tailnet);
    printf("PROPERTY_SEED=%llu PROPERTY_RUNS=1\n%s: %s\npolicy:\n%.*s\ntailnets:\n%.*s\n",
           (unsigned long long)h->seed, what, why, STR_ARG(buf_str(&h->text)),
           STR_ARG(buf_str(&tailnet)));
    buf_fini(&tailnet);
    fail_msg("seed %llu: %s: %.400s", (unsigned long long)h->seed, what, why);
}

static const struct policy *compile(const struct policy_document *d, const struct tailnet_view *v)
{
    return policy_compile(&(struct policy_input){.document = d, .view = v});
}

static void some_document(struct history *h)
{
    struct policy_complaint complaint;

    if (random_chance(&h->t.here.rand, 12))
        return;
    for (int tries = 0; !h->d && tries < 5; tries++) {
        buf_clear(&h->text);
        random_policy_put(&h->t.here.rand, (struct random_policy_options){0}, &h->text);
        if (policy_document_parse(buf_str(&h->text), NULL, &h->d, &complaint) < 0)
            h->d = NULL;
    }
}

/* ---- Equal marks, equal texts ---- */

static struct policy_mark put_text(const struct policy *p, const struct node *n, int kind,
                                   struct buf *out)
{
    buf_clear(out);
    if (kind == 2) {
        policy_put_ssh(p, n->id, STR_NONE, out);
        return policy_ssh_mark(p, n->id);
    }
    policy_put_filter(p, n->id, (enum policy_form)kind, out);
    return policy_filter_mark(p, n->id, (enum policy_form)kind);
}

static void check_marks(struct history *h, const struct policy *a, const struct policy *b)
{
    struct buf x = BUF((size_t)1 << 30), y = BUF((size_t)1 << 30);
    const struct node *n, *other;

    for (size_t at = 0; (n = view_node_next(h->t.view, &at));)
        for (int kind = 0; kind < 3; kind++) {
            struct policy_mark m = put_text(a, n, kind, &x);

            for (size_t k = 0; (other = view_node_next(h->t.view, &k));)
                if (policy_mark_eq(put_text(b, other, kind, &y), m) &&
                    !str_eq(buf_str(&x), buf_str(&y)))
                    complain(h, "equal marks, other texts", y.ptr);
        }
    buf_fini(&x);
    buf_fini(&y);
}

/* ---- Named rules ---- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void keep(struct map *rules, struct arena *arena, struct str name, struct str text)
{
    struct str *kept = arena_alloc(arena, sizeof *kept);

    *kept = arena_copy(arena, text);
    (void)map_put(rules, name, kept);
}

/* What a client makes of it; "*" takes all away. */
static void patch(struct map *rules, struct arena *arena, struct str json)
{
    struct json_options options = {.max_nodes = (size_t)1 << 24, .max_bytes = (size_t)1 << 30};
    struct json_value *root = NULL;

    assert_true(json_parse(arena, json, &options, &root, NULL));
    JSON_EACH(v, root) {
        if (json_is(v, JSON_NULL))
            (void)map_remove(rules, v->key);
        else
            keep(rules, arena, v->key, json_at(v, 0)->raw);
    }
}

static size_t texts_of(const struct map *rules, struct str *out)
{
    size_t n = 0, kept = 0;
    struct str key;
    void *value;

    for (size_t at = 0; map_next(rules, &at, &key, &value);)
        out[n++] = *(struct str *)value;
    if (n)
        qsort(out, n, sizeof *out, by_text);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(out[kept - 1], out[i]))
            out[kept++] = out[i];
    return kept;
}

static void check_named_node(struct history *h, const struct policy *before,
                             const struct policy *after, const struct node *n,
                             enum policy_form form)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct map *rules = map_new(), *whole = map_new();
    struct buf text = BUF((size_t)1 << 30);
    struct json_value *root = NULL;
    size_t i = 0;

    policy_put_named_filter(NULL, before, n->id, form, &text);
    patch(rules, arena, buf_str(&text));
    buf_clear(&text);
    policy_put_named_filter(before, after, n->id, form, &text);
    patch(rules, arena, buf_str(&text));
    buf_clear(&text);
    policy_put_filter(after, n->id, form, &text);
    assert_true(json_parse(arena, buf_str(&text), NULL, &root, NULL));
    JSON_EACH(v, root) {
        char name[32];

        (void)snprintf(name, sizeof name, "%zu", i++);
        keep(whole, arena, str_from(name), v->raw);
    }
    struct str *a = mem_alloc_array(map_len(rules), sizeof *a);
    struct str *b = mem_alloc_array(map_len(whole), sizeof *b);
    size_t n_a = texts_of(rules, a), n_b = texts_of(whole, b);
    bool same = n_a == n_b;

    for (size_t k = 0; same && k < n_a; k++)
        same = str_eq(a[k], b[k]);
    if (!same)
        complain(h, "named rules and the filter differ", text.ptr);
    mem_free(a);
    mem_free(b);
    map_free(rules);
    map_free(whole);
    buf_fini(&text);
}

/* ---- One history ---- */

static void check(struct history *h)
{
    char why[DECISIONS_WHY] = "";
    struct rand_seeded r;

    rand_seed(&r, h->seed);
    const struct decisions in = {h->d, h->t.view, h->p, &r, 20};
    if (!decisions_agree(&in, why))
        complain(h, "own nodes", why);
    if (!decisions_guests_agree(&in, why))
        complain(h, "guests", why);
    check_marks(h, h->p, h->p);
}

static void step(struct history *h)
{
    AUTO(view_unref) const struct tailnet_view *before = view_ref(h->t.view);
    char why[DECISIONS_WHY] = "";
    const struct node *n;

    change_list_clear(&h->t.changes);
    do
        random_neighbours_step(&h->t);
    while (random_chance(&h->t.here.rand, 25));
    const struct policy *next =
        policy_compile(&(struct policy_input){.document = h->d,
                                              .view = h->t.view,
                                              .before = h->p,
                                              .changes = h->t.changes.items,
                                              .n_changes = h->t.changes.len});
    AUTO(policy_unref) const struct policy *scratch = compile(h->d, h->t.view);

    h->steps++;
    h->unchanged += next == h->p;
    h->lineages += policy_same_lineage(next, h->p) && next != h->p;
    if (!decisions_same(next, scratch, h->t.view, why) ||
        !decisions_guests_same(next, scratch, h->t.view, why))
        complain(h, "compiled from changes, compiled from scratch", why);
    if (!decisions_lineage_holds(h->p, next, before, h->t.view, why) ||
        !decisions_guests_lineage_holds(h->p, next, before, h->t.view, why))
        complain(h, "both stay in their classes", why);
    check_marks(h, h->p, next);
    for (size_t at = 0; (n = view_node_next(h->t.view, &at));)
        check_named_node(h, h->p, next, n, (enum policy_form)random_below(&h->t.here.rand, 2));
    policy_unref(h->p);
    h->p = next;
}

static void run(struct history *total, uint64_t seed)
{
    struct history h = {.seed = seed, .text = BUF(0)};

    random_neighbours_init(&h.t, seed);
    some_document(&h);
    h.p = compile(h.d, h.t.view);
    check(&h);
    for (int i = 0; i < STEPS; i++)
        step(&h);
    check(&h);
    total->steps += h.steps;
    total->unchanged += h.unchanged;
    total->lineages += h.lineages;
    policy_unref(h.p);
    policy_document_unref(h.d);
    buf_fini(&h.text);
    random_neighbours_fini(&h.t);
}

static void guests_agree_with_naive(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();
    struct history total = {0};

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu histories\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++)
        run(&total, seed + i);
    print_message("%llu steps, %llu changed nothing, %llu went on with their lineage\n",
                  (unsigned long long)total.steps, (unsigned long long)total.unchanged,
                  (unsigned long long)total.lineages);
    assert_true(runs < 50 || (total.unchanged > 0 && total.lineages > 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guests_agree_with_naive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
