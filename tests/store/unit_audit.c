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
    audit_note_begin(&note, w->domain, &c);
    int status = world_apply(w, c, r);
    const struct audit_entry *e = audit_note_end(&note, w->domain, &c, status == 0 ? r : NULL);
    if (e)
        store_batch_add_audit(w->batch, e);
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
static void fill(struct world *w)
{
    for (int i = 0; i < 12; i++) {
        char name[16];

        snprintf(name, sizeof(name), "u%d", i);
        act_done(w, (struct command){.type = COMMAND_USER_CREATE,
                                     .origin = i % 3 == 0 ? ORIGIN_CLIENT : ORIGIN_API,
                                     .tailnet = (tailnet_id)(1 + i % 2),
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
    (void)world_tailnet(&w, "team");
    fill(&w);
    act_done(&w, (struct command){.type = COMMAND_API_KEY_CREATE, .origin = ORIGIN_SOCKET});
    commit(&w);

    look(&w, (struct audit_page){.limit = 5}, &s);
    assert_int_equal(s.n, 5);
    assert_str(s.entries[0]->action, STR("api_key.create"));
    assert_str(s.entries[1]->object_name, STR("u11"));
    uint64_t at = s.entries[4]->id;
    look(&w, (struct audit_page){.limit = 5, .before = at}, &s);
    assert_str(s.entries[0]->object_name, STR("u7"));
    look(&w, (struct audit_page){.tailnet = 2}, &s);
    assert_int_equal(s.n, 6);
    for (size_t i = 0; i < s.n; i++)
        assert_true(s.entries[i]->tailnet == 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_say_who_and_what),
        cmocka_unit_test(machines_come_and_go),
        cmocka_unit_test(refused_and_idle_commands_leave_nothing),
        cmocka_unit_test(secrets_are_never_in_it),
        cmocka_unit_test(pages_are_cut_to_what_is_asked),
        cmocka_unit_test(damaged_entries_are_told_of),
        cmocka_unit_test(old_entries_go),
        cmocka_unit_test(large_objects_say_only_so),
    };

    return run_on_engine(tests);
}
