/*
 * Law: whatever a domain went through, what was committed and loaded again is the same domain.
 *
 * Random histories of commands, committed in random groups; now and then the file is read into a
 * fresh domain and compared with the living one, and sometimes the living one is thrown away and
 * the history goes on from the file. At its end it goes out as one JSON file and in again. Seed:
 * PROPERTY_SEED, else from the kernel; it is printed.
 */

#include "../property.h"
#include "harness.h"

#define HISTORIES (TEST_ENGINE_IS_POSTGRES ? 8 : 24)
#define STEPS 220
#define SECRETS_MAX 64
#define DAY_MS ((int64_t)86400000)

struct history {
    struct world w;
    struct rand_seeded rand;
    const char *path;
    struct str secrets[SECRETS_MAX]; /* auth keys made so far */
    size_t n_secrets;
    uint64_t generation;
    unsigned next_key;
    size_t done;     /* commands that were not refused */
    size_t compared; /* nodes */
};

static uint64_t below(struct history *h, uint64_t n)
{
    return rand_seeded_below(&h->rand, n);
}

static bool chance(struct history *h, unsigned percent)
{
    return below(h, 100) < percent;
}

/* A tailnet of the domain, most often the first. */
static tailnet_id any_tailnet(struct history *h)
{
    tailnet_id ids[64];
    size_t n = domain_tailnet_ids(h->w.domain, ids, ARRAY_LEN(ids));

    return n == 0 || chance(h, 60) ? 0 : ids[below(h, n)];
}

static const struct node *any_node(struct history *h, const struct tailnet_view *view)
{
    size_t n = view_node_count(view), at = 0, skip;
    const struct node *node = NULL;

    if (n == 0)
        return NULL;
    skip = below(h, n) + 1;
    while (skip-- > 0)
        node = view_node_next(view, &at);
    return node;
}

static user_id any_user(struct history *h, const struct tailnet_view *view)
{
    size_t n;
    const struct user *const *users = view_users(view, &n);

    return n == 0 ? 0 : users[below(h, n)]->id;
}

static auth_key_id any_auth_key(struct history *h, const struct tailnet_view *view)
{
    size_t n;
    const struct auth_key *const *keys = view_auth_keys(view, &n);

    return n == 0 ? 0 : keys[below(h, n)]->id;
}

static struct str_list some_tags(struct history *h)
{
    static const struct str all[] = {STR_INIT("tag:a"), STR_INIT("tag:b"), STR_INIT("tag:web-2")};
    struct str_list tags = {0};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (chance(h, 40))
            str_list_add(&tags, all[i]);
    return tags;
}

static struct ip_prefix some_route(struct history *h)
{
    static const char *const all[] = {"10.0.0.0/8", "192.168.1.0/24", "0.0.0.0/0", "::/0",
                                      "fd00:1::/64"};
    struct ip_prefix p = {0};
    bool known = ip_prefix_parse(str_from(all[below(h, ARRAY_LEN(all))]), &p);

    assert_true(known);
    return p;
}

static struct node_facts *some_facts(struct history *h)
{
    static const struct str names[] = {STR_INIT("laptop"),   STR_INIT("B\xc3\xbcro PC"),
                                       STR_INIT(""),         STR_INIT("a'b\"c"),
                                       STR_INIT("db.local"), STR_INIT("x\0y")};
    struct node_facts *f = node_facts_new();

    str_free(&f->hostinfo);
    f->hostinfo = str_printf("{\"Hostname\":\"h%llu\",\"x\":\"\\u0000\xc3\xa4\"}",
                             (unsigned long long)below(h, 1000));
    f->hostname = str_copy(names[below(h, ARRAY_LEN(names))]);
    f->os = str_copy(chance(h, 50) ? STR("linux") : STR_NONE);
    f->ipn_version = str_copy(STR("1.80.0-t\"x\""));
    f->request_tags = chance(h, 20) ? some_tags(h) : (struct str_list){0};
    f->n_routes = below(h, 4);
    f->routes = mem_alloc_array(f->n_routes, sizeof(*f->routes));
    for (size_t i = 0; i < f->n_routes; i++)
        f->routes[i] = some_route(h);
    f->n_routes = ip_prefix_sort_unique(f->routes, f->n_routes);
    return f;
}

