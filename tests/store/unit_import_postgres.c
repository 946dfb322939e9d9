/*
 * The same imports from PostgreSQL, and into the same database beside headscale's tables. Skipped
 * with a word where there is no PostgreSQL.
 */

#include "cluster.h"
#include "harness.h"
#include "headscale_writer.h"

#include <libpq-fe.h>

#include "crypto/secret.h"
#include "store/import.h"
#include "tailnet/api_key.h"

/* ---- headscale's tables, copied from SQLite ---- */

static void put_quoted(struct buf *sql, const unsigned char *text)
{
    buf_put_char(sql, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_put_char(sql, '\'');
        buf_put_char(sql, (char)*text);
    }
    buf_put_char(sql, '\'');
}

static bool is_type(const char *type, const char *word)
{
    return type && strncasecmp(type, word, strlen(word)) == 0;
}

/* gorm's types in either engine. */
static const char *postgres_type(const char *type)
{
    if (is_type(type, "integer"))
        return "bigint";
    if (is_type(type, "numeric"))
        return "boolean";
    if (is_type(type, "datetime"))
        return "timestamptz";
    return is_type(type, "blob") ? "bytea" : "text";
}

static void put_value(struct buf *sql, sqlite3_stmt *row, int at)
{
    const char *type = sqlite3_column_decltype(row, at);

    if (sqlite3_column_type(row, at) == SQLITE_NULL) {
        buf_put(sql, STR("NULL"));
    } else if (is_type(type, "numeric")) {
        buf_put(sql, sqlite3_column_int(row, at) ? STR("true") : STR("false"));
    } else if (is_type(type, "blob")) {
        buf_put(sql, STR("'\\x"));
        buf_put_hex(sql,
                    str_bytes(sqlite3_column_blob(row, at), (size_t)sqlite3_column_bytes(row, at)));
        buf_put(sql, STR("'"));
    } else {
        put_quoted(sql, sqlite3_column_text(row, at));
    }
}

static void copy_table(sqlite3 *from, const char *table, const char *to)
{
    AUTO_FINI(buf_fini) struct buf sql = BUF((size_t)1 << 20);
    sqlite3_stmt *row = NULL;
    char *ask = sqlite3_mprintf("SELECT * FROM \"%w\"", table);

    assert_int_equal(sqlite3_prepare_v2(from, ask, -1, &row, NULL), SQLITE_OK);
    sqlite3_free(ask);
    int n = sqlite3_column_count(row);

    buf_printf(&sql, "CREATE TABLE \"%s\" (", table);
    for (int i = 0; i < n; i++)
        buf_printf(&sql, "%s\"%s\" %s", i ? ", " : "", sqlite3_column_name(row, i),
                   postgres_type(sqlite3_column_decltype(row, i)));
    buf_put(&sql, STR(");"));
    while (sqlite3_step(row) == SQLITE_ROW) {
        buf_printf(&sql, "INSERT INTO \"%s\" VALUES (", table);
        for (int i = 0; i < n; i++) {
            buf_put(&sql, i ? STR(", ") : STR_NONE);
            put_value(&sql, row, i);
        }
        buf_put(&sql, STR(");"));
    }
    sqlite3_finalize(row);
    buf_put_char(&sql, '\0');
    (void)cluster_sql(to, sql.ptr);
}

static void fill(const char *to, enum hs_release rel)
{
    sqlite3 *from = hs_make(":memory:", rel);
    sqlite3_stmt *tables = NULL;

    hs_fill(from, rel);
    assert_int_equal(sqlite3_prepare_v2(from,
                                        "SELECT name FROM sqlite_schema WHERE type = 'table' AND"
                                        " name NOT LIKE 'sqlite%'",
                                        -1, &tables, NULL),
                     SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW)
        copy_table(from, (const char *)sqlite3_column_text(tables, 0), to);
    sqlite3_finalize(tables);
    sqlite3_close(from);
}

/* ---- a run ---- */

struct run {
    char name[64];
    struct store_postgres where;
    struct import_options options;
    struct import_report report;
    struct arena *arena;
    struct err err;
};

