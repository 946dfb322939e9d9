#pragma once

/* A viewer's filter under construction: for its whole text, and for its rules one by one. */

#include "policy/policy_internal.h"

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
};

/* False: the policy knows no such node, nothing to be freed. */
MUST_USE bool filter_init(struct filter *f, const struct policy *p, node_id viewer,
                          enum policy_form form);
void filter_fini(struct filter *f);
/* Puts the rule that begins with part `at`, or nothing when it comes to no destination; returns how
 * many parts it is made of. */
size_t filter_put_rule(struct filter *f, size_t at);
/* What a text put as_mark leaves out where it used own addresses. */
void filter_mix_own(struct policy_mark *mark, const struct member *m);
/* The member SrcIPs, in the form the link has in this filter. */
void filter_put_sources(struct filter *f, const struct policy_link *l);
/* In its place as_mark: what tells one list from another. */
void filter_put_sources_mark(struct filter *f, struct sum sum);
/* Of the devices that a self link lists for the viewer. */
struct sum filter_self_sum(const struct filter *f, const struct policy_link *l);
