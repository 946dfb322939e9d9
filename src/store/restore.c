/*
 * Everything from one JSON text (export.c tells its form), or from an SQLite file.
 *
 *   BEGIN  drop all tables  migrations 1 to N of the text  rows  migrations N + 1 to ours
 *          read all as a server would  check  COMMIT            (any failure: ROLLBACK, nothing)
 *
 * The text is a stranger's: every member must be one the table has, every value of the column's
 * type, and what it says must make a domain. Complaints name line and column of the text, or table
 * and row.
 */

#include <stdarg.h>

#include "core/file.h"
#include "core/log.h"
#include "store/store_internal.h"
#include "json/value.h"

PRINTF_LIKE(3, 4)
static int complain(struct err *err, const struct json_value *at, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_set(err, ERR_INVALID, "line %u, column %u: %s", at->line, at->col, text);
}

/* ---- one row ---- */

static int read_value(const struct json_value *v, const struct db_column *c, struct arena *arena,
                      struct db_value *out, struct err *err)
{
    struct str text = json_as_str(v, STR_NONE);
    struct buf plain = BUF(EXPORT_MAX);
    char *bytes;

    if (json_is(v, JSON_NULL)) {
        *out = DB_NULL_OF;
        return 0;
    }
    switch (c->type) {
    case DB_INT:
        if (!json_is(v, JSON_NUMBER) || v->number == JSON_DOUBLE ||
            (v->number == JSON_UNSIGNED && v->u64 > INT64_MAX))
            return complain(err, v, "%.*s wants a whole number, not %s", STR_ARG(c->name),
                            json_type_name(v));
        *out = DB_INT_OF(v->number == JSON_UNSIGNED ? (int64_t)v->u64 : v->i64);
        return 0;
    case DB_BLOB:
        bytes = arena_alloc(arena, text.len / 2 + 1);
        if (!json_is(v, JSON_STRING) || text.len % 2 != 0 || !hex_decode(text, bytes, text.len / 2))
            return complain(err, v, "%.*s wants bytes as hex", STR_ARG(c->name));
        *out = DB_BLOB_OF(str_bytes(bytes, text.len / 2));
        return 0;
    case DB_TEXT:
    case DB_NULL:
        break;
    }
    if (!json_is(v, JSON_STRING))
        return complain(err, v, "%.*s wants text, not %s", STR_ARG(c->name), json_type_name(v));
    if (text_is_escaped(text)) {
        text_unescape(&plain, text);
        text = arena_copy(arena, buf_str(&plain));
        buf_fini(&plain);
    }
    *out = DB_TEXT_OF(text);
    return 0;
}

/* Members to columns: each column once, and nothing else. */
static int read_row(const struct json_value *row, const struct db_table *t, struct arena *arena,
                    struct db_value args[DB_COLUMNS_MAX], struct err *err)
{
    bool seen[DB_COLUMNS_MAX] = {false};

    if (!json_is(row, JSON_OBJECT))
        return complain(err, row, "a row of %.*s is an object, not %s", STR_ARG(t->name),
                        json_type_name(row));
    JSON_EACH(member, row) {
        size_t i = 0;

        while (i < t->n && !str_eq(t->columns[i].name, member->key))
            i++;
        if (i == t->n)
            return complain(err, member, "%.*s has no column \"%.*s\"", STR_ARG(t->name),
                            (int)MIN(member->key.len, (size_t)60), member->key.ptr);
        if (seen[i])
            return complain(err, member, "\"%.*s\" is there twice", STR_ARG(member->key));
        seen[i] = true;
        if (read_value(member, &t->columns[i], arena, &args[i], err) < 0)
            return -(int)err->code;
    }
    for (size_t i = 0; i < t->n; i++)
        if (!seen[i])
            return complain(err, row, "a row of %.*s lacks \"%.*s\"", STR_ARG(t->name),
                            STR_ARG(t->columns[i].name));
    return 0;
}

static struct str insert_into(struct arena *arena, const struct db_table *t)
{
    struct str names = STR_NONE, places = STR_NONE;

    for (size_t i = 0; i < t->n; i++) {
        const char *comma = i > 0 ? ", " : "";

        names = arena_printf(arena, "%.*s%s\"%.*s\"", STR_ARG(names), comma,
                             STR_ARG(t->columns[i].name));
        places = arena_printf(arena, "%.*s%s$%zu", STR_ARG(places), comma, i + 1);
    }
    return arena_printf(arena, "INSERT INTO \"%.*s\" (%.*s) VALUES (%.*s)", STR_ARG(t->name),
                        STR_ARG(names), STR_ARG(places));
}

