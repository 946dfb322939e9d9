/* Every field of every object, with values that are hard on texts, through the tables and back. */

#include "harness.h"

/* Quotes, NUL, UTF-8, what is no UTF-8, line breaks, nothing. */
static const struct str odd[] = {
    STR_INIT(""),
    STR_INIT("plain"),
    STR_INIT("'quotes\" \\ ; --"),
    STR_INIT("a\0b\0"),
    STR_INIT("\xc3\xa4\xf0\x9f\x90\xa7"),
    STR_INIT("\xff\xfe broken"),
    STR_INIT("line\nbreak\ttab"),
    STR_INIT("$1 ?2 :x"),
};
/* Inside JSON lists texts are UTF-8. */
static const struct str odd_text[] = {
    STR_INIT("tag:plain"), STR_INIT("'\"\\/"),
    STR_INIT("a\0b"),      STR_INIT("\xc3\xa4\xf0\x9f\x90\xa7"),
    STR_INIT("\n\t\x7f"),  STR_INIT(""),
};

static struct str pick(size_t *turn)
{
    return str_copy(odd[(*turn)++ % ARRAY_LEN(odd)]);
}

static void add_texts(struct str_list *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        str_list_add(list, odd_text[i % ARRAY_LEN(odd_text)]);
}

/* Settings of one's own, of some parts. */
static void set_dns(struct tailnet_info *info, size_t turn)
{
    struct dns_settings *own = dns_settings_new();

    own->parts = (unsigned)turn % DNS_ALL + 1;
    own->magic_dns = own->parts & DNS_MAGIC && turn % 2;
    if (own->parts & DNS_RESOLVERS)
        (void)dns_add_resolver(own, STR("9.9.9.9"), turn % 2);
    if (own->parts & DNS_SPLITS)
        dns_split_add(dns_add_split(own, STR("own.test")), STR("10.0.0.53:53"), turn % 3);
    if (own->parts & DNS_SEARCH)
        dns_add_search(own, STR("own.test"));
    if (own->parts & DNS_RECORDS)
        dns_add_record(own, STR("a.own.test"), STR("AAAA"), STR("fd7a::1"));
    tailnet_info_settle_dns(info, tailnet_info_configured_dns(info), own);
}

/* Settings over what is configured, of some parts. */
static void set_settings(struct tailnet_info *info, size_t turn)
{
    struct tailnet_settings s = {.set = (unsigned)turn % (SETTINGS_ALL + 1)};

    if (s.set & SETTING_KEY_DURATION)
        s.key_duration_ms = (int64_t)turn * 7;
    s.auto_update = s.set & SETTING_AUTO_UPDATE && turn % 2;
    s.policy_elsewhere = s.set & SETTING_POLICY_ELSEWHERE && turn % 3;
    if (s.set & SETTING_POLICY_LINK)
        s.policy_link = STR("https://git.example/\"policy\"");
    if (s.set & SETTING_CONTACT_SUPPORT)
        s.contacts[CONTACT_SUPPORT] = STR("\xc3\xa4@b.example");
    tailnet_info_settle_settings(info, &s);
}

static struct tailnet_info *info_of(size_t turn)
{
    struct tailnet_info *info = tailnet_info_new();

    info->id = 1;
    info->name = pick(&turn);
    info->base_domain = pick(&turn);
    info->domain = pick(&turn);
    info->created_ms = turn % 2 ? INT64_MAX : INT64_MIN;
    if (turn % 3 != 0)
        assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    if (turn % 3 != 1)
        assert_true(ip_prefix_parse(STR("fd7a:115c:a1e0::/128"), &info->prefix_v6));
    info->allocation = turn % 2 ? ADDRESS_RANDOM : ADDRESS_SEQUENTIAL;
    info->node_expiry_ms = (int64_t)turn;
    info->ephemeral_timeout_ms = -(int64_t)turn;
    info->taildrop = turn % 2;
    info->logtail = !info->taildrop;
    info->auto_update = turn % 3;
    info->randomize_client_port = turn % 5;
    if (turn > 0) { /* without: there never was one */
        info->policy = str_copy(odd[turn % ARRAY_LEN(odd)]);
        info->policy_author = str_copy(odd[(turn + 1) % ARRAY_LEN(odd)]);
        info->policy_updated_ms = T0 + (int64_t)turn;
    }
    info->magic_dns = turn % 2;
    info->override_local_dns = !info->magic_dns;
    set_settings(info, turn * 13);
    if (turn % 2 == 0)
        return info;

