/*
 * v2's devices and users, each answer held against its schema. headscale.md 3.6; what
 * tailscale-client-go-v2 sends.
 */

#include "harness.h"

struct fixture {
    struct harness h;
    uint64_t node; /* "dev", alice's */
    char device[64];
};

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);

    harness_start(&f->h, &(struct harness_options){0});
    want(&f->h, 200, "POST", "/api/v1/user", "{\"name\":\"alice\"}");
    want(&f->h, 200, "POST", "/api/v1/user", "{\"name\":\"bob\"}");
    f->node = harness_node(&f->h, "dev", "alice");
    (void)snprintf(f->device, sizeof(f->device), "/api/v2/device/%llu",
                   (unsigned long long)f->node);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    harness_stop(&f->h);
    mem_free(f);
    return 0;
}

/* A path below the device's, good until the next. */
static const char *below(const struct fixture *f, const char *tail)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s%s", f->device, tail);
    return path;
}

static void want_device(struct fixture *f, const char *member, const char *value)
{
    want(&f->h, 200, "GET", below(f, "?fields=all"), "");
    want_got(&f->h, member, value);
}

/* ---- Devices ---- */

static void a_device_is_named_by_a_label_or_in_full(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;

    want(h, 200, "POST", below(f, "/name"), "{\"name\":\"web\"}");
    want_device(f, "name", "web.example.internal");
    want(h, 200, "POST", below(f, "/name"), "{\"name\":\"shop.example.internal\"}");
    want_device(f, "name", "shop.example.internal");
    want(h, 200, "POST", below(f, "/name"), "{\"name\":\"dev.Example.Internal.\"}");
    want_device(f, "name", "dev.example.internal");
    want(h, 400, "POST", below(f, "/name"), "{\"name\":\"dev.example.com\"}");
    want(h, 400, "POST", below(f, "/name"), "{\"name\":\"-dev\"}");
    want(h, 400, "POST", below(f, "/name"), "{}");
    want(h, 400, "POST", below(f, "/name"), "{\"name\":7}");
    want(h, 404, "POST", "/api/v2/device/99/name", "{\"name\":\"web\"}");
}

static void nobody_waits_for_approval(void **state)
{
    struct fixture *f = *state;

    want(&f->h, 200, "POST", below(f, "/authorized"), "{\"authorized\":true}");
    want(&f->h, 409, "POST", below(f, "/authorized"), "{\"authorized\":false}");
    want(&f->h, 400, "POST", below(f, "/authorized"), "{}");
    want_device(f, "authorized", "true");
}

static void keys_end_now_or_never(void **state)
{
    struct fixture *f = *state;

    want(&f->h, 200, "POST", below(f, "/expire"), "");
    want_device(f, "keyExpiryDisabled", "false");
    assert_true(got(&f->h, "expires").len > 0);
    want(&f->h, 200, "POST", below(f, "/key"), "{\"keyExpiryDisabled\":false}");
    want_device(f, "keyExpiryDisabled", "false");
    want(&f->h, 200, "POST", below(f, "/key"), "{\"keyExpiryDisabled\":true}");
    want_device(f, "keyExpiryDisabled", "true");
    assert_int_equal(got(&f->h, "expires").len, 0);
}

static void routes_are_approved_as_a_whole(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;

    want(h, 200, "POST", below(f, "/routes"), "{\"routes\":[\"10.1.0.0/16\",\"10.0.0.0/24\"]}");
    want_got(h, "enabledRoutes.0", "10.0.0.0/24");
    want_got(h, "enabledRoutes.1", "10.1.0.0/16");
    want(h, 200, "GET", below(f, "/routes"), "");
    want_got(h, "enabledRoutes", "[\"10.0.0.0/24\",\"10.1.0.0/16\"]");
    want(h, 200, "POST", below(f, "/routes"), "{\"routes\":[]}");
    want_got(h, "enabledRoutes", "[]");
    want(h, 400, "POST", below(f, "/routes"), "{\"routes\":[\"nonsense\"]}");
    want(h, 400, "POST", below(f, "/routes"), "{}");
    want(h, 404, "GET", "/api/v2/device/99/routes", "");
}