static int insert_rows(struct db *db, const struct db_table *t, const struct json_value *rows,
                       struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str sql = insert_into(arena, t);
    int status = 0;

    if (!json_is(rows, JSON_ARRAY))
        return complain(err, rows, "\"%.*s\" is a list of rows, not %s", STR_ARG(t->name),
                        json_type_name(rows));
    JSON_EACH(row, rows) {
        AUTO(arena_free) struct arena *mine = arena_new();
        struct db_value args[DB_COLUMNS_MAX];

        status = read_row(row, t, mine, args, err);
        if (status < 0)
            return status;
        if (db->ops->ask(db, sql.ptr, args, t->n, NULL, NULL, err) < 0) {
            struct err why = *err;

            /* A full disk stays one; what the tables refuse is the text's fault. */
            if (why.code != ERR_INTERNAL && why.code != ERR_INVALID)
                return -(int)why.code;
            return complain(err, row, "%s", why.text);
        }
    }
    return status;
}

/* ---- all of it ---- */

static int insert_all(struct db *db, const struct json_value *tables, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list list = {0};
    int status = db_tables(db, arena, &list, err);

    for (const struct json_value *m = json_first(tables); m && status == 0; m = m->next)
        if (!db_table_find(&list, m->key))
            status = complain(err, m, "there is no table \"%.*s\" in that schema",
                              (int)MIN(m->key.len, (size_t)60), m->key.ptr);
    /* In the order they were made: what is named comes before what names it. */
    for (size_t i = 0; i < list.len && status == 0; i++) {
        const struct json_value *rows = NULL;

        JSON_EACH(m, tables) {
            if (!str_eq(m->key, list.items[i].name))
                continue;
            if (rows)
                return complain(err, m, "\"%.*s\" is there twice", STR_ARG(m->key));
            rows = m;
        }
        status =
            rows ? insert_rows(db, &list.items[i], rows, err)
                 : complain(err, tables, "table \"%.*s\" is missing", STR_ARG(list.items[i].name));
    }
    return status;
}

/* The last made first, so that none is named by another. */
static int drop_all(struct db *db, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list list = {0};
    int status = db_tables(db, arena, &list, err);

    for (size_t i = list.len; i > 0 && status == 0; i--) {
        struct str sql =
            arena_printf(arena, "DROP TABLE \"%.*s\"", STR_ARG(list.items[i - 1].name));

        status = db->ops->script(db, sql.ptr, err);
    }
    return status;
}

/* As a server would at its start; what it complains of names table and row. */
static int read_back(struct db *db, struct err *err)
{
    struct domain *d = domain_new();
    int status = db_load(db, d, err);

    domain_free(d);
    return status;
}

static int fill(struct db *db, const struct json_value *tables, int schema, struct err *err)
{
    const char *room[DB_VERSION + 1];
    struct db_migrations list = db_migrations(room);
    int status = drop_all(db, err);

    if (status == 0)
        status = db_apply(db, &list, 0, schema, err);
    if (status == 0)
        status = insert_all(db, tables, err);
    if (status == 0)
        status = db->ops->check(db, err);
    if (status == 0)
        status = db_apply(db, &list, schema, DB_VERSION, err);
    if (status == 0)
        status = read_back(db, err);
    if (status == 0)
        status = db->ops->check(db, err);
    return status;
}

static int read_head(const struct json_value *v, const struct json_value **tables, int *schema,
                     struct err *err)
{
    uint64_t form = json_get_u64(v, "hatsize_export", 0), version = json_get_u64(v, "schema", 0);

    if (!json_is(v, JSON_OBJECT) || form == 0)
        return complain(err, v, "this is no export of Hatsize");
    if (form != EXPORT_FORM)
        return complain(err, v, "a newer Hatsize wrote this export: use that one");
    JSON_EACH(m, v)
        if (!str_eq(m->key, STR("hatsize_export")) && !str_eq(m->key, STR("schema")) &&
            !str_eq(m->key, STR("tables")))
            return complain(err, m, "an export has no \"%.*s\"", (int)MIN(m->key.len, (size_t)60),
                            m->key.ptr);
    if (version < 1 || version > DB_VERSION)
        return complain(err, json_get(v, "schema") ? json_get(v, "schema") : v,
                        "this program knows schema versions 1 to %d", DB_VERSION);
    *tables = json_get(v, "tables");
    if (!json_is(*tables, JSON_OBJECT))
        return complain(err, v, "\"tables\" is missing");
    *schema = (int)version;
    return 0;
}

