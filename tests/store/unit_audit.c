/*
 * The audit log on disk: what commands leave in it, in pages, with a ceiling, and without secrets;
 * on either engine.
 */

#include "harness.h"

#include "store/audit_note.h"
#include "json/value.h"

#define SEEN_MAX 64

struct seen {
    size_t n;
    size_t max; /* 0: all */
    const struct audit_entry *entries[SEEN_MAX];
};

static bool each(void *user, const struct audit_entry *e)
{
    struct seen *s = user;

    assert_true(s->n < SEEN_MAX);
    s->entries[s->n++] = audit_entry_clone(e);
    return s->n != s->max;
}

static void seen_fini(struct seen *s)
{
    for (size_t i = 0; i < s->n; i++)
        audit_entry_unref(s->entries[i]);
    *s = (struct seen){0};
}

static void look(struct world *w, struct audit_page page, struct seen *s)
{
    struct err err = {0};

    seen_fini(s);
    if (store_audit_read(w->store, &page, each, s, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 1; i < s->n; i++)
        assert_true(s->entries[i]->id < s->entries[i - 1]->id);
}

/* As the registrar does it. The status. */
static int act(struct world *w, struct command c, struct command_result *r)
{
    struct audit_note note;

    c.now_ms = w->now_ms;
    if (c.author.len == 0)
        c.author = STR("socket");
    if (c.origin == ORIGIN_NONE)
        c.origin = ORIGIN_API;
    audit_note_begin(&note, w->domain, &c);
    int status = world_apply(w, c, r);
    const struct audit_entry *e = audit_note_end(&note, w->domain, &c, status == 0 ? r : NULL);
    if (e)
        store_batch_add_audit(w->batch, e);
    if (note.other)
        store_batch_add_audit(w->batch, note.other);
    if (status == 0)
        (void)audit_note_ended(w->batch, w->domain, &c, r);
    return status;
}

static uint64_t act_done(struct world *w, struct command c)
{
    struct command_result r = {0};

    assert_int_equal(act(w, c, &r), 0);
    uint64_t id = r.id;
    command_result_fini(&r);
    return id;
}

static void commit(struct world *w)
{
    struct err err = {0};

    if (world_commit(w, &err) < 0)
        fail_msg("%s", err.text);
}

static size_t count(struct world *w)
{
    struct seen s = {0};

    commit(w);
    look(w, (struct audit_page){.limit = SEEN_MAX}, &s);
    size_t n = s.n;
    seen_fini(&s);
    return n;
}

static struct str text_of(struct str json, const char *member)
{
    static char text[256];
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;

    if (!json_parse(arena, json, NULL, &v, NULL))
        fail_msg("no JSON: %.*s", STR_ARG(json));
    snprintf(text, sizeof(text), "%.*s", STR_ARG(json_as_str(json_get(v, member), STR("(none)"))));
    return str_from(text);
}

static void entries_say_who_and_what(void **state)
{
    struct test_dir t;
    struct world w;
    struct seen s = {0};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    (void)world_tailnet(&w, "default");
    uint64_t alice = act_done(&w, (struct command){.type = COMMAND_USER_CREATE,
                                                   .origin = ORIGIN_API,
                                                   .author = STR("key:f6840197145f"),
                                                   .from = STR("192.0.2.7"),
                                                   .name = STR("alice")});
    w.now_ms += 1000;
    act_done(&w,
             (struct command){.type = COMMAND_USER_RENAME, .id = alice, .name = STR("al\"ice")});
    commit(&w);

    look(&w, (struct audit_page){0}, &s);
    assert_int_equal(s.n, 2);
    const struct audit_entry *e = s.entries[1];
    assert_str(e->author, STR("key:f6840197145f"));
    assert_str(e->from, STR("192.0.2.7"));
    assert_str(e->action, STR("user.create"));
    assert_str(e->object, STR("user"));
    assert_str(e->object_name, STR("alice"));
    assert_true(e->object_id == alice && e->tailnet == 1 && e->created_ms == T0);
    assert_int_equal(e->origin, ORIGIN_API);
    assert_str(e->before, STR_NONE);
    assert_str(text_of(e->after, "name"), STR("alice"));
    e = s.entries[0];
    assert_str(e->action, STR("user.rename"));
    assert_str(text_of(e->before, "name"), STR("alice"));
    assert_str(text_of(e->after, "name"), STR("al\"ice"));

    /* After a restart it is still there, and ids go on. */
    world_close(&w);
    world_open(&w, t.path);
    act_done(&w, (struct command){.type = COMMAND_USER_DELETE, .id = alice});
    commit(&w);
    uint64_t last = s.entries[0]->id;
    look(&w, (struct audit_page){0}, &s);
    assert_int_equal(s.n, 3);
    assert_true(s.entries[0]->id > last);
    assert_str(s.entries[0]->action, STR("user.delete"));
    assert_str(s.entries[0]->after, STR_NONE);
    seen_fini(&s);
    world_close(&w);
    test_dir_remove(&t);
}

static void key_of_bytes(void *to, unsigned n)
{
    memset(to, 0, KEY_BYTES);
    memcpy(to, &n, sizeof(n));
}

static int enter(struct world *w, unsigned machine, unsigned key, struct str auth_key,
                 int64_t expiry_ms, struct command_result *r)
{
    struct node_facts *facts = node_facts_new();
    struct register_request reg = {
        .auth_key = auth_key, .facts = facts, .has_expiry = expiry_ms != 0, .expiry_ms = expiry_ms};

    facts->hostname = str_copy(STR("box"));
    key_of_bytes(&reg.machine, machine);
    key_of_bytes(&reg.key, key);
    int status = act(w,
                     (struct command){.type = COMMAND_REGISTER,
                                      .origin = ORIGIN_CLIENT,
                                      .author = STR("client"),
                                      .from = STR("198.51.100.1"),
                                      .reg = &reg},
                     r);
    node_facts_unref(facts);
    return status;
}

static void machines_come_and_go(void **state)
{
    struct test_dir t;
    struct world w;
    struct seen s = {0};
    struct command_result r = {0}, key = {0};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    (void)world_tailnet(&w, "default");
    user_id alice = world_user(&w, 0, "alice");
    assert_int_equal(
        act(&w, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .user = alice, .reusable = true},
            &key),
        0);
    size_t before = count(&w);

    assert_int_equal(enter(&w, 1, 1, key.secret, 0, &r), 0);
    uint64_t id = r.id;
    command_result_fini(&r);
    /* Again with the same key: nothing changed. */
    assert_int_equal(enter(&w, 1, 1, key.secret, 0, &r), 0);
    command_result_fini(&r);
    /* What waits for approval is nobody's yet, and a stranger could make a thousand. */
    assert_int_equal(enter(&w, 2, 2, STR_NONE, 0, &r), 0);
    command_result_fini(&r);
    assert_int_equal(count(&w), before + 1);
    look(&w, (struct audit_page){.limit = 1}, &s);
    assert_str(s.entries[0]->action, STR("node.register"));
    assert_str(s.entries[0]->from, STR("198.51.100.1"));
    assert_true(s.entries[0]->object_id == id && audit_entry_is_client(s.entries[0]));

    /* Logged out, and back with another key. */
    assert_int_equal(enter(&w, 1, 1, STR_NONE, 1000, &r), 0);
    command_result_fini(&r);
    assert_int_equal(enter(&w, 1, 3, key.secret, 0, &r), 0);
    assert_true(r.id == id);
    command_result_fini(&r);
    assert_int_equal(count(&w), before + 3);
    look(&w, (struct audit_page){.limit = 2}, &s);
    assert_str(s.entries[0]->action, STR("node.login"));
    assert_str(s.entries[1]->action, STR("node.logout"));
    assert_false(str_eq(s.entries[1]->before, s.entries[1]->after));

    /* What it says all day is not for the log. */
    AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
    const struct node *n = view_node_find(view, id);
    act_done(&w,
             (struct command){.type = COMMAND_STREAM_OPEN, .machine = n->machine, .key = n->key});
    act_done(
        &w, (struct command){
                .type = COMMAND_NODE_UPDATE, .machine = n->machine, .key = n->key, .home_derp = 7});
    act_done(&w, (struct command){.type = COMMAND_TICK});
    assert_int_equal(count(&w), before + 3);
    command_result_fini(&key);
    seen_fini(&s);
    world_close(&w);
    test_dir_remove(&t);
}

