/*
 * Policies through the registrar, over a real domain and store: what is refused changes nothing,
 * what is bad at the start stops nothing, and a publication has the policy of its own time.
 */

#include "../unit.h"

#include <sqlite3.h>
#include <unistd.h>

#include "control/registrar.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"

#define GOOD \
    "// mine\n{\"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"*:22\"]}]}"
#define OTHER "{\"acls\": [{\"action\": \"accept\", \"src\": [\"bob@\"], \"dst\": [\"*:22\"]}]}"
#define UNPARSABLE \
    "{\n  \"acls\": [{\"action\": \"deny\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]\n}"
#define FAILS                                                                                   \
    "{\"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"alice@:22\"]}],\n" \
    " \"tests\": [{\"src\": \"alice@\", \"accept\": [\"bob@:80\"]}]}"
#define HOLDS                                                                                 \
    "{\"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"bob@:80\"]}],\n" \
    " \"tests\": [{\"src\": \"alice@\", \"accept\": [\"bob@:80\"]}]}"

struct fixture {
    char path[64];
    struct loop *loop;
    struct registrar *registrar;
    size_t publications;
    size_t resets;
    const struct tailnet_view *view; /* of the newest publication of the first tailnet */
    const struct policy *policy;
    size_t done;
};

static void on_publish(void *user, struct loop *loop, const struct publication *p)
{
    struct fixture *f = user;

    (void)loop;
    assert_non_null(p->policy);
    f->publications++;
    f->resets += p->reset;
    if (view_info(p->view)->id != 1)
        return;
    view_unref(f->view);
    f->view = view_ref(p->view);
    policy_unref(f->policy);
    f->policy = policy_ref(p->policy);
}

static void start(struct fixture *f, const struct policy_file *file)
{
    const struct store_options options = {.sqlite_path = str_from(f->path), .wal = true};
    struct store *store;
    struct domain *domain = domain_new();
    struct err err = {0};

    assert_int_equal(store_open(&options, &store, &err), 0);
    assert_int_equal(store_load(store, domain, &err), 0);
    domain_load_done(domain, clock_unix_ms());
    const struct registrar_options registrar_options = {.domain = domain,
                                                        .store = store,
                                                        .policy_file = file,
                                                        .loops = &f->loop,
                                                        .n_loops = 1,
                                                        .on_publish = on_publish,
                                                        .user = f};
    assert_int_equal(registrar_new(&registrar_options, &f->registrar, &err), 0);
    for (int i = 0; i < 200 && f->publications == 0 && file; i++)
        loop_run_once(f->loop, 10);
}

