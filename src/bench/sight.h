#pragma once

/*
 * Who should see whom under the crowd's policy: compiled here from what the generator itself knows
 * of the nodes. Nodes that the policy treats alike form a row, so a question is one look at a
 * table.
 */

#include "bench/bench_internal.h"

/* For all sims that have a name and addresses. */
MUST_USE struct sight *sight_new(const struct run *r, struct str policy, struct err *err);
void sight_free(struct sight *s); /* NULL is fine */
/* What it sees, by sight_column of the others. Borrowed. */
const bool *sight_row(const struct sight *s, const struct sim *viewer);
uint32_t sight_column(const struct sight *s, const struct sim *other);
bool sight_sees(const struct sight *s, const struct sim *viewer, const struct sim *other);