    info->n_resolvers = 2;
    info->resolvers = mem_alloc_array(2, sizeof(*info->resolvers));
    info->resolvers[0].addr = str_copy(STR("1.1.1.1"));
    info->resolvers[1].addr = str_copy(odd_text[turn % ARRAY_LEN(odd_text)]);
    info->resolvers[1].with_exit_node = turn % 3;
    info->n_splits = 2;
    info->splits = mem_alloc_array(2, sizeof(*info->splits));
    info->splits[0].suffix = str_copy(STR("a.b"));
    info->splits[1].suffix = str_copy(STR("c.d"));
    info->splits[1].n_resolvers = 1;
    info->splits[1].resolvers = mem_alloc_array(1, sizeof(*info->splits[1].resolvers));
    info->splits[1].resolvers[0].addr = str_copy(STR("https://x/\"y\""));
    add_texts(&info->search_domains, 4);
    info->n_records = 1;
    info->records = mem_alloc_array(1, sizeof(*info->records));
    info->records[0] = (struct dns_record){str_copy(STR("n")), str_copy(STR("A")), STR_NONE};
    info->n_regions = 2;
    info->regions = mem_alloc_array(2, sizeof(*info->regions));
    info->regions[0] = (struct derp_region){.id = UINT32_MAX,
                                            .code = str_copy(STR("\xc3\xa4")),
                                            .name = str_copy(STR("\"")),
                                            .avoid = true,
                                            .n_nodes = 1};
    info->regions[0].nodes = mem_alloc_array(1, sizeof(struct derp_node));
    info->regions[0].nodes[0] = (struct derp_node){.name = str_copy(STR("1a")),
                                                   .host_name = str_copy(STR("h")),
                                                   .cert_name = str_copy(STR("sha256-raw:00")),
                                                   .ipv4 = str_copy(STR("none")),
                                                   .ipv6 = str_copy(STR("::1")),
                                                   .stun_port = -1,
                                                   .stun_only = true,
                                                   .derp_port = 65535,
                                                   .can_port80 = true,
                                                   .insecure_for_tests = true};
    info->regions[1] = (struct derp_region){.id = 1, .no_measure_no_home = true};
    if (turn % 4)
        set_dns(info, turn);
    return info;
}

static struct user *user_of(size_t turn)
{
    struct user *u = user_new();

    u->id = turn + 1;
    u->tailnet = 1;
    u->name = pick(&turn);
    u->display_name = pick(&turn);
    u->email = pick(&turn);
    u->picture_url = pick(&turn);
    u->provider = pick(&turn);
    u->provider_id = pick(&turn);
    add_texts(&u->groups, turn % 3);
    u->role = (enum user_role)(turn % (ROLE_AUDITOR + 1));
    u->created_ms = T0 + (int64_t)turn;
    return u;
}

static struct auth_key *auth_key_of(size_t turn)
{
    struct auth_key *k = auth_key_new();

    k->id = turn + 1;
    k->tailnet = 1;
    k->user = turn % 2 ? 1 : 0;
    add_texts(&k->tags, turn % 5);
    k->prefix = pick(&turn);
    for (size_t i = 0; i < sizeof(k->hash); i++)
        k->hash[i] = (uint8_t)(turn * 31 + i);
    k->legacy = pick(&turn);
    k->reusable = turn % 2;
    k->ephemeral = turn % 3;
    k->used = turn % 5;
    k->created_ms = T0;
    k->expiry_ms = turn % 2 ? 0 : T0 + 1;
    k->description = pick(&turn);
    k->revoked_ms = turn % 4 ? 0 : T0 + 2;
    return k;
}

static struct api_key *api_key_of(size_t turn)
{
    struct api_key *k = api_key_new();

    k->id = turn + 1;
    k->tailnet = turn % 3 ? 1 : 0;
    k->user = turn % 3 == 1 ? 1 : 0;
    k->prefix = pick(&turn);
    for (size_t i = 0; i < sizeof(k->hash); i++)
        k->hash[i] = (uint8_t)(turn * 29 + i);
    k->legacy = pick(&turn);
    k->description = pick(&turn);
    add_texts(&k->scopes, turn % 5);
    k->created_ms = T0;
    k->expiry_ms = turn % 2 ? 0 : T0 + 1;
    k->last_seen_ms = turn % 3 ? 0 : T0 + 2;
    k->kind = (enum api_key_kind)(turn % API_KEY_KINDS);
    k->client = turn % 2 ? turn : 0;
    add_texts(&k->tags, turn % 4);
    return k;
}

