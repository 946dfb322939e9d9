/*
 * Export, import, backup and restore, on either engine. Histories are in property_export.c.
 */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "harness.h"

static void fill(struct world *w)
{
    struct str odd = STR("odd \x01 \xff\xfe \xf4\x8f\xbc\x80 na\"me");
    struct command_result r = {0};
    tailnet_id tailnet = world_tailnet(w, "default");
    user_id user = world_user(w, tailnet, "alice");
    struct register_request reg = {.capver = 100};

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
    str_free(&reg.facts->os);
    reg.facts->hostname = str_copy(STR("one"));
    reg.facts->os = str_copy(odd);
    r = (struct command_result){0};
    assert_int_equal(world_apply(w, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r),
                     0);
    command_result_fini(&r);
    node_facts_unref(reg.facts);
    str_free(&reg.auth_key);
    world_do(w, (struct command){.type = COMMAND_POLICY_SET, .text = STR("{}")});
    assert_int_equal(world_commit(w, NULL), 0);
    struct err err = {0};
    assert_int_equal(store_value_put(w->store, STR("x"), STR("t\0o"), &err), 0);
}

static struct str export_of(const char *path)
{
    struct test_options room;
    struct buf out = BUF(EXPORT_MAX);
    struct err err = {0};

    if (store_export(test_options(&room, path), &out, &err) < 0)
        fail_msg("%s", err.text);
    return buf_take(&out);
}

static int import_to(const char *path, struct str text, struct err *err)
{
    struct test_options room;

    return store_restore_text(test_options(&room, path), text, err);
}

static void goes_out_and_in_unchanged(void **state)
{
    struct test_dir a, b;
    struct world w, v;
    struct err err = {0};

    (void)state;
    test_dir_make(&a);
    test_dir_make(&b);
    world_open(&w, a.path);
    fill(&w);
    /* Beside the server that has it open. */
    struct str first = export_of(a.path);
    if (import_to(b.path, first, &err) < 0)
        fail_msg("%s", err.text);
    struct str second = export_of(b.path);
    assert_str(second, first);
    world_open(&v, b.path);
    const char *d = differ_domains(w.domain, v.domain);
    if (d)
        fail_msg("%s", d);
    world_close(&w);
    world_close(&v);
    str_free(&first);
    str_free(&second);
    test_dir_remove(&a);
    test_dir_remove(&b);
}

/* From SQLite to PostgreSQL and back, nothing is lost. */
static void moves_between_engines(void **state)
{
    struct test_dir other;
    char dir[64] = "/tmp/store-test-XXXXXX", path[96];
    struct world w;
    struct err err = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/db.sqlite", dir);
    test_dir_make(&other);
    world_open(&w, path);
    fill(&w);
    world_close(&w);
    struct str first = export_of(path);
    if (import_to(other.path, first, &err) < 0)
        fail_msg("%s", err.text);
    struct str second = export_of(other.path);
    assert_str(second, first);
    if (import_to(path, second, &err) < 0)
        fail_msg("%s", err.text);
    struct str third = export_of(path);
    assert_str(third, first);
    str_free(&first);
    str_free(&second);
    str_free(&third);
    test_dir_remove(&other);
    test_dir_remove(&(struct test_dir){.dir = "/nonexistent"});
    struct test_dir mine;
    snprintf(mine.dir, sizeof(mine.dir), "%s", dir);
    test_dir_remove(&mine);
}

