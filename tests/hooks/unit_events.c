/* From commands to what webhooks are told of them. */

#include "../tailnet/fixture.h"

#include "core/arena.h"
#include "hooks/events.h"
#include "json/value.h"

struct rig {
    struct fixture f;
    struct hook_events *events;
    struct arena *arena;
    const struct json_value *told[64]; /* of the last command */
    webhook_id to[64];
    tailnet_id of[64];
    size_t n;
};

static void keep(void *user, const struct delivery *d)
{
    struct rig *r = user;
    struct json_value *v = NULL;
    struct json_error error;

    assert_true(json_parse(r->arena, arena_copy(r->arena, d->body), NULL, &v, &error));
    assert_true(d->id > 0);
    r->to[r->n] = d->webhook;
    r->of[r->n] = d->tailnet;
    r->told[r->n++] = v;
}

static void apply(struct rig *r, struct command c)
{
    r->n = 0;
    c.now_ms = r->f.now;
    hook_events_begin(r->events, r->f.d, &c);
    fixture_done(&r->f, c);
    hook_events_end(r->events, r->f.d, &c, &r->f.result, r->f.changes.items, r->f.changes.len, keep,
                    r);
}

static webhook_id make_in(struct rig *r, tailnet_id tailnet, const char *url,
                          const char *subscriptions)
{
    struct str_list list = list_of(subscriptions);

    apply(r, (struct command){.type = COMMAND_WEBHOOK_CREATE,
                              .tailnet = tailnet,
                              .text = str_from(url),
                              .name = STR("alice"),
                              .scopes = list});
    str_list_free(&list);
    return r->f.result.id;
}

static webhook_id make(struct rig *r, const char *url, const char *subscriptions)
{
    return make_in(r, 0, url, subscriptions);
}

static void rig_init(struct rig *r, bool has_login)
{
    *r = (struct rig){.arena = arena_new()};
    fixture_init(&r->f);
    r->events = hook_events_new(STR("https://hs.example"), has_login);
}

static void rig_fini(struct rig *r)
{
    hook_events_free(r->events);
    fixture_fini(&r->f);
    arena_free(r->arena);
}

static struct str data(const struct rig *r, size_t i, const char *name)
{
    return json_get_str(json_get_object(r->told[i], "data"), name);
}

#define assert_told(r, i, what)                                    \
    do {                                                           \
        assert_true((i) < (r)->n);                                 \
        assert_str(json_get_str((r)->told[i], "type"), STR(what)); \
    } while (0)

static void tells_nobody_without_webhooks(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    apply(&r, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")});
    assert_int_equal(r.n, 0);
    rig_fini(&r);
}

static void tells_of_users(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    make(&r, "https://a.example/x", "userCreated,userDeleted,userRoleUpdated");
    apply(&r, (struct command){.type = COMMAND_USER_CREATE,
                               .name = STR("bob"),
                               .author = STR("user:alice@example.net")});
    user_id bob = r.f.result.id;
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "userCreated");
    assert_str(data(&r, 0, "user"), STR("bob"));
    assert_str(data(&r, 0, "actor"), STR("alice@example.net"));
    assert_str(json_get_str(r.told[0], "message"), STR("User bob created"));
    assert_str(json_get_str(r.told[0], "tailnet"), STR("example.net"));
    assert_int_equal(json_get_u64(r.told[0], "version", 0), 1);
    apply(&r, (struct command){.type = COMMAND_USER_UPDATE,
                               .id = bob,
                               .fields = USER_FIELD_ROLE,
                               .role = ROLE_IT_ADMIN,
                               .author = STR("socket")});
    assert_told(&r, 0, "userRoleUpdated");
    assert_str(data(&r, 0, "oldRoles"), STR("member"));
    assert_str(data(&r, 0, "newRoles"), STR("it-admin"));
    assert_str(data(&r, 0, "actor"), STR("socket"));
    apply(&r, (struct command){.type = COMMAND_USER_DELETE, .id = bob});
    assert_told(&r, 0, "userDeleted");
    assert_int_equal(r.n, 1);
    rig_fini(&r);
}

