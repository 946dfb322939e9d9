/*
 * PostgreSQL goes away and comes back. Between store and server sits a relay of the test's own,
 * which can swallow a COMMIT or the answer to it: the two cases that look the same from the store.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* ---- the relay ---- */

enum relay_fault { RELAY_NONE, RELAY_BEFORE_COMMIT, RELAY_AFTER_COMMIT };

struct relay {
    char dir[64];
    char path[96]; /* where it listens, named as a server's socket */
    int commands;  /* faults to come, one byte each; spent at the next COMMIT */
    pid_t pid;
};

static void address_of(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(a->sun_path));
    memcpy(a->sun_path, path, strlen(path));
}

static int relay_dial(const char *to)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address_of(&a, to);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* One connection at a time; false: it is over. */
static bool relay_step(int client, int server, int commands)
{
    struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    static char bytes[1 << 16];
    char fault = RELAY_NONE;

    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    for (size_t i = 0; i < 2; i++) {
        if (!fds[i].revents)
            continue;
        ssize_t n = recv(fds[i].fd, bytes, sizeof(bytes), 0);

        if (n <= 0)
            return false;
        /* libpq sends a simple query as one message: 'Q', its length, the text. */
        bool is_commit = i == 0 && str_find(str_bytes(bytes, (size_t)n), STR("COMMIT\0")) >= 0;
        if (is_commit && read(commands, &fault, 1) != 1)
            fault = RELAY_NONE;
        if (fault == RELAY_BEFORE_COMMIT)
            return false;
        if (!send_all(fds[1 - i].fd, bytes, (size_t)n))
            return false;
        if (fault == RELAY_AFTER_COMMIT) {
            /* The server has done it when it answers; nobody hears that. */
            (void)recv(server, bytes, sizeof(bytes), 0);
            return false;
        }
    }
    return true;
}

static void relay_run(const struct relay *r, const char *to, int listener, int commands)
{
    (void)r;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        int server = relay_dial(to);

        while (client >= 0 && server >= 0 && relay_step(client, server, commands))
            ;
        close(client);
        close(server);
    }
}

