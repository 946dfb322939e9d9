#pragma once

/* A viewer's filter under construction: for its whole text, and for its rules one by one. */

#include "policy/guests_internal.h"

/* Everybody may reach everything. */
#define FILTER_OPEN_RULE                                         \
    "{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":" \
    "{\"First\":0,\"Last\":65535}}]}"

/* One of the viewer's links, with where it goes. */
struct part {
    struct sum sum;
    int proto;
    uint32_t link;
    uint32_t place;
    bool merges;
};

struct filter {
    const struct policy *p;
    enum policy_form form;
    const struct member *m;
    const struct policy_class *c;
    struct json_writer w; /* set before rules are put */
    bool as_mark;         /* sums instead of lists, stand-ins instead of own addresses */
    bool used_own;        /* as_mark: what was put has own addresses in it */
    struct part *parts;   /* those of one rule side by side */
    size_t n;
    const struct local *local; /* NULL: no guest in sight */
    struct ip_set cut;         /* addresses of guests in sight, in which rules list nobody */
    struct str sources;        /* a rule's list, spelled before; empty: to be spelled. Borrowed */
};

/* A rule for guests. */
struct guest_rule {
    struct str body;        /* what follows its sources */
    struct listing sources; /* sorted */
};
struct guest_rules {
    struct arena *arena;
    struct guest_rule *items;
    size_t len;
    size_t cap;
};

/* False: the policy knows no such node, nothing to be freed. */
MUST_USE bool filter_init(struct filter *f, const struct policy *p, node_id viewer,
                          enum policy_form form);
void filter_fini(struct filter *f);
/* Whether filters of the class differ by own addresses only. Guests have no part in them. */
bool filter_is_for_class(const struct policy *p, const struct policy_class *c);
/* Puts the rule that begins with part `at`, or nothing when it comes to no destination; returns how
 * many parts it is made of. */
size_t filter_put_rule(struct filter *f, size_t at);
/* What a text put as_mark leaves out where it used own addresses. */
void filter_mix_own(struct policy_mark *mark, const struct member *m);
/* The list of a link's sources, in the form the link has in this filter. */
void filter_spell_sources(const struct filter *f, const struct policy_link *l,
                          struct json_writer *w);
/* The same as the member SrcIPs. */
void filter_put_sources(struct filter *f, const struct policy_link *l);
/* In its place as_mark: what tells one list from another. */
void filter_put_sources_mark(struct filter *f, const struct policy_link *l, struct sum sum);
/* The member CapGrant of a link. False, nothing put: no capability lands here. */
bool filter_put_grant(struct filter *f, const struct policy_link *l);
void filter_put_dst(struct filter *f, struct str ip, const struct ip_ports *ports, size_t n);
/* Spells what a source lists besides nodes. */
void filter_each_fixed(const struct filter *f, const struct policy_link *l, struct listing *out);

/* ---- filter_guests.c ---- */

/* Finds out which guests are in sight. */
void filter_meet_guests(struct filter *f);
/* Takes guests in sight out of a list of spelled sources. */
void filter_cut(const struct filter *f, struct listing *list);
/* Whether nobody is left of a link's sources when they are taken out. */
bool filter_is_cut_away(const struct filter *f, const struct policy_link *l, struct sum sum);
/* As_mark: what that does to them, if anything. */
void filter_put_cut_mark(struct filter *f, const struct policy_link *l);
/* What guests are let in by; nothing when none is in sight. */
void filter_guest_rules(const struct filter *f, struct guest_rules *out);
void guest_rules_fini(struct guest_rules *r);
void guest_rule_put(const struct guest_rule *r, struct json_writer *w);
/* Of the devices that a self link lists for the viewer. */
struct sum filter_self_sum(const struct filter *f, const struct policy_link *l);
