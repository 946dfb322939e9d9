/*
 * From one schema version to the next.
 *
 *   nothing there:  BEGIN  all migrations  version  check  COMMIT
 *   something:      backup kept  ->  rehearsal on a copy, compared  ->  the same as above
 *
 * Rules
 *   1. The database itself is touched only after the migrations ran on a copy and every row of the
 *      old tables was found again there, in the columns that both versions have.
 *   2. Then they run in one transaction, with the same checks: killed in the middle, nothing
 *      happened.
 *   3. The backup stays; the newest BACKUPS_KEPT of its kind do.
 */

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "store/store_internal.h"

struct db_migrations db_migrations(const char *room[DB_VERSION + 1])
{
    room[0] = NULL;
    for (int i = 1; i <= DB_VERSION; i++)
        room[i] = db_migration(i);
    return (struct db_migrations){.sql = room, .version = DB_VERSION};
}

/* ---- tables ---- */

struct table_reading {
    struct arena *arena;
    struct db_table_list *list;
};

static enum db_type type_named(struct str name)
{
    if (str_eq_nocase(name, STR("BLOB")) || str_eq_nocase(name, STR("bytea")))
        return DB_BLOB;
    if (str_eq_nocase(name, STR("INTEGER")) || str_eq_nocase(name, STR("bigint")) ||
        str_eq_nocase(name, STR("INT")))
        return DB_INT;
    return str_eq_nocase(name, STR("TEXT")) ? DB_TEXT : DB_NULL;
}

static int note_column(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct table_reading *r = user;
    struct db_table_list *list = r->list;
    struct db_table *t = list->len > 0 ? &list->items[list->len - 1] : NULL;

    ASSERT(n == 3);
    if (!t || !str_eq(t->name, columns[0].s)) {
        struct db_table *more = arena_alloc(r->arena, (list->len + 1) * sizeof(*more));

        if (list->len > 0)
            memcpy(more, list->items, list->len * sizeof(*more));
        list->items = more;
        t = &list->items[list->len++];
        t->name = arena_copy(r->arena, columns[0].s);
    }
    if (t->n == DB_COLUMNS_MAX)
        return err_set(err, ERR_INVALID, "table %.*s has too many columns", STR_ARG(t->name));
    t->columns[t->n].name = arena_copy(r->arena, columns[1].s);
    t->columns[t->n].type = type_named(columns[2].s);
    if (t->columns[t->n].type == DB_NULL)
        return err_set(err, ERR_INVALID, "%.*s.%.*s is of an unknown type", STR_ARG(t->name),
                       STR_ARG(columns[1].s));
    t->n++;
    return 0;
}

int db_tables(struct db *db, struct arena *arena, struct db_table_list *out, struct err *err)
{
    struct table_reading r = {.arena = arena, .list = out};

    *out = (struct db_table_list){0};
    return db->ops->ask(db, db->ops->columns_sql, NULL, 0, note_column, &r, err);
}

const struct db_table *db_table_find(const struct db_table_list *list, struct str name)
{
    for (size_t i = 0; i < list->len; i++)
        if (str_eq(list->items[i].name, name))
            return &list->items[i];
    return NULL;
}

/* ---- comparing ---- */

static bool is_rewritten(const struct db_migrations *list, int from, struct str table)
{
    for (int i = from + 1; list->rewrites && i <= list->version; i++) {
        struct str rest = str_from(list->rewrites[i]), name;

        while (str_next(&rest, ' ', &name))
            if (str_eq(name, table))
                return true;
    }
    return false;
}

/* "a", "b": the columns of `t` that `now` has as well. */
static struct str shared_columns(struct arena *arena, const struct db_table *t,
                                 const struct db_table *now)
{
    struct str names = STR_NONE;

    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < now->n; k++)
            if (str_eq(t->columns[i].name, now->columns[k].name))
                names = arena_printf(arena, "%.*s%s\"%.*s\"", STR_ARG(names), names.len ? ", " : "",
                                     STR_ARG(t->columns[i].name));
    return names;
}

static int note_count(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    (void)err;
    if (n > 0)
        *(int64_t *)user = columns[0].i;
    return 0;
}

static int compare_one(struct db *db, struct arena *arena, const char *was,
                       const struct db_table *t, const struct db_table *now, struct err *err)
{
    struct str old = arena_printf(arena, "%s%.*s", was, STR_ARG(t->name));
    struct str new = arena_printf(arena, "\"%.*s\"", STR_ARG(t->name));
    struct str columns = now ? shared_columns(arena, t, now) : STR_NONE;
    const struct str pairs[][2] = {{old, new}, {new, old}};
    int64_t n[2] = {0}, differing = 0;
    int status = 0;

    if (columns.len == 0)
        return err_set(err, ERR_INTERNAL, "the migration loses table %.*s", STR_ARG(t->name));
    for (size_t i = 0; i < 2 && status == 0; i++) {
        struct str count = arena_printf(arena, "SELECT count(*) FROM %.*s", STR_ARG(pairs[i][0]));
        struct str except = arena_printf(
            arena, "SELECT count(*) FROM (SELECT %.*s FROM %.*s EXCEPT SELECT %.*s FROM %.*s) AS d",
            STR_ARG(columns), STR_ARG(pairs[i][0]), STR_ARG(columns), STR_ARG(pairs[i][1]));

        status = db->ops->ask(db, count.ptr, NULL, 0, note_count, &n[i], err);
        if (status == 0)
            status = db->ops->ask(db, except.ptr, NULL, 0, note_count, &differing, err);
        if (status == 0 && differing > 0)
            status = err_set(err, ERR_INTERNAL, "the migration changes %lld rows of table %.*s",
                             (long long)differing, STR_ARG(t->name));
    }
    if (status == 0 && n[0] != n[1])
        status = err_set(err, ERR_INTERNAL, "the migration makes %lld rows of %lld in table %.*s",
                         (long long)n[1], (long long)n[0], STR_ARG(t->name));
    return status;
}

