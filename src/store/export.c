/*
 * Everything as one JSON text, and to where: export and backup.
 *
 *   {"hatsize_export": 1, "schema": 2, "tables": {"nodes": [{"id": 1, ...}, ...], ...}}
 *
 * The form is the tables' own: one object a row, members named as the columns. Integers are
 * numbers, text is text (dialect.c says what becomes of bytes that are none), bytes are lower-case
 * hex, NULL is null. Tables come by name and rows by their columns, so that the same content is the
 * same text, whatever engine it comes from. Secrets are what the tables have: hashes.
 */

#include <stdlib.h>

#include "core/file.h"
#include "store/import.h"
#include "store/store_internal.h"
#include "json/writer.h"

struct exporting {
    struct json_writer w;
    const struct db_table *table;
    struct buf scratch;
    uint64_t tailnet; /* only what is of this one; 0: everything */
};

static void put_value(struct exporting *e, struct str name, const struct db_value *v)
{
    switch (v->type) {
    case DB_NULL:
        json_field_null(&e->w, name);
        return;
    case DB_INT:
        json_field_i64(&e->w, name, v->i);
        return;
    case DB_BLOB:
        json_field_hex(&e->w, name, STR_NONE, v->s);
        return;
    case DB_TEXT:
        break;
    }
    if (!text_needs_escape(v->s)) {
        json_field_str(&e->w, name, v->s);
        return;
    }
    buf_clear(&e->scratch);
    text_escape(&e->scratch, v->s);
    json_field_str(&e->w, name, buf_str(&e->scratch));
}

static int put_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct exporting *e = user;

    ASSERT(n == e->table->n);
    json_begin_object(&e->w);
    for (size_t i = 0; i < n; i++)
        put_value(e, e->table->columns[i].name, &columns[i]);
    json_end_object(&e->w);
    buf_put_char(e->w.out, '\n');
    return buf_is_full(e->w.out) ? err_set(err, ERR_LIMIT, "the export is too long") : 0;
}

/* The column that says whose a row is; empty: it is the server's. */
static struct str owner_column(const struct db_table *t)
{
    if (str_eq(t->name, STR("tailnets")))
        return STR("id");
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->columns[i].name, STR("tailnet")))
            return t->columns[i].name;
    return STR_NONE;
}

static struct str condition(struct arena *arena, const struct db_table *t, uint64_t tailnet)
{
    struct str owner = owner_column(t);

    if (tailnet == 0)
        return STR_NONE;
    return owner.len == 0 ? STR(" WHERE 1 = 0")
                          : arena_printf(arena, " WHERE \"%.*s\" = $1", STR_ARG(owner));
}

/* SELECT every column, ordered by all of them. */
static struct str select_all(struct db *db, struct arena *arena, const struct db_table *t,
                             uint64_t tailnet)
{
    struct str names = STR_NONE, order = STR_NONE;

    for (size_t i = 0; i < t->n; i++) {
        const char *comma = i > 0 ? ", " : "";

        names = arena_printf(arena, "%.*s%s\"%.*s\"", STR_ARG(names), comma,
                             STR_ARG(t->columns[i].name));
        order = arena_printf(arena, "%.*s%s\"%.*s\"%s", STR_ARG(order), comma,
                             STR_ARG(t->columns[i].name),
                             t->columns[i].type == DB_TEXT ? db->ops->text_order : "");
    }
    return arena_printf(arena, "SELECT %.*s FROM \"%.*s\"%.*s ORDER BY %.*s", STR_ARG(names),
                        STR_ARG(t->name), STR_ARG(condition(arena, t, tailnet)), STR_ARG(order));
}

static int by_name(const void *a, const void *b)
{
    const struct db_table *x = a, *y = b;

    return str_cmp(x->name, y->name);
}

