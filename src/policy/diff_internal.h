#pragma once

/*
 * What the files of policy_diff share.
 *
 *   nodes of the view --both policies treat them alike--> kinds      \
 *   approved routes, cut where a policy names a part  --> places      } entities
 *   the internet                                      --> two places /
 *   entities --same sources and doors--> groups --pairs that differ--> changes --folded--> lines
 *
 * Words
 *   kind    nodes of one class under both policies
 *   place   addresses behind routers that both policies treat alike; the internet of one family
 *   end     one entity's addresses of one family: what a rule has or has not
 *   door    one destination of one link: who stands in it, and its ports or capabilities
 *   change  "+ ports" or "- ports" (or a shell, a capability) between two groups
 *
 * Nothing is kept per pair of nodes, and what is worked out per pair of groups is bounded.
 */

#include "policy/access_internal.h"
#include "policy/reach_internal.h"

#define DIFF_LINES_MAX 1000
/* Pairs of groups times doors, viewers times routers and the like. */
#define DIFF_WORK_MAX ((uint64_t)60000000)
#define DIFF_CUTS_MAX 4000
#define DIFF_NONE UINT32_MAX

enum { BEFORE, AFTER, SIDES };

struct kind {
    uint32_t cls[SIDES];            /* 0: that policy does not know it */
    const struct member *at[SIDES]; /* of the first node; NULL likewise */
    const struct node *first;
    size_t count;
    bool tagged;
};
struct place {
    struct ip_range range;
    bool internet;
};

/* Kinds come first, then places. */
struct entity {
    uint32_t end[2]; /* by family: v4, v6; DIFF_NONE: it has no such address */
    struct ip_addr addr[2];
    uint32_t src_group, dst_group;
};

/* A set of entities that appears in lines. */
struct crowd {
    uint32_t *items; /* entity indices, rising */
    size_t len;
};

struct name { /* what a set of kinds may be called */
    struct str label;
    roaring_bitmap_t *kinds;
    size_t nodes;
};

struct diff {
    const struct policy *p[SIDES]; /* neither is open */
    bool no_policy;                /* one of the two stands for that */
    const struct tailnet_view *view;
    struct arena *arena;
    struct buf *out;
    size_t lines;    /* put */
    size_t left_out; /* lines over the bound */
    uint64_t work;
    bool gave_up; /* some part was too much */

    struct kind *kinds;
    size_t n_kinds;
    const struct node **nodes; /* all, by kind */
    size_t *from;              /* kind -> its first in nodes; n_kinds + 1 of them */
    struct place *places;
    size_t n_places;
    struct entity *entities;
    size_t n_entities;
    size_t n_ends;
    uint32_t *singles; /* each entity alone, for crowds of one */
    struct name *names;
    size_t n_names;
    struct crowd *src_groups, *dst_groups;
    size_t n_src_groups, n_dst_groups;
    struct map *touched; /* {src group, dst group} pairs with a change */
};

/* Counts work; false when it is too much. */
bool diff_work(struct diff *d, uint64_t n);
/* Begins a line in the buffer; false, and counted, when there are enough. */
bool diff_line(struct diff *d);

/* diff_places.c */
void diff_make_places(struct diff *d);

/* diff_names.c */
void diff_make_names(struct diff *d);
/* Who they are: the best selectors, nodes by name where few. */
void diff_put_crowd(struct diff *d, struct crowd c);
void diff_free_names(struct diff *d);

/* diff_fold.c: changes of one sort between groups; equal ones become one line. */
struct change_set;
MUST_USE struct change_set *changes_new(struct diff *d);
/*
 * A line "SIGN FROM VERB TO TEXT"; the last two may be empty. Changes that differ in FROM and TO
 * only may become one line. Crowds are known by their pointers and borrowed; verb and text are
 * copied.
 */
void changes_add(struct change_set *c, char sign, struct str verb, struct str text,
                 struct crowd from, struct crowd to);
/* Puts the lines and frees. */
void changes_put(struct change_set *c);

/* diff_net.c */
void diff_net(struct diff *d);
/* diff_ssh.c */
void diff_ssh(struct diff *d);
/* diff_sight.c */
void diff_visibility(struct diff *d);
void diff_routes(struct diff *d);
/* diff_guests.c */
void diff_guests(struct diff *d);
/* diff_rest.c */
void diff_attrs(struct diff *d);
void diff_approvals(struct diff *d);

static inline struct crowd crowd_of(const struct diff *d, uint32_t entity)
{
    return (struct crowd){&d->singles[entity], 1};
}

/* Pairs of kinds that some user has devices of: {i, j}, each once. Heap; n pairs. */
uint32_t (*diff_own_pairs(struct diff *d, size_t *n))[2];
