/* As many open files as may be had. */

#include "../unit.h"

#include <sys/resource.h>

#include "host/limits.h"

static void all_that_may_be_asked_for(void **state)
{
    struct rlimit limit, before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limits_open_files(), before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, before.rlim_max);
    assert_int_equal(limit.rlim_max, before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_may_be_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
