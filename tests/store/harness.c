#include "harness.h"

#include <sqlite3.h>

#include <dirent.h>
#include <stdarg.h>
#include <unistd.h>

/* ---- the engine ---- */

const struct store_options *test_options(struct test_options *room, const char *path)
{
    bool is_file = strchr(path, '/') || path[0] == ':';

    *room = (struct test_options){.options = {.sqlite_path = str_from(path), .wal = true}};
    if (TEST_ENGINE_IS_POSTGRES && !is_file) {
        room->postgres = cluster_where(path);
        room->options =
            (struct store_options){.postgres = &room->postgres, .backup_dir = room->postgres.host};
    }
    return &room->options;
}

static int note_number(void *user, int n, char **values, char **names)
{
    (void)names;
    if (n > 0 && values[0])
        *(int64_t *)user = strtoll(values[0], NULL, 10);
    return 0;
}

int64_t outside(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *text = NULL;
    int64_t number = 0;

    if (!strchr(path, '/')) {
        char *words = dialect_postgres(sql);

        number = cluster_sql(path, words);
        mem_free(words);
        return number;
    }
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, note_number, &number, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

int harness_end(int status)
{
    cluster_remove();
    return status;
}

/* ---- the world ---- */

void world_open(struct world *w, const char *path)
{
    struct test_options room;
    struct err err = {0};

    *w = (struct world){.now_ms = T0};
    if (store_open(test_options(&room, path), &w->store, &err) < 0)
        fail_msg("opening: %s", err.text);
    w->domain = domain_new();
    if (store_load(w->store, w->domain, &err) < 0)
        fail_msg("loading: %s", err.text);
    domain_load_done(w->domain, w->now_ms);
    w->batch = store_batch_new();
}

void world_close(struct world *w)
{
    store_batch_free(w->batch);
    domain_free(w->domain);
    store_close(w->store);
    change_list_fini(&w->changes);
    *w = (struct world){0};
}

int world_apply(struct world *w, struct command c, struct command_result *r)
{
    struct err err = {0};
    bool durable = false;
    int status;

    c.now_ms = w->now_ms;
    change_list_clear(&w->changes);
    status = domain_apply(w->domain, &c, &w->changes, r, &err);
    if (status < 0)
        return status;
    /* A command may touch several tailnets (a tick); each is added with its own view. */
    for (size_t i = 0, n; i < w->changes.len; i += n) {
        tailnet_id tailnet = w->changes.items[i].tailnet;
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w->domain, tailnet);

        for (n = 1; i + n < w->changes.len && w->changes.items[i + n].tailnet == tailnet; n++)
            ;
        store_batch_add(w->batch, view, &w->changes.items[i], n, &durable);
        w->durable |= durable;
    }

    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(w->domain);
    store_batch_add_api_keys(w->batch, keys, w->changes.items, w->changes.len, &durable);
    w->durable |= durable;
    return 0;
}

uint64_t world_do(struct world *w, struct command c)
{
    struct command_result r = {0};
    uint64_t id;

    if (world_apply(w, c, &r) < 0)
        fail_msg("command %d was refused", (int)c.type);
    id = r.id;
    command_result_fini(&r);
    return id;
}

int world_commit(struct world *w, struct err *err)
{
    struct domain_counters next = domain_counters(w->domain);
    int status;

    store_batch_set_counters(w->batch, &next);
    status = store_commit(w->store, w->batch, err);
    store_batch_free(w->batch);
    w->batch = store_batch_new();
    w->durable = false;
    return status;
}

tailnet_id world_tailnet(struct world *w, const char *name)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *owned = NULL;
    struct tailnet_info *info = tailnet_info_new();

    owned = info;
    info->name = str_copy(str_from(name));
    info->base_domain = str_printf("%s.example", name);
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    info->ephemeral_timeout_ms = 120000;
    return world_do(w, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
}

