/* What the property test does not look at: that work is shared, and the streams that end at once.
 */

#include "unit.h"

#include "netmap/flatten.h"
#include "netmap/model_client.h"
#include "netmap/stats.h"
#include "netmap/stream.h"
#include "tailnet/domain.h"
#include "wire/response.h"

#define NODES 3
#define NOW_MS 1700000000000

struct net {
    struct domain *d;
    struct change_list changes;
    struct netmap_feed *feed;
    node_id ids[NODES];
};

static void apply(struct net *n, struct command c, struct command_result *r)
{
    struct err err;

    c.now_ms = NOW_MS;
    *r = (struct command_result){0};
    if (domain_apply(n->d, &c, &n->changes, r, &err) < 0)
        fail_msg("%s", err.text);
    if (n->feed)
        netmap_feed_publish(n->feed, r->view, n->changes.items, n->changes.len);
    else
        n->feed = netmap_feed_new(r->view);
    change_list_clear(&n->changes);
}

static struct machine_key machine_of(size_t i)
{
    return (struct machine_key){{(uint8_t)(1 + i)}};
}

static struct node_key key_of(size_t i)
{
    return (struct node_key){{(uint8_t)(101 + i)}};
}

static void net_begin(struct net *n)
{
    struct tailnet_info *info = tailnet_info_new();
    struct command_result r;
    struct str secret;

    *n = (struct net){.d = domain_new()};
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("a.test"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/16"), &info->prefix_v4));
    apply(n, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info}, &r);
    command_result_fini(&r);
    tailnet_info_unref(info);
    apply(n, (struct command){.type = COMMAND_USER_CREATE, .name = STR("ann")}, &r);
    command_result_fini(&r);
    apply(n, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .user = 1, .reusable = true}, &r);
    secret = str_copy(r.secret);
    command_result_fini(&r);
    for (size_t i = 0; i < NODES; i++) {
        struct register_request reg = {.machine = machine_of(i),
                                       .key = key_of(i),
                                       .auth_key = secret,
                                       .facts = node_facts_new()};

        apply(n, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r);
        assert_int_equal(r.outcome, REGISTER_DONE);
        n->ids[i] = r.node->id;
        command_result_fini(&r);
        node_facts_unref(reg.facts);
    }
    str_free(&secret);
}

static void net_end(struct net *n)
{
    netmap_feed_free(n->feed);
    change_list_fini(&n->changes);
    domain_free(n->d);
}

static struct netmap_stream *stream(struct net *n, size_t i, bool zstd)
{
    return netmap_stream_new(
        n->feed, &(struct netmap_stream_options){.viewer = n->ids[i], .capver = 142, .zstd = zstd});
}

static enum netmap_pull pull(struct netmap_stream *s, struct buf *out)
{
    struct netmap_parcel parcel = {0};
    enum netmap_pull got = netmap_stream_pull(s, NOW_MS, &parcel);

    parcel_flatten(&parcel, out);
    return got;
}

/* The frame's message into `m`; the frame's bytes stay in `out`. */
static void receive(struct model_client *m, const struct buf *out, bool zstd)
{
    struct buf json = BUF(0);
    struct str payload;
    size_t used;

    assert_int_equal(wire_frame_decode(buf_str(out), (size_t)1 << 20, &payload, &used),
                     WIRE_FRAME_OK);
    assert_int_equal(used, out->len);
    if (zstd)
        assert_int_equal(wire_decompress(payload, (size_t)1 << 20, &json, NULL), 0);
    else
        buf_put(&json, payload);
    model_client_apply(m, buf_str(&json));
    assert_str(str_from(m->complaint), STR(""));
    buf_fini(&json);
}

static void derp_of(struct net *n, size_t i, uint32_t derp)
{
    struct command_result r;

    apply(n,
          (struct command){.type = COMMAND_NODE_UPDATE,
                           .machine = machine_of(i),
                           .key = key_of(i),
                           .home_derp = derp},
          &r);
    command_result_fini(&r);
}

/* Its home and its endpoints at once, as a machine says them that looked around. */
static void settles(struct net *n, size_t i, uint32_t derp, uint16_t port)
{
    const struct ip_addrport at = {IP_ADDR_V4(10, 77, 0, 1), port};
    struct command_result r;

    apply(n,
          (struct command){.type = COMMAND_NODE_UPDATE,
                           .machine = machine_of(i),
                           .key = key_of(i),
                           .home_derp = derp,
                           .endpoints = &at,
                           .n_endpoints = 1,
                           .has_endpoints = true},
          &r);
    command_result_fini(&r);
}

