/*
 * The laws of the compiled policy, over random tailnets and random policies of the whole language:
 *
 *   1. every decision is the naive evaluator's, in both forms of the filter;
 *   2. compiled from the policy before and what changed, it says the same as from scratch, and is
 *      the policy before when nothing it reads changed;
 *   3. of two nodes that stay in their classes nothing changes between the two (one lineage);
 *   4. equal marks, equal texts.
 *
 * PROPERTY_RUNS and PROPERTY_SEED change how many histories there are and where they begin. A
 * difference is printed with its seed, the smallest policy found that still has it, and the
 * tailnet.
 */

#include "../property.h"
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "decisions.h"
#include "random_policy.h"

#define RUNS 400
#define STEPS 8
#define NODES 10

struct totals {
    uint64_t policies, refused, steps, unchanged, held;
};

static const struct policy_document *parse(struct str text, struct policy_complaint *complaint)
{
    const struct policy_document *d = NULL;

    *complaint = (struct policy_complaint){0};
    if (policy_document_parse(text, NULL, &d, complaint) < 0)
        return NULL;
    return d;
}

static const struct policy *compile(const struct policy_document *d, const struct tailnet_view *v)
{
    return policy_compile(&(struct policy_input){.document = d, .view = v});
}

/* ---- The smallest text that still differs ---- */

/* What is tried on a text: does it parse, and do the decisions still differ? */
static bool still_differs(struct str text, const struct tailnet_view *v, uint64_t seed,
                          char why[DECISIONS_WHY])
{
    struct policy_complaint complaint;
    AUTO(policy_document_unref) const struct policy_document *d = parse(text, &complaint);
    struct rand_seeded r;

    if (!d)
        return false;
    rand_seed(&r, seed);
    AUTO(policy_unref) const struct policy *p = compile(d, v);
    return !decisions_agree(&(struct decisions){d, v, p, &r, 300}, why);
}

