/* See near.h. */

#include "cli/near.h"

#include <string.h>

static size_t least(size_t a, size_t b, size_t c)
{
    return MIN(a, MIN(b, c));
}

size_t near_distance(struct str a, struct str b)
{
    /* One row for each of the last two letters of a, and the one being filled. */
    size_t rows[3][NEAR_WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (a.len > NEAR_WORD_MAX || b.len > NEAR_WORD_MAX)
        return MAX(a.len, b.len);
    memset(rows, 0, sizeof(rows));
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = a.ptr[i - 1] == b.ptr[j - 1];

            row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;

        before = last;
        last = row;
        row = oldest;
    }
    return last[b.len];
}

/* A third of the letters may be wrong, and a beginning of three letters is always meant. */
void near_look(struct near *n, const char *known)
{
    struct str s = str_from(known);
    size_t distance = near_distance(n->word, s);

    if (n->word.len >= 3 && str_starts(s, n->word))
        distance = MIN(distance, (size_t)1);
    if (n->word.len == 0 || distance > MAX(n->word.len, s.len) / 3)
        return;
    if (n->best && distance >= n->distance)
        return;
    n->best = known;
    n->distance = distance;
}
