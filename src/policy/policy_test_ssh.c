/*
 * The author's tests of SSH: policy.md 13.2. Asked is what the SSH rules of the destination say,
 * not whether its filter lets port 22 in.
 *
 * Every source is paired with every destination. Most rules say the same of all nodes of two
 * classes; only autogroup:self and log-ins by local part look at the nodes themselves.
 */

#include "policy/policy_test_internal.h"

#include <stdio.h>

#include "policy/document_internal.h"

/* ---- Shapes ---- */

static bool is_autogroup(const struct policy_selector *s, enum policy_autogroup a)
{
    return s->kind == SELECTOR_AUTOGROUP && s->autogroup == a;
}

/* What stands for more than the nodes it names. */
static bool is_disallowed(const struct policy_selector *s)
{
    return s->kind == SELECTOR_WILDCARD || s->kind == SELECTOR_IPSET ||
           s->kind == SELECTOR_TAILNET || s->kind == SELECTOR_SERVICE ||
           is_autogroup(s, AUTOGROUP_INTERNET) || is_autogroup(s, AUTOGROUP_DANGER_ALL) ||
           ((s->kind == SELECTOR_PREFIX || s->kind == SELECTOR_HOST) &&
            !ip_prefix_is_single(s->prefix));
}

static bool dst_well_formed(const struct policy_word *dst, const struct policy_selector *is,
                            struct policy_complaint *complaint)
{
    struct str text = str_trim(dst->text);
    const char *what = NULL;

    if (is ? is_disallowed(is) : str_starts(text, STR("autogroup:")))
        what = "disallowed element";
    else if (!is && str_starts(text, STR("tag:")))
        what = "unknown tag";
    if (!what)
        return true;
    *complaint = (struct policy_complaint){.pos = dst->pos};
    (void)snprintf(complaint->text, sizeof(complaint->text), "SSH tests dst contains %s %s", what,
                   QUOTED(text));
    (void)snprintf(complaint->hint, sizeof(complaint->hint),
                   "a destination is a tag, a user or one host");
    return false;
}

bool ssh_tests_well_formed(const struct policy_document *d, struct policy_complaint *complaint)
{
    for (size_t i = 0; i < d->n_ssh_tests; i++) {
        const struct policy_ssh_test *test = &d->ssh_tests[i];

        for (size_t k = 0; k < test->dst.len; k++)
            if (!dst_well_formed(&test->dst.items[k], test->dst_is[k], complaint))
                return false;
    }
    return true;
}

/* ---- Nodes, in runs of one class ---- */

struct crowd {
    const struct member **items;
    size_t len;
};

static bool has_addr_of(const struct test_named *n, const struct member *m)
{
    for (size_t i = 0; i < n->n_ranges; i++)
        if ((m->v4_is_set && ip_range_contains(n->ranges[i], member_v4(m))) ||
            (m->v6_is_set && ip_range_contains(n->ranges[i], member_v6(m))))
            return true;
    return false;
}

/* In the order of classes; free the items. */
static struct crowd crowd_of(const struct test_run *t, const struct test_named *n)
{
    size_t n_members = t->p->members.count, len = n->n_ranges > 0 ? n_members : 0;
    roaring_uint32_iterator_t it;
    struct crowd c = {0};

    if (n->classes)
        for (roaring_init_iterator(n->classes, &it); it.has_value;
             roaring_advance_uint32_iterator(&it))
            len += t->from[it.current_value + 1] - t->from[it.current_value];
    c.items = mem_alloc_array(len, sizeof(*c.items));
    for (size_t i = 0; i < n_members && n->n_ranges > 0; i++)
        if (has_addr_of(n, t->members[i]))
            c.items[c.len++] = t->members[i];
    if (n->classes)
        for (roaring_init_iterator(n->classes, &it); it.has_value;
             roaring_advance_uint32_iterator(&it))
            for (size_t i = t->from[it.current_value]; i < t->from[it.current_value + 1]; i++)
                c.items[c.len++] = t->members[i];
    return c;
}

/* How many from `at` on are of the same class. */
static size_t run_len(const struct crowd *c, size_t at)
{
    size_t n = 1;

    while (at + n < c->len && c->items[at + n]->cls == c->items[at]->cls)
        n++;
    return n;
}

/* ---- Rules ---- */

struct asked {
    struct test_run *t;
    struct policy_pos pos;
    struct str login;
    bool by_check; /* only check rules count */
    bool want;
};

static bool lists(const struct policy *p, const struct ssh_link *l, const struct member *m)
{
    const struct source *src = &p->shape->sources[l->source];

    return src->everyone || class_in(src->own, m->cls) ||
           (src->wild && member_class(p, m)->p.in_wild);
}