static void fill(void *to, size_t n, size_t seed)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)to)[i] = (uint8_t)(seed * 37 + i * 11);
}

static struct node *node_of(size_t turn)
{
    struct node *n = NEW(struct node);
    struct node_facts *f = node_facts_new();
    static const char *const routes[] = {"10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::1/128"};
    static const char *const endpoints[] = {"1.2.3.4:41641", "[2001:db8::1]:1",
                                            "[::ffff:1.2.3.4]:0"};

    ref_init(&n->ref);
    n->id = turn + 1;
    n->tailnet = 1;
    n->stable_id = pick(&turn);
    n->user = turn % 2 ? 1 : 0;
    if (n->user == 0)
        add_texts(&n->tags, 1 + turn % 5);
    n->method = (enum register_method)(turn % (REGISTER_OIDC + 1));
    n->auth_key = turn % 3 ? turn : 0;
    n->ephemeral = turn % 2;
    fill(&n->machine, sizeof(n->machine), turn);
    fill(&n->key, sizeof(n->key), turn + 1);
    fill(&n->disco, sizeof(n->disco), turn + 2);
    if (turn % 2)
        fill(&n->nl, sizeof(n->nl), turn + 3);
    n->given_name = pick(&turn);
    n->name_is_auto = turn % 2;
    if (turn % 4 != 0)
        n->v4 = IP_ADDR_V4(100, 64, 0, (uint8_t)turn);
    if (turn % 4 != 1)
        assert_true(ip_addr_parse(STR("fd7a:115c:a1e0::7"), &n->v6));
    n->created_ms = T0;
    n->expiry_ms = turn % 2 ? T0 : 0;
    n->last_seen_ms = (int64_t)turn;
    n->capver = turn % 2 ? UINT32_MAX : 0;
    n->home_derp = turn % 2 ? 0 : UINT32_MAX;
    n->n_endpoints = turn % (ARRAY_LEN(endpoints) + 1);
    n->endpoints = mem_alloc_array(n->n_endpoints, sizeof(*n->endpoints));
    n->endpoint_types = mem_alloc_array(n->n_endpoints, sizeof(*n->endpoint_types));
    for (size_t i = 0; i < n->n_endpoints; i++) {
        assert_true(ip_addrport_parse(str_from(endpoints[i]), &n->endpoints[i]));
        n->endpoint_types[i] = (uint8_t)(i * 127);
    }
    n->n_attributes = turn % 3;
    n->attributes = mem_alloc_array(n->n_attributes, sizeof(*n->attributes));
    for (size_t i = 0; i < n->n_attributes; i++)
        n->attributes[i] =
            (struct node_attribute){.name = str_copy(i == 0 ? STR("custom:a") : STR("custom:b")),
                                    .kind = (enum attribute_kind)((turn + i) % 3),
                                    .value = str_copy(i == 0 ? STR("true") : STR("\xc3\xa4 \"x\"")),
                                    .expiry_ms = turn % 2 ? T0 : 0,
                                    .comment = i == 0 ? STR_NONE : str_copy(STR("why"))};
    n->n_approved = turn % (ARRAY_LEN(routes) + 1);
    n->approved = mem_alloc_array(n->n_approved, sizeof(*n->approved));
    f->n_routes = n->n_approved;
    f->routes = mem_alloc_array(f->n_routes, sizeof(*f->routes));
    for (size_t i = 0; i < n->n_approved; i++) {
        assert_true(ip_prefix_parse(str_from(routes[i]), &n->approved[i]));
        f->routes[i] = n->approved[i];
    }
    str_free(&f->hostinfo);
    f->hostinfo = turn % 2 ? str_copy(STR("{\"a\":\"\\u0000\xc3\xa4\"}")) : pick(&turn);
    f->hostname = pick(&turn);
    f->os = pick(&turn);
    f->ipn_version = pick(&turn);
    add_texts(&f->request_tags, turn % 4);
    n->facts = f;
    return n;
}

/* ---- through the tables ---- */

struct seen {
    size_t n;
    size_t turn;
};

static void put_op(struct store *s, enum store_op_kind kind, uint64_t id, const void *object)
{
    struct store_batch *b = store_batch_new();
    struct err err = {0};

    b->ops = mem_alloc_array(1, sizeof(*b->ops));
    b->cap = b->len = 1;
    b->ops[0] = (struct store_op){.kind = kind, .tailnet = 1, .id = id, .object = object};
    if (store_commit(s, b, &err) < 0)
        fail_msg("%s", err.text);
    store_batch_free(b);
}