static void tells_what_becomes_of_people(void **state)
{
    static struct join_rule anyone = {.by = JOIN_ANYONE, .needs_approval = true};
    const struct tailnet_settings rules = {
        .set = SETTING_JOINING, .joining = &anyone, .n_joining = 1};
    struct rig r;

    (void)state;
    rig_init(&r, true);
    make(&r, "https://a.example/x", "categoryTailnetManagement");
    apply(&r, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &rules});
    apply(&r, (struct command){.type = COMMAND_USER_LOGIN,
                               .tailnet = 1,
                               .provider = STR("oidc"),
                               .issuer = STR("https://id.example"),
                               .provider_id = STR("https://id.example/ann"),
                               .name = STR("ann")});
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "userCreated");
    assert_told(&r, 1, "userNeedsApproval");
    assert_str(data(&r, 1, "user"), STR("ann"));
    user_id ann = r.f.result.user->id;

    apply(&r, (struct command){.type = COMMAND_USER_APPROVE, .id = ann, .author = STR("socket")});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "userApproved");
    assert_str(data(&r, 0, "actor"), STR("socket"));
    assert_str(json_get_str(r.told[0], "message"), STR("User ann approved"));
    apply(&r, (struct command){.type = COMMAND_USER_SUSPEND, .id = ann});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "userSuspended");
    apply(&r, (struct command){.type = COMMAND_USER_RESTORE, .id = ann});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "userRestored");
    rig_fini(&r);
}

static void tells_whom_it_concerns(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    webhook_id all = make(&r, "https://a.example/", "categoryTailnetManagement");
    make(&r, "https://b.example/", "policyUpdate,categoryDeviceMisconfigurations");
    apply(&r, (struct command){.type = COMMAND_USER_CREATE, .name = STR("bob")});
    assert_int_equal(r.n, 1);
    assert_true(r.to[0] == all);
    apply(&r, (struct command){.type = COMMAND_POLICY_SET, .text = STR("{}")});
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "policyUpdate");
    assert_told(&r, 1, "policyUpdate");
    assert_str(data(&r, 0, "newPolicy"), STR("{}"));
    assert_str(data(&r, 0, "oldPolicy"), STR(""));
    apply(&r, (struct command){.type = COMMAND_POLICY_SET, .text = STR("{}")});
    assert_int_equal(r.n, 0);
    apply(&r, (struct command){.type = COMMAND_WEBHOOK_TEST, .id = all});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "test");
    assert_true(r.to[0] == all);
    rig_fini(&r);
}

/* As fixture_register, but told of. */
static void ask(struct rig *r, unsigned machine, const char *auth_key, int64_t expiry_ms)
{
    struct register_request reg = {.machine = machine_of(machine),
                                   .key = key_of(machine),
                                   .auth_key = str_from(auth_key),
                                   .has_expiry = expiry_ms != 0,
                                   .expiry_ms = expiry_ms,
                                   .facts = facts_of("laptop", "", "")};

    apply(r, (struct command){.type = COMMAND_REGISTER, .machine = reg.machine, .reg = &reg});
    node_facts_unref(reg.facts);
}

static void tells_of_nodes(void **state)
{
    struct rig r;
    char key[128];

    (void)state;
    rig_init(&r, false);
    user_id alice = fixture_user(&r.f, "alice");
    make(&r, "https://a.example/", "categoryTailnetManagement");
    (void)fixture_key(&r.f, (struct key_options){.user = alice, .reusable = true}, key);
    ask(&r, 1, key, r.f.now + 48 * HOUR_MS);
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeCreated");
    assert_str(data(&r, 0, "deviceName"), STR("laptop.example.net"));
    assert_str(data(&r, 0, "managedBy"), STR("alice"));
    assert_str(data(&r, 0, "actor"), STR("client"));
    assert_true(str_starts(data(&r, 0, "url"), STR("https://hs.example/api/v2/device/")));
    assert_true(data(&r, 0, "expiration").len > 0);
    node_id id = r.f.result.id;
    /* Nothing changes when it comes again. */
    ask(&r, 1, "", 0);
    assert_int_equal(r.n, 0);
    /* A day ahead, and when it is over. */
    assert_true(domain_next_tick_ms(r.f.d) == r.f.now + 24 * HOUR_MS);
    r.f.now += 24 * HOUR_MS;
    apply(&r, (struct command){.type = COMMAND_TICK, .origin = ORIGIN_SERVER});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeKeyExpiringInOneDay");
    r.f.now += 24 * HOUR_MS;
    apply(&r, (struct command){.type = COMMAND_TICK, .origin = ORIGIN_SERVER});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeKeyExpired");
    assert_str(data(&r, 0, "actor"), STR("server"));
    apply(&r, (struct command){.type = COMMAND_NODE_DELETE, .id = id});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeDeleted");
    rig_fini(&r);
}

