#pragma once

/*
 * The registrar: the one thread that owns the domain, and the storage thread behind it.
 *
 *   loops --call--> registrar: domain_apply --> open round
 *                                                  | closed when storage is idle
 *                     storage: store_commit <------+ (only if something in it must be durable)
 *                         |
 *                         v committed
 *   loops <-- publication (view + changes), then the calls' answers
 *
 * Rules
 *   1. Durable before answered: a round's answers and publications go out after its commit. What is
 * only written behind (endpoints, online, facts) is told at once and committed within a second.
 *   2. One round is in flight at a time; what comes meanwhile shares the next commit.
 *   3. A loop gets a publication before the answers of the same round, in the order of revisions.
 *   4. The policy is judged here, before COMMAND_POLICY_SET is applied, and compiled here, for each
 * publication; see policies.h.
 *   5. When a round's commit fails, its calls and those applied on top of them are refused, the
 * domain becomes again what was told last, and every loop gets a reset: map streams end and
 * clients come back. When what fails was only written behind, it is kept and tried again.
 *   6. While commits fail the registrar is stalled: what must be durable is refused before it is
 * applied, everything else goes on in memory, so machines keep their maps and reads are answered.
 * It is over with the first commit that succeeds; one is tried every second.
 */

#include "control/policies.h"
#include "core/list.h"
#include "net/loop.h"
#include "store/store.h"
#include "tailnet/domain.h"

struct registrar;

/* What a loop is told. Counted by the registrar; borrowed during on_publish. */
struct publication {
    const struct tailnet_view *view;
    const struct policy *policy; /* in force, compiled against this very view */
    const struct change *changes;
    size_t n_changes;
    bool reset; /* forget what you have of this tailnet: the changes since are unknown */
};

/*
 * The first tailnet's policy as its file has it at the start. A good one is in force before anybody
 * is told anything; a bad one is noted, and the last good one stays.
 */
struct policy_file {
    struct str path;    /* for complaints; empty: there is no file, and no policy */
    struct str text;    /* valid when `trouble` is empty */
    struct str trouble; /* why it cannot be read */
};

struct registrar_options {
    struct domain *domain; /* taken; loaded, load_done called */
    struct store *store;   /* taken */
    /* NULL: what the database has is in force. Borrowed for the call. */
    const struct policy_file *policy_file;
    /* For webhooks: what their links begin with (copied), whether machines wait for log-ins and not
     * for administrators, whether endpoints may be on this machine. */
    struct str server_url;
    bool has_login;
    bool webhooks_allow_local;
    /* Runs on each of these loops, for every publication. */
    struct loop *const *loops;
    size_t n_loops;
    void (*on_publish)(void *user, struct loop *loop, const struct publication *p);
    /* The server's API keys likewise, before the answers of the same round; `reset`: whatever the
     * changes say, everything may differ. May be NULL. */
    void (*on_api_keys)(void *user, struct loop *loop, const struct api_key_set *keys,
                        const struct change *changes, size_t n_changes, bool reset);
    void *user;
};
/* Starts both threads and publishes every tailnet to every loop. */
MUST_USE int registrar_new(const struct registrar_options *options, struct registrar **out,
                           struct err *err);
/* Commits what is open, ends the threads. The loops must have stopped calling; calls still waiting
 * are cancelled. */
void registrar_free(struct registrar *r);

/*
 * One command on its way: embedded in the caller's own memory, which stays until `done`. Everything
 * the command borrows must live as long.
 */
struct registrar_call {
    struct command command;
    bool hold; /* COMMAND_REGISTER with a follow-up: answer only when it is decided */
    struct policy_verdict *verdict; /* COMMAND_POLICY_SET: why it is refused; NULL: not asked */

    struct loop *loop; /* where done runs */
    void (*done)(struct registrar_call *call);

    /* Set before done. */
    int status; /* 0 or -code, see err */
    struct err err;
    struct command_result result; /* command_result_fini is the caller's */

    uint64_t ticket; /* for registrar_cancel; set by registrar_submit */
    struct loop_message message;
    struct registrar *registrar;
    struct registrar_call *next;
    struct list_node held_link;
};
/* From any thread. NULL, when the server is going down: `done` comes with ERR_IO. */
void registrar_submit(struct registrar *r, struct registrar_call *call);
/* Ends a held call early: its done comes with ERR_NOT_FOUND. Without effect if it is not held. From
 * any thread. */
void registrar_cancel(struct registrar *r, uint64_t ticket);

/* A look into the domain on its thread; `run` reads only, then `done` on the loop given. */
struct registrar_query {
    void (*run)(struct registrar_query *q, struct domain *d);
    void (*done)(struct registrar_query *q);
    struct loop *loop;
    struct loop_message message;
    struct registrar *registrar;
};
void registrar_ask(struct registrar *r, struct registrar_query *q);

/*
 * A look into the store on its thread, between commits: pages of the audit log, earlier policies.
 * `run` may take its time (commits wait), and must not write. `cancelled` is set before `done` when
 * the server went down and `run` was never called.
 */
struct store_query {
    void (*run)(struct store_query *q, struct store *s);
    void (*done)(struct store_query *q);
    struct loop *loop;
    bool cancelled;
    struct loop_message message;
    struct registrar *registrar;
};
/* From any thread. r NULL: cancelled at once, `done` comes on the loop all the same. */
void registrar_ask_store(struct registrar *r, struct store_query *q);

/* The policy file is bad or cannot be read, and why; the policy in force stays. Empty: it is good
 * again. tailnet 0: the first. From any thread. */
void registrar_note_policy(struct registrar *r, tailnet_id tailnet, struct str text);
/* What is wrong with policies. In a query's `run` only. */
void registrar_policy_troubles(const struct registrar *r,
                               void (*each)(void *user, const struct policy_trouble *t),
                               void *user);
/* Whether anything is; any thread. */
bool registrar_policies_are_well(const struct registrar *r);

/* Whether the last commit succeeded; any thread. For /health. */
bool registrar_is_healthy(const struct registrar *r);
/* Why it did not, "" when it did. In a query's `run` only. */
const char *registrar_storage_trouble(const struct registrar *r);
