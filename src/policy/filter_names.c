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
    size_t at; /* the rule's first part */
};

struct named {
    struct filter f;
    bool has_filter;
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

static void add_name(struct named *n, size_t at, struct policy_mark m)
{
    struct name *x = &n->items[n->len++];

    (void)snprintf(x->text, sizeof x->text, "%016llx", (unsigned long long)(m.a ^ m.b));
    x->at = at;
}

static void named_init(struct named *n, const struct policy *p, node_id viewer,
                       enum policy_form form)
{
    struct buf text = BUF((size_t)1 << 30);

    *n = (struct named){0};
    if (p->is_open) {
        n->items = NEW(struct name);
        add_name(n, 0, mark_of(STR(FILTER_OPEN_RULE)));
        return;
    }
    n->has_filter = filter_init(&n->f, p, viewer, form);
    if (!n->has_filter)
        return;
    n->items = mem_alloc_array(n->f.n, sizeof *n->items);
    n->f.as_mark = true;
    for (size_t at = 0, parts; at < n->f.n; at += parts) {
        struct policy_mark m;

        buf_clear(&text);
        n->f.w = JSON_WRITER(&text);
        n->f.used_own = false;
        parts = filter_put_rule(&n->f, at);
        if (text.len == 0)
            continue;
        m = mark_of(buf_str(&text));
        if (n->f.used_own)
            filter_mix_own(&m, n->f.m);
        add_name(n, at, m);
    }
    n->f.as_mark = false;
    sort_names(n);
    buf_fini(&text);
}

static void named_fini(struct named *n)
{
    if (n->has_filter)
        filter_fini(&n->f);
    mem_free(n->items);
}

static void put_named(struct json_writer *w, struct named *n, size_t i)
{
    json_key(w, str_from(n->items[i].text));
    json_value_follows(w);
    buf_put_char(w->out, '[');
    if (n->has_filter) {
        n->f.w = JSON_WRITER(w->out);
        (void)filter_put_rule(&n->f, n->items[i].at);
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
    size_t i = 0, k = 0;

    named_init(&now, p, viewer, form);
    json_begin_object(&w);
    if (before)
        named_init(&old, before, viewer, form);
    else
        json_field_null(&w, STR("*"));
    while (i < old.len || k < now.len) {
        int c = i == old.len ? 1 : k == now.len ? -1 : by_name(&old.items[i], &now.items[k]);

        if (c < 0)
            json_field_null(&w, str_from(old.items[i].text));
        else if (c > 0)
            put_named(&w, &now, k);
        i += c <= 0;
        k += c >= 0;
    }
    json_end_object(&w);
    named_fini(&old);
    named_fini(&now);
}
