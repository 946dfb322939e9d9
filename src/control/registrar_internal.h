#pragma once

/* What registrar.c and committer.c share. */

#include <stdatomic.h>

#include "control/policy_turns.h"
#include "control/registrar.h"
#include "core/list.h"
#include "core/map.h"

#define WRITE_BEHIND_MS 1000
#define RETRY_MS 1000
/* Tests of policies in force run at most so often, and take at most so much of the time. */
#define JUDGE_MS 1000
#define JUDGE_SHARE 20
#define JUDGE_SLICE_MS 10 /* after which no further tailnet's are begun */
#define HELD_PER_PENDING 8 /* follow-ups of one pending registration */

struct round_tailnet {
    tailnet_id id;
    const struct tailnet_view *view;        /* after the last change here */
    const struct policy_document *document; /* of the same time; counted, NULL: none */
    const struct policy *policy;            /* of that document, when it came with this round */
    size_t policy_at;                       /* changes that were before it */
    struct change_list changes;
    size_t stored; /* of these, how many are in the batch */
    bool fresh;
    struct round_tailnet *next;
};

struct hooks;
struct hook_events;

struct round {
    struct registrar_call *calls;
    struct registrar_call **calls_tail;
    struct round_tailnet *tailnets;
    struct change_list api_key_changes;
    const struct api_key_set *api_keys; /* after the last of them; NULL: none came */
    const struct delivery **deliveries; /* for webhooks, counted */
    size_t n_deliveries, cap_deliveries;
    bool durable;
};

struct shared_publication {
    struct ref ref;
    struct change_list changes;
    struct publication pub;
};

struct held_list {
    struct list calls;
    size_t len;
};

struct registrar {
    struct registrar_options options;
    struct loop **loops;
    struct loop *loop;
    bool is_running;
    struct domain *domain;
    struct round *open;
    struct store_batch *batch; /* all that is applied and not yet given to the committer */
    bool batch_dirty;          /* holds written-behind changes that were already told */
    struct round *in_flight;   /* waits for the commit under way; NULL for a write-behind */
    bool is_committing;
    bool is_broken;         /* the store is stale and cannot be read */
    bool is_stalled;        /* the last commit failed: nothing that must be durable is taken */
    struct err trouble;     /* why */
    struct map *told_views; /* tailnet id -> counted view: what everybody knows */
    const struct api_key_set *told_api_keys;
    struct map *held; /* auth id -> struct held_list */
    struct hook_events *hook_events;
    struct hooks *hooks; /* NULL: nobody had a webhook yet */
    bool hooks_failed;
    struct policies *policies;
    struct policy_turns *policy_turns;
    struct loop_message turn_message; /* the next of them, behind all that has come */
    bool turn_posted;
    int64_t turn_due_ms; /* until then the next stands back for answers (monotonic) */
    struct timer turn;
    struct map *treaties; /* tailnet id -> struct treaty_entry, of those with shares */
    bool treaty_is_due;
    int64_t judge_ms; /* to wait for the next time */
    struct timer tick, behind, retry, judge;
    struct loop_message close_message;
    bool close_posted;
    _Atomic(uint64_t) next_ticket;
    _Atomic(bool) healthy;
    _Atomic(bool) policies_are_well;

    /* The storage thread's. */
    struct store *store;
    struct loop *committer;
    bool committer_running;
};

/* ---- round.c ---- */

struct round *round_new(void);
void round_free(struct round *round); /* its calls must be gone */
/* `to` has none. */
void round_move_deliveries(struct round *to, struct round *from);
void round_forget_deliveries(struct round *round);
struct round_tailnet *round_tailnet(struct round *round, tailnet_id id);
void round_add_call(struct round *round, struct registrar_call *call);
/* View and document as they are now. */
void round_look(struct registrar *r, struct round_tailnet *t);
/* Files the changes in the open round and in the batch. */
void round_add_changes(struct registrar *r, const struct change_list *changes);
/* Tells every loop. Takes changes and policy; refers to the view. */
void registrar_publish(struct registrar *r, const struct tailnet_view *view,
                       const struct policy *policy, struct change_list *changes, bool reset);
