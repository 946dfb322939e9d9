#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "harness.h"

static void assert_refused(const struct test_dir *t, enum err_code code, const char *text)
{
    struct test_options room;
    struct store *s = NULL;
    struct err err = {0};

    (void)test_options(&room, t->path);
    room.postgres.lock_patience_ms = 1;
    assert_int_equal(store_open(&room.options, &s, &err), -(int)code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, text))
        fail_msg("got \"%s\", want \"%s\"", err.text, text);
}

/* ---- servers ---- */

static void one_server_a_file(void **state)
{
    struct test_dir t;
    struct world w;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    assert_refused(&t, ERR_CONFLICT, "another hatsize process");
    world_close(&w);
    world_open(&w, t.path);
    world_close(&w);
    test_dir_remove(&t);
}

/* Statements, as they are written: nothing of what is put into them. */
static void tells_of_statements(void **state)
{
    struct test_dir t;
    struct test_options room;
    struct store *s = NULL;
    struct err err = {0};
    static char told[1 << 20];
    FILE *log = tmpfile();

    (void)state;
    assert_non_null(log);
    test_dir_make(&t);
    (void)test_options(&room, t.path);
    room.options.log_statements = true;
    log_init(LOG_INFO, LOG_TEXT, fileno(log));
    if (store_open(&room.options, &s, &err) < 0 ||
        store_value_put(s, STR("a"), STR("nobody-may-see-it"), &err) < 0)
        fail_msg("%s", err.text);
    store_close(s);
    log_init(LOG_OFF, LOG_TEXT, -1);
    rewind(log);
    told[fread(told, 1, sizeof(told) - 1, log)] = '\0';
    (void)fclose(log);
    assert_non_null(strstr(told, "INTO server_values"));
    assert_null(strstr(told, "nobody-may-see-it"));
    test_dir_remove(&t);
}

/* ---- policies ---- */

static void the_newest_policy_is_in_force_and_older_ones_are_kept(void **state)
{
    static const struct str text = STR_INIT("// who may what\n{\t\"acls\": [ ], }\n");
    struct test_dir t;
    struct world w;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    world_tailnet(&w, "default");
    tailnet_id other = world_tailnet(&w, "other");
    for (size_t i = 0; i < POLICIES_KEPT + 7; i++) {
        struct str old = str_printf("// %zu", i);

        world_do(
            &w, (struct command){.type = COMMAND_POLICY_SET, .text = old, .author = STR("socket")});
        assert_true(w.durable);
        assert_int_equal(world_commit(&w, NULL), 0);
        str_free(&old);
    }
    world_do(&w,
             (struct command){.type = COMMAND_POLICY_SET, .text = text, .author = STR("alice")});
    world_do(&w, (struct command){.type = COMMAND_POLICY_SET, .tailnet = other, .text = STR("{}")});
    assert_int_equal(world_commit(&w, NULL), 0);
    /* The settings are written anew and the policy is not. */
    world_do(&w, (struct command){.type = COMMAND_TAILNET_UPDATE, .tailnet = other});
    assert_int_equal(world_commit(&w, NULL), 0);
    world_close(&w);

    assert_int_equal(outside(t.path, "SELECT count(*) FROM policies WHERE tailnet = 1"),
                     POLICIES_KEPT);
    assert_int_equal(outside(t.path, "SELECT count(*) FROM policies WHERE tailnet <> 1"), 1);
    world_open(&w, t.path);
    AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
    assert_str(view_info(view)->policy, text);
    assert_str(view_info(view)->policy_author, STR("alice"));
    AUTO(view_unref) const struct tailnet_view *second = domain_view(w.domain, other);
    assert_str(view_info(second)->policy, STR("{}"));
    world_close(&w);
    test_dir_remove(&t);
}

/* ---- webhooks ---- */

struct found {
    uint64_t ids[8];
    size_t n;
};

static void note_delivery(void *user, const struct delivery *d)
{
    struct found *f = user;

    assert_str(d->body, STR("{\"type\":\"nodeCreated\"}"));
    assert_int_equal(d->event, EVENT_NODE_CREATED);
    f->ids[f->n++] = d->id;
}