static void tags_are_given_and_never_all_taken(void **state)
{
    struct fixture *f = *state;

    want(&f->h, 200, "POST", below(f, "/tags"), "{\"tags\":[]}");
    want(&f->h, 200, "POST", below(f, "/tags"), "{\"tags\":null}");
    want_device(f, "user", "alice");
    want(&f->h, 400, "POST", below(f, "/tags"), "{\"tags\":[\"web\"]}");
    want(&f->h, 200, "POST", below(f, "/tags"), "{\"tags\":[\"tag:web\"]}");
    want_device(f, "tags", "[\"tag:web\"]");
    want_device(f, "user", "tagged-devices");
    want(&f->h, 200, "POST", below(f, "/tags"), "{\"tags\":[]}");
    want_device(f, "tags", "[\"tag:web\"]");
}

static void devices_are_listed_by_what_they_are(void **state)
{
    static const struct {
        const char *query;
        const char *who; /* by rising id */
    } cases[] = {
        {"", "dev web pi "},
        {"?fields=all", "dev web pi "},
        {"?isEphemeral=true", ""},
        {"?isEphemeral=false", "dev web pi "},
        {"?isephemeral=false&isEphemeral=true", "dev web pi "},
        {"?tags=tag:a", "web pi "},
        {"?tags=tag%3Ab", "pi "},
        {"?tags=tag:b&tags=tag:c&tags=", "pi "},
        {"?tags=tag:a&tags=tag:b&hostname=WEB", "web "},
        {"?hostname=web&hostname=dev", "dev web "},
        {"?name=pi.example.internal", "pi "},
        {"?user=alice", "dev "},
        {"?user=tagged-devices", "web pi "},
        {"?user=bob", ""},
        {"?os=windows", ""},
        {"?addresses=100.64.0.1&addresses=fd7a:115c:a1e0::2", "dev web "},
        {"?addresses=nonsense", ""},
        {"?enabledRoutes=10.1.0.0/16", "dev "},
        {"?advertisedRoutes=10.1.0.0/16", ""},
        {"?isExternal=true", ""},
        {"?authorized=true&connectedToControl=false&keyExpiryDisabled=true&id=0", ""},
        {"?id=1&id=3", "dev pi "},
        {"?nodeId=none", ""},
        {"?clientVersion=1", ""},
    };
    struct fixture *f = *state;
    struct harness *h = &f->h;
    char path[256];

    (void)harness_node(h, "web", "alice");
    (void)harness_node(h, "pi", "alice");
    want(h, 200, "POST", "/api/v2/device/2/tags", "{\"tags\":[\"tag:a\"]}");
    want(h, 200, "POST", "/api/v2/device/3/tags", "{\"tags\":[\"tag:a\",\"tag:b\"]}");
    want(h, 200, "POST", below(f, "/routes"), "{\"routes\":[\"10.1.0.0/16\"]}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf who = BUF(256);

        print_message("%s\n", cases[i].query);
        (void)snprintf(path, sizeof(path), "/api/v2/tailnet/-/devices%s", cases[i].query);
        want(h, 200, "GET", path, "");
        JSON_EACH(device, json_get_array(h->json, "devices")) {
            buf_put(&who, json_get_str(device, "hostname"));
            buf_put_char(&who, ' ');
        }
        assert_str(buf_str(&who), str_from(cases[i].who));
        buf_fini(&who);
    }
    /* Who spells it wrong is not shown everything. */
    want(h, 400, "GET", "/api/v2/tailnet/-/devices?isEphemeral=yes", "");
    want(h, 400, "GET", "/api/v2/tailnet/-/devices?ephemeral=true", "");
    want_got(h, "message", "devices cannot be asked for by \"ephemeral\"");
    want(h, 400, "GET", "/api/v2/tailnet/-/devices?tags=tag:a&tags=%ff", "");
}

