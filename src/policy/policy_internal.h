#pragma once

/* What a policy is made of; for this room and for tests that need one of their own. */

#include "policy/policy.h"

struct policy {
    struct ref ref;
    bool is_open;
    void (*free)(struct policy *p);
    bool (*sees)(const struct policy *p, const struct tailnet_view *view, const struct node *viewer,
                 const struct node *peer);
    void (*put_filter)(const struct policy *p, const struct tailnet_view *view,
                       const struct node *viewer, struct buf *out);
    void (*put_ssh)(const struct policy *p, const struct tailnet_view *view,
                    const struct node *viewer, struct buf *out);
};
