#pragma once

/* What a compiled policy says of guests, held against naive_guests.h. As decisions.h. */

#include "decisions.h"

bool decisions_guests_agree(const struct decisions *in, char why[DECISIONS_WHY]);
/* Two policies compiled for one view say the same of guests. */
bool decisions_guests_same(const struct policy *a, const struct policy *b,
                           const struct tailnet_view *v, char why[DECISIONS_WHY]);
/* As decisions_lineage_holds, for pairs of a node and a guest. */
bool decisions_guests_lineage_holds(const struct policy *before, const struct policy *after,
                                    const struct tailnet_view *view_before,
                                    const struct tailnet_view *view_after, char why[DECISIONS_WHY]);