void registrar_publish_all(struct registrar *r, bool reset);
/* Tells every loop. Refers to the keys, copies the changes. */
void registrar_publish_api_keys(struct registrar *r, const struct api_key_set *keys,
                                const struct change_list *changes, bool reset);

/* ---- registrar.c ---- */

struct audit_note;
/* The command is done (result NULL: refused): its entry, if it gets one, joins the batch. */
void registrar_audit(struct registrar *r, struct audit_note *note, const struct command *c,
                     const struct command_result *result);

/* Applies the command; its answer comes with the round. */
void registrar_apply_call(struct registrar *r, struct registrar_call *call);
/* It was never applied: the server goes down. */
void registrar_cancel_call(struct registrar_call *call);

/* ---- webhooks.c ---- */

/* Around a command: what webhooks hear of it joins the open round and the batch. */
void registrar_hooks_begin(struct registrar *r, const struct command *c);
void registrar_hooks_end(struct registrar *r, const struct command *c,
                         const struct command_result *result, const struct change_list *changes);
/* The round is committed. */
void registrar_hooks_tell(struct registrar *r, struct round *round);
/* Endpoints as the domain has them. */
void registrar_hooks_set_all(struct registrar *r);
/* Sends what was on its way when the server stopped. Before the thread runs. */
void registrar_hooks_start(struct registrar *r);

/* ---- told.c ---- */

void told_note_view(struct registrar *r, const struct tailnet_view *view,
                    const struct change *changes, size_t n);
void told_note_api_keys(struct registrar *r, const struct api_key_set *keys);
void told_free(struct registrar *r);
/* Puts what was told into an empty domain, with the counters that were reached. */
MUST_USE int told_domain(struct registrar *r, struct domain *d, struct err *err);
/* Every node goes into the batch. */
void told_write_again(struct registrar *r);

/* ---- registrar_policy.c ---- */

/* The domain is new: what its texts say is in force, and its hooks ask here. */
void registrar_adopt_policies(struct registrar *r);
void registrar_start_with_file(struct registrar *r, const struct policy_file *file);
/* COMMAND_POLICY_SET has come: it waits for its turn (policy_turns.h). */
void registrar_queue_policy(struct registrar *r, struct registrar_call *call);
/* Who waited for answers has them, or has waited long enough: the next policy's turn. */
void registrar_next_turn(struct registrar *r);
void registrar_on_turn_due(void *user);
/* Its turn has come; the call's status. */
MUST_USE int registrar_apply_policy(struct registrar *r, struct registrar_call *call);
/* Compiles and publishes what a round has for a tailnet. */
void registrar_tell_tailnet(struct registrar *r, struct round_tailnet *t);
void registrar_on_judge(void *registrar);

/* ---- registrar_relays.c ---- */

/* Where its guests' hosts find the tailnet's machines, by its policy (NULL: none). Like a command
 * of this round. */
void registrar_tell_relays(struct registrar *r, tailnet_id tailnet,
                           const struct policy_document *document);

/* ---- registrar_treaty.c ---- */

/* The tailnet is told of with this policy (NULL: it is gone). */
void registrar_treaty_note(struct registrar *r, const struct tailnet_view *view,
                           const struct policy *policy, const struct change_list *changes);
/* After all publications of a round: what follows joins the open round. */
void registrar_treaty_settle(struct registrar *r);
void registrar_treaty_fini(struct registrar *r);

/* ---- committer.c ---- */

int committer_start(struct registrar *r, struct err *err);
void committer_stop(struct registrar *r);
/* Takes the batch; registrar_committed follows on the registrar's loop. */
void committer_submit(struct registrar *r, struct store_batch *batch);
void registrar_committed(struct registrar *r, struct store_batch *batch, int status,
                         const struct err *err);