/* One change is the same bytes for all others, and nothing for the one it is about. */
static void shares_a_change(void **state)
{
    struct netmap_stream *s[NODES];
    struct model_client model[NODES] = {0};
    struct buf out[NODES] = {0};
    struct net n;

    (void)state;
    net_begin(&n);
    for (size_t i = 0; i < NODES; i++) {
        s[i] = stream(&n, i, true);
        assert_true(netmap_stream_is_behind(s[i]));
        assert_int_equal(pull(s[i], &out[i]), NETMAP_PULL_SENT);
        receive(&model[i], &out[i], true);
        assert_int_equal(model[i].n_peers, NODES - 1);
        assert_false(netmap_stream_is_behind(s[i]));
        buf_clear(&out[i]);
    }
    derp_of(&n, 0, 901);
    assert_int_equal(pull(s[0], &out[0]), NETMAP_PULL_NONE);
    for (size_t i = 1; i < NODES; i++) {
        assert_int_equal(pull(s[i], &out[i]), NETMAP_PULL_SENT);
        assert_str(buf_str(&out[i]), buf_str(&out[1]));
        receive(&model[i], &out[i], true);
        assert_int_equal(model[i].patches, 1);
        assert_int_equal(model[i].cards, 0);
    }
    for (size_t i = 0; i < NODES; i++) {
        netmap_stream_free(s[i]);
        model_client_fini(&model[i]);
        buf_fini(&out[i]);
    }
    net_end(&n);
}

/* Who was told less comes first; those who are told the same are side by side. */
static void stand_in_order(void **state)
{
    struct netmap_stream *s[NODES];
    struct buf out = BUF(0);
    struct net n;

    (void)state;
    net_begin(&n);
    for (size_t i = 0; i < NODES; i++)
        s[i] = stream(&n, i, true);
    assert_int_equal(netmap_stream_cmp(s[0], s[1]), 0);
    assert_int_equal(pull(s[0], &out), NETMAP_PULL_SENT);
    buf_clear(&out);
    assert_int_equal(pull(s[1], &out), NETMAP_PULL_SENT);
    assert_int_equal(netmap_stream_cmp(s[0], s[1]), 0);
    assert_true(netmap_stream_cmp(s[2], s[1]) < 0);
    assert_true(netmap_stream_cmp(s[1], s[2]) > 0);
    derp_of(&n, 2, 901);
    buf_clear(&out);
    assert_int_equal(pull(s[1], &out), NETMAP_PULL_SENT);
    assert_true(netmap_stream_cmp(s[0], s[1]) < 0);
    for (size_t i = 0; i < NODES; i++)
        netmap_stream_free(s[i]);
    buf_fini(&out);
    net_end(&n);
}

/* Pulls and forgets. */
static enum netmap_pull look(struct netmap_stream *s)
{
    struct netmap_parcel parcel = {0};
    enum netmap_pull got = netmap_stream_pull(s, NOW_MS, &parcel);

    netmap_parcel_fini(&parcel);
    return got;
}

static uint64_t counted(const struct net *n, enum netmap_count what)
{
    struct netmap_feed_stats stats;

    netmap_feed_stats(n->feed, &stats);
    return stats.counts[what];
}

/* With a block for each node: a map makes what later ones find ready, and a change costs the one
 * block it is in. */
static void makes_a_block_once(void **state)
{
    static const struct {
        const char *name;
        uint64_t made, reused;
    } steps[] = {
        /* The first of a list has a text of its own, without a comma. */
        {"the first viewer makes the second's as the first, the third's", 2, 0},
        {"the second the first's as the first, and finds the third's", 3, 1},
        {"the third finds that, and makes the second's behind it", 4, 2},
        {"the first again finds all", 4, 4},
    };
    struct netmap_stream *s[ARRAY_LEN(steps)];
    struct net n;

    (void)state;
    net_begin(&n);
    netmap_feed_set_limits(n.feed, &(struct netmap_limits){.block_cards = 1});
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        print_message("%s\n", steps[i].name);
        s[i] = stream(&n, i % NODES, true);
        assert_int_equal(look(s[i]), NETMAP_PULL_SENT);
        assert_int_equal(counted(&n, NETMAP_BLOCK_MADE), steps[i].made);
        assert_int_equal(counted(&n, NETMAP_BLOCK_REUSED), steps[i].reused);
    }
    derp_of(&n, 2, 901);
    netmap_stream_free(s[0]);
    s[0] = stream(&n, 0, true); /* the third's is not right any more */
    assert_int_equal(look(s[0]), NETMAP_PULL_SENT);
    assert_int_equal(counted(&n, NETMAP_BLOCK_MADE), 5);
    assert_int_equal(counted(&n, NETMAP_BLOCK_REUSED), 5);
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        netmap_stream_free(s[i]);
    net_end(&n);
}

