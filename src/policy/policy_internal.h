#pragma once

/*
 * The insides of a compiled policy, shared by its files.
 *
 *   document --matcher--> which selectors select a node (by user or tags, by address, by route)
 *                --classes--> nodes with the same selectors and flags: one class
 *                   --links--> rules cut into single statements "sources -> destinations"
 *                      struct policy = shape (all that, shared by a lineage) + rows + sums
 *
 * Words
 *   own     a selector has one of the node's own addresses
 *   route   a selector overlaps one of the node's routes (approved, announced, no exit route)
 *   source  a distinct list of source selectors with its postures; many links share one
 *   link    one filter rule before merging: a source, a protocol, destinations
 *   sum     a sum of hashes over the strings of an address list, so that a node that joins adds its
 *           own and nothing is listed again; equal sums mean equal lists
 *
 * Invariants
 *   1. A shape never changes; nodes that come, go and change class alter rows and sums only.
 *   2. A node is in exactly one class; all that a policy says of it follows from class, user and
 * own addresses.
 *   3. No table is larger than nodes + classes * (their links) + selectors: nothing per pair.
 */

#include <stdatomic.h>

#include <roaring/roaring.h>

#include "core/map.h"
#include "policy/policy.h"
#include "policy/rows_internal.h"

/* A source set of at least so many nodes goes into compact filters as a capability. */
#define COMPACT_MIN 6
/* What capabilities of sources are called in cards; 16 hex digits follow. */
#define SOURCE_CAP "hatsize/src/"
/* Tailscale's own ranges; the ChromeOS hole is in no address pool (policy.md 3.2). */
#define CGNAT_RANGE_1 "100.64.0.0-100.115.91.255"
#define CGNAT_RANGE_2 "100.115.94.0-100.127.255.255"
#define ULA_RANGE "fd7a:115c:a1e0::/48"

struct sum {
    uint64_t a, b;
    uint64_t count;
    uint64_t
        tags; /* of nodes: how many tags each has; SSH principals depend on it, filters do not */
};
void sum_add(struct sum *to, struct sum s);
void sum_sub(struct sum *from, struct sum s);
/* One more string in the list. */
void sum_add_text(struct sum *to, struct str text);
bool sum_eq(struct sum x, struct sum y);
/* Order-dependent: for texts made of parts. */
struct policy_mark mark_of(struct str bytes);
void mark_mix(struct policy_mark *m, uint64_t x);
void mark_mix_mark(struct policy_mark *m, struct policy_mark x);

/* For sorting and searching arrays of struct str, bytewise. */
int text_cmp(const void *a, const void *b);
/* Strings in an arena of their own. */
struct listing {
    struct arena *arena;
    struct str *items;
    size_t len;
    size_t cap;
};
void listing_init(struct listing *t);
void listing_fini(struct listing *t);
void listing_add(void *listing, struct str text); /* copies; takes a struct listing, as a visitor */
void listing_sort(struct listing *t);             /* and drops repeats */

/* A list of selector indices, sorted. */
struct picks {
    uint32_t *items;
    size_t len;
};
bool picks_have(const struct picks *p, uint32_t index);

/* ---- users.c ---- */

/*
 * Whether a user token ("oidc:engineering@", "oidc-work:engineering@", without its '@') means all
 * whom a log-in provider has in a group, and so never a user of that name.
 */
bool token_is_provider_group(struct str token);

/* ---- match.c: which selectors select whom ---- */

/* users.c: whether an autogroup of roles has the user; whether the login is of the domain. */
bool user_has_role(const struct user *u, enum policy_autogroup a);
bool user_in_domain(const struct user *u, struct str domain);
/* Whether a selector of people has the user; `means` says whom a log-in token means. */
bool user_selected(const struct policy_selector *s, const struct user *u,
                   bool (*means)(const void *context, struct str token, const struct user *u),
                   const void *context);

struct matcher;
MUST_USE struct matcher *matcher_new(const struct policy_document *d,
                                     const struct tailnet_view *view);
void matcher_free(struct matcher *m);
/* The user a SELECTOR_USER means, 0: none, or more than one. */
user_id matcher_user(const struct matcher *m, const struct policy_selector *s);