static void refused_and_idle_commands_leave_nothing(void **state)
{
    struct world w;
    struct command_result r = {0};

    (void)state;
    world_open(&w, ":memory:");
    (void)world_tailnet(&w, "default");
    user_id alice = world_user(&w, 0, "alice");
    assert_true(act(&w, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")}, &r) <
                0);
    act_done(&w, (struct command){.type = COMMAND_USER_RENAME, .id = alice, .name = STR("alice")});
    act_done(&w, (struct command){.type = COMMAND_POLICY_SET});
    act_done(&w, (struct command){.type = COMMAND_NODES_BACKFILL});
    assert_int_equal(count(&w), 0);
    act_done(&w, (struct command){.type = COMMAND_POLICY_SET, .text = STR("{\"acls\": []}")});
    assert_int_equal(count(&w), 1);
    world_close(&w);
}

static void secrets_are_never_in_it(void **state)
{
    struct test_dir t;
    struct world w;
    struct seen s = {0};
    static const enum command_type types[] = {COMMAND_AUTH_KEY_CREATE, COMMAND_API_KEY_CREATE};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    (void)world_tailnet(&w, "default");
    user_id alice = world_user(&w, 0, "alice");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct command_result r = {0};

        assert_int_equal(
            act(&w, (struct command){.type = types[i], .tailnet = 1, .user = alice}, &r), 0);
        commit(&w);
        look(&w, (struct audit_page){.limit = 1}, &s);
        const struct audit_entry *e = s.entries[0];
        struct str secret = str_from_index(r.secret, r.secret.len - 64);
        const struct str all[] = {e->author, e->from, e->object_name, e->before, e->after};
        for (size_t k = 0; k < ARRAY_LEN(all); k++)
            assert_true(str_find(all[k], secret) < 0);
        assert_int_equal(e->object_name.len, 12);
        assert_true(str_find(r.secret, e->object_name) > 0);
        command_result_fini(&r);
    }
    seen_fini(&s);
    world_close(&w);
    test_dir_remove(&t);
}

