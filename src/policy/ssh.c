/*
 * A viewer's SSH rules. policy.md 8.3, protocol.md 11.1.
 *
 * Principals are node addresses: users' devices by user, then tagged nodes, each of these as often
 * as it has tags. Check rules go before accept rules; otherwise the order is the file's.
 *
 * Guests get rules of their own behind each rule that has them as a source. The page of a check
 * rule knows people of this tailnet only: it rejects guests.
 *
 * The mark is the hash of the same text with each list of principals replaced by a sum.
 */

#include "policy/guests_internal.h"

#include <string.h>

struct ssh_out {
    const struct policy *p;
    const struct member *m;
    const struct policy_class *c;
    struct json_writer w;
    struct str base;
    bool as_mark;
};

/* Whom a rule is for. */
enum whom { WHOM_ALL, WHOM_USER, WHOM_TAGGED, WHOM_ITSELF };

struct principals {
    const struct source *source;
    uint32_t source_index;
    enum whom whom;
    user_id user;
};

static bool source_lists(const struct policy *p, const struct source *src, const struct member *m)
{
    return src->everyone || class_in(src->own, m->cls) ||
           (src->wild && member_class(p, m)->p.in_wild);
}

/* ---- Principals ---- */

static void put_principal(struct json_writer *w, struct ip_addr addr)
{
    if (!ip_addr_is_set(addr))
        return;
    json_begin_object(w);
    json_key(w, STR("nodeIP"));
    json_begin_plain(w);
    ip_addr_put(w->out, addr);
    json_end_plain(w);
    json_end_object(w);
}

static void put_member(struct ssh_out *o, const struct member *m)
{
    for (unsigned i = 0; i < (m->user ? 1 : m->n_tags); i++) {
        put_principal(&o->w, member_v4(m));
        put_principal(&o->w, member_v6(m));
    }
}

static int by_user(const void *a, const void *b)
{
    const struct member *x = *(const struct member *const *)a,
                        *y = *(const struct member *const *)b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    return (x->key[0] > y->key[0]) - (x->key[0] < y->key[0]);
}

/* The source's nodes; users' by user id, tagged ones last. Heap; n may be 0. */
static const struct member **source_members(const struct policy *p, const struct source *src,
                                            size_t *n)
{
    const struct member **list = mem_alloc_array(p->members.count + 1, sizeof *list), *m;
    struct rows_at at = {0};
    size_t users = 0, tagged = 0;

    while ((m = rows_next(&p->members, &at)))
        if (m->user && source_lists(p, src, m))
            list[users++] = m;
    qsort(list, users, sizeof *list, by_user);
    at = (struct rows_at){0};
    while ((m = rows_next(&p->members, &at)))
        if (!m->user && source_lists(p, src, m))
            list[users + tagged++] = m;
    *n = users + tagged;
    return list;
}

static void put_listed(struct ssh_out *o, const struct principals *of)
{
    const struct member **list;
    size_t n;

    list = source_members(o->p, of->source, &n);
    for (size_t i = 0; i < n; i++)
        if (of->whom == WHOM_ALL || (of->whom == WHOM_TAGGED && !list[i]->user) ||
            (of->whom == WHOM_USER && list[i]->user == of->user))
            put_member(o, list[i]);
    mem_free(list);
}

static struct sum principals_sum(const struct ssh_out *o, const struct principals *of)
{
    struct rows_at at = {0};
    const struct member *m;
    struct sum sum = {0};

    if (of->whom == WHOM_ALL)
        return o->p->sums[POLICY_CANONICAL][of->source_index];
    if (of->whom == WHOM_ITSELF) {
        sum = member_sum(o->m);
        sum.tags = sum.a; /* it comes once, however many tags it has */
        return sum;
    }
    while ((m = rows_next(&o->p->members, &at)))
        if (source_lists(o->p, of->source, m) &&
            (of->whom == WHOM_TAGGED ? !m->user : m->user == of->user))
            sum_add(&sum, member_sum(m));
    return sum;
}

static void field_principals(struct ssh_out *o, const struct principals *of)
{
    if (o->as_mark) {
        struct sum sum = principals_sum(o, of);

        buf_put(o->w.out, str_bytes(&sum, sizeof sum));
        return;
    }
    json_field_array(&o->w, STR("principals"));
    if (of->whom == WHOM_ITSELF) {
        put_principal(&o->w, member_v4(o->m));
        put_principal(&o->w, member_v6(o->m));
    } else {
        put_listed(o, of);
    }
    json_end_array(&o->w);
}