/* For everybody the rule lists. */
static bool lets_all_in_as(const struct policy_ssh_rule *rule, struct str login)
{
    if (str_eq(login, STR("root")))
        return rule->root;
    if (rule->nonroot)
        return true;
    for (size_t i = 0; i < rule->logins.len; i++)
        if (str_eq(rule->logins.items[i].text, login))
            return true;
    return false;
}

/* By the local part of the user's own name. */
static bool lets_user_in_as(const struct policy *p, const struct policy_ssh_rule *rule,
                            user_id user, struct str login)
{
    struct str name = user ? matcher_login(p->shape->matcher, user) : STR_NONE;
    ptrdiff_t at = str_rfind_char(name, '@');

    if (at <= 0 || !str_eq(str_sub(name, 0, (size_t)at), login))
        return false;
    for (size_t i = 0; i < rule->localparts.len; i++)
        if (str_eq(rule->localparts.items[i].text, str_from_index(name, (size_t)at + 1)))
            return true;
    return false;
}

enum reach { REACH_NEVER, REACH_ALWAYS, REACH_DEPENDS };

/* Of any two nodes of these two classes. */
static enum reach classes_reach(const struct asked *q, const struct member *from,
                                const struct member *to)
{
    const struct policy *p = q->t->p;
    enum reach reach = REACH_NEVER;

    for (size_t i = 0; i < p->shape->n_ssh; i++) {
        const struct ssh_link *l = &p->shape->ssh[i];

        if ((q->by_check && l->rule->action != SSH_CHECK) || !lists(p, l, from))
            continue;
        if (class_in(l->dst, to->cls) && lets_all_in_as(l->rule, q->login))
            return REACH_ALWAYS;
        if (l->self || l->rule->localparts.len > 0)
            reach = REACH_DEPENDS;
    }
    return reach;
}

/* With local parts a source that is no destination gets rules too, for itself (policy.md 8.3). */
static bool is_among(const struct ssh_link *l, const struct member *from, const struct member *to)
{
    if (class_in(l->dst, to->cls))
        return true;
    if (l->self && to->user)
        return from->user == to->user;
    return l->rule->localparts.len > 0 && from == to;
}

static bool nodes_reach(const struct asked *q, const struct member *from, const struct member *to)
{
    const struct policy *p = q->t->p;

    for (size_t i = 0; i < p->shape->n_ssh; i++) {
        const struct ssh_link *l = &p->shape->ssh[i];

        if ((q->by_check && l->rule->action != SSH_CHECK) || !lists(p, l, from) ||
            !is_among(l, from, to))
            continue;
        if (lets_all_in_as(l->rule, q->login) || lets_user_in_as(p, l->rule, from->user, q->login))
            return true;
    }
    return false;
}

/* Every pair of the two runs is as wanted. */
static bool runs_agree(const struct asked *q, const struct member **from, size_t n_from,
                       const struct member **to, size_t n_to)
{
    size_t n_rules = q->t->p->shape->n_ssh;

    if (!test_step(q->t, q->pos, n_rules))
        return false;
    switch (classes_reach(q, from[0], to[0])) {
    case REACH_NEVER:
        return !q->want;
    case REACH_ALWAYS:
        return q->want;
    case REACH_DEPENDS:
        break;
    }
    for (size_t i = 0; i < n_from; i++) {
        if (!test_step(q->t, q->pos, n_to * n_rules))
            return false;
        for (size_t k = 0; k < n_to; k++)
            if (nodes_reach(q, from[i], to[k]) != q->want)
                return false;
    }
    return true;
}

static bool crowds_agree(const struct asked *q, const struct crowd *from, const struct crowd *to)
{
    for (size_t i = 0, n; i < from->len; i += n) {
        n = run_len(from, i);
        for (size_t k = 0, m; k < to->len; k += m) {
            m = run_len(to, k);
            if (!runs_agree(q, from->items + i, n, to->items + k, m))
                return false;
        }
    }
    /* An address of no node is let in nowhere. */
    return from->len > 0 || !q->want;
}

/* ---- autogroup:self as a destination: each source's own devices ---- */

static bool homes_agree(const struct asked *q, const struct crowd *from)
{
    for (size_t i = 0; i < from->len; i++) {
        size_t n;
        const struct member **devices = test_devices(q->t, from->items[i]->user, &n);

        if (!test_step(q->t, q->pos, n * q->t->p->shape->n_ssh))
            return false;
        for (size_t k = 0; k < n; k++)
            if (nodes_reach(q, from->items[i], devices[k]) != q->want)
                return false;
    }
    return from->len > 0 || !q->want;
}

