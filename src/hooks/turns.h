#pragma once

/*
 * Whose message goes next, where more want to send than there are threads. No I/O, no clock.
 *
 *   add --> WAITING --next--> SENDING --done--> neither
 *
 * Each tailnet waits once, however many endpoints it has: one turn, and it is behind the others
 * again. Endpoints that were slow or failed last time are in a line of their own, which has half
 * of the threads at most, and of these each tailnet one: so no number of slow receivers holds up
 * those that answer, and no tailnet another.
 */

#include "core/list.h"
#include "tailnet/types.h"

#define TURNS_MAX 16       /* under way at once; as many threads send */
#define TURNS_SLOW_MAX 8   /* of them, to slow endpoints */
#define TURNS_OF_TAILNET 4 /* quick ones; of slow ones, one */

enum turn_line { TURN_QUICK, TURN_SLOW, TURN_LINES };
enum turn_state { TURN_NONE, TURN_WAITING, TURN_SENDING };

struct turn_group;

/* Part of an endpoint; zero to begin with. */
struct turn {
    struct list_node link;
    struct turn_group *group;
    enum turn_state state;
};

struct turns;
MUST_USE struct turns *turns_new(void);
void turns_free(struct turns *t); /* NULL is fine */

/* Wants to send. One that waits or sends already stays as it is. */
void turns_add(struct turns *t, struct turn *turn, tailnet_id tailnet, bool is_slow);
/* Whose turn it is, and now sending; NULL: nobody's until another is done or comes. */
struct turn *turns_next(struct turns *t);
/* Has sent, or waits no longer. */
void turns_done(struct turns *t, struct turn *turn);
