#include "netmap/lab.h"

#include "core/mem.h"
#include "ip/prefix.h"
#include "netmap/lab_internal.h"
#include "unit.h"

static void look(struct lab *l)
{
    view_unref(l->view);
    l->view = domain_view(l->d, l->tailnet);
}

bool lab_apply(struct lab *l, struct command c, struct command_result *r)
{
    size_t before = l->changes.len;
    struct err err;

    c.now_ms = l->now_ms;
    if (!c.tailnet)
        c.tailnet = l->tailnet;
    *r = (struct command_result){0};
    if (domain_apply(l->d, &c, &l->changes, r, &err) < 0)
        return false;
    look(l);
    for (size_t i = 0; i < l->n_others; i++) {
        struct lab *o = l->others[i];

        for (size_t k = before; k < l->changes.len; k++)
            change_list_add(&o->changes, l->changes.items[k]);
        o->now_ms = l->now_ms;
        look(o);
    }
    return true;
}

bool lab_do(struct lab *l, struct command c)
{
    struct command_result r;
    bool ok = lab_apply(l, c, &r);

    if (ok)
        command_result_fini(&r);
    return ok;
}

uint64_t lab_below(struct lab *l, uint64_t n)
{
    return rand_seeded_below(&l->rand, n);
}

const struct node *lab_node(const struct lab *l, enum lab_node which)
{
    return l->machines[which].id ? view_node_find(l->view, l->machines[which].id) : NULL;
}

struct node_facts *lab_facts(struct lab *l, enum lab_node which)
{
    static const char *const routes[LAB_NODES][2] = {
        [ROUTER] = {"10.0.0.0/24", "10.0.1.0/24"},
        [SPARE] = {"10.0.0.0/24"},
        [EXIT] = {"0.0.0.0/0", "::/0"},
        [VIA] = {"10.0.0.0/24"},
    };
    static const char *const systems[LAB_NODES] = {[ANN_LAPTOP] = "macOS", [BOB] = "windows"};
    struct node_facts *f = node_facts_new();

    str_free(&f->hostinfo);
    str_free(&f->hostinfo_peer);
    f->hostname = str_printf("host%d", (int)which);
    f->os = str_copy(str_from(systems[which] ? systems[which] : "linux"));
    f->ipn_version = str_copy(STR("1.90.0"));
    f->hostinfo = str_printf("{\"Hostname\":\"host%d\",\"OS\":\"%.*s\",\"N\":%llu}", (int)which,
                             STR_ARG(f->os), (unsigned long long)++l->serial);
    f->hostinfo_peer = str_printf("{\"Hostname\":\"host%d\"}", (int)which);
    f->routes = mem_alloc_array(2, sizeof *f->routes);
    for (size_t i = 0; i < 2; i++)
        if (routes[which][i] &&
            ip_prefix_parse(str_from(routes[which][i]), &f->routes[f->n_routes]))
            f->n_routes++;
    f->n_routes = ip_prefix_sort_unique(f->routes, f->n_routes);
    return f;
}

user_id lab_user(const struct lab *l, const char *name)
{
    size_t n = 0;
    const struct user *const *users = view_users(l->view, &n);

    for (size_t i = 0; i < n; i++)
        if (str_starts(users[i]->name, str_from(name)))
            return users[i]->id;
    return 0;
}

/* A key of the user (by the beginning of its name) or, after "tag:", of the tag. */
static struct str auth_key(struct lab *l, const char *owner, bool ephemeral)
{
    struct command c = {.type = COMMAND_AUTH_KEY_CREATE, .reusable = true, .ephemeral = ephemeral};
    struct command_result r;
    struct str secret = STR_NONE;

    if (str_starts(str_from(owner), STR("tag:")))
        str_list_add(&c.tags, str_from(owner));
    else
        c.user = lab_user(l, owner);
    if (lab_apply(l, c, &r)) {
        secret = str_copy(r.secret);
        command_result_fini(&r);
    }
    str_list_free(&c.tags);
    return secret;
}

static void random_bytes(struct lab *l, uint8_t *b)
{
    for (size_t i = 0; i < KEY_BYTES; i++)
        b[i] = (uint8_t)rand_seeded_u64(&l->rand);
}