static void send(struct world *w, webhook_id webhook, uint64_t id)
{
    struct delivery *d = delivery_new();

    d->id = id;
    d->webhook = webhook;
    d->tailnet = 1;
    d->event = EVENT_NODE_CREATED;
    d->created_ms = w->now_ms;
    d->body = str_copy(STR("{\"type\":\"nodeCreated\"}"));
    store_batch_add_delivery(w->batch, d);
    delivery_unref(d);
}

static void keeps_webhooks_and_what_is_on_its_way(void **state)
{
    struct str events[] = {STR_INIT("nodeCreated"), STR_INIT("categoryDeviceMisconfigurations")};
    struct found found = {0};
    struct test_dir t;
    struct world w;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    world_tailnet(&w, "default");
    struct command make = {.type = COMMAND_WEBHOOK_CREATE,
                           .text = STR("https://example.com/x"),
                           .provider = STR("discord"),
                           .name = STR("alice"),
                           .scopes = {events, 2}};
    webhook_id id = world_do(&w, make), gone = world_do(&w, make);
    for (uint64_t i = 1; i <= 3; i++)
        send(&w, id, i);
    assert_int_equal(world_commit(&w, NULL), 0);
    store_batch_remove_delivery(w.batch, 2);
    (void)world_do(&w, (struct command){.type = COMMAND_WEBHOOK_DELETE, .id = gone});
    /* One for an endpoint that goes at the same time is no broken reference. */
    send(&w, gone, 4);
    assert_int_equal(world_commit(&w, NULL), 0);
    struct str secret;
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);

        secret = str_copy(view_webhook_find(view, id)->secret);
    }
    world_close(&w);

    world_open(&w, t.path);
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
        const struct webhook *h = view_webhook_find(view, id);

        assert_non_null(h);
        assert_null(view_webhook_find(view, gone));
        assert_str(h->url, STR("https://example.com/x"));
        assert_str(h->secret, secret);
        assert_str(h->creator, STR("alice"));
        assert_int_equal(h->provider, WEBHOOK_DISCORD);
        assert_int_equal(h->subscriptions,
                         BIT(EVENT_NODE_CREATED) | BIT(EVENT_CATEGORY_MISCONFIGURATIONS));
    }
    assert_int_equal(store_deliveries(w.store, note_delivery, &found, &err), 0);
    assert_int_equal(found.n, 3);
    assert_int_equal(found.ids[0], 1);
    assert_int_equal(found.ids[1], 3);
    assert_int_equal(found.ids[2], 4);
    /* Ids are never used again, also of those that were taken. */
    assert_true(world_do(&w, make) > gone);
    assert_true(domain_take_event_id(w.domain) > 4);
    str_free(&secret);
    world_close(&w);
    test_dir_remove(&t);
}

/* ---- values ---- */

static void keeps_server_values(void **state)
{
    struct test_dir t;
    struct world w;
    struct buf value = BUF(64), small = BUF(2);
    struct err err = {0};
    bool found = true;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    assert_int_equal(store_value_get(w.store, STR("x"), &value, &found, &err), 0);
    assert_false(found);
    assert_int_equal(store_value_put(w.store, STR("x"), STR("one"), &err), 0);
    assert_int_equal(store_value_put(w.store, STR("x"), STR("t\0o"), &err), 0);
    assert_int_equal(store_value_put(w.store, STR("y"), STR_NONE, &err), 0);
    world_close(&w);
    world_open(&w, t.path);
    assert_int_equal(store_value_get(w.store, STR("x"), &value, &found, &err), 0);
    assert_true(found);
    assert_str(buf_str(&value), STR("t\0o"));
    assert_int_equal(store_value_get(w.store, STR("y"), &value, &found, &err), 0);
    assert_true(found);
    assert_int_equal(value.len, 0);
    assert_int_equal(store_value_get(w.store, STR("x"), &small, &found, &err), -(int)ERR_LIMIT);
    assert_int_equal(store_check(w.store, &err), 0);
    world_close(&w);
    buf_fini(&value);
    buf_fini(&small);
    test_dir_remove(&t);
}

