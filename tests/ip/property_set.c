/*
 * Sets agree with a bitmap over a small window of addresses that straddles the end of IPv4 and the
 * beginning of IPv6, so that both edges take part.
 */

#include "../unit.h"

#include <inttypes.h>

#include "core/rand.h"
#include "ip/set.h"

#define HALF 64u
#define WINDOW (2 * HALF)
#define ROUNDS 30000

static struct ip_addr at(size_t i)
{
    struct ip_addr a = i < HALF ? IP_ADDR_V4(255, 255, 255, (uint8_t)(256 - HALF + i))
                                : (struct ip_addr){.family = IP_V6};

    if (i >= HALF)
        a.bytes[15] = (uint8_t)(i - HALF);
    return a;
}

static struct ip_range random_range(struct rand_seeded *r, size_t *first, size_t *last)
{
    size_t half = rand_seeded_below(r, 2) * HALF;
    size_t a = half + rand_seeded_below(r, HALF), b = half + rand_seeded_below(r, HALF);
    struct ip_range out;

    *first = MIN(a, b);
    *last = MAX(a, b);
    assert_true(ip_range_make(at(*first), at(*last), &out));
    return out;
}

static void check(const struct ip_set *s, const bool bits[WINDOW])
{
    size_t n = 0;

    for (size_t i = 0; i < WINDOW; i++) {
        assert_int_equal(ip_set_contains(s, at(i)), bits[i]);
        n += bits[i];
    }
    assert_true(ip_set_count(s) == n);
    for (size_t i = 0; i < s->len; i++) {
        struct ip_addr behind;

        assert_true(ip_addr_cmp(s->ranges[i].first, s->ranges[i].last) <= 0);
        if (i + 1 < s->len && ip_addr_next(s->ranges[i].last, &behind))
            assert_true(ip_addr_cmp(behind, s->ranges[i + 1].first) < 0);
    }
}

static void fill(struct rand_seeded *r, struct ip_set *s, bool bits[WINDOW])
{
    for (size_t n = rand_seeded_below(r, 12); n > 0; n--) {
        size_t first, last;
        struct ip_range range = random_range(r, &first, &last);
        bool adds = rand_seeded_below(r, 3) != 0;

        if (adds)
            ip_set_add(s, range);
        else
            ip_set_remove(s, range);
        for (size_t i = first; i <= last; i++)
            bits[i] = adds;
    }
    check(s, bits);
}

static void check_algebra(const struct ip_set *a, const bool x[WINDOW], const struct ip_set *b,
                          const bool y[WINDOW])
{
    AUTO_FINI(ip_set_fini) struct ip_set out = {0};
    bool both[WINDOW], either[WINDOW], only[WINDOW], any = false;

    for (size_t i = 0; i < WINDOW; i++) {
        both[i] = x[i] && y[i];
        either[i] = x[i] || y[i];
        only[i] = x[i] && !y[i];
        any = any || both[i];
    }
    ip_set_union(&out, a, b);
    check(&out, either);
    ip_set_intersect(&out, a, b);
    check(&out, both);
    ip_set_subtract(&out, a, b);
    check(&out, only);
    assert_int_equal(ip_set_overlaps_set(a, b), any);
}

static void check_questions(struct rand_seeded *r, const struct ip_set *a, const bool x[WINDOW])
{
    size_t first, last;
    struct ip_range range = random_range(r, &first, &last);
    size_t from = first + rand_seeded_below(r, last - first + 1), absent = from;
    bool all = true, any = false;
    struct ip_addr got = {0};

    for (size_t i = first; i <= last; i++) {
        all = all && x[i];
        any = any || x[i];
    }
    while (absent <= last && x[absent])
        absent++;
    assert_int_equal(ip_set_covers(a, range), all);
    assert_int_equal(ip_set_overlaps(a, range), any);
    assert_int_equal(ip_set_first_absent(a, range, at(from), &got), absent <= last);
    if (absent <= last)
        assert_true(ip_addr_eq(got, at(absent)));
}

/* The prefixes and, separately, the shuffled ranges make the same set again. */
static void check_rebuilding(const struct ip_set *a)
{
    AUTO_FINI(ip_set_fini) struct ip_set again = {0};
    AUTO_FINI(ip_set_fini) struct ip_set built = {0};
    struct ip_range backwards[WINDOW];
    struct ip_set_prefixes it = {0};
    struct ip_prefix p;

    while (ip_set_next_prefix(a, &it, &p)) {
        assert_true(ip_prefix_is_masked(p));
        assert_false(ip_set_overlaps(&again, ip_range_of_prefix(p)));
        ip_set_add_prefix(&again, p);
    }
    assert_true(ip_set_eq(a, &again));
    for (size_t i = 0; i < a->len; i++)
        backwards[i] = a->ranges[a->len - 1 - i];
    ip_set_build(&built, backwards, a->len);
    assert_true(ip_set_eq(a, &built));
}

static void agrees_with_a_bitmap(void **state)
{
    (void)state;
    uint64_t seed = rand_u64();
    struct rand_seeded r;

    print_message("seed %" PRIu64 "\n", seed);
    rand_seed(&r, seed);
    for (size_t round = 0; round < ROUNDS; round++) {
        AUTO_FINI(ip_set_fini) struct ip_set a = {0};
        AUTO_FINI(ip_set_fini) struct ip_set b = {0};
        bool x[WINDOW] = {0}, y[WINDOW] = {0};

        fill(&r, &a, x);
        fill(&r, &b, y);
        check_algebra(&a, x, &b, y);
        check_questions(&r, &a, x);
        check_rebuilding(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_a_bitmap)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