bool lab_join(struct lab *l, enum lab_node which, const char *owner, bool ephemeral)
{
    struct lab_machine *m = &l->machines[which];
    struct str key = auth_key(l, owner, ephemeral);
    struct register_request reg = {.capver = 142, .auth_key = key, .facts = lab_facts(l, which)};
    struct command_result r;
    bool done = false;

    if (!lab_node(l, which)) {
        *m = (struct lab_machine){0};
        random_bytes(l, m->machine.b);
    } else {
        reg.old_key = m->key;
    }
    reg.machine = m->machine;
    random_bytes(l, reg.key.b);
    if (lab_apply(l, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r)) {
        done = r.outcome == REGISTER_DONE;
        if (done) {
            m->id = r.node->id;
            m->key = reg.key;
        }
        command_result_fini(&r);
    }
    node_facts_unref(reg.facts);
    str_free(&key);
    return done;
}

bool lab_say(struct lab *l, enum lab_node which, struct command c)
{
    struct lab_machine *m = &l->machines[which];
    struct command_result r;

    if (!lab_node(l, which))
        return false;
    c.machine = m->machine;
    c.key = m->key;
    c.is_update = true;
    if (!lab_apply(l, c, &r))
        return false;
    if (c.type == COMMAND_STREAM_OPEN)
        m->generation = r.generation;
    command_result_fini(&r);
    return true;
}

void lab_come(struct lab *l, enum lab_node which)
{
    const struct ip_addrport endpoint = {IP_ADDR_V4(192, 0, 2, (uint8_t)(which + 1)), 41641};

    (void)lab_say(l, which,
                  (struct command){.type = COMMAND_STREAM_OPEN,
                                   .capver = 100 + which,
                                   .disco.b[0] = (uint8_t)(which + 1),
                                   .home_derp = 900 + which % 2,
                                   .has_endpoints = true,
                                   .endpoints = &endpoint,
                                   .n_endpoints = 1});
}

void lab_go(struct lab *l, enum lab_node which)
{
    struct lab_machine *m = &l->machines[which];

    (void)lab_say(l, which,
                  (struct command){.type = COMMAND_STREAM_CLOSE, .generation = m->generation});
    m->generation = 0;
}

void lab_pass(struct lab *l, int64_t ms)
{
    l->now_ms += ms;
    (void)lab_do(l, (struct command){.type = COMMAND_TICK});
}

void lab_approve(struct lab *l, enum lab_node which, const struct ip_prefix *routes, size_t n)
{
    (void)lab_do(l, (struct command){.type = COMMAND_NODE_APPROVE_ROUTES,
                                     .id = l->machines[which].id,
                                     .routes = routes,
                                     .n_routes = n});
}

void lab_approve_all(struct lab *l, enum lab_node which)
{
    const struct node *n = lab_node(l, which);
    struct ip_prefix routes[4];

    if (!n)
        return;
    ASSERT(n->facts->n_routes <= ARRAY_LEN(routes));
    for (size_t i = 0; i < n->facts->n_routes; i++)
        routes[i] = n->facts->routes[i];
    lab_approve(l, which, routes, n->facts->n_routes);
}

const char *lab_owner(enum lab_node which)
{
    static const char *const owners[LAB_NODES] = {
        [ANN_LAPTOP] = "ann", [ANN_PHONE] = "ann", [BOB] = "bob",
        [EVE] = "eve",        [EVE_SHORT] = "eve", [ROUTER] = "tag:a",
        [SPARE] = "tag:a",    [EXIT] = "tag:b",    [VIA] = "tag:c"};

    return owners[which] ? owners[which] : "ann";
}

static bool is_taken(const struct lab *l, tailnet_id id)
{
    for (size_t i = 0; i < l->n_others; i++)
        if (l->others[i]->tailnet == id)
            return true;
    return false;
}

/* The one of the domain's tailnets that is no other lab's is this one's. */
static void adopt_tailnet(struct lab *l)
{
    tailnet_id ids[1 + LAB_OTHERS];
    size_t n = domain_tailnet_ids(l->d, ids, ARRAY_LEN(ids));

    assert_in_range(n, 1, ARRAY_LEN(ids));
    for (size_t i = 0; i < n; i++)
        if (!is_taken(l, ids[i]))
            l->tailnet = ids[i];
    look(l);
}

static void create_tailnet(struct lab *l)
{
    struct tailnet_info *info = tailnet_info_new();

    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("a.test"));
    info->domain = str_copy(STR("one.example"));
    info->magic_dns = true;
    info->taildrop = true;
    info->ephemeral_timeout_ms = 20000;
    assert_true(ip_prefix_parse(STR("100.64.0.0/16"), &info->prefix_v4));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    assert_true(lab_do(l, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info}));
    tailnet_info_unref(info);
    adopt_tailnet(l);
}

