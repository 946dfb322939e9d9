#include "fixture.h"

#include <stdio.h>

#include "tailnet/name.h"

void fixture_init(struct fixture *f)
{
    struct tailnet_info *info = tailnet_info_new();

    *f = (struct fixture){.d = domain_new(), .now = T0};
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    info->prefix_v4 = prefix_of("100.64.0.0/10");
    info->prefix_v6 = prefix_of("fd7a:115c:a1e0::/48");
    info->ephemeral_timeout_ms = 30 * MINUTE_MS;
    fixture_done(f, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
    tailnet_info_unref(info);
}

void fixture_fini(struct fixture *f)
{
    command_result_fini(&f->result);
    change_list_fini(&f->changes);
    domain_free(f->d);
}

/* ---- The rules, from the views alone ---- */

static bool serves(const struct node *n, struct ip_prefix p)
{
    return ip_prefix_in(n->serving, n->n_serving, p);
}

static bool may_serve(const struct node *n, struct ip_prefix p)
{
    return !ip_prefix_is_exit(p) && ip_prefix_in(n->facts->routes, n->facts->n_routes, p) &&
           ip_prefix_in(n->approved, n->n_approved, p);
}

static void check_route(const struct tailnet_view *v, struct ip_prefix p)
{
    const struct node *n;
    size_t servers = 0, could = 0;

    for (size_t at = 0; (n = view_node_next(v, &at));) {
        bool could_now = may_serve(n, p) && n->online && !n->expired && node_has_access(n);

        could += could_now;
        servers += serves(n, p);
        if (serves(n, p))
            assert_true(could_now);
    }
    assert_int_equal(servers, could > 0);
}

static void check_node(const struct tailnet_view *v, const struct node *n)
{
    struct buf base = BUF(256);

    assert_true(n->tailnet == view_info(v)->id);
    assert_int_equal(n->user == 0, n->tags.len > 0);
    assert_true(n->user == 0 || view_user_find(v, n->user));
    assert_true(name_is_label(n->given_name));
    name_from_hostname(n->facts->hostname, &base);
    /* A suffix may have cut the name short. */
    if (n->name_is_auto)
        assert_true(str_starts(n->given_name, str_sub(buf_str(&base), 0, 40)));
    buf_fini(&base);
    assert_true(str_starts(n->fqdn, n->given_name));
    assert_int_equal(n->fqdn.len, n->given_name.len + view_info(v)->base_domain.len + 2);
    for (size_t i = 0; i < n->n_serving; i++)
        assert_true(may_serve(n, n->serving[i]));
    for (size_t i = 0; i < n->n_approved; i++)
        check_route(v, n->approved[i]);
}

static bool approval_is_asked(const struct tailnet_view *v)
{
    const struct tailnet_settings *s = &view_info(v)->settings;

    return (s->set & SETTING_DEVICE_APPROVAL) && s->device_approval;
}

/* Held by its owner exactly while he is not active, and by nobody's approval only where that is
 * asked; a held one has nothing to do with other tailnets. */
static void check_holds(const struct tailnet_view *v, const struct node *n)
{
    const struct user *u = n->user ? view_user_find(v, n->user) : NULL;

    assert_int_equal((n->holds & HOLD_USER) != 0, u && u->status != USER_ACTIVE);
    assert_true(!(n->holds & HOLD_DEVICE) || approval_is_asked(v));
    assert_true((n->holds & ~(unsigned)(HOLD_USER | HOLD_DEVICE)) == 0);
    if (node_has_access(n))
        return;
    assert_int_equal(n->n_serving, 0);
    assert_true(!n->abroad || (n->abroad->n_items == 0 && !n->abroad->is_lent));
}

static void check_guests(const struct tailnet_view *v)
{
    const struct node *n;

    for (size_t at = 0; (n = view_guest_next(v, &at));)
        assert_true(node_has_access(n));
}

/* True the first time. */
static bool is_first(struct map *seen, struct str key)
{
    static int mark;

    return map_put(seen, key, &mark) == NULL;
}

/* `addrs`: where its addresses come once. */
static void check_unique(const struct node *n, struct map *names, struct map *server,
                         struct map *addrs)
{
    assert_true(is_first(names, n->given_name));
    assert_true(is_first(server, str_bytes(&n->key, sizeof(n->key))));
    assert_true(is_first(server, n->stable_id));
    if (ip_addr_is_set(n->v4))
        assert_true(is_first(addrs, str_bytes(&n->v4, sizeof(n->v4))));
    if (ip_addr_is_set(n->v6))
        assert_true(is_first(addrs, str_bytes(&n->v6, sizeof(n->v6))));
}

/* Nobody is in it twice, and invitations end. */
static void check_people(struct fixture *f, const struct tailnet_view *v)
{
    struct map *identities = map_new();
    const struct user_invite *i;
    size_t n = 0;
    const struct user *const *users = view_users(v, &n);

    for (size_t k = 0; k < n; k++) {
        assert_true(users[k]->tailnet == view_info(v)->id);
        if (users[k]->provider_id.len > 0)
            assert_true(is_first(identities, users[k]->provider_id));
    }
    map_free(identities);
    for (size_t at = 0; (i = view_user_invite_next(v, &at));) {
        assert_true(i->expiry_ms != 0 && domain_next_tick_ms(f->d) <= i->expiry_ms);
        assert_true(i->inviter == 0 || view_user_find(v, i->inviter));
    }
}

void fixture_check(struct fixture *f)
{
    tailnet_id ids[16];
    size_t n_ids = domain_tailnet_ids(f->d, ids, ARRAY_LEN(ids));
    struct map *server = map_new();

    for (size_t i = 0; i < n_ids; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(f->d, ids[i]);
        struct map *names = map_new();
        const struct node *n;
        node_id last = 0;
        size_t count = 0;
        bool apart = (view_info(v)->settings.set & SETTING_ADDRESSES_APART) != 0;

        for (size_t at = 0; (n = view_node_next(v, &at)); count++) {
            assert_true(n->id > last);
            last = n->id;
            assert_ptr_equal(view_node_find(v, n->id), n);
            assert_ptr_equal(domain_node_by_key(f->d, &n->key), n);
            assert_ptr_equal(domain_node_by_id(f->d, n->id), n);
            check_node(v, n);
            check_holds(v, n);
            check_unique(n, names, server, apart ? names : server);
        }
        assert_int_equal(count, view_node_count(v));
        check_guests(v);
        check_people(f, v);
        map_free(names);
    }
    map_free(server);
}

/* ---- Applying ---- */

static void check_revisions(const struct fixture *f, tailnet_id id, uint64_t before)
{
    for (size_t i = 0; i < f->changes.len; i++) {
        const struct change *c = &f->changes.items[i];

        if (c->tailnet == id)
            assert_true(c->revision == ++before);
    }
    AUTO(view_unref) const struct tailnet_view *v = domain_view(f->d, id);
    if (v)
        assert_true(view_revision(v) == before);
}

int fixture_apply(struct fixture *f, struct command c)
{
    tailnet_id ids[16];
    uint64_t before[16];
    size_t n = domain_tailnet_ids(f->d, ids, ARRAY_LEN(ids));

    for (size_t i = 0; i < n; i++) {
        AUTO(view_unref) const struct tailnet_view *v = domain_view(f->d, ids[i]);
        before[i] = view_revision(v);
    }
    c.now_ms = f->now;
    command_result_fini(&f->result);
    change_list_clear(&f->changes);
    f->err = (struct err){0};
    int status = domain_apply(f->d, &c, &f->changes, &f->result, &f->err);
    if (f->is_quiet)
        return status;
    if (status < 0) {
        assert_int_equal(f->changes.len, 0);
        assert_int_equal(status, -(int)f->err.code);
    }
    for (size_t i = 0; i < n; i++)
        check_revisions(f, ids[i], before[i]);
    fixture_check(f);
    return status;
}

void fixture_done(struct fixture *f, struct command c)
{
    int status = fixture_apply(f, c);

    if (status < 0)
        fail_msg("refused: %s", f->err.text);
}

void fixture_refused(struct fixture *f, struct command c, enum err_code code, const char *text)
{
    AUTO(view_unref) const struct tailnet_view *before = domain_view(f->d, 0);

    assert_int_equal(fixture_apply(f, c), -(int)code);
    assert_string_equal(f->err.text, text);
    AUTO(view_unref) const struct tailnet_view *after = domain_view(f->d, 0);
    assert_ptr_equal(before, after);
}

void fixture_tick(struct fixture *f, int64_t ms)
{
    f->now += ms;
    fixture_done(f, (struct command){.type = COMMAND_TICK});
    assert_true(domain_next_tick_ms(f->d) > f->now);
}

/* ---- Looking ---- */

const struct tailnet_view *fixture_view(struct fixture *f)
{
    const struct tailnet_view *v = domain_view(f->d, 0);

    view_unref(v); /* the domain keeps it until the next change */
    return v;
}

const struct node *fixture_node(struct fixture *f, node_id id)
{
    const struct node *n = domain_node_by_id(f->d, id);

    assert_non_null(n);
    return n;
}

size_t fixture_count(const struct fixture *f, enum change_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < f->changes.len; i++)
        n += f->changes.items[i].kind == kind;
    return n;
}

