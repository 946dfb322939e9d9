/*
 * The law of the map streams: a client that applied the deltas holds what a fresh full map would
 * give.
 *
 * Each history runs on a real domain: machines join, move, change their minds, are renamed, tagged,
 * expired and deleted; the tailnet's DNS and relays change; the policy is replaced. Viewers of
 * several capability versions pull at random moments, some so late that the journal has passed them
 * by. After each pull the viewer's model client (model_client.h) is held against one that has just
 * begun.
 *
 * PROPERTY_RUNS and PROPERTY_SEED change how many histories there are and where they begin.
 */

#include "../property.h"
#include "unit.h"

#include "core/mem.h"
#include "core/rand.h"
#include "ip/prefix.h"
#include "netmap/flatten.h"
#include "netmap/model_client.h"
#include "netmap/stream.h"
#include "policy/policy.h"
#include "tailnet/domain.h"
#include "wire/response.h"

#define MACHINES_MAX 14
#define VIEWERS 5
#define STEPS 90
#define RUNS 500

struct machine {
    bool joined;
    node_id id;
    struct machine_key machine;
    struct node_key key;
    uint64_t generation; /* 0: no stream */
};

struct viewer {
    struct netmap_stream *stream;
    struct model_client model;
    node_id id;
    uint32_t capver;
    bool zstd;
};

struct world {
    struct rand_seeded rand;
    struct domain *d;
    struct netmap_feed *feed;
    const struct tailnet_view *view; /* newest, not always published */
    struct change_list changes;      /* not published yet */
    struct machine machines[MACHINES_MAX];
    struct viewer viewers[VIEWERS];
    struct str auth_keys[8];
    size_t n_auth_keys;
    int64_t now_ms;
    uint64_t serial;
    uint64_t seed;
    const struct policy_document *document; /* NULL: no policy */
    const struct policy *policy;            /* of the last publication */
    unsigned n_policy;
    /* What all histories together have seen. */
    uint64_t pulls, silent, gone, falls;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->rand, n);
}

static bool chance(struct world *w, uint64_t percent)
{
    return below(w, 100) < percent;
}

/* Applies the command; false when the domain refused it, which is fine. */
static bool apply(struct world *w, struct command c, struct command_result *r)
{
    struct err err;

    c.now_ms = w->now_ms;
    *r = (struct command_result){0};
    if (domain_apply(w->d, &c, &w->changes, r, &err) < 0)
        return false;
    view_unref(w->view);
    w->view = domain_view(w->d, 0);
    return true;
}

static void apply_plain(struct world *w, struct command c)
{
    struct command_result r;

    if (apply(w, c, &r))
        command_result_fini(&r);
}

/* ---- Policies that see less than everything ---- */

static const char *const policy_texts[] = {
    "{\"acls\": []}",
    "{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], "
    "\"dst\": [\"autogroup:self:*\", \"autogroup:tagged:22\"]}]}",
    "{\"groups\": {\"group:g\": [\"user1@\", \"user3@\", \"renamed3@\"]}, "
    "\"tagOwners\": {\"tag:a\": [], \"tag:b\": []}, "
    "\"acls\": [{\"action\": \"accept\", \"src\": [\"group:g\"], \"dst\": [\"tag:a:*\", "
    "\"10.0.0.0/16:80\"]}, {\"action\": \"accept\", \"src\": [\"tag:a\"], "
    "\"dst\": [\"tag:b:443\", \"autogroup:internet:*\"]}], "
    "\"ssh\": [{\"action\": \"check\", \"src\": [\"group:g\"], \"dst\": [\"tag:a\"], "
    "\"users\": [\"root\"]}, {\"action\": \"accept\", \"src\": [\"autogroup:member\"], "
    "\"dst\": [\"autogroup:self\"], \"users\": [\"autogroup:nonroot\"]}]}",
    "{\"grants\": [{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}], "
    "\"nodeAttrs\": [{\"target\": [\"autogroup:tagged\"], \"attr\": [\"disable-ipv4\", \"x\"]}]}",
    "{\"tagOwners\": {\"tag:a\": [], \"tag:b\": [], \"tag:c\": []}, "
    "\"grants\": [{\"src\": [\"autogroup:member\"], \"dst\": [\"10.0.0.0/24\"], "
    "\"ip\": [\"*\"], \"via\": [\"tag:a\", \"tag:c\"]}, {\"src\": [\"autogroup:tagged\"], "
    "\"dst\": [\"autogroup:member\"], \"app\": {\"example.com/cap/x\": [{\"y\": 1}]}}], "
    "\"acls\": [{\"action\": \"accept\", \"src\": [\"100.64.0.1\", \"10.0.1.0/24\"], "
    "\"dst\": [\"*:*\"]}], \"randomizeClientPort\": true, "
    "\"derpMap\": {\"regions\": {\"1\": null, \"77\": {\"RegionID\": 77, \"RegionCode\": \"x\", "
    "\"RegionName\": \"X\"}}}}",
};

