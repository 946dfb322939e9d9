/* Tailnet infos, users and auth keys as objects: made, copied, counted, freed. */

#include "tailnet/info.h"

#include "tailnet/dns.h"
#include "tailnet/dns_internal.h"

/* ---- Tailnets ---- */

struct tailnet_info *tailnet_info_new(void)
{
    struct tailnet_info *i = NEW(struct tailnet_info);

    ref_init(&i->ref);
    return i;
}

struct tailnet_info *tailnet_info_ref(const struct tailnet_info *i)
{
    struct tailnet_info *m = MUTABLE(struct tailnet_info, i);

    ref_take(&m->ref);
    return m;
}

static void derp_region_fini(struct derp_region *r)
{
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct derp_node *n = &r->nodes[i];

        str_free(&n->name);
        str_free(&n->host_name);
        str_free(&n->cert_name);
        str_free(&n->ipv4);
        str_free(&n->ipv6);
    }
    mem_free(r->nodes);
    str_free(&r->code);
    str_free(&r->name);
}

void derp_regions_free(struct derp_region *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        derp_region_fini(&r[i]);
    mem_free(r);
}

void tailnet_info_unref(const struct tailnet_info *info)
{
    struct tailnet_info *m = MUTABLE(struct tailnet_info, info);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->name);
    str_free(&m->base_domain);
    str_free(&m->domain);
    dns_settings_free(info_take_dns(m));
    dns_settings_free(m->dns_own);
    dns_settings_free(m->dns_configured);
    derp_regions_free(m->regions, m->n_regions);
    tailnet_settings_fini(&m->settings);
    str_free(&m->policy);
    str_free(&m->policy_author);
    mem_free(m);
}

static struct derp_node derp_node_copy(const struct derp_node *n)
{
    struct derp_node c = *n;

    c.name = str_copy(n->name);
    c.host_name = str_copy(n->host_name);
    c.cert_name = str_copy(n->cert_name);
    c.ipv4 = str_copy(n->ipv4);
    c.ipv6 = str_copy(n->ipv6);
    return c;
}

static struct derp_region derp_region_copy(const struct derp_region *r)
{
    struct derp_region c = *r;

    c.code = str_copy(r->code);
    c.name = str_copy(r->name);
    c.nodes = r->n_nodes > 0 ? mem_alloc_array(r->n_nodes, sizeof(*c.nodes)) : NULL;
    for (size_t i = 0; i < r->n_nodes; i++)
        c.nodes[i] = derp_node_copy(&r->nodes[i]);
    return c;
}

struct derp_region *derp_regions_copy(const struct derp_region *r, size_t n)
{
    struct derp_region *c = n > 0 ? mem_alloc_array(n, sizeof(*c)) : NULL;

    for (size_t i = 0; i < n; i++)
        c[i] = derp_region_copy(&r[i]);
    return c;
}

static bool derp_node_eq(const struct derp_node *a, const struct derp_node *b)
{
    return str_eq(a->name, b->name) && str_eq(a->host_name, b->host_name) &&
           str_eq(a->cert_name, b->cert_name) && str_eq(a->ipv4, b->ipv4) &&
           str_eq(a->ipv6, b->ipv6) && a->stun_port == b->stun_port &&
           a->stun_only == b->stun_only && a->derp_port == b->derp_port &&
           a->can_port80 == b->can_port80 && a->insecure_for_tests == b->insecure_for_tests;
}

static bool derp_region_eq(const struct derp_region *a, const struct derp_region *b)
{
    if (a->id != b->id || !str_eq(a->code, b->code) || !str_eq(a->name, b->name) ||
        a->avoid != b->avoid || a->no_measure_no_home != b->no_measure_no_home ||
        a->n_nodes != b->n_nodes)
        return false;
    for (size_t i = 0; i < a->n_nodes; i++)
        if (!derp_node_eq(&a->nodes[i], &b->nodes[i]))
            return false;
    return true;
}

bool derp_regions_eq(const struct derp_region *a, size_t n_a, const struct derp_region *b,
                     size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (!derp_region_eq(&a[i], &b[i]))
            return false;
    return true;
}

struct tailnet_info *tailnet_info_clone(const struct tailnet_info *i)
{
    struct tailnet_info *c = NEW(struct tailnet_info);