unsigned fixture_mask(const struct fixture *f, node_id id)
{
    for (size_t i = 0; i < f->changes.len; i++)
        if (f->changes.items[i].kind == CHANGE_NODE && f->changes.items[i].id == id)
            return f->changes.items[i].mask;
    return 0;
}

/* ---- Making ---- */

struct machine_key machine_of(unsigned n)
{
    struct machine_key k = {{0x11}};

    memcpy(k.b + 4, &n, sizeof(n));
    return k;
}

struct node_key key_of(unsigned n)
{
    struct node_key k = {{0x22}};

    if (n == 0)
        return (struct node_key){{0}};
    memcpy(k.b + 4, &n, sizeof(n));
    return k;
}

struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p = {0};

    if (!ip_prefix_parse(str_from(text), &p))
        fail_msg("%s is no prefix", text);
    return p;
}

struct str_list list_of(const char *comma_separated)
{
    struct str_list list = {0};
    struct str rest = str_from(comma_separated), piece;

    while (str_next(&rest, ',', &piece))
        str_list_add(&list, piece);
    return list;
}

static size_t routes_of(const char *text, struct ip_prefix **out)
{
    struct str_list list = list_of(text);
    size_t n = list.len;

    *out = n > 0 ? mem_alloc_array(n, sizeof(**out)) : NULL;
    for (size_t i = 0; i < n; i++)
        if (!ip_prefix_parse(list.items[i], &(*out)[i]))
            fail_msg("%.*s is no prefix", STR_ARG(list.items[i]));
    str_list_free(&list);
    return ip_prefix_sort_unique(*out, n);
}