/* Twelve entries: of tailnets 1 and 2 by turns, one a second. */
static void fill(struct world *w, tailnet_id team)
{
    for (int i = 0; i < 12; i++) {
        char name[16];

        snprintf(name, sizeof(name), "u%d", i);
        act_done(w, (struct command){.type = COMMAND_USER_CREATE,
                                     .origin = i % 3 == 0 ? ORIGIN_CLIENT : ORIGIN_API,
                                     .tailnet = i % 2 == 0 ? 1 : team,
                                     .name = str_from(name)});
        w->now_ms += 1000;
    }
    commit(w);
}

static void pages_are_cut_to_what_is_asked(void **state)
{
    struct test_dir t;
    struct world w;
    struct seen s = {0};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    (void)world_tailnet(&w, "default");
    tailnet_id team = world_tailnet(&w, "team");
    fill(&w, team);
    act_done(&w, (struct command){.type = COMMAND_API_KEY_CREATE, .origin = ORIGIN_SOCKET});
    commit(&w);

    look(&w, (struct audit_page){.limit = 5}, &s);
    assert_int_equal(s.n, 5);
    assert_str(s.entries[0]->action, STR("api_key.create"));
    assert_str(s.entries[1]->object_name, STR("u11"));
    uint64_t at = s.entries[4]->id;
    look(&w, (struct audit_page){.limit = 5, .before = at}, &s);
    assert_str(s.entries[0]->object_name, STR("u7"));
    look(&w, (struct audit_page){.tailnet = team}, &s);
    assert_int_equal(s.n, 6);
    for (size_t i = 0; i < s.n; i++)
        assert_true(s.entries[i]->tailnet == team);
    look(&w, (struct audit_page){.of_server = true}, &s);
    assert_int_equal(s.n, 1);
    look(&w, (struct audit_page){.since_ms = T0 + 3000, .until_ms = T0 + 6000}, &s);
    assert_int_equal(s.n, 3);
    assert_str(s.entries[0]->object_name, STR("u5"));
    look(&w, (struct audit_page){.without_clients = true}, &s);
    assert_int_equal(s.n, 9);
    look(&w, (struct audit_page){.before = 1}, &s);
    assert_int_equal(s.n, 0);
    s.max = 2;
    struct err err = {0};
    assert_int_equal(store_audit_read(w.store, &(struct audit_page){0}, each, &s, &err), 0);
    assert_int_equal(s.n, 2);
    seen_fini(&s);
    world_close(&w);
    test_dir_remove(&t);
}