/* ---- Rules ---- */

static void field_users(struct json_writer *w, const struct policy_ssh_rule *rule)
{
    json_field_object(w, STR("sshUsers"));
    json_field_str(w, STR("root"), rule->root ? STR("root") : STR_NONE);
    if (rule->nonroot)
        json_field_str(w, STR("*"), STR("="));
    for (size_t i = 0; i < rule->logins.len; i++) {
        bool twice = str_eq(rule->logins.items[i].text, STR("root"));

        for (size_t k = 0; k < i && !twice; k++)
            twice = str_eq(rule->logins.items[k].text, rule->logins.items[i].text);
        if (!twice)
            json_field_str(w, rule->logins.items[i].text, rule->logins.items[i].text);
    }
    json_end_object(w);
}

static bool is_recorder(const struct policy *p, const struct policy_ssh_rule *rule,
                        const struct member *m)
{
    for (size_t i = 0; i < rule->recorders.len; i++)
        if (class_in(p->shape->own[rule->recorders.items[i].selector->index], m->cls))
            return true;
    return false;
}

/* The next node that records sessions of the rule, or NULL. */
static const struct member *next_recorder(const struct policy *p,
                                          const struct policy_ssh_rule *rule, struct rows_at *at)
{
    const struct member *m;

    while ((m = rows_next(&p->members, at)) && !is_recorder(p, rule, m)) {
    }
    return m;
}

/* Clients record only where they are told of a recorder: without one the session must not begin. */
static bool lacks_recorder(const struct policy *p, const struct policy_ssh_rule *rule)
{
    struct rows_at at = {0};

    return rule->enforce_recorder && rule->recorders.len && !next_recorder(p, rule, &at);
}

/* Where sessions are to be recorded: the recorder nodes, port 80. */
static void field_recorders(const struct policy *p, struct json_writer *w, struct str base,
                            const struct policy_ssh_rule *rule)
{
    struct rows_at at = {0};
    const struct member *m;

    if (rule->recorders.len == 0)
        return;
    json_field_array(w, STR("recorders"));
    while ((m = next_recorder(p, rule, &at))) {
        json_begin_plain(w);
        ip_addrport_put(
            w->out,
            (struct ip_addrport){ip_addr_is_set(member_v4(m)) ? member_v4(m) : member_v6(m), 80});
        json_end_plain(w);
    }
    json_end_array(w);
    if (!rule->enforce_recorder)
        return;
    json_field_object(w, STR("onRecordingFailure"));
    json_field_str(w, STR("RejectSessionWithMessage"),
                   STR("This session must be recorded, and no recorder can be reached."));
    json_field_str(w, STR("TerminateSessionWithMessage"),
                   STR("This session must be recorded, and its recording failed."));
    json_key(w, STR("NotifyURL"));
    json_begin_plain(w);
    buf_put(w->out, base);
    buf_put(w->out, STR("/machine/ssh/recording"));
    json_end_plain(w);
    json_end_object(w);
}

static void put_reject(struct json_writer *w)
{
    json_begin_object(w);
    json_field_bool(w, STR("reject"), true);
    json_field_str(w, STR("message"),
                   STR("This session must be recorded, and there is no recorder.\r\n"));
    json_end_object(w);
}

static void put_accept(const struct policy *p, struct json_writer *w, struct str base,
                       const struct policy_ssh_rule *rule)
{
    if (lacks_recorder(p, rule)) {
        put_reject(w);
        return;
    }
    json_begin_object(w);
    json_field_bool(w, STR("accept"), true);
    json_field_bool(w, STR("allowAgentForwarding"), true);
    json_field_bool(w, STR("allowLocalPortForwarding"), true);
    json_field_bool(w, STR("allowRemotePortForwarding"), true);
    field_recorders(p, w, base, rule);
    json_end_object(w);
}

static void put_check(const struct policy *p, struct json_writer *w, struct str base,
                      const struct policy_ssh_rule *rule)
{
    if (lacks_recorder(p, rule)) {
        put_reject(w);
        return;
    }
    json_begin_object(w);
    json_key(w, STR("holdAndDelegate"));
    json_begin_plain(w);
    buf_put(w->out, base);
    buf_put(w->out, STR("/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID"
                        "?local_user=$LOCAL_USER"));
    json_end_plain(w);
    field_recorders(p, w, base, rule);
    json_end_object(w);
}