/* A delta of many cards is a full map, and the client ends up the same. */
static void sends_a_map_for_a_large_delta(void **state)
{
    struct model_client model = {0};
    struct netmap_stream *s;
    struct buf out = BUF(0);
    struct net n;

    (void)state;
    net_begin(&n);
    netmap_feed_set_limits(n.feed, &(struct netmap_limits){.delta_cards = 1});
    s = stream(&n, 0, true);
    assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
    receive(&model, &out, true);
    for (size_t i = 1; i < NODES; i++) {
        struct command_result r;

        apply(&n,
              (struct command){.type = COMMAND_NODE_RENAME,
                               .id = n.ids[i],
                               .name = i == 1 ? STR("x") : STR("y")},
              &r);
        command_result_fini(&r);
    }
    buf_clear(&out);
    assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
    receive(&model, &out, true);
    assert_int_equal(counted(&n, NETMAP_FULL), 2);
    assert_int_equal(model.cards, 0);
    assert_int_equal(model.n_peers, NODES - 1);
    netmap_stream_free(s);
    model_client_fini(&model);
    buf_fini(&out);
    net_end(&n);
}

static void ends_for_a_deleted_node(void **state)
{
    struct netmap_stream *s;
    struct command_result r;
    struct buf out = BUF(0);
    struct net n;

    (void)state;
    net_begin(&n);
    s = stream(&n, 0, false);
    assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
    buf_clear(&out);
    apply(&n, (struct command){.type = COMMAND_NODE_DELETE, .id = n.ids[0]}, &r);
    command_result_fini(&r);
    assert_true(netmap_stream_is_behind(s));
    assert_int_equal(pull(s, &out), NETMAP_PULL_GONE);
    assert_int_equal(out.len, 0);
    netmap_stream_free(s);

    s = stream(&n, 0, false); /* never was told anything */
    assert_int_equal(pull(s, &out), NETMAP_PULL_GONE);
    netmap_stream_free(s);
    buf_fini(&out);
    net_end(&n);
}

/* As a server does it: the policy knows whom something holds. */
static void apply_with_policy(struct net *n, struct command c)
{
    struct command_result r;

    apply(n, c, &r);
    command_result_fini(&r);
    const struct policy *p =
        policy_compile(&(struct policy_input){.view = netmap_feed_view(n->feed)});
    netmap_feed_set_policy(n->feed, p);
    policy_unref(p);
}

static void tell(struct net *n, struct netmap_stream *s, struct model_client *m, size_t n_peers)
{
    struct buf out = BUF(0);

    (void)n;
    assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
    receive(m, &out, false);
    assert_int_equal(m->n_peers, n_peers);
    buf_fini(&out);
}

static void assert_self(const struct model_client *m, const char *authorized)
{
    for (size_t i = 0; i < m->self.n_fields; i++)
        if (str_eq(m->self.fields[i].name, STR("MachineAuthorized")))
            assert_str(m->self.fields[i].value, str_from(authorized));
}

/* On streams that live: it is told that it waits, and of its peers when it may come; others see it
 * go and come. */
static void tells_of_a_hold_at_once(void **state)
{
    struct tailnet_settings asked = {.set = SETTING_DEVICE_APPROVAL, .device_approval = true};
    struct model_client held = {0}, other = {0};
    struct netmap_stream *s, *t;
    struct net n;

    (void)state;
    net_begin(&n);
    apply_with_policy(&n, (struct command){.type = COMMAND_TAILNET_SET, .settings = &asked});
    s = stream(&n, 0, false);
    t = stream(&n, 1, false);
    tell(&n, s, &held, NODES - 1);
    tell(&n, t, &other, NODES - 1);
    assert_self(&held, "true");
    apply_with_policy(
        &n, (struct command){.type = COMMAND_NODE_APPROVE, .id = n.ids[0], .revokes = true});
    tell(&n, s, &held, 0);
    tell(&n, t, &other, NODES - 2);
    assert_self(&held, "false");
    assert_self(&other, "true");
    apply_with_policy(&n, (struct command){.type = COMMAND_NODE_APPROVE, .id = n.ids[0]});
    tell(&n, s, &held, NODES - 1);
    tell(&n, t, &other, NODES - 1);
    assert_self(&held, "true");
    model_client_fini(&held);
    model_client_fini(&other);
    netmap_stream_free(s);
    netmap_stream_free(t);
    net_end(&n);
}

