#pragma once

/*
 * A new fixture for each test of a program. Programs that want more in it have a set-up of their
 * own that begins with this one.
 */

#include "fixture.h"

static struct fixture f;

static inline int set_up_fixture(void **state)
{
    (void)state;
    fixture_init(&f);
    return 0;
}

static inline int tear_down_fixture(void **state)
{
    (void)state;
    fixture_fini(&f);
    return 0;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_fixture, tear_down_fixture)