static int export_tables(struct db *db, struct exporting *e, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list tables = {0};
    int status = db_tables(db, arena, &tables, err);

    if (status == 0 && tables.len > 0)
        qsort(tables.items, tables.len, sizeof(*tables.items), by_name);
    for (size_t i = 0; i < tables.len && status == 0; i++) {
        e->table = &tables.items[i];
        json_field_array(&e->w, e->table->name);
        buf_put_char(e->w.out, '\n');
        bool asks = e->tailnet != 0 && owner_column(e->table).len > 0;
        const struct db_value args[] = {DB_INT_OF(e->tailnet)};

        status = db->ops->ask(db, select_all(db, arena, e->table, e->tailnet).ptr,
                              asks ? args : NULL, asks ? 1 : 0, put_row, e, err);
        json_end_array(&e->w);
        buf_put_char(e->w.out, '\n');
    }
    return status;
}

static int export_of(struct db *db, uint64_t tailnet, struct buf *out, struct err *err)
{
    struct exporting e = {.w = JSON_WRITER(out), .scratch = BUF(EXPORT_MAX), .tailnet = tailnet};
    int version = 0;
    int status = db->ops->begin_reading(db, err);

    if (status == 0)
        status = db->ops->version(db, &version, err);
    if (status == 0 && version == 0)
        status = err_set(err, ERR_NOT_FOUND, "the database is empty: there is nothing to export");
    if (status == 0) {
        json_begin_object(&e.w);
        json_field_u64(&e.w, STR("hatsize_export"), EXPORT_FORM);
        json_field_u64(&e.w, STR("schema"), (uint64_t)version);
        json_field_object(&e.w, STR("tables"));
        buf_put_char(out, '\n');
        status = export_tables(db, &e, err);
        json_end_object(&e.w);
        json_end_object(&e.w);
        buf_put_char(out, '\n');
    }
    db->ops->rollback(db);
    buf_fini(&e.scratch);
    if (status == 0 && buf_is_full(out))
        status = err_set(err, ERR_LIMIT, "the export is too long");
    return status;
}

int db_export(struct db *db, struct buf *out, struct err *err)
{
    return export_of(db, 0, out, err);
}

/* The answer to a question of the server's own, so by its own connection. */
int store_export_tailnet(struct store *s, uint64_t tailnet, struct buf *out, struct err *err)
{
    int status = export_of(s->db, tailnet, out, err);

    return status < 0 ? err_wrap(err, "exporting") : 0;
}

/* ---- beside a running server ---- */

/* Only what is ours, and not newer than this program. */
static int open_reader(const struct store_options *options, struct db **out, struct err *err)
{
    AUTO_FINI(str_free) struct str path = import_path_of(options->sqlite_path);
    struct db *db = NULL;
    int version = 0;
    int status = options->postgres ? db_postgres_open(options, true, &db, err)
                                   : db_sqlite_open_reader(path, &db, err);

    if (status < 0)
        return status;
    status = db->ops->version(db, &version, err);
    if (status == 0 && version == 0)
        status = err_set(err, ERR_NOT_FOUND, "the database is empty");
    if (status == 0 && version > DB_VERSION)
        status = err_set(err, ERR_INVALID, "a newer Hatsize wrote the database: use that one");
    if (status < 0) {
        db->ops->close(db);
        return status;
    }
    *out = db;
    return 0;
}

int store_export(const struct store_options *options, struct buf *out, struct err *err)
{
    struct db *db = NULL;
    int status = open_reader(options, &db, err);

    if (status < 0)
        return err_wrap(err, "opening the database");
    status = db_export(db, out, err);
    db->ops->close(db);
    return status < 0 ? err_wrap(err, "exporting") : 0;
}

int store_backup(const struct store_options *options, struct str path, struct err *err)
{
    struct buf text = BUF(EXPORT_MAX);
    struct db *db = NULL;
    int status = open_reader(options, &db, err);

    if (status < 0)
        return err_wrap(err, "opening the database");
    if (!options->postgres) {
        status = sqlite_copy_to(db, path, err);
    } else {
        status = db_export(db, &text, err);
        if (status == 0)
            status = file_write_secret(path, buf_str(&text), err);
    }
    db->ops->close(db);
    buf_fini(&text);
    return status < 0 ? err_wrap(err, "making the backup") : 0;
}
