#pragma once

/*
 * Policy: who sees whom, what each node's filter lets in, who gets a shell, which routes a viewer
 * may use, which attributes a node has.
 *
 *   struct policy_document (the text) + struct tailnet_view --policy_compile--> struct policy
 *
 * A policy is immutable, counted and self-contained; any thread may ask one. Questions name nodes
 * of the view it was compiled against by id; about others the answer is "nothing". A viewer is the
 * node a netmap is for.
 *
 * Guests (view_guest_next) are judged with the tailnet's own nodes. One is selected by `*`,
 * autogroup:shared and tailnet:NAME (as a source), its owner's log-in name if nobody here has it,
 * `*@domain`, address literals and, as a source, autogroup:danger-all; by nothing else: tags,
 * groups, roles, postures and devices of here mean nothing to it. Two guests have nothing to do
 * with each other. A node and a guest see each other when one has an item for the other in its
 * `abroad`, whatever the rules say: who made that asked policy_would_reach of both tailnets. The
 * filter of a node lets in those guests only that have an item for it, as far as rules and terms
 * both allow; a guest that may not begin connections is let in by no rule, not even `*`.
 *
 * A node that something holds back (enum node_hold; own or guest) is as if it were not there: no
 * selector has it, it is in no list of sources, serves no routes, has no attributes, and whoever
 * asks for it as a viewer is told that it sees nobody and lets nothing in.
 *
 * It reads users (names, roles), nodes' existence, holds, owners, tags, addresses, routes
 * (advertised and approved, served) and, for postures, facts and custom attributes: a change of
 * anything else keeps the policy as it is.
 */

#include "core/buf.h"
#include "core/err.h"
#include "policy/document.h"
#include "tailnet/change.h"
#include "tailnet/view.h"
#include "json/writer.h"

struct policy;

struct policy_input {
    const struct policy_document *document; /* NULL: the tailnet was given no policy */
    const struct tailnet_view *view;
    /*
     * The policy of an earlier view under the same document and all changes since, for compiling
     * only what they touch; NULL: from scratch.
     */
    const struct policy *before;
    const struct change *changes;
    size_t n_changes;
};
/* Never fails. Counted; it is `before` itself when nothing it reads has changed. */
MUST_USE const struct policy *policy_compile(const struct policy_input *in);
/* The policy of a tailnet that was given none: everyone may reach everyone (headscale.md 10.2),
 * nobody gets a shell. This one knows of no held nodes. Only without guests is it open. */
MUST_USE const struct policy *policy_allow_all(void);
const struct policy *policy_ref(const struct policy *p);
void policy_unref(const struct policy *p); /* NULL is fine */
DEFINE_AUTO(const struct policy, policy_unref);
const struct policy_document *policy_document(const struct policy *p); /* borrowed; or NULL */

/*
 * Every node that has access sees every other, and filter and SSH rules are the same for all of
 * them and for ever: what is made for one viewer serves all, and no change of a node touches
 * another's rules.
 */
bool policy_is_open(const struct policy *p);
/*
 * Two policies of one lineage differ in what they say of a pair of nodes only when one of the two
 * nodes changed class or owner: no other pair need be looked at again. Routes have a mark of their
 * own (policy_routes_mark).
 */
bool policy_same_lineage(const struct policy *a, const struct policy *b);
/* Nodes of one class are treated alike, but for their own addresses and owner. 0: unknown node, or
 * one that something holds back; nobody sees such.
 * Guests, and nodes they have to do with, are in classes with numbers far above the others. */
uint32_t policy_class_of(const struct policy *p, node_id node);
size_t policy_class_count(const struct policy *p); /* with those that have no node any more, and
                                                      without those of guests */

/* Whether `peer` is in `viewer`'s netmap. Symmetric (policy.md 9). */
bool policy_sees(const struct policy *p, node_id viewer, node_id peer);

/*
 * Whether some rule lets src begin connections to dst, one of which is a guest; what `abroad` says
 * is not asked. With no document: true.
 */
bool policy_would_reach(const struct policy *p, node_id src, node_id dst);

/* The node's owner where the policy looks at it (autogroup:self), else 0: two nodes of one class
 * and one sight user see the same. */
user_id policy_sight_user(const struct policy *p, node_id node);

/*
 * The same between classes. Numbers of classes are one lineage's; an open policy has one, of all
 * who have access.
 */
enum policy_sight {
    POLICY_SIGHT_NONE,
    POLICY_SIGHT_SAME_USER, /* nodes of one user see each other, others do not */
    POLICY_SIGHT_ALL,
};
enum policy_sight policy_class_sight(const struct policy *p, uint32_t a, uint32_t b);
/*
 * The same for a class of own nodes and all others of them at once, for a tenth of the time: adds
 * two bits a class to `row`, at `row[cls / 4] >> cls % 4 * 2`, which are the sight and one. Class 0
 * is there, classes from `below` on are left out. What is in the row already must be the same.
 */
