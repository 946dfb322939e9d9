/* See metric_family.h. */

#include "core/metric_family.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/mem.h"

struct metric_series {
    struct metric_series *next;
    struct str labels;
    double value; /* a histogram's sum */
    uint64_t count;
    uint64_t below[METRIC_BOUNDS_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric_family *families; /* under the lock */

static struct metric_series *series_of(struct metric_family *f, struct str labels)
{
    struct metric_series **at = &f->series;
    size_t n = 0;

    if (!f->is_registered) {
        ASSERT(f->n_bounds <= METRIC_BOUNDS_MAX);
        f->is_registered = true;
        f->next = families;
        families = f;
    }
    for (; *at; at = &(*at)->next, n++) {
        struct metric_series *s = *at;

        if (!str_eq(s->labels, labels))
            continue;
        /* What is asked for often comes soon. */
        *at = s->next;
        s->next = f->series;
        f->series = s;
        return s;
    }
    if (n >= METRIC_SERIES_MAX && labels.len > 0)
        return series_of(f, STR_NONE);
    struct metric_series *s = NEW(struct metric_series);
    s->labels = str_copy(labels);
    s->next = f->series;
    f->series = s;
    return s;
}

void metric_family_add(struct metric_family *f, struct str labels, double v)
{
    (void)pthread_mutex_lock(&lock);
    series_of(f, labels)->value += v;
    (void)pthread_mutex_unlock(&lock);
}

void metric_family_observe(struct metric_family *f, struct str labels, double v)
{
    struct metric_series *s;

    (void)pthread_mutex_lock(&lock);
    s = series_of(f, labels);
    s->value += v;
    s->count++;
    for (size_t i = 0; i < f->n_bounds; i++)
        s->below[i] += v <= f->bounds[i];
    (void)pthread_mutex_unlock(&lock);
}

/* ---- Out ---- */

static void put_number(struct buf *out, double v)
{
    if (v == (double)(int64_t)v)
        buf_put_i64(out, (int64_t)v);
    else
        buf_printf(out, "%.9g", v);
}

static void put_line(struct buf *out, const struct metric_family *f, const char *suffix,
                     struct str labels, struct str le, double v)
{
    buf_printf(out, "%s%s", f->name, suffix);
    if (labels.len > 0 || le.len > 0)
        buf_printf(out, "{%.*s%s", STR_ARG(labels), labels.len > 0 && le.len > 0 ? "," : "");
    if (le.len > 0)
        buf_printf(out, "le=\"%.*s\"", STR_ARG(le));
    if (labels.len > 0 || le.len > 0)
        buf_put_char(out, '}');
    buf_put_char(out, ' ');
    put_number(out, v);
    buf_put_char(out, '\n');
}

static void put_histogram(struct buf *out, const struct metric_family *f,
                          const struct metric_series *s)
{
    for (size_t i = 0; i < f->n_bounds; i++) {
        struct buf le = BUF(64);

        buf_printf(&le, "%g", f->bounds[i]);
        put_line(out, f, "_bucket", s->labels, buf_str(&le), (double)s->below[i]);
        buf_fini(&le);
    }
    put_line(out, f, "_bucket", s->labels, STR("+Inf"), (double)s->count);
    put_line(out, f, "_sum", s->labels, STR_NONE, s->value);
    put_line(out, f, "_count", s->labels, STR_NONE, (double)s->count);
}

static int by_labels(const void *a, const void *b)
{
    const struct metric_series *const *x = a, *const *y = b;

    return str_cmp((*x)->labels, (*y)->labels);
}

static void put_family(struct buf *out, const struct metric_family *f)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const struct metric_series *sorted[METRIC_SERIES_MAX + 1];
    size_t n = 0;

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, kinds[f->kind]);
    for (const struct metric_series *s = f->series; s; s = s->next)
        sorted[n++] = s;
    qsort(sorted, n, sizeof(sorted[0]), by_labels);
    for (size_t i = 0; i < n; i++) {
        if (f->kind == METRIC_KIND_HISTOGRAM)
            put_histogram(out, f, sorted[i]);
        else
            put_line(out, f, "", sorted[i]->labels, STR_NONE, sorted[i]->value);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct metric_family *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

void metric_family_put_all(struct buf *out)
{
    const struct metric_family **sorted;
    size_t n = 0;

    (void)pthread_mutex_lock(&lock);
    for (const struct metric_family *f = families; f; f = f->next)
        n++;
    sorted = mem_alloc_array(n + 1, sizeof(*sorted));
    n = 0;
    for (const struct metric_family *f = families; f; f = f->next)
        sorted[n++] = f;
    if (n > 0)
        qsort(sorted, n, sizeof(*sorted), by_name);
    for (size_t i = 0; i < n; i++)
        put_family(out, sorted[i]);
    mem_free(sorted);
    (void)pthread_mutex_unlock(&lock);
}
