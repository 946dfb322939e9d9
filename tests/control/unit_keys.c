/*
 * API keys and the audit log through registrar, store and a loop: a key is good when its answer is
 * there, and no longer than it is on disk; what was done can be read back.
 */

#include "../unit.h"

#include <sqlite3.h>
#include <unistd.h>

#include "auth/auth.h"
#include "control/audit_query.h"
#include "control/registrar.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"

struct fixture {
    char path[64];
    struct loop *loop;
    struct registrar *registrar;
    struct auth *auth;
    size_t key_resets;
    size_t done;
    enum auth_answer answer;
    api_key_id who;
};

static void on_publish(void *user, struct loop *loop, const struct publication *p)
{
    (void)user;
    (void)loop;
    (void)p;
}

static void on_api_keys(void *user, struct loop *loop, const struct api_key_set *keys,
                        const struct change *changes, size_t n_changes, bool reset)
{
    struct fixture *f = user;

    f->key_resets += reset;
    auth_set_keys(f->auth, loop, keys, changes, n_changes, reset);
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
                                                        .on_api_keys = on_api_keys,
                                                        .user = f};
    assert_int_equal(registrar_new(&registrar_options, &f->registrar, &err), 0);
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(f->path, sizeof(f->path), "/tmp/hatsize-keys-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    assert_int_equal(loop_new("test", &f->loop, &err), 0);
    const struct auth_options options = {.loops = &f->loop, .n_loops = 1};
    assert_int_equal(auth_new(&options, &f->auth, &err), 0);
    start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct fixture *f = *state;
    char name[96];

    registrar_free(f->registrar);
    auth_stop(f->auth);
    loop_free(f->loop);
    auth_free(f->auth);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", f->path, ends[i]);
        (void)unlink(name);
    }
    mem_free(f);
    return 0;
}

struct test_call {
    struct registrar_call call;
    struct fixture *fixture;
    enum auth_answer at_done; /* what the new key was good for, at the very moment of the answer */
};

static void on_checked(void *user, enum auth_answer answer, const struct caller *who)
{
    struct fixture *f = user;

    f->answer = answer;
    f->who = who ? who->api_key : 0;
}

static enum auth_answer check(struct fixture *f, struct str key)
{
    struct str header = str_printf("Bearer %.*s", STR_ARG(key));
    struct auth_ticket *t = auth_check(f->auth, f->loop, header, on_checked, f);

    assert_null(t);
    str_free(&header);
    return f->answer;
}

static void on_done(struct registrar_call *call)
{
    struct test_call *t = CONTAINER_OF(call, struct test_call, call);

    if (call->status == 0 && call->command.type == COMMAND_API_KEY_CREATE)
        t->at_done = check(t->fixture, call->result.secret);
    t->fixture->done++;
}

/* The result is the caller's. */
static int run(struct fixture *f, struct test_call *t, struct command c)
{
    size_t before = f->done;

    *t = (struct test_call){.fixture = f, .at_done = AUTH_REFUSED};
    t->call.command = c;
    t->call.command.origin = ORIGIN_SOCKET;
    t->call.command.author = STR("socket");
    t->call.loop = f->loop;
    t->call.done = on_done;
    if (t->call.command.origin == ORIGIN_NONE)
        t->call.command.origin = ORIGIN_SERVER;
    registrar_submit(f->registrar, &t->call);
    for (int i = 0; i < 3000 && f->done == before; i++)
        loop_run_once(f->loop, 10);
    assert_int_equal(f->done, before + 1);
    return t->call.status;
}

static void sql(struct fixture *f, const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void on_read(struct audit_query *q)
{
    ((struct fixture *)q->user)->done++;
}

static struct audit_query *read_log(struct fixture *f)
{
    struct audit_query *q = NEW(struct audit_query);
    size_t before = f->done;

    q->done = on_read;
    q->user = f;
    audit_query_ask(f->registrar, f->loop, q);
    for (int i = 0; i < 3000 && f->done == before; i++)
        loop_run_once(f->loop, 10);
    assert_int_equal(f->done, before + 1);
    return q;
}

static void a_key_is_good_with_its_answer(void **state)
{
    struct fixture *f = *state;
    struct test_call made, gone;

    assert_int_equal(run(f, &made, (struct command){.type = COMMAND_API_KEY_CREATE}), 0);
    assert_int_equal(made.at_done, AUTH_OK);
    assert_true(f->who == made.call.result.id);
    assert_int_equal(run(f, &gone,
                         (struct command){.type = COMMAND_API_KEY_DELETE,
                                          .name = made.call.result.api_key->prefix}),
                     0);
    assert_int_equal(check(f, made.call.result.secret), AUTH_REFUSED);
    command_result_fini(&made.call.result);
    command_result_fini(&gone.call.result);
}

static void keys_outlive_the_server(void **state)
{
    struct fixture *f = *state;
    struct test_call made;

    assert_int_equal(run(f, &made, (struct command){.type = COMMAND_API_KEY_CREATE}), 0);
    size_t resets = f->key_resets;
    registrar_free(f->registrar);
    start(f);
    for (int i = 0; i < 3000 && f->key_resets == resets; i++)
        loop_run_once(f->loop, 10);
    assert_int_equal(check(f, made.call.result.secret), AUTH_OK);
    command_result_fini(&made.call.result);
}

/* What cannot be written never was: neither the key nor a line about it. */
static void a_failed_commit_takes_key_and_entry_back(void **state)
{
    struct fixture *f = *state;
    struct test_call made, next;

    sql(f, "CREATE TRIGGER curse BEFORE INSERT ON api_keys WHEN NEW.description = 'cursed' "
           "BEGIN SELECT RAISE(ABORT, 'cursed'); END");
    assert_int_equal(
        run(f, &made, (struct command){.type = COMMAND_API_KEY_CREATE, .text = STR("cursed")}),
        -ERR_IO);
    assert_null(made.call.result.secret.ptr);
    assert_int_equal(
        run(f, &next, (struct command){.type = COMMAND_API_KEY_CREATE, .text = STR("well")}), 0);
    assert_int_equal(next.at_done, AUTH_OK);
    assert_int_equal(api_key_set_count(auth_keys(f->auth, f->loop)), 1);

    struct audit_query *q = read_log(f);
    assert_int_equal(q->status, 0);
    assert_int_equal(q->n, 1);
    assert_str(q->entries[0]->object_name, next.call.result.api_key->prefix);
    assert_str(q->entries[0]->author, STR("socket"));
    audit_query_free(q);
    command_result_fini(&next.call.result);
}

static void the_log_is_not_there_when_the_server_is_not(void **state)
{
    struct fixture *f = *state;
    struct registrar *kept = f->registrar;

    f->registrar = NULL;
    struct audit_query *q = read_log(f);
    assert_int_equal(q->status, -ERR_IO);
    assert_int_equal(q->n, 0);
    audit_query_free(q);
    f->registrar = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_key_is_good_with_its_answer),
        TEST(keys_outlive_the_server),
        TEST(a_failed_commit_takes_key_and_entry_back),
        TEST(the_log_is_not_there_when_the_server_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