static void may_leave_the_peers_out(void **state)
{
    struct netmap_stream *s;
    struct model_client model = {0};
    struct buf out = BUF(0);
    struct net n;

    (void)state;
    net_begin(&n);
    s = netmap_stream_new(n.feed, &(struct netmap_stream_options){.viewer = n.ids[1],
                                                                  .capver = 106,
                                                                  .omit_peers = true,
                                                                  .health = STR("clock is wrong")});
    assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
    receive(&model, &out, false);
    assert_int_equal(model.n_peers, 0);
    assert_int_equal(model.self.id, n.ids[1]);
    assert_true(str_find(buf_str(&out), STR("\"Health\":[\"clock is wrong\"]")) > 0);
    assert_true(str_find(buf_str(&out), STR("\"DefaultAutoUpdate\":false")) > 0);
    assert_true(str_find(buf_str(&out), STR("\"ControlTime\":\"2023-11-14T22:13:20Z\"")) > 0);
    buf_clear(&out);
    derp_of(&n, 0, 901);
    assert_false(netmap_stream_is_behind(s));
    assert_int_equal(pull(s, &out), NETMAP_PULL_NONE);
    netmap_stream_free(s);
    model_client_fini(&model);
    buf_fini(&out);
    net_end(&n);
}

/* One release wants something dear in each delta: else it does not reach peers that are new. */
static void says_the_domain_to_the_deaf(void **state)
{
    static const struct {
        uint32_t capver;
        bool is_said;
    } cases[] = {{138, false}, {141, true}, {142, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_client model = {0};
        struct buf out = BUF(0);
        struct net n;

        net_begin(&n);
        struct netmap_stream *s = netmap_stream_new(
            n.feed, &(struct netmap_stream_options){.viewer = n.ids[1], .capver = cases[i].capver});
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        receive(&model, &out, false);
        buf_clear(&out);
        derp_of(&n, 0, 901);
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        receive(&model, &out, false);
        assert_int_equal(str_find(buf_str(&out), STR("\"Domain\":\"")) > 0, cases[i].is_said);
        assert_int_equal(model.patches, 1);
        assert_int_equal(model.n_peers, NODES - 1);
        buf_clear(&out);
        derp_of(&n, 1, 901);
        assert_int_equal(pull(s, &out), NETMAP_PULL_NONE);
        netmap_stream_free(s);
        model_client_fini(&model);
        buf_fini(&out);
        net_end(&n);
    }
}

/* Others want it where a node has another home and other endpoints: they do not hear of the latter
 * else. */
static void says_the_domain_to_the_half_deaf(void **state)
{
    static const struct {
        uint32_t capver;
        bool is_said;
    } cases[] = {{116, false}, {117, true}, {130, true}, {132, true}, {133, false}, {142, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(0);
        struct net n;

        net_begin(&n);
        struct netmap_stream *s = netmap_stream_new(
            n.feed, &(struct netmap_stream_options){.viewer = n.ids[1], .capver = cases[i].capver});
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        buf_clear(&out);
        settles(&n, 0, 901, 41641);
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        assert_true(str_find(buf_str(&out), STR("10.77.0.1:41641")) > 0);
        assert_int_equal(str_find(buf_str(&out), STR("\"Domain\":\"")) > 0, cases[i].is_said);
        buf_clear(&out);
        settles(&n, 0, 901, 41642);
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        assert_false(str_find(buf_str(&out), STR("\"Domain\":\"")) > 0);
        buf_clear(&out);
        derp_of(&n, 0, 902);
        assert_int_equal(pull(s, &out), NETMAP_PULL_SENT);
        assert_false(str_find(buf_str(&out), STR("\"Domain\":\"")) > 0);
        netmap_stream_free(s);
        buf_fini(&out);
        net_end(&n);
    }
}

static void keeps_alive(void **state)
{
    struct buf out = BUF(0), json = BUF(0);
    struct str payload;
    size_t used;
    struct net n;

    (void)state;
    net_begin(&n);
    for (int zstd = 0; zstd < 2; zstd++) {
        struct netmap_stream *s = stream(&n, 0, zstd);
        struct netmap_parcel parcel = {0};

        buf_clear(&out);
        buf_clear(&json);
        netmap_stream_keep_alive(s, &parcel);
        parcel_flatten(&parcel, &out);
        assert_int_equal(wire_frame_decode(buf_str(&out), 100, &payload, &used), WIRE_FRAME_OK);
        if (zstd)
            assert_int_equal(wire_decompress(payload, 100, &json, NULL), 0);
        else
            buf_put(&json, payload);
        assert_str(buf_str(&json), STR("{\"KeepAlive\": true}"));
        netmap_stream_free(s);
    }
    buf_fini(&out);
    buf_fini(&json);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_a_change),
        cmocka_unit_test(stand_in_order),
        cmocka_unit_test(makes_a_block_once),
        cmocka_unit_test(sends_a_map_for_a_large_delta),
        cmocka_unit_test(ends_for_a_deleted_node),
        cmocka_unit_test(tells_of_a_hold_at_once),
        cmocka_unit_test(may_leave_the_peers_out),
        cmocka_unit_test(says_the_domain_to_the_deaf),
        cmocka_unit_test(says_the_domain_to_the_half_deaf),
        cmocka_unit_test(keeps_alive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