static void change_policy(struct world *w)
{
    uint64_t kind = below(w, ARRAY_LEN(policy_texts) + 1);
    struct policy_complaint complaint;

    policy_document_unref(w->document);
    w->document = NULL;
    if (kind < ARRAY_LEN(policy_texts) &&
        policy_document_parse(str_from(policy_texts[kind]), &(struct policy_parse_options){0},
                              &w->document, &complaint) < 0)
        fail_msg("%s: %s", policy_texts[kind], complaint.text);
    w->n_policy++;
}

/* What the registrar gives with each publication. */
static void tell_policy(struct world *w)
{
    const struct policy *p = policy_compile(&(struct policy_input){.document = w->document,
                                                                   .view = w->view,
                                                                   .before = w->policy,
                                                                   .changes = w->changes.items,
                                                                   .n_changes = w->changes.len});

    policy_unref(w->policy);
    w->policy = p;
    netmap_feed_set_policy(w->feed, p);
}

/* ---- What happens in a tailnet ---- */

static struct machine *joined_machine(struct world *w)
{
    size_t start = below(w, MACHINES_MAX);

    for (size_t i = 0; i < MACHINES_MAX; i++) {
        struct machine *m = &w->machines[(start + i) % MACHINES_MAX];

        if (m->joined && domain_node_by_id(w->d, m->id))
            return m;
        m->joined = false;
    }
    return NULL;
}

static struct node_facts *some_facts(struct world *w, bool may_route)
{
    static const char *const routes[] = {"10.0.0.0/24", "10.0.1.0/24", "0.0.0.0/0", "::/0",
                                         "fd00:1::/64"};
    struct node_facts *f = node_facts_new();

    str_free(&f->hostinfo);
    str_free(&f->hostinfo_peer);
    f->hostname = str_printf("host%llu", (unsigned long long)below(w, 6));
    f->os = str_copy(STR("linux"));
    f->hostinfo = str_printf("{\"Hostname\":\"%.*s\",\"N\":%llu}", STR_ARG(f->hostname),
                             (unsigned long long)below(w, 9));
    f->hostinfo_peer = str_printf("{\"Hostname\":\"%.*s\"}", STR_ARG(f->hostname));
    f->routes = mem_alloc_array(ARRAY_LEN(routes), sizeof *f->routes);
    for (size_t i = 0; may_route && i < ARRAY_LEN(routes); i++)
        if (chance(w, 50) && ip_prefix_parse(str_from(routes[i]), &f->routes[f->n_routes]))
            f->n_routes++;
    f->n_routes = ip_prefix_sort_unique(f->routes, f->n_routes);
    return f;
}

static void create_user(struct world *w)
{
    struct str name = str_printf("user%llu", (unsigned long long)++w->serial);

    apply_plain(w, (struct command){.type = COMMAND_USER_CREATE, .name = name});
    str_free(&name);
}

static const struct user *some_user(struct world *w)
{
    size_t n = 0;
    const struct user *const *users = view_users(w->view, &n);

    return n ? users[below(w, n)] : NULL;
}

static void create_auth_key(struct world *w)
{
    const struct user *u = some_user(w);
    struct command c = {.type = COMMAND_AUTH_KEY_CREATE, .reusable = true};
    struct command_result r;
    size_t slot = w->n_auth_keys < ARRAY_LEN(w->auth_keys) ? w->n_auth_keys++ : below(w, 8);

    c.ephemeral = chance(w, 20);
    c.preauthorized = chance(w, 70);
    if (!u || chance(w, 30))
        str_list_add(&c.tags, chance(w, 50) ? STR("tag:a") : STR("tag:b"));
    else
        c.user = u->id;
    str_free(&w->auth_keys[slot]);
    if (apply(w, c, &r)) {
        w->auth_keys[slot] = str_copy(r.secret);
        command_result_fini(&r);
    }
    str_list_free(&c.tags);
}