/* The log-in name: e-mail, else name; empty for an unknown user. */
struct str matcher_login(const struct matcher *m, user_id user);

/* What of a node decides its class. */
struct profile {
    struct picks own;      /* selectors with an address of it, wildcard aside */
    struct picks route;    /* selectors that a route of it overlaps, and none of its addresses */
    struct picks postures; /* indices of postures it satisfies */
    bool tagged;
    bool exit; /* an approved exit node, for one family at least */
    bool exit_v4, exit_v6;
    bool in_wild; /* an address in the Tailscale ranges */
    bool has_v4, has_v6;
    uint16_t n_tags;          /* only where there are SSH rules: principals come once a tag */
    bool has_literal;         /* a literal of one address, or a set, has an address of it */
    struct ip_prefix *routes; /* approved and announced subnet routes; sorted */
    size_t n_routes;
};
/* Memory for one profile after another; zero to begin with. */
struct profile_scratch {
    struct picks own, route, postures;
    size_t own_cap, route_cap, postures_cap, routes_cap;
    struct ip_prefix *routes;
    struct buf key;
};
void profile_scratch_fini(struct profile_scratch *s);
/* `out` borrows from the scratch until its next use. */
void matcher_profile(const struct matcher *m, const struct node *n, struct profile_scratch *s,
                     struct profile *out);
/* All that is in it, as bytes; borrowed likewise. */
struct str profile_key(const struct profile *p, struct profile_scratch *s);

/* postures.c: whether the node satisfies all assertions; policy.md 5.10. */
bool posture_holds(const struct policy_posture *posture, const struct node *n);
/* Calls `held` for each posture it satisfies, by rising index; its facts are read once. */
void postures_each_held(const struct policy_document *d, const struct node *n,
                        void (*held)(void *user, uint32_t index), void *user);

/* ---- The shape ---- */

/* One source selector under one list of postures. */
struct term {
    const struct policy_selector *selector;
    struct policy_postures postures;
    roaring_bitmap_t *classes; /* whose addresses it lists; NULL for literals */
    char cap[sizeof SOURCE_CAP + 16];
    size_t count; /* nodes, when the shape was made */
    bool compact;
};

struct source {
    uint32_t *terms;
    size_t n_terms;
    bool everyone;          /* autogroup:danger-all: ["*"] */
    bool wild;              /* `*` */
    bool wild_routes;       /* `*` under postures: the routes go unchecked, nodes are terms */
    roaring_bitmap_t *own;  /* classes whose addresses are listed one by one */
    roaring_bitmap_t *rest; /* of these, those that compact terms leave to be listed */
    roaring_bitmap_t *hits; /* classes with an address or a route in it */
    const struct policy_selector **literals; /* PREFIX, HOST, IPSET */
    size_t n_literals;
    struct sum fixed[2]; /* by form: of what is listed besides nodes; capabilities too */
    struct sum caps;     /* of the compact terms' names */
};

enum link_kind { LINK_PORTS, LINK_CAPS, LINK_COMPANION };

struct link_dst {
    const struct policy_selector *selector;
    const struct ip_ports *ports; /* borrowed from the document */
    size_t n_ports;
};

struct policy_link {
    enum link_kind kind;
    bool self; /* destinations: the source's own user's devices */
    bool via;
    const struct policy_rule *rule;
    uint32_t source;
    int proto;            /* -1: any */
    struct link_dst *dst; /* in rendering order; none when self */
    size_t n_dst;
    const struct ip_ports *ports; /* self: those of the destination */
    size_t n_ports;
    const char *companion;
    roaring_bitmap_t *classes; /* that receive it; not for self */
    struct policy_mark mark;   /* of its destinations and ports as written */
};

struct policy_class {
    struct profile p;
    uint32_t id;     /* from 1 */
    uint32_t *links; /* it receives, self ones included, rising */
    size_t n_links;
    roaring_bitmap_t *as_source; /* links, without self ones, that have it as a source */
    roaring_bitmap_t *as_dst;
    bool self_source; /* some self link lists its devices */
    uint32_t sight;   /* the first class with the same links and self_source */
    uint32_t *ssh;    /* rules that may concern it, rising */
    size_t n_ssh;
    struct str *attrs; /* sorted */
    size_t n_attrs;
    uint32_t *attr_apps; /* indices of nodeAttrs entries with app that target it */
    size_t n_attr_apps;
    bool hides_v4;
    struct str peer_caps;
    struct policy_mark node_mark;
};