void policy_class_sights(const struct policy *p, uint32_t a, uint8_t *row, size_t below);
/*
 * Policies with the same number, which is never used again, answer this the same for the classes
 * they share. 0: open. It outlasts lineages where only what is said of classes changes.
 */
uint64_t policy_sights(const struct policy *p);
/* Classes for which the above answers alike, whatever the other class of own nodes, are one sight:
 * the least of their numbers. 0 for 0. */
uint32_t policy_sight_class(const struct policy *p, uint32_t cls);
/* policy_peer_caps, policy_hides_ipv4 of the class's nodes. */
struct str policy_class_caps(const struct policy *p, uint32_t cls);
bool policy_class_hides_ipv4(const struct policy *p, uint32_t cls);
/* The user's next node by rising id; 0: none, or the policy never looks at owners. */
node_id policy_next_device(const struct policy *p, user_id user, node_id after);

/* Content: equal marks (of any two policies) mean equal texts. */
struct policy_mark {
    uint64_t a, b;
};
bool policy_mark_eq(struct policy_mark x, struct policy_mark y);

/* How sources are spelled in a packet filter. */
enum policy_form {
    POLICY_CANONICAL, /* address lists, as the hosted service's captures */
    POLICY_COMPACT,   /* large sets as "cap:…", which peers carry in their cards; where that is
                         smaller. For capability version 109 and later */
};
#define POLICY_CAPVER_COMPACT 109

/* The viewer's packet filter: a JSON array of FilterRule, "[]" lets nothing in. protocol.md 9. */
void policy_put_filter(const struct policy *p, node_id viewer, enum policy_form form,
                       struct buf *out);
struct policy_mark policy_filter_mark(const struct policy *p, node_id viewer,
                                      enum policy_form form);
/*
 * The same for clients of version 81 and later, as an object of named rules (protocol.md 6.4,
 * PacketFilters): what differs from `before`, an earlier policy whose rules the client has; NULL:
 * all, and away with whatever it has.
 */
void policy_put_named_filter(const struct policy *before, const struct policy *p, node_id viewer,
                             enum policy_form form, struct buf *out);
#define POLICY_CAPVER_NAMED 81
/*
 * The same for all of one class that are of one class then, found out once for the first viewer of
 * them. NULL: there is more to tell their filters apart than own addresses. Borrows both policies.
 */
struct policy_filter_step;
MUST_USE struct policy_filter_step *policy_filter_step_new(const struct policy *before,
                                                           const struct policy *p, node_id viewer,
                                                           enum policy_form form);
void policy_filter_step_free(struct policy_filter_step *s); /* NULL is fine */
/* False, nothing put: the viewer has other addresses now. */
MUST_USE bool policy_put_filter_step(const struct policy_filter_step *s, node_id viewer,
                                     struct buf *out);
/*
 * The viewer's SSHPolicy, a JSON object; {"rules":[]} lets nobody in. protocol.md 11.1. `base` goes
 * before "/machine/ssh/action/…" in check rules ("" or "https://host").
 */
void policy_put_ssh(const struct policy *p, node_id viewer, struct str base, struct buf *out);
struct policy_mark policy_ssh_mark(const struct policy *p, node_id viewer);

/*
 * A check rule's period for a log-in from src to dst (policy.md 8.4): ms, 0 for "always", -1 when
 * no check rule applies.
 */
int64_t policy_ssh_check_ms(const struct policy *p, node_id src, node_id dst);

/* Base of such URLs where clients come by their own channel, which looks no host up. */
#define POLICY_SSH_BASE "https://unused"
/*
 * What the server answers when a person has approved such a log-in: the accepting SSHAction of that
 * check rule, recorders and all. False, nothing appended, when no check rule applies.
 */
MUST_USE bool policy_put_ssh_accept(const struct policy *p, node_id src, node_id dst,
                                    struct buf *out);

/*
 * The routes of `peer` that go into its AllowedIPs in the viewer's netmap, exit routes last: at
 * most `max` are stored, the number is returned (policy.md 10). 0 for a viewer that does not see
 * it.
 */
size_t policy_peer_routes(const struct policy *p, node_id viewer, node_id peer,
                          struct ip_prefix *out, size_t max);
/* The same for whoever of the viewer's class sees the peer. */
size_t policy_class_routes(const struct policy *p, uint32_t viewer, node_id peer,
                           struct ip_prefix *out, size_t max);
/* Whether the node has any route, so that the above is worth asking. */
bool policy_has_routes(const struct policy *p, node_id peer);
/* All nodes that have: their ids, rising. Borrowed. */
size_t policy_router_count(const struct policy *p);
node_id policy_router_at(const struct policy *p, size_t i);
/* Routes of all nodes and who serves them: while it stays, and the lineage and the viewer's class
 * do, policy_peer_routes answers the same. */
