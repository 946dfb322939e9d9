/* Slots are zeroed, apart, and cost only what is written. */

#include "../unit.h"

#include <sys/mman.h>

#include "core/slots.h"

#define PAGES 8
#define MANY 200

static size_t resident_pages(void *slot)
{
    unsigned char in[PAGES];
    size_t n = 0;

    assert_int_equal(mincore(slot, PAGES * SLOTS_PAGE, in), 0);
    for (size_t i = 0; i < PAGES; i++)
        n += in[i] & 1;
    return n;
}

static void slots_are_apart_and_zeroed(void **state)
{
    struct slots *s = slots_new(PAGES * SLOTS_PAGE - 1);
    char *slots[MANY];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            slots[i] = slots_get(s);
            assert_int_equal((uintptr_t)slots[i] % SLOTS_PAGE, 0);
            for (size_t at = 0; at < PAGES * SLOTS_PAGE; at += 509)
                assert_int_equal(slots[i][at], 0);
            memset(slots[i], (int)i + 1, PAGES * SLOTS_PAGE);
        }
        assert_int_equal(slots_used(s), MANY);
        for (size_t i = 0; i < MANY; i++)
            for (size_t at = 0; at < PAGES * SLOTS_PAGE; at += 509)
                assert_int_equal((unsigned char)slots[i][at], (unsigned char)(i + 1));
        for (size_t i = 0; i < MANY; i++)
            slots_put(s, slots[i]);
        assert_int_equal(slots_used(s), 0);
    }
    slots_free(s);
}

static void what_is_not_written_costs_nothing(void **state)
{
    struct slots *s = slots_new(PAGES * SLOTS_PAGE);
    char *slot = slots_get(s);

    (void)state;
    assert_int_equal(resident_pages(slot), 0);
    slot[3 * SLOTS_PAGE + 5] = 1;
    assert_int_equal(resident_pages(slot), 1);
    slots_put(s, slot);
    assert_int_equal(resident_pages(slot), 0);
    slots_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_apart_and_zeroed),
        cmocka_unit_test(what_is_not_written_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