/* With a relay of its own, where half of its machines are at home. All call it by one number. */
static void create_further(struct lab *l, const char *name, bool is_apart)
{
    struct str host = str_printf("derp.%s.test", name);
    struct derp_node relay = {.name = STR("901a"), .host_name = host};
    struct derp_region region = {
        .id = 901, .code = STR("further"), .name = STR("Further"), .nodes = &relay, .n_nodes = 1};
    struct tailnet_settings settings = {.set = SETTING_RELAYS, .relays = &region, .n_relays = 1};
    struct ip_prefix ranges[2];
    struct str domain = str_printf("%s.test", name);

    if (is_apart)
        settings.set |= SETTING_ADDRESSES_APART;
    assert_true(ip_prefix_parse(STR("100.64.0.0/16"), &ranges[0]));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &ranges[1]));
    assert_true(lab_do(l, (struct command){.type = COMMAND_TAILNET_CREATE,
                                           .name = str_from(name),
                                           .text = domain,
                                           .routes = ranges,
                                           .n_routes = is_apart ? 2 : 0,
                                           .settings = &settings}));
    str_free(&domain);
    str_free(&host);
    adopt_tailnet(l);
}

/* People and machines, and who tells of them. */
static void populate(struct lab *l, uint64_t seed)
{
    assert_true(lab_do(l, (struct command){.type = COMMAND_USER_CREATE,
                                           .name = STR("ann"),
                                           .email = STR("ann@example.com")}));
    assert_true(lab_do(l, (struct command){.type = COMMAND_USER_CREATE, .name = STR("bob")}));
    assert_true(lab_do(l, (struct command){.type = COMMAND_USER_CREATE, .name = STR("eve")}));
    for (enum lab_node i = 0; i < EXTRA; i++) {
        assert_true(lab_join(l, i, lab_owner(i), i == EVE_SHORT));
        lab_come(l, i);
        lab_approve_all(l, i);
    }
    l->feed = netmap_feed_new(l->view);
    /* Few nodes make many blocks, and full maps of deltas. */
    if (seed % 4)
        netmap_feed_set_limits(l->feed, &(struct netmap_limits){.block_cards = seed % 4,
                                                                .delta_cards = 1 + seed % 5,
                                                                .loose_classes = seed % 3,
                                                                .loose_least = 1 + seed % 4,
                                                                .bunch_least = 1 + seed % 3});
    lab_publish(l, false);
}

void lab_begin(struct lab *l, uint64_t seed)
{
    *l = (struct lab){.d = domain_new(), .now_ms = 1700000000000};
    rand_seed(&l->rand, seed);
    create_tailnet(l);
    populate(l, seed);
}

static void introduce(struct lab *a, struct lab *b)
{
    ASSERT(a->n_others < LAB_OTHERS);
    a->others[a->n_others++] = b;
}

void lab_begin_beside(struct lab *l, struct lab *first, uint64_t seed, const char *name,
                      bool is_apart)
{
    size_t n = first->n_others;

    *l = (struct lab){.d = first->d, .now_ms = first->now_ms, .is_beside = true};
    for (size_t i = 0; i < n; i++) {
        introduce(l, first->others[i]);
        introduce(first->others[i], l);
    }
    introduce(first, l);
    introduce(l, first);
    rand_seed(&l->rand, seed);
    create_further(l, name, is_apart);
    populate(l, seed);
}

void lab_end(struct lab *l)
{
    netmap_feed_free(l->feed);
    policy_unref(l->policy);
    policy_document_unref(l->document);
    change_list_fini(&l->changes);
    view_unref(l->view);
    if (!l->is_beside)
        domain_free(l->d);
}

void lab_set_policy(struct lab *l, const char *text)
{
    struct policy_complaint complaint;

    policy_document_unref(l->document);
    l->document = NULL;
    if (text && policy_document_parse(str_from(text), &(struct policy_parse_options){0},
                                      &l->document, &complaint) < 0)
        fail_msg("%s: %s", text, complaint.text);
}

void lab_publish(struct lab *l, bool gap)
{
    size_t skip = gap ? MIN(l->changes.len, 1 + lab_below(l, l->changes.len + 1)) : 0;
    const struct policy *p = policy_compile(&(struct policy_input){.document = l->document,
                                                                   .view = l->view,
                                                                   .before = l->policy,
                                                                   .changes = l->changes.items,
                                                                   .n_changes = l->changes.len});

    policy_unref(l->policy);
    l->policy = p;
    netmap_feed_publish(l->feed, l->view, l->changes.items + skip, l->changes.len - skip);
    netmap_feed_set_policy(l->feed, p);
    change_list_clear(&l->changes);
}
