#pragma once

/* For tests: the whole of a parcel as one text, taken in runs of many lengths. */

#include "unit.h"

#include "netmap/parcel.h"

static inline void parcel_flatten(struct netmap_parcel *p, struct buf *out)
{
    size_t total = netmap_parcel_bytes(p), before = out->len, max = 1;

    while (!netmap_parcel_is_empty(p)) {
        struct str run = netmap_parcel_next(p, max);

        assert_in_range(run.len, 1, max);
        buf_put(out, run);
        max = max * 3 + 1;
    }
    assert_int_equal(out->len - before, total);
    netmap_parcel_fini(p);
}