/* ---- Users ---- */

static void users_are_listed_by_type_and_role(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;

    want(h, 200, "GET", "/api/v2/tailnet/-/users", "");
    want_got(h, "users.0.loginName", "alice");
    want_got(h, "users.0.role", "member");
    want_got(h, "users.1.deviceCount", "0");
    want(h, 200, "GET", "/api/v2/tailnet/-/users?role=owner", "");
    want_got(h, "users", "[]");
    want(h, 200, "GET", "/api/v2/tailnet/-/users?type=shared", "");
    want_got(h, "users", "[]");
    want(h, 200, "GET", "/api/v2/tailnet/-/users?type=member&role=all", "");
    want_got(h, "users.1.loginName", "bob");
}

static void a_user_is_shown_given_a_role_and_deleted(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;

    want(h, 200, "GET", "/api/v2/users/2", "");
    want_got(h, "loginName", "bob");
    want_got(h, "status", "active");
    want(h, 200, "POST", "/api/v2/users/2/role", "{\"role\":\"it-admin\"}");
    want(h, 200, "GET", "/api/v2/users/2", "");
    want_got(h, "role", "it-admin");
    want(h, 400, "POST", "/api/v2/users/2/role", "{\"role\":\"king\"}");
    want(h, 404, "POST", "/api/v2/users/9/role", "{\"role\":\"admin\"}");
    want(h, 200, "POST", "/api/v2/users/2/approve", "");
    want(h, 200, "POST", "/api/v2/users/2/suspend", "");
    want(h, 200, "POST", "/api/v2/users/2/restore", "");
    want(h, 200, "POST", "/api/v2/users/2/restore", "");
    want(h, 200, "POST", "/api/v2/users/2/delete", "");
    want(h, 404, "GET", "/api/v2/users/2", "");
    want(h, 404, "POST", "/api/v2/users/2/delete", "");
    want(h, 404, "GET", "/api/v2/users/alice", "");
}

static void a_user_goes_with_devices(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    char user[64], device[64];

    want(h, 200, "POST", "/api/v1/user", "{\"name\":\"carol\"}");
    (void)snprintf(user, sizeof(user), "%.*s", STR_ARG(got(h, "user.id")));
    (void)snprintf(device, sizeof(device), "/api/v2/device/%llu",
                   (unsigned long long)harness_node(h, "hers", "carol"));
    char v1[128], v2[128], gone[128];
    (void)snprintf(v1, sizeof(v1), "/api/v1/user/%s", user);
    (void)snprintf(v2, sizeof(v2), "/api/v2/users/%s", user);
    (void)snprintf(gone, sizeof(gone), "/api/v2/users/%s/delete", user);
    want(h, 400, "DELETE", v1, "");
    want(h, 200, "GET", device, "");
    want(h, 200, "POST", gone, "");
    want(h, 404, "GET", device, "");
    want(h, 404, "GET", v2, "");
    want(h, 200, "GET", "/api/v1/audit?limit=1", "");
    want_got(h, "entries.0.action", "user.delete");
    want_got(h, "entries.0.before.nodes.0", "hers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_named_by_a_label_or_in_full),
        cmocka_unit_test(nobody_waits_for_approval),
        cmocka_unit_test(keys_end_now_or_never),
        cmocka_unit_test(routes_are_approved_as_a_whole),
        cmocka_unit_test(devices_are_listed_by_what_they_are),
        cmocka_unit_test(tags_are_given_and_never_all_taken),
        cmocka_unit_test(users_are_listed_by_type_and_role),
        cmocka_unit_test(a_user_is_shown_given_a_role_and_deleted),
        cmocka_unit_test(a_user_goes_with_devices),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
