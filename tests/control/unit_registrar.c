/*
 * The registrar over a real domain and a real store: ordering, durability before the answer, held
 * follow-ups, cancelling, and one-off keys under a thousand parallel joins.
 */

#include "../first_tailnet.h"
#include "../unit.h"

#include <semaphore.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "control/registrar.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"

struct fixture {
    char path[64];
    struct loop *loop;
    struct registrar *registrar;
    size_t publications;
    uint64_t revision;
    bool revisions_fell;
    size_t resets;
    size_t users; /* in the newest view */
    size_t done;
};

static void on_publish(void *user, struct loop *loop, const struct publication *p)
{
    struct fixture *f = user;

    (void)loop;
    f->publications++;
    f->resets += p->reset;
    (void)view_users(p->view, &f->users);
    if (p->reset)
        f->revision = 0; /* what was never on disk is taken back */
    f->revisions_fell = f->revisions_fell || view_revision(p->view) < f->revision;
    f->revision = view_revision(p->view);
}

static void start(struct fixture *f)
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
                                                        .loops = &f->loop,
                                                        .n_loops = 1,
                                                        .on_publish = on_publish,
                                                        .user = f};
    assert_int_equal(registrar_new(&registrar_options, &f->registrar, &err), 0);
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(f->path, sizeof(f->path), "/tmp/hatsize-registrar-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    assert_int_equal(loop_new("test", &f->loop, &err), 0);
    start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char name[96];

    registrar_free(f->registrar);
    loop_free(f->loop);
    (void)unlink(f->path);
    (void)snprintf(name, sizeof(name), "%s-wal", f->path);
    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s-shm", f->path);
    (void)unlink(name);
    mem_free(f);
    return 0;
}

struct test_call {
    struct registrar_call call;
    struct fixture *fixture;
    struct register_request reg;
    uint64_t revision_at_done;
    bool is_done;
};

static void on_done(struct registrar_call *call)
{
    struct test_call *t = CONTAINER_OF(call, struct test_call, call);

    t->is_done = true;
    t->revision_at_done = t->fixture->revision;
    t->fixture->done++;
}

