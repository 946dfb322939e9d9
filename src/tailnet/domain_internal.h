#pragma once

/*
 * The domain's insides, shared by its files.
 *
 * A command runs in two halves. First it only looks: every check that can refuse it is made, every
 * address and name it needs is found. Then it acts, and acting cannot fail. So there is nothing to
 * roll back.
 *
 *   check --refused--> nothing happened
 *     |
 *     +--> act: node_edit() drafts, indexes and deadlines move --> routes_elect()
 *               --> nodes_publish()
 *
 * A node that a command changes gets one draft, however many things change; when the command is
 * done the draft becomes the node and one CHANGE_NODE tells everything that changed.
 */

#include <inttypes.h>
#include <stdio.h>

#include "core/list.h"
#include "core/map.h"
#include "tailnet/domain.h"
#include "tailnet/name.h"
#include "tailnet/schedule_internal.h"
#include "tailnet/view_internal.h"

/* With a base domain no longer than this every FQDN fits in 255 bytes. */
#define BASE_DOMAIN_MAX 190
#define LABEL_MAX 63
#define TEXT_MAX 1024 /* display names, email addresses, picture URLs */
#define PENDING_PER_MACHINE_MAX 16

/* The tailnets that know a user, or what may be known of a tailnet, and for how many reasons. */
struct knowers {
    struct knower {
        struct tailnet *in;
        size_t n;
    } * items;
    size_t len;
};

struct tailnet {
    struct list_node tailnets_link;
    tailnet_id id;
    const struct tailnet_info *info;
    uint64_t revision;
    struct table nodes;
    struct table users;
    struct table auth_keys;
    struct table webhooks;
    const struct tailnet_view *view; /* of this revision, or NULL until somebody asks */

    /* Shares, all empty where there are none. */
    struct table guests;        /* struct node, as this tailnet sees it */
    struct table guest_users;   /* struct user, what may be known of it here */
    struct table guest_infos;   /* struct tailnet_info, likewise */
    struct table shares;        /* of both sides */
    struct table share_invites; /* to what it lends */
    struct table user_invites;  /* of people */
    struct list lent_to_all;    /* struct share_state: in force, for the whole of this tailnet */
    struct list stays;          /* struct stay: the guests here */
    struct map *guest_addrs;    /* address -> struct stay; NULL: no guest was here yet */
    const struct tailnet_info *told; /* what others know of it; NULL: nobody does */
    struct knowers knowers;          /* the others */
    struct derp_region *relays;      /* of its policy, as domain_tell_relays says */
    size_t n_relays;
    bool omits_relays;               /* that are not in them */
    struct list_node unsettled_link; /* in domain.unsettled */
    size_t n_lends;                  /* shares where it is the owner */

    struct map *names;       /* label -> struct node_state */
    struct map *suffixes;    /* label that collided -> struct suffix */
    struct map *local_users; /* name -> struct user_state */
    size_t n_unapproved;     /* nodes with HOLD_DEVICE */
    struct map *routes;      /* prefix -> struct route */
    struct ip_addr last_v4;  /* given last; family 0: none yet */
    struct ip_addr last_v6;
    /* Of a tailnet that gives addresses whoever else has them; NULL: they are in domain's. */
    struct map *node_by_addr;
};

struct user_state {
    const struct user *user; /* as in the table, borrowed */
    struct tailnet *tailnet;
    size_t n_nodes;
    struct list lent_to;             /* struct share_state: in force, for this user */
    struct knowers knowers;          /* tailnets where it has guests, or to which it lends */
    struct user_state *account_next; /* the same person's users in other tailnets */
};

struct auth_key_state {
    const struct auth_key *key; /* as in the table, borrowed */
    struct tailnet *tailnet;
    size_t n_nodes;       /* that say they were registered with it */
    struct deadline reap; /* revoked: when it goes */
};

