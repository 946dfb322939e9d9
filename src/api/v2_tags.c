/* Which tags an access token may give: its own, and those that its own own in the policy. */

#include "api/v2_internal.h"

/* The first tag that who asks may not give; NULL: none. */
static const struct str *foreign_tag(const struct api_call *c, const struct str_list *tags)
{
    const struct policy *policy = hub_policy(control_hub(c->api->control, c->a->loop), c->tailnet);
    const struct policy_document *document = policy ? policy_document(policy) : NULL;
    const struct node owner = {.tags = c->caller.tags};

    for (size_t i = 0; c->caller.kind == CALLER_OAUTH && i < tags->len; i++)
        if (!str_list_has(&c->caller.tags, tags->items[i]) &&
            !(document && policy_tag_may_be_requested(document, NULL, &owner, tags->items[i])))
            return &tags->items[i];
    return NULL;
}

bool api_v2_may_give(struct api_call *c, const struct str_list *tags)
{
    const struct str *foreign;

    if (tags->len > NODE_TAGS_MAX) {
        api_problem(c, 400, "too many tags", NULL);
        return false;
    }
    foreign = foreign_tag(c, tags);
    if (foreign)
        api_problem(c, 403,
                    arena_printf(api_arena(c), "the token may not give %.*s",
                                 STR_ARG(str_sub(*foreign, 0, 64)))
                        .ptr,
                    NULL);
    return !foreign;
}
