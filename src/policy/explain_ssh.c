/* Tailscale SSH between the two sides: which rules give a shell, to which logins. policy.md 8. */

#include "policy/explain_internal.h"

static bool lists(const struct policy *p, const struct ssh_link *l, const struct member *m)
{
    const struct source *src = &p->shape->sources[l->source];

    return src->everyone || class_in(src->own, m->cls) ||
           (src->wild && member_class(p, m)->p.in_wild);
}

static bool leads(const struct ssh_link *l, const struct member *from, const struct member *to)
{
    return class_in(l->dst, to->cls) || (l->self && from->user && from->user == to->user);
}

/* The first pair that the rule is about; false: none. */
static bool find_pair(const struct explain *x, const struct ssh_link *l, const struct end **from,
                      const struct end **to)
{
    for (size_t f = 0; f < x->src.len; f++) {
        *from = &x->src.items[f];
        if (!(*from)->member || !lists(x->p, l, (*from)->member))
            continue;
        for (size_t t = 0; t < x->dst.len; t++) {
            *to = &x->dst.items[t];
            if ((*to)->member && explain_is_pair(x, *from, *to) &&
                leads(l, (*from)->member, (*to)->member))
                return true;
        }
    }
    return false;
}

static void next_login(struct buf *out, size_t start)
{
    buf_put(out, out->len > start ? STR(", ") : STR_NONE);
}

static void put_logins(struct buf *out, const struct policy_ssh_rule *rule)
{
    size_t start = out->len;

    if (rule->root)
        buf_put(out, STR("root"));
    if (rule->nonroot) {
        next_login(out, start);
        buf_put(out, STR("anyone but root"));
    }
    for (size_t i = 0; i < MIN(rule->logins.len, (size_t)EXPLAIN_LINES_MAX); i++) {
        next_login(out, start);
        buf_put(out, rule->logins.items[i].text);
    }
    if (rule->logins.len > EXPLAIN_LINES_MAX)
        buf_printf(out, " and %zu more", rule->logins.len - EXPLAIN_LINES_MAX);
    for (size_t i = 0; i < rule->localparts.len; i++) {
        next_login(out, start);
        buf_printf(out, "the user's own name at %.*s", STR_ARG(rule->localparts.items[i].text));
    }
}

static void put_rule(const struct explain *x, const struct ssh_link *l, const struct end *from,
                     const struct end *to)
{
    const struct policy_ssh_rule *rule = l->rule;

    buf_put(x->out, STR("  ssh rule at "));
    explain_put_pos(x->out, rule->pos);
    buf_printf(x->out, ": %.*s to %.*s as ", STR_ARG(from->name), STR_ARG(to->name));
    put_logins(x->out, rule);
    if (rule->action == SSH_ACCEPT) {
        buf_put(x->out, STR(", accepted\n"));
        return;
    }
    buf_put(x->out, STR(", checked "));
    if (rule->period_ms == 0) {
        buf_put(x->out, STR("every time\n"));
        return;
    }
    buf_put(x->out, STR("every "));
    policy_put_duration(x->out, rule->period_ms);
    buf_put_char(x->out, '\n');
}

static bool any_machines(const struct explain *x)
{
    bool from = false, to = false;

    for (size_t i = 0; i < x->src.len; i++)
        from |= x->src.items[i].node != NULL;
    for (size_t i = 0; i < x->dst.len; i++)
        to |= x->dst.items[i].node != NULL;
    return from && to;
}

static bool is_port_22_open(const struct explain *x)
{
    struct access scratch = {0};
    struct explain ask = *x;
    bool open = false;

    ask.port = 22;
    ask.proto = PROTO_TCP;
    for (size_t f = 0; f < x->src.len && !open; f++)
        for (size_t t = 0; t < x->dst.len && !open; t++)
            open = explain_is_pair(x, &x->src.items[f], &x->dst.items[t]) &&
                   explain_pair(&ask, &x->src.items[f], &x->dst.items[t], &scratch);
    access_fini(&scratch);
    return open;
}

void explain_ssh(struct explain *x)
{
    const struct shape *s = x->p->shape;
    const struct end *from, *to;
    size_t n = 0;

    if ((x->port >= 0 && (x->port != 22 || x->proto != PROTO_TCP)) || !any_machines(x))
        return;
    /* Check rules are asked first, as clients have them. */
    for (int action = SSH_CHECK; action >= SSH_ACCEPT; action--)
        for (size_t i = 0; i < s->n_ssh; i++) {
            if ((int)s->ssh[i].rule->action != action || !find_pair(x, &s->ssh[i], &from, &to) ||
                ++n > EXPLAIN_LINES_MAX)
                continue;
            if (n == 1)
                buf_put(x->out, STR("Tailscale SSH, the first rule with the login counts\n"));
            put_rule(x, &s->ssh[i], from, to);
        }
    if (n > EXPLAIN_LINES_MAX)
        buf_printf(x->out, "  ... and %zu more rules\n", n - EXPLAIN_LINES_MAX);
    if (n == 0)
        buf_put(x->out, STR("Tailscale SSH: no ssh rule gives a shell\n"));
    else if (!is_port_22_open(x))
        buf_put(x->out, STR("  but without network access to tcp 22 nobody gets there\n"));
}
