#pragma once

/*
 * The durable shadow of the domain: read whole at start, then written in batches.
 *
 *   registrar --batches--> storage thread (control/registrar): store_commit, one transaction each
 *
 * A batch is all or nothing. Batches are committed in the order they were submitted; those that
 * wait together share one commit. After `done` with no error the batch survives kill -9 and power
 * loss. Immutable objects are handed over by reference, so nothing is copied or serialised on the
 * registrar.
 */

#include "core/err.h"
#include "tailnet/domain.h"

struct store;

struct store_options {
    struct str sqlite_path; /* created 0600 when absent; ":memory:" for tests */
    bool wal;               /* write-ahead log; default for real files */
};
/* Opens, checks and migrates. */
MUST_USE int store_open(const struct store_options *options, struct store **out, struct err *err);
void store_close(struct store *s);
/* Puts everything into an empty domain (domain_load_…, counters); not domain_load_done. */
MUST_USE int store_load(struct store *s, struct domain *d, struct err *err);
/* Whether the database answers. */
MUST_USE int store_check(struct store *s, struct err *err);

/*
 * The texts a tailnet's policy had, the newest first, as long as `each` says true. The text is
 * borrowed for the call.
 */
MUST_USE int store_policies(struct store *s, tailnet_id tailnet,
                            bool (*each)(void *user, struct str text, int64_t created_ms),
                            void *user, struct err *err);

/* Small named values of the server itself (schema-free): settings, first-start marks. */
MUST_USE int store_value_get(struct store *s, struct str name, struct buf *value, bool *found,
                             struct err *err);
MUST_USE int store_value_put(struct store *s, struct str name, struct str value, struct err *err);

/* What a batch may hold; objects are counted references owned by the batch. */
enum store_op_kind {
    STORE_PUT_INFO,
    STORE_PUT_USER,
    STORE_PUT_AUTH_KEY,
    STORE_PUT_NODE,
    STORE_DELETE_TAILNET,
    STORE_DELETE_USER,
    STORE_DELETE_AUTH_KEY,
    STORE_DELETE_NODE,
};

struct store_batch;
MUST_USE struct store_batch *store_batch_new(void);
void store_batch_free(struct store_batch *b);
size_t store_batch_len(const struct store_batch *b);
/*
 * Adds what a change list means: looks each changed object up in `view` (its tailnet as it stands
 * after the changes) and keeps one op per object, the last. `durable` out: whether any of it must
 * be on disk before it is told.
 */
void store_batch_add(struct store_batch *b, const struct tailnet_view *view,
                     const struct change *changes, size_t n, bool *durable);
void store_batch_set_counters(struct store_batch *b, const struct domain_counters *next);
/* Commits at once, on the calling thread (which must be the only user of `s`). */
MUST_USE int store_commit(struct store *s, const struct store_batch *b, struct err *err);
