/* See policy_turns.h. */

#include "control/policy_turns.h"

#include "core/list.h"
#include "core/map.h"

struct turn_tailnet {
    tailnet_id id;
    struct list calls; /* struct registrar_call, never empty */
    struct list_node turns_link;
};

struct policy_turns {
    struct map *by_id; /* struct turn_tailnet, those in `line` */
    struct list line;
};

struct policy_turns *policy_turns_new(void)
{
    struct policy_turns *t = NEW(struct policy_turns);

    t->by_id = map_new();
    list_init(&t->line);
    return t;
}

void policy_turns_free(struct policy_turns *t)
{
    if (!t)
        return;
    ASSERT(list_is_empty(&t->line));
    map_free(t->by_id);
    mem_free(t);
}

void policy_turns_add(struct policy_turns *t, tailnet_id tailnet, struct registrar_call *call)
{
    struct turn_tailnet *of = map_find_u64(t->by_id, tailnet);

    if (!of) {
        of = NEW(struct turn_tailnet);
        of->id = tailnet;
        list_init(&of->calls);
        list_push_back(&t->line, &of->turns_link);
        (void)map_put_u64(t->by_id, tailnet, of);
    }
    list_push_back(&of->calls, &call->held_link);
}

struct registrar_call *policy_turns_next(struct policy_turns *t)
{
    struct list_node *first = list_pop_front(&t->line);

    if (!first)
        return NULL;
    struct turn_tailnet *of = CONTAINER_OF(first, struct turn_tailnet, turns_link);
    struct registrar_call *call =
        CONTAINER_OF(list_pop_front(&of->calls), struct registrar_call, held_link);

    if (!list_is_empty(&of->calls)) {
        list_push_back(&t->line, &of->turns_link);
        return call;
    }
    (void)map_remove_u64(t->by_id, of->id);
    mem_free(of);
    return call;
}

bool policy_turns_are_empty(const struct policy_turns *t)
{
    return list_is_empty(&t->line);
}
