#pragma once

/*
 * SSH checks: log-ins that a rule with action "check" holds until a person approves them, and the
 * approvals that last (policy.md 8.4, protocol.md 11.2).
 *
 *   machine asks --no approval--> WAITING --approve--> APPROVED --period over--> gone
 *                                   |  |                  | for "always": 2 minutes
 *                                   |  +----reject----> REJECTED --2 minutes--> gone
 *                                   +----10 minutes---> EXPIRED ---2 minutes--> gone
 *   any --other key or owner of the source, a node or the rule gone, approval revoked--> gone
 *
 * A check is of one log-in: from this node to that one as this local user. Sessions that ask for
 * the same log-in share it, unless the rule says "always": then each session has its own. Decided
 * ones are kept a little, for a machine whose answer was lost.
 *
 * One thread (ssh_desk.h brings the questions there). In memory on purpose: an approval is a
 * person's word about a machine and a policy of that hour, it lasts hours, and after a restart
 * asking once more is cheaper than a table that every database must keep, expire and audit.
 *
 * Everything a machine can grow has a bound: SSH_CHECKS_PAIR_MAX and the like; over it the log-in
 * is refused.
 */

#include "core/err.h"
#include "core/list.h"
#include "core/str.h"
#include "crypto/keys.h"
#include "tailnet/types.h"

struct ssh_checks;

#define SSH_CHECK_WAIT_MS ((int64_t)10 * 60 * 1000) /* since a session last asked */
#define SSH_CHECK_KEEP_MS ((int64_t)2 * 60 * 1000)  /* once decided */
#define SSH_CHECK_HOLD_MS ((int64_t)50 * 1000)      /* a held request is answered by then */
#define SSH_CHECK_USER_MAX 256                      /* bytes of a login name */

/* Checks that are not approved: of one pair of nodes, towards one node, of a tailnet. */
#define SSH_CHECKS_PAIR_MAX 8
#define SSH_CHECKS_NODE_MAX 64
#define SSH_CHECKS_TAILNET_MAX 2048
#define SSH_CHECKS_MAX 16384  /* over the server, in every state */
#define SSH_CHECK_HELD_MAX 32 /* requests that one check holds */

#define SSH_CHECK_ID_PREFIX "sshcheck-"
#define SSH_CHECK_ID_MAX 64 /* with the NUL */

enum ssh_check_state {
    SSH_CHECK_WAITING,
    SSH_CHECK_APPROVED,
    SSH_CHECK_REJECTED,
    SSH_CHECK_EXPIRED,
    SSH_CHECK_STATE_COUNT
};
const char *ssh_check_state_name(enum ssh_check_state state); /* "waiting" */

/* What is asked for. */
struct ssh_login {
    tailnet_id tailnet;
    node_id src;
    node_id dst;
    struct str local_user; /* whom the session would run as */
    struct str ssh_user;   /* whom the person typed; may be empty. For showing only */
};

struct ssh_check {
    char id[SSH_CHECK_ID_MAX]; /* unguessable, for people and URLs: [a-z0-9-] */
    struct ssh_login login;    /* strings owned */
    enum ssh_check_state state;
    int64_t period_ms; /* of the rule, as last seen; 0: every session asks anew */
    int64_t asked_ms;  /* monotonic: by the newest session */
    int64_t decided_ms;
    int64_t asked_unix; /* by the first session */
    int64_t ends_unix;  /* about when it goes to the next state */

    struct node_key src_key; /* whose approval it is: another key, another machine or log-in */
    user_id src_user;
    struct list held; /* struct ssh_held */
    size_t n_held;
    struct list_node checks_link;
};

/* What nodes and policy say of a pair. */
struct ssh_pair {
    struct node_key src_key;
    user_id src_user;
    int64_t period_ms; /* policy_ssh_check_ms: -1: no check rule applies */
};

enum ssh_verdict {
    SSH_ACCEPTED,
    SSH_ASK,  /* new for this session: show the check to the person, then come back with its id */
    SSH_HOLD, /* nothing decided yet */
    SSH_NO_RULE, /* no check rule lets this log-in in (any more) */
    SSH_REJECTED,
    SSH_TIMED_OUT, /* nobody decided */
    SSH_TOO_MANY,  /* a bound was reached */
};

/* A request that waits for a verdict; embedded in the caller's memory. */
struct ssh_held {
    /* Called once, with anything but SSH_ASK; unlinked before. SSH_HOLD: time is up, come back. */
    void (*done)(struct ssh_held *h, enum ssh_verdict verdict);
    int64_t due_ms;
    struct ssh_check *check; /* NULL: not held (any more) */
    struct list_node held_link;
};

struct ssh_checks_options {
    /* False: one of the nodes is gone, expired or may not see the other. */
    bool (*look)(void *user, const struct ssh_login *login, struct ssh_pair *out);
    void *user;
};
MUST_USE struct ssh_checks *ssh_checks_new(const struct ssh_checks_options *options);
/* Nothing may be held any more (ssh_checks_drop_held). */
void ssh_checks_free(struct ssh_checks *s);

/*
 * A machine asks what to do with a log-in to it. `id` is what an earlier answer for this session
 * named, or empty; an unknown one (a restart, a long sleep) starts over. With SSH_ASK, *check is
 * the one to show, with SSH_HOLD the one to hold at; borrowed until the next call here.
 */
MUST_USE enum ssh_verdict ssh_checks_ask(struct ssh_checks *s, const struct ssh_login *login,
                                         struct str id, struct ssh_check **check);
/* Keeps the request until there is a verdict or SSH_CHECK_HOLD_MS have passed. False: too many. */
MUST_USE bool ssh_check_hold(struct ssh_check *check, struct ssh_held *h);
/* The requester left. Harmless when not held. */
void ssh_check_release(struct ssh_held *h);

/*
 * A person's word about the check with this id in this tailnet. Approving what is approved changes
 * nothing; rejecting what is approved takes the approval back (open sessions stay).
 * ERR_NOT_FOUND, ERR_CONFLICT when it is too late.
 */
MUST_USE int ssh_checks_approve(struct ssh_checks *s, tailnet_id tailnet, struct str id,
                                struct err *err);
MUST_USE int ssh_checks_reject(struct ssh_checks *s, tailnet_id tailnet, struct str id,
                               struct err *err);

/* Oldest first; start with NULL; NULL at the end. */
const struct ssh_check *ssh_checks_next(const struct ssh_checks *s, const struct ssh_check *after);
size_t ssh_checks_count(const struct ssh_checks *s);

/* Nodes, users or policy of the tailnet changed: ends what no longer stands. */
void ssh_checks_refresh(struct ssh_checks *s, tailnet_id tailnet);
/* Carries out what is due; the time until something is due next, or -1 when nothing will be. */
int64_t ssh_checks_tick(struct ssh_checks *s);
/* Ends every held request with SSH_HOLD. */
void ssh_checks_drop_held(struct ssh_checks *s);