static void stop(struct fixture *f)
{
    registrar_free(f->registrar);
    for (int i = 0; i < 5; i++)
        loop_run_once(f->loop, 1);
    f->publications = 0;
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(f->path, sizeof(f->path), "/tmp/hatsize-policies-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    assert_int_equal(loop_new("test", &f->loop, &err), 0);
    start(f, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    struct fixture *f = *state;
    char name[96];

    registrar_free(f->registrar);
    loop_free(f->loop);
    view_unref(f->view);
    policy_unref(f->policy);
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", f->path, endings[i]);
        (void)unlink(name);
    }
    mem_free(f);
    return 0;
}

/* ---- Calls ---- */

struct test_call {
    struct registrar_call call;
    struct fixture *fixture;
    struct policy_verdict verdict;
};

static void on_done(struct registrar_call *call)
{
    CONTAINER_OF(call, struct test_call, call)->fixture->done++;
}

static void submit(struct fixture *f, struct test_call *t, struct command command)
{
    t->fixture = f;
    t->call.command = command;
    t->call.command.origin = ORIGIN_SOCKET;
    t->call.command.author = STR("socket");
    t->call.verdict = &t->verdict;
    t->call.loop = f->loop;
    t->call.done = on_done;
    if (t->call.command.origin == ORIGIN_NONE)
        t->call.command.origin = ORIGIN_SERVER;
    registrar_submit(f->registrar, &t->call);
}

static void wait_done(struct fixture *f, size_t n)
{
    for (int i = 0; i < 2000 && f->done < n; i++)
        loop_run_once(f->loop, 10);
    assert_true(f->done >= n);
}

static void run(struct fixture *f, struct test_call *t, struct command command)
{
    submit(f, t, command);
    wait_done(f, f->done + 1);
}

static void finish(struct test_call *t)
{
    command_result_fini(&t->call.result);
    policy_verdict_fini(&t->verdict);
}

static void make(struct fixture *f, struct command command)
{
    struct test_call t = {0};

    run(f, &t, command);
    if (t.call.status < 0)
        fail_msg("refused: %s", t.call.err.text);
    finish(&t);
}

static void set_policy(struct fixture *f, const char *text)
{
    make(f, (struct command){.type = COMMAND_POLICY_SET, .text = str_from(text)});
}

static tailnet_id make_tailnet(struct fixture *f, struct str name, struct str domain)
{
    struct test_call t = {0};
    struct tailnet_info *info = tailnet_info_new();

    info->name = str_copy(name);
    info->base_domain = str_copy(domain);
    info->domain = str_copy(domain);
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    info->ephemeral_timeout_ms = 120000;
    run(f, &t, (struct command){.type = COMMAND_TAILNET_CREATE, .name = name, .info = info});
    assert_int_equal(t.call.status, 0);
    tailnet_id id = t.call.result.id;
    finish(&t);
    tailnet_info_unref(info);
    return id;
}

static user_id make_user(struct fixture *f, struct str name, struct str email)
{
    struct test_call t = {0};

    run(f, &t, (struct command){.type = COMMAND_USER_CREATE, .name = name, .email = email});
    assert_int_equal(t.call.status, 0);
    user_id id = t.call.result.user->id;
    finish(&t);
    return id;
}

static void make_world(struct fixture *f)
{
    (void)make_tailnet(f, STR("default"), STR("example.internal"));
    (void)make_user(f, STR("alice"), STR_NONE);
    (void)make_user(f, STR("bob"), STR_NONE);
}

static node_id make_node(struct fixture *f, user_id user, const char *route)
{
    struct test_call key = {0}, t = {0};
    struct register_request reg = {.capver = 142, .facts = node_facts_new()};

    run(f, &key,
        (struct command){
            .type = COMMAND_AUTH_KEY_CREATE, .user = user, .expiry_ms = clock_unix_ms() + 3600000});
    reg.auth_key = key.call.result.secret;
    rand_bytes(reg.machine.b, sizeof(reg.machine.b));
    rand_bytes(reg.key.b, sizeof(reg.key.b));
    if (route) {
        reg.facts->routes = mem_alloc_array(1, sizeof(*reg.facts->routes));
        assert_true(ip_prefix_parse(str_from(route), reg.facts->routes));
        reg.facts->n_routes = 1;
    }
    run(f, &t, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    assert_int_equal(t.call.status, 0);
    assert_int_equal(t.call.result.outcome, REGISTER_DONE);
    node_id id = t.call.result.node->id;
    node_facts_unref(reg.facts);
    finish(&key);
    finish(&t);
    return id;
}

/* ---- What is in force ---- */

static void assert_in_force(const struct fixture *f, const char *text)
{
    const struct policy_document *d = policy_document(f->policy);

    assert_str(d ? d->text : STR_NONE, str_from(text));
}

static void assert_closed(const struct fixture *f)
{
    assert_false(policy_is_open(f->policy));
    assert_non_null(policy_document(f->policy));
    assert_true(policy_document(f->policy)->has_rules);
    assert_int_equal(policy_document(f->policy)->n_acls, 0);
    assert_int_equal(policy_document(f->policy)->n_grants, 0);
}

struct troubles {
    struct registrar_query query;
    struct buf text; /* "source: text\n" */
    bool is_done;
};

static void add_trouble(void *user, const struct policy_trouble *t)
{
    struct buf *text = user;

    buf_printf(text, "%.*s: %.*s\n", STR_ARG(t->source), STR_ARG(t->text));
}

static void look(struct registrar_query *q, struct domain *d)
{
    struct troubles *t = CONTAINER_OF(q, struct troubles, query);

    (void)d;
    registrar_policy_troubles(q->registrar, add_trouble, &t->text);
}

static void looked(struct registrar_query *q)
{
    CONTAINER_OF(q, struct troubles, query)->is_done = true;
}

/* The troubles begin so; "": there are none. */
static void assert_trouble(struct fixture *f, const char *want)
{
    struct troubles t = {.query = {.run = look, .done = looked, .loop = f->loop},
                         .text = BUF((size_t)1 << 20)};

    registrar_ask(f->registrar, &t.query);
    for (int i = 0; i < 2000 && !t.is_done; i++)
        loop_run_once(f->loop, 10);
    if (want[0] ? !str_starts(buf_str(&t.text), str_from(want)) : t.text.len > 0)
        fail_msg("troubles: \"%.*s\", want \"%s\"", STR_ARG(buf_str(&t.text)), want);
    assert_int_equal(registrar_policies_are_well(f->registrar), want[0] == '\0');
    buf_fini(&t.text);
}

static void sql(const struct fixture *f, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void restart(struct fixture *f, const struct policy_file *file)
{
    stop(f);
    start(f, file);
    for (int i = 0; i < 200 && f->publications == 0; i++)
        loop_run_once(f->loop, 10);
}

/* ---- Tests ---- */

static void a_policy_is_in_force_when_it_is_answered(void **state)
{
    struct fixture *f = *state;

    make_world(f);
    assert_true(policy_is_open(f->policy));
    assert_in_force(f, "");
    set_policy(f, GOOD);
    assert_in_force(f, GOOD);
    assert_str(view_info(f->view)->policy, STR(GOOD));
    assert_trouble(f, "");

    /* It survives a restart, and what comes and goes beside it. */
    restart(f, NULL);
    assert_in_force(f, GOOD);
    (void)make_user(f, STR("carol"), STR_NONE);
    assert_in_force(f, GOOD);
    set_policy(f, "");
    assert_true(policy_is_open(f->policy));
    restart(f, NULL);
    assert_true(policy_is_open(f->policy));
}

static void each_tailnet_has_its_own(void **state)
{
    struct fixture *f = *state;
    struct test_call t = {0};

    make_world(f);
    tailnet_id id = make_tailnet(f, STR("other"), STR("other.internal"));
    run(f, &t, (struct command){.type = COMMAND_POLICY_SET, .tailnet = id, .text = STR(OTHER)});
    assert_int_equal(t.call.status, 0);
    assert_str(view_info(t.call.result.view)->policy, STR(OTHER));
    finish(&t);
    assert_in_force(f, "");
    restart(f, NULL);
    assert_in_force(f, "");
}

static const struct {
    const char *name;
    const char *text;
    enum policy_judgement judgement;
    const char *words; /* the hosted service's, in the answer */
    const char *place;
} bad[] = {
    {"no policy at all", UNPARSABLE, POLICY_UNPARSABLE, "action=\"deny\" is not supported",
     "(line 2, column "},
    {"a name that two have", "{\"groups\": {\"group:g\": [\"twin@example.net\"]}}",
     POLICY_AMBIGUOUS, "multiple users found", ""},
    {"its own tests", FAILS, POLICY_TESTS_FAIL, "test(s) failed", ""},
};

static void what_is_bad_is_refused_and_changes_nothing(void **state)
{
    struct fixture *f = *state;

    make_world(f);
    (void)make_user(f, STR("one"), STR("twin@example.net"));
    (void)make_user(f, STR("two"), STR("twin@example.net"));
    user_id alice = make_user(f, STR("carol"), STR_NONE);
    node_id node = make_node(f, alice, "10.0.0.0/8");
    set_policy(f, GOOD);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t before = f->publications;
        struct test_call t = {0};

        print_message("%s\n", bad[i].name);
        run(f, &t, (struct command){.type = COMMAND_POLICY_SET, .text = str_from(bad[i].text)});
        assert_int_equal(t.call.status, -ERR_INVALID);
        assert_int_equal(t.verdict.judgement, bad[i].judgement);
        assert_non_null(strstr(t.verdict.complaint.text, bad[i].words));
        assert_non_null(strstr(t.call.err.text, bad[i].words));
        assert_non_null(strstr(t.call.err.text, bad[i].place));
        finish(&t);
        assert_int_equal(f->publications, before);
        assert_in_force(f, GOOD);
        assert_trouble(f, "");
    }
    assert_int_equal(view_node_find(f->view, node)->n_approved, 0);
    restart(f, NULL);
    assert_in_force(f, GOOD);
}

static void routes_and_tags_ask_the_policy_in_force(void **state)
{
    struct fixture *f = *state;
    struct test_call t = {0};
    struct str tags[] = {STR("tag:none")};

    make_world(f);
    node_id node = make_node(f, 1, "10.1.0.0/16");
    set_policy(f, "{\"tagOwners\": {\"tag:web\": [\"alice@\"]},\n"
                  " \"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"alice@\"]}}}");
    assert_int_equal(view_node_find(f->view, node)->n_approved, 1);
    node_id second = make_node(f, 1, "10.2.0.0/16");
    assert_int_equal(view_node_find(f->view, second)->n_approved, 1);
    node_id bobs = make_node(f, 2, "10.3.0.0/16");
    assert_int_equal(view_node_find(f->view, bobs)->n_approved, 0);

    run(f, &t, (struct command){.type = COMMAND_NODE_TAG, .id = node, .tags = {tags, 1}});
    assert_int_equal(t.call.status, -ERR_INVALID);
    assert_string_equal(t.call.err.text, "requested tags [tag:none] are invalid or not permitted");
    finish(&t);
    tags[0] = STR("tag:web");
    make(f, (struct command){.type = COMMAND_NODE_TAG, .id = node, .tags = {tags, 1}});

    /* Routes stay approved when the policy says so no more. */
    set_policy(f, "");
    assert_int_equal(view_node_find(f->view, second)->n_approved, 1);
}

static void a_stored_policy_that_is_good_no_more_gives_way_to_the_last_good_one(void **state)
{
    struct fixture *f = *state;

    make_world(f);
    set_policy(f, OTHER);
    set_policy(f, GOOD);
    set_policy(f, "{}");
    stop(f);
    sql(f, "UPDATE policies SET text = '{ this was fine once' WHERE text = '{}'");
    start(f, NULL);
    for (int i = 0; i < 200 && f->publications == 0; i++)
        loop_run_once(f->loop, 10);
    assert_in_force(f, GOOD);
    assert_trouble(f, "database: ");

    set_policy(f, OTHER);
    assert_in_force(f, OTHER);
    assert_trouble(f, "");
}

static void without_a_good_policy_nobody_reaches_anybody(void **state)
{
    struct fixture *f = *state;

    make_world(f);
    (void)make_node(f, 1, NULL);
    (void)make_node(f, 2, NULL);
    set_policy(f, GOOD);
    stop(f);
    sql(f, "UPDATE policies SET text = 'x'");
    start(f, NULL);
    for (int i = 0; i < 200 && f->publications == 0; i++)
        loop_run_once(f->loop, 10);
    assert_closed(f);
    assert_trouble(f, "database: ");
    assert_false(policy_sees(f->policy, 1, 2));

    /* An empty one opens again: somebody said so. */
    set_policy(f, "");
    assert_true(policy_is_open(f->policy));
    assert_trouble(f, "");
}

/* The troubles begin so within a few seconds. */
static void await_trouble(struct fixture *f, bool is_well)
{
    int64_t until = clock_mono_ms() + 10000;

    while (registrar_policies_are_well(f->registrar) != is_well && clock_mono_ms() < until)
        loop_run_once(f->loop, 20);
}

static void what_holds_no_more_is_told(void **state)
{
    struct fixture *f = *state;

    make_world(f);
    (void)make_node(f, 1, NULL);
    (void)make_node(f, 2, NULL);
    set_policy(f, HOLDS);
    assert_trouble(f, "");
    make(f, (struct command){.type = COMMAND_USER_RENAME, .id = 2, .name = STR("robert")});
    await_trouble(f, false);
    assert_trouble(f, "tests: test(s) failed");
    assert_in_force(f, HOLDS);
    /* Nor does it at a restart, which it does not stop. */
    restart(f, NULL);
    assert_trouble(f, "tests: test(s) failed");
    assert_in_force(f, HOLDS);
    make(f, (struct command){.type = COMMAND_USER_RENAME, .id = 2, .name = STR("bob")});
    await_trouble(f, true);
    assert_trouble(f, "");
}

static void a_file_is_the_policy_from_the_start_on(void **state)
{
    struct fixture *f = *state;
    const struct policy_file file = {.path = STR("/p"), .text = STR(GOOD)};

    make_world(f);
    restart(f, &file);
    assert_in_force(f, GOOD);
    assert_int_equal(f->publications, 1); /* there was no moment without it */
    assert_str(view_info(f->view)->policy_author, STR("file"));
    assert_trouble(f, "");

    /* It is kept: once the file is bad, or away, the last good one stays. */
    const struct policy_file broken = {.path = STR("/p"), .text = STR(UNPARSABLE)};
    restart(f, &broken);
    assert_in_force(f, GOOD);
    assert_trouble(f, "file: /p: action=\"deny\" is not supported (line 2, column ");
    const struct policy_file away = {.path = STR("/p"), .trouble = STR("there is no such file")};
    restart(f, &away);
    assert_in_force(f, GOOD);
    assert_trouble(f, "file: /p: there is no such file");
    registrar_note_policy(f->registrar, 0, STR_NONE);
    assert_trouble(f, "");

    /* Tests that fail at the start are told and no more. */
    const struct policy_file failing = {.path = STR("/p"), .text = STR(FAILS)};
    restart(f, &failing);
    assert_in_force(f, FAILS);
    assert_trouble(f, "tests: test(s) failed");

    /* No file, no policy. */
    const struct policy_file none = {0};
    restart(f, &none);
    assert_true(policy_is_open(f->policy));
    assert_trouble(f, "");
}

static void a_bad_file_without_a_good_one_before_closes(void **state)
{
    struct fixture *f = *state;
    const struct policy_file broken = {.path = STR("/p"), .text = STR(UNPARSABLE)};

    make_world(f);
    restart(f, &broken);
    assert_closed(f);
    assert_trouble(f, "file: ");
    make(f, (struct command){.type = COMMAND_USER_CREATE, .name = STR("carol")});
    assert_closed(f);
    set_policy(f, GOOD);
    assert_in_force(f, GOOD);
    assert_trouble(f, "");
}

static void a_policy_that_is_not_stored_is_not_in_force(void **state)
{
    struct fixture *f = *state;
    struct test_call t = {0};

    make_world(f);
    node_id node = make_node(f, 1, "10.1.0.0/16");
    set_policy(f, GOOD);
    sql(f, "CREATE TRIGGER curse BEFORE INSERT ON policies BEGIN SELECT RAISE(ABORT, 'no'); END");
    run(f, &t,
        (struct command){
            .type = COMMAND_POLICY_SET,
            .text = STR("{\"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"alice@\"]}}}")});
    assert_int_equal(t.call.status, -ERR_IO);
    finish(&t);
    for (int i = 0; i < 200 && f->resets == 0; i++)
        loop_run_once(f->loop, 10);
    assert_int_equal(f->resets, 1);
    assert_in_force(f, GOOD);
    assert_int_equal(view_node_find(f->view, node)->n_approved, 0);
    /* The hooks are the old one's too. */
    node_id second = make_node(f, 1, "10.2.0.0/16");
    assert_int_equal(view_node_find(f->view, second)->n_approved, 0);
}

static void of_policies_that_share_a_commit_the_last_counts(void **state)
{
    enum { SETS = 50 };
    struct fixture *f = *state;
    struct test_call *calls = mem_alloc_array(SETS, sizeof(*calls));
    size_t before = f->done;

    make_world(f);
    before = f->done;
    for (size_t i = 0; i < SETS; i++) {
        submit(f, &calls[i],
               (struct command){.type = COMMAND_POLICY_SET,
                                .text = i % 7 == 3 ? STR(UNPARSABLE)
                                        : i % 2    ? STR(GOOD)
                                                   : STR(OTHER)});
    }
    wait_done(f, before + SETS);
    for (size_t i = 0; i < SETS; i++) {
        assert_int_equal(calls[i].call.status, i % 7 == 3 ? -ERR_INVALID : 0);
        finish(&calls[i]);
    }
    assert_in_force(f, GOOD);
    mem_free(calls);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_policy_is_in_force_when_it_is_answered),
        TEST(each_tailnet_has_its_own),
        TEST(what_is_bad_is_refused_and_changes_nothing),
        TEST(routes_and_tags_ask_the_policy_in_force),
        TEST(a_stored_policy_that_is_good_no_more_gives_way_to_the_last_good_one),
        TEST(without_a_good_policy_nobody_reaches_anybody),
        TEST(what_holds_no_more_is_told),
        TEST(a_file_is_the_policy_from_the_start_on),
        TEST(a_bad_file_without_a_good_one_before_closes),
        TEST(a_policy_that_is_not_stored_is_not_in_force),
        TEST(of_policies_that_share_a_commit_the_last_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
