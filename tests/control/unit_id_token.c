/*
 * ID tokens of machines: what stands in them, and that header and key set name the same key. That
 * the signature holds is shown end to end, by openssl.
 */

#include "../unit.h"

#include "control/id_token.h"
#include "core/buf.h"
#include "tailnet/domain.h"
#include "json/value.h"

#define ISSUER STR("https://net.example.com")
#define NOW_MS ((int64_t)1800000000000)

struct lab {
    struct domain *d;
    const struct tailnet_view *view;
    struct p256_key *key;
    struct arena *arena;
};

static void apply(struct lab *l, struct command c)
{
    struct change_list changes = {0};
    struct command_result r = {0};
    struct err err = {0};

    c.now_ms = NOW_MS;
    if (domain_apply(l->d, &c, &changes, &r, &err) < 0)
        fail_msg("%s", err.text);
    command_result_fini(&r);
    change_list_fini(&changes);
}

static int setup(void **state)
{
    struct lab *l = NEW(struct lab);
    struct tailnet_info *info = tailnet_info_new();

    l->d = domain_new();
    l->key = p256_key_new();
    l->arena = arena_new();
    info->name = str_copy(STR("default"));
    info->domain = str_copy(STR("example.com"));
    info->base_domain = str_copy(STR("net.example"));
    assert_true(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    apply(l, (struct command){.type = COMMAND_TAILNET_CREATE, .info = info});
    tailnet_info_unref(info);
    apply(l, (struct command){.type = COMMAND_USER_CREATE, .name = STR("alice")});
    l->view = domain_view(l->d, 0);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;

    view_unref(l->view);
    domain_free(l->d);
    p256_key_free(l->key);
    arena_free(l->arena);
    mem_free(l);
    return 0;
}

/* Borrowed texts; never shared. */
static struct node *node_of(struct lab *l, struct str *tag)
{
    struct node *n = arena_alloc(l->arena, sizeof(*n));

    n->id = 7;
    n->tailnet = 1;
    n->user = tag ? 0 : 1;
    n->tags = (struct str_list){tag, tag ? 1 : 0};
    n->v4 = IP_ADDR_V4(100, 64, 0, 1);
    n->fqdn = STR("laptop.net.example.");
    memset(n->key.b, 0xab, sizeof(n->key.b));
    return n;
}

/* The parts of a token as JSON; the third is 64 bytes. */
static const struct json_value *part(struct lab *l, struct str token, int which)
{
    struct str piece = STR_NONE;
    struct buf text = BUF((size_t)64 << 10);
    struct json_value *v = NULL;

    for (int i = 0; i <= which; i++)
        assert_true(str_next(&token, '.', &piece));
    assert_true(base64_decode(piece, &text));
    struct str kept = arena_copy(l->arena, buf_str(&text));
    buf_fini(&text);
    if (which == 2) {
        assert_int_equal(kept.len, P256_SIGNATURE_BYTES);
        assert_false(str_next(&token, '.', &piece));
        return NULL;
    }
    assert_true(json_parse(l->arena, kept, NULL, &v, NULL));
    return v;
}

static struct str token_of(struct lab *l, struct str *tag)
{
    struct node *n = node_of(l, tag);
    struct buf out = BUF((size_t)64 << 10);

    id_token_put(&out, l->key, ISSUER, l->view, n, STR("sts.example"), NOW_MS);
    struct str token = arena_copy(l->arena, buf_str(&out));
    buf_fini(&out);
    return token;
}

static void a_token_says_who_the_machine_is(void **state)
{
    struct lab *l = *state;
    struct str tag = STR("tag:ci");
    const struct json_value *c = part(l, token_of(l, NULL), 1);

    assert_str(json_get_str(c, "iss"), ISSUER);
    assert_str(json_get_str(c, "aud"), STR("sts.example"));
    assert_str(json_get_str(c, "sub"), STR("laptop.net.example"));
    assert_str(json_get_str(c, "domain"), STR("example.com"));
    assert_str(json_get_str(c, "user"), STR("example.com:alice"));
    assert_int_equal(json_get_u64(c, "nid", 0), 7);
    assert_int_equal(json_get_u64(c, "exp", 0), NOW_MS / 1000 + ID_TOKEN_S);
    assert_str(json_as_str(json_at(json_get(c, "addresses"), 0), STR_NONE), STR("100.64.0.1/32"));
    assert_true(str_starts(json_get_str(c, "key"), STR("nodekey:abab")));
    assert_null(json_get(c, "tags"));
    c = part(l, token_of(l, &tag), 1);
    assert_str(json_as_str(json_at(json_get(c, "tags"), 0), STR_NONE), STR("example.com:tag:ci"));
    assert_null(json_get(c, "user"));
    /* No two are the same. */
    assert_false(str_eq(json_get_str(part(l, token_of(l, NULL), 1), "jti"),
                        json_get_str(part(l, token_of(l, NULL), 1), "jti")));
}

static void the_key_set_has_its_key(void **state)
{
    struct lab *l = *state;
    struct str token = token_of(l, NULL);
    const struct json_value *header = part(l, token, 0), *key;
    struct buf text = BUF(65536);
    struct json_value *v = NULL;

    assert_null(part(l, token, 2));
    assert_str(json_get_str(header, "alg"), STR("ES256"));
    id_token_put_keys(&text, l->key);
    assert_true(json_parse(l->arena, arena_copy(l->arena, buf_str(&text)), NULL, &v, NULL));
    key = json_at(json_get(v, "keys"), 0);
    assert_str(json_get_str(key, "kid"), json_get_str(header, "kid"));
    assert_str(json_get_str(key, "crv"), STR("P-256"));
    assert_null(json_get(key, "d"));
    buf_clear(&text);
    id_token_put_discovery(&text, ISSUER);
    assert_true(json_parse(l->arena, arena_copy(l->arena, buf_str(&text)), NULL, &v, NULL));
    assert_str(json_get_str(v, "issuer"), ISSUER);
    assert_str(json_get_str(v, "jwks_uri"), STR("https://net.example.com/.well-known/jwks.json"));
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_says_who_the_machine_is, setup, teardown),
        cmocka_unit_test_setup_teardown(the_key_set_has_its_key, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