struct ssh_link {
    const struct policy_ssh_rule *rule;
    uint32_t source;
    roaring_bitmap_t *dst;
    bool self;
};

struct shape {
    struct ref ref;
    uint64_t lineage;
    uint64_t sights; /* the lineage of what classes see of each other, which may be older */
    const struct policy_document *doc;
    struct arena *arena;
    struct matcher *matcher;
    struct map *class_ids;        /* profile bytes -> struct policy_class */
    struct policy_class *classes; /* id - 1 */
    size_t n_classes;
    struct map *term_ids; /* only while it is made */
    struct map *source_ids;
    struct term *terms;
    size_t n_terms;
    struct source *sources;
    size_t n_sources;
    struct policy_link *links;
    size_t n_links;
    struct ssh_link *ssh;
    size_t n_ssh;
    roaring_bitmap_t **own; /* per selector: classes */
    roaring_bitmap_t **route;
    struct ip_prefix *wild_routes; /* approved routes of all nodes, sorted, unique */
    size_t n_wild_routes;
    size_t wild_routes_cap;
    roaring_bitmap_t *via_links;
    bool has_self;
    bool has_localpart;
    struct policy_mark logins; /* of users, where has_localpart */
};

/* A node: key is {id, 0}. */
struct member {
    uint64_t key[2];
    uint64_t user; /* 0: tagged */
    uint32_t cls;
    uint16_t n_tags;
    uint8_t v4_is_set;
    uint8_t v6_is_set;
    uint8_t v4[4];
    uint8_t v6[16];
    uint8_t pad[4];
};
/* For devices of one user: {user, id}. */
struct device {
    uint64_t key[2];
};

/* A node with routes. Counted with its list. */
struct router {
    node_id id;
    uint32_t cls;
    int64_t created_ms;
    bool online;
    bool exit_v4, exit_v6;
    const struct ip_prefix *routes; /* the class's */
    size_t n_routes;
    struct ip_prefix *serving;
    size_t n_serving;
};
struct routers {
    struct ref ref;
    struct router *items; /* by id */
    size_t len;
    struct policy_mark mark;
};

struct lazy_mark {
    _Atomic(uint64_t) a, b;
    _Atomic(uint8_t) ready;
};
enum { LAZY_CANONICAL, LAZY_COMPACT, LAZY_SSH, LAZY_N };

/* A filter rule's key: what links that merge have in common. */
struct group {
    struct sum sum;
    int proto;
    uint32_t first; /* link */
};

/* Of an open policy: whoever has access. */
#define OPEN_CLASS 1

struct policy {
    struct ref ref;
    bool is_open;
    bool is_stand_in; /* of a tailnet with guests that was given no policy: it says what none says
                       */
    node_id *held;    /* open only: the nodes that something holds back, rising */
    size_t n_held;
    struct shape *shape; /* NULL: open */
    struct rows members;
    struct rows devices; /* only where the shape has self links or ssh self rules */
    struct routers *routers;
    /* By form and source; the canonical one is also that of SSH principals. */
    struct sum *sums[2];
    size_t *term_counts; /* per term: nodes */
    /* By form: keys of links that are the same for all nodes (not self, not via), sorted. */
    struct group *groups[2];
    size_t n_groups[2];
    struct lazy_mark *class_marks; /* LAZY_N for each class */
    const struct guests *guests;   /* counted; NULL: there are none. guests_internal.h */
    struct lazy_mark *guest_marks; /* LAZY_N for each of their classes */
};

/*
 * How a link's sources are spelled in a filter of that form: capabilities only where clients look
 * at them, which is not in grants and not for protocols they do not parse (protocol.md 9).
 */
