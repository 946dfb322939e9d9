#pragma once

/*
 * Who may use the relay, asked of others: a server by its URL, or the tailscaled on this machine.
 *
 *   relay's loop --admission_ask--> home loop: known? --> answer
 *                                      |  no: a question, once for all who wait for it
 *                                      v
 *                                 pool: ask (blocks) --> home loop: keep, answer all who wait
 *
 * Rules
 *   1. A yes is kept ALLOW_MS, a no DENY_MS only: a node that has just been registered must not
 * wait.
 *   2. Who cannot be asked (no connection, no answer in time) is left alone for REST_MS: those who
 *      come meanwhile get the same answer as if they had waited, which is fail_open.
 *   3. What waits is bounded; who comes when it is full is refused, and will come again.
 *
 * Source: docs/protocol.md 16.9; tailscale tailcfg.DERPAdmitClientRequest.
 */

#include "core/err.h"
#include "crypto/keys.h"
#include "ip/addr.h"
#include "net/loop.h"

#define ADMISSION_ALLOW_MS 60000
#define ADMISSION_DENY_MS 1000
#define ADMISSION_REST_MS 5000
#define ADMISSION_WAITING_MAX 16384
#define ADMISSION_KNOWN_MAX 65536

struct admission;

enum verdict { VERDICT_ALLOW, VERDICT_DENY, VERDICT_UNREACHABLE };

struct admission_options {
    struct loop *home;
    struct worker_pool *pool;
    /* On a thread of the pool; blocks for a bounded time. */
    enum verdict (*ask)(void *user, const struct node_key *key, struct ip_addr from);
    void *user;
    bool fail_open;
    /* On the home loop, exactly once for each question unless the loop ends first. */
    void (*answer)(void *ticket, bool ok);
};
MUST_USE struct admission *admission_new(const struct admission_options *options);
/* From any thread. */
void admission_ask(struct admission *a, const struct node_key *key, struct ip_addr from,
                   void *ticket);
/* From any thread: no more questions go out, and none is answered; before the pool is freed. */
void admission_stop(struct admission *a);
/* After pool and home loop have been freed. NULL is fine. */
void admission_free(struct admission *a);

/* ---- Whom to ask ---- */

struct admission_urls {
    struct str url;    /* empty: not asked */
    bool tailscaled;   /* asked too, first */
    struct str socket; /* its socket; empty: the usual one */
};
/* `user` is a struct admission_urls. */
enum verdict admission_ask_urls(void *user, const struct node_key *key, struct ip_addr from);