static void key_bytes(void *to, unsigned n, uint8_t kind)
{
    memset(to, 0, KEY_BYTES);
    memcpy(to, &n, sizeof(n));
    ((uint8_t *)to)[31] = kind;
}

/* ---- single steps; each makes a command and runs it ---- */

static int run(struct history *h, struct command c, struct command_result *r)
{
    int status = world_apply(&h->w, c, r);

    h->done += status == 0;
    return status;
}

static void run_plain(struct history *h, struct command c)
{
    struct command_result r = {0};

    if (run(h, c, &r) == 0)
        command_result_fini(&r);
}

static void step_tailnet(struct history *h, const struct tailnet_view *view)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(view));
    tailnet_id id = view_info(view)->id;
    char name[32];

    snprintf(name, sizeof(name), "t%llu", (unsigned long long)below(h, 6));
    info->taildrop = chance(h, 50);
    info->node_expiry_ms = chance(h, 50) ? 0 : DAY_MS;
    info->ephemeral_timeout_ms = (int64_t)below(h, 10) * 60000;
    info->override_local_dns = chance(h, 50);
    if (chance(h, 20))
        info->prefix_v6 = (struct ip_prefix){0};
    if (chance(h, 30))
        str_list_add(&info->search_domains, STR("s.example"));
    switch (below(h, 5)) {
    case 4: {
        struct join_rule rules[] = {
            {.by = JOIN_DOMAIN, .value = STR("b.example"), .needs_approval = chance(h, 50)},
            {.by = JOIN_GROUP, .provider = STR("https://i"), .value = STR("oidc:\xc3\xa4\"")},
            {.by = JOIN_ANYONE, .role = ROLE_AUDITOR, .needs_approval = chance(h, 50)}};
        struct tailnet_settings s = {.set = (unsigned)below(h, SETTINGS_ALL + 1),
                                     .joining = rules,
                                     .n_joining = below(h, ARRAY_LEN(rules) + 1),
                                     .user_approval = chance(h, 30),
                                     .device_approval = chance(h, 50),
                                     .key_duration_ms = (int64_t)below(h, 9) * DAY_MS,
                                     .auto_update = chance(h, 50),
                                     .policy_link = STR("https://git.example/p"),
                                     .contacts = {STR("a@b"), STR("c@d"), STR_NONE}};

        run_plain(h, (struct command){.type = COMMAND_SETTINGS_SET, .tailnet = id, .settings = &s});
        break;
    }
    case 3:
        run_plain(h, (struct command){.type = COMMAND_POLICY_SET,
                                      .tailnet = id,
                                      .author = str_from(name),
                                      .text = chance(h, 20) ? STR_NONE : str_from(name)});
        break;
    case 0:
        str_free(&info->name);
        str_free(&info->base_domain);
        info->name = str_copy(str_from(name));
        info->base_domain = str_printf("%s.example", name);
        run_plain(h, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
        break;
    case 1:
        if (chance(h, 30)) {
            str_free(&info->base_domain);
            info->base_domain = str_printf("moved%llu.example", (unsigned long long)below(h, 9));
        }
        run_plain(h, (struct command){.type = COMMAND_TAILNET_UPDATE, .tailnet = id, .info = info});
        break;
    default:
        run_plain(h, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = id});
        break;
    }
    tailnet_info_unref(info);
}

