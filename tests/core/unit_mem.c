/* The heap's arrays. */

#include "../unit.h"

#include "core/mem.h"

static void room_is_made_as_it_is_wanted(void **state)
{
    uint32_t *items = NULL;
    size_t len = 0, cap = 0, grown = 0;

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        size_t before = cap;

        items = mem_room(items, len, &cap, 3, sizeof(*items));
        assert_true(len < cap);
        grown += cap != before;
        items[len++] = i;
    }
    assert_int_equal(cap, 192);
    assert_int_equal(grown, 7);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(items[i], i);
    mem_free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_made_as_it_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
