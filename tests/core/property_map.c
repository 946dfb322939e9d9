/* A map behaves like an array indexed by key, whatever the order of puts and removals. */

#include "../unit.h"

#include <inttypes.h>

#include "core/map.h"
#include "core/mem.h"
#include "core/rand.h"

#define KEYS 600
#define STEPS 200000

DEFINE_AUTO(struct map, map_free);

static char values[8];

static struct str key_of(char text[32], uint64_t k)
{
    /* Some keys live in the slot, some on the heap. */
    int n = snprintf(text, 32, k % 2 ? "k%" PRIu64 : "a rather long key %" PRIu64, k);

    return str_bytes(text, (size_t)n);
}

static void check_all(const struct map *m, void *const model[KEYS])
{
    size_t n = 0, at = 0, visits = 0;
    char text[32];

    for (uint64_t k = 0; k < KEYS; k++) {
        assert_ptr_equal(map_find(m, key_of(text, k)), model[k]);
        n += model[k] != NULL;
    }
    assert_int_equal(map_len(m), n);
    while (map_next(m, &at, NULL, NULL))
        visits++;
    assert_int_equal(visits, n);
}

static void behaves_like_an_array(void **state)
{
    (void)state;
    AUTO(map_free) struct map *m = map_new();
    uint64_t seed = rand_u64();
    struct rand_seeded r;
    void *model[KEYS] = {0};

    print_message("seed %" PRIu64 "\n", seed);
    rand_seed(&r, seed);
    for (size_t step = 0; step < STEPS; step++) {
        /* The share of puts swings, so the map fills, empties and fills again. */
        uint64_t k = rand_seeded_below(&r, KEYS), puts = (step / 5000) % 2 ? 2 : 8;
        void *value = &values[rand_seeded_below(&r, sizeof(values))];
        char text[32];
        struct str key = key_of(text, k);

        if (rand_seeded_below(&r, 10) < puts) {
            assert_ptr_equal(map_put(m, key, value), model[k]);
            model[k] = value;
        } else {
            assert_ptr_equal(map_remove(m, key), model[k]);
            model[k] = NULL;
        }
        if (step % 1000 == 0)
            check_all(m, model);
    }
    check_all(m, model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(behaves_like_an_array)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
