/* PostgreSQL's schema: whose tables are there, their version, and trying a migration. */

#include "core/file.h"
#include "core/log.h"
#include "store/postgres_internal.h"

#define OUR_TABLES                                  \
    "FROM pg_class c WHERE c.relkind IN ('r', 'p')" \
    " AND c.relnamespace = current_schema()::regnamespace"

int pg_version(struct db *base, int *version, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    int64_t tables = 0, ours = 0, headscale = 0, have = 0;
    int status = pg_ensure(db, err);

    if (status == 0)
        status = pg_ask_int(db, "SELECT count(*) " OUR_TABLES, &tables, err);
    if (status == 0)
        status = pg_ask_int(db, "SELECT count(*) " OUR_TABLES " AND c.relname = 'hatsize_schema'",
                            &ours, err);
    if (status == 0)
        status = pg_ask_int(
            db, "SELECT count(*) " OUR_TABLES " AND c.relname IN ('pre_auth_keys', 'migrations')",
            &headscale, err);
    if (status == 0 && ours)
        status = pg_ask_int(db, "SELECT version FROM hatsize_schema", &have, err);
    if (status < 0)
        return status;
    if (!ours && tables > 0)
        return err_set(err, ERR_INVALID, "%s: give database.postgres.name another one",
                       headscale == 2
                           ? "this is a headscale database, which Hatsize does not change; "
                             "`hatsize import headscale` puts ours beside it, in the same one"
                           : "the database belongs to another program");
    *version = (int)have;
    return 0;
}

int pg_set_version(struct db *base, int version, struct err *err)
{
    const struct db_value args[] = {DB_INT_OF(version)};
    int status = pg_script(base,
                           "CREATE TABLE IF NOT EXISTS hatsize_schema (one INTEGER PRIMARY KEY"
                           " CHECK (one = 1), version INTEGER NOT NULL, token INTEGER NOT NULL);"
                           "INSERT INTO hatsize_schema VALUES (1, 0, 0) ON CONFLICT DO NOTHING",
                           err);

    return status < 0
               ? status
               : pg_ask(base, "UPDATE hatsize_schema SET version = $1", args, 1, NULL, NULL, err);
}

/* The server holds its own references and pages. */
int pg_check(struct db *base, struct err *err)
{
    return pg_script(base, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED", err);
}

static int pg_keep_backup(struct db_postgres *db, int from, struct err *err)
{
    struct buf text = BUF(EXPORT_MAX);
    struct str dir = db->backup_dir.len > 0 ? db->backup_dir : STR(".");
    struct str stem = str_printf("%.*s/postgres", STR_ARG(dir));
    struct str name = backup_name(stem, from, ".json");
    int status = dir_make(dir, err);

    if (status == 0)
        status = db_export(&db->base, &text, err);
    if (status == 0)
        status = file_write_secret(name, buf_str(&text), err);
    if (status == 0) {
        backups_prune(stem);
        log_event(LOG_INFO, "a backup is kept before the database changes", LOG_STR("file", name));
    }
    str_free(&name);
    str_free(&stem);
    buf_fini(&text);
    return status < 0 ? err_wrap(err, "keeping a backup before the migration") : 0;
}

/* The copy is a transaction that is rolled back; others see nothing of it. */
int pg_rehearse(struct db *base, const struct db_migrations *list, int from, struct err *err)
{
    struct db_postgres *db = pg_of(base);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list before = {0};
    int status = pg_keep_backup(db, from, err);

    if (status == 0)
        status = pg_begin(base, err);
    if (status == 0)
        status = db_tables(base, arena, &before, err);
    for (size_t i = 0; i < before.len && status == 0; i++) {
        struct str sql = arena_printf(arena, "CREATE TEMP TABLE \"was_%.*s\" AS TABLE \"%.*s\"",
                                      STR_ARG(before.items[i].name), STR_ARG(before.items[i].name));

        status = pg_script_raw(db, sql.ptr, err);
    }
    if (status == 0)
        status = db_apply(base, list, from, list->version, err);
    if (status == 0)
        status = pg_check(base, err);
    if (status == 0)
        status = db_compare(base, "pg_temp.was_", &before, list, from, err);
    pg_rollback(base);
    return status;
}
