/*
 * Machine names: unique within a tailnet, whatever case they are asked in.
 *
 * A name that is taken gets "-1", "-2"… behind it. Per name that collided the tailnet remembers the
 * suffix to try first, so a thousand machines called "web" cost a thousand look-ups, not half a
 * million. That memory goes when the plain name is free again, so there is never more of it than
 * nodes.
 */

#include "tailnet/domain_internal.h"

struct suffix {
    uint64_t next; /* lower ones are taken, or were when last looked */
};

/* Index keys are lower case. */
struct label {
    char text[LABEL_MAX];
    size_t len;
};

static struct label lower(struct str s)
{
    struct label l = {.len = MIN(s.len, (size_t)LABEL_MAX)};

    for (size_t i = 0; i < l.len; i++)
        l.text[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] - 'A' + 'a') : s.ptr[i];
    return l;
}

static struct str label_str(const struct label *l)
{
    return str_bytes(l->text, l->len);
}

struct node_state *name_find(const struct tailnet *t, struct str label)
{
    struct label l = lower(label);

    return map_find(t->names, label_str(&l));
}

bool name_take(struct tailnet *t, struct node_state *s, struct str label)
{
    struct label l = lower(label);

    if (map_find(t->names, label_str(&l)))
        return false;
    (void)map_put(t->names, label_str(&l), s);
    return true;
}

/* "web-7" gives "web" and 7. */
static bool split_suffix(struct str label, struct str *base, uint64_t *n)
{
    ptrdiff_t dash = str_rfind_char(label, '-');

    if (dash <= 0 || !str_parse_u64(str_from_index(label, (size_t)dash + 1), n))
        return false;
    *base = str_sub(label, 0, (size_t)dash);
    return true;
}

void name_release(struct tailnet *t, const struct node_state *s, struct str label)
{
    struct label l = lower(label);
    struct str base;
    uint64_t n = 0;

    if (map_find(t->names, label_str(&l)) != s)
        return;
    (void)map_remove(t->names, label_str(&l));
    mem_free(map_remove(t->suffixes, label_str(&l)));
    if (split_suffix(label_str(&l), &base, &n)) {
        struct suffix *hint = map_find(t->suffixes, base);

        if (hint && n > 0)
            hint->next = MIN(hint->next, n);
    }
}

static struct label with_suffix(const struct label *base, uint64_t n)
{
    char tail[24];
    int tail_len = snprintf(tail, sizeof(tail), "-%" PRIu64, n);
    struct label l = *base;

    l.len = MIN(l.len, (size_t)LABEL_MAX - (size_t)tail_len);
    memcpy(l.text + l.len, tail, (size_t)tail_len);
    l.len += (size_t)tail_len;
    return l;
}

static struct label find_free(struct tailnet *t, struct label base)
{
    struct suffix *hint;

    if (!map_find(t->names, label_str(&base)))
        return base;
    hint = map_find(t->suffixes, label_str(&base));
    if (!hint) {
        hint = NEW(struct suffix);
        hint->next = 1;
        (void)map_put(t->suffixes, label_str(&base), hint);
    }
    for (;;) {
        struct label l = with_suffix(&base, hint->next);

        if (!map_find(t->names, label_str(&l)))
            return l;
        hint->next++;
    }
}

void name_make_fqdn(struct node *n, const struct tailnet_info *info)
{
    str_free(&n->fqdn);
    if (info->base_domain.len > 0)
        n->fqdn = str_printf("%.*s.%.*s.", STR_ARG(n->given_name), STR_ARG(info->base_domain));
    else
        n->fqdn = str_printf("%.*s.", STR_ARG(n->given_name));
}

void name_give(struct domain *d, struct node_state *s, struct str label, bool is_auto)
{
    struct label l = lower(label);
    struct node *n =
        node_edit(d, s, str_eq(node_now(s)->given_name, label_str(&l)) ? NODE_PRIVATE : NODE_CARD);

    name_release(s->tailnet, s, n->given_name);
    (void)map_put(s->tailnet->names, label_str(&l), s);
    str_free(&n->given_name);
    n->given_name = str_copy(label_str(&l));
    n->name_is_auto = is_auto;
    name_make_fqdn(n, s->tailnet->info);
}

void name_give_auto(struct domain *d, struct node_state *s)
{
    struct buf raw = BUF(256);

    name_from_hostname(node_now(s)->facts->hostname, &raw);
    struct label l = find_free(s->tailnet, lower(buf_str(&raw)));
    buf_fini(&raw);
    name_give(d, s, label_str(&l), true);
}

void names_free(struct tailnet *t)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(t->suffixes, &at, &key, &value);)
        mem_free(value);
    map_free(t->suffixes);
    map_free(t->names);
}
