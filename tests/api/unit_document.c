/*
 * The document against the implementation: the table of calls, the routes of both doors, and what
 * refers to what. The objects as they are really written are compared by unit_calls.c.
 * headscale.md 3.1, 9.1.
 */

#include "../unit.h"

#include "api/api_internal.h"

struct fixture {
    struct arena *arena;
    enum api_version version;
    struct json_value *doc;
};

static struct json_value *document(struct arena *arena, enum api_version version,
                                   enum api_document which)
{
    struct buf text = BUF((size_t)8 << 20);
    struct json_value *doc = NULL;
    struct json_error error;

    api_document_put(&text, version, which, "1.2.3");
    assert_false(buf_is_full(&text));
    if (!json_parse(arena, arena_copy(arena, buf_str(&text)), NULL, &doc, &error))
        fail_msg("line %u, column %u: %s", error.line, error.col, error.text);
    buf_fini(&text);
    return doc;
}

static int setup(void **state, enum api_version version)
{
    struct fixture *f = NEW(struct fixture);

    f->arena = arena_new();
    f->version = version;
    f->doc = document(f->arena, version, DOCUMENT_3_1);
    *state = f;
    return 0;
}

static int setup_v1(void **state)
{
    return setup(state, API_V1);
}

static int setup_v2(void **state)
{
    return setup(state, API_V2);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    arena_free(f->arena);
    mem_free(f);
    return 0;
}

static const struct json_value *at(const struct json_value *v, const char *a, const char *b)
{
    return json_get_object(json_get_object(v, a), b);
}

/* ---- Paths and methods ---- */

