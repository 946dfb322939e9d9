/*
 * Random histories of several tailnets in which things of every kind come and go. For each kind:
 *
 *   - no id is given twice, not even after what had it is gone, and all are below 2^53;
 *   - those of the first tailnet are 1, 2, 3 …, whatever the others do;
 *   - a further tailnet's move no counter and are none that a counter will ever reach: nothing that
 *     others have or do goes into them;
 *   - numbers of the audit log rise.
 */

#include "../property.h"
#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/num.h"

#define TAILNETS 4
#define STEPS 1500
#define DRAWN ((uint64_t)1 << 52)

enum kind { KIND_USER, KIND_AUTH_KEY, KIND_API_KEY, KIND_NODE, KIND_WEBHOOK, KINDS };

struct world {
    struct fixture f;
    struct rand_seeded r;
    tailnet_id tailnets[TAILNETS];
    user_id users[TAILNETS];
    struct map *seen[KINDS];
    uint64_t last[KINDS]; /* of the first tailnet */
    uint64_t last_audit;
    struct str_list subscriptions;
    unsigned next_machine;
    size_t drawn;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->r, n);
}

static struct command making(const struct world *w, enum kind kind, size_t in, char name[32])
{
    struct command c = {.tailnet = w->tailnets[in], .name = str_from(name)};

    switch (kind) {
    case KIND_USER:
        c.type = COMMAND_USER_CREATE;
        break;
    case KIND_AUTH_KEY:
        c.type = COMMAND_AUTH_KEY_CREATE;
        c.user = w->users[in];
        break;
    case KIND_API_KEY:
        c.type = COMMAND_API_KEY_CREATE;
        c.expiry_ms = w->f.now + 1000 * HOUR_MS;
        break;
    case KIND_WEBHOOK:
        c.type = COMMAND_WEBHOOK_CREATE;
        c.text = STR("https://hooks.example/");
        c.scopes = w->subscriptions;
        break;
    case KIND_NODE:
    case KINDS:
        ASSERT(false && "made by a machine");
    }
    return c;
}

static uint64_t joined(struct world *w, size_t in)
{
    char key[128];

    fixture_done(&w->f, (struct command){.type = COMMAND_AUTH_KEY_CREATE,
                                         .tailnet = w->tailnets[in],
                                         .user = w->users[in]});
    if (in == 0)
        assert_int_equal(w->f.result.id, ++w->last[KIND_AUTH_KEY]);
    assert_null(map_put_u64(w->seen[KIND_AUTH_KEY], w->f.result.id, w));
    snprintf(key, sizeof(key), "%.*s", STR_ARG(w->f.result.secret));
    unsigned machine = w->next_machine++;
    assert_int_equal(
        fixture_register(
            &w->f,
            (struct ask){.machine = machine, .key = machine, .auth_key = key, .hostname = "m"}),
        REGISTER_DONE);
    return w->f.result.node->id;
}

static void note(struct world *w, enum kind kind, size_t in, uint64_t id)
{
    uint64_t audit = domain_take_audit_id(w->f.d);

    assert_null(map_put_u64(w->seen[kind], id, w));
    assert_true(id < NUM_JSON_MAX && audit < NUM_JSON_MAX);
    if (in == 0)
        assert_int_equal(id, ++w->last[kind]);
    else
        assert_true(id >= DRAWN);
    w->drawn += in > 0;
    assert_true(audit > w->last_audit);
    w->last_audit = audit;
}

static void remove_it(struct world *w, enum kind kind, size_t in, uint64_t id)
{
    static const enum command_type how[KINDS] = {
        [KIND_USER] = COMMAND_USER_DELETE,       [KIND_AUTH_KEY] = COMMAND_AUTH_KEY_DELETE,
        [KIND_API_KEY] = COMMAND_API_KEY_DELETE, [KIND_NODE] = COMMAND_NODE_DELETE,
        [KIND_WEBHOOK] = COMMAND_WEBHOOK_DELETE,
    };
    struct command c = {.type = how[kind], .tailnet = w->tailnets[in], .id = id};

    if (kind == KIND_USER)
        c.user = id;
    fixture_done(&w->f, c);
}

static void step(struct world *w, size_t i)
{
    enum kind kind = (enum kind)below(w, KINDS);
    size_t in = below(w, TAILNETS);
    struct domain_counters before = domain_counters(w->f.d), after;
    char name[32];
    uint64_t id;

    if (below(w, 3) == 0)
        w->f.now += (int64_t)below(w, 5);
    snprintf(name, sizeof(name), "x%zu", i);
    if (kind == KIND_NODE) {
        id = joined(w, in);
    } else {
        fixture_done(&w->f, making(w, kind, in, name));
        id = w->f.result.id;
    }
    after = domain_counters(w->f.d);
    if (in > 0)
        assert_memory_equal(&before, &after, sizeof(before));
    note(w, kind, in, id);
    if (below(w, 2) == 0)
        remove_it(w, kind, in, id);
}

/* What a start makes of the numbers that are kept: the first tailnet goes on where it was. */
static void goes_on_after_a_start(struct world *w)
{
    struct domain_counters kept = domain_counters(w->f.d), now;
    struct domain *d = domain_new();

    domain_load_counters(d, &kept);
    now = domain_counters(d);
    assert_memory_equal(&kept, &now, sizeof(kept));
    /* Rows of other tailnets are no reason to count on from there. */
    domain_load_counters(d, &(struct domain_counters){.node = DRAWN + 7, .user = DRAWN + 1});
    now = domain_counters(d);
    assert_memory_equal(&kept, &now, sizeof(kept));
    domain_free(d);
}

static void ids_tell_nothing_of_others(void **state)
{
    uint64_t seed = property_seed();
    struct world w = {.next_machine = 100, .subscriptions = list_of("nodeCreated")};

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    rand_seed(&w.r, seed);
    fixture_init(&w.f);
    w.f.is_quiet = true;
    for (size_t i = 0; i < KINDS; i++)
        w.seen[i] = map_new();
    for (size_t i = 0; i < TAILNETS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "t%zu", i);
        if (i > 0) {
            fixture_done(&w.f,
                         (struct command){.type = COMMAND_TAILNET_CREATE, .name = str_from(name)});
            w.tailnets[i] = w.f.result.id;
            assert_true(w.tailnets[i] >= DRAWN && w.tailnets[i] < NUM_JSON_MAX);
        } else {
            w.tailnets[i] = view_info(fixture_view(&w.f))->id;
            assert_int_equal(w.tailnets[i], 1);
        }
        fixture_done(&w.f, (struct command){.type = COMMAND_USER_CREATE,
                                            .tailnet = w.tailnets[i],
                                            .name = STR("owner")});
        w.users[i] = w.f.result.id;
        note(&w, KIND_USER, i, w.users[i]);
    }
    for (size_t i = 0; i < STEPS; i++)
        step(&w, i);
    assert_true(w.drawn > STEPS / 2);
    goes_on_after_a_start(&w);
    for (size_t i = 0; i < KINDS; i++)
        map_free(w.seen[i]);
    str_list_free(&w.subscriptions);
    fixture_fini(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_tell_nothing_of_others)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