static void step_user(struct history *h, const struct tailnet_view *view)
{
    struct command c = {.tailnet = view_info(view)->id, .id = any_user(h, view)};
    char name[32];

    snprintf(name, sizeof(name), "user%llu", (unsigned long long)below(h, 12));
    c.name = str_from(name);
    c.text = chance(h, 50) ? STR("Display \"N\xc3\xa4me\"") : STR_NONE;
    c.email = chance(h, 50) ? STR("a@b.example") : STR_NONE;
    c.provider = chance(h, 80) ? STR("oidc") : STR_NONE;
    c.provider_id = c.provider.len > 0 ? c.name : STR_NONE;
    c.role = (enum user_role)below(h, ROLE_AUDITOR + 1);
    c.fields = (unsigned)below(h, 2 * USER_FIELD_PROVIDER);
    c.with_nodes = chance(h, 40);
    c.type = chance(h, 50)   ? COMMAND_USER_CREATE
             : chance(h, 30) ? COMMAND_USER_RENAME
             : chance(h, 30) ? COMMAND_USER_UPDATE
             : chance(h, 40) ? COMMAND_USER_LOGIN
                             : COMMAND_USER_DELETE;
    run_plain(h, c);
}

/* Who is it that the step is about: a few people, each with an address of his own. */
static struct command somebody(struct history *h, struct arena *arena, enum command_type type)
{
    struct str id = arena_printf(arena, "user%llu", (unsigned long long)below(h, 12));

    return (struct command){.type = type,
                            .provider = STR("oidc"),
                            .provider_id = id,
                            .name = id,
                            .issuer = STR("https://i"),
                            .email = arena_printf(arena, "%.*s@b.example", STR_ARG(id)),
                            .email_verified = chance(h, 70)};
}

static void step_invite(struct history *h, const struct tailnet_view *view)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct command_result r = {0};
    struct command who = somebody(h, arena, COMMAND_USER_INVITE_ACCEPT);
    struct command make = {.type = COMMAND_USER_INVITE_CREATE,
                           .tailnet = view_info(view)->id,
                           .user = chance(h, 50) ? any_user(h, view) : 0,
                           .role = (enum user_role)below(h, ROLES),
                           .email = chance(h, 50) ? who.email : STR_NONE,
                           .expiry_ms = chance(h, 30) ? 0 : h->w.now_ms + DAY_MS};

    if (run(h, make, &r) < 0)
        return;
    who.secret = str_copy(r.secret);
    command_result_fini(&r);
    if (chance(h, 50))
        run_plain(h, who);
    str_free(&who.secret);
}

static void step_people(struct history *h, const struct tailnet_view *view)
{
    static const enum command_type types[] = {
        COMMAND_USER_LOGIN,    COMMAND_USER_LOGIN,        COMMAND_USER_APPROVE,
        COMMAND_USER_APPROVE,  COMMAND_USER_SUSPEND,      COMMAND_USER_RESTORE,
        COMMAND_USER_RESTORE,  COMMAND_NODE_APPROVE,      COMMAND_NODE_APPROVE,
        COMMAND_LOGIN_CHOICES, COMMAND_USER_INVITE_REVOKE};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct command c = somebody(h, arena, types[below(h, ARRAY_LEN(types))]);
    const struct node *node = any_node(h, view);
    const struct user_invite *first = view_user_invite_next(view, &(size_t){0});

    if (chance(h, 25)) {
        step_invite(h, view);
        return;
    }
    c.tailnet = view_info(view)->id;
    c.id = c.type == COMMAND_NODE_APPROVE         ? (node ? node->id : 0)
           : c.type == COMMAND_USER_INVITE_REVOKE ? (first ? first->id : 0)
                                                  : any_user(h, view);
    c.revokes = chance(h, 30);
    run_plain(h, c);
}

static void step_auth_key(struct history *h, const struct tailnet_view *view)
{
    struct str_list tags = chance(h, 30) ? some_tags(h) : (struct str_list){0};
    struct command c = {.tailnet = view_info(view)->id,
                        .id = any_auth_key(h, view),
                        .user = tags.len > 0 && chance(h, 50) ? 0 : any_user(h, view),
                        .tags = tags,
                        .reusable = chance(h, 70),
                        .ephemeral = chance(h, 20),
                        .preauthorized = chance(h, 30),
                        .expiry_ms = chance(h, 50) ? 0 : h->w.now_ms + DAY_MS};
    struct command_result r = {0};

    c.text = chance(h, 30) ? STR("for \"caf\xc3\xa9\"") : STR_NONE;
    c.type = chance(h, 70)   ? COMMAND_AUTH_KEY_CREATE
             : chance(h, 30) ? COMMAND_AUTH_KEY_EXPIRE
             : chance(h, 40) ? COMMAND_AUTH_KEY_REVOKE
                             : COMMAND_AUTH_KEY_DELETE;
    if (run(h, c, &r) == 0) {
        if (c.type == COMMAND_AUTH_KEY_CREATE && h->n_secrets < SECRETS_MAX)
            h->secrets[h->n_secrets++] = str_copy(r.secret);
        command_result_fini(&r);
    }
    str_list_free(&tags);
}