static struct str lower(struct arena *arena, const char *text)
{
    struct str s = arena_copy(arena, str_from(text));
    char *p = arena_alloc(arena, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        p[i] = (char)(s.ptr[i] | 0x20);
    return str_bytes(p, s.len);
}

static void every_call_is_in_the_document(void **state)
{
    struct fixture *f = *state;
    size_t n = 0, described = 0, wanted = 0;
    const struct api_operation *ops = api_operations(f->version, &n);
    const struct json_value *paths = json_get_object(f->doc, "paths");

    for (size_t i = 0; i < n; i++) {
        const struct json_value *path = json_get_object(paths, ops[i].pattern);
        const struct json_value *op = json_get_object(path, lower(f->arena, ops[i].method).ptr);

        print_message("%s %s\n", ops[i].method, ops[i].pattern);
        if (ops[i].socket_only) {
            assert_null(op);
            continue;
        }
        wanted++;
        assert_non_null(op);
        assert_str(json_get_str(op, "operationId"), str_from(ops[i].id));
        assert_true((json_get(op, "security") != NULL) == ops[i].is_public);
        assert_true((json_get(op, "requestBody") != NULL) == (ops[i].body != NULL));
        assert_non_null(json_get(at(op, "responses", "200"), "description"));
        /* One that is public may refuse what its body shows. */
        assert_true((at(op, "responses", "401") != NULL) ==
                    (!ops[i].is_public || ops[i].refusal != NULL));
        for (size_t j = 0; j < i; j++)
            assert_false(str_eq(str_from(ops[i].id), str_from(ops[j].id)));
    }
    /* And nothing else is. */
    JSON_EACH(path, paths) {
        described += json_len(path);
    }
    assert_int_equal(described, wanted);
}

static void doors_have_the_table_s_routes(void **state)
{
    struct api *api = api_new(&(struct api_options){.version = "1.2.3"});

    (void)state;
    for (enum api_door door = API_DOOR_SOCKET; door <= API_DOOR_NETWORK; door++) {
        size_t n = 0, at = 0, n_ops = 0;
        const struct http_route *routes = api_routes(api, door, &n);

        for (enum api_version version = API_V1; version < API_VERSIONS; version++) {
            const struct api_operation *ops = api_operations(version, &n_ops);

            for (size_t i = 0; i < n_ops; i++) {
                if (door == API_DOOR_NETWORK && ops[i].socket_only)
                    continue;
                assert_true(at < n);
                assert_string_equal(routes[at].method, ops[i].method);
                assert_string_equal(routes[at].pattern, ops[i].pattern);
                assert_true(routes[at].handler == api_serve);
                at++;
            }
        }
        /* What nobody serves. */
        for (; at < n; at++)
            assert_string_equal(routes[at].method, "*");
        /* One place asks who calls: every route leads there. */
        for (size_t i = 0; i < n; i++)
            assert_true(routes[i].handler == api_serve);
    }
    api_free(api);
}

static void parameters_of_a_path_are_named(void **state)
{
    struct fixture *f = *state;

    JSON_EACH(path, json_get_object(f->doc, "paths")) {
        JSON_EACH(op, path) {
            size_t braces = 0, named = 0;

            for (size_t i = 0; i < path->key.len; i++)
                braces += path->key.ptr[i] == '{';
            JSON_EACH(p, json_get_array(op, "parameters")) {
                struct str in = json_get_str(p, "in");

                assert_true(str_eq(in, STR("path")) || str_eq(in, STR("query")));
                assert_true(json_get_bool(p, "required", false) == str_eq(in, STR("path")));
                named += str_eq(in, STR("path"));
            }
            assert_int_equal(named, braces);
        }
    }
}

/* ---- References ---- */

static void check_refs(const struct json_value *doc, const struct json_value *v, size_t *n)
{
    JSON_EACH(child, v) {
        struct str ref = json_as_str(child, STR_NONE);

        if (str_eq(child->key, STR("$ref"))) {
            struct str name = str_from_index(ref, STR("#/components/schemas/").len);
            AUTO(arena_free) struct arena *arena = arena_new();

            assert_true(str_starts(ref, STR("#/components/schemas/")));
            if (!json_get_object(at(doc, "components", "schemas"), arena_copy(arena, name).ptr))
                fail_msg("nothing is called %.*s", STR_ARG(name));
            ++*n;
        }
        check_refs(doc, child, n);
    }
}

static void references_lead_somewhere(void **state)
{
    struct fixture *f = *state;
    size_t n = 0;

    check_refs(f->doc, f->doc, &n);
    assert_true(n > (f->version == API_V2 ? 20 : 100));
}

static void says_null_as_its_release_does(void **state)
{
    struct fixture *f = *state;
    struct json_value *old = document(f->arena, API_V1, DOCUMENT_3_0);
    const struct json_value *expiry, *key;

    assert_str(json_get_str(f->doc, "openapi"), STR("3.1.0"));
    assert_str(json_get_str(old, "openapi"), STR("3.0.3"));
    expiry =
        at(json_get_object(at(f->doc, "components", "schemas"), "Node"), "properties", "expiry");
    assert_str(json_as_str(json_at(json_get_array(expiry, "type"), 1), STR_NONE), STR("null"));
    expiry = at(json_get_object(at(old, "components", "schemas"), "Node"), "properties", "expiry");
    assert_str(json_get_str(expiry, "type"), STR("string"));
    assert_true(json_get_bool(expiry, "nullable", false));
    key = at(json_get_object(at(old, "components", "schemas"), "Node"), "properties", "preAuthKey");
    assert_true(json_get_bool(key, "nullable", false));
}

int main(void)
{
    const struct CMUnitTest v1[] = {
        cmocka_unit_test(every_call_is_in_the_document),
        cmocka_unit_test(doors_have_the_table_s_routes),
        cmocka_unit_test(parameters_of_a_path_are_named),
        cmocka_unit_test(references_lead_somewhere),
        cmocka_unit_test(says_null_as_its_release_does),
    };
    const struct CMUnitTest v2[] = {
        cmocka_unit_test(every_call_is_in_the_document),
        cmocka_unit_test(parameters_of_a_path_are_named),
        cmocka_unit_test(references_lead_somewhere),
    };
    int failed = cmocka_run_group_tests(v1, setup_v1, teardown);

    return failed + cmocka_run_group_tests(v2, setup_v2, teardown);
}
