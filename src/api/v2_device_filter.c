/*
 * Which devices a list is asked for: by the members that a device is shown with.
 *
 * A name that no device has is refused: who asks for what is ephemeral and spells it wrong must not
 * be answered with all there is.
 */

#include "api/v2_internal.h"

#define TERMS_MAX 256

struct field {
    const char *name;
    /* Whether the device has this value in it; NULL: true and false. */
    bool (*has)(const struct tailnet_view *view, const struct node *n, struct str value);
    bool (*is)(const struct node *n);
};

struct term {
    const struct field *field;
    struct str value;
};

struct api_v2_filter {
    struct term *terms;
    size_t n;
};

/* ---- Texts ---- */

static bool has_address(const struct tailnet_view *view, const struct node *n, struct str value)
{
    struct ip_addr addr;

    (void)view;
    return ip_addr_parse(value, &addr) && (ip_addr_eq(addr, n->v4) || ip_addr_eq(addr, n->v6));
}

static bool has_name(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_eq_nocase(node_dns_name(n), value);
}

static bool has_id(const struct tailnet_view *view, const struct node *n, struct str value)
{
    uint64_t id = 0;

    (void)view;
    return str_parse_u64(value, &id) && n->id == id;
}

static bool has_node_id(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_eq(n->stable_id, value);
}

static bool has_user(const struct tailnet_view *view, const struct node *n, struct str value)
{
    const struct user *user = n->user ? view_user_find(view, n->user) : NULL;
    struct buf scratch = BUF(1024);
    bool is = str_eq(user ? user_login_name(user, &scratch) : STR("tagged-devices"), value);

    buf_fini(&scratch);
    return is;
}

static bool has_tag(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_list_has(&n->tags, value);
}

static bool has_hostname(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_eq_nocase(n->facts->hostname, value);
}

static bool has_os(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_eq_nocase(n->facts->os, value);
}

static bool has_version(const struct tailnet_view *view, const struct node *n, struct str value)
{
    (void)view;
    return str_eq(n->facts->ipn_version, value);
}

static bool has_advertised(const struct tailnet_view *view, const struct node *n, struct str value)
{
    struct ip_prefix p;

    (void)view;
    return ip_prefix_parse(value, &p) && ip_prefix_in(n->facts->routes, n->facts->n_routes, p);
}

static bool has_enabled(const struct tailnet_view *view, const struct node *n, struct str value)
{
    struct ip_prefix p;

    (void)view;
    return ip_prefix_parse(value, &p) && ip_prefix_in(n->approved, n->n_approved, p);
}

/* ---- True and false ---- */

static bool is_authorized(const struct node *n)
{
    return (n->holds & HOLD_DEVICE) == 0;
}

static bool is_never(const struct node *n)
{
    (void)n;
    return false;
}

static bool is_without_expiry(const struct node *n)
{
    return n->expiry_ms == 0;
}

static bool is_ephemeral(const struct node *n)
{
    return n->ephemeral;
}

static bool is_online(const struct node *n)
{
    return n->online;
}

/* As v2_devices.c shows them. */
static const struct field fields[] = {
    {"addresses", has_address, NULL},
    {"name", has_name, NULL},
    {"id", has_id, NULL},
    {"nodeId", has_node_id, NULL},
    {"user", has_user, NULL},
    {"tags", has_tag, NULL},
    {"hostname", has_hostname, NULL},
    {"os", has_os, NULL},
    {"clientVersion", has_version, NULL},
    {"advertisedRoutes", has_advertised, NULL},
    {"enabledRoutes", has_enabled, NULL},
    {"authorized", NULL, is_authorized},
    {"keyExpiryDisabled", NULL, is_without_expiry},
    {"blocksIncomingConnections", NULL, is_never},
    {"isEphemeral", NULL, is_ephemeral},
    {"isExternal", NULL, is_never},
    {"connectedToControl", NULL, is_online},
    {"updateAvailable", NULL, is_never},
};

/* ---- Reading and asking ---- */

static const struct field *find_field(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (str_eq_nocase(str_from(fields[i].name), name))
            return &fields[i];
    return NULL;
}

/* NULL: the term is there. */
static const char *add(struct api_call *c, struct api_v2_filter *f, struct str name,
                       struct str value)
{
    const struct field *field = find_field(name);

    if (!field)
        return arena_printf(api_arena(c), "devices cannot be asked for by \"%.*s\"",
                            (int)MIN(name.len, (size_t)64), name.ptr)
            .ptr;
    if (field->is && !str_eq(value, STR("true")) && !str_eq(value, STR("false")))
        return arena_printf(api_arena(c), "%s is true or false", field->name).ptr;
    if (f->n == TERMS_MAX)
        return "there are too many filters";
    f->terms[f->n++] = (struct term){field, arena_copy(api_arena(c), value)};
    return NULL;
}

const struct api_v2_filter *api_v2_device_filter(struct api_call *c)
{
    struct api_v2_filter *f = arena_alloc(api_arena(c), sizeof(*f));
    struct str rest = c->a->req->query, name, value;

    *f = (struct api_v2_filter){.terms = arena_alloc(api_arena(c), TERMS_MAX * sizeof(*f->terms))};
    while (http_query_next(c->a->x, &rest, &name, &value)) {
        /* The gate's own, and what is there without a value, ask for nothing. */
        bool is_filter = value.len > 0 && !str_eq_nocase(name, STR("fields")) &&
                         !str_eq_nocase(name, STR("tailnet"));
        const char *why = is_filter ? add(c, f, name, value) : NULL;

        if (!why)
            continue;
        api_problem(c, 400, why, NULL);
        return NULL;
    }
    return f;
}

static bool fits(const struct term *t, const struct tailnet_view *view, const struct node *n)
{
    if (t->field->is)
        return t->field->is(n) == str_eq(t->value, STR("true"));
    return t->field->has(view, n, t->value);
}

bool api_v2_device_passes(const struct api_v2_filter *f, const struct tailnet_view *view,
                          const struct node *n)
{
    for (size_t i = 0; i < f->n; i++) {
        bool any = false;

        for (size_t k = 0; k < f->n && !any; k++)
            any = f->terms[k].field == f->terms[i].field && fits(&f->terms[k], view, n);
        if (!any)
            return false;
    }
    return true;
}
