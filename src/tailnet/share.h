#pragma once

/*
 * Machines lent to other tailnets. A *share* lends one node of a tailnet (the owner's) to a user of
 * another tailnet, or to all of it (the guest's); an *invitation* is a link that makes one.
 *
 *   invitation --used by a user of another tailnet--> share --accepted there--> in force
 *   operator, or an administrator of both ------------> share, in force at once
 *
 * What a share in force leads to, tailnet by tailnet (nothing of it is stored):
 *
 *   guests   in each of the two views, the other's nodes that the share is about, as they stand:
 *            in the guest tailnet the lent node, in the owner's the devices that may come
 *   abroad   what a node may use of the other tailnet: which of its guests, and how far. It is what
 *            the share allows and both policies agree to
 *
 * Immutable and counted, like nodes. A share is in the views of both its tailnets.
 */

#include "core/err.h"
#include "core/mem.h"
#include "core/str.h"
#include "ip/addr.h"
#include "ip/prefix.h"
#include "tailnet/types.h"

#define TAILNET_SHARES_MAX 10000 /* lent by one tailnet, invitations too */
#define SHARE_ROUTES_MAX 64
#define SHARE_PORTS_MAX 32
#define SHARE_INVITE_MS ((int64_t)30 * 24 * 3600 * 1000) /* unless told otherwise */

/* Ports of TCP and UDP (and SCTP), both ends inclusive. */
struct share_ports {
    uint16_t first;
    uint16_t last;
};

/* How far a share goes; {0}: the node itself, all ports, one way. */
struct share_terms {
    bool exit_node;           /* it may be used as an exit node */
    bool all_routes;          /* and for every subnet route it serves */
    bool two_way;             /* it may begin connections, too: the quarantine is lifted */
    struct ip_prefix *routes; /* or for these; sorted, unique, masked; owned */
    size_t n_routes;
    struct share_ports *ports; /* only these, in either direction; none: all. Sorted, disjoint;
                                  owned */
    size_t n_ports;
};
void share_terms_copy(struct share_terms *to, const struct share_terms *from);
void share_terms_fini(struct share_terms *t);
bool share_terms_eq(const struct share_terms *a, const struct share_terms *b);
/* What is allowed by any of the two is. */
void share_terms_add(struct share_terms *to, const struct share_terms *more);
/* Sorts and merges; -ERR_INVALID or -ERR_LIMIT when they mean nothing. */
MUST_USE int share_terms_check(struct share_terms *t, struct err *err);

struct share {
    struct ref ref;
    share_id id;
    tailnet_id owner;
    node_id node;
    user_id sharer; /* of the owner's tailnet; 0: an operator */
    tailnet_id guest;
    user_id user; /* of the guest's tailnet; 0: all of it */
    struct share_terms terms;
    int64_t created_ms;
    int64_t accepted_ms; /* 0: it waits, and nothing is lent */
    int64_t expiry_ms;   /* 0: never */
};
MUST_USE struct share *share_new(void);
MUST_USE struct share *share_clone(const struct share *s);
struct share *share_ref(const struct share *s);
void share_unref(const struct share *s);
DEFINE_AUTO(const struct share, share_unref);

/* How the secret's text begins (crypto/secret.h). */
#define SHARE_INVITE_KIND STR("hskey-share-")

/* A link. Its secret is told once and kept as a hash. Of the owner's view only. */
struct share_invite {
    struct ref ref;
    share_invite_id id;
    tailnet_id tailnet;
    node_id node;
    user_id sharer;     /* 0: an operator */
    bool whole_tailnet; /* else whoever accepts it for himself */
    struct share_terms terms;
    int64_t share_expiry_ms; /* of the shares it makes; 0: never */
    uint8_t hash[32];        /* SHA-256 of the secret */
    uint32_t uses_left;      /* at least 1 */
    uint32_t uses;           /* so far */
    int64_t created_ms;
    int64_t expiry_ms; /* of the link */
};
MUST_USE struct share_invite *share_invite_new(void);
MUST_USE struct share_invite *share_invite_clone(const struct share_invite *i);
struct share_invite *share_invite_ref(const struct share_invite *i);
void share_invite_unref(const struct share_invite *i);
DEFINE_AUTO(const struct share_invite, share_invite_unref);

/*
 * What a node has to do with other tailnets; counted, shared by the node's versions and by how it
 * stands as a guest elsewhere. NULL on a node: nothing.
 */
struct abroad_item {
    node_id node;             /* of another tailnet: it may begin connections to this one */
    tailnet_id tailnet;       /* whose that is */
    user_id sharer;           /* who lent it; 0: an operator, or it is not lent but a guest's
                                 device that two_way opens */
    struct share_terms terms; /* how far, by all shares that cover the two; two_way is false: the
                                 other node has an item of its own then */
};
/* By what addresses another tailnet knows it, where they are not its own: those were taken there.
 */
struct abroad_alias {
    tailnet_id tailnet;
    struct ip_addr v4; /* family 0: its own, or none where no address was free */
    struct ip_addr v6;
};
struct abroad {
    struct ref ref;
    struct abroad_item *items; /* by node */
    size_t n_items;
    struct abroad_alias *aliases; /* by tailnet */
    size_t n_aliases;
    bool is_lent; /* some node elsewhere has it in its items */
};
MUST_USE struct abroad *abroad_new(void);
struct abroad *abroad_ref(const struct abroad *a);
void abroad_unref(const struct abroad *a); /* NULL is fine */
DEFINE_AUTO(const struct abroad, abroad_unref);
/* NULL is fine, and is equal to one that says nothing. */
bool abroad_eq(const struct abroad *a, const struct abroad *b);
/* The item for that node; NULL: it may not use it. `a` may be NULL. */
const struct abroad_item *abroad_find(const struct abroad *a, node_id node);
const struct abroad_alias *abroad_alias_find(const struct abroad *a, tailnet_id tailnet);