static void tells_once_of_who_waits(void **state)
{
    struct rig r;
    char auth_id[64];

    (void)state;
    rig_init(&r, false);
    fixture_user(&r.f, "alice");
    make(&r, "https://a.example/", "nodeNeedsApproval,nodeApproved,nodeCreated");
    ask(&r, 1, "", 0);
    assert_int_equal(r.f.result.outcome, REGISTER_PENDING);
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeNeedsApproval");
    assert_str(data(&r, 0, "deviceName"), STR("laptop"));
    memcpy(auth_id, r.f.result.auth_id, sizeof(auth_id));
    ask(&r, 1, "", 0);
    assert_int_equal(r.n, 0);
    apply(&r, (struct command){.type = COMMAND_REGISTER_APPROVE,
                               .name = str_from(auth_id),
                               .user_name = STR("alice")});
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "nodeCreated");
    assert_told(&r, 1, "nodeApproved");
    rig_fini(&r);
}

/* Who logs in needs no administrator, and a stranger cannot make a flood of it. */
static void does_not_cry_wolf(void **state)
{
    struct rig r;
    size_t told = 0;

    (void)state;
    rig_init(&r, true);
    make(&r, "https://a.example/", "nodeNeedsApproval");
    ask(&r, 1, "", 0);
    assert_int_equal(r.n, 0);
    rig_fini(&r);
    rig_init(&r, false);
    make(&r, "https://a.example/", "nodeNeedsApproval");
    for (unsigned i = 1; i <= 200; i++) {
        ask(&r, i, "", 0);
        told += r.n;
    }
    assert_in_range(told, 1, 60);
    rig_fini(&r);
}

/* A router says so with each map request. */
static void update(struct rig *r, unsigned machine, const char *routes, bool is_off)
{
    struct node_facts *facts = facts_of("laptop", routes, "");

    apply(r, (struct command){.type = COMMAND_NODE_UPDATE,
                              .is_update = true,
                              .machine = machine_of(machine),
                              .key = key_of(machine),
                              .facts = facts,
                              .forwarding_off = is_off});
    node_facts_unref(facts);
}

static void tells_of_machines_that_wait(void **state)
{
    const struct tailnet_settings asked = {.set = SETTING_DEVICE_APPROVAL, .device_approval = true};
    struct rig r;
    char key[128];

    (void)state;
    rig_init(&r, false);
    user_id alice = fixture_user(&r.f, "alice");
    make(&r, "https://a.example/", "categoryTailnetManagement");
    apply(&r, (struct command){.type = COMMAND_SETTINGS_SET, .settings = &asked});
    (void)fixture_key(&r.f, (struct key_options){.user = alice, .reusable = true}, key);
    ask(&r, 1, key, 0);
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "nodeCreated");
    assert_told(&r, 1, "nodeNeedsApproval");
    assert_str(data(&r, 1, "deviceName"), STR("laptop.example.net"));
    node_id id = r.f.result.id;

    apply(&r, (struct command){.type = COMMAND_NODE_APPROVE, .id = id});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeApproved");
    apply(&r, (struct command){.type = COMMAND_NODE_APPROVE, .id = id, .revokes = true});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "nodeNeedsApproval");
    /* What becomes of its user is told of him. */
    apply(&r, (struct command){.type = COMMAND_USER_SUSPEND, .id = alice});
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "userSuspended");
    rig_fini(&r);
}