static int check_info(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct seen *seen = user;
    struct tailnet_info *got = NULL, *want = info_of(seen->turn);
    uint64_t revision = 0;
    const char *d;

    if (row_to_info(columns, n, &got, &revision, err) < 0)
        fail_msg("%s", err->text);
    d = differ_infos(want, got);
    if (d)
        fail_msg("%s", d);
    tailnet_info_unref(got);
    tailnet_info_unref(want);
    seen->n++;
    return 0;
}

static int check_user(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct seen *seen = user;
    struct user *got = NULL, *want = user_of(seen->n);
    const char *d;

    if (row_to_user(columns, n, &got, err) < 0)
        fail_msg("%s", err->text);
    d = differ_users(want, got);
    if (d)
        fail_msg("%s", d);
    user_unref(got);
    user_unref(want);
    seen->n++;
    return 0;
}

static int check_auth_key(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct seen *seen = user;
    struct auth_key *got = NULL, *want = auth_key_of(seen->n);
    const char *d;

    if (row_to_auth_key(columns, n, &got, err) < 0)
        fail_msg("%s", err->text);
    d = differ_auth_keys(want, got);
    if (d)
        fail_msg("%s", d);
    auth_key_unref(got);
    auth_key_unref(want);
    seen->n++;
    return 0;
}

static int check_api_key(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct seen *seen = user;
    struct api_key *got = NULL, *want = api_key_of(seen->n);
    const char *d;

    if (row_to_api_key(columns, n, &got, err) < 0)
        fail_msg("%s", err->text);
    d = differ_api_keys(want, got);
    if (d)
        fail_msg("%s", d);
    api_key_unref(got);
    api_key_unref(want);
    seen->n++;
    return 0;
}

static int check_node(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct seen *seen = user;
    struct node *got = NULL, *want = node_of(seen->n);
    const char *d;

    if (row_to_node(columns, n, &got, err) < 0)
        fail_msg("%s", err->text);
    d = differ_nodes(want, got);
    if (d)
        fail_msg("%s", d);
    assert_false(got->online || got->expired);
    node_unref(got);
    node_unref(want);
    seen->n++;
    return 0;
}

static void check_all(struct store *s, enum db_statement id, db_row_fn *on_row, struct seen *seen)
{
    struct err err = {0};

    if (s->db->ops->run(s->db, id, NULL, 0, on_row, seen, &err) < 0)
        fail_msg("%s", err.text);
}

#define TURNS 24

static void keeps_every_field(void **state)
{
    struct store_options options = {.sqlite_path = STR(":memory:"), .wal = true};
    struct store *s = NULL;
    struct err err = {0};
    struct seen users = {0}, keys = {0}, api_keys = {0}, nodes = {0};

    (void)state;
    assert_int_equal(store_open(&options, &s, &err), 0);
    for (size_t turn = 0; turn < TURNS; turn++) {
        struct seen seen = {.turn = turn};

        put_op(s, STORE_PUT_INFO, 1, info_of(turn));
        check_all(s, SQL_INFOS_ALL, check_info, &seen);
        assert_int_equal(seen.n, 1);
    }
    for (size_t turn = 0; turn < TURNS; turn++)
        put_op(s, STORE_PUT_USER, turn + 1, user_of(turn));
    check_all(s, SQL_USERS_ALL, check_user, &users);
    assert_int_equal(users.n, TURNS);
    for (size_t turn = 0; turn < TURNS; turn++)
        put_op(s, STORE_PUT_AUTH_KEY, turn + 1, auth_key_of(turn));
    check_all(s, SQL_AUTH_KEYS_ALL, check_auth_key, &keys);
    assert_int_equal(keys.n, TURNS);
    for (size_t turn = 0; turn < TURNS; turn++)
        put_op(s, STORE_PUT_API_KEY, turn + 1, api_key_of(turn));
    check_all(s, SQL_API_KEYS_ALL, check_api_key, &api_keys);
    assert_int_equal(api_keys.n, TURNS);
    for (size_t turn = 0; turn < TURNS; turn++) {
        /* Over a row that is there already, too. */
        struct node *other = node_of(turn + 7);

        other->id = turn + 1;
        put_op(s, STORE_PUT_NODE, turn + 1, other);
        put_op(s, STORE_PUT_NODE, turn + 1, node_of(turn));
    }
    check_all(s, SQL_NODES_ALL, check_node, &nodes);
    assert_int_equal(nodes.n, TURNS);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_every_field)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
