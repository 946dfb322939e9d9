/* What `hatsize-bench derp` understands, and what it refuses. */

#include "../unit.h"

#include "bench/derp.h"

#define ARGS_MAX 16

/* Splits at blanks; the text is written over. */
static bool parse(const char *line, struct derp_bench_options *o, struct buf *complaint)
{
    static char text[512];
    char *args[ARGS_MAX];
    int n = 0;

    (void)snprintf(text, sizeof(text), "%s", line);
    for (char *at = text, *rest = NULL; (at = strtok_r(at, " ", &rest)) != NULL; at = NULL) {
        assert_true(n < ARGS_MAX);
        args[n++] = at;
    }
    return derp_bench_parse(n, args, o, complaint);
}

static void understands(void **state)
{
    struct derp_bench_options o;
    struct buf complaint = BUF(1024);

    (void)state;
    assert_true(
        parse("--url https://127.0.0.1:8443 --server-pid 7 --stun [::1]:3478 "
              "--url http://[::1]:80/derp --name ours --pairs 2,3 --sizes 40 --floor --json",
              &o, &complaint));
    assert_int_equal(o.n_targets, 2);
    assert_true(o.targets[0].is_tls);
    assert_int_equal(o.targets[0].addr.port, 8443);
    assert_int_equal(o.targets[0].pid, 7);
    assert_true(o.targets[0].has_stun);
    assert_true(str_eq(o.targets[0].name, STR("https://127.0.0.1:8443")));
    assert_true(str_eq(o.targets[0].host, STR("127.0.0.1:8443")));
    assert_false(o.targets[1].is_tls);
    assert_false(o.targets[1].has_stun);
    assert_true(str_eq(o.targets[1].name, STR("ours")));
    assert_true(str_eq(o.targets[1].host, STR("[::1]:80")));
    assert_int_equal(o.n_pairs, 2);
    assert_int_equal(o.pairs[1], 3);
    assert_int_equal(o.n_sizes, 1);
    assert_int_equal(o.sizes[0], 40);
    assert_true(o.floors[0] && !o.floors[1] && o.json);
    assert_int_equal(o.modes, BIT(DERP_BENCH_LOAD));
    buf_fini(&complaint);
}

static void floor_needs_no_url(void **state)
{
    struct derp_bench_options o;
    struct buf complaint = BUF(1024);

    (void)state;
    assert_true(parse("--floor --modes idle,stun --seconds 9", &o, &complaint));
    assert_int_equal(o.modes, BIT(DERP_BENCH_IDLE) | BIT(DERP_BENCH_STUN));
    assert_int_equal(o.run_ms, 9000);
    buf_fini(&complaint);
}

static const char *const refused[] = {
    "",
    "--json",
    "--url",
    "--url 127.0.0.1:80",
    "--url https://localhost:443",
    "--url https://127.0.0.1",
    "--url https://127.0.0.1:0",
    "--url https://127.0.0.1:443/other",
    "--url http://1.2.3.4:1 --url http://1.2.3.4:2 --url http://1.2.3.4:3 --url http://1.2.3.4:4",
    "--server-pid 3 --url http://127.0.0.1:80",
    "--floors epoll,kqueue",
    "--floors ",
    "--floor --pid 3",
    "--floor --pairs 0",
    "--floor --pairs 1,,2",
    "--floor --pairs 1,2,3,4,5,6,7,8,9",
    "--floor --pairs 4097",
    "--floor --sizes 39",
    "--floor --sizes 65537",
    "--floor --window 4 --burst 8",
    "--floor --seconds 0",
    "--floor --modes load,fast",
    "--floor --modes ",
    "--url http://127.0.0.1:80 --pin abcd",
    "--url http://127.0.0.1:80 --stun 127.0.0.1",
};

static void refuses_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct derp_bench_options o;
        struct buf complaint = BUF(1024);

        print_message("%s\n", refused[i]);
        assert_false(parse(refused[i], &o, &complaint));
        assert_true(complaint.len > 0);
        buf_fini(&complaint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands),
        cmocka_unit_test(floor_needs_no_url),
        cmocka_unit_test(refuses_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
