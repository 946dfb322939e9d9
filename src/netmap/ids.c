/* Sorted lists of ids. */

#include "netmap/netmap_internal.h"

static int by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

size_t netmap_ids_sort(uint64_t *ids, size_t len)
{
    size_t n = 0;

    if (len)
        qsort(ids, len, sizeof *ids, by_id);
    for (size_t i = 0; i < len; i++)
        if (n == 0 || ids[n - 1] != ids[i])
            ids[n++] = ids[i];
    return n;
}

bool netmap_ids_have(const uint64_t *ids, size_t n, uint64_t id)
{
    return n && bsearch(&id, ids, n, sizeof id, by_id);
}