static void field_action(struct ssh_out *o, const struct policy_ssh_rule *rule)
{
    struct json_writer w = JSON_WRITER(o->w.out);

    json_key(&o->w, STR("action"));
    json_value_follows(&o->w);
    (rule->action == SSH_ACCEPT ? put_accept : put_check)(o->p, &w, o->base, rule);
}

static void field_accept_env(struct json_writer *w, const struct policy_ssh_rule *rule)
{
    if (rule->accept_env.len == 0)
        return;
    json_field_array(w, STR("acceptEnv"));
    for (size_t i = 0; i < rule->accept_env.len; i++)
        json_str(w, rule->accept_env.items[i].text);
    json_end_array(w);
}

static void put_rule(struct ssh_out *o, const struct policy_ssh_rule *rule,
                     const struct principals *of, struct str localpart)
{
    json_begin_object(&o->w);
    field_principals(o, of);
    if (localpart.len) {
        json_field_object(&o->w, STR("sshUsers"));
        json_field_str(&o->w, localpart, localpart);
        json_end_object(&o->w);
    } else {
        field_users(&o->w, rule);
    }
    field_action(o, rule);
    field_accept_env(&o->w, rule);
    json_end_object(&o->w);
}

static struct str localpart_of(const struct shape *s, const struct policy_ssh_rule *rule,
                               user_id user)
{
    struct str login = matcher_login(s->matcher, user);
    ptrdiff_t at = str_rfind_char(login, '@');

    for (size_t i = 0; at > 0 && i < rule->localparts.len; i++)
        if (str_eq(rule->localparts.items[i].text, str_from_index(login, (size_t)at + 1)))
            return str_sub(login, 0, (size_t)at);
    return STR_NONE;
}

/* The rule as written, and for a user with a fitting log-in one for his own name. */
static void emit(struct ssh_out *o, const struct policy_ssh_rule *rule, const struct principals *of)
{
    struct str local = STR_NONE;

    put_rule(o, rule, of, STR_NONE);
    if (rule->localparts.len && of->user)
        local = localpart_of(o->p->shape, rule, of->user);
    if (local.len)
        put_rule(o, rule, of, local);
}

/* With localpart every user gets rules of his own. */
static void emit_by_user(struct ssh_out *o, const struct policy_ssh_rule *rule,
                         const struct principals *of)
{
    struct principals one = *of;
    const struct member **list;
    bool tagged = false;
    size_t n;

    list = source_members(o->p, of->source, &n);
    for (size_t i = 0; i < n; i++) {
        tagged |= !list[i]->user;
        if (!list[i]->user || (i && list[i - 1]->user == list[i]->user))
            continue;
        one.whom = WHOM_USER;
        one.user = list[i]->user;
        emit(o, rule, &one);
    }
    mem_free(list);
    if (!tagged)
        return;
    one.whom = WHOM_TAGGED;
    one.user = 0;
    put_rule(o, rule, &one, STR_NONE);
}

static bool has_device(const struct ssh_out *o, const struct source *src)
{
    struct rows_at at = rows_from(&o->p->devices, o->m->user, 0);
    const struct device *d;

    while ((d = rows_next(&o->p->devices, &at)) && d->key[0] == o->m->user) {
        const struct member *m = member_find(o->p, d->key[1]);

        if (m && source_lists(o->p, src, m))
            return true;
    }
    return false;
}

static void put_link(struct ssh_out *o, const struct ssh_link *l)
{
    const struct source *src = &o->p->shape->sources[l->source];
    struct principals of = {.source = src, .source_index = l->source};
    bool is_dst = false;

    if (l->self && o->m->user) {
        is_dst = true;
        of.whom = WHOM_USER;
        of.user = o->m->user;
        if (has_device(o, src))
            emit(o, l->rule, &of);
    }
    if (class_in(l->dst, o->c->id)) {
        is_dst = true;
        of.whom = WHOM_ALL;
        of.user = 0;
        if (o->p->sums[POLICY_CANONICAL][l->source].count == 0)
            return;
        if (l->rule->localparts.len)
            emit_by_user(o, l->rule, &of);
        else
            put_rule(o, l->rule, &of, STR_NONE);
    }
    if (!is_dst && l->rule->localparts.len && source_lists(o->p, src, o->m)) {
        of.whom = WHOM_ITSELF;
        of.user = o->m->user;
        emit(o, l->rule, &of);
    }
}

/* ---- Guests ---- */

#define SSH_PORT 22

static bool terms_have_ssh(const struct share_terms *t)
{
    for (size_t i = 0; i < t->n_ports; i++)
        if (t->ports[i].first <= SSH_PORT && SSH_PORT <= t->ports[i].last)
            return true;
    return t->n_ports == 0;
}

