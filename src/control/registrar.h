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
 *   4. When a commit fails, its calls and those applied on top of them are refused, the domain is
 * read anew from the store, and every loop gets a reset: map streams end and clients come back.
 */

#include "core/list.h"
#include "net/loop.h"
#include "store/store.h"
#include "tailnet/domain.h"

struct registrar;

/* What a loop is told. Counted by the registrar; borrowed during on_publish. */
struct publication {
    const struct tailnet_view *view;
    const struct change *changes;
    size_t n_changes;
    bool reset; /* forget what you have of this tailnet: the changes since are unknown */
};

struct registrar_options {
    struct domain *domain; /* taken; loaded, load_done called */
    struct store *store;   /* taken */
    /* Runs on each of these loops, for every publication. */
    struct loop *const *loops;
    size_t n_loops;
    void (*on_publish)(void *user, struct loop *loop, const struct publication *p);
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

/* Whether the last commit succeeded; any thread. For /health. */
bool registrar_is_healthy(const struct registrar *r);