/* ---- batches ---- */

static struct change node_change(tailnet_id tailnet, node_id id, unsigned mask, uint64_t revision)
{
    return (struct change){
        .kind = CHANGE_NODE, .tailnet = tailnet, .id = id, .mask = mask, .revision = revision};
}

static void collapses_and_judges(void **state)
{
    struct world w;
    tailnet_id tailnet;
    user_id user;
    bool durable;

    (void)state;
    world_open(&w, ":memory:");
    tailnet = world_tailnet(&w, "default");
    user = world_user(&w, tailnet, "alice");

    AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, tailnet);
    struct store_batch *b = store_batch_new();

    const struct change idle[] = {
        {.kind = CHANGE_STREAM_END, .tailnet = tailnet, .id = 1, .revision = 5},
        {.kind = CHANGE_PENDING, .tailnet = tailnet, .text = "x", .revision = 6},
    };
    store_batch_add(b, view, idle, ARRAY_LEN(idle), &durable);
    assert_int_equal(store_batch_len(b), 0);
    assert_false(durable);

    /* Written behind, but written; a node that is not there is a deletion. */
    const struct change behind[] = {node_change(tailnet, 9, NODE_ENDPOINTS, 7),
                                    node_change(tailnet, 9, NODE_ONLINE, 8),
                                    node_change(tailnet, 9, NODE_FACTS | NODE_DERP, 9)};
    store_batch_add(b, view, behind, ARRAY_LEN(behind), &durable);
    assert_int_equal(store_batch_len(b), 1);
    assert_int_equal(b->ops[0].kind, STORE_DELETE_NODE);
    assert_false(durable);

    const struct change must[] = {node_change(tailnet, 9, NODE_KEY, 10)};
    store_batch_add(b, view, must, 1, &durable);
    assert_int_equal(store_batch_len(b), 1);
    assert_true(durable);
    /* Each call tells of its own changes only. */
    store_batch_add(b, view, behind, 1, &durable);
    assert_false(durable);

    const struct change users[] = {
        {.kind = CHANGE_USER, .tailnet = tailnet, .id = user, .revision = 11},
        {.kind = CHANGE_USER, .tailnet = tailnet, .id = user, .revision = 12},
        {.kind = CHANGE_USER_REMOVED, .tailnet = tailnet, .id = 77, .revision = 13},
        {.kind = CHANGE_AUTH_KEY_REMOVED, .tailnet = tailnet, .id = user, .revision = 14},
        {.kind = CHANGE_INFO, .tailnet = tailnet, .id = tailnet, .revision = 15},
    };
    store_batch_add(b, view, users, ARRAY_LEN(users), &durable);
    assert_int_equal(store_batch_len(b), 5);
    assert_int_equal(b->n_revisions, 1);
    assert_int_equal(b->revisions[0].revision, 15);

    /* A tailnet that goes takes its operations along, and what comes after it is nothing. */
    const struct change gone[] = {
        {.kind = CHANGE_TAILNET_REMOVED, .tailnet = tailnet, .id = tailnet, .revision = 16},
        {.kind = CHANGE_INFO, .tailnet = tailnet, .id = tailnet, .revision = 17},
    };
    store_batch_add(b, NULL, gone, ARRAY_LEN(gone), &durable);
    assert_true(durable);
    assert_int_equal(store_batch_len(b), 1);
    assert_int_equal(b->n_revisions, 0);
    store_batch_free(b);
    world_close(&w);
}