/* Clients, tokens and sessions: keys of other kinds. Some orders are refused. */
static void step_oauth(struct history *h, const struct tailnet_view *view, const struct api_key *k)
{
    static const enum command_type types[] = {
        COMMAND_OAUTH_CLIENT_CREATE, COMMAND_OAUTH_CLIENT_UPDATE, COMMAND_OAUTH_CLIENT_DELETE,
        COMMAND_OAUTH_TOKEN_CREATE,  COMMAND_SESSION_CREATE,      COMMAND_SESSION_DELETE};
    struct str scopes[] = {STR("devices:core"), STR("users:read")}, tag = STR("tag:k8s");
    struct command c = {.type = types[below(h, ARRAY_LEN(types))],
                        .tailnet = view_info(view)->id,
                        .id = k ? k->id : 0,
                        .user = any_user(h, view),
                        .scopes = {scopes, 1 + below(h, 2)},
                        .tags = {&tag, below(h, 2)},
                        .expiry_ms = h->w.now_ms + (int64_t)below(h, 10) * DAY_MS};

    run_plain(h, c);
}

static void step_api_key(struct history *h, const struct tailnet_view *view)
{
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(h->w.domain);
    struct str scope = STR("devices:core:read");
    struct command c = {.text = chance(h, 50) ? STR("d\"\xc3\xa4") : STR_NONE,
                        .tailnet = chance(h, 50) ? view_info(view)->id : 0,
                        .scopes = {&scope, chance(h, 30)},
                        .expiry_ms = chance(h, 50) ? 0 : h->w.now_ms + DAY_MS};
    const struct api_key *k = NULL;
    size_t at = 0, skip = below(h, api_key_set_count(keys) + 1);

    do {
        k = api_key_set_next(keys, &at);
    } while (k && skip-- > 0);
    if (chance(h, 40)) {
        step_oauth(h, view, k);
        return;
    }
    if (!k || chance(h, 40)) {
        c.type = COMMAND_API_KEY_CREATE;
        c.user = c.tailnet != 0 && chance(h, 50) ? any_user(h, view) : 0;
    } else {
        c.type = chance(h, 50)   ? COMMAND_API_KEY_SEEN
                 : chance(h, 50) ? COMMAND_API_KEY_EXPIRE
                                 : COMMAND_API_KEY_DELETE;
        c.tailnet = 0;
        c.id = chance(h, 50) ? k->id : 0;
        c.name = k->prefix;
    }
    run_plain(h, c);
}

static void step_register(struct history *h)
{
    struct register_request reg = {.capver = (uint32_t)below(h, 120), .ephemeral = chance(h, 10)};
    struct command_result r = {0};

    if (h->n_secrets == 0)
        return;
    key_bytes(&reg.machine, (unsigned)below(h, 40) + 1, 1);
    key_bytes(&reg.key, ++h->next_key, 2);
    if (chance(h, 30))
        key_bytes(&reg.nl, h->next_key, 3);
    reg.auth_key = h->secrets[below(h, h->n_secrets)];
    reg.has_expiry = chance(h, 20);
    reg.expiry_ms = h->w.now_ms + (int64_t)below(h, 10) * DAY_MS;
    reg.facts = some_facts(h);
    if (run(h, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r) == 0)
        command_result_fini(&r);
    node_facts_unref(reg.facts);
}