/* A new machine, or one that comes back with another node key. */
static void join(struct world *w)
{
    struct machine *m = &w->machines[below(w, MACHINES_MAX)];
    struct register_request reg = {.capver = 100 + (uint32_t)below(w, 45)};
    struct node_key key;
    struct command_result r;

    if (w->n_auth_keys == 0)
        return;
    reg.auth_key = w->auth_keys[below(w, w->n_auth_keys)];
    if (!m->joined)
        for (size_t i = 0; i < KEY_BYTES; i++)
            m->machine.b[i] = (uint8_t)rand_seeded_u64(&w->rand);
    for (size_t i = 0; i < KEY_BYTES; i++)
        key.b[i] = (uint8_t)rand_seeded_u64(&w->rand);
    reg.machine = m->machine;
    reg.key = key;
    if (m->joined)
        reg.old_key = m->key;
    reg.facts = some_facts(w, false);
    if (apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r)) {
        if (r.outcome == REGISTER_DONE) {
            *m = (struct machine){true, r.node->id, m->machine, key, 0};
        }
        command_result_fini(&r);
    }
    node_facts_unref(reg.facts);
}

static void say_more(struct world *w, struct machine *m, bool stream)
{
    struct ip_addrport endpoints[3];
    struct node_facts *facts = chance(w, 50) ? some_facts(w, true) : NULL;
    const struct node *n = domain_node_by_id(w->d, m->id);
    struct command c = {.type = stream ? COMMAND_STREAM_OPEN : COMMAND_NODE_UPDATE,
                        .machine = m->machine,
                        .key = n->key,
                        .is_update = chance(w, 50),
                        .facts = facts};
    struct command_result r;

    if (chance(w, 30))
        c.capver = 100 + (uint32_t)below(w, 45);
    if (chance(w, 30))
        c.disco.b[0] = (uint8_t)(1 + below(w, 200));
    if (chance(w, 30))
        c.home_derp = 900 + (uint32_t)below(w, 3);
    if (chance(w, 50)) {
        c.has_endpoints = true;
        c.n_endpoints = below(w, ARRAY_LEN(endpoints) + 1);
        for (size_t i = 0; i < c.n_endpoints; i++)
            endpoints[i] = (struct ip_addrport){IP_ADDR_V4(192, 0, 2, (uint8_t)below(w, 4)), 41641};
        c.endpoints = endpoints;
    }
    if (apply(w, c, &r)) {
        if (stream)
            m->generation = r.generation;
        command_result_fini(&r);
    }
    node_facts_unref(facts);
}

static void close_stream(struct world *w, struct machine *m)
{
    const struct node *n = domain_node_by_id(w->d, m->id);

    apply_plain(w, (struct command){.type = COMMAND_STREAM_CLOSE,
                                    .machine = m->machine,
                                    .key = n->key,
                                    .generation = m->generation});
}

static void administrate(struct world *w, struct machine *m)
{
    struct ip_prefix routes[3];
    struct str name = str_printf("name%llu", (unsigned long long)below(w, 20));
    struct command c = {.id = m->id, .name = name};

    switch (below(w, 8)) {
    case 0:
        c.type = COMMAND_NODE_RENAME;
        break;
    case 1:
        c.type = COMMAND_NODE_EXPIRE;
        c.expiry_ms = chance(w, 50) ? w->now_ms + (int64_t)below(w, 100000) : 0;
        break;
    case 2:
        c.type = chance(w, 40) ? COMMAND_NODE_DELETE : COMMAND_NODE_RENAME;
        break;
    case 3:
        c.type = COMMAND_NODE_TAG;
        str_list_add(&c.tags, chance(w, 50) ? STR("tag:a") : STR("tag:c"));
        break;
    default:
        c.type = COMMAND_NODE_APPROVE_ROUTES;
        for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
            static const char *const texts[] = {"10.0.0.0/24", "10.0.1.0/24", "0.0.0.0/0",
                                                "fd00:1::/64"};

            if (chance(w, 60) &&
                ip_prefix_parse(str_from(texts[below(w, ARRAY_LEN(texts))]), &routes[c.n_routes]))
                c.n_routes++;
        }
        c.routes = routes;
        break;
    }
    apply_plain(w, c);
    str_free(&name);
    str_list_free(&c.tags);
}

