/* Blocks whose cards change though nothing happened to their nodes. */

#include "unit.h"

#include "netmap/follower.h"
#include "netmap/lab.h"
#include "netmap/lab_internal.h"
#include "netmap/stats.h"

#define GRACE_MS 60000

static const char via[] = "{\"tagOwners\":{\"tag:a\":[],\"tag:c\":[]},\"grants\":["
                          "{\"src\":[\"bob@\"],\"dst\":[\"10.0.0.0/24\"],\"ip\":[\"*\"],"
                          "\"via\":[\"tag:a\"]}]}";

static void all_go(struct lab *l, const enum lab_node *who, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lab_go(l, who[i]);
    lab_pass(l, GRACE_MS);
    lab_publish(l, false);
}

/* The route's primary is a third, so its fail-over touches neither of the two. */
static void steering_moves_to_a_node_that_is_not_touched(void **state)
{
    const enum lab_node both[] = {ROUTER, SPARE};
    struct lab l;
    struct follower bob = {0};

    (void)state;
    lab_begin(&l, 1);
    netmap_feed_set_limits(l.feed, &(struct netmap_limits){.block_cards = 1});
    lab_set_policy(&l, via);
    lab_publish(&l, false);
    all_go(&l, both, ARRAY_LEN(both));
    lab_come(&l, ROUTER);
    lab_come(&l, SPARE);
    lab_publish(&l, false);
    assert_true(lab_node(&l, VIA)->n_serving > 0);
    assert_int_equal(lab_node(&l, ROUTER)->n_serving, 1); /* 10.0.1.0/24 */
    assert_int_equal(lab_node(&l, SPARE)->n_serving, 0);

    follower_begin(&bob, l.feed, l.machines[BOB].id, follower_capvers[2], true);
    assert_int_equal(follower_pull(&bob, l.feed, l.now_ms, "begins"), NETMAP_PULL_SENT);
    follower_check(&bob, l.feed, l.now_ms, "begins");

    const struct node *spare = lab_node(&l, SPARE);

    all_go(&l, both, 1);
    assert_ptr_equal(lab_node(&l, SPARE), spare);
    assert_int_equal(follower_pull(&bob, l.feed, l.now_ms, "the first goes"), NETMAP_PULL_SENT);
    follower_check(&bob, l.feed, l.now_ms, "the first goes");
    follower_end(&bob);
    lab_end(&l);
}

/* tag:c sees people, of three kinds, and what has tag:a, whose routes vary by viewer. */
static const char kinds[] =
    "{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},\"acls\":["
    "{\"action\":\"accept\",\"src\":[\"tag:a\",\"tag:b\",\"tag:c\"],\"dst\":[\"ann@:1\"]},"
    "{\"action\":\"accept\",\"src\":[\"tag:b\",\"tag:c\"],\"dst\":[\"bob@:2\"]},"
    "{\"action\":\"accept\",\"src\":[\"tag:b\",\"tag:c\"],\"dst\":[\"eve@:3\"]},"
    "{\"action\":\"accept\",\"src\":[\"tag:b\",\"tag:c\"],\"dst\":[\"tag:a:4\"]}]}";

/* Frames of cards that its first map is made of, and how many of them did not lie ready. */
struct frames {
    uint64_t n, made;
};

static struct frames frames_for(struct lab *l, enum lab_node viewer, const char *story)
{
    struct netmap_feed_stats was, is;
    struct follower f = {0};
    struct frames frames;

    netmap_feed_stats(l->feed, &was);
    follower_begin(&f, l->feed, l->machines[viewer].id, follower_capvers[2], true);
    assert_int_equal(follower_pull(&f, l->feed, l->now_ms, story), NETMAP_PULL_SENT);
    netmap_feed_stats(l->feed, &is);
    follower_check(&f, l->feed, l->now_ms, story);
    follower_end(&f);
    frames.made = is.counts[NETMAP_BLOCK_MADE] - was.counts[NETMAP_BLOCK_MADE];
    frames.n = frames.made + is.counts[NETMAP_BLOCK_REUSED] - was.counts[NETMAP_BLOCK_REUSED];
    return frames;
}

static void begin_kinds(struct lab *l, size_t bunch_least)
{
    lab_begin(l, 4);
    netmap_feed_set_limits(l->feed,
                           &(struct netmap_limits){.block_cards = 4, .bunch_least = bunch_least});
    lab_set_policy(l, kinds);
    lab_publish(l, false);
}

static void few_small_blocks_go_by_themselves(void **state)
{
    struct lab l;

    (void)state;
    begin_kinds(&l, 100);
    /* ann's two, bob's one, eve's two; the routers. */
    assert_int_equal(frames_for(&l, VIA, "all").n, 4);
    lab_end(&l);
}

static void small_blocks_go_as_one(void **state)
{
    const enum lab_node bob = BOB;
    struct frames frames;
    struct lab l;

    (void)state;
    begin_kinds(&l, 1);
    /* People's; the routers, which are in no bunch. */
    frames = frames_for(&l, VIA, "all");
    assert_int_equal(frames.n, 2);
    assert_int_equal(frames.made, 2);
    assert_int_equal(frames_for(&l, EXIT, "the same is seen").made, 1);
    /* ann's; who else has routes. */
    assert_int_equal(frames_for(&l, ROUTER, "who sees less has blocks").n, 2);

    /* A change makes them anew, and one that goes takes its block along. */
    all_go(&l, &bob, 1);
    frames = frames_for(&l, VIA, "one went");
    assert_int_equal(frames.n, 2);
    assert_int_equal(frames.made, 1);
    assert_true(lab_do(&l, (struct command){.type = COMMAND_NODE_DELETE,
                                            .origin = ORIGIN_API,
                                            .tailnet = l.tailnet,
                                            .id = l.machines[BOB].id}));
    lab_publish(&l, false);
    assert_int_equal(frames_for(&l, VIA, "and is no more").n, 2);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steering_moves_to_a_node_that_is_not_touched),
        cmocka_unit_test(few_small_blocks_go_by_themselves),
        cmocka_unit_test(small_blocks_go_as_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
