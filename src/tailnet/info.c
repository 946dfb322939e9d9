/* Tailnet infos, users and auth keys as objects: made, copied, counted, freed. */

#include "tailnet/info.h"

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

static void resolvers_free(struct dns_resolver *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_free(&r[i].addr);
    mem_free(r);
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

void tailnet_info_unref(const struct tailnet_info *info)
{
    struct tailnet_info *m = MUTABLE(struct tailnet_info, info);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->name);
    str_free(&m->base_domain);
    str_free(&m->domain);
    resolvers_free(m->resolvers, m->n_resolvers);
    for (size_t i = 0; i < m->n_splits; i++) {
        str_free(&m->splits[i].suffix);
        resolvers_free(m->splits[i].resolvers, m->splits[i].n_resolvers);
    }
    mem_free(m->splits);
    str_list_free(&m->search_domains);
    for (size_t i = 0; i < m->n_records; i++) {
        str_free(&m->records[i].name);
        str_free(&m->records[i].type);
        str_free(&m->records[i].value);
    }
    mem_free(m->records);
    for (size_t i = 0; i < m->n_regions; i++)
        derp_region_fini(&m->regions[i]);
    mem_free(m->regions);
    str_free(&m->policy);
    str_free(&m->policy_author);
    mem_free(m);
}

static struct dns_resolver *resolvers_copy(const struct dns_resolver *r, size_t n)
{
    struct dns_resolver *c = n > 0 ? mem_alloc_array(n, sizeof(*c)) : NULL;

    for (size_t i = 0; i < n; i++)
        c[i].addr = str_copy(r[i].addr);
    return c;
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

static void copy_dns(struct tailnet_info *c, const struct tailnet_info *i)
{
    c->resolvers = resolvers_copy(i->resolvers, i->n_resolvers);
    c->splits = i->n_splits > 0 ? mem_alloc_array(i->n_splits, sizeof(*c->splits)) : NULL;
    for (size_t k = 0; k < i->n_splits; k++)
        c->splits[k] = (struct dns_split){
            .suffix = str_copy(i->splits[k].suffix),
            .resolvers = resolvers_copy(i->splits[k].resolvers, i->splits[k].n_resolvers),
            .n_resolvers = i->splits[k].n_resolvers};
    str_list_copy(&c->search_domains, &i->search_domains);
    c->records = i->n_records > 0 ? mem_alloc_array(i->n_records, sizeof(*c->records)) : NULL;
    for (size_t k = 0; k < i->n_records; k++)
        c->records[k] = (struct dns_record){.name = str_copy(i->records[k].name),
                                            .type = str_copy(i->records[k].type),
                                            .value = str_copy(i->records[k].value)};
}

struct tailnet_info *tailnet_info_clone(const struct tailnet_info *i)
{
    struct tailnet_info *c = NEW(struct tailnet_info);

    ref_copy(c, i, sizeof(*c));
    c->name = str_copy(i->name);
    c->base_domain = str_copy(i->base_domain);
    c->domain = str_copy(i->domain);
    copy_dns(c, i);
    c->regions = i->n_regions > 0 ? mem_alloc_array(i->n_regions, sizeof(*c->regions)) : NULL;
    for (size_t k = 0; k < i->n_regions; k++)
        c->regions[k] = derp_region_copy(&i->regions[k]);
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
