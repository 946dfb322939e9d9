#pragma once

/*
 * A PostgreSQL of the test's own: a cluster in a temporary directory, reachable by its Unix socket
 * only, as an unprivileged user when the test is root (initdb refuses root). It dies with the test.
 */

#include "../unit.h"

#include "store/store.h"

/* False, and why on the standard output: there is no PostgreSQL on this machine. */
bool cluster_make(void);
void cluster_remove(void);
/* As an operator would: stop (fast, or as a crash would) and start again. Waits for it. */
void cluster_stop(bool crash);
void cluster_start(void);

/* A fresh, empty database; its name into `name`. */
void cluster_database(char name[64]);
void cluster_drop(const char *name);
/* Where it is; borrows the name. */
struct store_postgres cluster_where(const char *name);
/* SQL from outside; the first column of the first row, as a number, if there is one. */
int64_t cluster_sql(const char *name, const char *sql);