static void ids_are_never_used_again(void **state)
{
    struct test_dir t;
    struct world w;
    tailnet_id tailnet, other;
    user_id first, second;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    tailnet = world_tailnet(&w, "default");
    other = world_tailnet(&w, "other");
    first = world_user(&w, other, "alice");
    assert_int_equal(world_commit(&w, NULL), 0);
    world_do(&w, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = other});
    assert_int_equal(world_commit(&w, NULL), 0);
    world_close(&w);

    world_open(&w, t.path);
    second = world_user(&w, tailnet, "alice");
    assert_true(second != first);
    assert_true(world_tailnet(&w, "third") != other);
    assert_int_equal(world_commit(&w, NULL), 0);
    world_close(&w);

    /* Even when somebody lost the counters. */
    outside(t.path, "DELETE FROM counters");
    world_open(&w, t.path);
    assert_true(world_user(&w, tailnet, "bob") > second);
    world_close(&w);
    test_dir_remove(&t);
}

static void keeps_the_revision(void **state)
{
    struct test_dir t;
    struct world w;
    tailnet_id tailnet;
    uint64_t revision;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    tailnet = world_tailnet(&w, "default");
    world_user(&w, tailnet, "a");
    assert_int_equal(world_commit(&w, NULL), 0);
    world_user(&w, tailnet, "b");
    assert_int_equal(world_commit(&w, NULL), 0);
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, tailnet);
        revision = view_revision(view);
    }
    world_close(&w);
    world_open(&w, t.path);
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, tailnet);
        assert_int_equal(view_revision(view), revision);
    }
    world_close(&w);
    test_dir_remove(&t);
}

/* ---- failures ---- */

/* Whether a commit that failed left the file exactly as it was. */
static void assert_only(struct test_dir *t, const char *user)
{
    struct world w;
    size_t n;

    world_open(&w, t->path);
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
        const struct user *const *users = view_users(view, &n);

        assert_int_equal(n, 1);
        assert_str(users[0]->name, str_from(user));
    }
    world_close(&w);
}

static void a_broken_reference_fails_the_whole_batch(void **state)
{
    struct test_dir t;
    struct world w;
    struct err err = {0};
    struct user *lost = user_new();
    tailnet_id tailnet;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    tailnet = world_tailnet(&w, "default");
    world_user(&w, tailnet, "before");
    assert_int_equal(world_commit(&w, &err), 0);

    world_user(&w, tailnet, "after");
    lost->id = 1000;
    lost->tailnet = 1000;
    w.batch->ops = mem_realloc_array(w.batch->ops, w.batch->cap + 1, sizeof(*w.batch->ops));
    w.batch->cap++;
    w.batch->ops[w.batch->len++] =
        (struct store_op){.kind = STORE_PUT_USER, .tailnet = 1000, .id = 1000, .object = lost};
    assert_int_equal(world_commit(&w, &err), -(int)ERR_INTERNAL);
    world_close(&w);
    assert_only(&t, "before");
    test_dir_remove(&t);
}

/* ---- damaged rows ---- */

