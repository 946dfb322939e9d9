/*
 * A viewer's filter as named rules, and what differs between two of them.
 *
 * A rule's name is the hash of what it says, so a rule that stays keeps its name wherever it moves,
 * and one that changes is another rule. Clients put named rules in the order of their names; rules
 * only ever allow, so the order does not matter to them.
 */

#include "policy/filter_internal.h"

#include <stdio.h>
#include <string.h>

struct name {
    char text[17];
    bool used_own;           /* own addresses are in the name, too */
    struct policy_mark mark; /* without them */
    size_t at;               /* the rule's first part; behind all parts: rules for guests */
};

struct named {
    struct filter f;
    bool has_filter;
    struct guest_rules guests;
    struct name *items; /* by name, unique */
    size_t len;
};

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;

    return strcmp(x->text, y->text);
}

/* Keeps the first of each. */
static void sort_names(struct named *n)
{
    size_t kept = 0;

    if (n->len)
        qsort(n->items, n->len, sizeof *n->items, by_name);
    for (size_t i = 0; i < n->len; i++)
        if (kept == 0 || strcmp(n->items[kept - 1].text, n->items[i].text) != 0)
            n->items[kept++] = n->items[i];
    n->len = kept;
}

static void name_text(struct name *x, const struct member *m)
{
    struct policy_mark mark = x->mark;

    if (x->used_own)
        filter_mix_own(&mark, m);
    (void)snprintf(x->text, sizeof x->text, "%016llx", (unsigned long long)(mark.a ^ mark.b));
}

static void add_name(struct named *n, size_t at, struct policy_mark mark, bool used_own)
{
    struct name *x = &n->items[n->len++];

    *x = (struct name){.mark = mark, .used_own = used_own, .at = at};
    name_text(x, n->f.m);
}

static void named_init(struct named *n, const struct policy *p, node_id viewer,
                       enum policy_form form)
{
    struct buf text = BUF((size_t)1 << 30);

    *n = (struct named){0};
    if (p->is_open) {
        if (open_holds(p, viewer))
            return;
        n->items = NEW(struct name);
        add_name(n, 0, mark_of(STR(FILTER_OPEN_RULE)), false);
        return;
    }
    n->has_filter = filter_init(&n->f, p, viewer, form);
    if (!n->has_filter)
        return;
    filter_guest_rules(&n->f, &n->guests);
    n->items = mem_alloc_array(n->f.n + n->guests.len, sizeof *n->items);
    n->f.as_mark = true;
    for (size_t at = 0, parts; at < n->f.n; at += parts) {
        buf_clear(&text);
        n->f.w = JSON_WRITER(&text);
        n->f.used_own = false;
        parts = filter_put_rule(&n->f, at);
        if (text.len == 0)
            continue;
        add_name(n, at, mark_of(buf_str(&text)), n->f.used_own);
    }
    n->f.as_mark = false;
    for (size_t i = 0; i < n->guests.len; i++) {
        struct json_writer w = JSON_WRITER(&text);

        buf_clear(&text);
        guest_rule_put(&n->guests.items[i], &w);
        add_name(n, n->f.n + i, mark_of(buf_str(&text)), false);
    }
    sort_names(n);
    buf_fini(&text);
}

static void named_fini(struct named *n)
{
    if (n->has_filter) {
        filter_fini(&n->f);
        guest_rules_fini(&n->guests);
    }
    mem_free(n->items);
}

/* Two lists of names, walked together. */
struct walk {
    const struct named *old, *now;
    size_t old_at, now_at;
};

/* The next name that only one of them has, or NULL; `is_gone`: the old one has it. */
static const struct name *next_unlike(struct walk *w, bool *is_gone)
{
    while (w->old_at < w->old->len || w->now_at < w->now->len) {
        const struct name *old = w->old_at < w->old->len ? &w->old->items[w->old_at] : NULL;
        const struct name *now = w->now_at < w->now->len ? &w->now->items[w->now_at] : NULL;
        int c = !old ? 1 : !now ? -1 : by_name(old, now);

        w->old_at += c <= 0;
        w->now_at += c >= 0;
        *is_gone = c < 0;
        if (c != 0)
            return c < 0 ? old : now;
    }
    return NULL;
}

static void put_named(struct json_writer *w, struct named *n, const struct name *x)
{
    json_key(w, str_from(x->text));
    json_value_follows(w);
    buf_put_char(w->out, '[');
    if (n->has_filter && x->at >= n->f.n) {
        struct json_writer one = JSON_WRITER(w->out);

        guest_rule_put(&n->guests.items[x->at - n->f.n], &one);
    } else if (n->has_filter) {
        n->f.w = JSON_WRITER(w->out);
        (void)filter_put_rule(&n->f, x->at);
    } else {
        buf_put(w->out, STR(FILTER_OPEN_RULE));
    }
    buf_put_char(w->out, ']');
}

