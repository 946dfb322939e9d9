#pragma once

/*
 * The audit log: who changed what, when, from where. One entry a command, in the same transaction
 * as the change itself, so that there is never one without the other.
 *
 * Entries are of administrators (socket, API, web, the configuration) or of clients (machines that
 * register); those have ceilings of their own, so that machines coming and going never push what
 * people did out of the log. Before and after are small JSON objects; secrets are never in them.
 */

#include "core/mem.h"
#include "store/store.h"

#define AUDIT_KEPT 100000        /* entries of administrators, a little more at times */
#define AUDIT_CLIENTS_KEPT 50000 /* entries of clients */
#define AUDIT_OBJECT_MAX 8192    /* bytes of one of the two objects */
#define AUDIT_PAGE_MAX 1000

/* Immutable, counted. Strings owned; "" where there is nothing. */
struct audit_entry {
    struct ref ref;
    uint64_t id;        /* rises; never used again */
    tailnet_id tailnet; /* 0: the server's */
    int64_t created_ms;
    enum command_origin origin;
    struct str author; /* "socket", "key:<prefix>", "user:<login>", "client", "configuration" */
    struct str from;   /* address, or "" */
    struct str action; /* "node.rename": enum command_type in words */
    struct str object; /* "node", "user", "auth_key", "api_key", "tailnet", "policy" */
    uint64_t object_id;
    struct str object_name; /* as people knew it then */
    struct str before;      /* JSON object or "" */
    struct str after;
};
MUST_USE struct audit_entry *audit_entry_new(void);
/* A copy, count 1; `e` may be borrowed from a page. */
MUST_USE struct audit_entry *audit_entry_clone(const struct audit_entry *e);
struct audit_entry *audit_entry_ref(const struct audit_entry *e);
void audit_entry_unref(const struct audit_entry *e);
DEFINE_AUTO(const struct audit_entry, audit_entry_unref);
/* Whether a machine did it, and no administrator. */
bool audit_entry_is_client(const struct audit_entry *e);

/* Takes the reference. The entry's id must be of domain_take_audit_id. */
void store_batch_add_audit(struct store_batch *b, const struct audit_entry *take);

/* What to read: the newest first. Zero values mean "any". */
struct audit_page {
    tailnet_id tailnet; /* of this tailnet only */
    bool of_server;     /* of no tailnet only; `tailnet` is not looked at */
    uint64_t before;    /* ids below this one: the last id of the page before */
    int64_t since_ms;   /* not older */
    int64_t until_ms;   /* older than this */
    bool without_clients;
    size_t limit; /* 0: 100; at most AUDIT_PAGE_MAX */
};
/* Each entry is borrowed for the call; false: enough. */
MUST_USE int store_audit_read(struct store *s, const struct audit_page *page,
                              bool (*each)(void *user, const struct audit_entry *e), void *user,
                              struct err *err);
