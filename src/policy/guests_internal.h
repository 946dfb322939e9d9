#pragma once

/*
 * Guests: nodes of other tailnets that shares bring here (policy.h tells what they are to rules).
 *
 * Shapes, classes of shapes, sums and rows know the tailnet's own nodes only, whether there are
 * guests or not. What guests lead to lies over them:
 *
 *   guest   a node of another tailnet: the selectors that have it, its routes, its `abroad`
 *   local   an own node that guests have to do with, by its `abroad` or by theirs
 *   visit   one of each that see each other: who of them may begin connections
 *   class   numbers from GUEST_CLASS on: guests, and in place of their classes of the shape,
 *           locals; one for all whose abroad says the same, one for each that is lent or has
 * aliases
 *
 * Invariants
 *   1. Whatever a class says is written in its key; a number is never used for another key under
 *      the same sights (policy_sights), so that what two classes see of each other is for ever.
 *   2. A guest is a source of an own node's filter by rules of its own and by nothing else: its
 *      addresses are cut out of whatever else is listed there.
 */

#include "policy/reach_internal.h"

/* Above any class of a shape. */
#define GUEST_CLASS (UINT32_C(1) << 30)

struct guest {
    node_id id;
    struct ip_addr v4, v6;
    struct picks picks; /* SELECTOR_USER, SELECTOR_DOMAIN, SELECTOR_TAILNET, autogroup:shared */
    struct ip_prefix *routes; /* announced and approved, no exit routes; sorted */
    size_t n_routes;
    struct ip_prefix *serving; /* sorted */
    size_t n_serving;
    bool exit_v4, exit_v6;
    const struct abroad *abroad; /* counted */
    uint32_t cls;
};

struct visit {
    uint32_t guest;
    const struct abroad_item *in;  /* the guest may begin connections; NULL: it may not */
    const struct abroad_item *out; /* the local may */
};

struct local {
    node_id id;
    uint32_t base; /* its class of the shape */
    const struct abroad *abroad;
    struct visit *visits; /* by guest */
    size_t n_visits;
    uint32_t cls;
};

struct guest_class {
    uint32_t id;
    uint32_t base; /* 0: of guests */
    node_id node;  /* it alone is in it; 0: whoever says the same */
    const struct abroad *abroad;
    struct str key;
};

struct guests {
    struct ref ref;
    struct arena *arena;
    uint64_t sights;     /* of the shape it lies over */
    struct guest *items; /* by id */
    size_t len;
    struct local *locals; /* by id */
    size_t n_locals;
    struct guest_class *classes; /* by id */
    size_t n_classes;
    struct map *class_ids; /* key -> struct guest_class */
    node_id *routers;      /* guests with routes or exit, by id */
    size_t n_routers;
    struct policy_mark routes_mark;
};

/*
 * What lies over the policy, whose members are there: `before` is what lay over the policy before,
 * returned itself, counted, when nothing has changed. NULL: there are no guests.
 */
MUST_USE const struct guests *guests_new(const struct policy *p, const struct policy_input *in,
                                         const struct guests *before);
const struct guests *guests_ref(const struct guests *g); /* NULL is fine */
void guests_unref(const struct guests *g);               /* NULL is fine */

/* NULL: no such guest; without guests too. */
const struct guest *guest_find(const struct policy *p, node_id id);
const struct guest *guest_at(const struct policy *p, struct ip_addr addr); /* O(guests) */
const struct local *local_find(const struct policy *p, node_id id);
const struct guest_class *guest_class_find(const struct policy *p, uint32_t cls);
/* Their meeting, NULL: they do not see each other. */
const struct visit *visit_find(const struct policy *p, node_id own, node_id guest);

/* ---- match.c ---- */

/* Selectors of identity that have a guest of that owner (NULL: none) from that tailnet; sorted, in
 * the arena. */
void matcher_guest(const struct matcher *m, const struct user *owner, struct str tailnet,
                   struct arena *arena, struct picks *out);

/* ---- guest_rules.c ---- */

enum { GUEST_V4 = 1, GUEST_V6 = 2 };
/* By which of its addresses the source has the guest. */
unsigned source_guest(const struct policy *p, const struct source *src, const struct guest *g);
/* Whether the selector has the guest, by an address at least. */
bool selector_has_guest(const struct policy_selector *s, const struct guest *g);

/* Where something may be reached, and at which ports. */
struct doors {
    struct ip_range *ranges;
    size_t n_ranges;
    size_t cap_ranges;
    struct ip_ports *ports;
    size_t n_ports;
    size_t cap_ports;
};
void doors_fini(struct doors *d);
/* What of the link's destination is the member's, as far as the terms go. False: nothing. */
bool doors_of_member(struct doors *d, const struct policy *p, const struct policy_link *l,
                     const struct link_dst *dst, const struct member *m,
                     const struct share_terms *terms);
/* Whether the rules let the guest in at an address of the member or behind it. */
bool guest_lets_in(const struct policy *p, const struct member *at, const struct visit *v,
                   struct ip_addr src, struct ip_addr dst, int proto, uint16_t port);
/* Whether they let the member go to an address of the guest or behind it. */
bool guest_lets_out(const struct policy *p, const struct member *from, const struct visit *v,
                    struct ip_addr src, struct ip_addr dst, int proto, uint16_t port);
/* Routes of the guest for whoever is in the class; as policy_class_routes. */
size_t guest_routes(const struct policy *p, const struct guest_class *viewer, const struct guest *g,
                    struct ip_prefix *out, size_t max);