static void run_init(struct run *r, enum hs_release rel)
{
    struct tailnet_info *info = tailnet_info_new();

    *r = (struct run){.arena = arena_new()};
    cluster_database(r->name);
    fill(r->name, rel);
    r->where = cluster_where(r->name);
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    info->domain = str_copy(STR("example.net"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    info->ephemeral_timeout_ms = 120000;
    r->options = (struct import_options){.postgres = &r->where,
                                         .info = info,
                                         .take_policy = true,
                                         .now_ms = T0 + (int64_t)1000 * 86400000};
}

static void run_fini(struct run *r)
{
    tailnet_info_unref(r->options.info);
    arena_free(r->arena);
    cluster_drop(r->name);
}

static int run_import(struct run *r, bool is_dry)
{
    const struct store_options to = {.postgres = &r->where};

    r->err = (struct err){0};
    return import_headscale_into(&r->options, &to, is_dry, r->arena, &r->report, &r->err);
}

static void check(struct run *r, enum hs_release rel)
{
    const struct store_options to = {.postgres = &r->where};
    struct domain *d = domain_new();
    struct store *store = NULL;
    struct err err = {0};

    if (store_open(&to, &store, &err) < 0 || store_load(store, d, &err) < 0)
        fail_msg("%s", err.text);
    const struct tailnet_view *v = domain_view(d, 0);
    const struct node *laptop = view_node_find(v, 1), *web = view_node_find(v, 2);
    AUTO(api_key_set_unref) const struct api_key_set *keys = domain_api_keys(d);

    assert_int_equal(view_node_count(v), 4);
    assert_int_equal(laptop->last_seen_ms, 1714557600123);
    assert_int_equal(laptop->expiry_ms, 4070908800000);
    assert_true(laptop->auth_key == 1 && view_node_find(v, 5)->ephemeral);
    assert_int_equal(view_node_find(v, 3)->n_approved, 3);
    assert_str(web->tags.items[0], STR("tag:web"));
    assert_str(view_user_find(v, 1)->name, STR("alice"));
    assert_str(view_info(v)->policy, rel >= HS_0_23 ? STR(HS_POLICY) : STR_NONE);
    if (rel >= HS_0_28)
        assert_str(view_auth_key_find(v, 1)->legacy, STR(HS_HASH_AUTH));
    assert_int_equal(api_key_set_count(keys), rel == HS_0_30 ? 3 : 1);
    assert_true(secret_is_bcrypt(api_key_set_find(keys, 1)->legacy));
    view_unref(v);
    domain_free(d);
    store_close(store);
}

static void every_release_is_taken_beside_its_own_tables(void **state)
{
    (void)state;
    for (enum hs_release rel = HS_0_22; rel < HS_RELEASES; rel++) {
        struct run r;

        print_message("%s\n", hs_release_words(rel));
        run_init(&r, rel);
        assert_int_equal(run_import(&r, true), 0);
        assert_int_equal(cluster_sql(r.name, "SELECT count(*) FROM pg_namespace WHERE nspname ="
                                             " 'hatsize'"),
                         0);
        if (run_import(&r, false) < 0)
            fail_msg("%s", r.err.text);
        assert_str(r.report.release, str_from(hs_release_words(rel)));
        assert_int_equal(r.report.counts[IMPORT_NODE][IMPORT_TAKEN], 4);
        check(&r, rel);
        assert_int_equal(cluster_sql(r.name, "SELECT count(*) FROM public.pre_auth_keys"), 5);
        run_fini(&r);
    }
}

static void what_is_refused_leaves_nothing(void **state)
{
    struct run r;

    (void)state;
    run_init(&r, HS_0_29);
    (void)cluster_sql(r.name, "UPDATE nodes SET node_key = 'x' WHERE id = 1");
    assert_int_equal(run_import(&r, false), -ERR_INVALID);
    assert_non_null(strstr(r.err.text, "--skip-damaged"));
    assert_int_equal(
        cluster_sql(r.name, "SELECT count(*) FROM pg_namespace WHERE nspname = 'hatsize'"), 0);

    /* Without an import a server keeps away from headscale's tables. */
    const struct store_options to = {.postgres = &r.where};
    struct store *store = NULL;
    struct err err = {0};

    assert_true(store_open(&to, &store, &err) < 0);
    assert_non_null(strstr(err.text, "hatsize import headscale"));
    run_fini(&r);
}

/* headscale's own sessions have no name. */
static void a_server_that_is_connected_is_seen(void **state)
{
    struct run r;
    char where[200];

    (void)state;
    run_init(&r, HS_0_29);
    snprintf(where, sizeof(where), "host=%.*s dbname=%s user=hatsize application_name=''",
             STR_ARG(r.where.host), r.name);
    PGconn *conn = PQconnectdb(where);

    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    assert_int_equal(run_import(&r, true), -ERR_CONFLICT);
    assert_non_null(strstr(r.err.text, "stop headscale first"));
    PQfinish(conn);
    run_fini(&r);
}

static void a_database_that_is_none_is_refused(void **state)
{
    struct run r;

    (void)state;
    run_init(&r, HS_0_29);
    r.options.postgres_url = STR("postgresql://nobody@/none?host=/nonexistent");
    assert_true(run_import(&r, true) < 0);
    assert_non_null(strstr(r.err.text, "no connection to PostgreSQL"));
    run_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_release_is_taken_beside_its_own_tables),
        cmocka_unit_test(what_is_refused_leaves_nothing),
        cmocka_unit_test(a_server_that_is_connected_is_seen),
        cmocka_unit_test(a_database_that_is_none_is_refused),
    };

    /* Sessions of the test itself are not headscale's. */
    if (setenv("PGAPPNAME", "hatsize test", 1) < 0 || !cluster_make())
        return 77;
    return harness_end(cmocka_run_group_tests(tests, NULL, NULL));
}
