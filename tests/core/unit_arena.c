#include "../unit.h"

#include "core/arena.h"

static void gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    size_t asked = 0;

    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = arena_alloc(a, n);

        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n); /* must not reach a later allocation */
        asked += n;
    }
    assert_int_equal(arena_bytes(a), asked);
}

static void large_pieces_do_not_spoil_small_ones(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    char *large = arena_alloc(a, 1 << 20);
    char *x = arena_alloc(a, 8), *y = arena_alloc(a, 8);
    char *large_again = arena_alloc(a, 1 << 20);
    char *z = arena_alloc(a, 8);

    large[(1 << 20) - 1] = 1;
    large_again[(1 << 20) - 1] = 1;
    assert_true(y - x >= 8 && y - x <= 32);
    assert_true(z - y >= 8 && z - y <= 32);
}

static void copies_and_prints(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *a = arena_new();
    struct str s = arena_copy(a, STR("a\0b"));
    struct str n = arena_printf(a, "node %d", 7);
    struct str wide = arena_printf(a, "%01000d", 5);

    assert_str(s, STR("a\0b"));
    assert_int_equal(s.ptr[3], 0);
    assert_str(n, STR("node 7"));
    assert_int_equal(n.ptr[6], 0);
    assert_int_equal(wide.len, 1000);
    assert_int_equal(wide.ptr[999], '5');
    assert_int_equal(arena_copy(a, STR_NONE).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_memory),
        cmocka_unit_test(large_pieces_do_not_spoil_small_ones),
        cmocka_unit_test(copies_and_prints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