/* A machine, or all of a user's, is held back or let go. */
static void change_access(struct world *w, struct machine *m)
{
    const struct node *n = domain_node_by_id(w->d, m->id);
    const struct user *u = chance(w, 30) ? some_user(w) : NULL;

    if (u)
        apply_plain(w, (struct command){.type = u->status == USER_ACTIVE ? COMMAND_USER_SUSPEND
                                                                         : COMMAND_USER_RESTORE,
                                        .id = u->id});
    else
        apply_plain(w, (struct command){.type = COMMAND_NODE_APPROVE,
                                        .id = m->id,
                                        .revokes = node_has_access(n)});
}

static void replace(struct str *s, struct str with)
{
    str_free(s);
    *s = str_copy(with);
}

static void change_tailnet(struct world *w)
{
    struct tailnet_info *info = tailnet_info_clone(view_info(w->view));
    static const char *const resolvers[] = {"1.1.1.1", "9.9.9.9", "https://dns.nextdns.io/abc"};

    switch (below(w, 6)) {
    case 0:
        info->taildrop = !info->taildrop;
        info->randomize_client_port = chance(w, 50);
        break;
    case 1:
        info->magic_dns = !info->magic_dns;
        info->override_local_dns = chance(w, 50);
        break;
    case 2:
        if (info->n_resolvers == 0) {
            info->resolvers = NEW(struct dns_resolver);
            info->n_resolvers = 1;
        }
        replace(&info->resolvers[0].addr, str_from(resolvers[below(w, ARRAY_LEN(resolvers))]));
        break;
    case 3:
        replace(&info->domain, chance(w, 50) ? STR("one.example") : STR("two.example"));
        break;
    case 4:
        if (chance(w, 30))
            replace(&info->base_domain, chance(w, 50) ? STR("a.test") : STR("b.test"));
        break;
    default:
        if (info->n_regions == 0) {
            info->regions = NEW(struct derp_region);
            info->n_regions = 1;
            info->regions[0].id = 900;
        }
        replace(&info->regions[0].name, chance(w, 50) ? STR("Here") : STR("There"));
        break;
    }
    apply_plain(w, (struct command){.type = COMMAND_TAILNET_UPDATE, .info = info});
    tailnet_info_unref(info);
}

static void change_user(struct world *w)
{
    const struct user *u = some_user(w);
    struct str name;

    if (!u)
        return;
    name = str_printf("renamed%llu", (unsigned long long)(++w->serial * below(w, 100)));
    if (chance(w, 80))
        apply_plain(w, (struct command){.type = COMMAND_USER_RENAME, .id = u->id, .name = name});
    else
        apply_plain(w, (struct command){.type = COMMAND_USER_DELETE, .id = u->id});
    str_free(&name);
}

static void pass_time(struct world *w)
{
    w->now_ms += (int64_t)below(w, 15000);
    apply_plain(w, (struct command){.type = COMMAND_TICK});
}

/* ---- Viewers ---- */

/* A gap is what a loop has that missed a publication, or the first part of one. */
static void publish(struct world *w, bool gap)
{
    size_t from = gap ? 1 + below(w, w->changes.len + 1) : 0;
    size_t n = from < w->changes.len ? w->changes.len - from : 0;

    netmap_feed_publish(w->feed, w->view, w->changes.items + (n ? from : 0), n);
    tell_policy(w);
    w->falls += gap;
    change_list_clear(&w->changes);
}

static void receive(struct model_client *m, struct buf *out, bool zstd)
{
    struct str payload, rest = buf_str(out);
    size_t used = 0;

    while (rest.len) {
        struct buf json = BUF(0);

        assert_int_equal(wire_frame_decode(rest, (size_t)1 << 26, &payload, &used), WIRE_FRAME_OK);
        if (zstd)
            assert_int_equal(wire_decompress(payload, (size_t)1 << 26, &json, NULL), 0);
        else
            buf_put(&json, payload);
        model_client_apply(m, buf_str(&json));
        buf_fini(&json);
        rest = str_from_index(rest, used);
    }
    buf_fini(out);
}

static void viewer_end(struct viewer *v)
{
    netmap_stream_free(v->stream);
    model_client_fini(&v->model);
    v->stream = NULL;
}

static struct netmap_stream *stream_for(struct world *w, const struct viewer *v)
{
    return netmap_stream_new(w->feed, &(struct netmap_stream_options){
                                          .viewer = v->id, .capver = v->capver, .zstd = v->zstd});
}

