/*
 * hatsize import headscale, as it is typed: what it says, what it writes, what it refuses.
 */

#include "../unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../store/headscale_writer.h"
#include "cli/cli_internal.h"

#define KEY "privkey:0101010101010101010101010101010101010101010101010101010101010101"
#define OTHER "privkey:0202020202020202020202020202020202020202020202020202020202020202"

static char dir[64];

static const char config[] = "server_url: http://127.0.0.1:8080\n"
                             "listen_addr: 127.0.0.1:8080\n"
                             "noise:\n  private_key_path: noise.key\n"
                             "prefixes:\n  v4: 100.64.0.0/10\n  v6: fd7a:115c:a1e0::/48\n"
                             "derp:\n  server:\n    private_key_path: derp.key\n"
                             "database:\n  type: sqlite\n  sqlite:\n    path: db.sqlite\n"
                             "dns:\n  base_domain: example.net\n  override_local_dns: false\n"
                             "policy:\n";

static struct str path_of(const char *name)
{
    return str_printf("%s/%s", dir, name);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    AUTO_FINI(str_free) struct str path = path_of(name);
    int fd = open(path.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static bool is_there(const char *name)
{
    AUTO_FINI(str_free) struct str path = path_of(name);

    return access(path.ptr, F_OK) == 0;
}

static void remove_file(const char *name)
{
    AUTO_FINI(str_free) struct str path = path_of(name);

    (void)unlink(path.ptr);
}

static void write_config(const char *policy)
{
    AUTO_FINI(str_free) struct str text = str_printf("%s%s", config, policy);

    write_file("config.yaml", text.ptr, 0600);
}

static void write_database(enum hs_release r, const char *more)
{
    AUTO_FINI(str_free) struct str path = path_of("db.sqlite");
    sqlite3 *db;

    remove_file("db.sqlite");
    db = hs_make(path.ptr, r);
    hs_fill(db, r);
    hs_sql(db, more);
    sqlite3_close(db);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/cli-import-XXXXXX");
    assert_non_null(mkdtemp(dir));
    write_config("  mode: database\n");
    write_file("noise.key", KEY "\n", 0600);
    write_file("derp.key", OTHER "\n", 0600);
    write_database(HS_0_29, "");
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "config.yaml",    "noise.key",           "derp.key",   "db.sqlite",  "policy",
        "hatsize.sqlite", "hatsize.sqlite.lock", "other.yaml", "own.sqlite", "own.sqlite.lock"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        remove_file(names[i]);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

/* ---- typing ---- */

static struct {
    struct str out, complaints;
    int status;
} said;

static struct str take_text(FILE *f)
{
    struct buf text = BUF((size_t)1 << 20);
    char piece[4096];
    size_t n;

    rewind(f);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_put(&text, str_bytes(piece, n));
    (void)fclose(f);
    return buf_take(&text);
}

/* Up to six words behind "import headscale". */
static void type(const char *const *words)
{
    AUTO_FINI(str_free) struct str file = path_of("config.yaml");
    const char *argv[16] = {"hatsize", "import", "headscale"};
    static const char *const no_environment[] = {NULL};
    struct cli cli = {
        .arena = arena_new(), .environ = no_environment, .out = tmpfile(), .complaints = tmpfile()};
    char *copies[16] = {0};
    int n = 3;

    for (size_t i = 0; words[i]; i++)
        argv[n++] = strcmp(words[i], "CONFIG") == 0 ? file.ptr : words[i];
    for (int i = 0; i < n; i++)
        copies[i] = str_dup(str_from(argv[i]));
    str_free(&said.out);
    str_free(&said.complaints);
    said.status = cli_run(&cli, n, copies);
    said.out = take_text(cli.out);
    said.complaints = take_text(cli.complaints);
    for (int i = 0; i < n; i++)
        mem_free(copies[i]);
    config_free(cli.config);
    arena_free(cli.arena);
}
#define TYPE(...) type((const char *const[]){__VA_ARGS__, NULL})

static void assert_said(struct str text, const char *part)
{
    if (str_find(text, str_from(part)) < 0)
        fail_msg("\"%s\" is not in:\n%.*s", part, STR_ARG(text));
}

/* ---- tests ---- */

static void a_dry_run_tells_all_and_writes_nothing(void **state)
{
    (void)state;
    TYPE("--config", "CONFIG", "--dry-run");
    assert_int_equal(said.status, 0);
    assert_said(said.out, "headscale v0.29.2: ");
    assert_said(said.out, "nodes     | 4     | 0 ");
    assert_said(said.out, "auth keys | 3     | 0       | 0             | 2 ");
    assert_said(said.out, "server's key: ");
    assert_said(said.out, "policy: the newest of the database is taken");
    assert_said(said.out, "auth key 2 (aB-_56789012): it was used, and is good for once");
    assert_said(said.out, "this was a dry run");
    assert_false(is_there("hatsize.sqlite"));
}

static void it_writes_beside_and_says_how_to_start(void **state)
{
    (void)state;
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 0);
    assert_said(said.out, "/hatsize.sqlite. Start it: hatsize serve --config ");
    assert_true(is_there("hatsize.sqlite"));
    assert_false(is_there("hatsize.sqlite.import"));
    /* Once more: nodes are there now. */
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_said(said.complaints, "has 4 nodes already; --force adds to them");
    TYPE("--config", "CONFIG", "--force");
    assert_int_equal(said.status, 0);
    assert_said(said.out, "there already:\n");
}

static void programs_get_an_object(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;

    (void)state;
    TYPE("--config", "CONFIG", "--output", "json");
    assert_int_equal(said.status, 0);
    assert_true(json_parse(arena, said.out, NULL, &v, NULL));
    assert_str(json_get_str(v, "release"), STR("v0.29.2"));
    assert_true(json_get_bool(v, "written", false) && !json_get_bool(v, "dryRun", true));
    assert_str(json_get_str(json_get(v, "noiseKey"), "state"), STR("kept"));
    const struct json_value *nodes = json_get(json_get(v, "counts"), "nodes");

    assert_int_equal(json_get_u64(nodes, "taken", 0), 4);
    assert_int_equal(json_len(json_get_array(v, "notes")), 3);
}

static void without_the_old_servers_key_nothing_is_written(void **state)
{
    (void)state;
    remove_file("noise.key");
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_said(said.out, "every client would have to log in again");
    assert_said(said.out, "Nothing was written");
    assert_said(said.complaints, "the old server's key is not at ");
    assert_false(is_there("hatsize.sqlite"));

    write_file("noise.key", "privkey:zz\n", 0600);
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_said(said.complaints, "it is no key file");

    write_file("noise.key", KEY "\n", 0644);
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_false(is_there("hatsize.sqlite"));

    remove_file("noise.key");
    TYPE("--config", "CONFIG", "--force");
    assert_int_equal(said.status, 0);
    assert_true(is_there("hatsize.sqlite"));
    /* No key is in what was said. */
    assert_true(str_find(said.out, STR("privkey")) < 0);
}

static void damage_is_told_and_left_out_when_asked(void **state)
{
    (void)state;
    write_database(HS_0_29, "UPDATE nodes SET given_name = char(27) || '[2J', node_key = 'x'"
                            " WHERE id = 1");
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_said(said.out, "damaged, cannot be read:\n  node 1 (.[2J): node_key is no key\n");
    assert_said(said.complaints, "1 rows cannot be read");
    assert_false(is_there("hatsize.sqlite"));
    TYPE("--config", "CONFIG", "--skip-damaged");
    assert_int_equal(said.status, 0);
    assert_true(is_there("hatsize.sqlite"));
}

static void a_policy_that_is_none_stops_it_with_line_and_column(void **state)
{
    (void)state;
    write_database(HS_0_29, "UPDATE policies SET data = '{' || char(10) || ' \"acls\": 7}'");
    TYPE("--config", "CONFIG");
    assert_int_equal(said.status, 1);
    assert_said(said.complaints, "the policy cannot be taken over: line 2, column ");
    assert_false(is_there("hatsize.sqlite"));
}

/* headscale.md 8.6, rule 5: up to 0.27 requested tags were in the host facts only. */
static void requested_tags_are_taken_as_the_policy_file_says(void **state)
{
    static const struct {
        const char *owner;
        const char *nodes;
    } cases[] = {{"bob@", "\"taggedNodes\": 1"}, {"alice@", "\"taggedNodes\": 0"}};

    (void)state;
    write_config("  mode: file\n  path: policy\n");
    write_database(HS_0_27, "UPDATE nodes SET forced_tags = '[]'");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FINI(str_free)
        struct str policy = str_printf("{\"tagOwners\": {\"tag:web\": [\"%s\"]}}", cases[i].owner);

        write_file("policy", policy.ptr, 0600);
        TYPE("--config", "CONFIG", "--dry-run", "-o", "json");
        assert_int_equal(said.status, 0);
        assert_said(said.out, cases[i].nodes);
        assert_said(said.out, "read at each start");
        assert_said(said.out, "policy.mode is not database");
    }
    write_file("policy", "{\"acls\": 7}", 0600);
    TYPE("--config", "CONFIG", "--dry-run");
    assert_int_equal(said.status, 0);
    assert_said(said.out, "cannot be used: line 1");
}

static void another_configuration_takes_another_place(void **state)
{
    AUTO_FINI(str_free) struct str database = path_of("db.sqlite");
    AUTO_FINI(str_free) struct str file = path_of("other.yaml");

    (void)state;
    write_file("other.yaml",
               "server_url: http://127.0.0.1:8080\nnoise:\n  private_key_path: noise.key\n"
               "database:\n  sqlite:\n    path: own.sqlite\n",
               0600);
    TYPE("--config", file.ptr, "--database", database.ptr);
    assert_int_equal(said.status, 0);
    assert_true(is_there("own.sqlite"));
    assert_false(is_there("hatsize.sqlite"));
}

static void it_asks_which_headscale(void **state)
{
    AUTO_FINI(str_free) struct str data = path_of("");

    (void)state;
    /* A machine that has a server of its own has an answer. */
    if (access("/etc/hatsize/config.yaml", F_OK) == 0)
        skip();
    TYPE("--data-dir", data.ptr);
    assert_int_equal(said.status, 1);
    assert_said(said.complaints, "which headscale?");
    TYPE("--data-dir", data.ptr, "--database", "/nonexistent/db.sqlite");
    assert_int_equal(said.status, 1);
    assert_said(said.complaints, "/nonexistent/db.sqlite");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_dry_run_tells_all_and_writes_nothing),
        TEST(it_writes_beside_and_says_how_to_start),
        TEST(programs_get_an_object),
        TEST(without_the_old_servers_key_nothing_is_written),
        TEST(damage_is_told_and_left_out_when_asked),
        TEST(a_policy_that_is_none_stops_it_with_line_and_column),
        TEST(requested_tags_are_taken_as_the_policy_file_says),
        TEST(another_configuration_takes_another_place),
        TEST(it_asks_which_headscale),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);

    str_free(&said.out);
    str_free(&said.complaints);
    return status;
}