static void relay_make(struct relay *r, const struct store_postgres *where)
{
    struct sockaddr_un a;
    char to[160];
    int ends[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(r->dir, sizeof(r->dir), "/tmp/store-relay-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->path, sizeof(r->path), "%s/.s.PGSQL.5432", r->dir);
    snprintf(to, sizeof(to), "%.*s/.s.PGSQL.5432", STR_ARG(where->host));
    address_of(&a, r->path);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    r->pid = fork();
    if (r->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        relay_run(r, to, listener, ends[0]);
        _exit(0);
    }
    assert_true(r->pid > 0);
    close(listener);
    close(ends[0]);
    r->commands = ends[1];
}

static void relay_spoil_next(struct relay *r, enum relay_fault fault)
{
    char byte = (char)fault;

    assert_int_equal(write(r->commands, &byte, 1), 1);
}

static void relay_remove(struct relay *r)
{
    assert_int_equal(kill(r->pid, SIGKILL), 0);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    close(r->commands);
    unlink(r->path);
    rmdir(r->dir);
}

/* ---- a world behind it ---- */

/* With the patience given, in ms; world_close and test_dir_remove are the caller's. */
static void open_at(struct world *w, struct store_postgres where)
{
    struct store_options options = {.postgres = &where};
    struct err err = {0};

    *w = (struct world){.now_ms = T0};
    if (store_open(&options, &w->store, &err) < 0)
        fail_msg("opening: %s", err.text);
    w->domain = domain_new();
    assert_int_equal(store_load(w->store, w->domain, &err), 0);
    domain_load_done(w->domain, w->now_ms);
    w->batch = store_batch_new();
}

static int64_t users_in(const char *name)
{
    return cluster_sql(name, "SELECT count(*) FROM users");
}

static void add_user(struct world *w, int number)
{
    char name[32];

    snprintf(name, sizeof(name), "try-%d", number);
    world_user(w, 0, name);
}

static void a_restart_is_not_noticed(void **state)
{
    struct test_dir t;
    struct world w;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    open_at(&w, cluster_where(t.path));
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, &err), 0);
    for (int crash = 0; crash < 2; crash++) {
        cluster_stop(crash);
        cluster_start();
        world_user(&w, 0, crash ? "after-the-crash" : "after-the-stop");
        if (world_commit(&w, &err) < 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(users_in(t.path), 2);
    assert_false(store_is_stale(w.store));
    world_close(&w);
    test_dir_remove(&t);
}

static void while_it_is_away_commits_fail_in_words(void **state)
{
    struct test_dir t;
    struct world w;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    struct store_postgres where = cluster_where(t.path);
    where.patience_ms = 1;
    open_at(&w, where);
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, &err), 0);
    cluster_stop(true);
    world_user(&w, 0, "lost");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
        if (!strstr(err.text, "committing: the database"))
            fail_msg("%s", err.text);
        assert_true(store_check(w.store, &err) < 0);
        world_user(&w, 0, i == 0 ? "lost-too" : i == 1 ? "lost-as-well" : "kept");
    }
    cluster_start();
    /* What was begun goes on, once the pause between two attempts is over. */
    for (int i = 0; i < 1000 && store_check(w.store, &err) < 0; i++)
        usleep(10000);
    if (world_commit(&w, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(users_in(t.path), 1);
    assert_false(store_is_stale(w.store));
    world_close(&w);
    test_dir_remove(&t);
}

/* Whether it was applied or not: it is there once. */
static void a_lost_commit_is_found_out(void **state)
{
    static const enum relay_fault faults[] = {RELAY_BEFORE_COMMIT, RELAY_AFTER_COMMIT};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct relay relay;
        struct test_dir t;
        struct world w;
        struct err err = {0};

        test_dir_make(&t);
        struct store_postgres where = cluster_where(t.path);
        relay_make(&relay, &where);
        where.host = str_from(relay.dir);
        open_at(&w, where);
        world_tailnet(&w, "default");
        assert_int_equal(world_commit(&w, &err), 0);
        /* A table that counts commits of users: one tried twice would show. */
        (void)cluster_sql(t.path, "CREATE TABLE _seen (n bigint);"
                                  "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
                                  " 'BEGIN INSERT INTO _seen VALUES (1); RETURN NEW; END';"
                                  "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON users"
                                  " FOR EACH ROW EXECUTE FUNCTION note()");
        world_user(&w, 0, "once");
        relay_spoil_next(&relay, faults[i]);
        if (world_commit(&w, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(cluster_sql(t.path, "SELECT count(*) FROM _seen"), 1);
        assert_int_equal(users_in(t.path), 1);
        assert_false(store_is_stale(w.store));
        world_close(&w);
        relay_remove(&relay);
        test_dir_remove(&t);
    }
}

/* Told as failed, applied all the same: memory is old, and the store says so. */
static void what_was_given_up_and_applied_makes_it_stale(void **state)
{
    struct relay relay;
    struct test_dir t;
    struct world w;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    struct store_postgres where = cluster_where(t.path);
    relay_make(&relay, &where);
    where.host = str_from(relay.dir);
    where.patience_ms = 1;
    open_at(&w, where);
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, &err), 0);
    world_user(&w, 0, "unsure");
    relay_spoil_next(&relay, RELAY_AFTER_COMMIT);
    /* Nobody listens where the server was. */
    assert_int_equal(unlink(relay.path), 0);
    assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
    assert_int_equal(users_in(t.path), 1);
    char real[160];
    snprintf(real, sizeof(real), "%.*s/.s.PGSQL.5432", STR_ARG(cluster_where(t.path).host));
    assert_int_equal(symlink(real, relay.path), 0);
    world_user(&w, 0, "later");
    int status = 0;
    for (int i = 0; i < 1000 && !store_is_stale(w.store); i++) {
        status = world_commit(&w, &err);
        assert_true(status < 0);
        add_user(&w, i);
        usleep(10000);
    }
    assert_true(store_is_stale(w.store));
    assert_int_equal(world_commit(&w, &err), -(int)ERR_CONFLICT);
    assert_int_equal(users_in(t.path), 1);

    /* Read anew it is as it should be. */
    struct domain *fresh = domain_new();
    assert_int_equal(store_load(w.store, fresh, &err), 0);
    assert_false(store_is_stale(w.store));
    domain_free(w.domain);
    w.domain = fresh;
    domain_load_done(fresh, T0);
    world_user(&w, 0, "third");
    if (world_commit(&w, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(users_in(t.path), 2);
    world_close(&w);
    relay_remove(&relay);
    test_dir_remove(&t);
}

/* The lock goes with the connection: who comes in between has the database. */
static void another_server_in_between_is_noticed(void **state)
{
    struct test_dir t;
    struct world w, other;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    struct store_postgres where = cluster_where(t.path);
    where.patience_ms = 1;
    where.lock_patience_ms = 1;
    open_at(&w, where);
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, &err), 0);
    cluster_stop(false);
    cluster_start();
    open_at(&other, cluster_where(t.path));
    world_user(&other, 0, "theirs");
    assert_int_equal(world_commit(&other, &err), 0);
    world_user(&w, 0, "mine");
    assert_true(world_commit(&w, &err) < 0);
    assert_int_equal(users_in(t.path), 1);
    world_close(&other);
    for (int i = 0; i < 1000 && !store_is_stale(w.store); i++) {
        add_user(&w, i);
        assert_true(world_commit(&w, &err) < 0);
        usleep(10000);
    }
    assert_true(store_is_stale(w.store));
    assert_int_equal(users_in(t.path), 1);
    world_close(&w);
    test_dir_remove(&t);
}

