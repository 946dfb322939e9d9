/*
 * Where the state is kept: a file of SQLite's, or a PostgreSQL.
 *
 * headscale's pool sizes have no effect: one connection writes, and everything is read at the
 * start (headscale.md 1.2 and 8.1).
 */

#include "config/config_internal.h"

/* "false", "true" or a mode of libpq's: headscale.md 1.2. */
static void read_ssl(struct loader *l, struct config_postgres *pg)
{
    static const struct str modes[] = {STR_INIT("disable"),   STR_INIT("allow"),
                                       STR_INIT("prefer"),    STR_INIT("require"),
                                       STR_INIT("verify-ca"), STR_INIT("verify-full")};
    static const struct str no[] = {STR_INIT("false"), STR_INIT("f"), STR_INIT("0")};
    static const struct str yes[] = {STR_INIT("true"), STR_INIT("t"), STR_INIT("1")};
    struct str text;

    pg->sslmode = STR("disable");
    if (!value_text(l, KEY_PG_SSL, &text))
        return;
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        if (str_eq_nocase(text, no[i]))
            return;
        if (str_eq_nocase(text, yes[i])) {
            pg->sslmode = STR_NONE;
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (str_eq(text, modes[i])) {
            pg->sslmode = modes[i];
            return;
        }
    error_at(l, l->values[KEY_PG_SSL],
             "database.postgres.ssl is \"%.*s\": write true, false, require, verify-ca or "
             "verify-full",
             STR_ARG(shown(l, text)));
}

static void read_postgres(struct loader *l, struct config_postgres *pg)
{
    int64_t port = 0, ignored;

    (void)!value_text(l, KEY_PG_HOST, &pg->host);
    (void)!value_text(l, KEY_PG_NAME, &pg->name);
    (void)!value_text(l, KEY_PG_USER, &pg->user);
    (void)!value_text(l, KEY_PG_PASS, &pg->pass);
    /* A socket's directory needs no port, and 0 is none. */
    if (value_int(l, KEY_PG_PORT, 0, 65535, &port) && !str_starts(pg->host, STR("/")))
        pg->port = (uint16_t)port;
    (void)value_int(l, KEY_PG_OPEN, 0, INT32_MAX, &ignored);
    (void)value_int(l, KEY_PG_IDLE, 0, INT32_MAX, &ignored);
    (void)value_int(l, KEY_PG_IDLE_TIME, 0, INT32_MAX, &ignored);
    read_ssl(l, pg);
    if (pg->is_used && pg->name.len == 0)
        error_at(l, l->values[KEY_DATABASE_TYPE],
                 "database.postgres.name is missing: write the name of an empty database");
}

void section_database(struct loader *l)
{
    struct config *c = l->c;
    int64_t pages = 1000, slow_ms = 1000;
    struct str type;

    c->sqlite_path = path_absolute(l->arena, c->data_dir, STR("db.sqlite"));
    c->sqlite_wal = true;
    if (value_text(l, KEY_DATABASE_TYPE, &type)) {
        c->postgres.is_used = str_eq(type, STR("postgres"));
        if (!c->postgres.is_used && !str_eq(type, STR("sqlite")) && !str_eq(type, STR("sqlite3")))
            error_at(l, l->values[KEY_DATABASE_TYPE],
                     "invalid database type \"%.*s\": write sqlite or postgres",
                     STR_ARG(shown(l, type)));
    }
    value_path(l, KEY_SQLITE_PATH, &c->sqlite_path);
    value_bool(l, KEY_SQLITE_WAL, &c->sqlite_wal);
    (void)value_int(l, KEY_SQLITE_CHECKPOINT, 0, INT32_MAX, &pages);
    c->sqlite_wal_autocheckpoint = (uint32_t)pages;
    read_postgres(l, &c->postgres);
    value_bool(l, KEY_DATABASE_DEBUG, &c->database_debug);
    (void)value_int(l, KEY_GORM_SLOW, 0, INT32_MAX, &slow_ms);
    c->database_slow_ms = (uint32_t)slow_ms;
}

const struct store_options *config_store_options(const struct config *c, struct config_store *room)
{
    const struct config_postgres *pg = &c->postgres;

    room->postgres = (struct store_postgres){.host = pg->host,
                                             .port = pg->port,
                                             .name = pg->name,
                                             .user = pg->user,
                                             .pass = pg->pass,
                                             .sslmode = pg->sslmode};
    room->backup_dir = str_printf("%.*s/backups", STR_ARG(c->data_dir));
    room->options =
        (struct store_options){.sqlite_path = c->sqlite_path,
                               .wal = c->sqlite_wal,
                               .wal_autocheckpoint = c->sqlite_wal_autocheckpoint,
                               .wal_never_checkpoints = c->sqlite_wal_autocheckpoint == 0,
                               .postgres = pg->is_used ? &room->postgres : NULL,
                               .backup_dir = room->backup_dir,
                               .log_statements = c->database_debug,
                               .slow_ms = c->database_slow_ms};
    return &room->options;
}

void config_store_fini(struct config_store *room)
{
    str_free(&room->backup_dir);
}
