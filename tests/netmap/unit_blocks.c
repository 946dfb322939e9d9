/* Blocks whose cards change though nothing happened to their nodes. */

#include "unit.h"

#include "netmap/follower.h"
#include "netmap/lab.h"
#include "netmap/lab_internal.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steering_moves_to_a_node_that_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