static void says_why_a_database_is_refused(void **state)
{
    static const struct {
        const char *sql;
        const char *text;
    } cases[] = {
        {"CREATE TABLE pre_auth_keys (a int); CREATE TABLE migrations (a int)",
         "this is a headscale database"},
        {"CREATE TABLE something (a int)", "belongs to another program"},
    };
    struct store *s = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct test_dir t;
        struct err err = {0};

        test_dir_make(&t);
        (void)cluster_sql(t.path, cases[i].sql);
        struct store_postgres where = cluster_where(t.path);
        assert_int_equal(store_open(&(struct store_options){.postgres = &where}, &s, &err),
                         -(int)ERR_INVALID);
        if (!strstr(err.text, cases[i].text))
            fail_msg("%s", err.text);
        test_dir_remove(&t);
    }

    struct store_postgres where = cluster_where("there-is-none");
    struct err err = {0};
    assert_int_equal(store_open(&(struct store_options){.postgres = &where}, &s, &err),
                     -(int)ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no database or user of that name"));
    where.host = STR("/nonexistent");
    assert_int_equal(store_open(&(struct store_options){.postgres = &where}, &s, &err),
                     -(int)ERR_IO);
    assert_non_null(strstr(err.text, "does not answer"));
}

/* A standby, or an operator's hand. */
static void a_read_only_server_leaves_nothing(void **state)
{
    struct test_dir t;
    struct world w;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, &err), 0);
    assert_int_equal(
        w.store->db->ops->script(w.store->db, "SET default_transaction_read_only = on", &err), 0);
    world_user(&w, 0, "lost");
    assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
    assert_non_null(strstr(err.text, "read-only"));
    assert_int_equal(
        w.store->db->ops->script(w.store->db, "SET default_transaction_read_only = off", &err), 0);
    assert_int_equal(users_in(t.path), 0);
    world_user(&w, 0, "kept");
    assert_int_equal(world_commit(&w, &err), 0);
    assert_int_equal(users_in(t.path), 1);
    world_close(&w);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_is_not_noticed),
        cmocka_unit_test(while_it_is_away_commits_fail_in_words),
        cmocka_unit_test(a_lost_commit_is_found_out),
        cmocka_unit_test(what_was_given_up_and_applied_makes_it_stale),
        cmocka_unit_test(another_server_in_between_is_noticed),
        cmocka_unit_test(says_why_a_database_is_refused),
        cmocka_unit_test(a_read_only_server_leaves_nothing),
    };

    return run_on_engine(tests);
}