static bool any_tagged(const struct crowd *c)
{
    for (size_t i = 0; i < c->len; i++)
        if (c->items[i]->user == 0)
            return true;
    return false;
}

/* ---- One test ---- */

struct ssh_line {
    const struct policy_ssh_test *test;
    const struct policy_word *dst;
    const struct policy_selector *is;
    const struct crowd *from;
    const struct crowd *to;
};

static void run_logins(struct test_run *t, const struct ssh_line *l,
                       const struct policy_words *logins, bool by_check, bool want)
{
    for (size_t i = 0; i < logins->len; i++) {
        struct asked q = {.t = t,
                          .pos = logins->items[i].pos,
                          .login = logins->items[i].text,
                          .by_check = by_check,
                          .want = want};
        bool ok = is_autogroup(l->is, AUTOGROUP_SELF) ? homes_agree(&q, l->from)
                                                      : crowds_agree(&q, l->from, l->to);

        if (!ok)
            test_fail(t, q.pos, "%.*s -> %.*s (ssh as %.*s): expected %s, got %s",
                      (int)MIN(l->test->src.text.len, (size_t)120), l->test->src.text.ptr,
                      (int)MIN(l->dst->text.len, (size_t)120), l->dst->text.ptr,
                      (int)MIN(q.login.len, (size_t)60), q.login.ptr,
                      by_check ? "CHECKED"
                      : want   ? "ALLOWED"
                               : "DENIED",
                      by_check ? "NOT CHECKED"
                      : want   ? "DENIED"
                               : "ALLOWED");
    }
}

static bool has_empty(const struct policy_words *words)
{
    for (size_t i = 0; i < words->len; i++)
        if (str_is_empty(str_trim(words->items[i].text)))
            return true;
    return false;
}

/* Why it cannot be run; NULL: it can. */
static const char *shape_of(const struct test_run *t, const struct policy_ssh_test *test,
                            const struct test_named *src)
{
    if (test->src.text.len == 0)
        return "src is missing";
    if (test_is_unknown(t, test->src_is))
        return "src is unknown";
    if (test_name_is_empty(src))
        return "src is nobody at present";
    if (test->dst.len == 0)
        return "dst is missing";
    if (test->accept.len + test->check.len + test->deny.len == 0)
        return "it has neither accept nor check nor deny";
    if (has_empty(&test->accept) || has_empty(&test->check) || has_empty(&test->deny))
        return "a login name is empty";
    return NULL;
}

static void run_dst(struct test_run *t, const struct ssh_line *l)
{
    const char *wrong = NULL;

    if (test_is_unknown(t, l->is))
        wrong = "the destination is unknown";
    else if (is_autogroup(l->is, AUTOGROUP_SELF) && any_tagged(l->from))
        wrong = "a tagged node has no devices of its own";
    else if (!is_autogroup(l->is, AUTOGROUP_SELF) && l->to->len == 0)
        wrong = "the destination is no node at present";
    if (wrong) {
        test_fail(t, l->dst->pos, "%.*s -> %.*s (ssh): %s",
                  (int)MIN(l->test->src.text.len, (size_t)120), l->test->src.text.ptr,
                  (int)MIN(l->dst->text.len, (size_t)120), l->dst->text.ptr, wrong);
        return;
    }
    run_logins(t, l, &l->test->accept, false, true);
    run_logins(t, l, &l->test->check, true, true);
    run_logins(t, l, &l->test->deny, false, false);
}

static void run_test(struct test_run *t, const struct policy_ssh_test *test)
{
    struct test_named src = test_name(t, test->src_is);
    const char *wrong = shape_of(t, test, &src);

    if (wrong) {
        test_fail(t, test->pos, "SSH test of \"%.*s\": %s",
                  (int)MIN(test->src.text.len, (size_t)120), test->src.text.ptr, wrong);
        return;
    }
    struct crowd from = crowd_of(t, &src);
    for (size_t i = 0; i < test->dst.len; i++) {
        struct test_named dst = test_name(t, test->dst_is[i]);
        struct crowd to;

        if (!test_step(t, test->dst.items[i].pos, t->p->members.count))
            break;
        to = crowd_of(t, &dst);
        run_dst(t, &(struct ssh_line){test, &test->dst.items[i], test->dst_is[i], &from, &to});
        mem_free(to.items);
    }
    mem_free(from.items);
}

void ssh_tests_run(struct test_run *t, const struct policy_document *d)
{
    for (size_t i = 0; i < d->n_ssh_tests; i++)
        run_test(t, &d->ssh_tests[i]);
}
