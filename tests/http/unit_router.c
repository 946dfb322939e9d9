/* Router: which route a path finds, what 404 and 405 say, parameters. */

#include "unit.h"

#include "http/http_internal.h"

static void nothing(void *user, struct http_exchange *x, const struct http_request *req)
{
    (void)user;
    (void)x;
    (void)req;
}

static const struct http_route routes[] = {
    {"GET", "/", nothing, 0},
    {"GET", "/api/v1/node", nothing, 0},
    {"POST", "/api/v1/node", nothing, 0},
    {"GET", "/api/v1/node/{id}", nothing, 0},
    {"GET", "/api/v1/node/self", nothing, 0},
    {"POST", "/api/v1/node/{id}/expire", nothing, 0},
    {"DELETE", "/api/v1/node/self/thing", nothing, 0},
    {"GET", "/console/*", nothing, 0},
    {"*", "/any", nothing, 0},
    {"GET", "/a/{x}/c", nothing, 0},
    {"GET", "/a/b/d", nothing, 0},
};

static const struct {
    const char *name;
    struct str method;
    struct str path;
    const char *pattern; /* NULL: none */
    struct str allow;
    struct str param; /* "name=value" of the first, or empty */
} cases[] = {
    {"the root", STR("GET"), STR("/"), "/", STR("GET, HEAD"), STR("")},
    {"a literal", STR("GET"), STR("/api/v1/node"), "/api/v1/node", STR("GET, HEAD, POST"), STR("")},
    {"HEAD goes to GET", STR("HEAD"), STR("/api/v1/node"), "/api/v1/node", STR("GET, HEAD, POST"),
     STR("")},
    {"a slash more is another path", STR("GET"), STR("/api/v1/node/"), NULL, STR(""), STR("")},
    {"literal beats parameter", STR("GET"), STR("/api/v1/node/self"), "/api/v1/node/self",
     STR("GET, HEAD"), STR("")},
    {"a parameter", STR("GET"), STR("/api/v1/node/17"), "/api/v1/node/{id}", STR("GET, HEAD"),
     STR("id=17")},
    {"decoded, plus stays", STR("GET"), STR("/api/v1/node/a%2Fb+c%zz%4"), "/api/v1/node/{id}",
     STR("GET, HEAD"), STR("id=a/b+c%zz%4")},
    {"back from a literal that leads nowhere", STR("POST"), STR("/api/v1/node/self/expire"),
     "/api/v1/node/{id}/expire", STR("POST"), STR("id=self")},
    {"back two levels", STR("GET"), STR("/a/b/c"), "/a/{x}/c", STR("GET, HEAD"), STR("x=b")},
    {"no method", STR("PUT"), STR("/api/v1/node"), NULL, STR("GET, HEAD, POST"), STR("")},
    {"any method", STR("BREW"), STR("/any"), "/any", STR("*"), STR("")},
    {"the rest", STR("GET"), STR("/console/a/b%20c"), "/console/*", STR("GET, HEAD"),
     STR("*=a/b c")},
    {"an empty rest", STR("GET"), STR("/console/"), "/console/*", STR("GET, HEAD"), STR("*=")},
    {"not even a rest", STR("GET"), STR("/console"), NULL, STR(""), STR("")},
    {"nowhere", STR("GET"), STR("/nope"), NULL, STR(""), STR("")},
    {"no path at all", STR("GET"), STR(""), NULL, STR(""), STR("")},
    {"a star", STR("OPTIONS"), STR("*"), NULL, STR(""), STR("")},
};

static void finds_each(void **state)
{
    struct router *r = router_new(routes, ARRAY_LEN(routes));

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct http_route *route = NULL;
        struct buf allow = BUF(1000);
        struct buf param = BUF(1000);

        print_message("%s\n", cases[i].name);
        enum router_result got = router_find(r, cases[i].method, cases[i].path, &route);

        router_put_allow(r, cases[i].path, &allow);
        assert_str(buf_str(&allow), cases[i].allow);
        if (!cases[i].pattern) {
            assert_int_equal(got, cases[i].allow.len > 0 ? ROUTER_NO_METHOD : ROUTER_NO_PATH);
            assert_null(route);
        } else {
            struct arena *a = arena_new();
            const struct http_param *params = NULL;

            assert_int_equal(got, ROUTER_FOUND);
            assert_string_equal(route->pattern, cases[i].pattern);
            if (router_params(route, cases[i].path, a, &params) > 0)
                buf_printf(&param, "%.*s=%.*s", STR_ARG(params[0].name), STR_ARG(params[0].value));
            assert_str(buf_str(&param), cases[i].param);
            arena_free(a);
        }
        buf_fini(&allow);
        buf_fini(&param);
    }
    router_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_each)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
