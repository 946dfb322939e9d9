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
 *     +--> act: node_edit() drafts, indexes and deadlines move --> routes_elect() -->
 * nodes_publish()
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

struct tailnet {
    struct list_node tailnets_link;
    tailnet_id id;
    const struct tailnet_info *info;
    uint64_t revision;
    struct table nodes;
    struct table users;
    struct table auth_keys;
    const struct tailnet_view *view; /* of this revision, or NULL until somebody asks */

    struct map *names;       /* label -> struct node_state */
    struct map *suffixes;    /* label that collided -> struct suffix */
    struct map *local_users; /* name -> struct user_state */
    struct map *routes;      /* prefix -> struct route */
    struct ip_addr last_v4;  /* given last; family 0: none yet */
    struct ip_addr last_v6;
};

struct user_state {
    const struct user *user; /* as in the table, borrowed */
    struct tailnet *tailnet;
    size_t n_nodes;
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
    int64_t ended_ms;    /* when it ended */
    struct deadline offline, ephemeral, expiry;

    struct ip_prefix *eligible; /* announced and approved, without exit routes; sorted */
    size_t n_eligible;
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
    struct map *key_by_id;
    struct map *key_by_prefix;
    struct map *key_by_legacy; /* SHA-256 of the whole text */
    struct table api_keys;
    const struct api_key_set *api_key_set; /* as the table is, or NULL until somebody asks */
    struct map *api_key_by_prefix;         /* const struct api_key, borrowed from the table */
    int64_t revoked_retention_ms;
    struct pending_set pending;
    struct pending_limits pending_limits;
    struct schedule schedule;
    struct domain_counters next;
    uint64_t next_generation;
    struct domain_policy_hooks hooks;

    /* Of the command being applied. */
    int64_t now_ms;
    struct change_list *changes;
    struct list drafts;         /* struct node_state */
    struct list touched;        /* struct route */
    struct node_state *subject; /* the node the result is about, or NULL */
    struct tailnet *of;         /* the tailnet the result is about, or NULL */
};

/* ---- domain.c ---- */

/* NULL when there is none. 0: the first. */
struct tailnet *domain_tailnet(const struct domain *d, tailnet_id id);
MUST_USE int domain_tailnet_get(const struct domain *d, tailnet_id id, struct tailnet **out,
                                struct err *err);
/* Appends a change of `t`, raising its revision. t NULL: of no tailnet. */
void domain_emit(struct domain *d, struct tailnet *t, struct change change);
/* Takes info; its id, name and so on must have been checked. */
struct tailnet *tailnet_add(struct domain *d, const struct tailnet_info *info);
void tailnet_free(struct tailnet *t);                       /* its states must be gone */
const struct tailnet_view *tailnet_view(struct tailnet *t); /* borrowed */

/* ---- tailnets.c ---- */

int tailnet_create(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int tailnet_update(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int tailnet_delete(struct domain *d, const struct command *c, struct command_result *r,
                   struct err *err);
int policy_set(struct domain *d, const struct command *c, struct command_result *r,
               struct err *err);
MUST_USE int tailnet_info_check(const struct tailnet_info *info, struct err *err);

/* ---- users.c ---- */

int user_create(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_rename(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_update(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
int user_login(struct domain *d, const struct command *c, struct command_result *r,
               struct err *err);
int user_delete(struct domain *d, const struct command *c, struct command_result *r,
                struct err *err);
/* Takes the reference. */
void user_put(struct domain *d, struct tailnet *t, const struct user *user);
void user_remove(struct domain *d, struct user_state *u);
/* By id if there is one, else by name, which must fit one user only. */
MUST_USE int user_get(struct domain *d, const struct tailnet *t, user_id id, struct str name,
                      struct user_state **out, struct err *err);

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
/* The one of these keys, refreshed, or a new one. */
/* auth_id: the id of a new one; NULL: a random one. */
struct pending *pending_ask(struct domain *d, const struct register_request *reg,
                            const char *auth_id);
void pending_decided(struct domain *d, struct tailnet *t, const struct pending *p);
void pending_remove(struct domain *d, struct pending *p);

/* ---- online.c ---- */

int node_stream_open(struct domain *d, const struct command *c, struct command_result *r,
                     struct err *err);
int node_stream_close(struct domain *d, const struct command *c, struct command_result *r,
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