static const struct {
    const char *sql;
    const char *text; /* of the refusal */
    bool at_open;     /* else at the load */
} damages[] = {
    {"UPDATE nodes SET node_key = x'00'", "nodes row 1: node_key has the wrong length", false},
    {"UPDATE nodes SET hostinfo = hostinfo || hostinfo, endpoints = '[1]'",
     "nodes row 1: endpoints is no list of endpoints", false},
    {"UPDATE nodes SET endpoints = '[\"1.2.3.4:5 300\"]'", "nodes row 1: endpoints", false},
    {"UPDATE nodes SET approved = '[\"x\"]'", "nodes row 1: approved is no list of prefixes",
     false},
    {"UPDATE nodes SET tags = '{'", "nodes row 1: tags is no list", false},
    {"UPDATE nodes SET user_id = NULL", "nodes row 1: tags and user_id do not fit", false},
    {"UPDATE nodes SET tags = '[\"tag:x\"]'", "nodes row 1: tags and user_id do not fit", false},
    {"UPDATE nodes SET v4 = x'010203'", "nodes row 1: v4 is no address", false},
    {"UPDATE nodes SET v4 = x'00000000000000000000000000000000'",
     "nodes row 1: v4 is no address of its family", false},
    {"UPDATE nodes SET method = 9", "nodes row 1: method is out of range", false},
    {"UPDATE nodes SET ephemeral = 2", "nodes row 1: ephemeral is out of range", false},
    {"UPDATE nodes SET capver = 4294967296", "nodes row 1: capver is out of range", false},
    {"UPDATE nodes SET given_name = 'not a label'", "nodes row 1: node 1", false},
    {"UPDATE tailnets SET dns = '{}'", "tailnets row 1: dns is damaged", false},
    {"UPDATE tailnets SET regions = '[{}]'", "tailnets row 1: regions is damaged", false},
    {"UPDATE tailnets SET prefix_v4 = x'6440000021'", "tailnets row 1: prefix_v4 is no prefix",
     false},
    {"UPDATE tailnets SET name = 'NOT A NAME'", "tailnets row 1: tailnet 1", false},
    {"UPDATE users SET role = 7", "users row 1: role is out of range", false},
    {"UPDATE users SET id = -4, tailnet = 1 WHERE id = 1; UPDATE nodes SET user_id = -4;"
     "UPDATE auth_keys SET user_id = -4;"
     "UPDATE api_keys SET user_id = -4",
     "users row -4: id is out of range", false},
    {"UPDATE auth_keys SET hash = x''", "auth_keys row 1: hash has the wrong length", false},
    {"UPDATE api_keys SET hash = x'00'", "api_keys row 1: hash has the wrong length", false},
    {"UPDATE api_keys SET scopes = '[1]'", "api_keys row 1: scopes is no list of texts", false},
    {"UPDATE api_keys SET prefix = ''", "api_keys row 1: API key 1 has no prefix", false},
    {"UPDATE api_keys SET tailnet = NULL", "api_keys row 1: API key 1 is of no tailnet or user",
     false},
    {"INSERT INTO counters VALUES ('node', -1) ON CONFLICT (name) DO UPDATE SET next = -1",
     "a row of counters is damaged", false},
    {"UPDATE nodes SET user_id = 99", "nodes row 1 names a row of users that is not there", true},
    {"DELETE FROM tailnets", "names a row of tailnets that is not there", true},
};

static void fill_one_of_each(struct world *w)
{
    struct command_result r = {0};
    struct register_request reg = {.capver = 100};
    tailnet_id tailnet = world_tailnet(w, "default");
    user_id user = world_user(w, tailnet, "alice");

    assert_int_equal(
        world_apply(
            w, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = tailnet, .user = user},
            &r),
        0);
    reg.auth_key = str_copy(r.secret);
    command_result_fini(&r);
    memset(&reg.machine, 1, sizeof(reg.machine));
    memset(&reg.key, 2, sizeof(reg.key));
    reg.facts = node_facts_new();
    reg.facts->hostname = str_copy(STR("one"));
    r = (struct command_result){0};
    assert_int_equal(world_apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r),
                     0);
    assert_int_equal(r.outcome, REGISTER_DONE);
    command_result_fini(&r);
    node_facts_unref(reg.facts);
    str_free(&reg.auth_key);
    (void)world_do(
        w, (struct command){.type = COMMAND_API_KEY_CREATE, .tailnet = tailnet, .user = user});
    assert_true(w->durable);
    assert_int_equal(world_commit(w, NULL), 0);
}

static void tells_of_damaged_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct test_dir t;
        struct test_options room;
        struct world w;
        struct store *s = NULL;
        struct domain *d;
        struct err err = {0};

        /* PostgreSQL lets nobody break a reference. */
        if (TEST_ENGINE_IS_POSTGRES && damages[i].at_open)
            continue;
        print_message("%s\n", damages[i].sql);
        test_dir_make(&t);
        world_open(&w, t.path);
        fill_one_of_each(&w);
        world_close(&w);
        outside(t.path, damages[i].sql);
        if (damages[i].at_open) {
            assert_refused(&t, ERR_INVALID, damages[i].text);
        } else {
            assert_int_equal(store_open(test_options(&room, t.path), &s, &err), 0);
            d = domain_new();
            assert_true(store_load(s, d, &err) < 0);
            if (!strstr(err.text, damages[i].text))
                fail_msg("got \"%s\", want \"%s\"", err.text, damages[i].text);
            domain_free(d);
            store_close(s);
        }
        test_dir_remove(&t);
    }
}

