#pragma once

/*
 * The domain: every tailnet with its users, keys and nodes, and the rules that hold between them.
 * One thread owns it; commands are applied one after the other, each whole or not at all.
 *
 * It keeps its look-up tables (by node key, machine key, address, name, auth id) beside the views,
 * and never waits: no disk, no network, no clock, no locks. What happened is appended to a change
 * list.
 *
 * Invariants
 *   1. Addresses are unique over the server; given names within a tailnet; node keys over the
 * server.
 *   2. node.user is 0 iff node.tags is not empty.
 *   3. A refused command changes nothing and adds no change.
 *   4. A subnet route is served by at most one node of a tailnet: an online one, if any is.
 *   5. Revisions of a tailnet rise by one with every change.
 */

#include "tailnet/command.h"

struct domain;

MUST_USE struct domain *domain_new(void);
void domain_free(struct domain *d);

/* Applies one command. Negative: refused, nothing changed. changes is appended to, result is set on
 * 0. */
MUST_USE int domain_apply(struct domain *d, const struct command *c, struct change_list *changes,
                          struct command_result *result, struct err *err);

/* The tailnet as it stands (counted), or NULL. 0 means the first tailnet. */
const struct tailnet_view *domain_view(struct domain *d, tailnet_id id);
const struct tailnet_view *domain_view_by_name(struct domain *d, struct str name);
size_t domain_tailnet_ids(const struct domain *d, tailnet_id *out, size_t max);
/* Every one, by rising id; mem_free. Never NULL. */
MUST_USE tailnet_id *domain_all_tailnets(const struct domain *d, size_t *n);
/* The same of those that have webhooks; NULL when none has. */
MUST_USE tailnet_id *domain_webhook_tailnets(const struct domain *d, size_t *n);

/*
 * Look-ups by what a client presents; borrowed until the next command, NULL when unknown. A node is
 * found by its current key only.
 */
const struct node *domain_node_by_key(const struct domain *d, const struct node_key *key);
const struct node *domain_node_by_id(const struct domain *d, node_id id);
/* The host name and keys of a pending registration, for the approval page; false if unknown. */
struct pending_info {
    struct str hostname; /* borrowed until the next command */
    struct str os;
    struct machine_key machine;
    /* The node that the machine says it was or is, if it has one: it logs in again. 0: none. */
    tailnet_id tailnet;
    user_id user; /* its owner; 0: tags own it */
};
bool domain_pending_find(const struct domain *d, struct str auth_id, struct pending_info *out);
/*
 * Who serves, or could, a subnet that another node with a living stream could serve, too: whom it
 * is worth asking whether he is still there. A node comes once for each such subnet. O(subnets of
 * several candidates).
 */
struct domain_ha_node {
    tailnet_id tailnet;
    node_id node;
    uint64_t generation; /* of its stream */
    int64_t opened_ms;   /* unix: when that began */
    bool is_silent;      /* as COMMAND_NODE_PROBED said last */
};
void domain_each_ha_node(const struct domain *d,
                         void (*each)(void *user, const struct domain_ha_node *n), void *user);
/*
 * What the tailnet's policy, which nobody here reads, makes of its relay regions: those it adds or
 * has in place of others, ones without relays that it takes away, and whether it takes all others
 * away. Those who have its machines as guests are told; in what follows goes to `changes`. Forgotten
 * when the domain is loaded anew.
 */
struct policy_relays {
    const struct derp_region *regions;
    size_t n;
    bool omits_others;
};
void domain_tell_relays(struct domain *d, tailnet_id id, const struct policy_relays *relays,
                        struct change_list *changes);
/* The invitation of a person that has this secret, if it is good for something at that time;
 * borrowed until the next command. NULL: else. */
const struct user_invite *domain_user_invite_find(const struct domain *d, struct str secret,
                                                  int64_t now_ms);
/* Every API key of the server as it stands; counted. */
const struct api_key_set *domain_api_keys(struct domain *d);
/* How long revoked auth keys are kept; REVOKED_RETENTION_MS if nobody says, 0: for ever. */
void domain_set_revoked_retention(struct domain *d, int64_t ms);
int64_t domain_revoked_retention(const struct domain *d);
/* Of registrations to come: how long they wait, and how many may. PENDING_MS and PENDING_MAX at
 * first. */