static void submit(struct fixture *f, struct test_call *t, struct command command)
{
    t->fixture = f;
    t->call.command = command;
    t->call.command.origin = ORIGIN_SOCKET;
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

static void make_tailnet(struct fixture *f)
{
    struct tailnet_info *info = first_tailnet();
    struct test_call t = {0};

    submit(f, &t,
           (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("default"), .info = info});
    wait_done(f, f->done + 1);
    assert_int_equal(t.call.status, 0);
    command_result_fini(&t.call.result);
    tailnet_info_unref(info);
}

static user_id make_user(struct fixture *f, struct str name)
{
    struct test_call t = {0};

    submit(f, &t, (struct command){.type = COMMAND_USER_CREATE, .name = name});
    wait_done(f, f->done + 1);
    assert_int_equal(t.call.status, 0);
    user_id id = t.call.result.user->id;
    command_result_fini(&t.call.result);
    return id;
}

static struct str make_key(struct fixture *f, user_id user, bool reusable)
{
    struct test_call t = {0};

    submit(f, &t,
           (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                            .user = user,
                            .reusable = reusable,
                            .expiry_ms = clock_unix_ms() + 3600000});
    wait_done(f, f->done + 1);
    assert_int_equal(t.call.status, 0);
    struct str secret = str_copy(t.call.result.secret);
    command_result_fini(&t.call.result);
    return secret;
}

static void fill_register(struct test_call *t, struct str key)
{
    rand_bytes(t->reg.machine.b, sizeof(t->reg.machine.b));
    rand_bytes(t->reg.key.b, sizeof(t->reg.key.b));
    t->reg.capver = 142;
    t->reg.auth_key = key;
    t->reg.facts = node_facts_new();
}

static void answers_come_after_their_publication(void **state)
{
    struct fixture *f = *state;
    struct test_call t = {0};

    make_tailnet(f);
    submit(f, &t, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")});
    wait_done(f, f->done + 1);
    assert_int_equal(t.call.status, 0);
    assert_true(t.revision_at_done >= view_revision(t.call.result.view));
    assert_false(f->revisions_fell);
    command_result_fini(&t.call.result);
}

static void what_was_answered_is_there_after_a_crash(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct domain *domain = domain_new();
    struct err err = {0};
    size_t n = 0;

    make_tailnet(f);
    user_id alice = make_user(f, STR("alice"));
    /* The files as they are now: what a process would find after kill -9. */
    char copy[96], command[512];

    (void)snprintf(copy, sizeof(copy), "%s-copy", f->path);
    (void)snprintf(command, sizeof(command), "cp %s %s && cp %s-wal %s-wal", f->path, copy, f->path,
                   copy);
    assert_int_equal(system(command), 0);
    const struct store_options options = {.sqlite_path = str_from(copy), .wal = true};
    assert_int_equal(store_open(&options, &store, &err), 0);
    assert_int_equal(store_load(store, domain, &err), 0);
    const struct tailnet_view *view = domain_view(domain, 0);
    assert_non_null(view);
    assert_non_null(view_user_find(view, alice));
    (void)view_users(view, &n);
    assert_int_equal(n, 1);
    view_unref(view);
    domain_free(domain);
    store_close(store);
    (void)snprintf(command, sizeof(command), "rm -f %s %s-wal %s-shm", copy, copy, copy);
    assert_int_equal(system(command), 0);
}

static void sql(const struct fixture *f, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What the store refuses is refused to whoever asked, is told to nobody, and is not in memory
 * either. */
static void a_failed_commit_takes_everything_back(void **state)
{
    struct fixture *f = *state;
    struct test_call cursed = {0}, beside = {0}, after = {0};

    make_tailnet(f);
    (void)make_user(f, STR("good"));
    sql(f, "CREATE TRIGGER curse BEFORE INSERT ON users WHEN NEW.name = 'cursed' "
           "BEGIN SELECT RAISE(ABORT, 'no'); END");
    size_t before = f->done;
    submit(f, &cursed, (struct command){.type = COMMAND_USER_CREATE, .name = STR("cursed")});
    submit(f, &beside, (struct command){.type = COMMAND_USER_CREATE, .name = STR("beside")});
    wait_done(f, before + 2);
    assert_int_equal(cursed.call.status, -ERR_IO);
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, 5);
    assert_int_equal(f->resets, 1);
    assert_true(registrar_is_healthy(f->registrar) || cursed.call.status < 0);
    /* It shared the round or came after it: refused with it or kept, but never half. */
    assert_int_equal(f->users, beside.call.status == 0 ? 2 : 1);

    submit(f, &after, (struct command){.type = COMMAND_USER_CREATE, .name = STR("after")});
    wait_done(f, before + 3);
    assert_int_equal(after.call.status, 0);
    assert_true(registrar_is_healthy(f->registrar));
    command_result_fini(&beside.call.result);
    command_result_fini(&after.call.result);
}

struct storage_look {
    struct registrar_query query;
    bool is_done;
    bool is_ill;
};

static void look_run(struct registrar_query *q, struct domain *d)
{
    (void)d;
    CONTAINER_OF(q, struct storage_look, query)->is_ill =
        registrar_storage_trouble(q->registrar)[0] != '\0';
}

static void look_done(struct registrar_query *q)
{
    CONTAINER_OF(q, struct storage_look, query)->is_done = true;
}

static bool storage_is_ill(struct fixture *f)
{
    struct storage_look look = {.query = {.run = look_run, .done = look_done, .loop = f->loop}};

    registrar_ask(f->registrar, &look.query);
    while (!look.is_done)
        loop_run_once(f->loop, 5);
    return look.is_ill;
}

/* A disk without room, as the database sees it: another program holds its lock for good. */
static sqlite3 *take_disk_away(const struct fixture *f)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void give_disk_back(sqlite3 *db)
{
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/*
 * While nothing can be written: what asks for it is refused, once with a reset and then at once;
 * machines come and go; and when it can be written again, what they said is.
 */
static void a_full_disk_refuses_changes_and_keeps_machines(void **state)
{
    struct fixture *f = *state;
    struct test_call join = {0}, lost = {0}, refused = {0}, again = {0}, open = {0}, after = {0};
    struct test_call by_key = {0}, stranger = {0};

    make_tailnet(f);
    struct str key = make_key(f, make_user(f, STR("alice")), true);
    fill_register(&join, key);
    size_t before = f->done;
    submit(f, &join, (struct command){.type = COMMAND_REGISTER, .reg = &join.reg});
    wait_done(f, before + 1);
    assert_int_equal(join.call.status, 0);

    sqlite3 *disk = take_disk_away(f);
    submit(f, &lost, (struct command){.type = COMMAND_USER_CREATE, .name = STR("lost")});
    wait_done(f, before + 2);
    assert_int_equal(lost.call.status, -ERR_IO);
    assert_true(storage_is_ill(f));
    assert_false(registrar_is_healthy(f->registrar));
    size_t resets = f->resets;
    assert_true(resets <= 1);
    assert_int_equal(f->users, 1);

    submit(f, &refused, (struct command){.type = COMMAND_USER_CREATE, .name = STR("refused")});
    wait_done(f, before + 3);
    assert_int_equal(refused.call.status, -ERR_IO);
    assert_int_equal(f->resets, resets);

    /* The machine comes back with its key and opens its map. */
    again.reg = join.reg;
    again.reg.auth_key = STR_NONE;
    submit(f, &again, (struct command){.type = COMMAND_REGISTER, .reg = &again.reg});
    wait_done(f, before + 4);
    assert_int_equal(again.call.status, 0);
    assert_int_equal(again.call.result.outcome, REGISTER_DONE);
    submit(f, &open,
           (struct command){.type = COMMAND_STREAM_OPEN,
                            .id = again.call.result.node->id,
                            .machine = join.reg.machine,
                            .key = join.reg.key});
    wait_done(f, before + 5);
    assert_int_equal(open.call.status, 0);

    /* Likewise when it shows its auth key, as containers do at each start: it is in already. One
     * that is not in is asked to come again. */
    by_key.reg = join.reg;
    submit(f, &by_key, (struct command){.type = COMMAND_REGISTER, .reg = &by_key.reg});
    wait_done(f, before + 6);
    assert_int_equal(by_key.call.status, 0);
    assert_int_equal(by_key.call.result.outcome, REGISTER_DONE);
    fill_register(&stranger, key);
    submit(f, &stranger, (struct command){.type = COMMAND_REGISTER, .reg = &stranger.reg});
    wait_done(f, before + 7);
    assert_int_equal(stranger.call.status, -ERR_IO);

    give_disk_back(disk);
    for (int i = 0; i < 12000 && !registrar_is_healthy(f->registrar); i++)
        loop_run_once(f->loop, 5);
    assert_true(registrar_is_healthy(f->registrar));
    submit(f, &after, (struct command){.type = COMMAND_USER_CREATE, .name = STR("after")});
    wait_done(f, before + 8);
    assert_int_equal(after.call.status, 0);
    assert_false(storage_is_ill(f));
    assert_int_equal(f->resets, resets);
    assert_int_equal(f->users, 2);
    command_result_fini(&join.call.result);
    command_result_fini(&again.call.result);
    command_result_fini(&by_key.call.result);
    node_facts_unref(stranger.reg.facts);
    command_result_fini(&open.call.result);
    command_result_fini(&after.call.result);
    node_facts_unref(join.reg.facts);
    str_free(&key);
}

static void of_a_thousand_joins_with_a_one_off_key_one_wins(void **state)
{
    enum { JOINS = 1000 };
    struct fixture *f = *state;
    struct test_call *calls = mem_alloc_array(JOINS, sizeof(*calls));
    size_t won = 0;

    make_tailnet(f);
    struct str key = make_key(f, make_user(f, STR("alice")), false);
    size_t before = f->done;
    for (size_t i = 0; i < JOINS; i++) {
        fill_register(&calls[i], key);
        submit(f, &calls[i], (struct command){.type = COMMAND_REGISTER, .reg = &calls[i].reg});
    }
    wait_done(f, before + JOINS);
    for (size_t i = 0; i < JOINS; i++) {
        assert_int_equal(calls[i].call.status, 0);
        if (calls[i].call.result.outcome == REGISTER_DONE)
            won++;
        else
            assert_string_equal(calls[i].call.result.text, "authkey already used");
        command_result_fini(&calls[i].call.result);
        node_facts_unref(calls[i].reg.facts);
    }
    assert_int_equal(won, 1);
    str_free(&key);
    mem_free(calls);
}

static void a_follow_up_is_held_until_it_is_decided(void **state)
{
    struct fixture *f = *state;
    struct test_call first = {0}, follow = {0}, approve = {0};

    make_tailnet(f);
    (void)make_user(f, STR("alice"));
    fill_register(&first, STR_NONE);
    submit(f, &first, (struct command){.type = COMMAND_REGISTER, .reg = &first.reg});
    wait_done(f, f->done + 1);
    assert_int_equal(first.call.result.outcome, REGISTER_PENDING);

    follow.reg = first.reg;
    follow.reg.followup = str_from(first.call.result.auth_id);
    follow.call.hold = true;
    submit(f, &follow, (struct command){.type = COMMAND_REGISTER, .reg = &follow.reg});
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, 5);
    assert_false(follow.is_done);

    submit(f, &approve,
           (struct command){.type = COMMAND_REGISTER_APPROVE,
                            .name = str_from(first.call.result.auth_id),
                            .user_name = STR("alice")});
    wait_done(f, f->done + 2);
    assert_int_equal(approve.call.status, 0);
    assert_true(follow.is_done);
    assert_int_equal(follow.call.result.outcome, REGISTER_DONE);
    assert_int_equal(follow.call.result.node->id, approve.call.result.node->id);
    node_facts_unref(first.reg.facts);
    command_result_fini(&first.call.result);
    command_result_fini(&follow.call.result);
    command_result_fini(&approve.call.result);
}

static void a_held_follow_up_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct test_call first = {0}, follow = {0};

    make_tailnet(f);
    fill_register(&first, STR_NONE);
    submit(f, &first, (struct command){.type = COMMAND_REGISTER, .reg = &first.reg});
    wait_done(f, f->done + 1);
    follow.reg = first.reg;
    follow.reg.followup = str_from(first.call.result.auth_id);
    follow.call.hold = true;
    submit(f, &follow, (struct command){.type = COMMAND_REGISTER, .reg = &follow.reg});
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, 5);
    registrar_cancel(f->registrar, follow.call.ticket);
    wait_done(f, f->done + 1);
    assert_int_equal(follow.call.status, -ERR_NOT_FOUND);
    node_facts_unref(first.reg.facts);
    command_result_fini(&first.call.result);
    command_result_fini(&follow.call.result);
}

