#pragma once

/*
 * Figures with labels that are only known as they come: requests by path and status, durations as
 * histograms. For what is counted now and then: each addition takes a lock. What is counted all the
 * time is a struct metric.
 *
 *   static struct metric_family requests =
 *       METRIC_FAMILY_COUNTER("http_requests_total", "Requests.");
 *   metric_family_add(&requests, STR("status=\"200\""), 1);
 *
 * A family has at most METRIC_SERIES_MAX series; what comes later is counted under no labels.
 */

#include "core/buf.h"

#define METRIC_SERIES_MAX 512
#define METRIC_BOUNDS_MAX 16

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

struct metric_series;

struct metric_family {
    const char *name;
    const char *help;
    enum metric_kind kind;
    const double *bounds; /* of a histogram, rising; +Inf by itself */
    size_t n_bounds;      /* at most METRIC_BOUNDS_MAX */
    bool is_registered;   /* these three under the lock */
    struct metric_family *next;
    struct metric_series *series;
};

#define METRIC_FAMILY_COUNTER(n, h)                           \
    {                                                         \
        .name = (n), .help = (h), .kind = METRIC_KIND_COUNTER \
    }
#define METRIC_FAMILY_GAUGE(n, h)                           \
    {                                                       \
        .name = (n), .help = (h), .kind = METRIC_KIND_GAUGE \
    }
#define METRIC_FAMILY_HISTOGRAM(n, h, b)                                        \
    {                                                                           \
        .name = (n), .help = (h), .kind = METRIC_KIND_HISTOGRAM, .bounds = (b), \
        .n_bounds = ARRAY_LEN(b)                                                \
    }

/* `labels` as they stand between the braces; values must need no escaping. From any thread. */
void metric_family_add(struct metric_family *f, struct str labels, double v);
/* A histogram's value. */
void metric_family_observe(struct metric_family *f, struct str labels, double v);
/* All of them, by name; behind metric_put_all. */
void metric_family_put_all(struct buf *out);
