#pragma once

/* A view put together by hand, from objects that no domain made. */

#include "tailnet/view_internal.h"

/* Objects are taken when they are put (table_put). */
struct made_view {
    struct table nodes;
    struct table users;
    struct table guests;
    struct table guest_users;
    struct table infos; /* of tailnets that guests come from */
};
void made_view_begin(struct made_view *m);
/* The view, with info and revision of `like` and nothing but what was put; ends *m. */
MUST_USE const struct tailnet_view *made_view_end(struct made_view *m,
                                                  const struct tailnet_view *like);