static void what_still_waits_at_the_end_is_answered(void **state)
{
    struct fixture *f = *state;
    struct test_call first = {0}, follow = {0};

    make_tailnet(f);
    fill_register(&first, STR_NONE);
    submit(f, &first, (struct command){.type = COMMAND_REGISTER, .reg = &first.reg});
    wait_done(f, f->done + 1);
    follow.reg = first.reg;
    follow.reg.followup = str_from(first.call.result.auth_id);
    follow.call.hold = true;
    submit(f, &follow, (struct command){.type = COMMAND_REGISTER, .reg = &follow.reg});
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, 5);
    registrar_free(f->registrar);
    f->registrar = NULL;
    wait_done(f, f->done + 1);
    assert_int_equal(follow.call.status, -ERR_IO);
    node_facts_unref(first.reg.facts);
    command_result_fini(&first.call.result);
    command_result_fini(&follow.call.result);
}

/* ---- Policies, in turns over tailnets ---- */

#define STORM 4

struct barrier {
    struct registrar_query query;
    sem_t go;
    bool is_done;
};

static void barrier_run(struct registrar_query *q, struct domain *d)
{
    (void)d;
    while (sem_wait(&CONTAINER_OF(q, struct barrier, query)->go) != 0)
        ;
}

static void barrier_done(struct registrar_query *q)
{
    CONTAINER_OF(q, struct barrier, query)->is_done = true;
}