enum policy_form link_form(const struct policy_link *l, enum policy_form form);
int group_cmp(const struct group *x, const struct group *y);
/* The first link for all nodes with this key, or UINT32_MAX. */
uint32_t group_find(const struct policy *p, enum policy_form form, struct sum sum, int proto);
/* sources.c: what sources list besides nodes, once members are there; a new shape only. */
void policy_fix_sources(struct policy *p);
/* Then all sums, from the members. */
void policy_make_sums(struct policy *p);
/* Then, after every change of sums, which links share a rule. */
void policy_make_groups(struct policy *p, enum policy_form form);
/* Visits the strings a source lists besides nodes; with repeats. */
void source_each_fixed(const struct shape *s, const struct source *src,
                       void (*visit)(void *user, struct str text), void *user);
/* The devices of a user that a self link's source lists. */
bool self_lists(const struct policy *p, const struct policy_link *l, const struct member *m);

/* members.c: the view's nodes as far as anything may be said of them: those that something holds
 * back (enum node_hold) are passed over. */
const struct node *policy_node_find(const struct tailnet_view *view, node_id id);
const struct node *policy_node_next(const struct tailnet_view *view, size_t *at);
const struct node *policy_guest_find(const struct tailnet_view *view, node_id id);
const struct node *policy_guest_next(const struct tailnet_view *view, size_t *at);
/* compile.c: of no nodes, to be filled in. */
MUST_USE struct policy *policy_empty(void);
/* open.c: a policy that was given no document: whether it knows that something holds the node. */
bool open_holds(const struct policy *p, node_id id);
/* Of the view; `before` is of an earlier view of the same tailnet, or NULL. */
MUST_USE const struct policy *open_compile(const struct policy_input *in);

const struct member *member_find(const struct policy *p, node_id id);
const struct policy_class *member_class(const struct policy *p, const struct member *m);
struct ip_addr member_v4(const struct member *m);
struct ip_addr member_v6(const struct member *m);
/* Of its two addresses as strings. */
struct sum member_sum(const struct member *m);
void sum_add_addr(struct sum *to, struct ip_addr addr); /* nothing for an unset one */
struct member member_of(const struct node *n, uint32_t cls);
MUST_USE struct routers *routers_new(size_t max);
void routers_unref(struct routers *r); /* NULL is fine */
/* By rising id. */
void routers_add(struct routers *r, const struct policy_class *c, const struct node *n);
/* After the last one. */
void routers_mark(struct routers *r);
bool class_is_router(const struct policy_class *c);
const struct router *policy_router_find(const struct policy *p, node_id id);

/* links.c: cuts the document's rules into links and sources; classes come later. */
void shape_make_links(struct shape *s);
/* The source of these selectors under these postures, made when first wanted. */
uint32_t shape_source(struct shape *s, const struct policy_selector *const *selectors, size_t n,
                      const struct policy_postures *postures);
/* shape.c: classes of the view's nodes and everything that hangs on them. */
/* `of_node`: the class of each node, in the view's order. */
MUST_USE struct shape *shape_new(const struct policy_document *d, const struct tailnet_view *view,
                                 uint32_t *of_node);
struct shape *shape_ref(struct shape *s);
/* A document that says what no document says: everyone may reach everything. Counted. */
MUST_USE const struct policy_document *policy_open_document(void);
/* lineage.c: s takes over the lineage of `old` if nothing about its classes has changed. Before s
 * is shared. */
void shape_go_on(struct shape *s, const struct shape *old);
void shape_unref(struct shape *s);
/* attrs.c: each class's attributes, the CapMap peers see, its node mark. */
void shape_make_attrs(struct shape *s);
/* NULL: nodes like this were not there when the shape was made. */
const struct policy_class *shape_class(const struct shape *s, const struct profile *p,
                                       struct profile_scratch *scratch);

/* Whether the source overlaps the addresses; by content, for one question at a time. */
bool source_overlaps(const struct policy *p, uint32_t source, struct ip_range r);
/* Without the nodes it lists one by one. */
bool source_fixed_overlaps(const struct shape *s, const struct source *src, struct ip_range r);
bool literal_overlaps(const struct policy_selector *s, struct ip_range r);
bool selector_is_literal(const struct policy_selector *s);
/* autogroup:internet's ranges, in the order they are sent (policy.md 7.7). */
extern const struct str policy_internet_ranges[7];
/* Visits the members of the classes: addresses of a source, in order of ids. */
bool class_in(const roaring_bitmap_t *set, uint32_t cls);