void policy_put_named_filter(const struct policy *before, const struct policy *p, node_id viewer,
                             enum policy_form form, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    struct named old = {0}, now;
    struct walk walk = {.old = &old, .now = &now};
    const struct name *x;
    bool is_gone;

    named_init(&now, p, viewer, form);
    json_begin_object(&w);
    if (before)
        named_init(&old, before, viewer, form);
    else
        json_field_null(&w, STR("*"));
    while ((x = next_unlike(&walk, &is_gone))) {
        if (is_gone)
            json_field_null(&w, str_from(x->text));
        else
            put_named(&w, &now, x);
    }
    json_end_object(&w);
    named_fini(&old);
    named_fini(&now);
}

/* ---- Steps ---- */

struct policy_filter_step {
    const struct policy *before;
    struct named now;
    struct name *gone, *come;
    struct str *sources; /* of what comes: the lists, which all of the class have */
    size_t n_gone, n_come;
};

/* In both policies, and of classes whose filters differ by own addresses only. */
static const struct member *plain_member(const struct policy *p, node_id viewer)
{
    const struct member *m = p->is_open || p->guests ? NULL : member_find(p, viewer);

    return m && filter_is_for_class(p, member_class(p, m)) ? m : NULL;
}

static bool same_addresses(const struct member *a, const struct member *b)
{
    return ip_addr_eq(member_v4(a), member_v4(b)) && ip_addr_eq(member_v6(a), member_v6(b));
}

static void step_differ(struct policy_filter_step *s, const struct named *old)
{
    struct walk walk = {.old = old, .now = &s->now};
    const struct name *x;
    bool is_gone;

    while ((x = next_unlike(&walk, &is_gone))) {
        if (is_gone)
            s->gone[s->n_gone++] = *x;
        else
            s->come[s->n_come++] = *x;
    }
}

static void step_spell(struct policy_filter_step *s)
{
    const struct filter *f = &s->now.f;

    for (size_t i = 0; i < s->n_come; i++) {
        struct buf text = BUF((size_t)1 << 30);
        struct json_writer w = JSON_WRITER(&text);

        json_begin_array(&w);
        filter_spell_sources(f, &f->p->shape->links[f->parts[s->come[i].at].link], &w);
        s->sources[i] = str_copy(buf_str(&text));
        buf_fini(&text);
    }
}

struct policy_filter_step *policy_filter_step_new(const struct policy *before,
                                                  const struct policy *p, node_id viewer,
                                                  enum policy_form form)
{
    const struct member *was = plain_member(before, viewer), *is = plain_member(p, viewer);
    struct policy_filter_step *s;
    struct named old;

    if (!was || !is || !same_addresses(was, is))
        return NULL;
    s = NEW(struct policy_filter_step);
    s->before = before;
    named_init(&old, before, viewer, form);
    named_init(&s->now, p, viewer, form);
    s->gone = mem_alloc_array(old.len, sizeof *s->gone);
    s->come = mem_alloc_array(s->now.len, sizeof *s->come);
    s->sources = mem_alloc_array(s->now.len, sizeof *s->sources);
    step_differ(s, &old);
    step_spell(s);
    named_fini(&old);
    return s;
}

void policy_filter_step_free(struct policy_filter_step *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_come; i++)
        str_free(&s->sources[i]);
    mem_free(s->sources);
    mem_free(s->gone);
    mem_free(s->come);
    named_fini(&s->now);
    mem_free(s);
}

bool policy_put_filter_step(const struct policy_filter_step *s, node_id viewer, struct buf *out)
{
    const struct member *was = member_find(s->before, viewer);
    struct json_writer w = JSON_WRITER(out);
    struct filter f = s->now.f;

    f.m = member_find(f.p, viewer);
    if (!was || !f.m || !same_addresses(was, f.m))
        return false;
    json_begin_object(&w);
    for (size_t i = 0; i < s->n_gone; i++) {
        struct name x = s->gone[i];

        name_text(&x, f.m);
        json_field_null(&w, str_from(x.text));
    }
    for (size_t i = 0; i < s->n_come; i++) {
        struct name x = s->come[i];

        name_text(&x, f.m);
        json_key(&w, str_from(x.text));
        json_value_follows(&w);
        buf_put_char(out, '[');
        f.w = JSON_WRITER(out);
        f.sources = s->sources[i];
        (void)filter_put_rule(&f, x.at);
        buf_put_char(out, ']');
    }
    json_end_object(&w);
    return true;
}
