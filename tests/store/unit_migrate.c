/*
 * A database of every older schema version, made by the migrations themselves, is brought up: with
 * its rows, behind a backup, and whole or not at all, whatever happens in the middle.
 */

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* Rows that each version's tables can hold; migrations are never edited, so neither are these. */
static const char *const rows[DB_VERSION + 1] = {
    [1] =
        "INSERT INTO tailnets (id, revision, name, base_domain, domain, created_ms, prefix_v4,"
        " prefix_v6, allocation, node_expiry_ms, ephemeral_timeout_ms, taildrop, logtail,"
        " auto_update, randomize_client_port, dns, regions) VALUES (1, 9, 'default', 'a.example',"
        " 'default', 5, x'644000000a', NULL, 0, 0, 120000, 1, 0, 0, 0, '', '[]');"
        "INSERT INTO users (id, tailnet, name, display_name, email, picture_url, provider,"
        " provider_id, role, created_ms) VALUES (3, 1, 'alice', 'A', '', '', '', '', 0, 6);"
        "INSERT INTO auth_keys (id, tailnet, user_id, tags, prefix, hash, legacy, reusable,"
        " ephemeral, used, created_ms, expiry_ms) VALUES (4, 1, 3, '[]', 'abcdefabcdef',"
        " x'000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f', '', 1, 0, 0, 7, 0);"
        "INSERT INTO nodes (id, tailnet, stable_id, user_id, tags, method, auth_key, ephemeral,"
        " machine_key, node_key, disco_key, nl_key, given_name, name_is_auto, v4, v6, created_ms,"
        " expiry_ms, last_seen_ms, capver, home_derp, endpoints, approved, hostname, os,"
        " ipn_version, routes, request_tags, hostinfo, hostinfo_peer) VALUES (5, 1, 'n5', 3, '[]',"
        " 1, 4, 0,"
        " x'0101010101010101010101010101010101010101010101010101010101010101',"
        " x'0202020202020202020202020202020202020202020202020202020202020202',"
        " x'0303030303030303030303030303030303030303030303030303030303030303',"
        " x'0000000000000000000000000000000000000000000000000000000000000000',"
        " 'laptop', 1, x'64400001', NULL, 8, 0, 9, 100, 0, '[]', '[]', 'laptop', 'linux', '1.80',"
        " '[]', '[]', '{}', '{}');"
        "INSERT INTO counters (name, next) VALUES ('node', 77)",
    [2] = "INSERT INTO policies (tailnet, created_ms, author, text) VALUES (1, 11, 'bob', '{}')",
    [3] = "INSERT INTO audit (id, tailnet, created_ms, origin, is_client, author, source, action,"
          " object, object_id, object_name, before, after) VALUES (1, 1, 12, 1, 0, 'socket', '',"
          " 'user.create', 'user', 3, 'alice', '', '')",
    [5] = "INSERT INTO api_keys (id, tailnet, user_id, prefix, hash, legacy, description, scopes,"
          " created_ms, expiry_ms, last_seen_ms, kind, client, tags) VALUES (8, 1, NULL,"
          " 'abcdefabcdee', x'000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f',"
          " '', 'operator', '[\"all\"]', 13, 0, 0, 1, 0, '[\"tag:k8s\"]')",
    [9] =
        "UPDATE tailnets SET settings = '{\"joining\":[{\"by\":\"domain\",\"provider\":\"\","
        "\"value\":\"a.example\",\"needs_approval\":true,\"role\":\"auditor\"}],"
        "\"user_approval\":false,\"device_approval\":true}';"
        "UPDATE nodes SET hold_device = 1;"
        "UPDATE users SET status = 2;"
        "UPDATE auth_keys SET preauthorized = 1;"
        "INSERT INTO user_invites (id, tailnet, inviter, role, email, hash, created_ms, expiry_ms)"
        " VALUES (6, 1, 3, 1, 'b@a.example',"
        " x'000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f', 14, 99)",
};

static struct db *open_engine(const char *path)
{
    struct test_options room;
    struct db *db = NULL;
    struct err err = {0};

    if (db_open(test_options(&room, path), &db, &err) < 0)
        fail_msg("%s", err.text);
    return db;
}

