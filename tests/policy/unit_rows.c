/* Rows against a plain array, and copies that must not notice what happens to the original. */

#include "unit.h"

#include "core/rand.h"
#include "policy/rows_internal.h"

#define KEYS 3000
#define STEPS 20000

struct row {
    uint64_t key[2];
    uint64_t value;
};

/* What should be there: values by key, 0 for none. */
struct plain {
    uint64_t values[KEYS];
    size_t count;
};

static struct row row_of(size_t i, uint64_t value)
{
    return (struct row){{i / 7, i % 7}, value};
}

static void check(const struct rows *r, const struct plain *p)
{
    struct rows_at at = {0};
    const struct row *row;

    assert_int_equal(r->count, p->count);
    for (size_t i = 0; i < KEYS; i++) {
        struct row key = row_of(i, 0);

        row = rows_find(r, key.key[0], key.key[1]);
        assert_int_equal(row ? row->value : 0, p->values[i]);
        if (!p->values[i])
            continue;
        row = rows_next(r, &at);
        assert_non_null(row);
        assert_int_equal(row->value, p->values[i]);
    }
    assert_null(rows_next(r, &at));
}

static void change(struct rows *r, struct plain *p, struct rand_seeded *rand, size_t step)
{
    size_t i = rand_seeded_below(rand, KEYS);
    struct row row = row_of(i, step + 1);

    if (rand_seeded_below(rand, 3)) {
        rows_put(r, &row);
        p->count += p->values[i] == 0;
        p->values[i] = row.value;
        return;
    }
    assert_int_equal(rows_remove(r, row.key[0], row.key[1]), p->values[i] != 0);
    p->count -= p->values[i] != 0;
    p->values[i] = 0;
}

static void behave_like_an_array(void **state)
{
    static struct plain plain, kept;
    struct rand_seeded rand;
    struct rows rows, copy;

    (void)state;
    rand_seed(&rand, 7);
    rows_init(&rows, sizeof(struct row));
    rows_init(&copy, sizeof(struct row));
    for (size_t step = 0; step < STEPS; step++) {
        change(&rows, &plain, &rand, step);
        if (step % 2500 != 0)
            continue;
        check(&copy, &kept);
        rows_fini(&copy);
        rows_copy(&copy, &rows);
        kept = plain;
        check(&rows, &plain);
    }
    check(&copy, &kept);
    rows_fini(&rows);
    check(&copy, &kept);
    rows_fini(&copy);
}

static void begin_anywhere(void **state)
{
    struct rows rows;

    (void)state;
    rows_init(&rows, sizeof(struct row));
    for (size_t i = 0; i < 1000; i++)
        rows_put(&rows, &(struct row){{i / 10 * 2, i % 10}, i + 1});
    for (uint64_t first = 0; first < 201; first++) {
        struct rows_at at = rows_from(&rows, first, 3);
        const struct row *row = rows_next(&rows, &at);
        uint64_t want = first % 2 ? (first + 1) / 2 * 10 : first / 2 * 10 + 3;

        if (want < 1000)
            assert_int_equal(row->value, want + 1);
        else
            assert_null(row);
    }
    rows_fini(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behave_like_an_array),
        cmocka_unit_test(begin_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