struct node_facts *facts_of(const char *hostname, const char *routes, const char *tags)
{
    struct node_facts *f = node_facts_new();

    f->hostname = str_copy(str_from(hostname));
    f->n_routes = routes_of(routes, &f->routes);
    f->request_tags = list_of(tags);
    return f;
}

user_id fixture_user(struct fixture *f, const char *name)
{
    fixture_done(f, (struct command){.type = COMMAND_USER_CREATE, .name = str_from(name)});
    return f->result.id;
}

auth_key_id fixture_key(struct fixture *f, struct key_options o, char out[128])
{
    struct str_list tags = list_of(o.tags);

    fixture_done(f, (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                                     .user = o.user,
                                     .tags = tags,
                                     .reusable = o.reusable,
                                     .ephemeral = o.ephemeral,
                                     .preauthorized = o.preauthorized,
                                     .expiry_ms = o.expiry_ms});
    str_list_free(&tags);
    snprintf(out, 128, "%.*s", STR_ARG(f->result.secret));
    return f->result.id;
}

enum register_outcome fixture_register(struct fixture *f, struct ask a)
{
    struct node_facts *facts = facts_of(a.hostname ? a.hostname : "host", a.routes, a.tags);
    struct register_request reg = {.machine = machine_of(a.machine),
                                   .key = key_of(a.key),
                                   .old_key = key_of(a.old_key),
                                   .capver = 100,
                                   .has_expiry = a.expiry_ms != 0,
                                   .expiry_ms = a.expiry_ms,
                                   .auth_key = str_from(a.auth_key),
                                   .followup = str_from(a.followup),
                                   .ephemeral = a.ephemeral,
                                   .facts = facts};

    fixture_done(f, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    node_facts_unref(facts);
    return f->result.outcome;
}

node_id fixture_join(struct fixture *f, unsigned machine, user_id user, const char *hostname,
                     const char *routes)
{
    char key[128];

    fixture_key(f, (struct key_options){.user = user, .reusable = true}, key);
    assert_int_equal(fixture_register(f, (struct ask){.machine = machine,
                                                      .key = machine,
                                                      .auth_key = key,
                                                      .hostname = hostname,
                                                      .routes = routes}),
                     REGISTER_DONE);
    return f->result.id;
}

void fixture_approve_routes(struct fixture *f, node_id id, const char *routes)
{
    struct ip_prefix *list = NULL;
    size_t n = routes_of(routes, &list);

    fixture_done(f,
                 (struct command){
                     .type = COMMAND_NODE_APPROVE_ROUTES, .id = id, .routes = list, .n_routes = n});
    mem_free(list);
}

uint64_t fixture_open(struct fixture *f, node_id id)
{
    const struct node *n = fixture_node(f, id);

    fixture_done(
        f, (struct command){.type = COMMAND_STREAM_OPEN, .machine = n->machine, .key = n->key});
    return f->result.generation;
}

void fixture_close(struct fixture *f, node_id id, uint64_t generation)
{
    fixture_done(
        f, (struct command){.type = COMMAND_STREAM_CLOSE, .id = id, .generation = generation});
}
