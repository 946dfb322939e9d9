/* Audit entries: as objects, as rows, in pages. */

#include "store/audit.h"

#include "core/num.h"
#include "store/store_internal.h"

/* Pruning walks an index as far as the ceiling, so it is done once in a while. */
#define PRUNE_EVERY 256

static struct audit_entry *mutable_entry(const struct audit_entry *e)
{
    union {
        const struct audit_entry *in;
        struct audit_entry *out;
    } u = {.in = e};

    return u.out;
}

struct audit_entry *audit_entry_new(void)
{
    struct audit_entry *e = NEW(struct audit_entry);

    ref_init(&e->ref);
    return e;
}

struct audit_entry *audit_entry_clone(const struct audit_entry *e)
{
    struct audit_entry *c = NEW(struct audit_entry);

    ref_copy(c, e, sizeof(*c));
    c->author = str_copy(e->author);
    c->from = str_copy(e->from);
    c->action = str_copy(e->action);
    c->object = str_copy(e->object);
    c->object_name = str_copy(e->object_name);
    c->before = str_copy(e->before);
    c->after = str_copy(e->after);
    return c;
}

struct audit_entry *audit_entry_ref(const struct audit_entry *e)
{
    struct audit_entry *m = mutable_entry(e);

    ref_take(&m->ref);
    return m;
}

void audit_entry_unref(const struct audit_entry *e)
{
    struct audit_entry *m = mutable_entry(e);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->author);
    str_free(&m->from);
    str_free(&m->action);
    str_free(&m->object);
    str_free(&m->object_name);
    str_free(&m->before);
    str_free(&m->after);
    mem_free(m);
}

bool audit_entry_is_client(const struct audit_entry *e)
{
    return e->origin == ORIGIN_CLIENT;
}

/* ---- writing ---- */

static size_t row_from(const struct audit_entry *e, struct db_value args[DB_COLUMNS_MAX])
{
    const struct db_value row[] = {
        DB_INT_OF(e->id),
        DB_INT_OF(e->tailnet),
        DB_INT_OF(e->created_ms),
        DB_INT_OF(e->origin - ORIGIN_CLIENT),
        DB_INT_OF(audit_entry_is_client(e) ? 1 : 0),
        DB_TEXT_OF(e->author),
        DB_TEXT_OF(e->from),
        DB_TEXT_OF(e->action),
        DB_TEXT_OF(e->object),
        DB_INT_OF(e->object_id),
        DB_TEXT_OF(e->object_name),
        DB_TEXT_OF(e->before),
        DB_TEXT_OF(e->after),
    };

    memcpy(args, row, sizeof(row));
    return ARRAY_LEN(row);
}

static int prune(struct store *s, bool of_clients, uint64_t kept, struct err *err)
{
    const struct db_value args[] = {DB_INT_OF(of_clients ? 1 : 0), DB_INT_OF(kept)};

    return s->db->ops->run(s->db, SQL_AUDIT_PRUNE, args, ARRAY_LEN(args), NULL, NULL, err);
}

int audit_commit(struct store *s, const struct audit_entry *e, struct err *err)
{
    struct db_value args[DB_COLUMNS_MAX];
    int status = s->db->ops->run(s->db, SQL_AUDIT_PUT, args, row_from(e, args), NULL, NULL, err);

    if (status < 0 || e->id % PRUNE_EVERY != 0)
        return status;
    status = prune(s, false, s->audit_kept ? s->audit_kept : AUDIT_KEPT, err);
    return status < 0 ? status
                      : prune(s, true, s->audit_kept ? s->audit_kept : AUDIT_CLIENTS_KEPT, err);
}

/* ---- reading ---- */

struct reading {
    bool (*each)(void *user, const struct audit_entry *e);
    void *user;
    bool is_done;
};

static bool row_is_whole(const struct db_value *c, size_t n)
{
    static const enum db_type types[] = {DB_INT,  DB_INT,  DB_INT, DB_INT,  DB_TEXT, DB_TEXT,
                                         DB_TEXT, DB_TEXT, DB_INT, DB_TEXT, DB_TEXT, DB_TEXT};

    if (n != ARRAY_LEN(types))
        return false;
    for (size_t i = 0; i < n; i++)
        if (c[i].type != types[i])
            return false;
    return c[0].i > 0 && c[0].i <= (int64_t)NUM_JSON_MAX && c[1].i >= 0 && c[3].i >= 0 &&
           c[3].i <= ORIGIN_SERVER - ORIGIN_CLIENT && c[8].i >= 0;
}

static int on_row(void *user, const struct db_value *c, size_t n, struct err *err)
{
    struct reading *r = user;

    if (!row_is_whole(c, n))
        return err_set(err, ERR_INVALID, "a row of audit is damaged");
    if (r->is_done)
        return 0;
    const struct audit_entry e = {.id = (uint64_t)c[0].i,
                                  .tailnet = (tailnet_id)c[1].i,
                                  .created_ms = c[2].i,
                                  .origin = (enum command_origin)(c[3].i + ORIGIN_CLIENT),
                                  .author = c[4].s,
                                  .from = c[5].s,
                                  .action = c[6].s,
                                  .object = c[7].s,
                                  .object_id = (uint64_t)c[8].i,
                                  .object_name = c[9].s,
                                  .before = c[10].s,
                                  .after = c[11].s};
    r->is_done = !r->each(r->user, &e);
    return 0;
}

int store_audit_read(struct store *s, const struct audit_page *page,
                     bool (*each)(void *user, const struct audit_entry *e), void *user,
                     struct err *err)
{
    struct reading r = {.each = each, .user = user};
    size_t limit = page->limit == 0 ? 100 : MIN(page->limit, (size_t)AUDIT_PAGE_MAX);
    const struct db_value args[] = {
        DB_INT_OF(page->of_server || page->tailnet != 0 ? 0 : 1), /* any */
        DB_INT_OF(page->of_server ? 0 : page->tailnet),
        DB_INT_OF(page->before != 0 ? MIN(page->before, NUM_JSON_MAX) : NUM_JSON_MAX),
        DB_INT_OF(page->since_ms),
        DB_INT_OF(page->until_ms != 0 ? page->until_ms : INT64_MAX),
        DB_INT_OF(page->without_clients ? 0 : 1),
        DB_INT_OF(limit),
    };

    if (s->db->ops->run(s->db, SQL_AUDIT_PAGE, args, ARRAY_LEN(args), on_row, &r, err) < 0)
        return err_wrap(err, "reading the audit log");
    return 0;
}