struct turn_call {
    struct test_call test;
    char *order; /* of all: a letter each, as they were answered */
    char letter;
};

static void on_turn_done(struct registrar_call *call)
{
    struct turn_call *t =
        CONTAINER_OF(CONTAINER_OF(call, struct test_call, call), struct turn_call, test);

    t->order[strlen(t->order)] = t->letter;
    on_done(call);
}

static void submit_turn(struct fixture *f, struct turn_call *t, char *order, char letter,
                        struct command command)
{
    t->order = order;
    t->letter = letter;
    t->test.fixture = f;
    t->test.call.command = command;
    t->test.call.command.origin = ORIGIN_SOCKET;
    t->test.call.loop = f->loop;
    t->test.call.done = on_turn_done;
    registrar_submit(f->registrar, &t->test.call);
}

/*
 * The registrar's thread is held until all have come, so their order is nobody's luck: a storm of
 * policies of one tailnet, then one of another tailnet's and a user there.
 */
static void a_storm_of_policies_takes_turns(void **state)
{
    struct fixture *f = *state;
    struct barrier barrier = {.query = {.run = barrier_run, .done = barrier_done, .loop = f->loop}};
    struct turn_call storm[STORM] = {0}, other = {0}, user = {0};
    struct test_call made = {0};
    char texts[STORM][64], order[16] = {0};

    make_tailnet(f);
    submit(f, &made, (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("other")});
    wait_done(f, f->done + 1);
    assert_int_equal(made.call.status, 0);
    tailnet_id id = made.call.result.id;
    size_t before = f->done;

    assert_int_equal(sem_init(&barrier.go, 0, 0), 0);
    registrar_ask(f->registrar, &barrier.query);
    for (size_t i = 0; i < STORM; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "{\"acls\": []} // %zu", i);
        submit_turn(f, &storm[i], order, (char)('0' + i),
                    (struct command){.type = COMMAND_POLICY_SET, .text = str_from(texts[i])});
    }
    submit_turn(
        f, &other, order, 'p',
        (struct command){.type = COMMAND_POLICY_SET, .tailnet = id, .text = STR("{\"acls\": []}")});
    submit_turn(f, &user, order, 'u',
                (struct command){.type = COMMAND_USER_CREATE, .tailnet = id, .name = STR("ann")});
    assert_int_equal(sem_post(&barrier.go), 0);
    wait_done(f, before + STORM + 2);
    while (!barrier.is_done)
        loop_run_once(f->loop, 5);
    (void)sem_destroy(&barrier.go);

    assert_string_equal(order, "u0p123");
    for (size_t i = 0; i < STORM; i++) {
        assert_int_equal(storm[i].test.call.status, 0);
        command_result_fini(&storm[i].test.call.result);
    }
    assert_int_equal(other.test.call.status, 0);
    assert_int_equal(user.test.call.status, 0);
    command_result_fini(&other.test.call.result);
    command_result_fini(&user.test.call.result);
    command_result_fini(&made.call.result);
}