static void check_viewer(struct world *w, struct viewer *v)
{
    struct netmap_stream *fresh = stream_for(w, v);
    struct model_client whole = {0};
    struct netmap_parcel parcel = {0};
    struct buf out = BUF(0);
    char why[512];

    assert_int_equal(netmap_stream_pull(fresh, w->now_ms, &parcel), NETMAP_PULL_SENT);
    parcel_flatten(&parcel, &out);
    receive(&whole, &out, v->zstd);
    netmap_stream_free(fresh);
    if (v->model.complaint[0] || whole.complaint[0])
        fail_msg("seed %llu: viewer %llu: %s%s", (unsigned long long)w->seed,
                 (unsigned long long)v->id, v->model.complaint, whole.complaint);
    if (!model_client_same(&v->model, &whole, why, sizeof why))
        fail_msg("seed %llu: viewer %llu: %s", (unsigned long long)w->seed,
                 (unsigned long long)v->id, why);
    model_client_fini(&whole);
}

static bool has_peers(struct world *w, struct viewer *v)
{
    const struct node *n;
    size_t at = 0;

    while ((n = view_node_next(netmap_feed_view(w->feed), &at)))
        if (policy_sees(netmap_feed_policy(w->feed), v->id, n->id))
            return true;
    return false;
}

/* Under an aim the present is no measure: it is at the next pull that is checked. */
static void pull_some(struct world *w, struct viewer *v, bool check)
{
    struct netmap_parcel parcel = {0};
    struct buf out = BUF(0);
    bool behind = netmap_stream_is_behind(v->stream);
    enum netmap_pull got = netmap_stream_pull(v->stream, w->now_ms, &parcel);

    w->pulls++;
    parcel_flatten(&parcel, &out);
    switch (got) {
    case NETMAP_PULL_SENT:
        assert_true(behind);
        receive(&v->model, &out, v->zstd);
        if (check)
            check_viewer(w, v);
        break;
    case NETMAP_PULL_NONE:
        w->silent++;
        assert_int_equal(out.len, 0);
        if (check)
            check_viewer(w, v);
        break;
    case NETMAP_PULL_GONE:
        w->gone++;
        /* Or it has fallen and should hold no peers: only a new stream can say so. */
        assert_true(!view_node_find(netmap_feed_view(w->feed), v->id) || !has_peers(w, v));
        viewer_end(v);
        break;
    }
    buf_fini(&out);
    if (v->stream)
        assert_false(netmap_stream_is_behind(v->stream));
}

static void pull(struct world *w, struct viewer *v)
{
    if (chance(w, 50))
        netmap_feed_take_aim(w->feed);
    else
        netmap_feed_drop_aim(w->feed);
    pull_some(w, v, true);
}

static void viewers_act(struct world *w)
{
    if (chance(w, 15))
        netmap_feed_take_aim(w->feed);
    for (size_t i = 0; i < VIEWERS; i++) {
        struct viewer *v = &w->viewers[i];
        struct machine *m;

        if (v->stream && chance(w, 2))
            viewer_end(v);
        if (!v->stream && chance(w, 20) && (m = joined_machine(w))) {
            *v = (struct viewer){
                .id = m->id, .capver = chance(w, 50) ? 106 : 142, .zstd = chance(w, 50)};
            v->stream = stream_for(w, v);
        }
        if (v->stream && chance(w, 15))
            pull_some(w, v, false);
        if (v->stream && chance(w, i == 0 ? 10 : 40))
            pull(w, v);
    }
}

static void step(struct world *w)
{
    struct machine *m = joined_machine(w);
    uint64_t what = below(w, 100);

    if (what < 4)
        create_user(w);
    else if (what < 9)
        create_auth_key(w);
    else if (what < 25)
        join(w);
    else if (what < 29)
        change_tailnet(w);
    else if (what < 33)
        change_user(w);
    else if (what < 42)
        pass_time(w);
    else if (what < 44)
        change_policy(w);
    else if (m && what < 62)
        say_more(w, m, false);
    else if (m && what < 75)
        say_more(w, m, true);
    else if (m && what < 80)
        close_stream(w, m);
    else if (m && what < 87)
        change_access(w, m);
    else if (m)
        administrate(w, m);
    if (chance(w, 60))
        publish(w, chance(w, 2));
    viewers_act(w);
}

