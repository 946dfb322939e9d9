/* How many connections may be nothing yet. */

#include "../unit.h"

#include "daemon/daemon_internal.h"

static const struct config_limits limits = {.max_handshakes = 8192, .max_connections = 65536};

static void two_of_each_machine(void **state)
{
    (void)state;
    assert_int_equal(server_max_guests(&limits, 1000000, 0), 8192);
    assert_int_equal(server_max_guests(&limits, 1000000, 4096), 8192);
    assert_int_equal(server_max_guests(&limits, 1000000, 10000), 20000);
}

static void half_is_for_who_is_through(void **state)
{
    const struct config_limits few = {.max_handshakes = 100, .max_connections = 1000};

    (void)state;
    assert_int_equal(server_max_guests(&limits, 1000000, 100000), 32768);
    assert_int_equal(server_max_guests(&limits, 20000, 100000), 10000);
    assert_int_equal(server_max_guests(&limits, 1024, 0), 512);
    assert_int_equal(server_max_guests(&few, 1000000, 10), 100);
    assert_int_equal(server_max_guests(&few, 1000000, 100000), 500);
}

static void one_of_each_machine_logs_in_to_the_relay(void **state)
{
    (void)state;
    assert_int_equal(server_max_logins(server_max_guests(&limits, 1000000, 10000)), 10000);
    assert_int_equal(server_max_logins(1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_of_each_machine),
        cmocka_unit_test(one_of_each_machine_logs_in_to_the_relay),
        cmocka_unit_test(half_is_for_who_is_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