struct node_state {
    const struct node *node; /* as in the table, borrowed; NULL while it is being made */
    struct node *draft;      /* what it becomes when the command is done, or NULL */
    unsigned mask;           /* what differs */
    struct list_node drafts_link;

    struct tailnet *tailnet;
    struct node_state *machine_next; /* other nodes of the same machine */

    uint64_t generation; /* of its newest stream */
    bool is_live;        /* that stream lives */
    bool is_silent; /* it was asked whether it is there and did not answer (COMMAND_NODE_PROBED) */
    int64_t opened_ms; /* when that stream began */
    int64_t ended_ms;  /* when it ended */
    struct deadline offline, ephemeral, expiry, expiring, attribute;

    struct ip_prefix *eligible; /* announced and approved, without exit routes; sorted */
    size_t n_eligible;
    struct outside *outside; /* what shares have to do with it; NULL: nothing so far */
};

struct share_state {
    const struct share *share; /* as in both tables, borrowed */
    struct tailnet *owner, *guest;
    struct node_state *node;
    bool is_in_force;
    struct deadline end;
    struct list_node node_link;  /* in outside.shares of the node */
    struct list_node guest_link; /* while in force: in lent_to of the user, or lent_to_all */
};

/* The head of both kinds' states. */
struct invitation {
    uint64_t id;
    uint8_t hash[32]; /* SHA-256 of the secret */
    struct tailnet *tailnet;
    struct deadline end;
};

struct invitations {
    struct map *by_id; /* struct invitation */
    struct map *by_hash;
};

struct invite_state {
    struct invitation head;
    const struct share_invite *invite; /* as in the table, borrowed */
};

struct user_invite_state {
    struct invitation head;
    const struct user_invite *invite; /* as in the table, borrowed */
};

/* What shares have to do with a node. */
struct outside {
    struct list shares;  /* struct share_state: all that lend it, waiting ones too */
    struct list stays;   /* struct stay: where it is a guest */
    struct map *used_by; /* id -> struct node_state: nodes that have an item for it; may be NULL */
    bool is_leaving;     /* it is being removed: no share covers it any more */
};

/* A node as a guest in another tailnet. */
struct stay {
    struct node_state *node;
    struct tailnet *in;
    struct list_node node_link; /* in outside.stays */
    struct list_node in_link;   /* in tailnet.stays */
    struct list_node new_link;  /* in domain.new_stays until it is told */
    struct stay_addr {
        struct ip_addr addr; /* by which it is known there; family 0: by none */
        bool is_alias;
    } v4, v6;
    user_id user; /* whose knowers count it; 0: nobody's */
};

/* A subnet route that some node announces and may serve. */
struct route {
    struct ip_prefix prefix;
    struct tailnet *tailnet;
    struct node_state **candidates;
    size_t n_candidates;
    size_t cap;
    struct node_state *primary; /* NULL: withdrawn */
    struct list_node touched_link;
    struct list_node shared_link; /* domain.shared while there are two candidates or more */
};

struct pending_machine;

struct pending {
    char auth_id[64];
    struct list_node order_link; /* oldest first */
    struct list_node machine_link;
    struct pending_machine *of_machine;
    struct machine_key machine;
    struct node_key key;
    struct node_key old_key;
    struct nl_key nl;
    uint32_t capver;
    bool has_expiry;
    int64_t expiry_ms;
    bool ephemeral;
    bool is_rejected; /* kept until the client is told */
    struct node_facts *facts;
    struct deadline deadline;
};

struct pending_set {
    struct list order; /* struct pending, oldest first */
    size_t len;
    struct map *by_id;
    struct map *by_keys;    /* machine and node key -> struct pending */
    struct map *by_machine; /* machine key -> struct pending_machine */
};

