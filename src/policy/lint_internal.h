#pragma once

/* What the files of policy_lint share. */

#include "policy/access_internal.h"
#include "policy/guests_internal.h"

/* Comparisons of rules, pairs of classes and the like; what is over is left out quietly. */
#define LINT_WORK_MAX ((uint64_t)20000000)
#define LINT_FINDINGS_MAX 1000

struct lint {
    const struct policy *p;
    const struct policy_document *d;
    struct arena *arena;
    struct policy_finding *items;
    size_t len;
    size_t cap;
    uint64_t work;
    roaring_bitmap_t *live;       /* classes that have a node */
    const struct member **sample; /* class id -> a node of it */
    bool *used;                   /* per selector: something refers to it, groups' members aside */
};

/* One more finding; order does not matter. */
PRINTF_LIKE(3, 4)
void lint_find(struct lint *l, struct policy_pos pos, const char *fmt, ...);
bool lint_work(struct lint *l, uint64_t n);
/* Whether some node is in one of the classes. */
bool lint_has_nodes(const struct lint *l, const roaring_bitmap_t *classes);
/* Whether the selector has some guest. */
bool lint_has_guest(const struct lint *l, const struct policy_selector *s);

/* lint_names.c: groups, users, tags, hosts, sets, postures. */
void lint_names(struct lint *l);
/* lint_rules.c: rules that match nothing, or everything. */
void lint_rules(struct lint *l);
/* lint_cover.c: rules that another covers. */
void lint_covered(struct lint *l);
/* lint_ssh.c */
void lint_ssh(struct lint *l);
