#pragma once

/*
 * What the files of the import share.
 *
 *   import_sqlite.c, import_postgres.c   the source behind `struct foreign`
 *   import_values.c                      what a column may hold, to times, lists, keys
 *   import_tables.c                      which tables and columns there are; one SELECT by name
 *   import_map.c, import_nodes.c,        rows to domain objects, and what stands in the way
 *   import_api_keys.c, import_oauth.c
 *   import.c                             the order of it, and the commit
 */

#include "core/map.h"
#include "store/import.h"
#include "store/store_internal.h"
#include "tailnet/api_key.h"

#define IMPORT_VALUE_MAX ((size_t)8 << 20) /* bytes of one row or value; more is damage */
#define IMPORT_NAME_MAX 255                /* bytes of names and the like */
#define IMPORT_URL_MAX 2048

/* ---- the source ---- */

struct foreign;
struct foreign_ops {
    void (*close)(struct foreign *f);
    /* Any SELECT without parameters. Columns are NULL, INT, TEXT or BLOB as in db_row_fn. */
    int (*query)(struct foreign *f, const char *sql, db_row_fn *on_row, void *user,
                 struct err *err);
    /* A SELECT giving (table, column) of every ordinary table there is. */
    const char *columns_sql;
};
struct foreign {
    const struct foreign_ops *ops;
};
/* Refuses a file that somebody has open; a file that is no database or damaged. */
MUST_USE int foreign_sqlite_open(struct str path, struct foreign **out, struct err *err);
/* By URL, or as a configuration says when that is empty. Refuses while others are connected. */
MUST_USE int foreign_postgres_open(struct str url, const struct store_postgres *where,
                                   struct foreign **out, struct err *err);

/*
 * In PostgreSQL our tables beside headscale's are in a schema of this name, which the engine takes
 * wherever there is one.
 *
 *   has     there is one already
 *   beside  the database's usual schema is headscale's; with `make` ours is made then
 */
#define IMPORT_POSTGRES_SCHEMA "hatsize"
MUST_USE int import_postgres_schema(const struct store_postgres *where, bool make, bool *has,
                                    bool *beside, struct err *err);
/* With all that is in it. */
MUST_USE int import_postgres_drop_schema(const struct store_postgres *where, struct err *err);

/* ---- tables ---- */

/* Which tables and columns the source has: "nodes" and "nodes.tags" to non-NULL. */
struct schema {
    struct foreign *from;
    struct map *names;
    bool has_machines;   /* machines in the place of nodes, up to 0.22 */
    bool has_namespaces; /* namespaces in the place of users, up to 0.16 */
};
MUST_USE int schema_read(struct schema *s, struct foreign *from, struct err *err);
void schema_fini(struct schema *s);
bool schema_has_table(const struct schema *s, const char *table);
bool schema_has_column(const struct schema *s, const char *table, const char *column);
/* ERR_INVALID unless users, nodes and auth keys are there. */
MUST_USE int schema_check(const struct schema *s, struct err *err);
/* In words, from what is there. */
struct str schema_release(const struct schema *s, struct arena *arena);
/*
 * Every row of a table that is not deleted, by rising id. `columns` are names, NULL at the end; one
 * that the table lacks is NULL in every row.
 */
MUST_USE int schema_select(const struct schema *s, const char *table, const char *const *columns,
                           db_row_fn *on_row, void *user, struct err *err);

/* ---- values ---- */

/*
 * Readers of one row: the first value that cannot be what it should be sticks, and names its
 * column.
 */
struct values {
    const char *const *names; /* of the columns */
    const struct db_value *v;
    size_t n;
    char trouble[160]; /* empty: none */
};
PRINTF_LIKE(2, 3) void values_complain(struct values *r, const char *fmt, ...);
/* By column name; what is not there is NULL. */
struct db_value values_get(const struct values *r, const char *column);
/* Text without NUL, well-formed and at most `max` bytes; NULL is empty. Borrowed. */
struct str values_text(struct values *r, const char *column, size_t max);
/* A decimal number from 0 to 2^53, as integer or text; NULL is 0. */
uint64_t values_id(struct values *r, const char *column);
/* 0, 1, t, f, true, false; NULL is false. */
bool values_bool(struct values *r, const char *column);
/* A hash as bytes or text; PostgreSQL's \x form is undone into the arena. */
struct str values_hash(struct values *r, const char *column, struct arena *arena);

