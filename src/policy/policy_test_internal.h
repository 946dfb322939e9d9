#pragma once

/* What the two kinds of tests share: policy_test.c, policy_test_ssh.c. */

#include "policy/policy_internal.h"

/* Comparing everybody with everybody for every line ends somewhere. */
#define POLICY_TEST_STEPS_MAX ((uint64_t)200000000)

struct test_addr {
    struct ip_addr addr;
    const struct member *member;
};

struct test_run {
    const struct policy *p;
    struct arena *arena;
    struct buf *details;   /* may be NULL */
    struct policy_pos pos; /* of the first failure */
    struct buf first;      /* its line */
    size_t failures;
    uint64_t steps;
    const struct member **members; /* by class */
    size_t *from;                  /* class id -> its first member; [id + 1]: behind its last */
    const struct member **by_user; /* the untagged ones */
    size_t n_by_user;
    struct test_addr *addrs; /* by address */
    size_t n_addrs;
    struct ip_range wild[3];
    struct ip_range *everywhere; /* `*` as a source */
    size_t n_everywhere;
};

/* Whom a selector means in a test. */
struct test_named {
    const struct policy_selector *is; /* NULL: nobody */
    const roaring_bitmap_t *classes;  /* users, groups, tags...; NULL: none */
    struct ip_range *ranges;          /* addresses, hosts, sets, `*` */
    size_t n_ranges;
};

/* Lives as long as the run. Neither classes nor ranges: it resolves to nothing. */
struct test_named test_name(struct test_run *t, const struct policy_selector *s);
bool test_name_is_empty(const struct test_named *n);
/* The user token of a selector means nobody. */
bool test_is_unknown(const struct test_run *t, const struct policy_selector *s);
/* The devices of a user who has any: `n` from there on. */
const struct member **test_devices(const struct test_run *t, user_id user, size_t *n);
/* NULL: no node has it. */
const struct member *test_member_at(const struct test_run *t, struct ip_addr addr);
PRINTF_LIKE(3, 4) void test_fail(struct test_run *t, struct policy_pos pos, const char *fmt, ...);
/* Counts; false, and a failure, when it becomes too much. */
MUST_USE bool test_step(struct test_run *t, struct policy_pos pos, uint64_t n);

/* policy_test_ssh.c */
/* Shapes that the hosted service names: false and the complaint. */
MUST_USE bool ssh_tests_well_formed(const struct policy_document *d,
                                    struct policy_complaint *complaint);
void ssh_tests_run(struct test_run *t, const struct policy_document *d);
