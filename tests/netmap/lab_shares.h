#pragma once

/* What happens between the tailnets of a lab: machines are lent, lent further, taken back. */

#include "netmap/lab.h"

/* Gives every machine of every tailnet what the shares in force allow it, each with the chance; as
 * the server does after asking both policies. */
void lab_settle(struct lab *l, uint64_t percent);

/* To all of that tailnet, in force at once; `is_wide`: both ways, with all its routes. */
void lab_lend(struct lab *l, enum lab_node which, const struct lab *to, bool is_wide);

extern const struct lab_kind lab_share_kinds[];
extern const size_t lab_n_share_kinds;