/* Who waits for his turn when the server goes down is told so. */
static void a_policy_that_waits_is_answered_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct barrier barrier = {.query = {.run = barrier_run, .done = barrier_done, .loop = f->loop}};
    struct turn_call calls[STORM] = {0};
    char order[16] = {0};

    make_tailnet(f);
    size_t before = f->done;
    assert_int_equal(sem_init(&barrier.go, 0, 0), 0);
    registrar_ask(f->registrar, &barrier.query);
    for (size_t i = 0; i < STORM; i++)
        submit_turn(f, &calls[i], order, 'x',
                    (struct command){.type = COMMAND_POLICY_SET, .text = STR("{\"acls\": []}")});
    assert_int_equal(sem_post(&barrier.go), 0);
    registrar_free(f->registrar);
    start(f);
    wait_done(f, before + STORM);
    for (size_t i = 0; i < STORM; i++) {
        assert_true(calls[i].test.call.status == 0 || calls[i].test.call.status == -ERR_IO);
        command_result_fini(&calls[i].test.call.result);
    }
    while (!barrier.is_done)
        loop_run_once(f->loop, 5);
    (void)sem_destroy(&barrier.go);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_come_after_their_publication),
        TEST(what_was_answered_is_there_after_a_crash),
        TEST(a_failed_commit_takes_everything_back),
        TEST(a_full_disk_refuses_changes_and_keeps_machines),
        TEST(of_a_thousand_joins_with_a_one_off_key_one_wins),
        TEST(a_follow_up_is_held_until_it_is_decided),
        TEST(a_held_follow_up_can_be_cancelled),
        TEST(what_still_waits_at_the_end_is_answered),
        TEST(a_storm_of_policies_takes_turns),
        TEST(a_policy_that_waits_is_answered_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