/* A backup made beside a server holds what was confirmed, and a restore puts just that back. */
static void a_backup_beside_a_server_is_restored(void **state)
{
    char dir[64] = "/tmp/store-test-XXXXXX", path[96];
    struct test_options room;
    struct test_dir t, files;
    struct world w;
    struct err err = {0};
    struct stat st;
    bool has = false;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/copy", dir);
    test_dir_make(&t);
    world_open(&w, t.path);
    fill(&w);
    if (store_backup(test_options(&room, t.path), str_from(path), &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct str before = export_of(t.path);
    world_user(&w, 0, "later");
    assert_int_equal(world_commit(&w, NULL), 0);

    /* Not while a server has it. */
    (void)test_options(&room, t.path);
    room.postgres.lock_patience_ms = 1;
    struct str copy = STR_NONE;
    if (TEST_ENGINE_IS_POSTGRES) {
        struct buf text = BUF(EXPORT_MAX);
        assert_int_equal(file_read(str_from(path), &text, &has, &err), 0);
        copy = buf_take(&text);
        assert_int_equal(store_restore_text(&room.options, copy, &err), -(int)ERR_CONFLICT);
    } else {
        assert_int_equal(store_restore_file(&room.options, str_from(path), &err),
                         -(int)ERR_CONFLICT);
    }
    world_close(&w);
    room.postgres.lock_patience_ms = 60000;
    room.options.backup_dir = str_from(dir);
    assert_int_equal(store_has_content(&room.options, &has, &err), 0);
    assert_true(has);
    int status = TEST_ENGINE_IS_POSTGRES ? store_restore_text(&room.options, copy, &err)
                                         : store_restore_file(&room.options, str_from(path), &err);
    if (status < 0)
        fail_msg("%s", err.text);
    struct str after = export_of(t.path);
    assert_str(after, before);
    str_free(&copy);
    str_free(&before);
    str_free(&after);
    test_dir_remove(&t);
    snprintf(files.dir, sizeof(files.dir), "%s", dir);
    test_dir_remove(&files);
}

/* ---- hostile texts ---- */

static const struct {
    const char *name;
    const char *from; /* in a good export; NULL: the whole text */
    const char *to;
    const char *complaint;
} hostile[] = {
    {"nothing", NULL, "", "line 1, column 1"},
    {"no JSON", NULL, "{\n  \"x\": }", "line 2, column 8"},
    {"no object", NULL, "[]", "line 1, column 1: this is no export"},
    {"another program's", NULL, "{\"tables\": {}}", "this is no export"},
    {"a newer form", "\"hatsize_export\":1", "\"hatsize_export\":2", "a newer Hatsize wrote"},
    {"a newer schema", "\"schema\":", "\"schema\":9", "this program knows schema versions 1 to"},
    {"schema 0", NULL, "{\"hatsize_export\":1,\"schema\":0,\"tables\":{}}", "schema versions"},
    {"tables are a list", NULL, "{\"hatsize_export\":1,\"schema\":1,\"tables\":[]}",
     "\"tables\" is missing"},
    {"a table is missing", NULL, "{\"hatsize_export\":1,\"schema\":1,\"tables\":{}}",
     "table \"tailnets\" is missing"},
    {"a strange table", "\"users\":[", "\"users; DROP TABLE nodes\":[", "there is no table"},
    {"a strange member", "\"schema\":", "\"extra\":0,\"schema\":", "an export has no \"extra\""},
    {"a table twice", "\"users\":[", "\"nodes\":[],\"users\":[", "\"nodes\" is there twice"},
    {"a strange column", "\"display_name\":", "\"display_name) --\":", "users has no column"},
    {"a column twice", "\"display_name\":", "\"name\":\"x\",\"display_name\":", "is there twice"},
    {"a column is missing", "\"display_name\":\"\",", "", "a row of users lacks \"display_name\""},
    {"text for a number", "\"id\":1,", "\"id\":\"1\",", "id wants a whole number, not a string"},
    {"a fraction", "\"id\":1,", "\"id\":1.5,", "id wants a whole number"},
    {"a huge number", "\"id\":1,", "\"id\":18446744073709551615,", "id wants a whole number"},
    {"a number for text", "\"given_name\":\"one\"", "\"given_name\":1", "given_name wants text"},
    {"NULL where none may be", "\"given_name\":\"one\"", "\"given_name\":null", "line "},
    {"no hex", "\"node_key\":\"02", "\"node_key\":\"zz", "node_key wants bytes as hex"},
    {"a short key", "\"node_key\":\"0202", "\"node_key\":\"02",
     "nodes row 1: node_key has the wrong"},
    {"another's tailnet", "\"tailnet\":1,\"stable_id\"", "\"tailnet\":7,\"stable_id\"", ""},
    {"no DNS label", "\"given_name\":\"one\"", "\"given_name\":\"not a label\"", "nodes row 1"},
    {"negative", "\"id\":1,\"tailnet\":1,\"name\"", "\"id\":-5,\"tailnet\":1,\"name\"", ""},
};

static struct str replaced(struct str text, const char *from, const char *to)
{
    ptrdiff_t at = str_find(text, str_from(from));
    struct buf out = BUF(EXPORT_MAX);

    assert_true(at >= 0);
    buf_put(&out, str_sub(text, 0, (size_t)at));
    buf_put(&out, str_from(to));
    buf_put(&out, str_from_index(text, (size_t)at + strlen(from)));
    return buf_take(&out);
}

static void a_hostile_text_changes_nothing(void **state)
{
    struct test_dir t;
    struct world w;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    fill(&w);
    world_close(&w);
    struct str good = export_of(t.path);

    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        struct err err = {0};
        struct str bad = hostile[i].from ? replaced(good, hostile[i].from, hostile[i].to)
                                         : str_copy(str_from(hostile[i].to));

        print_message("%s\n", hostile[i].name);
        assert_true(import_to(t.path, bad, &err) < 0);
        if (!strstr(err.text, hostile[i].complaint))
            fail_msg("got \"%s\", want \"%s\"", err.text, hostile[i].complaint);
        struct str still = export_of(t.path);
        assert_str(still, good);
        str_free(&still);
        str_free(&bad);
    }
    str_free(&good);
    test_dir_remove(&t);
}

static void a_cut_text_changes_nothing(void **state)
{
    struct test_dir t;
    struct world w;

    (void)state;
    test_dir_make(&t);
    world_open(&w, t.path);
    fill(&w);
    world_close(&w);
    struct str good = export_of(t.path);

    for (size_t n = 0; n + 2 < good.len; n += 97) {
        struct err err = {0};

        assert_true(import_to(t.path, str_sub(good, 0, n), &err) < 0);
        assert_true(str_starts(str_from(err.text), STR("line ")));
    }
    struct str still = export_of(t.path);
    assert_str(still, good);
    str_free(&still);
    str_free(&good);
    test_dir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_out_and_in_unchanged),
        cmocka_unit_test(moves_between_engines),
        cmocka_unit_test(a_backup_beside_a_server_is_restored),
        cmocka_unit_test(a_hostile_text_changes_nothing),
        cmocka_unit_test(a_cut_text_changes_nothing),
    };

    return run_on_engine(tests);
}
