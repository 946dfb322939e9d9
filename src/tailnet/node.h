#pragma once

/*
 * A node: a machine in a tailnet, as it stood at one revision.
 *
 * Immutable and counted once it is in a view: a change makes a new one. Any thread may read it
 * while it holds a reference, or a reference to the view it is in.
 */

#include "core/buf.h"
#include "core/mem.h"
#include "core/str.h"
#include "crypto/keys.h"
#include "ip/addr.h"
#include "ip/addrport.h"
#include "ip/prefix.h"
#include "tailnet/attributes.h"
#include "tailnet/share.h"
#include "tailnet/types.h"

/* What the client says of its machine. Counted, shared by the node's versions. All strings owned.
 */
struct node_facts {
    struct ref ref;
    struct str hostinfo;      /* the whole JSON object, as sent; "{}" when nothing was */
    struct str hostinfo_peer; /* JSON object: the part peers may see (made by wire/) */
    struct str hostname;      /* raw, as sent */
    struct str os;
    struct str ipn_version;
    struct ip_prefix *routes; /* announced (Hostinfo.RoutableIPs), sorted, unique, masked */
    size_t n_routes;
    struct str_list request_tags;
};
MUST_USE struct node_facts *node_facts_new(void);
struct node_facts *node_facts_ref(struct node_facts *f);
void node_facts_unref(struct node_facts *f);

struct node {
    struct ref ref;
    node_id id;
    tailnet_id tailnet;
    struct str stable_id; /* opaque to everyone, never changes */

    user_id user;         /* 0: tagged, belongs to nobody */
    struct str_list tags; /* sorted, unique; non-empty iff user is 0 */
    enum register_method method;
    auth_key_id auth_key; /* the key it was registered with, 0: none or since deleted */
    bool ephemeral;
    unsigned holds; /* enum node_hold; 0: it has access */

    struct machine_key machine;
    struct node_key key;
    struct disco_key disco;
    struct nl_key nl;

    struct str given_name; /* the DNS label peers use */
    bool name_is_auto;     /* follows the host name until an administrator renames it */
    struct str fqdn;       /* with the trailing dot */
    struct ip_addr v4;     /* family 0: none */
    struct ip_addr v6;

    int64_t created_ms;   /* unix times */
    int64_t expiry_ms;    /* of the node key; 0: never */
    int64_t last_seen_ms; /* 0: unknown */
    bool expired;         /* expiry_ms has passed */
    bool online;          /* a map stream lives, or ended less than OFFLINE_GRACE_MS ago */
    uint32_t capver;      /* 0: not known yet */

    struct node_facts *facts; /* never NULL */
    struct ip_addrport *endpoints;
    uint8_t *endpoint_types; /* parallel; protocol.md 6.1 */
    size_t n_endpoints;
    uint32_t home_derp; /* region; 0: not known */

    struct ip_prefix *approved; /* routes an administrator approved, sorted, unique */
    size_t n_approved;
    struct ip_prefix *serving; /* subnet routes it is primary for; sorted. Part of AllowedIPs */
    size_t n_serving;
    struct node_attribute *attributes; /* custom ones, by name; for policies only */
    size_t n_attributes;
    bool exit_node;              /* announces and has approved 0.0.0.0/0 and ::/0 */
    const struct abroad *abroad; /* counted; NULL: it has to do with its own tailnet only */

    /*
     * Encodings made from this node, filled in by netmap/ on first use from any thread: each slot
     * goes from NULL to a blob once and stays. They go with the node.
     */
    _Atomic(struct blob *) slots[2];
};

struct node *node_ref(const struct node *n);
void node_unref(const struct node *n);
/* A copy to change before it is published; slots empty, count 1. */
MUST_USE struct node *node_clone(const struct node *n);
/* The slot's blob, borrowed, or NULL. */
struct blob *node_slot_get(const struct node *n, size_t slot);
/* Puts `b` (taken) in the slot unless somebody was faster; returns what the slot now holds,
 * borrowed. */
struct blob *node_slot_fill(const struct node *n, size_t slot, struct blob *b);
bool node_is_tagged(const struct node *n);
/* Whether nothing holds it back: else it is nobody's peer and has none. */
bool node_has_access(const struct node *n);
/* The whole name without the dot at its end; borrowed. */
struct str node_dns_name(const struct node *n);
DEFINE_AUTO(const struct node, node_unref);
