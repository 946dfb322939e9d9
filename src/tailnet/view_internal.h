#pragma once

/* How the domain makes a view of its tables. */

#include "tailnet/table_internal.h"
#include "tailnet/view.h"

/* The domain's tables of a tailnet; borrowed. */
struct view_tables {
    const struct table *nodes;
    const struct table *users;
    const struct table *auth_keys;
    const struct table *webhooks;
    const struct table *guests;
    const struct table *guest_users;
    const struct table *guest_infos;
    const struct table *shares;
    const struct table *share_invites;
    const struct table *user_invites;
};
/* Copies the tables, chunks shared; count 1. */
MUST_USE struct tailnet_view *view_new(const struct tailnet_info *info, uint64_t revision,
                                       const struct view_tables *tables);