static void damaged_entries_are_told_of(void **state)
{
    static const char *const damages[] = {"UPDATE audit SET object_id = -1",
                                          "UPDATE audit SET origin = 99",
                                          "UPDATE audit SET tailnet = -7"};
    struct test_dir t;

    (void)state;
    test_dir_make(&t);
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct world w;
        struct seen s = {0};
        struct err err = {0};

        world_open(&w, t.path);
        if (i == 0)
            (void)world_tailnet(&w, "default");
        char name[16];
        snprintf(name, sizeof(name), "u%zu", i);
        act_done(&w, (struct command){.type = COMMAND_USER_CREATE, .name = str_from(name)});
        commit(&w);
        world_close(&w);
        outside(t.path, damages[i]);
        /* The server starts all the same: only who reads the log is told. */
        world_open(&w, t.path);
        assert_true(store_audit_read(w.store, &(struct audit_page){0}, each, &s, &err) < 0);
        assert_string_equal(err.text, "reading the audit log: a row of audit is damaged");
        seen_fini(&s);
        world_close(&w);
        outside(t.path, "DELETE FROM audit");
    }
    test_dir_remove(&t);
}

/* Each kind has a ceiling of its own: machines do not push out what people did. */
static void old_entries_go(void **state)
{
    struct world w;
    struct seen s = {0};
    size_t people = 0;

    (void)state;
    world_open(&w, ":memory:");
    w.store->audit_kept = 10;
    for (uint64_t id = 1; id <= 512; id++) {
        struct audit_entry *e = audit_entry_new();

        e->id = id;
        e->created_ms = T0;
        e->origin = id <= 5 || id > 500 ? ORIGIN_SOCKET : ORIGIN_CLIENT;
        store_batch_add_audit(w.batch, e);
    }
    commit(&w);
    look(&w, (struct audit_page){.limit = SEEN_MAX}, &s);
    assert_int_equal(s.n, 20);
    assert_true(s.entries[0]->id == 512 && s.entries[s.n - 1]->id == 491);
    for (size_t i = 0; i < s.n; i++)
        people += !audit_entry_is_client(s.entries[i]);
    assert_int_equal(people, 10);
    seen_fini(&s);
    world_close(&w);
}

static void large_objects_say_only_so(void **state)
{
    struct world w;
    struct seen s = {0};
    struct str_list tags = {0};

    (void)state;
    world_open(&w, ":memory:");
    (void)world_tailnet(&w, "default");
    for (int i = 0; i < NODE_TAGS_MAX; i++) {
        struct str tag = str_printf("tag:x%d-%0100d", i, 0);

        str_list_add(&tags, tag);
        str_free(&tag);
    }
    act_done(&w, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tags = tags});
    commit(&w);
    look(&w, (struct audit_page){0}, &s);
    assert_str(s.entries[0]->after, STR("{\"tooLarge\":true}"));
    str_list_free(&tags);
    seen_fini(&s);
    world_close(&w);
}