int db_compare(struct db *db, const char *was, const struct db_table_list *before,
               const struct db_migrations *list, int from, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct db_table_list now = {0};
    int status = db_tables(db, arena, &now, err);

    for (size_t i = 0; i < before->len && status == 0; i++)
        if (!is_rewritten(list, from, before->items[i].name))
            status = compare_one(db, arena, was, &before->items[i],
                                 db_table_find(&now, before->items[i].name), err);
    return status;
}

/* ---- running ---- */

int db_apply(struct db *db, const struct db_migrations *list, int from, int to, struct err *err)
{
    for (int i = from + 1; i <= to; i++)
        if (db->ops->script(db, list->sql[i], err) < 0)
            return err_wrap(err, "migrating the database to version %d", i);
    return db->ops->set_version(db, to, err);
}

static int apply_whole(struct db *db, const struct db_migrations *list, int from, struct err *err)
{
    int status = db->ops->begin(db, err);

    if (status == 0)
        status = db_apply(db, list, from, list->version, err);
    if (status == 0)
        status = db->ops->check(db, err);
    if (status < 0) {
        db->ops->rollback(db);
        return status;
    }
    return db->ops->commit(db, err);
}

int db_migrate(struct db *db, const struct db_migrations *list, struct err *err)
{
    int have = 0;
    int status = db->ops->version(db, &have, err);

    if (status < 0)
        return status;
    if (have > list->version || have < 0)
        return err_set(err, ERR_INVALID,
                       "the database has schema version %d and this program knows versions up "
                       "to %d: start the newer Hatsize that wrote it, or restore a backup",
                       have, list->version);
    if (have == list->version)
        return db->ops->check(db, err);
    db->ops->forget(db);
    if (have > 0) {
        status = db->ops->check(db, err);
        if (status == 0 && db->ops->rehearse(db, list, have, err) < 0)
            status = err_wrap(err, "trying the migration on a copy; the database is as it was");
        if (status < 0)
            return status;
    }
    status = apply_whole(db, list, have, err);
    if (status == 0 && have > 0)
        log_event(LOG_INFO, "the database was migrated", LOG_I64("from", have),
                  LOG_I64("to", list->version));
    return status;
}

/* ---- backups by themselves ---- */

struct str backup_name(struct str stem, int version, const char *suffix)
{
    int64_t ms = clock_unix_ms();
    time_t now = (time_t)(ms / 1000);
    struct tm tm;
    char when[32];

    if (!gmtime_r(&now, &tm) || strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm) == 0)
        when[0] = '\0';
    return str_printf("%.*s.before-v%d.%s.%03dZ%s", STR_ARG(stem), version, when, (int)(ms % 1000),
                      suffix);
}

/* The moment in a backup's name, or empty when it is none of this stem. */
static struct str moment_of(struct str file, struct str base)
{
    struct str mark = STR(".before-v"), rest, version;

    if (!str_starts(file, base) || !str_starts(str_from_index(file, base.len), mark))
        return STR_NONE;
    rest = str_from_index(file, base.len + mark.len);
    return str_split(rest, '.', &version, &rest) && rest.len >= 20 ? rest : STR_NONE;
}

/* The oldest of this stem's, mem_free; how many there are. */
static size_t find_oldest(const char *dir, struct str base, char **oldest)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));) {
        struct str moment = moment_of(str_from(e->d_name), base);

        if (moment.len == 0)
            continue;
        n++;
        if (*oldest && str_cmp(moment, moment_of(str_from(*oldest), base)) >= 0)
            continue;
        mem_free(*oldest);
        *oldest = str_dup(str_from(e->d_name));
    }
    if (d)
        closedir(d);
    return n;
}

void backups_prune(struct str stem)
{
    ptrdiff_t slash = str_rfind_char(stem, '/');
    struct str base = str_from_index(stem, (size_t)(slash + 1));
    char *dir =
        slash < 0 ? str_dup(STR(".")) : str_dup(str_sub(stem, 0, MAX((size_t)slash, (size_t)1)));

    for (size_t rounds = 0; rounds < 1000; rounds++) {
        char *oldest = NULL;
        size_t n = find_oldest(dir, base, &oldest);
        struct str path = oldest ? str_printf("%s/%s", dir, oldest) : STR_NONE;
        bool gone = n > BACKUPS_KEPT && unlink(path.ptr) == 0;

        str_free(&path);
        mem_free(oldest);
        if (!gone)
            break;
    }
    mem_free(dir);
}
