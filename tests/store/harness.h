#pragma once

/*
 * A domain with a store behind it, and comparing what two domains hold. Built with TEST_POSTGRES,
 * what has no file of its own is a database of a PostgreSQL that the test started.
 */

#include "../unit.h"

#include "cluster.h"
#include "core/rand.h"
#include "store/store_internal.h"

#define T0 ((int64_t)1700000000000)

struct world {
    struct store *store;
    struct domain *domain;
    struct store_batch *batch;
    struct change_list changes;
    int64_t now_ms;
    bool durable; /* something in the batch */
};

#ifdef TEST_POSTGRES
#define TEST_ENGINE_IS_POSTGRES true
#else
#define TEST_ENGINE_IS_POSTGRES false
#endif

/* Of a test_dir's path, or ":memory:" (SQLite, always). Borrows the path. */
struct test_options {
    struct store_postgres postgres;
    struct store_options options;
};
const struct store_options *test_options(struct test_options *room, const char *path);
/* SQL from outside, as an operator would; SQLite's words. The first number it answers. */
int64_t outside(const char *path, const char *sql);
/* main of a test that runs on either engine: 77 (skipped) when its engine is not here. */
#define run_on_engine(tests)                    \
    (TEST_ENGINE_IS_POSTGRES && !cluster_make() \
         ? 77                                   \
         : harness_end(cmocka_run_group_tests(tests, NULL, NULL)))
int harness_end(int status);

/* Opens the file (":memory:" or a path) and loads what it has; fails the test if it cannot. */
void world_open(struct world *w, const char *path);
/* Forgets everything that was not committed. */
void world_close(struct world *w);
/* Applies one command at w->now_ms and adds what it did to the batch; r must be fini'd. 0 or -code.
 */
int world_apply(struct world *w, struct command c, struct command_result *r);
/* The same for commands that must be done; the id it gave. */
uint64_t world_do(struct world *w, struct command c);
/* Commits the batch and starts another. */
int world_commit(struct world *w, struct err *err);
tailnet_id world_tailnet(struct world *w, const char *name);
user_id world_user(struct world *w, tailnet_id tailnet, const char *name);

/*
 * A directory of its own, and a path in it; with PostgreSQL a database of its own, and its name.
 * test_dir_remove when done.
 */
struct test_dir {
    char dir[64];
    char path[96];
};
void test_dir_make(struct test_dir *t);
void test_dir_remove(struct test_dir *t);

/*
 * NULL when both hold the same, but for what is not stored (streams, who serves a route); else what
 * differs, in a static buffer.
 */
const char *differ_domains(struct domain *a, struct domain *b);
const char *differ_infos(const struct tailnet_info *a, const struct tailnet_info *b);
const char *differ_users(const struct user *a, const struct user *b);
const char *differ_auth_keys(const struct auth_key *a, const struct auth_key *b);
const char *differ_api_keys(const struct api_key *a, const struct api_key *b);
/* Stored fields only. */
const char *differ_nodes(const struct node *a, const struct node *b);
