#pragma once

/*
 * The API keys as each loop knows them, and the worker threads that hash what is slow to check.
 *
 *   registrar --auth_set_keys (each loop)--> by prefix --auth_check--> ours: SHA-256, at once
 *                                                         |
 *                                                         +--> imported: bcrypt on a worker, the
 *                                                              first time; SHA-256 from then on
 *
 * Rules
 *   1. What a loop knows is its own: no locks. Each loop hashes an imported key once, and remembers
 *      the SHA-256 of the secret that fitted, one per key, so nobody can make it grow.
 *   2. While there are imported keys, every refusal costs one bcrypt hash, whatever is wrong; while
 *      there are none, none does.
 *   3. A key or a session that is somebody's lets do what its scopes say and what that user may by
 *      now, no more; of one who may nothing it is refused.
 *   4. At most AUTH_HASHES_MAX hashes are under way or wait, over the whole server; who comes
 *      beyond is told AUTH_BUSY. Keys of our own and known ones are never in that line.
 */

#include "auth/caller.h"
#include "core/err.h"
#include "tailnet/api_key.h"
#include "tailnet/change.h"

#define AUTH_HASHES_MAX 8
#define AUTH_THREADS 1 /* what strangers can keep busy is one thread, never the loops */

struct auth_options {
    struct loop *const *loops;
    size_t n_loops;
    /* A key was used; at most once in API_KEY_SEEN_MS for a key and a loop. May be NULL. */
    void (*on_seen)(void *user, struct loop *loop, api_key_id id);
    /*
     * The role that counts for a user at this moment; false: none, whatever he made or holds opens
     * nothing. Asked at every check of an API key or a session of somebody. NULL: users may
     * nothing.
     */
    bool (*role)(void *user, struct loop *loop, tailnet_id tailnet, user_id id,
                 enum user_role *role);
    void *user;
};
MUST_USE int auth_new(const struct auth_options *options, struct auth **out, struct err *err);
/* Ends the workers; when the loops have stopped and before they are freed. */
void auth_stop(struct auth *a);
/* After the loops are freed. */
void auth_free(struct auth *a);

/*
 * What the loop is to know from now on: the set, and what differs from the one before (`reset`:
 * everything may). From the loop's thread, or before it runs.
 */
void auth_set_keys(struct auth *a, struct loop *loop, const struct api_key_set *keys,
                   const struct change *changes, size_t n_changes, bool reset);
/* The newest set this loop has, borrowed until the next; never NULL, but NULL before the first. */
const struct api_key_set *auth_keys(const struct auth *a, const struct loop *loop);

/*
 * For who stays longer than a check: whether the caller's key is still there and good, and what it
 * may now, which goes into c->may and c->role. False: nothing any more.
 */
MUST_USE bool auth_again(const struct auth *a, struct loop *loop, struct caller *c);

/*
 * Whether the secret fits a bcrypt hash; for imported auth keys (REGISTER_PROVE). `done` comes
 * later on the loop, AUTH_OK or AUTH_REFUSED; or AUTH_BUSY from inside, and then NULL is returned.
 */
struct auth_ticket *auth_prove(struct auth *a, struct loop *loop, struct str secret,
                               struct str bcrypt_hash, auth_done_fn *done, void *user);