struct domain {
    struct list tailnets; /* by rising id */
    struct map *tailnet_by_id;
    struct map *tailnet_by_name;
    struct map *node_by_id;
    struct map *node_by_key;
    struct map *node_by_machine; /* first of a chain */
    struct map *node_by_addr;
    struct map *user_by_id;
    struct map *user_by_account; /* provider_id -> first of a chain of struct user_state */
    struct map *key_by_id;
    struct map *key_by_prefix;
    struct map *key_by_legacy; /* SHA-256 of the whole text */
    struct table api_keys;
    const struct api_key_set *api_key_set; /* as the table is, or NULL until somebody asks */
    struct map *api_key_by_prefix;         /* const struct api_key, borrowed from the table */
    size_t n_webhooks;                     /* of all tailnets */
    struct map *api_key_ends;              /* id to struct api_key_end: tokens and sessions */
    size_t n_api_keys[API_KEY_KINDS];
    int64_t revoked_retention_ms;
    struct pending_set pending;
    struct pending_limits pending_limits;
    struct quotas new_quotas;
    struct schedule schedule;
    struct domain_counters next;
    uint64_t next_generation;
    struct domain_policy_hooks hooks;
    struct map *share_by_id;          /* struct share_state */
    struct map *share_by_what;        /* node, guest tailnet, user -> struct share_state */
    struct invitations share_invites; /* struct invite_state */
    struct invitations user_invites;  /* struct user_invite_state */
    struct map *stay_by_what;         /* node, tailnet -> struct stay */
    struct map *bonds;                /* how many shares in force hold a stay; guests.c */

    /* Of the command being applied. */
    int64_t now_ms;
    struct change_list *changes;
    struct list drafts;         /* struct node_state */
    struct list touched;        /* struct route */
    struct list new_stays;      /* struct stay */
    struct list unsettled;      /* struct tailnet: guest_infos are to be made anew */
    bool is_quiet;              /* nothing is told: at start-up */
    struct list shared;         /* struct route: those of several candidates; not of the command */
    struct node_state *subject; /* the node the result is about, or NULL */
    struct tailnet *of;         /* the tailnet the result is about, or NULL */
    struct share_end *ended;    /* for the result */
    size_t n_ended, cap_ended;
};

/* ---- domain.c ---- */

/* NULL when there is none. 0: the first. */
struct tailnet *domain_tailnet(const struct domain *d, tailnet_id id);
MUST_USE int domain_tailnet_get(const struct domain *d, tailnet_id id, struct tailnet **out,
                                struct err *err);
/* Appends a change of `t`, raising its revision. t NULL: of no tailnet. */
void domain_emit(struct domain *d, struct tailnet *t, struct change change);
/* Likewise, of what only `t` knows: nobody else's knowledge follows. */
void domain_tell(struct domain *d, struct tailnet *t, struct change change);
/* Takes info; its id, name and so on must have been checked. */
struct tailnet *tailnet_add(struct domain *d, const struct tailnet_info *info);
void tailnet_free(struct tailnet *t);                       /* its states must be gone */
const struct tailnet_view *tailnet_view(struct tailnet *t); /* borrowed */
/* As its tables are in the middle of a command, where nobody else may have it as that revision. */
const struct tailnet_view *tailnet_snapshot(const struct tailnet *t);

/* ---- id.c ---- */

enum id_kind {
    ID_TAILNET,
    ID_USER,
    ID_AUTH_KEY,
    ID_NODE,
    ID_API_KEY,
    ID_WEBHOOK,
    ID_SHARE,
    ID_SHARE_INVITE,
    ID_USER_INVITE,
};
/*
 * For something new of the tailnet (NULL: of the server): counted up in the first tailnet, drawn in
 * others. The same again until the thing is there and id_used was told.
 */
uint64_t id_next(struct domain *d, const struct tailnet *t, enum id_kind kind);
/* Something has it; each that is put into a table says so. */
void id_used(struct domain *d, enum id_kind kind, uint64_t id);
void ids_restore(struct domain *d, const struct domain_counters *next);

/* ---- tailnets.c ---- */