    ref_copy(c, i, sizeof(*c));
    c->name = str_copy(i->name);
    c->base_domain = str_copy(i->base_domain);
    c->domain = str_copy(i->domain);
    info_copy_dns(c, i);
    c->regions = derp_regions_copy(i->regions, i->n_regions);
    tailnet_settings_copy(&c->settings, &i->settings);
    c->policy = str_copy(i->policy);
    c->policy_author = str_copy(i->policy_author);
    return c;
}

/* ---- Users ---- */

struct user *user_new(void)
{
    struct user *u = NEW(struct user);

    ref_init(&u->ref);
    return u;
}

struct user *user_clone(const struct user *u)
{
    struct user *c = NEW(struct user);

    ref_copy(c, u, sizeof(*c));
    c->name = str_copy(u->name);
    c->display_name = str_copy(u->display_name);
    c->email = str_copy(u->email);
    c->picture_url = str_copy(u->picture_url);
    c->provider = str_copy(u->provider);
    c->provider_id = str_copy(u->provider_id);
    str_list_copy(&c->groups, &u->groups);
    return c;
}

struct user *user_ref(const struct user *u)
{
    struct user *m = MUTABLE(struct user, u);

    ref_take(&m->ref);
    return m;
}

void user_unref(const struct user *u)
{
    struct user *m = MUTABLE(struct user, u);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->name);
    str_free(&m->display_name);
    str_free(&m->email);
    str_free(&m->picture_url);
    str_free(&m->provider);
    str_free(&m->provider_id);
    str_list_free(&m->groups);
    mem_free(m);
}

struct str user_login_name(const struct user *u, struct buf *scratch)
{
    if (u->email.len > 0)
        return u->email;
    if (u->name.len > 0)
        return u->name;
    if (u->provider_id.len > 0)
        return u->provider_id;
    buf_clear(scratch);
    buf_put_u64(scratch, u->id);
    return buf_str(scratch);
}

struct str user_display(const struct user *u, struct buf *scratch)
{
    return u->display_name.len > 0 ? u->display_name : user_login_name(u, scratch);
}

static const struct str roles[] = {
    [ROLE_MEMBER] = STR_INIT("member"),     [ROLE_ADMIN] = STR_INIT("admin"),
    [ROLE_OWNER] = STR_INIT("owner"),       [ROLE_NETWORK_ADMIN] = STR_INIT("network-admin"),
    [ROLE_IT_ADMIN] = STR_INIT("it-admin"), [ROLE_BILLING_ADMIN] = STR_INIT("billing-admin"),
    [ROLE_AUDITOR] = STR_INIT("auditor"),
};

struct str user_role_name(enum user_role role)
{
    return roles[role];
}

static const struct str statuses[] = {
    [USER_ACTIVE] = STR_INIT("active"),
    [USER_PENDING] = STR_INIT("needs-approval"),
    [USER_SUSPENDED] = STR_INIT("suspended"),
};

struct str user_status_name(enum user_status status)
{
    return statuses[status];
}

bool user_role_find(struct str name, enum user_role *role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (!str_eq(roles[i], name))
            continue;
        *role = (enum user_role)i;
        return true;
    }
    return false;
}

/* ---- Auth keys ---- */

struct auth_key *auth_key_new(void)
{
    struct auth_key *k = NEW(struct auth_key);

    ref_init(&k->ref);
    return k;
}

struct auth_key *auth_key_clone(const struct auth_key *k)
{
    struct auth_key *c = NEW(struct auth_key);

    ref_copy(c, k, sizeof(*c));
    str_list_copy(&c->tags, &k->tags);
    c->prefix = str_copy(k->prefix);
    c->legacy = str_copy(k->legacy);
    c->description = str_copy(k->description);
    return c;
}

struct auth_key *auth_key_ref(const struct auth_key *k)
{
    struct auth_key *m = MUTABLE(struct auth_key, k);

    ref_take(&m->ref);
    return m;
}

void auth_key_unref(const struct auth_key *k)
{
    struct auth_key *m = MUTABLE(struct auth_key, k);

    if (!m || !ref_drop(&m->ref))
        return;
    str_list_free(&m->tags);
    str_free(&m->prefix);
    if (m->legacy.len > 0)
        mem_wipe(MUTABLE(char, m->legacy.ptr), m->legacy.len);
    str_free(&m->legacy);
    str_free(&m->description);
    mem_wipe(m->hash, sizeof(m->hash));
    mem_free(m);
}
