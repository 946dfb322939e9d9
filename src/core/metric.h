#pragma once

/*
 * Counters and gauges in the words of Prometheus. Defined at file scope, registered on first use,
 * added to from any thread without a lock.
 *
 *   static struct metric map_full = METRIC_COUNTER("hatsize_map_full_total", "Full maps sent.");
 *   metric_add(&map_full, 1);
 */

#include "core/buf.h"

struct metric {
    const char *name;
    const char *help;
    bool is_gauge;
    _Atomic(int64_t) value;
    _Atomic(int) state; /* 0 new, 1 being registered, 2 registered */
    struct metric *next;
};

#define METRIC_COUNTER(n, h)     \
    {                            \
        .name = (n), .help = (h) \
    }
#define METRIC_GAUGE(n, h)                         \
    {                                              \
        .name = (n), .help = (h), .is_gauge = true \
    }

void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t v);
int64_t metric_get(const struct metric *m);
/* Of the one that has this whole name, labels too; 0 when nobody used it yet. */
int64_t metric_find_value(struct str name);
/* All registered ones in the text exposition format, sorted by name. */
void metric_put_all(struct buf *out);