enum import_time { IMPORT_TIME_NONE, IMPORT_TIME_ZERO, IMPORT_TIME_SET };
/* ZERO: Go's zero time, and all before 1900. *ms is set on SET. */
enum import_time values_time(struct values *r, const char *column, int64_t *ms);
/* The same as a point in time, 0 for none. */
int64_t values_ms(struct values *r, const char *column);
/* "2024-01-02 03:04:05.678+01:00", with T, Z, " UTC" and the like. */
MUST_USE bool import_parse_time(struct str text, int64_t *ms);
/* A JSON list of strings; NULL, '', null and [] are empty. In the arena. */
void values_list(struct values *r, const char *column, struct arena *arena, struct str_list *out);

/* ---- the import under way ---- */

struct import {
    const struct import_options *options;
    struct arena *arena;
    struct import_report *report;
    struct schema schema;
    struct domain *domain;
    tailnet_id tailnet;
    struct change_list changes;

    struct str policy;     /* the source's newest text, if it is taken; in the arena */
    struct map *users;     /* id in the source to struct user * (the domain's) */
    struct map *keys;      /* id in the source to struct auth_key * (the domain's) */
    struct map *key_facts; /* id in the source to struct import_key * */
    struct map *key_tags;  /* id in the source to struct str_list *, of a table of their own */
    struct map *routes;    /* node id in the source to struct import_routes * */
    struct map *nodes;     /* ids in the source seen so far */
    struct import_late *late;
    size_t n_identified; /* users that were given an identity */

    /* What the target has, and what has been added. */
    struct map *used;  /* "u7", "n7", "k7", "a7": ids; what came by this import is its own value */
    struct map *names; /* labels, lower case, of the tailnet's nodes to the next suffix */
    struct map *local; /* names of its local users to struct user * */
    struct map *providers;    /* provider ids of its users to struct user * */
    struct map *prefixes;     /* of auth keys to struct auth_key * */
    struct map *api_prefixes; /* of API keys to struct api_key * */
    struct map *legacy;       /* identities of auth keys to struct auth_key * */
    struct map *node_keys;    /* to struct node * */
    struct map *addresses;
    struct domain_counters next;
};

/* What nodes need to know of a key, kept or not. In the arena. */
struct import_key {
    bool is_named;     /* by a node */
    bool is_ephemeral; /* its nodes are */
    uint64_t user;     /* in the source; 0: none */
};

/* A node whose addresses were somebody else's: it is given new ones when all others have theirs. */
struct import_late {
    struct import_late *next;
    struct node *node;
    uint64_t source_id;
};

/* Approved routes of a node out of the routes table; in the arena. */
struct import_routes {
    struct import_routes *next;
    struct ip_prefix prefix;
};

/* import_headscale from a source that is open, and stays so. */
MUST_USE int import_from(const struct import_options *options, struct foreign *from,
                         struct store *target, bool dry_run, struct arena *arena,
                         struct import_report *report, struct err *err);

PRINTF_LIKE(6, 7)
void import_note(struct import *im, enum import_fate fate, enum import_what what, uint64_t id,
                 struct str name, const char *fmt, ...);
/* `id`, or when that is 0 or in use the next one that never was. Takes it. */
uint64_t import_take_id(struct import *im, char kind, uint64_t id, uint64_t *next);
void import_changed(struct import *im, enum change_kind kind, uint64_t id);
/* Whether a user of the domain came by this import. */
bool import_is_new_user(const struct import *im, const struct user *u);
/* Tags as headscale allows them: "tag:", lower case, no spaces. */
bool import_tag_is_usable(struct str tag);

/* import_map.c */
MUST_USE int import_users(struct import *im, struct err *err);
MUST_USE int import_auth_keys(struct import *im, struct err *err);
/* A key that is in the domain: what comes later may not be the same. */
void import_note_auth_key(struct import *im, const struct auth_key *key);
MUST_USE int import_policy(struct import *im, struct err *err);
/* import_api_keys.c */
MUST_USE int import_api_keys(struct import *im, struct err *err);
/* A key of this prefix is there, which is noted. */
bool import_api_key_is_present(struct import *im, enum import_what what, uint64_t id,
                               struct str prefix, struct str hash);
/* import_oauth.c; clients, then tokens; after the API keys */
MUST_USE int import_oauth(struct import *im, struct err *err);
/* import_nodes.c; users, keys and policy first */
MUST_USE int import_named_keys(struct import *im, struct err *err);
MUST_USE int import_nodes(struct import *im, struct err *err);
