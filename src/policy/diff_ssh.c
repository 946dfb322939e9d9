/*
 * Shells: as whom one kind of machine may log in at another, before and after. policy.md 8.
 *
 * Under one policy that is a list of rules in the client's order; for each login the first rule
 * that has it decides. Two lists are compared by what they come to, in words.
 */

#include "policy/diff_internal.h"

#include <stdlib.h>

#define LOGINS_MAX 64

static const struct str anyone = STR_INIT("anyone but root");

struct ssh {
    struct diff *d;
    struct crowd *src, *dst;
    size_t n_src, n_dst;
    uint32_t *src_of, *dst_of; /* per kind: crowd, DIFF_NONE: in no rule */
    struct change_set *changes;
    struct buf text[SIDES], plain[SIDES];
};

static bool lists(const struct policy *p, const struct ssh_link *l, const struct member *m)
{
    const struct source *src = &p->shape->sources[l->source];

    return src->everyone || class_in(src->own, m->cls) ||
           (src->wild && member_class(p, m)->p.in_wild);
}

/* ---- What a list of rules comes to ---- */

struct logins {
    struct str names[LOGINS_MAX];
    const struct policy_ssh_rule *by[LOGINS_MAX]; /* who decides */
    bool domain[LOGINS_MAX];
    size_t len;
};

static void login_add(struct logins *l, struct str name, bool domain,
                      const struct policy_ssh_rule *rule)
{
    for (size_t i = 0; i < l->len; i++)
        if (str_eq(l->names[i], name) && l->domain[i] == domain)
            return;
    if (l->len == LOGINS_MAX)
        return;
    l->names[l->len] = name;
    l->domain[l->len] = domain;
    l->by[l->len++] = rule;
}

static bool has_login(const struct logins *l, struct str name)
{
    for (size_t i = 0; i < l->len; i++)
        if (!l->domain[i] && str_eq(l->names[i], name))
            return true;
    return false;
}

static void add_rule(struct logins *l, const struct policy_ssh_rule *rule)
{
    /* Who is behind "anyone" of an earlier rule has been decided about. */
    bool decided = has_login(l, anyone);

    if (rule->root)
        login_add(l, STR("root"), false, rule);
    for (size_t i = 0; i < rule->logins.len; i++)
        if (!decided || str_eq(rule->logins.items[i].text, STR("root")))
            login_add(l, rule->logins.items[i].text, false, rule);
    for (size_t i = 0; i < rule->localparts.len; i++)
        if (!decided)
            login_add(l, rule->localparts.items[i].text, true, rule);
    if (rule->nonroot)
        login_add(l, anyone, false, rule);
}

static void put_outcome(struct buf *out, const struct policy_ssh_rule *rule)
{
    if (rule->action == SSH_CHECK) {
        buf_put(out,
                rule->period_ms ? STR(" with a check every ") : STR(" with a check every time"));
        if (rule->period_ms)
            policy_put_duration(out, rule->period_ms);
    }
    for (size_t i = 0; i < rule->recorders.len; i++)
        buf_printf(out, "%s%.*s", i ? ", " : " recorded by ",
                   STR_ARG(rule->recorders.items[i].selector->text));
    for (size_t i = 0; i < rule->accept_env.len; i++)
        buf_printf(out, "%s%.*s", i ? ", " : " passing ", STR_ARG(rule->accept_env.items[i].text));
}

static struct str outcome(struct arena *arena, const struct policy_ssh_rule *rule)
{
    struct buf text = BUF(0);
    struct str kept;

    put_outcome(&text, rule);
    kept = arena_copy(arena, buf_str(&text));
    buf_fini(&text);
    return kept;
}

