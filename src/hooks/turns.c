/* See turns.h. A group is a tailnet in one of the lines; it is there while it waits or sends. */

#include "hooks/turns.h"

#include "core/map.h"
#include "core/mem.h"

struct turn_group {
    struct list_node link; /* in the line, while one of it may have a turn */
    tailnet_id tailnet;
    enum turn_line line;
    struct list waiting; /* struct turn */
    size_t sending;
};

struct line {
    struct map *groups; /* by tailnet */
    struct list ready;  /* those who may have a turn */
    size_t sending;
    size_t max;
    size_t max_of_tailnet;
};

struct turns {
    struct line lines[TURN_LINES];
};

struct turns *turns_new(void)
{
    struct turns *t = NEW(struct turns);

    t->lines[TURN_QUICK].max = TURNS_MAX;
    t->lines[TURN_QUICK].max_of_tailnet = TURNS_OF_TAILNET;
    t->lines[TURN_SLOW].max = TURNS_SLOW_MAX;
    t->lines[TURN_SLOW].max_of_tailnet = 1;
    for (size_t i = 0; i < TURN_LINES; i++) {
        t->lines[i].groups = map_new();
        list_init(&t->lines[i].ready);
    }
    return t;
}

void turns_free(struct turns *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < TURN_LINES; i++) {
        struct str key;
        void *value;

        for (size_t at = 0; map_next(t->lines[i].groups, &at, &key, &value);)
            mem_free(value);
        map_free(t->lines[i].groups);
    }
    mem_free(t);
}

/* Stands in its line if and only if one of it may have a turn; goes when nothing is left of it. */
static void settle(struct turns *t, struct turn_group *g)
{
    struct line *l = &t->lines[g->line];
    bool may = !list_is_empty(&g->waiting) && g->sending < l->max_of_tailnet;

    if (may && !list_node_is_linked(&g->link))
        list_push_back(&l->ready, &g->link);
    if (!may)
        list_remove(&g->link);
    if (!list_is_empty(&g->waiting) || g->sending > 0)
        return;
    (void)map_remove_u64(l->groups, g->tailnet);
    mem_free(g);
}

void turns_add(struct turns *t, struct turn *turn, tailnet_id tailnet, bool is_slow)
{
    enum turn_line line = is_slow ? TURN_SLOW : TURN_QUICK;
    struct turn_group *g = map_find_u64(t->lines[line].groups, tailnet);

    if (turn->state != TURN_NONE)
        return;
    if (!g) {
        g = NEW(struct turn_group);
        list_node_init(&g->link);
        list_init(&g->waiting);
        g->tailnet = tailnet;
        g->line = line;
        (void)map_put_u64(t->lines[line].groups, tailnet, g);
    }
    turn->group = g;
    turn->state = TURN_WAITING;
    list_push_back(&g->waiting, &turn->link);
    settle(t, g);
}

static struct turn *next_of(struct turns *t, struct line *l)
{
    struct list_node *first = l->sending < l->max ? list_first(&l->ready) : NULL;

    if (!first)
        return NULL;
    struct turn_group *g = CONTAINER_OF(first, struct turn_group, link);
    struct list_node *waiting = list_first(&g->waiting);

    ASSERT(waiting); /* or it would not stand in the line */
    struct turn *turn = CONTAINER_OF(waiting, struct turn, link);

    list_remove(&turn->link);
    turn->state = TURN_SENDING;
    l->sending++;
    g->sending++;
    /* Behind all others. */
    list_remove(&g->link);
    settle(t, g);
    return turn;
}

struct turn *turns_next(struct turns *t)
{
    struct turn *turn = NULL;

    if (t->lines[TURN_QUICK].sending + t->lines[TURN_SLOW].sending >= TURNS_MAX)
        return NULL;
    turn = next_of(t, &t->lines[TURN_QUICK]);
    return turn ? turn : next_of(t, &t->lines[TURN_SLOW]);
}

void turns_done(struct turns *t, struct turn *turn)
{
    struct turn_group *g = turn->group;

    if (turn->state == TURN_NONE)
        return;
    if (turn->state == TURN_SENDING) {
        g->sending--;
        t->lines[g->line].sending--;
    } else {
        list_remove(&turn->link);
    }
    turn->state = TURN_NONE;
    turn->group = NULL;
    settle(t, g);
}
