#pragma once

/*
 * The policy language once more, for tests: as simple as can be, straight from policy.md, and
 * written without a look at the compiler. No classes, nothing kept between questions; every
 * question resolves every selector anew by asking about every node.
 *
 * What policy.md leaves open is decided here as follows:
 *   - a rule's posture narrows `*` as a source to the addresses of the nodes that have it, and the
 *     subnet routes; autogroup:danger-all stays everything;
 *   - the exit routes of a peer are shown to a viewer that some rule of the peer lets through to
 *     everything or to the internet;
 *   - of the nodes a via tag names for a route, those online come first;
 *   - an ssh rule that must be recorded where no node is a recorder rejects its sources, whatever
 * the login (so the client takes a rule that rejects);
 *   - a literal public destination does not reach the internet through an exit node by itself.
 */

#include "policy/document.h"
#include "tailnet/view.h"

/* What one rule comes to at one node. */
struct naive_rule {
    size_t number; /* grants first, then acls, from 0 */
    bool is_via;
    struct ip_set src;
    struct ip_set *dst; /* each as written: `*`, a prefix, an address */
    size_t n_dst;
    bool to_internet; /* dst came from autogroup:internet */
    /* One of three: packets, a capability, or nothing but making peers (app in a via grant). */
    bool is_packets;
    int proto; /* -1: none given */
    const struct ip_ports *ports;
    size_t n_ports;
    struct str cap;
};
struct naive_rules {
    struct naive_rule *items;
    size_t len;
};

/* The rules node `n` receives. document NULL: the tailnet was given no policy. */
void naive_rules_init(struct naive_rules *r, const struct policy_document *d,
                      const struct tailnet_view *v, const struct node *n);
void naive_rules_fini(struct naive_rules *r);
/* Whether they let the packet in. Ports count for TCP, UDP and SCTP; no protocol given means TCP,
 * UDP, ICMP and ICMPv6. */
bool naive_rules_allow(const struct naive_rules *r, struct ip_addr src, struct ip_addr dst,
                       int proto, uint16_t port);
/* Whether they give src the capability towards the node's own address dst. */
bool naive_rules_have_cap(const struct naive_rules *r, struct ip_addr src, struct ip_addr dst,
                          struct str cap);

/* Whether some node to which dst belongs, or which has it in an approved route, lets it in. */
bool naive_allows(const struct policy_document *d, const struct tailnet_view *v, struct ip_addr src,
                  struct ip_addr dst, int proto, uint16_t port);
bool naive_has_cap(const struct policy_document *d, const struct tailnet_view *v,
                   struct ip_addr src, const struct node *dst, struct str cap);
bool naive_sees(const struct policy_document *d, const struct tailnet_view *v, const struct node *a,
                const struct node *b);
/* Sorted, exit routes last; at most max. The number. */
size_t naive_peer_routes(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *viewer, const struct node *peer, struct ip_prefix *out,
                         size_t max);

enum naive_ssh { NAIVE_SSH_NONE, NAIVE_SSH_ACCEPT, NAIVE_SSH_CHECK };
enum naive_ssh naive_ssh(const struct policy_document *d, const struct tailnet_view *v,
                         const struct node *src, const struct node *dst, struct str login);
/* Whether sessions must be recorded and nobody is there to. */
bool naive_lacks_recorder(const struct policy_ssh_rule *r, const struct tailnet_view *v);
/* Of the first check rule for the pair; -1: none. */
int64_t naive_ssh_check_ms(const struct policy_document *d, const struct tailnet_view *v,
                           const struct node *src, const struct node *dst);

bool naive_has_attr(const struct policy_document *d, const struct tailnet_view *v,
                    const struct node *n, struct str name);
bool naive_approves_route(const struct policy_document *d, const struct node *n,
                          const struct user *owner, struct ip_prefix route);
bool naive_may_request_tag(const struct policy_document *d, const struct user *owner,
                           const struct node *n, struct str tag);

/* ---- The pieces ---- */

/* Announced and approved; exit routes too. */
bool naive_has_route(const struct node *n, struct ip_prefix p);
bool naive_is_exit(const struct node *n);
bool naive_is_served(const struct node *n, struct ip_prefix p);
/* Whether one of the node's subnet routes overlaps the set. */
bool naive_routes_overlap(const struct node *n, const struct ip_set *set);
bool naive_owns(const struct node *n, struct ip_addr a);
/* Whether the set has one of its addresses. */
bool naive_has_own(const struct node *n, const struct ip_set *set);
/* The same, or overlaps one of its subnet routes. */
bool naive_matches(const struct node *n, const struct ip_set *set);
/* A rule's sources; all of them, also for a rule to autogroup:self. */
void naive_add_sources(struct ip_set *set, const struct policy_rule *r,
                       const struct tailnet_view *v);
/* All that a destination stands for; nothing for autogroup:self and autogroup:internet. */
void naive_add_destination(struct ip_set *set, const struct policy_selector *s,
                           const struct tailnet_view *v);
/* What a capability brings along for the sources ("": nothing), and from whom: one destination's
 * addresses, `*` as among sources. */
struct str naive_companion(struct str cap);
void naive_add_companion_source(struct ip_set *set, const struct policy_selector *s,
                                const struct tailnet_view *v);
bool naive_is_autogroup(const struct policy_selector *s, enum policy_autogroup g);
bool naive_is_literal(const struct policy_selector *s); /* *, prefix, host, ipset */
bool naive_carries_via(const struct policy_rule *rule, const struct node *n);

bool naive_user_is(const struct policy_selector *s, const struct user *u);
/* Whether an identity (user, domain, group, tag, autogroup) includes the node. */
bool naive_selects(const struct policy_selector *s, const struct tailnet_view *v,
                   const struct node *n);
/* Whether the node has one of the postures; true for an empty list. */
bool naive_passes(const struct policy_postures *p, const struct node *n);
/* Whether the refs select it and it passes. */
bool naive_is_source(const struct policy_refs *refs, const struct policy_postures *p,
                     const struct tailnet_view *v, const struct node *n);