/* "as root, ubuntu; as anyone but root with a check every 12h0m0s"; nothing for no shell. */
static void put_logins(struct diff *d, const struct logins *l, struct buf *out)
{
    struct str outcomes[LOGINS_MAX];
    bool put[LOGINS_MAX] = {false};
    struct str any = STR_NONE;
    bool has_any = false;

    for (size_t i = 0; i < l->len; i++) {
        outcomes[i] = outcome(d->arena, l->by[i]);
        if (str_eq(l->names[i], anyone) && !l->domain[i]) {
            any = outcomes[i];
            has_any = true;
        }
    }
    for (size_t i = 0; i < l->len; i++) {
        size_t n = 0;

        for (size_t k = i; k < l->len; k++) {
            bool covered = has_any && !str_eq(l->names[k], anyone) &&
                           !str_eq(l->names[k], STR("root")) && str_eq(outcomes[k], any);

            if (put[k] || covered || !str_eq(outcomes[k], outcomes[i]))
                continue;
            put[k] = true;
            buf_put(out, n++ ? STR(", ") : (out->len ? STR("; as ") : STR("as ")));
            buf_printf(out, "%s%.*s", l->domain[k] ? "their own name at " : "",
                       STR_ARG(l->names[k]));
        }
        if (n)
            buf_put(out, outcomes[i]);
    }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Literal names in the order of names, so that the order of equal rules does not count. */
static void sort_logins(struct logins *l)
{
    for (size_t i = 1; i < l->len; i++)
        for (size_t k = i; k > 0 && by_name(&l->names[k - 1], &l->names[k]) > 0; k--) {
            struct str name = l->names[k];
            const struct policy_ssh_rule *by = l->by[k];
            bool domain = l->domain[k];

            l->names[k] = l->names[k - 1];
            l->by[k] = l->by[k - 1];
            l->domain[k] = l->domain[k - 1];
            l->names[k - 1] = name;
            l->by[k - 1] = by;
            l->domain[k - 1] = domain;
        }
}

static void put_shells(struct diff *d, int side, uint32_t from, uint32_t to, bool own,
                       struct buf *out)
{
    const struct policy *p = d->p[side];
    const struct member *a = d->kinds[from].at[side], *b = d->kinds[to].at[side];
    struct logins l = {.len = 0};

    buf_clear(out);
    for (int action = SSH_CHECK; action >= SSH_ACCEPT; action--)
        for (size_t i = 0; a && b && i < p->shape->n_ssh; i++) {
            const struct ssh_link *s = &p->shape->ssh[i];

            if ((int)s->rule->action != action || !(class_in(s->dst, b->cls) || (own && s->self)) ||
                !lists(p, s, a))
                continue;
            add_rule(&l, s->rule);
        }
    sort_logins(&l);
    put_logins(d, &l, out);
}

/* ---- Groups ---- */

static struct crowd *group(struct diff *d, bool is_src, uint32_t *of, size_t *count)
{
    struct map *ids = map_new();
    struct crowd *groups = NULL;
    struct buf key = BUF(0);
    size_t n = 0;

    for (uint32_t k = 0; k < d->n_kinds; k++) {
        uintptr_t id;

        buf_clear(&key);
        for (int side = 0; side < SIDES; side++)
            for (uint32_t i = 0; d->kinds[k].at[side] && i < d->p[side]->shape->n_ssh; i++) {
                const struct ssh_link *l = &d->p[side]->shape->ssh[i];

                if (is_src ? lists(d->p[side], l, d->kinds[k].at[side])
                           : class_in(l->dst, d->kinds[k].cls[side])) {
                    buf_put_char(&key, (char)side);
                    buf_put_be32(&key, i);
                }
            }
        of[k] = DIFF_NONE;
        if (key.len == 0)
            continue;
        id = (uintptr_t)map_find(ids, buf_str(&key));
        if (id == 0) {
            if ((n & (n - 1)) == 0)
                groups = mem_realloc_array(groups, MAX(n * 2, (size_t)8), sizeof *groups);
            groups[n++] = (struct crowd){0};
            id = n;
            (void)map_put(ids, buf_str(&key), (void *)id);
        }
        of[k] = (uint32_t)(id - 1);
        struct crowd *c = &groups[id - 1];
        if ((c->len & (c->len - 1)) == 0)
            c->items = mem_realloc_array(c->items, MAX(c->len * 2, (size_t)4), sizeof *c->items);
        c->items[c->len++] = k;
    }
    buf_fini(&key);
    map_free(ids);
    *count = n;
    return groups;
}

/* ---- Changes ---- */

static void put_change(struct ssh *s, struct crowd from, struct crowd to)
{
    struct str before = buf_str(&s->text[BEFORE]), after = buf_str(&s->text[AFTER]);
    const char *whom = to.len ? "" : " their user's other machines";
    struct buf verb = BUF(0), text = BUF(0);

    if (str_eq(before, after))
        return;
    if (after.len) {
        buf_printf(&verb, "may log in by SSH to%s", whom);
        buf_put(&text, after);
        if (before.len)
            buf_printf(&text, ", instead of %.*s", STR_ARG(before));
    } else {
        buf_printf(&verb, "may no longer log in by SSH to%s", whom);
        buf_put(&text, before);
    }
    changes_add(s->changes, before.len == 0 ? '+' : (after.len ? '~' : '-'), buf_str(&verb),
                buf_str(&text), from, to);
    buf_fini(&verb);
    buf_fini(&text);
}

static bool find_shells(struct ssh *s, uint32_t from, uint32_t to, bool own)
{
    struct diff *d = s->d;

    if (!diff_work(d, d->p[BEFORE]->shape->n_ssh + d->p[AFTER]->shape->n_ssh + 1))
        return false;
    for (int side = 0; side < SIDES; side++)
        put_shells(d, side, from, to, own, &s->text[side]);
    return true;
}

static void compare_groups(struct ssh *s)
{
    struct diff *d = s->d;

    for (size_t i = 0; i < s->n_src; i++)
        for (size_t k = 0; k < s->n_dst; k++) {
            uint32_t from = s->src[i].items[0], to = s->dst[k].items[0];

            if (s->src[i].len == 1 && s->dst[k].len == 1 && from == to && d->kinds[from].count == 1)
                continue;
            if (!find_shells(s, from, to, false))
                return;
            put_change(s, s->src[i], s->dst[k]);
        }
}

static bool has_self(const struct policy *p)
{
    for (size_t i = 0; i < p->shape->n_ssh; i++)
        if (p->shape->ssh[i].self)
            return true;
    return false;
}

static void compare_devices(struct ssh *s)
{
    uint32_t(*pairs)[2];
    size_t n;

    if (!has_self(s->d->p[BEFORE]) && !has_self(s->d->p[AFTER]))
        return;
    pairs = diff_own_pairs(s->d, &n);
    for (size_t i = 0; i < n; i++) {
        uint32_t from = pairs[i][0], to = pairs[i][1];

        if (!find_shells(s, from, to, false))
            break;
        for (int side = 0; side < SIDES; side++) {
            buf_clear(&s->plain[side]);
            buf_put(&s->plain[side], buf_str(&s->text[side]));
        }
        if (!find_shells(s, from, to, true))
            break;
        /* The same for everyone has been told. */
        if (!str_eq(buf_str(&s->plain[BEFORE]), buf_str(&s->text[BEFORE])) ||
            !str_eq(buf_str(&s->plain[AFTER]), buf_str(&s->text[AFTER])))
            put_change(s, crowd_of(s->d, from), (struct crowd){0});
    }
    mem_free(pairs);
}

void diff_ssh(struct diff *d)
{
    struct ssh s = {.d = d};
    uint64_t work = (uint64_t)d->n_kinds * (d->p[BEFORE]->shape->n_ssh + d->p[AFTER]->shape->n_ssh);

    if (work == 0 || !diff_work(d, work))
        return;
    s.src_of = mem_alloc_array(d->n_kinds + 1, sizeof *s.src_of);
    s.dst_of = mem_alloc_array(d->n_kinds + 1, sizeof *s.dst_of);
    s.src = group(d, true, s.src_of, &s.n_src);
    s.dst = group(d, false, s.dst_of, &s.n_dst);
    s.changes = changes_new(d);
    compare_groups(&s);
    compare_devices(&s);
    changes_put(s.changes);
    for (size_t i = 0; i < s.n_src; i++)
        mem_free(s.src[i].items);
    for (size_t i = 0; i < s.n_dst; i++)
        mem_free(s.dst[i].items);
    mem_free(s.src);
    mem_free(s.dst);
    mem_free(s.src_of);
    mem_free(s.dst_of);
    for (int side = 0; side < SIDES; side++) {
        buf_fini(&s.text[side]);
        buf_fini(&s.plain[side]);
    }
}
