/* Runs of a parcel are its pieces' bytes in order, however they are taken. */

#include "unit.h"

#include "core/mem.h"
#include "netmap/flatten.h"

static void fill(struct netmap_parcel *p, size_t pieces)
{
    for (size_t i = 0; i < pieces; i++) {
        struct str text = str_printf("x%04zu", i);

        netmap_parcel_add_take(p, blob_new(text), i % 2);
        str_free(&text);
    }
}

static void expect(struct buf *want, size_t pieces)
{
    buf_clear(want);
    for (size_t i = 0; i < pieces; i++)
        buf_printf(want, i % 2 ? "%04zu" : "x%04zu", i);
}

static void gives_its_pieces_in_order(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 8, 9, 100};
    struct buf want = BUF(0), got = BUF(0);
    char copy[7];

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct netmap_parcel p = {0}, moved;
        size_t n;

        expect(&want, counts[c]);
        fill(&p, counts[c]);
        assert_int_equal(netmap_parcel_bytes(&p), want.len);
        moved = p;
        buf_clear(&got);
        parcel_flatten(&moved, &got);
        assert_str(buf_str(&got), buf_str(&want));

        p = (struct netmap_parcel){0};
        fill(&p, counts[c]);
        buf_clear(&got);
        while ((n = netmap_parcel_read(&p, copy, sizeof copy)))
            buf_put(&got, (struct str){copy, n});
        assert_str(buf_str(&got), buf_str(&want));
        assert_true(netmap_parcel_is_empty(&p));
        assert_int_equal(netmap_parcel_next(&p, 10).len, 0);
    }
    buf_fini(&want);
    buf_fini(&got);
}

static void may_be_given_up_anywhere(void **state)
{
    (void)state;
    for (size_t taken = 0; taken < 60; taken++) {
        struct netmap_parcel p = {0};

        fill(&p, 12);
        for (size_t i = 0; i < taken; i++)
            assert_in_range(netmap_parcel_next(&p, 1).len, 0, 1);
        netmap_parcel_fini(&p);
        assert_true(netmap_parcel_is_empty(&p));
    }
}

/* The bytes belong to whoever made them as well, and one that was taken wholly can be filled again.
 */
static void shares_its_bytes(void **state)
{
    struct blob *b = blob_new(STR("abcdef"));
    struct netmap_parcel p = {0}, q = {0};

    (void)state;
    netmap_parcel_add(&p, b, 0);
    netmap_parcel_add(&q, b, 4);
    netmap_parcel_add(&q, b, 6);
    assert_str(netmap_parcel_next(&q, 100), STR("ef"));
    assert_ptr_equal(netmap_parcel_next(&p, 2).ptr, blob_str(b).ptr);
    blob_unref(b);
    assert_str(netmap_parcel_next(&p, 100), STR("cdef"));
    netmap_parcel_add_take(&p, blob_new(STR("gh")), 0);
    assert_int_equal(netmap_parcel_bytes(&p), 2);
    assert_str(netmap_parcel_next(&p, 100), STR("gh"));
    netmap_parcel_fini(&p);
    netmap_parcel_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_its_pieces_in_order),
        cmocka_unit_test(may_be_given_up_anywhere),
        cmocka_unit_test(shares_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
