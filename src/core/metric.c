#include "core/metric.h"

#include <stdatomic.h>

#include "core/mem.h"

/*
 * A list that only grows at its head. `next` is written before the metric is published and never
 * again, so readers need no lock.
 */
static _Atomic(struct metric *) registered;

static void register_once(struct metric *m)
{
    int fresh = 0;

    if (!atomic_compare_exchange_strong(&m->state, &fresh, 1))
        return;
    m->next = atomic_load_explicit(&registered, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&registered, &m->next, m, memory_order_release,
                                                  memory_order_relaxed))
        ;
    atomic_store_explicit(&m->state, 2, memory_order_release);
}

void metric_add(struct metric *m, int64_t n)
{
    if (atomic_load_explicit(&m->state, memory_order_relaxed) == 0)
        register_once(m);
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t v)
{
    if (atomic_load_explicit(&m->state, memory_order_relaxed) == 0)
        register_once(m);
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
}

int64_t metric_get(const struct metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

int64_t metric_find_value(struct str name)
{
    for (const struct metric *m = atomic_load_explicit(&registered, memory_order_acquire); m;
         m = m->next)
        if (str_eq(name, str_from(m->name)))
            return metric_get(m);
    return 0;
}

/* What comes before the labels. */
static struct str family(const struct metric *m)
{
    struct str head, tail;

    str_split(str_from(m->name), '{', &head, &tail);
    return head;
}

static int by_name(const void *a, const void *b)
{
    const struct metric *x = *(struct metric *const *)a, *y = *(struct metric *const *)b;
    int order = str_cmp(family(x), family(y));

    return order ? order : str_cmp(str_from(x->name), str_from(y->name));
}

static void put_help(struct buf *out, const char *help)
{
    for (; help && *help; help++) {
        if (*help == '\n')
            buf_put(out, STR("\\n"));
        else if (*help == '\\')
            buf_put(out, STR("\\\\"));
        else
            buf_put_char(out, *help);
    }
}

static void put_family(struct buf *out, const struct metric *m)
{
    struct str name = family(m);

    buf_put(out, STR("# HELP "));
    buf_put(out, name);
    buf_put_char(out, ' ');
    put_help(out, m->help);
    buf_put(out, STR("\n# TYPE "));
    buf_put(out, name);
    buf_put(out, m->is_gauge ? STR(" gauge\n") : STR(" counter\n"));
}

void metric_put_all(struct buf *out)
{
    struct metric *first = atomic_load_explicit(&registered, memory_order_acquire);
    size_t n = 0, at = 0;

    for (struct metric *m = first; m; m = m->next)
        n++;

    struct metric **sorted = mem_alloc_array(n, sizeof(*sorted));

    for (struct metric *m = first; m; m = m->next)
        sorted[at++] = m;
    if (n)
        qsort(sorted, n, sizeof(*sorted), by_name);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(family(sorted[i]), family(sorted[i - 1])))
            put_family(out, sorted[i]);
        buf_put(out, str_from(sorted[i]->name));
        buf_put_char(out, ' ');
        buf_put_i64(out, metric_get(sorted[i]));
        buf_put_char(out, '\n');
    }
    mem_free(sorted);
}