static void step_client(struct history *h, const struct tailnet_view *view)
{
    const struct node *node = any_node(h, view);
    struct ip_addrport endpoints[3] = {{IP_ADDR_V4(192, 0, 2, 1), 41641}, {{0}, 0}, {{0}, 1}};
    static const uint8_t types[] = {1, 2, 4};
    struct command_result r = {0};
    struct command c = {0};

    if (!node)
        return;
    endpoints[1].addr = IP_ADDR_V4(10, 0, 0, (uint8_t)below(h, 256));
    endpoints[1].port = (uint16_t)(1 + below(h, 65535));
    endpoints[2].addr = (struct ip_addr){.family = IP_V6, .bytes = {0x20, 1, 0x0d, 0xb8}};
    c = (struct command){.type = chance(h, 40) ? COMMAND_STREAM_OPEN : COMMAND_NODE_UPDATE,
                         .tailnet = node->tailnet,
                         .id = node->id,
                         .machine = node->machine,
                         .key = node->key,
                         .is_update = chance(h, 80),
                         .capver = (uint32_t)below(h, 120),
                         .facts = chance(h, 50) ? some_facts(h) : NULL,
                         .endpoints = endpoints,
                         .endpoint_types = types,
                         .n_endpoints = below(h, 4),
                         .has_endpoints = chance(h, 60),
                         .home_derp = (uint32_t)below(h, 3)};
    if (chance(h, 50))
        key_bytes(&c.disco, (unsigned)below(h, 1000) + 1, 4);
    if (run(h, c, &r) == 0) {
        if (c.type == COMMAND_STREAM_OPEN)
            h->generation = r.generation;
        command_result_fini(&r);
    }
    if (c.facts)
        node_facts_unref(c.facts);
}

static void step_node(struct history *h, const struct tailnet_view *view)
{
    const struct node *node = any_node(h, view);
    struct ip_prefix routes[3];
    struct str_list tags = {0};
    struct command c = {.tailnet = view_info(view)->id};
    struct node_attribute attribute;
    char name[32];

    if (!node)
        return;
    c.id = node->id;
    switch (below(h, 11)) {
    case 6:
        c.type = COMMAND_NODE_MOVE;
        c.user = any_user(h, view);
        break;
    case 7:
        c.type = COMMAND_NODES_BACKFILL;
        break;
    case 0:
        c.type = COMMAND_NODE_RENAME;
        snprintf(name, sizeof(name), "name%llu", (unsigned long long)below(h, 30));
        c.name = str_from(name);
        break;
    case 1:
        c.type = COMMAND_NODE_TAG;
        c.tags = tags = some_tags(h);
        break;
    case 2:
        c.type = COMMAND_NODE_EXPIRE;
        c.expiry_ms = chance(h, 30) ? 0 : h->w.now_ms + ((int64_t)below(h, 5) - 1) * DAY_MS;
        break;
    case 3:
        c.type = COMMAND_NODE_DELETE;
        break;
    case 8:
        c.type = COMMAND_NODE_ATTRIBUTE_SET;
        snprintf(name, sizeof(name), "custom:a%llu", (unsigned long long)below(h, 5));
        attribute = (struct node_attribute){
            .name = str_from(name),
            .kind = ATTRIBUTE_NUMBER,
            .value = STR("17"),
            .expiry_ms = chance(h, 50) ? 0 : h->w.now_ms + 1 + (int64_t)below(h, 5) * 60000,
            .comment = chance(h, 50) ? STR("caf\xc3\xa9") : STR_NONE};
        c.attribute = &attribute;
        break;
    case 9:
        c.type = COMMAND_NODE_ATTRIBUTE_DELETE;
        snprintf(name, sizeof(name), "custom:a%llu", (unsigned long long)below(h, 5));
        c.name = str_from(name);
        break;
    case 10:
        c.type = COMMAND_NODE_ADDRESS;
        c.addr = IP_ADDR_V4(100, 64, 1, (uint8_t)below(h, 256));
        break;
    case 4:
        c.type = COMMAND_STREAM_CLOSE;
        c.generation = h->generation;
        break;
    default:
        c.type = COMMAND_NODE_APPROVE_ROUTES;
        c.n_routes = below(h, 4);
        for (size_t i = 0; i < c.n_routes; i++)
            routes[i] = some_route(h);
        c.routes = routes;
        break;
    }
    run_plain(h, c);
    str_list_free(&tags);
}