int tailnet_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int tailnet_update(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int tailnet_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int tailnet_set(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int tailnet_suspend(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
int tailnet_resume(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
/* What a machine, or a person who logs in, is told where the tailnet is suspended. */
#define TAILNET_SUSPENDED "this tailnet is suspended: ask whoever runs the server"
/* What a person is told. */
#define USER_IS_SUSPENDED \
    "your account in this tailnet is suspended: ask one of the tailnet's administrators"
MUST_USE int tailnet_check_open(const struct tailnet *t, struct err *err);
/* Sets what a new tailnet begins with. */
void quotas_begin(const struct domain *d, struct tailnet_settings *out);
/* Whether there may be one more. -ERR_LIMIT: no, in words for who asked. */
MUST_USE int quota_check(const struct tailnet *t, enum quota quota, size_t have, struct err *err);
/* Of a ceiling over the server, a further tailnet has one part in so many. t NULL: no tailnet's. */
#define QUOTA_SHARE 10
MUST_USE int quota_check_share(const struct domain *d, const struct tailnet *t,
                               enum api_key_kind kind, size_t ceiling, struct err *err);
/* Auth keys, API keys and OAuth clients of the tailnet. */
size_t keys_count(const struct domain *d, const struct tailnet *t);
int policy_set(struct domain *d, const struct command *c, struct command_result *r,
               struct err *err);
/* dns_commands.c */
int dns_set(struct domain *d, const struct command *c, struct command_result *r, struct err *err);
int settings_set(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
MUST_USE int tailnet_info_check(const struct tailnet_info *info, struct err *err);

/* ---- users.c ---- */

int user_create(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_rename(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
/* Takes the reference. */
void user_put(struct domain *d, struct tailnet *t, const struct user *user);
void user_remove(struct domain *d, struct user_state *u);
/* By id if there is one, else by name, which must fit one user only. */
MUST_USE int user_get(struct domain *d, const struct tailnet *t, user_id id, struct str name,
                      struct user_state **out, struct err *err);
/* Takes `with`, which replaces the user if it says anything else; his nodes and keys follow. */
void user_replace(struct domain *d, struct user_state *s, struct user *with);
/* With an id of its own; to be filled in, then user_add. */
struct user *user_make(struct domain *d, const struct tailnet *t);
/* Takes it, and tells it. */
void user_add(struct domain *d, struct tailnet *t, struct user *u);
void user_set_text(struct str *field, struct str to);
/* Of what a command says of a user. */
MUST_USE int user_check_texts(const struct command *c, struct err *err);
MUST_USE int user_check_room(const struct tailnet *t, struct err *err);
/* -ERR_CONFLICT: nobody who is active would own the tailnet any more. */
MUST_USE int user_check_not_last_owner(const struct user_state *s, struct err *err);
/* Whether there is such a user, who is active. */
bool user_is_active(const struct domain *d, user_id id);

/* ---- accounts.c ---- */

int user_login(struct domain *d, const struct command *c, struct command_result *r,
               struct err *err);
int login_choices(struct domain *d, const struct command *c, struct command_result *r,
                  struct err *err);
/* The user's identity is in the index, or is not any more. */
void account_add(struct domain *d, struct user_state *s);
void account_remove(struct domain *d, struct user_state *s);
/* The member that the identity is in the tailnet, or NULL. */
struct user_state *account_find(const struct domain *d, const struct tailnet *t,
                                struct str provider_id);
MUST_USE int account_check_identity(const struct command *c, struct err *err);
/*
 * The member (NULL: a new one, with this role) as the command says who he is, with this status; in
 * the result. There must be room.
 */
void account_settle(struct domain *d, struct tailnet *t, struct user_state *s,
                    const struct command *c, enum user_role role, enum user_status status,
                    struct command_result *r);

/* ---- invitations.c ---- */

void invitations_init(struct invitations *all);
/* And the states, of which each invitation is the head. */
void invitations_fini(struct invitations *all);
/* expiry_ms 0: it does not end by itself. */
void invitation_add(struct domain *d, struct invitations *all, struct invitation *i,
                    int64_t expiry_ms);
/* Frees its state. */
void invitation_remove(struct domain *d, struct invitations *all, struct invitation *i);
bool invitation_is_there(const struct invitations *all, uint64_t id, const uint8_t hash[32]);
/* The one that the command names, of its tailnet, which the command is then about. */
MUST_USE int invitation_get(struct domain *d, const struct invitations *all,
                            const struct command *c, struct invitation **out, struct err *err);
/* By the text of its link; NULL. Whether it is good for anything now its kind says. */
struct invitation *invitation_find(const struct invitations *all, struct str kind, struct str text);
/* A new secret, to be shown once, and its hash. */
MUST_USE struct str invitation_secret(struct str kind, uint8_t hash[32]);

/* ---- user_invites.c ---- */

int user_invite_make(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err);
int user_invite_revoke(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err);
int user_invite_accept(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err);
void user_invite_add(struct domain *d, const struct user_invite *invite);
void user_invite_remove(struct domain *d, struct user_invite_state *s);
/* The inviter goes; 0: the tailnet, with all of them. */
void user_invites_drop(struct domain *d, struct tailnet *t, user_id inviter);

/* ---- holds.c ---- */

int user_approve(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int user_suspend(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int user_restore(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int node_approve(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
/* What holds a node of this owner, as far as that is his affair; 0: tags own it. */
unsigned holds_of_owner(const struct domain *d, user_id owner);
/* Of one who is not active, for people. */
const char *user_inactive_text(const struct user *u);
/* These of enum node_hold and no others hold it from now on. */
void node_set_holds(struct domain *d, struct node_state *s, unsigned holds);
/* It has another owner. */
void node_follow_owner(struct domain *d, struct node_state *s);
/* The user's status changed. */
void holds_user_changed(struct domain *d, const struct user_state *s);
/* The tailnet's settings changed: where machines need nobody to approve them, none waits. */
void holds_info_changed(struct domain *d, struct tailnet *t);
bool is_approval_asked(const struct tailnet *t);

/* ---- auth_keys.c ---- */

int auth_key_create(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
int auth_key_expire(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
int auth_key_delete(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
int auth_key_revoke(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
/*
 * The key a client presents, or NULL. *unproven: it is the key if its bcrypt hash says so, which
 * nobody checked yet.
 */
struct auth_key_state *auth_key_find(const struct domain *d, struct str text, auth_key_id proven,
                                     bool *unproven);
void auth_key_spend(struct domain *d, struct auth_key_state *k);
void auth_key_put(struct domain *d, struct tailnet *t, const struct auth_key *key);
void auth_key_remove(struct domain *d, struct auth_key_state *k);
/* Sorts and copies; -ERR_INVALID with headscale's words. */
MUST_USE int tags_check(const struct str_list *tags, struct str_list *sorted, struct err *err);

/* ---- api_keys.c ---- */

int api_key_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int api_key_expire(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int api_key_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int api_key_seen(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
void api_keys_init(struct domain *d);
void api_keys_fini(struct domain *d);
/* Those of the tailnet, or of one of its users; 0: any user. */
void api_keys_remove_of(struct domain *d, tailnet_id tailnet, user_id user);
/* The user's status changed: his keys open nothing while he is not active. */
void api_keys_follow_user(struct domain *d, const struct user_state *s);
/* When one that goes by itself ends. */
struct api_key_end {
    struct deadline deadline;
    api_key_id id;
};
void api_key_ended(struct domain *d, struct api_key_end *end);
/* A new one with a prefix nobody has; text goes to r->secret. Then api_key_add, which tells it. */
struct api_key *api_key_make(struct domain *d, enum api_key_kind kind, struct command_result *r);
void api_key_add(struct domain *d, struct api_key *k, struct command_result *r);
/* Takes `with`, another version of one that is there. mask as of CHANGE_API_KEY. */
void api_key_replace(struct domain *d, struct api_key *with, unsigned mask,
                     struct command_result *r);
void api_key_remove(struct domain *d, const struct api_key *k);
/* Of so many of the kind that one client or user (the other 0) may have, the oldest goes when there
 * is no room for one more. */
void api_key_make_room(struct domain *d, enum api_key_kind kind, api_key_id client, user_id user,
                       size_t max);
MUST_USE int api_key_check_note(struct str text, struct err *err);
MUST_USE int api_key_check_scopes(const struct str_list *scopes, struct err *err);

/* ---- oauth.c, sessions.c ---- */

int oauth_client_create(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
int oauth_client_update(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
int oauth_client_delete(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
int oauth_token_create(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err);
int session_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int session_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);

/* ---- webhooks.c ---- */

int webhook_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int webhook_update(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int webhook_rotate(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int webhook_test(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int webhook_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
/* The tailnet goes. */
void webhooks_remove_all(struct domain *d, struct tailnet *t);
/* The node's expiry changed; `is_start`: the server was away. */
void expiring_schedule(struct domain *d, struct node_state *s, bool is_start);

/* ---- shares.c, share_invites.c ---- */

int share_create(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int share_accept(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int share_update(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int share_revoke(struct domain *d, const struct command *c, struct command_result *r,
                 struct err *err);
int share_invite_make(struct domain *d, const struct command *c, struct command_result *r,
                      struct err *err);
int share_invite_revoke(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
int share_invite_accept(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
void shares_init(struct domain *d);
void shares_fini(struct domain *d);
/* In force between these two now, or NULL. user 0: for the whole tailnet. */
const struct share *share_in_force(const struct domain *d, node_id node, tailnet_id guest,
                                   user_id user);
struct share_state *share_find(const struct domain *d, node_id node, tailnet_id guest,
                               user_id user);
/* Takes the share, which was checked; emits nothing. */
struct share_state *share_add(struct domain *d, const struct share *share);
/* Puts it in force, or out of it, as it and its tailnets are now. */
void share_settle(struct domain *d, struct share_state *s);
void share_remove(struct domain *d, struct share_state *s);
MUST_USE int share_check_room(const struct tailnet *owner, struct err *err);
/* What lends it, or invites to it, goes; nothing covers it from now on. */
void shares_drop_node(struct domain *d, struct node_state *s);
/* What is lent to the user goes, and what he invites to; what he lent stays. */
void shares_drop_user(struct domain *d, struct user_state *u);
void shares_drop_tailnet(struct domain *d, struct tailnet *t);
/* The tailnet's info, or the user, changed. */
void shares_resettle(struct domain *d, struct tailnet *t);
void invite_remove(struct domain *d, struct invite_state *s);
void invite_add(struct domain *d, const struct share_invite *invite);
/* To the node and by the sharer; 0: to whichever, by whomever. */
void invites_drop(struct domain *d, struct tailnet *t, node_id node, user_id sharer);

/* ---- guests.c ---- */

/* The share came in force, or is about to go: its nodes become guests, or cease to be. */
void guests_share(struct domain *d, const struct share_state *s, bool is_in_force);
/* Whose devices the shares cover may be otherwise: the node is new, has another owner, or is held
 * or not any more. */
void guests_node(struct domain *d, struct node_state *s);
/* The node is as the table has it now: its guests follow. mask as of CHANGE_NODE. */
void guests_publish_node(struct domain *d, struct node_state *s, unsigned mask);
void guests_publish_new(struct domain *d);
/* The node's own address of that family changed. */
void guests_readdress(struct domain *d, struct node_state *s);
void guests_user_changed(struct domain *d, user_id id);
void guests_user_gone(struct domain *d, struct user_state *u);
struct outside *outside_of(struct node_state *s);
void outside_free(struct domain *d, struct node_state *s);
/* One of the reasons why a tailnet knows the user comes, or goes. */
void guest_user_known(struct domain *d, user_id id, struct tailnet *in, bool add);
/* True: it was the first reason, or the last. */
bool knowers_add(struct knowers *k, struct tailnet *in);
bool knowers_drop(struct knowers *k, const struct tailnet *in);

/* ---- guest_infos.c ---- */

void guests_info_changed(struct domain *d, struct tailnet *t);
/* One of the reasons why `in` knows of a tailnet comes, or goes. */
void guest_info_known(struct domain *d, struct tailnet *of, struct tailnet *in, bool add);
/* The region where a guest is at home, by its number there; 0: none. */
uint32_t guest_home(const struct stay *stay);
/* Who was marked learns what is new; at the end of a command, before new guests are told. */
void guest_infos_settle(struct domain *d);

/* ---- abroad.c ---- */

int node_set_abroad(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
/* Items that no share covers any more go, the others get the terms that hold now. */
void abroad_recheck(struct domain *d, struct node_state *s);
/* Likewise in those that have an item for it. */
void abroad_recheck_users(struct domain *d, struct node_state *s);
/* Aliases and is_lent are brought up to date. */
void abroad_refresh(struct domain *d, struct node_state *s);

/* ---- nodes.c: states, indexes, drafts ---- */

/* The node as the running command has it. */
const struct node *node_now(const struct node_state *s);
struct node *node_edit(struct domain *d, struct node_state *s, unsigned mask);
/* Makes the drafts the nodes and emits their changes. */
void nodes_publish(struct domain *d);
/* A state for a node not in the domain yet, with its draft (taken); indexed by all but its name. */
struct node_state *node_add(struct domain *d, struct tailnet *t, struct node *draft);
void node_remove(struct domain *d, struct node_state *s);
void node_state_free(struct domain *d, struct node_state *s);
void node_set_key(struct domain *d, struct node_state *s, const struct node_key *key);
/* user 0: tags own it. */
void node_set_owner(struct domain *d, struct node_state *s, user_id user,
                    const struct str_list *tags);
void node_set_auth_key(struct domain *d, struct node_state *s, auth_key_id key);
void node_set_expiry(struct domain *d, struct node_state *s, int64_t expiry_ms);
/* Name, routes and masks follow. Refers to `facts`. */
void node_set_facts(struct domain *d, struct node_state *s, struct node_facts *facts);
struct node_state *node_state_by_key(const struct domain *d, const struct node_key *key);
struct node_state *node_state_by_id(const struct domain *d, node_id id);
bool facts_same_routes(const struct node_facts *a, const struct node_facts *b);
MUST_USE int facts_check(const struct node_facts *facts, struct err *err);
bool node_has_expired(const struct node *n, int64_t now_ms);

/* ---- node_commands.c ---- */

int node_rename(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int node_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int node_expire(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int node_move(struct domain *d, const struct command *c, struct command_result *r, struct err *err);
int nodes_backfill(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int node_tag(struct domain *d, const struct command *c, struct command_result *r, struct err *err);
/* The node of the command, which is then about it. */
MUST_USE int node_get(struct domain *d, const struct command *c, struct node_state **out,
                      struct err *err);
int node_set_address(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err);
int node_attribute_set(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err);
int node_attribute_delete(struct domain *d, const struct command *c, struct command_result *r,
                          struct err *err);
/* Sets the deadline of the attribute that ends first; takes those that have ended. */
void attributes_schedule(struct domain *d, struct node_state *s);
void attributes_expire(struct domain *d, struct node_state *s);
int node_approve_routes(struct domain *d, const struct command *c, struct command_result *r,
                        struct err *err);
int node_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);

/* ---- register.c, pending.c ---- */

int register_node(struct domain *d, const struct command *c, struct command_result *r,
                  struct err *err);
int register_approve(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err);
int register_reject(struct domain *d, const struct command *c, struct command_result *r,
                    struct err *err);
int register_fabricate(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err);
void pending_set_init(struct pending_set *set);
void pending_set_fini(struct domain *d);
struct pending *pending_find(const struct domain *d, struct str auth_id);
/* The one of these keys, refreshed, or a new one with this id; NULL: a random one. */
struct pending *pending_ask(struct domain *d, const struct register_request *reg,
                            const char *auth_id);
void pending_decided(struct domain *d, struct tailnet *t, const struct pending *p);
void pending_remove(struct domain *d, struct pending *p);

/* ---- online.c ---- */

int node_stream_open(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err);
int node_stream_close(struct domain *d, const struct command *c, struct command_result *r,
                      struct err *err);
int node_probed(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int domain_tick(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
/* Starts or stops waiting for the node's end, as it is ephemeral and has a stream or not. */
void ephemeral_schedule(struct domain *d, struct node_state *s, int64_t from_ms);
/* The stream that lives must end. */
void stream_end(struct domain *d, struct node_state *s);

/* ---- routes.c ---- */

/* Announcement or approval changed: what the node may serve, and whether it is an exit node. */
void routes_update_node(struct domain *d, struct node_state *s);
/*
 * Approves what the node announces and the policy approves by itself; takes nothing back. When
 * announcement, owner or tags changed, or the policy.
 */
void routes_auto_approve(struct domain *d, struct node_state *s);
/* Online or expired changed. */
void routes_touch_node(struct domain *d, struct node_state *s);
/* The node goes: it is no candidate any more. */
void routes_drop_node(struct domain *d, struct node_state *s);
/* Decides every touched route anew. */
void routes_elect(struct domain *d);
void routes_free(struct tailnet *t);

/* ---- addresses.c ---- */

/* Finds a free address of each family the tailnet has. Nothing is taken yet. */
MUST_USE int addresses_find(const struct domain *d, const struct tailnet *t, struct ip_addr *v4,
                            struct ip_addr *v6, struct err *err);
/* A free one of the family; false: there is none, or the tailnet does not give that family. */
MUST_USE bool address_find(const struct domain *d, const struct tailnet *t, uint8_t family,
                           struct ip_addr *out);
/* Whether it may be given: no other's, not reserved, neither end of the prefix. */
bool address_is_free(const struct domain *d, const struct tailnet *t, struct ip_prefix p,
                     struct ip_addr addr);
/* Who has the address where the tailnet looks: over the server, or within a tailnet that gives
 * addresses whoever else has them. NULL: nobody. */
struct node_state *address_holder(const struct domain *d, const struct tailnet *t,
                                  const struct ip_addr *addr);
/* One of the tailnet's for a guest whose own is taken there, by the guest's id the same whenever it
 * is free; false: there is none. */
MUST_USE bool address_find_alias(const struct domain *d, const struct tailnet *t, uint8_t family,
                                 node_id guest, struct ip_addr *out);
/* In place of what the node had of that family; unset: none from now on. */
void address_set(struct domain *d, struct node_state *s, uint8_t family, struct ip_addr addr);
void addresses_take(struct domain *d, struct node_state *s);
void addresses_free(struct domain *d, const struct node_state *s);

/* ---- names.c ---- */

struct node_state *name_find(const struct tailnet *t, struct str label);
/* Gives the node a free name made from its host name. */
void name_give_auto(struct domain *d, struct node_state *s);
void name_give(struct domain *d, struct node_state *s, struct str label, bool is_auto);
/* Puts the node's name in the index; false: somebody has it. */
MUST_USE bool name_take(struct tailnet *t, struct node_state *s, struct str label);
void name_release(struct tailnet *t, const struct node_state *s, struct str label);
void name_make_fqdn(struct node *n, const struct tailnet_info *info);
void names_free(struct tailnet *t);
