#pragma once

/*
 * What the files of policy_explain share.
 *
 *   text --explain_resolve--> a side: ends (machines, addresses)
 *   pairs of ends --decisions--> the headline --rules, one by one--> why, or what is missing
 */

#include "policy/access_internal.h"
#include "policy/reach_internal.h"

/* Lines of one kind that are written; the rest is counted. */
#define EXPLAIN_LINES_MAX 8
/* Pairs times links looked at; what is more is left out, and said so. */
#define EXPLAIN_WORK_MAX ((size_t)400000)

/* A machine, or an address that no machine has. */
struct end {
    const struct node *node;     /* NULL: none */
    const struct member *member; /* of the node; NULL: the policy does not know it */
    struct ip_addr addrs[2];     /* that are asked about */
    size_t n_addrs;
    struct str name;
};

struct side {
    struct str text;  /* as asked */
    bool is_one;      /* a machine or an address by its name */
    bool is_self;     /* autogroup:self: the source's user's other machines */
    bool is_internet; /* autogroup:internet */
    struct end *items;
    size_t len;
    size_t cap;
    size_t left_out; /* ends over the bound */
};

struct explain {
    const struct policy *p; /* never open: what stands for that is compiled */
    bool no_policy;
    const struct tailnet_view *view;
    struct arena *arena;
    struct buf *out;
    int proto;
    int port; /* -1: any, of any protocol */
    struct side src, dst;
    bool *allowed; /* per source and destination */
};

/* How near a link comes to letting one end reach another. */
enum near { NEAR_NOT, NEAR_SRC, NEAR_VIA, NEAR_DST, NEAR_PORT, NEAR_HIT };
struct hit {
    enum near near;
    const struct policy_link *link;
    const struct link_dst *dst; /* NULL: self, or no destination matches */
    const struct member *at;    /* whose filter */
    const struct end *from, *to;
    struct ip_addr src_addr, dst_addr;
};

/* explain_ends.c */
/* False and the complaint when the text is neither a selector nor a machine nor an address. */
MUST_USE bool explain_resolve(struct explain *x, struct str text, bool is_dst, struct side *out,
                              struct policy_complaint *complaint);
/* Leaves out what would take too long; machines of classes not seen yet stay first. */
void explain_bound(struct explain *x);
/* Whether the pair is asked about: not a machine with itself; with autogroup:self one user's. */
bool explain_is_pair(const struct explain *x, const struct end *from, const struct end *to);

/* Where one side is a machine without access; false, nothing put: neither is. */
bool explain_held(const struct explain *x, struct str src, struct str dst);

/* explain_rules.c */
/* Whether one end may reach the other; what it may is added, not settled. */
bool explain_pair(const struct explain *x, const struct end *from, const struct end *to,
                  struct access *out);
void explain_allowing_rules(struct explain *x);
void explain_near_misses(struct explain *x);
/* "tag:a, tag:b". */
void explain_put_refs(struct buf *out, const struct policy_refs *refs);

/* explain_why.c */
void explain_put_pos(struct buf *out, struct policy_pos pos); /* "line 3, column 5" */
/* Why a selector has the end's address, as a clause with the end's name; false, nothing put, when
 * it has not. */
bool explain_put_why(const struct explain *x, const struct policy_selector *s, const struct end *e,
                     struct ip_addr addr, bool is_dst, struct buf *out);
/* Who an end is: owner, groups, tags, routes, as a source its postures. A line. */
void explain_put_who(const struct explain *x, const struct end *e, bool is_src);
/* The user that a node belongs to, NULL: tagged, or unknown. */
const struct user *explain_owner(const struct explain *x, const struct node *n);
/* Whether a selector of users means the user. */
bool explain_is_user(const struct explain *x, const struct policy_selector *s,
                     const struct user *u);

/* explain_guests.c: where one side is a machine of another tailnet; false, nothing put: none is. */
bool explain_guests(struct explain *x, struct str src, struct str dst);

/* explain_ssh.c */
void explain_ssh(struct explain *x);