static void tells_both_sides_of_shares(void **state)
{
    struct rig r;
    char key[128];

    (void)state;
    rig_init(&r, false);
    user_id alice = fixture_user(&r.f, "alice");
    (void)fixture_key(&r.f, (struct key_options){.user = alice, .reusable = true}, key);
    ask(&r, 1, key, 0);
    node_id node = r.f.result.id;

    apply(&r, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("other")});
    tailnet_id other = r.f.result.id;
    make(&r, "https://a.example/", "shareCreated,shareAccepted,shareRevoked");
    make_in(&r, other, "https://b.example/", "categoryTailnetManagement");
    const struct share s = {.node = node, .guest = other, .sharer = alice};

    apply(&r, (struct command){.type = COMMAND_SHARE_CREATE,
                               .tailnet = 1,
                               .share = &s,
                               .author = STR("user:alice")});
    share_id id = r.f.result.id;

    assert_int_equal(r.n, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_owner = r.of[i] == 1;

        assert_told(&r, i, "shareCreated");
        assert_str(data(&r, i, "direction"), is_owner ? STR("out") : STR("in"));
        assert_str(data(&r, i, is_owner ? "guestTailnet" : "ownerTailnet"),
                   is_owner ? STR("other") : STR("default"));
        /* Who offered it only his own tailnet is told. */
        assert_str(data(&r, i, "actor"), is_owner ? STR("alice") : STR_NONE);
    }
    assert_true(r.of[0] != r.of[1]);
    apply(&r, (struct command){.type = COMMAND_SHARE_ACCEPT, .tailnet = other, .id = id});
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "shareAccepted");
    assert_told(&r, 1, "shareAccepted");
    /* The machine goes, and the share with it. */
    apply(&r, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = 1, .id = node});
    assert_int_equal(r.n, 2);
    assert_told(&r, 0, "shareRevoked");
    assert_told(&r, 1, "shareRevoked");
    rig_fini(&r);
}

static void tells_once_of_routers_that_forward_nothing(void **state)
{
    struct rig r;
    char key[128];

    (void)state;
    rig_init(&r, false);
    user_id alice = fixture_user(&r.f, "alice");
    make(&r, "https://a.example/", "categoryDeviceMisconfigurations");
    make(&r, "https://b.example/", "exitNodeIPForwardingNotEnabled");
    (void)fixture_key(&r.f, (struct key_options){.user = alice, .reusable = true}, key);
    ask(&r, 1, key, 0);
    update(&r, 1, "", true); /* no router */
    assert_int_equal(r.n, 0);
    update(&r, 1, "10.0.0.0/24", false);
    assert_int_equal(r.n, 0);
    update(&r, 1, "10.0.0.0/24", true);
    assert_int_equal(r.n, 1);
    assert_told(&r, 0, "subnetIPForwardingNotEnabled");
    assert_str(data(&r, 0, "deviceName"), STR("laptop.example.net"));
    update(&r, 1, "10.0.0.0/24", true);
    assert_int_equal(r.n, 0);
    /* Well in between; then of both kinds. */
    update(&r, 1, "10.0.0.0/24", false);
    update(&r, 1, "0.0.0.0/0,10.0.0.0/24,::/0", true);
    assert_int_equal(r.n, 3);
    assert_told(&r, 0, "subnetIPForwardingNotEnabled");
    assert_told(&r, 1, "exitNodeIPForwardingNotEnabled");
    assert_int_equal(r.to[2], 2);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_nobody_without_webhooks),
        cmocka_unit_test(tells_of_users),
        cmocka_unit_test(tells_what_becomes_of_people),
        cmocka_unit_test(tells_of_machines_that_wait),
        cmocka_unit_test(tells_both_sides_of_shares),
        cmocka_unit_test(tells_whom_it_concerns),
        cmocka_unit_test(tells_of_nodes),
        cmocka_unit_test(tells_once_of_routers_that_forward_nothing),
        cmocka_unit_test(tells_once_of_who_waits),
        cmocka_unit_test(does_not_cry_wolf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