int db_restore(struct db *db, struct str text, struct err *err)
{
    const struct json_options options = {.max_nodes = (size_t)1 << 26, .max_bytes = EXPORT_MAX};
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_value *tables = NULL;
    struct json_value *v = NULL;
    struct json_error error = {0};
    int schema = 0, status;

    if (!json_parse(arena, text, &options, &v, &error))
        return err_set(err, ERR_INVALID, "line %u, column %u: %s", error.line, error.col,
                       error.text);
    status = read_head(v, &tables, &schema, err);
    if (status < 0)
        return status;
    db->ops->forget(db);
    status = db->ops->begin(db, err);
    if (status < 0)
        return status;
    status = fill(db, tables, schema, err);
    db->ops->forget(db);
    if (status < 0) {
        db->ops->rollback(db);
        return status;
    }
    return db->ops->commit(db, err);
}

/* ---- in place of a server ---- */

/* Refuses what is another program's, and a database that a server has open. */
static int open_whole(const struct store_options *options, int *version, struct db **out,
                      struct err *err)
{
    struct db *db = NULL;
    int status = db_open(options, &db, err);

    if (status == 0)
        status = db->ops->version(db, version, err);
    if (status < 0) {
        if (db)
            db->ops->close(db);
        return err_wrap(err, "opening the database");
    }
    *out = db;
    return 0;
}

static int note_count(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)err;
    *(int64_t *)user = n > 0 ? columns[0].i : 0;
    return 0;
}

static int count_tailnets(struct db *db, int version, int64_t *n, struct err *err)
{
    *n = 0;
    return version == 0
               ? 0
               : db->ops->ask(db, "SELECT count(*) FROM tailnets", NULL, 0, note_count, n, err);
}

int store_has_content(const struct store_options *options, bool *has, struct err *err)
{
    struct db *db = NULL;
    int64_t n = 0;
    int version = 0, status = open_whole(options, &version, &db, err);

    if (status < 0)
        return status;
    status = count_tailnets(db, version, &n, err);
    db->ops->close(db);
    *has = n > 0;
    return status;
}

/* What is about to be replaced. */
static int keep_old(struct db *db, const struct store_options *options, int version,
                    struct err *err)
{
    struct str dir = options->backup_dir.len > 0 ? options->backup_dir : STR(".");
    struct str stem = options->postgres ? str_printf("%.*s/postgres", STR_ARG(dir))
                                        : str_copy(sqlite_path(db));
    struct str name = backup_name(stem, version, options->postgres ? ".json" : "");
    struct buf text = BUF(EXPORT_MAX);
    int status;

    if (options->postgres) {
        status = dir_make(dir, err);
        if (status == 0)
            status = db_export(db, &text, err);
        if (status == 0)
            status = file_write_secret(name, buf_str(&text), err);
    } else {
        status = sqlite_path(db).len > 0 ? sqlite_copy_to(db, name, err) : 0;
    }
    if (status == 0)
        backups_prune(stem);
    buf_fini(&text);
    str_free(&name);
    str_free(&stem);
    return status < 0 ? err_wrap(err, "keeping what is there as a backup") : 0;
}

int store_restore_text(const struct store_options *options, struct str json, struct err *err)
{
    struct db *db = NULL;
    int64_t n = 0;
    int version = 0, status = open_whole(options, &version, &db, err);

    if (status < 0)
        return status;
    status = count_tailnets(db, version, &n, err);
    if (status == 0 && n > 0)
        status = keep_old(db, options, version, err);
    if (status == 0)
        status = db_restore(db, json, err);
    db->ops->close(db);
    return status;
}

int store_restore_file(const struct store_options *options, struct str path, struct err *err)
{
    struct store_options from = {.sqlite_path = path};
    struct buf text = BUF(EXPORT_MAX);
    int status = store_export(&from, &text, err);

    if (status == 0)
        status = store_restore_text(options, buf_str(&text), err);
    buf_fini(&text);
    return status;
}