user_id world_user(struct world *w, tailnet_id tailnet, const char *name)
{
    return world_do(
        w,
        (struct command){.type = COMMAND_USER_CREATE, .tailnet = tailnet, .name = str_from(name)});
}

/* ---- files ---- */

void test_dir_make(struct test_dir *t)
{
    if (TEST_ENGINE_IS_POSTGRES) {
        t->dir[0] = '\0';
        cluster_database(t->path);
        return;
    }
    snprintf(t->dir, sizeof(t->dir), "/tmp/store-test-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->path, sizeof(t->path), "%s/db.sqlite", t->dir);
}

void test_dir_remove(struct test_dir *t)
{
    DIR *d;
    struct dirent *e;

    if (t->dir[0] == '\0') {
        cluster_drop(t->path);
        return;
    }
    d = opendir(t->dir);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    (void)rmdir(t->dir);
}

/* ---- comparing ---- */

static char difference[512];

PRINTF_LIKE(1, 2) static const char *differ(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(difference, sizeof(difference), fmt, args);
    va_end(args);
    return difference;
}

#define SAME(what, id, field)                                                  \
    do {                                                                       \
        if (a->field != b->field)                                              \
            return differ("%s %llu: " #field, what, (unsigned long long)(id)); \
    } while (0)
#define SAME_STR(what, id, field)                                                          \
    do {                                                                                   \
        if (!str_eq(a->field, b->field))                                                   \
            return differ("%s %llu: " #field " \"%.*s\" or \"%.*s\"", what,                \
                          (unsigned long long)(id), STR_ARG(a->field), STR_ARG(b->field)); \
    } while (0)
#define SAME_BYTES(what, id, field)                                            \
    do {                                                                       \
        if (memcmp(&a->field, &b->field, sizeof(a->field)) != 0)               \
            return differ("%s %llu: " #field, what, (unsigned long long)(id)); \
    } while (0)

static const char *differ_derp_nodes(const struct derp_node *a, const struct derp_node *b)
{
    SAME_STR("relay", 0, name);
    SAME_STR("relay", 0, host_name);
    SAME_STR("relay", 0, cert_name);
    SAME_STR("relay", 0, ipv4);
    SAME_STR("relay", 0, ipv6);
    SAME("relay", 0, stun_port);
    SAME("relay", 0, stun_only);
    SAME("relay", 0, derp_port);
    SAME("relay", 0, can_port80);
    SAME("relay", 0, insecure_for_tests);
    return NULL;
}

static const char *differ_regions(const struct derp_region *a, const struct derp_region *b)
{
    const char *d = NULL;

    SAME("region", a->id, id);
    SAME_STR("region", a->id, code);
    SAME_STR("region", a->id, name);
    SAME("region", a->id, avoid);
    SAME("region", a->id, no_measure_no_home);
    SAME("region", a->id, n_nodes);
    for (size_t i = 0; i < a->n_nodes && !d; i++)
        d = differ_derp_nodes(&a->nodes[i], &b->nodes[i]);
    return d;
}

static const char *differ_dns(const struct tailnet_info *a, const struct tailnet_info *b)
{
    SAME("tailnet", a->id, magic_dns);
    SAME("tailnet", a->id, override_local_dns);
    SAME("tailnet", a->id, n_resolvers);
    for (size_t i = 0; i < a->n_resolvers; i++) {
        SAME_STR("tailnet", a->id, resolvers[i].addr);
        SAME("tailnet", a->id, resolvers[i].with_exit_node);
    }
    SAME("tailnet", a->id, n_splits);
    for (size_t i = 0; i < a->n_splits; i++) {
        SAME_STR("tailnet", a->id, splits[i].suffix);
        SAME("tailnet", a->id, splits[i].n_resolvers);
        for (size_t k = 0; k < a->splits[i].n_resolvers; k++) {
            SAME_STR("tailnet", a->id, splits[i].resolvers[k].addr);
            SAME("tailnet", a->id, splits[i].resolvers[k].with_exit_node);
        }
    }
    if (!str_list_eq(&a->search_domains, &b->search_domains))
        return differ("tailnet %llu: search_domains", (unsigned long long)a->id);
    SAME("tailnet", a->id, n_records);
    for (size_t i = 0; i < a->n_records; i++) {
        SAME_STR("tailnet", a->id, records[i].name);
        SAME_STR("tailnet", a->id, records[i].type);
        SAME_STR("tailnet", a->id, records[i].value);
    }
    return NULL;
}

/* One's own settings and the configured ones, each as an info of its own. */
static const char *differ_settings(const struct tailnet_info *a, const struct dns_settings *x,
                                   const struct dns_settings *y)
{
    AUTO(tailnet_info_unref) const struct tailnet_info *one = NULL, *other = NULL;
    struct tailnet_info *p = tailnet_info_new(), *q = tailnet_info_new();

    one = p;
    other = q;
    if (!x != !y || (x && x->parts != y->parts))
        return differ("tailnet %llu: parts of DNS", (unsigned long long)a->id);
    p->id = q->id = a->id;
    if (x) {
        tailnet_info_settle_dns(p, dns_settings_copy(x), NULL);
        tailnet_info_settle_dns(q, dns_settings_copy(y), NULL);
    }
    return differ_dns(one, other);
}

static const char *differ_all_dns(const struct tailnet_info *a, const struct tailnet_info *b)
{
    const char *d = differ_dns(a, b);

    if (!d)
        d = differ_settings(a, a->dns_own, b->dns_own);
    return d ? d : differ_settings(a, a->dns_configured, b->dns_configured);
}

static const char *differ_own(const struct tailnet_info *a, const struct tailnet_info *b)
{
    SAME("tailnet", a->id, settings.set);
    SAME("tailnet", a->id, settings.key_duration_ms);
    SAME("tailnet", a->id, settings.auto_update);
    SAME("tailnet", a->id, settings.policy_elsewhere);
    SAME_STR("tailnet", a->id, settings.policy_link);
    for (size_t i = 0; i < CONTACTS; i++)
        SAME_STR("tailnet", a->id, settings.contacts[i]);
    SAME("tailnet", a->id, settings.configured_key_duration_ms);
    SAME("tailnet", a->id, settings.configured_auto_update);
    for (size_t i = 0; i < QUOTAS; i++)
        SAME("tailnet", a->id, settings.max[i]);
    SAME("tailnet", a->id, settings.user_approval);
    SAME("tailnet", a->id, settings.device_approval);
    if (!join_rules_eq(a->settings.joining, a->settings.n_joining, b->settings.joining,
                       b->settings.n_joining))
        return differ("tailnet %llu: joining rules", (unsigned long long)a->id);
    return NULL;
}

const char *differ_infos(const struct tailnet_info *a, const struct tailnet_info *b)
{
    const char *d = NULL;

    SAME("tailnet", a->id, id);
    SAME_STR("tailnet", a->id, name);
    SAME_STR("tailnet", a->id, base_domain);
    SAME_STR("tailnet", a->id, domain);
    SAME("tailnet", a->id, created_ms);
    SAME_BYTES("tailnet", a->id, prefix_v4);
    SAME_BYTES("tailnet", a->id, prefix_v6);
    SAME("tailnet", a->id, allocation);
    SAME("tailnet", a->id, node_expiry_ms);
    SAME("tailnet", a->id, ephemeral_timeout_ms);
    SAME("tailnet", a->id, taildrop);
    SAME("tailnet", a->id, logtail);
    SAME("tailnet", a->id, auto_update);
    SAME("tailnet", a->id, randomize_client_port);
    SAME_STR("tailnet", a->id, policy);
    SAME_STR("tailnet", a->id, policy_author);
    SAME("tailnet", a->id, policy_updated_ms);
    SAME("tailnet", a->id, n_regions);
    for (size_t i = 0; i < a->n_regions && !d; i++)
        d = differ_regions(&a->regions[i], &b->regions[i]);
    d = d ? d : differ_own(a, b);
    return d ? d : differ_all_dns(a, b);
}

static const char *differ_attributes(const struct node *a, const struct node *b)
{
    SAME("node", a->id, n_attributes);
    for (size_t i = 0; i < a->n_attributes; i++) {
        SAME_STR("node", a->id, attributes[i].name);
        SAME("node", a->id, attributes[i].kind);
        SAME_STR("node", a->id, attributes[i].value);
        SAME("node", a->id, attributes[i].expiry_ms);
        SAME_STR("node", a->id, attributes[i].comment);
    }
    return NULL;
}

const char *differ_users(const struct user *a, const struct user *b)
{
    SAME("user", a->id, id);
    SAME("user", a->id, tailnet);
    SAME_STR("user", a->id, name);
    SAME_STR("user", a->id, display_name);
    SAME_STR("user", a->id, email);
    SAME_STR("user", a->id, picture_url);
    SAME_STR("user", a->id, provider);
    SAME_STR("user", a->id, provider_id);
    if (!str_list_eq(&a->groups, &b->groups))
        return differ("user %llu: groups", (unsigned long long)a->id);
    SAME("user", a->id, role);
    SAME("user", a->id, status);
    SAME("user", a->id, created_ms);
    return NULL;
}

const char *differ_auth_keys(const struct auth_key *a, const struct auth_key *b)
{
    SAME("auth key", a->id, id);
    SAME("auth key", a->id, tailnet);
    SAME("auth key", a->id, user);
    if (!str_list_eq(&a->tags, &b->tags))
        return differ("auth key %llu: tags", (unsigned long long)a->id);
    SAME_STR("auth key", a->id, prefix);
    SAME_BYTES("auth key", a->id, hash);
    SAME_STR("auth key", a->id, legacy);
    SAME("auth key", a->id, reusable);
    SAME("auth key", a->id, ephemeral);
    SAME("auth key", a->id, preauthorized);
    SAME("auth key", a->id, used);
    SAME("auth key", a->id, created_ms);
    SAME("auth key", a->id, expiry_ms);
    SAME_STR("auth key", a->id, description);
    SAME("auth key", a->id, revoked_ms);
    return NULL;
}

const char *differ_api_keys(const struct api_key *a, const struct api_key *b)
{
    SAME("API key", a->id, id);
    SAME("API key", a->id, tailnet);
    SAME("API key", a->id, user);
    SAME_STR("API key", a->id, prefix);
    SAME_BYTES("API key", a->id, hash);
    SAME_STR("API key", a->id, legacy);
    SAME_STR("API key", a->id, description);
    if (!str_list_eq(&a->scopes, &b->scopes))
        return differ("API key %llu: scopes", (unsigned long long)a->id);
    SAME("API key", a->id, created_ms);
    SAME("API key", a->id, expiry_ms);
    SAME("API key", a->id, last_seen_ms);
    SAME("API key", a->id, kind);
    SAME("API key", a->id, client);
    SAME("API key", a->id, is_asleep);
    if (!str_list_eq(&a->tags, &b->tags))
        return differ("API key %llu: tags", (unsigned long long)a->id);
    return NULL;
}

static const char *differ_api_key_sets(struct domain *a, struct domain *b)
{
    AUTO(api_key_set_unref) const struct api_key_set *of_a = domain_api_keys(a);
    AUTO(api_key_set_unref) const struct api_key_set *of_b = domain_api_keys(b);
    const struct api_key *k;
    const char *d = NULL;

    if (api_key_set_count(of_a) != api_key_set_count(of_b))
        return differ("%zu or %zu API keys", api_key_set_count(of_a), api_key_set_count(of_b));
    for (size_t at = 0; !d && (k = api_key_set_next(of_a, &at));) {
        const struct api_key *other = api_key_set_find(of_b, k->id);

        d = other ? differ_api_keys(k, other)
                  : differ("API key %llu is missing", (unsigned long long)k->id);
    }
    return d;
}

static const char *differ_facts(node_id id, const struct node_facts *a, const struct node_facts *b)
{
    SAME_STR("node", id, hostinfo);
    SAME_STR("node", id, hostinfo_peer);
    SAME_STR("node", id, hostname);
    SAME_STR("node", id, os);
    SAME_STR("node", id, ipn_version);
    SAME("node", id, n_routes);
    for (size_t i = 0; i < a->n_routes; i++)
        SAME_BYTES("node", id, routes[i]);
    if (!str_list_eq(&a->request_tags, &b->request_tags))
        return differ("node %llu: request_tags", (unsigned long long)id);
    return NULL;
}

const char *differ_nodes(const struct node *a, const struct node *b)
{
    SAME("node", a->id, id);
    SAME("node", a->id, tailnet);
    SAME_STR("node", a->id, stable_id);
    SAME("node", a->id, user);
    if (!str_list_eq(&a->tags, &b->tags))
        return differ("node %llu: tags", (unsigned long long)a->id);
    SAME("node", a->id, method);
    SAME("node", a->id, auth_key);
    SAME("node", a->id, ephemeral);
    SAME("node", a->id, holds);
    SAME_BYTES("node", a->id, machine);
    SAME_BYTES("node", a->id, key);
    SAME_BYTES("node", a->id, disco);
    SAME_BYTES("node", a->id, nl);
    SAME_STR("node", a->id, given_name);
    SAME("node", a->id, name_is_auto);
    SAME_BYTES("node", a->id, v4);
    SAME_BYTES("node", a->id, v6);
    SAME("node", a->id, created_ms);
    SAME("node", a->id, expiry_ms);
    SAME("node", a->id, last_seen_ms);
    SAME("node", a->id, capver);
    SAME("node", a->id, home_derp);
    SAME("node", a->id, n_endpoints);
    for (size_t i = 0; i < a->n_endpoints; i++) {
        SAME("node", a->id, endpoint_types[i]);
        if (!ip_addrport_eq(a->endpoints[i], b->endpoints[i]))
            return differ("node %llu: endpoint %zu", (unsigned long long)a->id, i);
    }
    SAME("node", a->id, n_approved);
    for (size_t i = 0; i < a->n_approved; i++)
        SAME_BYTES("node", a->id, approved[i]);

    const char *d = differ_attributes(a, b);

    return d ? d : differ_facts(a->id, a->facts, b->facts);
}

static const char *differ_shares(const struct tailnet_view *a, const struct tailnet_view *b)
{
    const struct share *s;
    const struct share_invite *i;
    size_t at = 0, n = 0;

    while ((s = view_share_next(a, &at))) {
        const struct share *o = view_share_find(b, s->id);

        if (!o || s->owner != o->owner || s->node != o->node || s->sharer != o->sharer ||
            s->guest != o->guest || s->user != o->user || !share_terms_eq(&s->terms, &o->terms) ||
            s->created_ms != o->created_ms || s->accepted_ms != o->accepted_ms ||
            s->expiry_ms != o->expiry_ms)
            return differ("share %llu", (unsigned long long)s->id);
        n++;
    }
    for (at = 0; view_share_next(b, &at);)
        n--;
    for (at = 0; (i = view_share_invite_next(a, &at)); n++) {
        const struct share_invite *o = view_share_invite_find(b, i->id);

        if (!o || i->tailnet != o->tailnet || i->node != o->node || i->sharer != o->sharer ||
            i->whole_tailnet != o->whole_tailnet || !share_terms_eq(&i->terms, &o->terms) ||
            i->share_expiry_ms != o->share_expiry_ms || memcmp(i->hash, o->hash, 32) != 0 ||
            i->uses_left != o->uses_left || i->uses != o->uses || i->created_ms != o->created_ms ||
            i->expiry_ms != o->expiry_ms)
            return differ("invitation %llu", (unsigned long long)i->id);
    }
    for (at = 0; view_share_invite_next(b, &at);)
        n--;
    return n != 0 ? differ("other shares or invitations") : NULL;
}

static const char *differ_user_invites(const struct tailnet_view *a, const struct tailnet_view *b)
{
    const struct user_invite *i;
    size_t at = 0, n = 0;

    for (; (i = view_user_invite_next(a, &at)); n++) {
        const struct user_invite *o = view_user_invite_find(b, i->id);

        if (!o || i->tailnet != o->tailnet || i->inviter != o->inviter || i->role != o->role ||
            !str_eq(i->email, o->email) || memcmp(i->hash, o->hash, 32) != 0 ||
            i->created_ms != o->created_ms || i->expiry_ms != o->expiry_ms)
            return differ("invitation of people %llu", (unsigned long long)i->id);
    }
    for (at = 0; view_user_invite_next(b, &at);)
        n--;
    return n != 0 ? differ("other invitations of people") : NULL;
}

static const char *differ_views(const struct tailnet_view *a, const struct tailnet_view *b)
{
    size_t n_a, n_b, at = 0;
    const struct user *const *users_a = view_users(a, &n_a);
    const struct user *const *users_b = view_users(b, &n_b);
    const char *d = differ_infos(view_info(a), view_info(b));
    const struct node *node;

    if (!d && n_a != n_b)
        return differ("%zu or %zu users", n_a, n_b);
    for (size_t i = 0; i < n_a && !d; i++)
        d = differ_users(users_a[i], users_b[i]);
    if (d)
        return d;

    const struct auth_key *const *keys_a = view_auth_keys(a, &n_a);
    const struct auth_key *const *keys_b = view_auth_keys(b, &n_b);

    if (n_a != n_b)
        return differ("%zu or %zu auth keys", n_a, n_b);
    for (size_t i = 0; i < n_a && !d; i++)
        d = differ_auth_keys(keys_a[i], keys_b[i]);
    if (!d && view_node_count(a) != view_node_count(b))
        return differ("%zu or %zu nodes", view_node_count(a), view_node_count(b));
    while (!d && (node = view_node_next(a, &at))) {
        const struct node *other = view_node_find(b, node->id);

        if (!other)
            return differ("node %llu is missing", (unsigned long long)node->id);
        /* What the domain derives must come out the same, too. */
        d = !str_eq(node->fqdn, other->fqdn)
                ? differ("node %llu: fqdn", (unsigned long long)node->id)
            : node->exit_node != other->exit_node
                ? differ("node %llu: exit_node", (unsigned long long)node->id)
                : differ_nodes(node, other);
    }
    d = d ? d : differ_shares(a, b);
    return d ? d : differ_user_invites(a, b);
}

const char *differ_domains(struct domain *a, struct domain *b)
{
    tailnet_id ids_a[64], ids_b[64];
    size_t n = domain_tailnet_ids(a, ids_a, 64);
    struct domain_counters next_a = domain_counters(a), next_b = domain_counters(b);
    const char *d = NULL;

    if (domain_tailnet_ids(b, ids_b, 64) != n || memcmp(ids_a, ids_b, n * sizeof(*ids_a)) != 0)
        return differ("other tailnets");
    for (size_t i = 0; i < n && !d; i++) {
        AUTO(view_unref) const struct tailnet_view *view_a = domain_view(a, ids_a[i]);
        AUTO(view_unref) const struct tailnet_view *view_b = domain_view(b, ids_b[i]);

        d = differ_views(view_a, view_b);
    }
    if (!d)
        d = differ_api_key_sets(a, b);
    if (!d && memcmp(&next_a, &next_b, sizeof(next_a)) != 0)
        return differ("other counters");
    return d;
}
