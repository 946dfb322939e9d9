#pragma once

/*
 * Which of the known words somebody may have meant. Ask for each in turn; the nearest stays.
 *
 *   struct near n = NEAR(word);
 *   for (…)
 *       near_look(&n, known);
 *   if (n.best) …
 */

#include "core/str.h"

#define NEAR_WORD_MAX 64 /* longer words are like nothing */

struct near {
    struct str word;
    const char *best; /* NULL: nothing is near */
    size_t distance;  /* of the best */
};
#define NEAR(of) ((struct near){.word = (of)})

void near_look(struct near *n, const char *known);
/* How many letters to add, drop, change or swap with their neighbour makes `b` of `a`; words of
 * more than NEAR_WORD_MAX letters are as far apart as they are long. */
size_t near_distance(struct str a, struct str b);
