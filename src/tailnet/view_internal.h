#pragma once

/* How the domain makes a view of its tables. */

#include "tailnet/table_internal.h"
#include "tailnet/view.h"

/* Copies the tables, chunks shared; count 1. */
MUST_USE struct tailnet_view *view_new(const struct tailnet_info *info, uint64_t revision,
                                       const struct table *nodes, const struct table *users,
                                       const struct table *auth_keys);