struct policy_mark policy_routes_mark(const struct policy *p);

/* What nodeAttrs give a node, with what they bring along: sorted names for its own CapMap, each
 * null. Borrowed from the policy. policy.md 12. */
size_t policy_attrs(const struct policy *p, node_id node, const struct str **names);
bool policy_has_attr(const struct policy *p, node_id node, struct str name);
/* The configuration nodeAttrs[].app gives it: CapMap members "name":[…], comma before each. */
void policy_put_attr_app(const struct policy *p, node_id node, struct json_writer *w);
/*
 * The CapMap that peers see in the node's card: a JSON object, empty for none. Borrowed. Source
 * capabilities of compact filters and copied attributes.
 */
struct str policy_peer_caps(const struct policy *p, node_id node);
/* disable-ipv4: its IPv4 address is shown to nobody, and it is shown nobody's. */
bool policy_hides_ipv4(const struct policy *p, node_id node);
/* Everything above about the node itself, as far as its own Node and its card tell it. */
struct policy_mark policy_node_mark(const struct policy *p, node_id node);

/* ---- Questions about one user or node that need no compiled policy; document NULL: none. ---- */

/* Whether an administrator may put the tag on a node. No document: any. */
bool policy_tag_is_defined(const struct policy_document *d, struct str tag);
/*
 * Whether the owner (NULL: none) may give the tag to a machine, which has the tags of `node`
 * already (NULL: it is new); policy.md 5.4. No document: any.
 */
bool policy_tag_may_be_requested(const struct policy_document *d, const struct user *owner,
                                 const struct node *node, struct str tag);
/* Whether autoApprovers approve a route the node announces (policy.md 11). `owner` is NULL for a
 * tagged node. */
bool policy_approves_route(const struct policy_document *d, const struct node *node,
                           const struct user *owner, struct ip_prefix route);

/* ---- Judging a policy ---- */

/*
 * Runs the document's tests and sshTests (policy.md 13). 0: all hold. -ERR_INVALID: the complaint
 * has the hosted service's words; one line for each failure goes to `details` (may be NULL):
 * "alice@ -> tag:server:22: expected ALLOWED, got DENIED".
 */
MUST_USE int policy_run_tests(const struct policy *p, struct policy_complaint *complaint,
                              struct buf *details);
/*
 * Whether the document means something in this tailnet: a user name that several users have is
 * refused. 0, or -ERR_INVALID with the complaint.
 */
MUST_USE int policy_check_users(const struct policy_document *d, const struct tailnet_view *view,
                                struct policy_complaint *complaint);
/*
 * What an author should know: rules that never match, rules another covers, groups nobody is in,
 * tags nobody owns, wide-open rules, what cannot be delivered. In the text's order; the list and
 * its texts live in the arena.
 */
void policy_lint(const struct policy *p, struct arena *arena, struct policy_findings *out);

/*
 * Whether a packet from src to dst is let in by the filter of the node that dst belongs to or is
 * routed by. proto: IP protocol; port counts for TCP, UDP, SCTP only.
 */
bool policy_allows(const struct policy *p, struct ip_addr src, struct ip_addr dst, int proto,
                   uint16_t port);
/*
 * Why: the decision, then the rules and memberships it comes from with their positions, or what is
 * missing. src and dst are selectors of the language or names of nodes; port -1: any. -ERR_INVALID:
 * one of them is neither.
 */
MUST_USE int policy_explain(const struct policy *p, const struct tailnet_view *view, struct str src,
                            struct str dst, int port, int proto, struct buf *out, struct err *err);
/*
 * Which rules are about a user, by name or mail address, as sources; or about an "address:port" as
 * a destination: the members "matches" and "postures" of Tailscale's answer, in the text's order.
 * Each match says the whole rule: "users" and "ports" as written, "lineNumber" (0: the policy has
 * no rules, which allows everything), "via", "postures". What is about all protocols has ports
 * "tag:db:5432", other things "tag:db:tcp:5432"; capabilities of grants are not ports.
 * -ERR_INVALID, nothing written: there is no such user, or it is no address with a port.
 */
enum policy_preview { POLICY_PREVIEW_USER, POLICY_PREVIEW_IPPORT };
MUST_USE int policy_put_preview(const struct policy *p, const struct tailnet_view *view,
                                enum policy_preview kind, struct str who, struct json_writer *w,
                                struct err *err);
/* In plain words, a line each: which connections appear and vanish from a to b, between whom, on
 * what ports. Nothing when no decision differs. */
void policy_diff(const struct policy *a, const struct policy *b, const struct tailnet_view *view,
                 struct buf *out);
