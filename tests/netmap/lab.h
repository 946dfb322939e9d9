#pragma once

/*
 * A small tailnet with one of everything, in which any kind of change can be made to happen: for
 * property tests that go through the kinds one by one.
 *
 *   users  ann <ann@example.com>, bob, eve
 *   nodes  people's: ANN_LAPTOP, ANN_PHONE, BOB, EVE, EVE_SHORT (ephemeral)
 *          tag:a ROUTER and SPARE, both for 10.0.0.0/24 (one serves it), ROUTER for 10.0.1.0/24 too
 *          tag:b EXIT, an exit node; tag:c VIA, for 10.0.0.0/24 as well
 *   all are online, with endpoints, relay, disco key
 */

#include "core/rand.h"
#include "netmap/stream.h"
#include "policy/policy.h"
#include "tailnet/domain.h"

enum lab_node {
    ANN_LAPTOP,
    ANN_PHONE,
    BOB,
    EVE,
    EVE_SHORT,
    ROUTER,
    SPARE,
    EXIT,
    VIA,
    EXTRA, /* nobody's at first: joins and goes */
    LAB_NODES
};

struct lab_machine {
    node_id id; /* 0: not in the tailnet */
    struct machine_key machine;
    struct node_key key;
    uint64_t generation; /* of its stream; 0: none */
};

#define LAB_OTHERS 2

struct lab {
    struct domain *d;
    tailnet_id tailnet;
    struct lab *others[LAB_OTHERS]; /* in the same domain: they hear what happens here */
    size_t n_others;
    bool is_beside; /* the domain is another's */
    struct netmap_feed *feed;
    const struct tailnet_view *view;
    struct change_list changes; /* not published yet */
    const struct policy_document *document;
    const struct policy *policy;
    struct lab_machine machines[LAB_NODES];
    struct rand_seeded rand;
    int64_t now_ms;
    uint64_t serial;
};
void lab_begin(struct lab *l, uint64_t seed);
/* One more tailnet in the domain of the first, with users and machines of the same names;
 * `is_apart`: and of the same addresses. Ends before the first does. */
void lab_begin_beside(struct lab *l, struct lab *first, uint64_t seed, const char *name,
                      bool is_apart);
void lab_end(struct lab *l); /* streams first */
/* Whoever went comes back. */
void lab_restore(struct lab *l);
/* The policy that the next publication tells; NULL: none. */
void lab_set_policy(struct lab *l, const char *text);
/* `gap`: a loop that missed it, all or the first part. */
void lab_publish(struct lab *l, bool gap);
/* NULL when it is not there. */
const struct node *lab_node(const struct lab *l, enum lab_node which);

/* A change of each kind; to whom it happens is random where there is a choice. */
struct lab_kind {
    const char *name;
    void (*happen)(struct lab *l);
};
extern const struct lab_kind lab_kinds[];
extern const size_t lab_n_kinds;
