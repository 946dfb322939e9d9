/*
 * The law of the map streams under the whole policy language: what a client got by deltas is what a
 * fresh full map gives, and that is what a naive writer writes.
 *
 * Tailnets live (random_tailnet.h) under random texts that use every selector, self, via, postures,
 * attributes, SSH and application capabilities (random_policy.h). Clients of every kind follow,
 * each at its own pace; some sleep until the journal has passed them by.
 *
 * PROPERTY_RUNS and PROPERTY_SEED change how many histories there are and where they begin.
 */

#include "../property.h"
#include "unit.h"

#include "../policy/random_policy.h"
#include "netmap/follower.h"

#define FOLLOWERS 10
#define STEPS 40
#define RUNS 120

struct history {
    struct random_tailnet t;
    struct netmap_feed *feed;
    struct policy_document const *document;
    const struct policy *policy;
    struct follower followers[FOLLOWERS];
    uint64_t pulls[3];
    uint64_t gaps, cards, patches;
    char story[128];
};

static uint64_t below(struct history *h, uint64_t n)
{
    return random_below(&h->t.rand, n);
}

static bool chance(struct history *h, uint64_t percent)
{
    return random_chance(&h->t.rand, percent);
}

static void change_policy(struct history *h)
{
    struct policy_complaint complaint;
    struct buf text = BUF(0);

    policy_document_unref(h->document);
    h->document = NULL;
    if (!chance(h, 10)) {
        random_policy_put(&h->t.rand, (struct random_policy_options){0}, &text);
        if (policy_document_parse(buf_str(&text), &(struct policy_parse_options){0}, &h->document,
                                  &complaint) < 0)
            h->document = NULL; /* a few texts are bad */
    }
    buf_fini(&text);
}

/*
 * A gap is what a loop has that missed a publication, or the first part of one. `anew`: the domain
 * was loaded anew, and every node is another one in memory; a server tells its loops of a reset.
 */
static void publish(struct history *h, bool gap, bool anew)
{
    struct change_list *l = &h->t.changes;
    size_t skip = anew ? l->len : gap ? MIN(l->len, 1 + below(h, l->len + 1)) : 0;
    const struct policy *p = policy_compile(&(struct policy_input){.document = h->document,
                                                                   .view = h->t.view,
                                                                   .before = h->policy,
                                                                   .changes = l->items,
                                                                   .n_changes = l->len});

    policy_unref(h->policy);
    h->policy = p;
    netmap_feed_publish(h->feed, h->t.view, l->items + skip, l->len - skip);
    netmap_feed_set_policy(h->feed, p);
    h->gaps += gap;
    change_list_clear(l);
}

static void pull(struct history *h, struct follower *f)
{
    enum netmap_pull did = follower_pull(f, h->feed, h->t.now_ms, h->story);

    h->pulls[did]++;
    if (did != NETMAP_PULL_GONE)
        follower_check(f, h->feed, h->t.now_ms, h->story);
}

/* The first ones look seldom, so that much lies between two looks. */
static void followers_act(struct history *h)
{
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct follower *f = &h->followers[i];
        const struct node *n;

        if (f->stream && chance(h, 3))
            follower_end(f);
        if (!f->stream && chance(h, 40) && (n = random_node(&h->t)) &&
            view_node_find(netmap_feed_view(h->feed), n->id))
            follower_begin(f, h->feed, n->id, follower_capvers[below(h, 3)], chance(h, 50));
        if (f->stream && chance(h, i < 3 ? 8 : 60))
            pull(h, f);
    }
}

static void live(uint64_t seed, struct history *h)
{
    *h = (struct history){0};
    (void)snprintf(h->story, sizeof h->story, "PROPERTY_SEED=%llu", (unsigned long long)seed);
    random_tailnet_init(&h->t, (struct random_tailnet_options){.seed = seed, .max_nodes = 14});
    h->feed = netmap_feed_new(h->t.view);
    /* Few nodes make many blocks, and full maps of deltas. */
    if (seed % 4)
        netmap_feed_set_limits(h->feed, &(struct netmap_limits){.block_cards = seed % 4,
                                                                .delta_cards = 1 + seed % 5,
                                                                .loose_classes = seed % 3,
                                                                .loose_least = 1 + seed % 4,
                                                                .bunch_least = 1 + seed % 3});
    change_policy(h);
    publish(h, false, false);
    for (size_t i = 0; i < STEPS; i++) {
        bool anew = false;

        for (uint64_t n = 1 + below(h, 3); n > 0; n--) {
            const struct domain *d = h->t.d;

            random_tailnet_step(&h->t);
            anew |= h->t.d != d;
        }
        if (chance(h, 12))
            change_policy(h);
        publish(h, chance(h, 3), anew);
        followers_act(h);
    }
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct follower *f = &h->followers[i];

        if (f->stream)
            pull(h, f);
        h->cards += f->model.cards;
        h->patches += f->model.patches;
        follower_end(f);
    }
    netmap_feed_free(h->feed);
    policy_unref(h->policy);
    policy_document_unref(h->document);
    random_tailnet_fini(&h->t);
}

static void holds_for_the_whole_language(void **state)
{
    uint64_t runs = property_env("PROPERTY_RUNS", RUNS);
    uint64_t seed = property_seed();
    uint64_t pulls[3] = {0}, gaps = 0, cards = 0, patches = 0;
    struct history h;

    (void)state;
    print_message("PROPERTY_SEED=%llu, %llu histories\n", (unsigned long long)seed,
                  (unsigned long long)runs);
    for (uint64_t i = 0; i < runs; i++) {
        live(seed + i, &h);
        for (size_t k = 0; k < ARRAY_LEN(pulls); k++)
            pulls[k] += h.pulls[k];
        gaps += h.gaps;
        cards += h.cards;
        patches += h.patches;
    }
    print_message("%llu messages, %llu silent, %llu gone, %llu gaps, %llu cards, %llu patches\n",
                  (unsigned long long)pulls[NETMAP_PULL_SENT],
                  (unsigned long long)pulls[NETMAP_PULL_NONE],
                  (unsigned long long)pulls[NETMAP_PULL_GONE], (unsigned long long)gaps,
                  (unsigned long long)cards, (unsigned long long)patches);
    /* A generator that makes nothing happen proves nothing. */
    assert_true(pulls[NETMAP_PULL_SENT] > 20 * runs && pulls[NETMAP_PULL_NONE] > runs / 2);
    assert_true(runs < 100 || (gaps > runs / 2 && cards > 10 * runs && patches > runs / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_for_the_whole_language)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