/* What a new tailnet's DNS settings look like in a row. */
static const char *plain_dns(struct arena *arena)
{
    struct tailnet_info *info = tailnet_info_new();
    struct str text = list_from_dns(arena, info);

    tailnet_info_unref(info);
    return text.ptr;
}

/* As a server of that version left it. */
static void make_version(const char *path, int version)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *room[DB_VERSION + 1];
    struct db_migrations list = db_migrations(room);
    struct db *db = open_engine(path);
    struct err err = {0};

    assert_int_equal(db->ops->begin(db, &err), 0);
    if (db_apply(db, &list, 0, version, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 1; i <= version; i++)
        if (rows[i] && db->ops->script(db, rows[i], &err) < 0)
            fail_msg("%s", err.text);
    struct str dns = arena_printf(arena, "UPDATE tailnets SET dns = '%s'", plain_dns(arena));
    assert_int_equal(db->ops->script(db, dns.ptr, &err), 0);
    if (db->ops->commit(db, &err) < 0)
        fail_msg("%s", err.text);
    db->ops->close(db);
}

static int version_of(const char *path)
{
    struct db *db = open_engine(path);
    struct err err = {0};
    int version = -1;

    assert_int_equal(db->ops->version(db, &version, &err), 0);
    db->ops->close(db);
    return version;
}

/* Who was there before is active, and his machines need nobody's approval. */
static void assert_people(const struct tailnet_view *view, int made_at)
{
    const struct tailnet_settings *s = &view_info(view)->settings;
    const struct user_invite *i = view_user_invite_find(view, 6);
    bool is_new = made_at >= 9;
    size_t n;

    assert_int_equal(view_user_find(view, 3)->status, is_new ? USER_SUSPENDED : USER_ACTIVE);
    assert_int_equal(view_node_find(view, 5)->holds, is_new ? HOLD_USER | HOLD_DEVICE : 0);
    assert_int_equal(view_auth_keys(view, &n)[0]->preauthorized, is_new);
    assert_int_equal(
        s->set, is_new ? SETTING_JOINING | SETTING_USER_APPROVAL | SETTING_DEVICE_APPROVAL : 0);
    assert_true((i != NULL) == is_new);
    if (!is_new)
        return;
    assert_true(s->n_joining == 1 && s->joining[0].by == JOIN_DOMAIN &&
                s->joining[0].needs_approval && s->joining[0].role == ROLE_AUDITOR);
    assert_str(s->joining[0].value, STR("a.example"));
    assert_true(!s->user_approval && s->device_approval);
    assert_true(i->inviter == 3 && i->role == ROLE_ADMIN && i->expiry_ms == 99);
    assert_str(i->email, STR("b@a.example"));
}

static void assert_rows(const char *path, int made_at)
{
    struct world w;

    world_open(&w, path);
    AUTO(view_unref) const struct tailnet_view *view = domain_view(w.domain, 0);
    const struct node *node = view_node_find(view, 5);
    size_t n;

    assert_non_null(node);
    assert_str(node->given_name, STR("laptop"));
    assert_str(view_user_find(view, 3)->name, STR("alice"));
    (void)view_auth_keys(view, &n);
    assert_int_equal(n, 1);
    assert_str(view_info(view)->policy, made_at >= 2 ? STR("{}") : STR(""));
    assert_int_equal(domain_counters(w.domain).node, 77);
    assert_true(view_revision(view) >= 9);
    assert_people(view, made_at);
    /* And it is a database like any other. */
    world_user(&w, 0, "carol");
    assert_int_equal(world_commit(&w, NULL), 0);
    world_close(&w);
}

/* Files that the migration left beside it: backups, and what should be gone. */
static size_t count_files(const char *dir, const char *part)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, part) != NULL;
    if (d)
        closedir(d);
    return n;
}

/* With PostgreSQL, backups have a directory of their own. */
static void open_and_close(struct test_dir *t, const char *backups)
{
    struct test_options room;
    struct store *s = NULL;
    struct err err = {0};

    (void)test_options(&room, t->path);
    room.options.backup_dir = str_from(backups);
    if (store_open(&room.options, &s, &err) < 0)
        fail_msg("%s", err.text);
    store_close(s);
}

