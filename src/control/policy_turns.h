#pragma once

/*
 * Which tailnet's policy is judged next. Judging takes long (0.2 s for the largest policy there may
 * be) and is done on the registrar's thread, so it is not done as it comes:
 *
 *   add --> WAITING --next--> judged and applied
 *
 * One is taken at a time, and everything else that has come meanwhile goes first. Tailnets take
 * turns, and within one they are taken in the order they came. So however many policies one tailnet
 * sets, another's command waits for at most one of them, and another's policy for at most one of
 * each tailnet that has some.
 *
 * No clock, no I/O, one thread.
 */

#include "control/registrar.h"

struct policy_turns;

MUST_USE struct policy_turns *policy_turns_new(void);
/* Nobody may wait. */
void policy_turns_free(struct policy_turns *t);
/* Waits until its turn comes; held_link is its place. */
void policy_turns_add(struct policy_turns *t, tailnet_id tailnet, struct registrar_call *call);
/* Whose turn it is; NULL: nobody waits. */
struct registrar_call *policy_turns_next(struct policy_turns *t);
bool policy_turns_are_empty(const struct policy_turns *t);
