/* Pages of the audit log, fetched from the storage thread. */

#include "control/audit_query.h"

static bool each(void *user, const struct audit_entry *e)
{
    struct audit_query *q = user;

    q->entries = mem_room(q->entries, q->n, &q->cap, 16, sizeof(*q->entries));
    q->entries[q->n++] = audit_entry_clone(e);
    return true;
}

static void run(struct store_query *query, struct store *s)
{
    struct audit_query *q = CONTAINER_OF(query, struct audit_query, query);

    q->status = store_audit_read(s, &q->page, each, q, &q->err);
}

static void done(struct store_query *query)
{
    struct audit_query *q = CONTAINER_OF(query, struct audit_query, query);

    if (query->cancelled)
        q->status = err_set(&q->err, ERR_IO, "the server is shutting down");
    q->done(q);
}

void audit_query_ask(struct registrar *r, struct loop *loop, struct audit_query *q)
{
    q->query = (struct store_query){.run = run, .done = done, .loop = loop};
    registrar_ask_store(r, &q->query);
}

void audit_query_free(struct audit_query *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n; i++)
        audit_entry_unref(q->entries[i]);
    mem_free(q->entries);
    mem_free(q);
}
