/* What is SQLite's own: its files, its refusals, its faults. */

#include <sqlite3.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static void script(struct store *s, const char *sql)
{
    struct err err = {0};

    if (s->db->ops->script(s->db, sql, &err) < 0)
        fail_msg("%s: %s", sql, err.text);
}

static void assert_refused(const struct test_dir *t, enum err_code code, const char *text)
{
    struct test_options room;
    struct store *s = NULL;
    struct err err = {0};

    assert_int_equal(store_open(test_options(&room, t->path), &s, &err), -(int)code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, text))
        fail_msg("got \"%s\", want \"%s\"", err.text, text);
}

/* ---- files ---- */

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void makes_its_files_private(void **state)
{
    struct test_dir t;
    char deep[128], path[160], name[200];
    struct world w;
    mode_t old = umask(0);

    (void)state;
    test_dir_make(&t);
    snprintf(deep, sizeof(deep), "%s/a/b", t.dir);
    snprintf(path, sizeof(path), "%s/db", deep);
    world_open(&w, path);
    world_tailnet(&w, "default");
    assert_int_equal(world_commit(&w, NULL), 0);
    assert_int_equal(mode_of(deep), 0700);
    assert_int_equal(mode_of(path), 0600);
    snprintf(name, sizeof(name), "%s-wal", path);
    assert_int_equal(mode_of(name), 0600);
    snprintf(name, sizeof(name), "%s.lock", path);
    assert_int_equal(mode_of(name), 0600);
    world_close(&w);
    umask(old);
    unlink(name);
    unlink(path);
    rmdir(deep);
    deep[strlen(deep) - 2] = '\0';
    rmdir(deep);
    test_dir_remove(&t);
}