static void a_node_outlives_its_auth_key(void **state)
{
    struct test_dir t;
    struct world w;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    fill_one_of_each(&w);
    world_close(&w);
    outside(t.path, "DELETE FROM auth_keys");
    world_open(&w, t.path);
    {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
        const struct node *node = view_node_find(view, 1);

        assert_non_null(node);
        assert_int_equal(node->auth_key, 0);
    }
    world_close(&w);
    test_dir_remove(&t);
}

/* ---- kill -9 ---- */

#define ROUNDS 6

/* Commits user after user and reports each, until it is killed. */
static void commit_for_ever(const char *path, int report, unsigned round)
{
    struct world w;
    AUTO(view_unref) const struct tailnet_view *view = NULL;

    world_open(&w, path);
    view = domain_view(w.domain, 0);
    if (!view)
        world_tailnet(&w, "default");
    for (unsigned i = 0;; i++) {
        char name[48];
        uint64_t ids[3];

        /* Three a batch: all of them or none. */
        for (unsigned k = 0; k < ARRAY_LEN(ids); k++) {
            snprintf(name, sizeof(name), "user-%u-%u-%u", round, i, k);
            ids[k] = world_user(&w, 0, name);
        }
        if (world_commit(&w, NULL) < 0 || write(report, ids, sizeof(ids)) != sizeof(ids))
            _exit(1);
    }
}

static void survives_kill_9(void **state)
{
    struct test_dir t;
    uint64_t told[3], *all = mem_alloc_array(1 << 20, sizeof(*all));
    size_t n_told = 0;

    (void)state;
    test_dir_make(&t);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ends[2], status;
        struct world w;
        size_t n = 0;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        pid = fork();
        if (pid == 0) {
            close(ends[0]);
            commit_for_ever(t.path, ends[1], round);
        }
        assert_true(pid > 0);
        close(ends[1]);
        /* Not at a batch's end: somewhere within the work that follows the first few. */
        for (unsigned i = 0; i < 5 + round && read(ends[0], told, sizeof(told)) == sizeof(told);
             i++)
            for (unsigned k = 0; k < 3; k++)
                all[n_told++] = told[k];
        usleep(700 * (round + 1));
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(ends[0], told, sizeof(told)) == sizeof(told))
            for (unsigned k = 0; k < 3; k++)
                all[n_told++] = told[k];
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));

        world_open(&w, t.path);
        {
            AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);

            for (size_t i = 0; i < n_told; i++)
                assert_non_null(view_user_find(view, all[i]));
            (void)view_users(view, &n);
            assert_true(n >= n_told);
            /* Whole batches. */
            assert_int_equal(n % 3, 0);
        }
        assert_true(domain_counters(w.domain).user > all[n_told - 1]);
        world_close(&w);
    }
    print_message("%zu users told of in %d rounds\n", n_told, ROUNDS);
    assert_true(n_told >= 3 * 5 * ROUNDS);
    mem_free(all);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_server_a_file),
        cmocka_unit_test(tells_of_statements),
        cmocka_unit_test(the_newest_policy_is_in_force_and_older_ones_are_kept),
        cmocka_unit_test(keeps_webhooks_and_what_is_on_its_way),
        cmocka_unit_test(keeps_server_values),
        cmocka_unit_test(collapses_and_judges),
        cmocka_unit_test(ids_are_never_used_again),
        cmocka_unit_test(keeps_the_revision),
        cmocka_unit_test(a_broken_reference_fails_the_whole_batch),
        cmocka_unit_test(tells_of_damaged_rows),
        cmocka_unit_test(a_node_outlives_its_auth_key),
        cmocka_unit_test(survives_kill_9),
    };

    return run_on_engine(tests);
}
