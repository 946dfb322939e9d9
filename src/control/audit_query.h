#pragma once

/*
 * A page of the audit log for a handler on a loop: read on the storage thread, answered on the
 * loop.
 *
 *   struct audit_query *q = NEW(struct audit_query);
 *   q->page = …; q->done = …; q->user = …;
 *   audit_query_ask(control_registrar(c), loop, q);
 *   done: q->status, q->entries[0 … n-1], the newest first; then audit_query_free(q)
 */

#include "control/registrar.h"
#include "store/audit.h"

struct audit_query {
    struct audit_page page;
    void (*done)(struct audit_query *q);
    void *user;

    /* Set before done. */
    int status; /* 0 or -code, see err */
    struct err err;
    const struct audit_entry **entries; /* counted */
    size_t n;

    size_t cap;
    struct store_query query;
};
/* r NULL, when the server goes down: done comes with ERR_IO. */
void audit_query_ask(struct registrar *r, struct loop *loop, struct audit_query *q);
void audit_query_free(struct audit_query *q);
