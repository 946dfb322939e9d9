#include "../unit.h"

#include "core/list.h"
#include "core/map.h"
#include "core/mem.h"

DEFINE_AUTO(struct map, map_free);

static int one, two;

static void finds_what_was_put(void **state)
{
    (void)state;
    AUTO(map_free) struct map *m = map_new();

    assert_null(map_find(m, STR("a")));
    assert_null(map_remove(m, STR("a")));
    assert_null(map_put(m, STR("a"), &one));
    assert_ptr_equal(map_put(m, STR("a"), &two), &one);
    assert_int_equal(map_len(m), 1);
    assert_ptr_equal(map_find(m, STR("a")), &two);
    assert_null(map_put(m, STR(""), &one));
    assert_null(map_put(m, STR("a\0"), &one));
    assert_null(map_put(m, STR("a key longer than eight bytes"), &one));
    assert_ptr_equal(map_find(m, STR("a key longer than eight bytes")), &one);
    assert_null(map_find(m, STR("a key longer than eight byteS")));
    assert_ptr_equal(map_find(m, STR("")), &one);
    assert_ptr_equal(map_find(m, STR("a\0")), &one);
    assert_ptr_equal(map_remove(m, STR("a key longer than eight bytes")), &one);
    assert_null(map_find(m, STR("a key longer than eight bytes")));
    assert_int_equal(map_len(m), 3);
}

static void keeps_its_own_keys(void **state)
{
    (void)state;
    AUTO(map_free) struct map *m = map_new();
    char key[] = "a long key of the caller";

    assert_null(map_put(m, str_from(key), &one));
    key[0] = 'X';
    assert_ptr_equal(map_find(m, STR("a long key of the caller")), &one);
    assert_null(map_find(m, str_from(key)));
}

static void visits_each_once(void **state)
{
    (void)state;
    AUTO(map_free) struct map *m = map_new();
    bool seen[500] = {0};
    size_t at = 0, visits = 0;
    struct str key;
    void *value;

    for (uint64_t i = 0; i < ARRAY_LEN(seen); i++)
        assert_null(map_put_u64(m, i << 32, &seen[i]));
    while (map_next(m, &at, &key, &value)) {
        uint64_t k;

        assert_int_equal(key.len, 8);
        memcpy(&k, key.ptr, 8);
        assert_ptr_equal(value, &seen[k >> 32]);
        assert_false(seen[k >> 32]);
        seen[k >> 32] = true;
        visits++;
    }
    assert_int_equal(visits, ARRAY_LEN(seen));
    assert_ptr_equal(map_find_u64(m, (uint64_t)7 << 32), &seen[7]);
    assert_ptr_equal(map_remove_u64(m, (uint64_t)7 << 32), &seen[7]);
    assert_null(map_find_u64(m, (uint64_t)7 << 32));
}

struct item {
    int value;
    struct list_node items_link;
};

static void lists_link_and_unlink(void **state)
{
    (void)state;
    struct list items;
    struct item a[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    int sum = 0, order = 0;

    list_init(&items);
    assert_true(list_is_empty(&items));
    assert_null(list_pop_front(&items));
    for (size_t i = 1; i < ARRAY_LEN(a); i++)
        list_push_back(&items, &a[i].items_link);
    list_push_front(&items, &a[0].items_link);
    LIST_FOR_EACH(it, &items, struct item, items_link) {
        assert_int_equal(it->value, order++);
        sum += it->value;
        if (it->value % 2)
            list_remove(&it->items_link);
    }
    assert_int_equal(sum, 6);
    assert_false(list_node_is_linked(&a[1].items_link));
    list_remove(&a[1].items_link);
    assert_ptr_equal(list_pop_front(&items), &a[0].items_link);
    assert_ptr_equal(list_first(&items), &a[2].items_link);
    list_remove(&a[2].items_link);
    assert_true(list_is_empty(&items));
}

static void counts_owners(void **state)
{
    (void)state;
    struct ref ref;

    ref_init(&ref);
    ref_take(&ref);
    assert_false(ref_drop(&ref));
    assert_true(ref_drop(&ref));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put), cmocka_unit_test(keeps_its_own_keys),
        cmocka_unit_test(visits_each_once),   cmocka_unit_test(lists_link_and_unlink),
        cmocka_unit_test(counts_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