static bool ssh_has_guest(const struct ssh_out *o, const struct ssh_link *l, const struct visit *v)
{
    return v->in && terms_have_ssh(&v->in->terms) &&
           source_guest(o->p, &o->p->shape->sources[l->source], &o->p->guests->items[v->guest]);
}

static void put_reject_guests(struct json_writer *w)
{
    json_begin_object(w);
    json_field_bool(w, STR("reject"), true);
    json_field_str(w, STR("message"),
                   STR("This session needs a check, which is for people of this tailnet.\r\n"));
    json_end_object(w);
}

static void put_guest_link(struct ssh_out *o, const struct ssh_link *l, const struct local *local)
{
    bool any = false;

    for (size_t i = 0; i < local->n_visits && !any; i++)
        any = ssh_has_guest(o, l, &local->visits[i]);
    if (!any)
        return;
    json_begin_object(&o->w);
    json_field_array(&o->w, STR("principals"));
    for (size_t i = 0; i < local->n_visits; i++) {
        const struct guest *g = &o->p->guests->items[local->visits[i].guest];

        if (!ssh_has_guest(o, l, &local->visits[i]))
            continue;
        put_principal(&o->w, g->v4);
        put_principal(&o->w, g->v6);
    }
    json_end_array(&o->w);
    field_users(&o->w, l->rule);
    if (l->rule->action == SSH_CHECK) {
        json_key(&o->w, STR("action"));
        json_value_follows(&o->w);
        put_reject_guests(&(struct json_writer){.out = o->w.out});
    } else {
        field_action(o, l->rule);
    }
    field_accept_env(&o->w, l->rule);
    json_end_object(&o->w);
}

static void put_rules(struct ssh_out *o)
{
    const struct local *local = o->m ? local_find(o->p, o->m->key[0]) : NULL;

    json_begin_object(&o->w);
    json_field_array(&o->w, STR("rules"));
    for (int action = SSH_CHECK; action >= SSH_ACCEPT; action--)
        for (size_t i = 0; o->c && i < o->c->n_ssh; i++) {
            const struct ssh_link *l = &o->p->shape->ssh[o->c->ssh[i]];

            if ((int)l->rule->action != action)
                continue;
            put_link(o, l);
            if (local && class_in(l->dst, o->c->id))
                put_guest_link(o, l, local);
        }
    json_end_array(&o->w);
    json_end_object(&o->w);
}

void policy_put_ssh(const struct policy *p, node_id viewer, struct str base, struct buf *out)
{
    struct ssh_out o = {.p = p, .m = member_find(p, viewer), .w = JSON_WRITER(out), .base = base};

    if (o.m)
        o.c = member_class(p, o.m);
    put_rules(&o);
}

struct policy_mark policy_ssh_mark(const struct policy *p, node_id viewer)
{
    struct buf text = BUF((size_t)1 << 30);
    struct ssh_out o = {
        .p = p, .m = member_find(p, viewer), .w = JSON_WRITER(&text), .as_mark = true};
    struct policy_mark mark = {0};

    if (!o.m || member_class(p, o.m)->n_ssh == 0)
        return mark;
    o.c = member_class(p, o.m);
    put_rules(&o);
    mark = mark_of(buf_str(&text));
    buf_fini(&text);
    return mark;
}

/* ---- The check call ---- */

static const struct ssh_link *check_link(const struct policy *p, node_id src, node_id dst)
{
    const struct member *a = member_find(p, src), *b = member_find(p, dst);

    for (size_t i = 0; a && b && i < p->shape->n_ssh; i++) {
        const struct ssh_link *l = &p->shape->ssh[i];

        if (l->rule->action != SSH_CHECK || !source_lists(p, &p->shape->sources[l->source], a))
            continue;
        if (class_in(l->dst, b->cls) || (l->self && a->user && a->user == b->user))
            return l;
    }
    return NULL;
}

int64_t policy_ssh_check_ms(const struct policy *p, node_id src, node_id dst)
{
    const struct ssh_link *l = check_link(p, src, dst);

    return l ? l->rule->period_ms : -1;
}

bool policy_put_ssh_accept(const struct policy *p, node_id src, node_id dst, struct buf *out)
{
    const struct ssh_link *l = check_link(p, src, dst);
    struct json_writer w = JSON_WRITER(out);

    if (l)
        put_accept(p, &w, STR(POLICY_SSH_BASE), l->rule);
    return l != NULL;
}
