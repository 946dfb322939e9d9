/* Routes by number and machines, as headscale had them up to 0.25 and 0.22. */

#include "harness.h"

static struct harness h;

static int setup(void **state)
{
    (void)state;
    harness_start(&h, &(struct harness_options){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

/* "/api/v1/routes/ID" and what follows. */
static void path_of(char out[128], const char *id, const char *behind)
{
    (void)snprintf(out, 128, "/api/v1/routes/%s%s", id, behind);
}

static void routes_have_numbers(void **state)
{
    char body[256], path[128], id[32], other[32];

    (void)state;
    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    uint64_t node = harness_node(&h, "gate", "alice");

    (void)snprintf(path, sizeof(path), "/api/v1/node/%llu/approve_routes",
                   (unsigned long long)node);
    (void)snprintf(body, sizeof(body), "{\"routes\":[\"10.0.0.0/24\",\"10.1.0.0/24\"]}");
    want(&h, 200, "POST", path, body);
    want(&h, 200, "GET", "/api/v1/routes", NULL);
    want_got(&h, "routes.0.prefix", "10.0.0.0/24");
    want_got(&h, "routes.0.enabled", "true");
    want_got(&h, "routes.0.advertised", "false");
    want_got(&h, "routes.0.node.givenName", "gate");
    (void)snprintf(id, sizeof(id), "%.*s", STR_ARG(got(&h, "routes.0.id")));
    (void)snprintf(other, sizeof(other), "%.*s", STR_ARG(got(&h, "routes.1.id")));
    assert_string_not_equal(id, other);

    path_of(path, other, "/enable"); /* it is */
    want(&h, 200, "POST", path, NULL);
    path_of(path, id, "/disable");
    want(&h, 200, "POST", path, NULL);
    (void)snprintf(body, sizeof(body), "/api/v1/node/%llu/routes", (unsigned long long)node);
    want(&h, 200, "GET", body, NULL);
    want_got(&h, "routes.0.id", other); /* the same number as ever */
    want_got(&h, "routes.1.id", "");
    want(&h, 404, "POST", path, NULL);
    path_of(path, other, "");
    want(&h, 200, "DELETE", path, NULL);
    want(&h, 200, "GET", "/api/v1/routes", NULL);
    want_got(&h, "routes", "[]");
    want(&h, 404, "DELETE", path, NULL);
    want(&h, 400, "DELETE", "/api/v1/routes/x", NULL);
    want(&h, 404, "GET", "/api/v1/node/99/routes", NULL);
}

static void nodes_are_machines(void **state)
{
    char path[128];

    (void)state;
    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    want(&h, 200, "POST", "/api/v1/user", "{\"name\":\"bob\"}");
    unsigned long long node = harness_node(&h, "gate", "alice");

    want(&h, 200, "GET", "/api/v1/machine", NULL);
    want_got(&h, "machines.0.givenName", "gate");
    (void)snprintf(path, sizeof(path), "/api/v1/machine/%llu/rename/door", node);
    want(&h, 200, "POST", path, NULL);
    want_got(&h, "machine.givenName", "door");
    (void)snprintf(path, sizeof(path), "/api/v1/machine/%llu/user?user=bob", node);
    want(&h, 200, "POST", path, NULL);
    want_got(&h, "machine.user.name", "bob");
    (void)snprintf(path, sizeof(path), "/api/v1/machine/%llu/routes", node);
    want(&h, 200, "GET", path, NULL);
    (void)snprintf(path, sizeof(path), "/api/v1/machine/%llu/expire", node);
    want(&h, 200, "POST", path, NULL);
    (void)snprintf(path, sizeof(path), "/api/v1/machine/%llu", node);
    want(&h, 200, "GET", path, NULL);
    want(&h, 200, "DELETE", path, NULL);
    want(&h, 404, "GET", path, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_have_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(nodes_are_machines, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