/* ---- Shares ---- */

static node_id join(struct world *w, tailnet_id t, user_id user, uint8_t n)
{
    struct register_request reg = {.capver = 100, .facts = node_facts_new()};
    struct command_result r = {0};

    reg.facts->hostname = str_copy(STR("web"));
    assert_int_equal(
        world_apply(
            w, (struct command){.type = COMMAND_AUTH_KEY_CREATE, .tailnet = t, .user = user}, &r),
        0);
    struct str key = str_copy(r.secret);
    command_result_fini(&r);
    reg.machine.b[0] = n;
    reg.key.b[0] = n;
    reg.auth_key = key;
    node_id id = world_do(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    str_free(&key);
    node_facts_unref(reg.facts);
    return id;
}

/* Each tailnet has an entry of its own, and none of the other's names but those of the share. */
static void shares_are_told_on_both_sides(void **state)
{
    struct world w;
    struct seen s = {0};

    (void)state;
    world_open(&w, ":memory:");
    tailnet_id a = world_tailnet(&w, "default"), b = world_tailnet(&w, "other");
    user_id alice = world_user(&w, a, "alice"), bob = world_user(&w, b, "bob");
    node_id web = join(&w, a, alice, 1);
    struct share_ports ports = {443, 443};
    const struct share share = {.node = web,
                                .guest = b,
                                .user = bob,
                                .sharer = alice,
                                .terms = {.ports = &ports, .n_ports = 1}};

    share_id id = act_done(&w, (struct command){.type = COMMAND_SHARE_CREATE,
                                                .tailnet = a,
                                                .share = &share,
                                                .author = STR("user:root@a"),
                                                .from = STR("192.0.2.7")});
    act_done(&w,
             (struct command){
                 .type = COMMAND_SHARE_ACCEPT, .tailnet = b, .id = id, .author = STR("user:bob")});
    commit(&w);
    look(&w, (struct audit_page){.tailnet = a}, &s);
    assert_int_equal(s.n, 2);
    assert_str(s.entries[1]->action, STR("share.create"));
    assert_str(s.entries[1]->author, STR("user:root@a"));
    assert_str(s.entries[1]->object_name, STR("web"));
    assert_str(s.entries[1]->before, STR_NONE);
    assert_str(text_of(s.entries[1]->after, "tailnet"), STR("other"));
    assert_str(text_of(s.entries[1]->after, "recipient"), STR("bob"));
    assert_str(s.entries[0]->action, STR("share.accept"));
    assert_str(s.entries[0]->author, STR("tailnet:other"));
    assert_str(s.entries[0]->from, STR_NONE);
    look(&w, (struct audit_page){.tailnet = b}, &s);
    assert_int_equal(s.n, 2);
    assert_str(s.entries[1]->action, STR("share.create"));
    assert_str(s.entries[1]->author, STR("tailnet:default"));
    assert_str(s.entries[1]->from, STR_NONE);
    assert_str(s.entries[1]->object_name, STR("web.default.example"));
    assert_str(text_of(s.entries[1]->after, "tailnet"), STR("default"));
    assert_str(text_of(s.entries[1]->after, "sharer"), STR("alice"));
    assert_str(s.entries[0]->author, STR("user:bob"));

    act_done(&w, (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = a, .id = id});
    const struct share_invite invite = {.node = web, .uses_left = 1};
    struct command_result r = {0};
    assert_int_equal(
        act(&w,
            (struct command){.type = COMMAND_SHARE_INVITE_CREATE, .tailnet = a, .invite = &invite},
            &r),
        0);
    struct str secret = str_copy(r.secret);
    command_result_fini(&r);
    act_done(&w,
             (struct command){
                 .type = COMMAND_SHARE_INVITE_ACCEPT, .tailnet = b, .user = bob, .text = secret});
    commit(&w);
    look(&w, (struct audit_page){.tailnet = a}, &s);
    assert_int_equal(s.n, 5);
    assert_str(s.entries[2]->action, STR("share.revoke"));
    assert_str(s.entries[2]->after, STR_NONE);
    assert_str(s.entries[1]->action, STR("share_invite.create"));
    assert_str(s.entries[1]->object_name, STR("web"));
    assert_str(s.entries[0]->action, STR("share_invite.accept"));
    for (size_t i = 0; i < s.n; i++)
        assert_true(str_find(s.entries[i]->after, secret) < 0);
    look(&w, (struct audit_page){.tailnet = b}, &s);
    assert_int_equal(s.n, 4);
    str_free(&secret);
    seen_fini(&s);
    world_close(&w);
}

/* The newest entry of the tailnet: that the share ended, by whom, and what it was. */
static void assert_ended(struct world *w, struct seen *s, tailnet_id t, share_id id,
                         const char *author)
{
    look(w, (struct audit_page){.tailnet = t}, s);
    assert_true(s->n > 0 && s->entries[0]->object_id == id);
    assert_str(s->entries[0]->action, STR("share.end"));
    assert_str(s->entries[0]->author, str_from(author));
    assert_str(s->entries[0]->after, STR_NONE);
}

static share_id share(struct world *w, tailnet_id a, node_id node, tailnet_id b, user_id user,
                      int64_t expiry_ms)
{
    const struct share share = {.node = node, .guest = b, .user = user, .expiry_ms = expiry_ms};

    return act_done(
        w, (struct command){
               .type = COMMAND_SHARE_CREATE, .tailnet = a, .share = &share, .is_accepted = true});
}

static void shares_that_end_by_themselves_are_told(void **state)
{
    struct command_result r = {0};
    struct seen s = {0};
    struct world w;

    (void)state;
    world_open(&w, ":memory:");
    tailnet_id a = world_tailnet(&w, "default"), b = world_tailnet(&w, "other");
    user_id alice = world_user(&w, a, "alice"), bob = world_user(&w, b, "bob");
    node_id web = join(&w, a, alice, 1);

    share_id id = share(&w, a, web, b, bob, w.now_ms + 1000);
    w.now_ms += 1000;
    assert_int_equal(act(&w,
                         (struct command){.type = COMMAND_TICK,
                                          .origin = ORIGIN_SERVER,
                                          .author = STR("server")},
                         &r),
                     0);
    command_result_fini(&r);
    commit(&w);
    assert_ended(&w, &s, a, id, "server");
    assert_str(text_of(s.entries[0]->before, "recipient"), STR("bob"));
    assert_str(s.entries[0]->object_name, STR("web"));
    assert_ended(&w, &s, b, id, "server");
    assert_str(s.entries[0]->object_name, STR("web.default.example"));
    assert_str(text_of(s.entries[0]->before, "tailnet"), STR("default"));

    /* With the person, whose name is still told. */
    id = share(&w, a, web, b, bob, 0);
    act_done(&w, (struct command){.type = COMMAND_USER_DELETE,
                                  .tailnet = b,
                                  .id = bob,
                                  .author = STR("user:root@b"),
                                  .from = STR("192.0.2.9")});
    commit(&w);
    assert_ended(&w, &s, a, id, "tailnet:other");
    assert_str(s.entries[0]->from, STR_NONE);
    assert_str(text_of(s.entries[0]->before, "recipient"), STR("bob"));
    assert_ended(&w, &s, b, id, "user:root@b");

    /* With the machine, and with the tailnet. */
    id = share(&w, a, web, b, 0, 0);
    act_done(&w, (struct command){.type = COMMAND_NODE_DELETE, .tailnet = a, .id = web});
    commit(&w);
    assert_ended(&w, &s, a, id, "socket");
    assert_str(s.entries[0]->object_name, STR("web"));
    assert_ended(&w, &s, b, id, "tailnet:default");
    web = join(&w, a, alice, 2);
    id = share(&w, a, web, b, 0, 0);
    act_done(&w, (struct command){.type = COMMAND_TAILNET_DELETE, .tailnet = b});
    commit(&w);
    assert_ended(&w, &s, a, id, "tailnet:other");
    assert_str(text_of(s.entries[0]->before, "tailnet"), STR("other"));
    look(&w, (struct audit_page){.tailnet = b}, &s);
    assert_int_equal(s.n, 0);

    /* Who revokes one has said so. */
    b = world_tailnet(&w, "third");
    id = share(&w, a, web, b, 0, 0);
    act_done(&w, (struct command){.type = COMMAND_SHARE_REVOKE, .tailnet = a, .id = id});
    commit(&w);
    look(&w, (struct audit_page){.tailnet = a}, &s);
    assert_str(s.entries[0]->action, STR("share.revoke"));
    seen_fini(&s);
    world_close(&w);
}

/* ---- People ---- */

static void change_user(struct world *w, struct seen *s, enum command_type type, user_id id,
                        const char *action, const char *before, const char *after)
{
    act_done(w, (struct command){.type = type, .id = id});
    commit(w);
    look(w, (struct audit_page){0}, s);
    assert_str(s->entries[0]->action, str_from(action));
    assert_true(s->entries[0]->object_id == id);
    assert_str(text_of(s->entries[0]->before, "status"), str_from(before));
    assert_str(text_of(s->entries[0]->after, "status"), str_from(after));
}

static void set(struct world *w, const struct tailnet_settings *settings)
{
    act_done(w, (struct command){.type = COMMAND_SETTINGS_SET, .settings = settings});
}

static void people_are_told_of(void **state)
{
    const struct tailnet_settings approval = {.set =
                                                  SETTING_USER_APPROVAL | SETTING_DEVICE_APPROVAL,
                                              .user_approval = true,
                                              .device_approval = true};
    struct command login = {.type = COMMAND_USER_LOGIN,
                            .provider = STR("oidc"),
                            .provider_id = STR("https://i/1"),
                            .name = STR("carol"),
                            .email = STR("c@example.com"),
                            .email_verified = true};
    struct command_result r = {0};
    struct seen s = {0};
    struct world w;

    (void)state;
    world_open(&w, ":memory:");
    tailnet_id a = world_tailnet(&w, "default"), b = world_tailnet(&w, "other");
    set(&w, &approval);
    user_id carol = act_done(&w, login);
    change_user(&w, &s, COMMAND_USER_APPROVE, carol, "user.approve", "needs-approval", "active");
    change_user(&w, &s, COMMAND_USER_SUSPEND, carol, "user.suspend", "active", "suspended");
    change_user(&w, &s, COMMAND_USER_RESTORE, carol, "user.restore", "suspended", "active");

    node_id node = join(&w, a, carol, 1);
    act_done(&w, (struct command){.type = COMMAND_NODE_APPROVE, .id = node});
    act_done(&w, (struct command){.type = COMMAND_NODE_APPROVE, .id = node, .revokes = true});
    commit(&w);
    look(&w, (struct audit_page){0}, &s);
    assert_str(s.entries[0]->action, STR("node.hold_device"));
    assert_str(s.entries[1]->action, STR("node.approve_device"));
    assert_true(str_find(s.entries[1]->before, STR("\"needsApproval\":true")) >= 0);
    assert_true(str_find(s.entries[1]->after, STR("\"needsApproval\":false")) >= 0);

    /* In the tailnet that invites, and without the secret. */
    assert_int_equal(act(&w,
                         (struct command){.type = COMMAND_USER_INVITE_CREATE,
                                          .tailnet = b,
                                          .role = ROLE_AUDITOR,
                                          .email = STR("c@example.com")},
                         &r),
                     0);
    struct str secret = str_copy(r.secret);
    uint64_t invite = r.id;
    command_result_fini(&r);
    login.type = COMMAND_USER_INVITE_ACCEPT;
    login.secret = secret;
    user_id member = act_done(&w, login);
    uint64_t other =
        act_done(&w, (struct command){.type = COMMAND_USER_INVITE_CREATE, .tailnet = b});
    act_done(&w, (struct command){.type = COMMAND_USER_INVITE_REVOKE, .tailnet = b, .id = other});
    commit(&w);
    look(&w, (struct audit_page){.tailnet = b}, &s);
    assert_int_equal(s.n, 4);
    assert_str(s.entries[0]->action, STR("user_invite.revoke"));
    assert_str(s.entries[0]->after, STR_NONE);
    assert_str(s.entries[1]->object, STR("user_invite"));
    assert_str(s.entries[2]->action, STR("user_invite.accept"));
    assert_true(s.entries[2]->object_id == member);
    assert_str(s.entries[2]->before, STR_NONE);
    assert_str(text_of(s.entries[2]->after, "role"), STR("auditor"));
    assert_str(s.entries[3]->action, STR("user_invite.create"));
    assert_true(s.entries[3]->object_id == invite);
    assert_str(text_of(s.entries[3]->after, "email"), STR("c@example.com"));
    look(&w, (struct audit_page){.limit = SEEN_MAX}, &s);
    for (size_t i = 0; i < s.n; i++)
        assert_true(str_find(s.entries[i]->after, secret) < 0 &&
                    str_find(s.entries[i]->before, secret) < 0);
    str_free(&secret);
    seen_fini(&s);
    world_close(&w);
}

/* ---- What gets an entry ---- */

/* Commands without one, and why. */
static const struct {
    enum command_type type;
    const char *why;
} unaudited[] = {
    {COMMAND_API_KEY_SEEN, "every use of a key; the call it was used for has its own entry"},
    {COMMAND_NODE_UPDATE, "machines say it all day long"},
    {COMMAND_STREAM_OPEN, "machines come"},
    {COMMAND_STREAM_CLOSE, "and go"},
    {COMMAND_NODE_PROBED, "the server asked by itself whether a machine is there"},
    {COMMAND_NODE_PROBED, "a router answers or does not, every few seconds"},
    {COMMAND_WEBHOOK_TEST, "changes nothing"},
    {COMMAND_LOGIN_CHOICES, "changes nothing"},
    {COMMAND_NODE_ABROAD, "the server works out what shares and policies say"},
    {COMMAND_TICK, "time passes; nobody decided anything"},
};

static void every_command_is_audited_or_has_a_reason(void **state)
{
    (void)state;
    for (size_t type = 0; type < domain_command_types(); type++) {
        const char *action = audit_action((enum command_type)type), *why = NULL;
        struct str object, verb;

        for (size_t i = 0; i < ARRAY_LEN(unaudited); i++)
            if (unaudited[i].type == type)
                why = unaudited[i].why;
        print_message("%zu %s\n", type, action ? action : why ? why : "?");
        /* Either; and who adds a command says which. */
        assert_true((action != NULL) != (why != NULL));
        if (!action)
            continue;
        assert_true(str_split(str_from(action), '.', &object, &verb));
        assert_true(object.len > 0 && verb.len > 0);
        for (size_t other = 0; other < type; other++)
            assert_true(!audit_action((enum command_type)other) ||
                        strcmp(audit_action((enum command_type)other), action) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_audited_or_has_a_reason),
        cmocka_unit_test(entries_say_who_and_what),
        cmocka_unit_test(machines_come_and_go),
        cmocka_unit_test(refused_and_idle_commands_leave_nothing),
        cmocka_unit_test(secrets_are_never_in_it),
        cmocka_unit_test(pages_are_cut_to_what_is_asked),
        cmocka_unit_test(damaged_entries_are_told_of),
        cmocka_unit_test(old_entries_go),
        cmocka_unit_test(large_objects_say_only_so),
        cmocka_unit_test(shares_are_told_on_both_sides),
        cmocka_unit_test(shares_that_end_by_themselves_are_told),
        cmocka_unit_test(people_are_told_of),
    };

    return run_on_engine(tests);
}
