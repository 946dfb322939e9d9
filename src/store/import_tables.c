/*
 * Which tables and columns a headscale database has, and reading them by name.
 *
 * The order of columns differs between files, and every release has its own set of them, so each
 * SELECT is made from what is there. Names come from our own lists, never from the file.
 */

#include "store/import_internal.h"

static int note_column(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct schema *s = user;

    (void)err;
    if (n != 2 || columns[0].type != DB_TEXT || columns[1].type != DB_TEXT)
        return 0;

    AUTO_FINI(str_free)
    struct str both = str_printf("%.*s.%.*s", STR_ARG(columns[0].s), STR_ARG(columns[1].s));

    (void)map_put(s->names, columns[0].s, s);
    (void)map_put(s->names, both, s);
    return 0;
}

int schema_read(struct schema *s, struct foreign *from, struct err *err)
{
    *s = (struct schema){.from = from, .names = map_new()};
    if (from->ops->query(from, from->ops->columns_sql, note_column, s, err) < 0)
        return err_wrap(err, "reading what tables there are");
    s->has_machines = !schema_has_table(s, "nodes") && schema_has_table(s, "machines");
    s->has_namespaces = !schema_has_table(s, "users") && schema_has_table(s, "namespaces");
    return 0;
}

void schema_fini(struct schema *s)
{
    map_free(s->names);
    s->names = NULL;
}

bool schema_has_table(const struct schema *s, const char *table)
{
    return map_find(s->names, str_from(table)) != NULL;
}

bool schema_has_column(const struct schema *s, const char *table, const char *column)
{
    AUTO_FINI(str_free) struct str both = str_printf("%s.%s", table, column);

    return map_find(s->names, both) != NULL;
}

int schema_check(const struct schema *s, struct err *err)
{
    static const struct {
        const char *table, *column;
    } must[] = {
        {"pre_auth_keys", "id"},
        {"pre_auth_keys", "key"},
    };
    const char *users = s->has_namespaces ? "namespaces" : "users";
    const char *nodes = s->has_machines ? "machines" : "nodes";

    if (map_len(s->names) == 0)
        return err_set(err, ERR_INVALID, "the database is empty");
    if (schema_has_table(s, "tailnets") && schema_has_table(s, "server_values"))
        return err_set(err, ERR_INVALID, "this is a database of Hatsize, not one of headscale");
    for (size_t i = 0; i < ARRAY_LEN(must); i++)
        if (!schema_has_column(s, must[i].table, must[i].column))
            return err_set(err, ERR_INVALID,
                           "this is no headscale database: it has no table %s with a column %s",
                           must[i].table, must[i].column);
    if (!schema_has_column(s, users, "id") || !schema_has_column(s, users, "name"))
        return err_set(err, ERR_INVALID, "this is no headscale database: it has no table of users");
    if (!schema_has_column(s, nodes, "id") || !schema_has_column(s, nodes, "machine_key") ||
        !schema_has_column(s, nodes, "node_key"))
        return err_set(err, ERR_INVALID, "this is no headscale database: it has no table of nodes");
    return 0;
}

static int keep_text(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct str *text = user;

    (void)err;
    if (n == 1 && columns[0].type == DB_TEXT && columns[0].s.len < 64 && str_is_utf8(columns[0].s))
        *text = str_copy(columns[0].s);
    return 0;
}

struct str schema_release(const struct schema *s, struct arena *arena)
{
    AUTO_FINI(str_free) struct str version = {0};
    const char *guess;

    if (schema_has_column(s, "database_versions", "version") &&
        s->from->ops->query(s->from, "SELECT \"version\" FROM \"database_versions\" LIMIT 1",
                            keep_text, &version, NULL) == 0 &&
        version.len > 0)
        return arena_copy(arena, version);
    if (schema_has_table(s, "oauth_clients"))
        guess = "0.30";
    else if (schema_has_table(s, "database_versions"))
        guess = "0.29";
    else if (schema_has_column(s, "nodes", "tags"))
        guess = "0.28";
    else if (schema_has_column(s, "nodes", "approved_routes"))
        guess = "0.26 or 0.27";
    else if (schema_has_column(s, "users", "provider_identifier"))
        guess = "0.24 or 0.25";
    else if (schema_has_table(s, "nodes"))
        guess = "0.23";
    else if (!s->has_namespaces)
        guess = "0.17 to 0.22";
    else if (schema_has_column(s, "machines", "registered"))
        guess = "0.14 or older";
    else
        guess = "0.15 or 0.16";
    return str_from(guess);
}

int schema_select(const struct schema *s, const char *table, const char *const *columns,
                  db_row_fn *on_row, void *user, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf sql = BUF(8192);

    buf_put(&sql, STR("SELECT "));
    for (size_t i = 0; columns[i]; i++) {
        buf_put(&sql, i == 0 ? STR_NONE : STR(", "));
        if (schema_has_column(s, table, columns[i]))
            buf_printf(&sql, "\"%s\"", columns[i]);
        else
            buf_put(&sql, STR("NULL"));
    }
    buf_printf(&sql, " FROM \"%s\"", table);
    if (schema_has_column(s, table, "deleted_at"))
        buf_put(&sql, STR(" WHERE \"deleted_at\" IS NULL"));
    if (schema_has_column(s, table, "id"))
        buf_put(&sql, STR(" ORDER BY \"id\""));
    buf_put_char(&sql, '\0');
    ASSERT(!buf_is_full(&sql));
    if (s->from->ops->query(s->from, sql.ptr, on_row, user, err) < 0)
        return err_wrap(err, "reading %s", table);
    return 0;
}
