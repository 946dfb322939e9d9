/* SSH rules that nobody gets to use. */

#include "policy/lint_internal.h"

static bool lists(const struct policy *p, const struct ssh_link *l, const struct member *m)
{
    const struct source *src = &p->shape->sources[l->source];

    return src->everyone || class_in(src->own, m->cls) ||
           (src->wild && member_class(p, m)->p.in_wild);
}

static bool reaches_22(const struct policy *p, const struct member *from, const struct member *to)
{
    const struct ip_addr pairs[2][2] = {{member_v4(from), member_v4(to)},
                                        {member_v6(from), member_v6(to)}};

    for (size_t i = 0; i < 2; i++) {
        struct reach_end src = {pairs[i][0], from};

        if (ip_addr_is_set(pairs[i][0]) && ip_addr_is_set(pairs[i][1]) &&
            reach_lets_in(p, to, &src, pairs[i][1], PROTO_TCP, 22))
            return true;
    }
    return false;
}

struct question {
    struct lint *l;
    const struct ssh_link *link;
    bool any;     /* somebody may log in somewhere */
    bool reached; /* and get there; or it was too much to find out */
};

static void ask(struct question *q, const struct member *from, const struct member *to)
{
    q->any = true;
    if (!lint_work(q->l, member_class(q->l->p, to)->n_links + 1) || reaches_22(q->l->p, from, to))
        q->reached = true;
}

/* One node of each class stands for all but where addresses are named; there two pairs are no
 * proof, so all of a class are asked then. */
static void ask_class(struct question *q, const struct member *from)
{
    const struct policy *p = q->l->p;
    struct rows_at at = {0};
    const struct member *to;

    while (!q->reached && (to = rows_next(&p->members, &at))) {
        if (!lint_work(q->l, 1))
            q->reached = true;
        if (class_in(q->link->dst, to->cls) &&
            (to == q->l->sample[to->cls] || member_class(p, to)->p.has_literal))
            ask(q, from, to);
    }
}

static void ask_own(struct question *q, const struct member *from)
{
    const struct policy *p = q->l->p;
    struct rows_at at = rows_from(&p->devices, from->user, 0);
    const struct device *d;

    while (!q->reached && (d = rows_next(&p->devices, &at)) && d->key[0] == from->user) {
        const struct member *to = member_find(p, d->key[1]);

        if (!lint_work(q->l, 1))
            q->reached = true;
        if (to && to != from)
            ask(q, from, to);
    }
}

static void ask_all(struct question *q)
{
    const struct policy *p = q->l->p;
    struct rows_at at = {0};
    const struct member *from;

    while (!q->reached && (from = rows_next(&p->members, &at))) {
        if (!lint_work(q->l, 1))
            q->reached = true;
        if (!lists(p, q->link, from))
            continue;
        if (from == q->l->sample[from->cls] || member_class(p, from)->p.has_literal)
            ask_class(q, from);
        if (q->link->self && from->user)
            ask_own(q, from);
    }
}

static bool is_listed(const struct lint *l, const struct ssh_link *link)
{
    struct rows_at at = {0};
    const struct member *m;

    while ((m = rows_next(&l->p->members, &at)))
        if (lists(l->p, link, m))
            return true;
    return false;
}

static void lint_link(struct lint *l, const struct ssh_link *link)
{
    const struct policy_ssh_rule *rule = link->rule;
    struct question q = {.l = l, .link = link};

    if (l->p->members.count == 0)
        return;
    if (!is_listed(l, link)) {
        lint_find(l, rule->pos, "this ssh rule is for nobody at present");
        return;
    }
    if (!link->self && !lint_has_nodes(l, link->dst)) {
        lint_find(l, rule->pos, "this ssh rule leads to no machine at present");
        return;
    }
    ask_all(&q);
    if (q.any && !q.reached)
        lint_find(l, rule->pos,
                  "this ssh rule gives no shell at present: no acl or grant lets its sources reach "
                  "tcp 22 there");
}

void lint_ssh(struct lint *l)
{
    for (size_t i = 0; i < l->p->shape->n_ssh; i++)
        lint_link(l, &l->p->shape->ssh[i]);
    for (size_t i = 0; i < l->d->n_ssh; i++) {
        const struct policy_ssh_rule *r = &l->d->ssh[i];

        if (r->src.len == 0)
            lint_find(l, r->pos, "this ssh rule has no source: it does nothing");
        else if (r->dst.len == 0)
            lint_find(l, r->pos, "this ssh rule has no destination: it does nothing");
        for (size_t k = 0; k < r->recorders.len; k++)
            if (l->p->members.count &&
                !lint_has_nodes(l, l->p->shape->own[r->recorders.items[k].selector->index]))
                lint_find(l, r->recorders.items[k].pos,
                          "no machine is the recorder %.*s at present",
                          STR_ARG(r->recorders.items[k].selector->text));
    }
}
