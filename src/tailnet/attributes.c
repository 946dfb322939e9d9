/* Custom attributes: as objects, and the commands that set and take them. */

#include "tailnet/attributes.h"

#include "tailnet/domain_internal.h"

/* ---- As objects ---- */

static void attribute_fini(struct node_attribute *a)
{
    str_free(&a->name);
    str_free(&a->value);
    str_free(&a->comment);
}

static struct node_attribute attribute_copy(const struct node_attribute *a)
{
    struct node_attribute c = *a;

    c.name = str_copy(a->name);
    c.value = str_copy(a->value);
    c.comment = str_copy(a->comment);
    return c;
}

void node_attributes_free(struct node_attribute *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        attribute_fini(&a[i]);
    mem_free(a);
}

struct node_attribute *node_attributes_copy(const struct node_attribute *a, size_t n)
{
    struct node_attribute *c = n > 0 ? mem_alloc_array(n, sizeof(*c)) : NULL;

    for (size_t i = 0; i < n; i++)
        c[i] = attribute_copy(&a[i]);
    return c;
}

const struct node_attribute *node_attribute_find(const struct node *n, struct str name)
{
    for (size_t i = 0; i < n->n_attributes; i++)
        if (str_eq(n->attributes[i].name, name))
            return &n->attributes[i];
    return NULL;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static bool is_name(struct str s)
{
    struct str rest = str_from_index(s, MIN(s.len, STR(ATTRIBUTE_PREFIX).len));

    if (!str_starts(s, STR(ATTRIBUTE_PREFIX)) || rest.len == 0 || s.len > ATTRIBUTE_NAME_MAX)
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if (!is_name_char(rest.ptr[i]))
            return false;
    return true;
}

static bool is_line(struct str s, size_t max)
{
    return s.len <= max && str_is_utf8(s) && !str_has_control(s);
}

int node_attribute_check(const struct node_attribute *a, struct err *err)
{
    if (!is_name(a->name))
        return err_set(err, ERR_INVALID,
                       "an attribute's name is \"" ATTRIBUTE_PREFIX "\" and letters, digits, '_', "
                       "'-' or '.', %d characters at most",
                       ATTRIBUTE_NAME_MAX);
    if (a->value.len == 0 || !is_line(a->value, ATTRIBUTE_TEXT_MAX))
        return err_set(err, ERR_INVALID, "an attribute's value is a line of at most %d bytes",
                       ATTRIBUTE_TEXT_MAX);
    if (!is_line(a->comment, ATTRIBUTE_COMMENT_MAX))
        return err_set(err, ERR_INVALID, "an attribute's comment is a line of at most %d bytes",
                       ATTRIBUTE_COMMENT_MAX);
    return 0;
}

/* ---- In the domain ---- */

void attributes_schedule(struct domain *d, struct node_state *s)
{
    const struct node *n = node_now(s);
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < n->n_attributes; i++)
        if (n->attributes[i].expiry_ms != 0)
            next = MIN(next, n->attributes[i].expiry_ms);
    if (next == INT64_MAX)
        schedule_clear(&d->schedule, &s->attribute);
    else
        schedule_set(&d->schedule, &s->attribute, next);
}

static void remove_at(struct node *n, size_t at)
{
    attribute_fini(&n->attributes[at]);
    memmove(&n->attributes[at], &n->attributes[at + 1],
            (--n->n_attributes - at) * sizeof(*n->attributes));
}

void attributes_expire(struct domain *d, struct node_state *s)
{
    struct node *n = node_edit(d, s, NODE_PRIVATE);

    for (size_t i = n->n_attributes; i-- > 0;)
        if (n->attributes[i].expiry_ms != 0 && n->attributes[i].expiry_ms <= d->now_ms)
            remove_at(n, i);
    attributes_schedule(d, s);
}

/* Where it is; n_attributes: nowhere. */
static size_t index_of(const struct node *n, struct str name)
{
    const struct node_attribute *a = node_attribute_find(n, name);

    return a ? (size_t)(a - n->attributes) : n->n_attributes;
}

/* Where it would be. */
static size_t place_of(const struct node *n, struct str name)
{
    size_t at = 0;

    while (at < n->n_attributes && str_cmp(n->attributes[at].name, name) < 0)
        at++;
    return at;
}

int node_attribute_set(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0 || node_attribute_check(c->attribute, err) < 0)
        return -(int)err->code;
    if (c->attribute->expiry_ms != 0 && c->attribute->expiry_ms <= d->now_ms)
        return err_set(err, ERR_INVALID, "the attribute's expiry has passed");
    if (!node_attribute_find(s->node, c->attribute->name) &&
        s->node->n_attributes >= NODE_ATTRIBUTES_MAX)
        return err_set(err, ERR_LIMIT, "a device has at most %d attributes", NODE_ATTRIBUTES_MAX);

    struct node *n = node_edit(d, s, NODE_PRIVATE);
    size_t at = index_of(n, c->attribute->name);

    if (at < n->n_attributes) {
        attribute_fini(&n->attributes[at]);
    } else {
        at = place_of(n, c->attribute->name);
        n->attributes =
            mem_realloc_array(n->attributes, n->n_attributes + 1, sizeof(*n->attributes));
        memmove(&n->attributes[at + 1], &n->attributes[at],
                (n->n_attributes++ - at) * sizeof(*n->attributes));
    }
    n->attributes[at] = attribute_copy(c->attribute);
    attributes_schedule(d, s);
    return 0;
}

int node_attribute_delete(struct domain *d, const struct command *c, struct command_result *r,
                          struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    if (!node_attribute_find(s->node, c->name))
        return err_set(err, ERR_NOT_FOUND, "attribute not found");

    struct node *n = node_edit(d, s, NODE_PRIVATE);
    remove_at(n, index_of(n, c->name));
    attributes_schedule(d, s);
    return 0;
}

/* ---- Addresses ---- */

int node_set_address(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err)
{
    struct node_state *s = NULL;

    (void)r;
    if (node_get(d, c, &s, err) < 0)
        return -(int)err->code;
    const struct tailnet_info *info = s->tailnet->info;
    bool is_v4 = c->addr.family == IP_V4;
    struct ip_prefix prefix = is_v4 ? info->prefix_v4 : info->prefix_v6;

    if (ip_addr_eq(c->addr, is_v4 ? s->node->v4 : s->node->v6))
        return 0;
    if (!ip_prefix_is_set(prefix) || !ip_prefix_contains(prefix, c->addr))
        return err_set(err, ERR_INVALID, "the address is not one of this tailnet's");
    if (!address_is_free(d, s->tailnet, prefix, c->addr))
        return err_set(err, ERR_CONFLICT, "the address is not free");
    address_set(d, s, is_v4 ? IP_V4 : IP_V6, c->addr);
    return 0;
}