struct pending_limits {
    int64_t ms;
    size_t max;
};
void domain_set_pending_limits(struct domain *d, struct pending_limits limits);
struct pending_limits domain_pending_limits(const struct domain *d);
/* What tailnets made from now on begin with, unless more is said of them; none at first. */
void domain_set_new_quotas(struct domain *d, struct quotas quotas);
struct quotas domain_new_quotas(const struct domain *d);
/* How many types of commands there are; tests walk them. */
size_t domain_command_types(void);
/* The id of the next entry in the audit log, taken. */
uint64_t domain_take_audit_id(struct domain *d);
/* Likewise of the next event for a webhook. */
uint64_t domain_take_event_id(struct domain *d);
/* Of all tailnets. */
size_t domain_webhook_count(const struct domain *d);
/* When the next COMMAND_TICK is due (unix ms), or INT64_MAX. */
int64_t domain_next_tick_ms(const struct domain *d);

/* Start-up: the store puts back what it has, tailnets first, then users, keys, nodes. Takes the
 * references. */
MUST_USE int domain_load_tailnet(struct domain *d, struct tailnet_info *info, uint64_t revision,
                                 struct err *err);
MUST_USE int domain_load_user(struct domain *d, struct user *user, struct err *err);
MUST_USE int domain_load_auth_key(struct domain *d, struct auth_key *key, struct err *err);
MUST_USE int domain_load_api_key(struct domain *d, struct api_key *key, struct err *err);
MUST_USE int domain_load_webhook(struct domain *d, struct webhook *webhook, struct err *err);
MUST_USE int domain_load_node(struct domain *d, struct node *node, struct err *err);
/* After all nodes. */
MUST_USE int domain_load_share(struct domain *d, struct share *share, struct err *err);
MUST_USE int domain_load_share_invite(struct domain *d, struct share_invite *invite,
                                      struct err *err);
MUST_USE int domain_load_user_invite(struct domain *d, struct user_invite *invite, struct err *err);
/* Free addresses for a node that is to be loaded without; nothing is taken before it is. */
MUST_USE int domain_load_find_addresses(struct domain *d, tailnet_id tailnet, struct ip_addr *v4,
                                        struct ip_addr *v6, struct err *err);
/* The smallest ids not used before; the store keeps the highest ever given. */
struct domain_counters {
    uint64_t tailnet;
    uint64_t user;
    uint64_t auth_key;
    uint64_t node;
    uint64_t api_key;
    uint64_t audit;
    uint64_t webhook;
    uint64_t event; /* for webhooks */
    uint64_t share;
    uint64_t share_invite;
    uint64_t user_invite;
};
void domain_load_counters(struct domain *d, const struct domain_counters *next);
struct domain_counters domain_counters(const struct domain *d);
/* After the last load: elects routes, schedules ephemeral nodes; now is unix. */
void domain_load_done(struct domain *d, int64_t now_ms);

/*
 * What the policy has to say about tags and routes; without it every well-formed tag is allowed and
 * no route is approved by itself. Called while a command is applied, on the domain's thread; must
 * not call back into it.
 */
struct domain_policy_hooks {
    /* Whether an administrator may put the tag on a node of the tailnet. NULL: any. */
    bool (*tag_is_defined)(void *user, tailnet_id tailnet, struct str tag);
    /*
     * Whether `owner` may give the tag to a machine that registers and asks for it. `existing` is
     * the node that would be re-used, or NULL. NULL: any.
     */
    bool (*tag_may_be_requested)(void *user, tailnet_id tailnet, const struct user *owner,
                                 const struct node *existing, struct str tag);
    /*
     * Whether a route that the node announces needs nobody to approve it. `node` is as the command
     * makes it; `owner` is NULL for a tagged one. NULL: none.
     */
    bool (*route_is_approved)(void *user, tailnet_id tailnet, const struct node *node,
                              const struct user *owner, struct ip_prefix route);
    void *user;
};
void domain_set_policy_hooks(struct domain *d, const struct domain_policy_hooks *hooks);