static void every_older_version_is_brought_up(void **state)
{
    (void)state;
    for (int version = 1; version < DB_VERSION; version++) {
        struct test_dir t, files = {.dir = "/tmp/store-test-XXXXXX"};
        char mark[32];

        assert_non_null(mkdtemp(files.dir));
        test_dir_make(&t);
        make_version(t.path, version);
        open_and_close(&t, files.dir);
        assert_int_equal(version_of(t.path), DB_VERSION);
        snprintf(mark, sizeof(mark), ".before-v%d.", version);
        const char *dir = TEST_ENGINE_IS_POSTGRES ? files.dir : t.dir;
        assert_int_equal(count_files(dir, mark), 1);
        assert_int_equal(count_files(dir, ".trial"), 0);
        assert_int_equal(count_files(dir, ".partial"), 0);
        assert_rows(t.path, version);
        test_dir_remove(&t);
        test_dir_remove(&files);
    }
}

/* The same through a file: an older version's export is taken, and brought up. */
static void every_older_export_is_taken(void **state)
{
    (void)state;
    for (int version = 1; version <= DB_VERSION; version++) {
        struct test_options room;
        struct test_dir a, b;
        struct buf text = BUF(EXPORT_MAX);
        struct err err = {0};

        test_dir_make(&a);
        test_dir_make(&b);
        make_version(a.path, version);
        if (store_export(test_options(&room, a.path), &text, &err) < 0 ||
            store_restore_text(test_options(&room, b.path), buf_str(&text), &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(version_of(a.path), version);
        assert_int_equal(version_of(b.path), DB_VERSION);
        assert_rows(b.path, version);
        buf_fini(&text);
        test_dir_remove(&a);
        test_dir_remove(&b);
    }
}

static void only_the_newest_backups_stay(void **state)
{
    struct test_dir files = {.dir = "/tmp/store-test-XXXXXX"};
    struct str stem;

    (void)state;
    assert_non_null(mkdtemp(files.dir));
    stem = str_printf("%s/db.sqlite", files.dir);
    for (int i = 0; i < 3 * BACKUPS_KEPT; i++) {
        struct str name =
            str_printf("%.*s.before-v%d.20260101T0000%02d.000Z", STR_ARG(stem), 20 - i, i);
        FILE *f = fopen(name.ptr, "w");

        assert_non_null(f);
        fclose(f);
        backups_prune(stem);
        str_free(&name);
    }
    assert_int_equal(count_files(files.dir, ".before-v"), BACKUPS_KEPT);
    assert_int_equal(count_files(files.dir, "T000014.000Z"), 1);
    assert_int_equal(count_files(files.dir, "T000009.000Z"), 0);
    str_free(&stem);
    test_dir_remove(&files);
}

/* ---- killed in the middle ---- */

static struct db_ops real_ops;
static int calls_left;

static void count_down(void)
{
    if (calls_left-- == 0)
        raise(SIGKILL);
}

static int dying_script(struct db *db, const char *sql, struct err *err)
{
    int status;

    count_down();
    status = real_ops.script(db, sql, err);
    count_down();
    return status;
}

static int dying_set_version(struct db *db, int version, struct err *err)
{
    count_down();
    return real_ops.set_version(db, version, err);
}

static int dying_commit(struct db *db, struct err *err)
{
    int status;

    count_down();
    status = real_ops.commit(db, err);
    count_down();
    return status;
}

static int dying_rehearse(struct db *db, const struct db_migrations *list, int from,
                          struct err *err)
{
    int status;

    count_down();
    status = real_ops.rehearse(db, list, from, err);
    count_down();
    return status;
}

/* In a child that dies at the n-th call; whether it came to the end. */
static bool migrate_dying(const char *path, const char *backups, int n)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        const char *room[DB_VERSION + 1];
        struct db_migrations list = db_migrations(room);
        struct test_options options;
        struct db *db = NULL;
        struct err err = {0};

        (void)test_options(&options, path);
        options.options.backup_dir = str_from(backups);
        if (db_open(&options.options, &db, &err) < 0)
            _exit(2);
        real_ops = *db->ops;
        struct db_ops dying = real_ops;
        dying.script = dying_script;
        dying.set_version = dying_set_version;
        dying.commit = dying_commit;
        dying.rehearse = dying_rehearse;
        db->ops = &dying;
        calls_left = n;
        _exit(db_migrate(db, &list, &err) < 0 ? 3 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static void killed_in_the_middle_nothing_happened(void **state)
{
    bool done = false;

    (void)state;
    if (DB_VERSION < 2)
        return;
    for (int n = 0; !done; n++) {
        struct test_dir t, files = {.dir = "/tmp/store-test-XXXXXX"};

        assert_non_null(mkdtemp(files.dir));
        test_dir_make(&t);
        make_version(t.path, 1);
        done = migrate_dying(t.path, files.dir, n);
        int version = version_of(t.path);
        assert_true(version == DB_VERSION || (!done && version == 1));
        open_and_close(&t, files.dir);
        assert_int_equal(version_of(t.path), DB_VERSION);
        assert_rows(t.path, 1);
        test_dir_remove(&t);
        test_dir_remove(&files);
    }
}

/* ---- full and read-only disks ---- */

/* A small file system of the child's own; false: this machine lets nobody have one. */
static bool mount_small(const char *dir, const char *size)
{
    char options[64];

    snprintf(options, sizeof(options), "size=%s", size);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", dir, "tmpfs", 0, options) == 0;
}

/* What is written in the child's file system is looked at there. 0: good, 77: no such thing here.
 */
static int on_a_small_disk(const char *dir)
{
    char path[96], ballast[96];
    struct store_options options;
    struct store *s = NULL;
    struct err err = {0};

    if (!mount_small(dir, "1200k"))
        return 77;
    snprintf(path, sizeof(path), "%s/db.sqlite", dir);
    snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
    options = (struct store_options){.sqlite_path = str_from(path), .wal = true};
    make_version(path, 1);

    FILE *f = fopen(ballast, "w");
    assert_non_null(f);
    setvbuf(f, NULL, _IONBF, 0);
    while (fputc('x', f) != EOF)
        ;
    fclose(f);
    assert_int_equal(store_open(&options, &s, &err), -(int)ERR_IO);
    if (!strstr(err.text, "disk is full") && !strstr(err.text, "No space left"))
        fail_msg("%s", err.text);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(version_of(path), 1);
    assert_int_equal(count_files(dir, ".before-v"), 0);
    assert_int_equal(count_files(dir, ".trial"), 0);

    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_int_equal(store_open(&options, &s, &err), -(int)ERR_IO);
    if (!strstr(err.text, "read-only") && !strstr(err.text, "Read-only"))
        fail_msg("%s", err.text);
    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
    assert_rows(path, 1);

    /* A disk that fills up under a server: refused, nothing lost, and it goes on afterwards. */
    struct world w;
    world_open(&w, path);
    f = fopen(ballast, "w");
    assert_non_null(f);
    setvbuf(f, NULL, _IONBF, 0);
    while (fputc('x', f) != EOF)
        ;
    fclose(f);
    for (int i = 0; i < 300; i++) {
        char name[32];

        snprintf(name, sizeof(name), "user-with-a-long-name-%d", i);
        world_user(&w, 0, name);
    }
    assert_int_equal(world_commit(&w, &err), -(int)ERR_IO);
    if (!strstr(err.text, "the disk is full"))
        fail_msg("%s", err.text);
    assert_int_equal(store_check(w.store, &err), 0);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(store_value_put(w.store, STR("x"), STR("y"), &err), 0);
    world_close(&w);
    assert_int_equal(outside(path, "SELECT count(*) FROM users"), 2);
    return 0;
}

static void a_full_or_read_only_disk_changes_nothing(void **state)
{
    struct test_dir t = {.dir = "/tmp/store-test-XXXXXX"};
    int status;

    (void)state;
    if (TEST_ENGINE_IS_POSTGRES || DB_VERSION < 2)
        return;
    assert_non_null(mkdtemp(t.dir));
    pid_t pid = fork();
    if (pid == 0)
        _exit(on_a_small_disk(t.dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        print_message("no mount namespaces here: full disks are not tried\n");
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_older_version_is_brought_up),
        cmocka_unit_test(every_older_export_is_taken),
        cmocka_unit_test(only_the_newest_backups_stay),
        cmocka_unit_test(killed_in_the_middle_nothing_happened),
        cmocka_unit_test(a_full_or_read_only_disk_changes_nothing),
    };

    return run_on_engine(tests);
}
