#pragma once

/*
 * Taking over a headscale database: users, nodes, keys and policy, into a database of ours.
 *
 *   headscale's tables --foreign--> rows --import_map--> domain objects --store_batch--> our tables
 *
 * Every schema from 0.12 on is read by what tables and columns it has, so none has to be of an
 * exact release. The source is never written to: of a SQLite file a private copy is read (with its
 * write-ahead log, if the old server left one), of a PostgreSQL database one read-only transaction.
 *
 * Everything or nothing: all of it is one commit. What is there already is never overwritten.
 *
 * Source: docs/headscale.md, "Database" (tables, older schemas, importer rules).
 */

#include "core/arena.h"
#include "store/store.h"

/* What became of one object. */
enum import_fate {
    IMPORT_TAKEN,   /* as it was; only counted */
    IMPORT_CHANGED, /* taken, but something of it had to become different */
    IMPORT_PRESENT, /* the target has it already */
    IMPORT_LEFT,    /* left out; the note says why */
    IMPORT_DAMAGED, /* cannot be read: nothing is written unless damaged rows may be left out */
    IMPORT_FATES
};

enum import_what {
    IMPORT_USER,
    IMPORT_NODE,
    IMPORT_AUTH_KEY,
    IMPORT_API_KEY,
    IMPORT_POLICY,
    IMPORT_OAUTH_CLIENT,
    IMPORT_OAUTH_TOKEN,
    IMPORT_WHATS
};
/* "user", "node", "auth key", ... */
const char *import_what_name(enum import_what what);
const char *import_fate_name(enum import_fate fate);

struct import_note {
    enum import_fate fate;
    enum import_what what;
    uint64_t id;     /* in the source; 0: none */
    struct str name; /* of the user or node, a key's prefix; may be empty */
    struct str text; /* what was changed, or why it is left out */
};

/* All in the caller's arena. Filled in order of ids; kept also when the import is refused. */
struct import_report {
    struct str release; /* "0.24 or 0.25", as far as the tables tell */
    size_t counts[IMPORT_WHATS][IMPORT_FATES];
    struct import_note *notes; /* every fate but TAKEN */
    size_t n_notes;
    size_t cap_notes;
    size_t n_tagged, n_routes; /* of the nodes taken: how many have tags; approved routes */
};

struct import_options {
    struct str sqlite_path;                /* the source: this file, */
    struct str postgres_url;               /* or this database, */
    const struct store_postgres *postgres; /* or this one; NULL: none. Borrowed */

    struct tailnet_info *info; /* the first tailnet as configured, should the target have none */
    bool take_policy;          /* the newest text of the database is the policy in force */
    bool force;                /* also into a database that has nodes */
    bool skip_damaged;         /* leave out what cannot be read */
    /*
     * "alice=https://idp.example.com/subject": users of 0.23 and older who logged in by a provider
     * have no identity in the database, and are given one here.
     */
    struct str_list identities;
    int64_t now_ms;

    /*
     * Whether a machine of that user may have asked for the tag: what servers before 0.28 did not
     * store with the node. Asked after judge_policy. NULL: no.
     */
    bool (*tag_may_be_requested)(void *hook, const struct user *owner, struct str tag);
    /*
     * Judges the policy's text (empty: none is taken) once the users are known and before any node
     * is looked at; 0, or the complaint in err. NULL: good.
     */
    int (*judge_policy)(void *hook, struct str text, const struct tailnet_view *view,
                        struct err *err);
    void *hook;
};

/*
 * Reads the source into `report`, on top of what `target` has (NULL: an empty database), and
 * commits it there unless `dry_run`. Negative: nothing was written; the report holds what was seen
 * so far, all of it when rows were the trouble.
 *
 *   ERR_INVALID   no headscale database, damaged, or a policy that cannot be used
 *   ERR_CONFLICT  headscale has it open, or the target has nodes and force is not set
 */
MUST_USE int import_headscale(const struct import_options *options, struct store *target,
                              bool dry_run, struct arena *arena, struct import_report *report,
                              struct err *err);

/*
 * The same into the database that `target` names, made when there is none. A new SQLite file gets
 * its name when all is in it, so that a server never finds half of one.
 */
MUST_USE int import_headscale_into(const struct import_options *options,
                                   const struct store_options *target, bool dry_run,
                                   struct arena *arena, struct import_report *report,
                                   struct err *err);

/* Whether a SQLite file is headscale's, without touching it. False also when it cannot be read. */
bool import_is_headscale(struct str sqlite_path);
/*
 * Where our database is when the configuration names headscale's: "hatsize.sqlite" beside that one,
 * which stays as it was. Owned.
 */
MUST_USE struct str import_path_beside(struct str sqlite_path);
/*
 * The file that `sqlite_path` of a configuration means: itself, unless it is headscale's (or gone)
 * and an import has made one beside it. Owned.
 */
MUST_USE struct str import_path_of(struct str sqlite_path);