static struct share_terms some_terms(struct history *h, struct ip_prefix *route,
                                     struct share_ports *ports)
{
    struct share_terms t = {.exit_node = chance(h, 30), .two_way = chance(h, 30)};

    *route = some_route(h);
    *ports = (struct share_ports){(uint16_t)(1 + below(h, 90)), (uint16_t)(90 + below(h, 900))};
    t.all_routes = chance(h, 20);
    if (!t.all_routes && chance(h, 30)) {
        t.routes = route;
        t.n_routes = 1;
    }
    if (chance(h, 30)) {
        t.ports = ports;
        t.n_ports = 1;
    }
    return t;
}

static uint64_t any_share(struct history *h, const struct tailnet_view *view, bool invite)
{
    uint64_t ids[64];
    size_t n = 0, at = 0;

    while (n < ARRAY_LEN(ids)) {
        const struct share *s = invite ? NULL : view_share_next(view, &at);
        const struct share_invite *i = invite ? view_share_invite_next(view, &at) : NULL;

        if (!s && !i)
            break;
        ids[n++] = s ? s->id : i->id;
    }
    return n > 0 ? ids[below(h, n)] : 0;
}

static void step_share(struct history *h, const struct tailnet_view *view)
{
    tailnet_id ids[64];
    size_t n = domain_tailnet_ids(h->w.domain, ids, ARRAY_LEN(ids));
    AUTO(view_unref) const struct tailnet_view *other = domain_view(h->w.domain, ids[below(h, n)]);
    const struct node *node = any_node(h, view);
    struct ip_prefix route;
    struct share_ports ports;
    struct share_terms terms = some_terms(h, &route, &ports);
    int64_t end = chance(h, 50) ? 0 : h->w.now_ms + (int64_t)below(h, 9) * 60000;
    struct share share = {.node = node ? node->id : 0,
                          .sharer = chance(h, 50) ? any_user(h, view) : 0,
                          .guest = view_info(other)->id,
                          .user = chance(h, 50) ? any_user(h, other) : 0,
                          .terms = terms,
                          .expiry_ms = end};
    struct share_invite invite = {.node = share.node,
                                  .sharer = share.sharer,
                                  .terms = terms,
                                  .uses_left = (uint32_t)below(h, 3),
                                  .share_expiry_ms = end,
                                  .whole_tailnet = chance(h, 50)};
    struct command c = {.tailnet = view_info(view)->id,
                        .share = &share,
                        .invite = &invite,
                        .is_accepted = chance(h, 70)};
    struct command_result r = {0};

    static const enum command_type types[] = {
        COMMAND_SHARE_CREATE, COMMAND_SHARE_CREATE,        COMMAND_SHARE_CREATE,
        COMMAND_SHARE_ACCEPT, COMMAND_SHARE_UPDATE,        COMMAND_SHARE_REVOKE,
        COMMAND_NODE_ABROAD,  COMMAND_SHARE_INVITE_CREATE, COMMAND_SHARE_INVITE_REVOKE};
    c.type = types[below(h, ARRAY_LEN(types))];
    c.id = c.type == COMMAND_NODE_ABROAD
               ? share.node
               : any_share(h, view, c.type == COMMAND_SHARE_INVITE_REVOKE);
    if (run(h, c, &r) < 0)
        return;
    struct str secret = c.type == COMMAND_SHARE_INVITE_CREATE ? str_copy(r.secret) : STR_NONE;
    command_result_fini(&r);
    if (secret.len > 0)
        run_plain(h, (struct command){.type = COMMAND_SHARE_INVITE_ACCEPT,
                                      .tailnet = share.guest,
                                      .user = share.user,
                                      .text = secret});
    str_free(&secret);
}

