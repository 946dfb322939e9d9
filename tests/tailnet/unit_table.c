/* Tables, views of them and the deadline heap, each against a naive twin. */

#include "../unit.h"

#include "core/rand.h"
#include "tailnet/schedule_internal.h"
#include "tailnet/table_internal.h"

struct object {
    struct ref ref;
    uint64_t id;
    unsigned version;
};

static size_t alive;

static const void *object_ref(const void *o)
{
    union {
        const void *in;
        struct object *out;
    } u = {.in = o};

    ref_take(&u.out->ref);
    return o;
}

static void object_unref(const void *o)
{
    union {
        const void *in;
        struct object *out;
    } u = {.in = o};

    if (!ref_drop(&u.out->ref))
        return;
    alive--;
    mem_free(u.out);
}

static struct object *object_new(uint64_t id, unsigned version)
{
    struct object *o = NEW(struct object);

    ref_init(&o->ref);
    o->id = id;
    o->version = version;
    alive++;
    return o;
}

#define IDS 700

struct model {
    unsigned versions[IDS]; /* 0: absent */
};

static void assert_table_is(const struct table *t, const struct model *m)
{
    size_t at = 0, count = 0;

    for (size_t id = 1; id < IDS; id++) {
        const struct object *o = table_find(t, id);

        assert_int_equal(o ? o->version : 0, m->versions[id]);
        if (!o)
            continue;
        count++;
        assert_ptr_equal(table_next(t, &at), o);
    }
    assert_null(table_next(t, &at));
    assert_int_equal(t->count, count);
}

/* Copies stay what they were while the original goes on changing. */
static void tables_agree_with_an_array(void **state)
{
    struct table t = {.ref = object_ref, .unref = object_unref}, copies[8] = {{0}};
    struct model now = {{0}}, then[8];
    struct rand_seeded r;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        rand_seed(&r, seed);
        print_message("seed %d\n", (int)seed);
        for (unsigned step = 1; step <= 6000; step++) {
            /* Mostly growing, then mostly shrinking. */
            bool put = rand_seeded_below(&r, 10) < (step < 3000 ? 8 : 3);
            size_t id = 1 + rand_seeded_below(&r, IDS - 1);

            if (put)
                table_put(&t, id, object_new(id, step));
            else
                assert_int_equal(table_remove(&t, id), now.versions[id] != 0);
            now.versions[id] = put ? step : 0;
            if (step % 500 == 0) {
                size_t slot = rand_seeded_below(&r, ARRAY_LEN(copies));

                table_fini(&copies[slot]);
                table_copy(&copies[slot], &t);
                then[slot] = now;
                assert_table_is(&t, &now);
                for (size_t i = 0; i < ARRAY_LEN(copies); i++)
                    if (copies[i].unref)
                        assert_table_is(&copies[i], &then[i]);
            }
        }
    }
    table_fini(&t);
    for (size_t i = 0; i < ARRAY_LEN(copies); i++)
        table_fini(&copies[i]);
    assert_int_equal(alive, 0);
}

static void rising_ids_fill_their_chunks(void **state)
{
    struct table t = {.ref = object_ref, .unref = object_unref};

    (void)state;
    for (uint64_t id = 1; id <= 10 * TABLE_CHUNK; id++)
        table_put(&t, id, object_new(id, 1));
    assert_int_equal(t.n_chunks, 10);
    for (uint64_t id = 1; id <= 10 * TABLE_CHUNK; id++)
        if (id % 100 != 0)
            table_remove(&t, id);
    assert_true(t.n_chunks <= 2);
    table_fini(&t);
}

static void the_earliest_deadline_comes_first(void **state)
{
    struct deadline dl[200] = {{0}};
    struct schedule s = {0};
    struct rand_seeded r;
    int64_t now = 0;

    (void)state;
    rand_seed(&r, 7);
    for (int step = 0; step < 20000; step++) {
        struct deadline *d = &dl[rand_seeded_below(&r, ARRAY_LEN(dl))];
        int64_t next = INT64_MAX;

        if (rand_seeded_below(&r, 3) > 0)
            schedule_set(&s, d, now + 1 + (int64_t)rand_seeded_below(&r, 1000));
        else
            schedule_clear(&s, d);
        for (size_t i = 0; i < ARRAY_LEN(dl); i++)
            if (dl[i].slot > 0)
                next = MIN(next, dl[i].at_ms);
        assert_true(schedule_next_ms(&s) == next);
        if (step % 10 != 0)
            continue;
        now += (int64_t)rand_seeded_below(&r, 200);
        int64_t last = 0;
        for (struct deadline *due; (due = schedule_take_due(&s, now)); last = due->at_ms)
            assert_true(due->at_ms >= last && due->at_ms <= now && due->slot == 0);
        assert_true(schedule_next_ms(&s) > now);
    }
    schedule_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_agree_with_an_array),
        cmocka_unit_test(rising_ids_fill_their_chunks),
        cmocka_unit_test(the_earliest_deadline_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
