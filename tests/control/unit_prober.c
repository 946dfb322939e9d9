/* Pings' answers: only what this prober asked counts. Rounds: e2e 77, 78. */

#include "../unit.h"

#include "control/prober.h"
#include "core/mem.h"
#include "net/loop.h"

struct fixture {
    struct loop *loop;
    struct hub *hub;
    struct prober *prober;
};

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct err err;

    assert_int_equal(loop_new("test", &f->loop, &err), 0);
    f->hub = hub_new(f->loop, NULL);
    f->prober = prober_new(&(struct prober_options){.loops = &f->loop,
                                                    .hubs = &f->hub,
                                                    .n_loops = 1,
                                                    .server_url = STR("http://h"),
                                                    .interval_ms = 0,
                                                    .timeout_ms = 1000});
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    prober_stop(f->prober);
    loop_free(f->loop);
    prober_free(f->prober);
    hub_free(f->hub);
    mem_free(f);
    return 0;
}

static void knows_its_own_ids(void **state)
{
    struct fixture *f = *state;
    char id[2 * PROBER_ID_BYTES + 1], other[2 * PROBER_ID_BYTES + 1];

    prober_make_id(f->prober, id);
    prober_make_id(f->prober, other);
    assert_int_equal(strlen(id), 2 * PROBER_ID_BYTES);
    assert_string_not_equal(id, other);
    /* Twice, and also after the round it belonged to. */
    assert_true(prober_answered(f->prober, str_from(id)));
    assert_true(prober_answered(f->prober, str_from(id)));
    assert_true(prober_answered(f->prober, str_from(other)));
    loop_run_once(f->loop, 0);
}

static void takes_nothing_else_for_one(void **state)
{
    static const char *const bad[] = {"", "0", "00000000000000000000000000000000",
                                      "0123456789abcdef0123456789abcdef",
                                      "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
    struct fixture *f = *state;
    char id[2 * PROBER_ID_BYTES + 2];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(prober_answered(f->prober, str_from(bad[i])));
    prober_make_id(f->prober, id);
    for (size_t i = 0; i < 2 * PROBER_ID_BYTES; i++) {
        char was = id[i];

        id[i] = was == '0' ? '1' : '0';
        assert_false(prober_answered(f->prober, str_from(id)));
        id[i] = was;
    }
    assert_false(prober_answered(f->prober, str_sub(str_from(id), 0, 2 * PROBER_ID_BYTES - 1)));
    id[2 * PROBER_ID_BYTES] = '0';
    assert_false(prober_answered(f->prober, str_bytes(id, 2 * PROBER_ID_BYTES + 1)));
}

static void another_servers_are_not_its(void **state)
{
    struct fixture *f = *state;
    struct prober *other = prober_new(&(struct prober_options){
        .loops = &f->loop, .hubs = &f->hub, .n_loops = 1, .server_url = STR("http://h")});
    char id[2 * PROBER_ID_BYTES + 1];

    prober_make_id(other, id);
    assert_false(prober_answered(f->prober, str_from(id)));
    prober_stop(other);
    assert_false(prober_answered(other, str_from(id))); /* it goes down */
    prober_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_its_own_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_nothing_else_for_one, setup, teardown),
        cmocka_unit_test_setup_teardown(another_servers_are_not_its, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