static void step(struct history *h)
{
    AUTO(view_unref) const struct tailnet_view *view = domain_view(h->w.domain, any_tailnet(h));
    uint64_t what = below(h, 100);

    h->w.now_ms += (int64_t)below(h, 20000);
    if (what < 6)
        step_tailnet(h, view);
    else if (what < 14)
        step_user(h, view);
    else if (what < 20)
        step_people(h, view);
    else if (what < 32)
        step_auth_key(h, view);
    else if (what < 40)
        step_api_key(h, view);
    else if (what < 56)
        step_register(h);
    else if (what < 78)
        step_client(h, view);
    else if (what < 88)
        step_node(h, view);
    else if (what < 95)
        step_share(h, view);
    else
        run_plain(h, (struct command){.type = COMMAND_TICK});
}

/* ---- the law ---- */

static void commit(struct history *h)
{
    struct err err = {0};

    if (world_commit(&h->w, &err) < 0)
        fail_msg("commit: %s", err.text);
}

static void compare(struct history *h)
{
    struct domain *fresh = domain_new();
    struct err err = {0};
    const char *d;

    commit(h);
    if (store_load(h->w.store, fresh, &err) < 0)
        fail_msg("load: %s", err.text);
    d = differ_domains(h->w.domain, fresh);
    if (d)
        fail_msg("differs: %s", d);
    domain_free(fresh);

    AUTO(view_unref) const struct tailnet_view *view = domain_view(h->w.domain, 0);

    h->compared += view_node_count(view);
}

/* As if the server had been restarted. */
static void restart(struct history *h)
{
    int64_t now = h->w.now_ms;

    commit(h);
    world_close(&h->w);
    world_open(&h->w, h->path);
    h->w.now_ms = now;
}

static struct str export_of(const char *path)
{
    struct test_options room;
    struct buf out = BUF(EXPORT_MAX);
    struct err err = {0};

    if (store_export(test_options(&room, path), &out, &err) < 0)
        fail_msg("export: %s", err.text);
    return buf_take(&out);
}

/* Law: what goes out as one file and in again goes out as the same file. */
static void out_and_in(struct history *h)
{
    struct test_options room;
    struct test_dir other;
    struct err err = {0};

    commit(h);
    test_dir_make(&other);
    struct str first = export_of(h->path);
    if (store_restore_text(test_options(&room, other.path), first, &err) < 0)
        fail_msg("import: %s", err.text);
    struct str second = export_of(other.path);
    assert_str(second, first);
    str_free(&first);
    str_free(&second);
    test_dir_remove(&other);
}

struct totals {
    size_t compared; /* nodes */
    size_t done;     /* steps that were not refused */
};

static void live(uint64_t seed, struct totals *totals)
{
    struct test_dir t;
    struct history h = {0};

    test_dir_make(&t);
    h.path = t.path;
    rand_seed(&h.rand, seed);
    world_open(&h.w, t.path);
    world_tailnet(&h.w, "default");
    world_user(&h.w, 0, "first");
    for (size_t i = 0; i < STEPS; i++) {
        step(&h);
        if (chance(&h, 20))
            commit(&h);
        if (chance(&h, 8))
            compare(&h);
        if (chance(&h, 2))
            restart(&h);
    }
    compare(&h);
    out_and_in(&h);
    world_close(&h.w);
    for (size_t i = 0; i < h.n_secrets; i++)
        str_free(&h.secrets[i]);
    test_dir_remove(&t);
    totals->compared += h.compared;
    totals->done += h.done;
}

static void what_is_loaded_is_what_was(void **state)
{
    uint64_t seed = property_seed();
    struct totals totals = {0};

    (void)state;
    for (uint64_t i = 0; i < HISTORIES; i++) {
        print_message("seed %llu\n", (unsigned long long)(seed + i));
        live(seed + i, &totals);
    }
    print_message("%zu steps done, %zu nodes compared\n", totals.done, totals.compared);
    assert_true(totals.compared > 10 * HISTORIES);
    /* Histories of refusals would show nothing. One may be, by chance. */
    assert_true(totals.done > HISTORIES * STEPS / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_loaded_is_what_was)};

    return run_on_engine(tests);
}