static void world_begin(struct world *w, uint64_t seed)
{
    struct tailnet_info *info = tailnet_info_new();
    struct command_result r;

    rand_seed(&w->rand, seed);
    w->seed = seed;
    w->now_ms = 1700000000000;
    w->d = domain_new();
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("a.test"));
    info->domain = str_copy(STR("one.example"));
    info->magic_dns = true;
    info->taildrop = true;
    info->ephemeral_timeout_ms = 20000;
    info->settings =
        (struct tailnet_settings){.set = SETTING_DEVICE_APPROVAL, .device_approval = true};
    info->node_expiry_ms = chance(w, 50) ? 60000 : 0;
    assert_true(ip_prefix_parse(STR("100.64.0.0/16"), &info->prefix_v4));
    assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    assert_true(apply(w, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info}, &r));
    command_result_fini(&r);
    tailnet_info_unref(info);
    w->feed = netmap_feed_new(w->view);
    if (chance(w, 80)) /* few nodes make many blocks, and full maps of deltas */
        netmap_feed_set_limits(w->feed, &(struct netmap_limits){.block_cards = 1 + below(w, 4),
                                                                .loose_classes = below(w, 3),
                                                                .loose_least = below(w, 4),
                                                                .bunch_least = below(w, 4),
                                                                .delta_cards = 1 + below(w, 6)});
    tell_policy(w);
    create_user(w);
    create_auth_key(w);
}

static void world_end(struct world *w)
{
    for (size_t i = 0; i < VIEWERS; i++)
        viewer_end(&w->viewers[i]);
    for (size_t i = 0; i < ARRAY_LEN(w->auth_keys); i++)
        str_free(&w->auth_keys[i]);
    netmap_feed_free(w->feed);
    policy_unref(w->policy);
    policy_document_unref(w->document);
    change_list_fini(&w->changes);
    view_unref(w->view);
    domain_free(w->d);
}

static void deltas_agree_with_full_maps(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();
    uint64_t pulls = 0, silent = 0, gone = 0, falls = 0, cards = 0, patches = 0, joined = 0;

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu histories\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++) {
        struct world w = {0};

        world_begin(&w, seed + i);
        for (size_t k = 0; k < STEPS; k++)
            step(&w);
        for (size_t k = 0; k < VIEWERS; k++) {
            publish(&w, false);
            if (w.viewers[k].stream)
                pull(&w, &w.viewers[k]);
            cards += w.viewers[k].model.cards;
            patches += w.viewers[k].model.patches;
        }
        pulls += w.pulls;
        silent += w.silent;
        gone += w.gone;
        falls += w.falls;
        joined += view_node_count(w.view);
        world_end(&w);
    }
    print_message("%llu pulls, %llu silent, %llu gone, %llu gaps, %llu cards, %llu patches, "
                  "%llu nodes at the end\n",
                  (unsigned long long)pulls, (unsigned long long)silent, (unsigned long long)gone,
                  (unsigned long long)falls, (unsigned long long)cards, (unsigned long long)patches,
                  (unsigned long long)joined);
    /* A generator that makes nothing happen proves nothing. */
    assert_true(pulls > 10 * runs && silent > runs / 10 && gone > 0 && falls > runs / 10);
    assert_true(cards > runs && patches > runs && joined > runs);
}

/* One viewer sleeps through more changes than the journal holds, another wakes now and then. */
static void sleepers_get_a_full_map(void **state)
{
    struct world w = {0};
    struct machine *m;
    uint64_t before;

    (void)state;
    world_begin(&w, 1);
    while (view_node_count(w.view) < 4)
        join(&w);
    publish(&w, false);
    m = joined_machine(&w);
    for (size_t i = 0; i < 3; i++) {
        w.viewers[i] = (struct viewer){.id = m->id, .capver = 142, .zstd = true};
        w.viewers[i].stream = stream_for(&w, &w.viewers[i]);
        pull(&w, &w.viewers[i]);
    }
    for (size_t i = 0; i < NETMAP_JOURNAL_MAX + 100; i++) {
        struct machine *other = joined_machine(&w);
        const struct node *n = domain_node_by_id(w.d, other->id);

        apply_plain(&w, (struct command){.type = COMMAND_NODE_UPDATE,
                                         .machine = other->machine,
                                         .key = n->key,
                                         .home_derp = 1 + (uint32_t)(i % 1000)});
        publish(&w, false);
        if (i == 5000)
            pull(&w, &w.viewers[2]);
    }
    before = w.viewers[2].model.cards + w.viewers[2].model.patches;
    for (size_t i = 0; i < 3; i++)
        pull(&w, &w.viewers[i]);
    /* The full map came as such, the one that woke got patches. */
    assert_int_equal(w.viewers[0].model.cards + w.viewers[0].model.patches, 0);
    assert_true(w.viewers[2].model.cards + w.viewers[2].model.patches > before);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleepers_get_a_full_map),
        cmocka_unit_test(deltas_agree_with_full_maps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