/* The text without what is between `at` and the end of its value, and without one comma. */
static bool cut_at(struct str text, size_t at, struct buf *out)
{
    int depth = 0;
    bool in_string = false;
    size_t end = at;

    for (; end < text.len; end++) {
        char c = text.ptr[end];

        if (in_string) {
            end += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth--;
        if (depth < 0 || (depth == 0 && c == ','))
            break;
    }
    if (end >= text.len)
        return false;
    if (text.ptr[end] == ',')
        end++;
    buf_clear(out);
    buf_put(out, str_sub(text, 0, at));
    buf_put(out, str_from_index(text, end));
    return end > at;
}

/* Takes members and elements away one by one as long as the difference stays. */
static void shrink(struct buf *text, const struct tailnet_view *v, uint64_t seed,
                   char why[DECISIONS_WHY])
{
    struct buf smaller = BUF(0);
    char other[DECISIONS_WHY];
    bool in_string = false;

    for (size_t at = 0; at < text->len; at++) {
        char c = text->ptr[at];
        bool is_start = !in_string && (c == '{' || c == '[' || c == ',');

        if (c == '"' && (at == 0 || text->ptr[at - 1] != '\\'))
            in_string = !in_string;
        while (is_start && cut_at(buf_str(text), at + 1, &smaller) &&
               still_differs(buf_str(&smaller), v, seed, other)) {
            buf_clear(text);
            buf_put(text, buf_str(&smaller));
            (void)snprintf(why, DECISIONS_WHY, "%s", other);
        }
    }
    buf_fini(&smaller);
}

/* ---- One history ---- */

struct history {
    uint64_t seed;
    struct random_tailnet t;
    struct buf text;
    const struct policy_document *d;
    const struct policy *p;
    struct totals *totals;
};

static void complain(struct history *h, const char *what, const char *why)
{
    struct buf tailnet = BUF(0);

    random_tailnet_put(&h->t, &tailnet);
    for (size_t i = 0; i < h->t.changes.len; i++) {
        const struct change *c = &h->t.changes.items[i];

        buf_printf(&tailnet, "change kind %d of %llu, mask %x\n", (int)c->kind,
                   (unsigned long long)c->id, c->mask);
    }
    printf("PROPERTY_SEED=%llu PROPERTY_RUNS=1\n%s: %s\npolicy:\n%.*s\ntailnet:\n%.*s\n"
           "happened:\n%.*s\n",
           (unsigned long long)h->seed, what, why, STR_ARG(buf_str(&h->text)),
           STR_ARG(buf_str(&tailnet)), STR_ARG(buf_str(&h->t.story)));
    buf_fini(&tailnet);
    fail_msg("seed %llu: %s: %.400s", (unsigned long long)h->seed, what, why);
}

/* A text that parses; NULL when chance had it refused (or gave none). */
static const struct policy_document *some_document(struct history *h)
{
    struct policy_complaint complaint;
    const struct policy_document *d;

    if (random_chance(&h->t.rand, 2))
        return NULL;
    random_policy_put(&h->t.rand, (struct random_policy_options){0}, &h->text);
    d = parse(buf_str(&h->text), &complaint);
    h->totals->policies++;
    h->totals->refused += !d;
    if (!d && getenv("PROPERTY_REFUSED"))
        print_message("%llu: %u:%u %s\n", (unsigned long long)h->seed, complaint.pos.line,
                      complaint.pos.col, complaint.text);
    return d;
}

static void check_decisions(struct history *h)
{
    char why[DECISIONS_WHY];
    struct rand_seeded r;

    rand_seed(&r, h->seed);
    if (!decisions_agree(&(struct decisions){h->d, h->t.view, h->p, &r, 0}, why)) {
        if (h->d)
            shrink(&h->text, h->t.view, h->seed, why);
        complain(h, "decisions", why);
    }
    if (!decisions_approvals_agree(h->d, h->t.view, why))
        complain(h, "approvals", why);
    if (!decisions_marks_hold(h->p, h->t.view, why))
        complain(h, "marks", why);
}

static void step(struct history *h)
{
    AUTO(view_unref) const struct tailnet_view *before = view_ref(h->t.view);
    const struct node *n;
    char why[DECISIONS_WHY];

    change_list_clear(&h->t.changes);
    do
        random_tailnet_step(&h->t);
    while (random_chance(&h->t.rand, 25));
    const struct policy *next =
        policy_compile(&(struct policy_input){.document = h->d,
                                              .view = h->t.view,
                                              .before = h->p,
                                              .changes = h->t.changes.items,
                                              .n_changes = h->t.changes.len});
    AUTO(policy_unref) const struct policy *scratch = compile(h->d, h->t.view);

    h->totals->steps++;
    h->totals->unchanged += next == h->p;
    for (size_t at = 0; (n = view_node_next(h->t.view, &at));)
        h->totals->held += !node_has_access(n);
    if (!decisions_same(next, scratch, h->t.view, why))
        complain(h, "compiled from changes, compiled from scratch", why);
    if (!decisions_lineage_holds(h->p, next, before, h->t.view, why))
        complain(h, "both nodes stay in their classes", why);
    policy_unref(h->p);
    h->p = next;
}

static void run(uint64_t seed, struct totals *totals)
{
    struct history h = {.seed = seed, .totals = totals, .text = BUF(0)};

    random_tailnet_init(
        &h.t, (struct random_tailnet_options){.seed = seed, .max_nodes = NODES, .holds = true});
    h.d = some_document(&h);
    h.p = compile(h.d, h.t.view);
    check_decisions(&h);
    for (int i = 0; i < STEPS; i++)
        step(&h);
    check_decisions(&h);
    policy_unref(h.p);
    policy_document_unref(h.d);
    buf_fini(&h.text);
    random_tailnet_fini(&h.t);
}

/* ---- Differences in words ---- */

/* Whether some packet between two nodes' own addresses is let in by one policy only. */
static bool decides_else(const struct policy *a, const struct policy *b,
                         const struct tailnet_view *v, char packet[128])
{
    static const uint16_t ports[] = {22, 80, 443, 1, 1500, 65535, 8080, 1024};
    static const int protos[] = {6, 17, 1, 132, 47};
    const struct node *x, *y;

    for (size_t at = 0; (x = view_node_next(v, &at));)
        for (size_t k = 0; (y = view_node_next(v, &k));)
            for (size_t i = 0; x != y && i < ARRAY_LEN(ports) * ARRAY_LEN(protos); i++) {
                int proto = protos[i % ARRAY_LEN(protos)];
                uint16_t port = ports[i / ARRAY_LEN(protos)];

                if (policy_allows(a, x->v4, y->v4, proto, port) ==
                    policy_allows(b, x->v4, y->v4, proto, port))
                    continue;
                (void)snprintf(packet, 128, "%llu -> %llu proto %d port %u",
                               (unsigned long long)x->id, (unsigned long long)y->id, proto, port);
                return true;
            }
    return false;
}

static void run_diff(uint64_t seed, struct totals *totals)
{
    struct history h = {.seed = seed, .totals = totals, .text = BUF(0)};
    struct buf words = BUF(0);
    char packet[128];

    random_tailnet_init(&h.t, (struct random_tailnet_options){.seed = seed, .max_nodes = 6});
    AUTO(policy_document_unref) const struct policy_document *d = some_document(&h);
    AUTO(policy_document_unref) const struct policy_document *e = NULL;
    buf_put(&h.text, STR("\n---- and ----\n"));
    struct buf second = BUF(0);
    struct policy_complaint complaint;
    random_policy_put(&h.t.rand, (struct random_policy_options){.max_rules = 2}, &second);
    e = parse(buf_str(&second), &complaint);
    buf_put(&h.text, buf_str(&second));
    AUTO(policy_unref) const struct policy *a = compile(d, h.t.view);
    AUTO(policy_unref) const struct policy *again = compile(d, h.t.view);
    AUTO(policy_unref) const struct policy *b = compile(e, h.t.view);

    policy_diff(a, again, h.t.view, &words);
    if (words.len > 0)
        complain(&h, "a policy differs from itself", words.ptr);
    policy_diff(a, b, h.t.view, &words);
    if (words.len == 0 && d && e && decides_else(a, b, h.t.view, packet))
        complain(&h, "nothing is said of", packet);
    totals->steps += words.len > 0;
    buf_fini(&words);
    buf_fini(&second);
    buf_fini(&h.text);
    random_tailnet_fini(&h.t);
}

static void compiled_agrees_with_naive(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();
    struct totals totals = {0};

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu histories\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++)
        run(seed + i, &totals);
    print_message("%llu policies, %llu of them refused; %llu steps, %llu of them changed nothing\n",
                  (unsigned long long)totals.policies, (unsigned long long)totals.refused,
                  (unsigned long long)totals.steps, (unsigned long long)totals.unchanged);
    /* A generator that makes nothing happen proves nothing. */
    assert_true(runs < 50 || (totals.refused * 4 < totals.policies && totals.unchanged > 0 &&
                              totals.unchanged < totals.steps && totals.held > runs));
}

/* policy_diff says something where a decision differs, and nothing of a policy and itself. */
static void differences_are_told(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS) / 2 + 1;
    uint64_t seed = property_seed();
    struct totals totals = {0};

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu pairs\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++)
        run_diff(seed + i, &totals);
    print_message("%llu differ\n", (unsigned long long)totals.steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiled_agrees_with_naive),
        cmocka_unit_test(differences_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