static void says_why_a_file_is_refused(void **state)
{
    struct test_dir t;
    struct world w;
    int fd;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    world_close(&w);
    outside(t.path, "PRAGMA user_version = 77");
    assert_refused(&t, ERR_INVALID, "schema version 77 and this program knows versions up to");
    char undo[96];
    snprintf(undo, sizeof(undo), "PRAGMA user_version = %d; ALTER TABLE nodes DROP COLUMN os",
             DB_VERSION);
    outside(t.path, undo);
    assert_refused(&t, ERR_INVALID, "not those of schema version");
    test_dir_remove(&t);

    test_dir_make(&t);
    outside(t.path, "CREATE TABLE pre_auth_keys (a); CREATE TABLE migrations (a)");
    assert_refused(&t, ERR_INVALID, "headscale database");
    test_dir_remove(&t);

    test_dir_make(&t);
    outside(t.path, "CREATE TABLE something (a)");
    assert_refused(&t, ERR_INVALID, "another program");
    test_dir_remove(&t);

    test_dir_make(&t);
    fd = open(t.path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(write(fd, "this is no database at all\n", 27), 27);
    close(fd);
    assert_refused(&t, ERR_IO, "damaged or no SQLite database");
    test_dir_remove(&t);

    test_dir_make(&t);
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_refused(&t, ERR_IO, "cannot be opened");
    rmdir(t.path);
    test_dir_remove(&t);
}

/* ---- migrations ---- */

static int64_t version_of(const char *path)
{
    return outside(path, "PRAGMA user_version");
}

static int migrate_with(struct db *db, const char *const *sql, int version, struct err *err)
{
    return db_migrate(db, &(struct db_migrations){.sql = sql, .version = version}, err);
}

/* Migration 3 of `good` adds a row to a table on purpose. */
static int migrate_rewriting_a(struct db *db, const char *const *sql, struct err *err)
{
    static const char *const rewrites[] = {NULL, NULL, NULL, "b a"};

    return db_migrate(db, &(struct db_migrations){.sql = sql, .rewrites = rewrites, .version = 3},
                      err);
}

static void migrates_whole_or_not_at_all(void **state)
{
    static const char *const one[] = {NULL, "CREATE TABLE a (x INTEGER) STRICT;"};
    static const char *const bad[] = {
        NULL, "CREATE TABLE a (x INTEGER) STRICT;",
        "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO a VALUES (1);",
        "DROP TABLE a; CREATE TABLE nonsense ("};
    static const char *const orphan[] = {
        NULL, "CREATE TABLE a (x INTEGER) STRICT;",
        "CREATE TABLE c (x INTEGER PRIMARY KEY, y INTEGER REFERENCES c (x)) STRICT;"
        "PRAGMA defer_foreign_keys = ON; INSERT INTO c VALUES (1, 2);"};
    static const char *const good[] = {NULL, "CREATE TABLE a (x INTEGER) STRICT;",
                                       "CREATE TABLE b (x INTEGER) STRICT;",
                                       "INSERT INTO a VALUES (3);"};
    struct test_dir t;
    struct test_options room;
    struct db *db = NULL;
    struct err err = {0};

    (void)state;
    test_dir_make(&t);
    assert_int_equal(db_sqlite_open(test_options(&room, t.path), &db, &err), 0);
    assert_int_equal(migrate_with(db, one, 1, &err), 0);
    assert_int_equal(version_of(t.path), 1);

    assert_true(migrate_with(db, bad, 3, &err) < 0);
    assert_non_null(strstr(err.text, "migrating the database to version 3"));
    assert_int_equal(version_of(t.path), 1);
    outside(t.path, "SELECT * FROM a");

    assert_true(migrate_with(db, orphan, 2, &err) < 0);
    assert_non_null(strstr(err.text, "c row 1 names a row of c"));
    assert_int_equal(version_of(t.path), 1);

    /* Nobody said that it may. */
    assert_true(migrate_with(db, good, 3, &err) < 0);
    assert_non_null(strstr(err.text, "the database is as it was"));
    assert_non_null(strstr(err.text, "the migration changes 1 rows of table a"));
    assert_int_equal(version_of(t.path), 1);

    assert_int_equal(migrate_rewriting_a(db, good, &err), 0);
    assert_int_equal(migrate_rewriting_a(db, good, &err), 0);
    assert_int_equal(version_of(t.path), 3);
    db->ops->close(db);
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

static const struct {
    const char *name;
    const char *sql; /* on the store's own connection, makes commits fail */
    const char *undo;
    const char *text;
} faults[] = {
    {"disk full", "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000",
     "the disk is full"},
    {"read-only", "PRAGMA query_only = ON", "PRAGMA query_only = OFF", "read-only"},
};

static void a_failed_commit_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct test_dir t;
        struct world w;
        struct err err = {0};
        char name[64];
        tailnet_id tailnet;

        print_message("%s\n", faults[i].name);
        test_dir_make(&t);
        world_open(&w, t.path);
        tailnet = world_tailnet(&w, "default");
        world_user(&w, tailnet, "before");
        assert_int_equal(world_commit(&w, &err), 0);
        script(w.store, faults[i].sql);
        /* The first rows still fit somewhere; the batch as a whole does not. */
        for (unsigned k = 0; k < 500; k++) {
            snprintf(name, sizeof(name), "user-with-a-rather-long-name-%u", k);
            world_user(&w, tailnet, name);
        }
        assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
        if (!strstr(err.text, faults[i].text))
            fail_msg("%s", err.text);
        /* The store goes on when the cause is gone. */
        assert_int_equal(store_check(w.store, &err), 0);
        script(w.store, faults[i].undo);
        assert_int_equal(store_value_put(w.store, STR("x"), STR("y"), &err), 0);
        world_close(&w);
        assert_only(&t, "before");
        test_dir_remove(&t);
    }
}

static void a_lock_is_an_error(void **state)
{
    struct test_dir t;
    struct world w;
    struct err err = {0};
    sqlite3 *db = NULL;
    tailnet_id tailnet;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    tailnet = world_tailnet(&w, "default");
    world_user(&w, tailnet, "before");
    assert_int_equal(world_commit(&w, &err), 0);
    script(w.store, "PRAGMA busy_timeout = 20");
    assert_int_equal(sqlite3_open(t.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    world_user(&w, tailnet, "after");
    assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
    assert_non_null(strstr(err.text, "locked by another program"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    world_close(&w);
    assert_only(&t, "before");
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_its_files_private),
        cmocka_unit_test(says_why_a_file_is_refused),
        cmocka_unit_test(migrates_whole_or_not_at_all),
        cmocka_unit_test(a_failed_commit_leaves_nothing),
        cmocka_unit_test(a_lock_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
