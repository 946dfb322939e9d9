/* What those who watch a server are told of a feed, held against what was done with it. */

#include "unit.h"

#include "netmap/follower.h"
#include "netmap/lab.h"
#include "netmap/stats.h"

#define STREAMS 8

static void counts_what_happens(void **state)
{
    struct follower f[STREAMS];
    struct netmap_feed_stats s;
    struct lab l;

    (void)state;
    lab_begin(&l, 4); /* limits as they are on a server */
    for (size_t i = 0; i < STREAMS; i++) {
        follower_begin(&f[i], l.feed, l.machines[i].id, 142, true);
        assert_int_equal(follower_pull(&f[i], l.feed, l.now_ms, "first"), NETMAP_PULL_SENT);
    }
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.revision, view_revision(l.view));
    assert_int_equal(s.nodes, EXTRA);
    assert_int_equal(s.classes, 1);
    assert_int_equal(s.streams, STREAMS);
    assert_int_equal(s.behind, 0);
    assert_int_equal(s.furthest, 0);
    assert_int_equal(s.counts[NETMAP_FULL], STREAMS);
    assert_true(s.blocks > 0 && s.counts[NETMAP_SENT_BYTES] > 0);

    /* One change: written once, sent to all but the one it is about. */
    lab_kinds[0].happen(&l); /* somebody joins */
    lab_publish(&l, false);
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.behind, STREAMS);
    assert_true(s.furthest > 0 && s.journal > 0);
    for (size_t i = 0; i < STREAMS; i++)
        assert_int_equal(follower_pull(&f[i], l.feed, l.now_ms, "join"), NETMAP_PULL_SENT);
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.behind, 0);
    assert_int_equal(s.counts[NETMAP_DELTA_SHARED], STREAMS);
    assert_int_equal(s.counts[NETMAP_MADE], 1);
    assert_int_equal(s.counts[NETMAP_DELTA_OWN], 0);
    assert_int_equal(s.counts[NETMAP_FULL], STREAMS);
    assert_true(s.counts[NETMAP_SHARED_BYTES] > 0 &&
                s.counts[NETMAP_SHARED_BYTES] < s.counts[NETMAP_SENT_BYTES]);

    /* A gap: all fall, and start over. */
    lab_kinds[0].happen(&l);
    lab_publish(&l, true);
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.counts[NETMAP_FALLEN], STREAMS);
    assert_int_equal(s.streams, 0);
    for (size_t i = 0; i < STREAMS; i++)
        assert_int_equal(follower_pull(&f[i], l.feed, l.now_ms, "gap"), NETMAP_PULL_SENT);
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.streams, STREAMS);
    assert_int_equal(s.counts[NETMAP_FULL], 2 * STREAMS);
    for (size_t i = 0; i < STREAMS; i++)
        follower_end(&f[i]);
    netmap_feed_stats(l.feed, &s);
    assert_int_equal(s.streams, 0);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_what_happens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
