#include "../unit.h"

#include "../hex.h"
#include "crypto/keys.h"
#include "crypto/x25519.h"

#define DIGITS "392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c124664488c1c"
#define UPPER "392D174A38B3B1BEAFAF1FE824870841C5FA531BC6EAFDB6402C124664488C1C"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static const struct {
    const char *name;
    struct str text;
    bool ok;
} node_texts[] = {
    {"lower case", STR_INIT("nodekey:" DIGITS), true},
    {"upper case digits", STR_INIT("nodekey:" UPPER), true},
    {"the zero key", STR_INIT("nodekey:" ZEROS), true},
    {"nothing", STR_INIT(""), false},
    {"the prefix alone", STR_INIT("nodekey:"), false},
    {"no prefix", STR_INIT(DIGITS), false},
    {"upper case prefix", STR_INIT("NODEKEY:" DIGITS), false},
    {"a machine key", STR_INIT("mkey:" DIGITS), false},
    {"a private key", STR_INIT("privkey:" DIGITS), false},
    {"one digit short",
     STR_INIT("nodekey:392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c12466"
              "4488c1"),
     false},
    {"a byte too many", STR_INIT("nodekey:" DIGITS "00"), false},
    {"white space behind", STR_INIT("nodekey:" DIGITS "\n"), false},
    {"white space in front", STR_INIT(" nodekey:" DIGITS), false},
    {"not a digit",
     STR_INIT("nodekey:g92d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c12466448"
              "8c1c"),
     false},
    {"NUL among the digits",
     STR_INIT("nodekey:\0002d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb64"
              "02c124664488c1c"),
     false},
};

static void parses_each_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(node_texts); i++) {
        struct node_key key, before;

        memset(&key, 0xa5, sizeof(key));
        before = key;
        print_message("%s\n", node_texts[i].name);
        assert_int_equal(node_key_parse(node_texts[i].text, &key), node_texts[i].ok);
        assert_int_equal(node_key_eq(&key, &before), !node_texts[i].ok);
    }
}

#define assert_round_trip(kind, text)                    \
    do {                                                 \
        struct kind key_;                                \
        struct buf out_ = BUF(256);                      \
        assert_true(kind##_parse(STR(text), &key_));     \
        kind##_put(&out_, &key_);                        \
        assert_str(buf_str(&out_), STR(text));           \
        assert_false(kind##_is_zero(&key_));             \
        assert_true(kind##_eq(&key_, &key_));            \
        assert_int_equal(kind##_str(&key_).len, 32);     \
        assert_ptr_equal(kind##_str(&key_).ptr, key_.b); \
        buf_fini(&out_);                                 \
    } while (0)

static void each_kind_has_its_prefix(void **state)
{
    struct nl_key lock, typed;
    struct node_key zero;

    (void)state;
    assert_round_trip(node_key, "nodekey:" DIGITS);
    assert_round_trip(machine_key, "mkey:" DIGITS);
    assert_round_trip(disco_key, "discokey:" DIGITS);
    assert_round_trip(nl_key, "nlpub:" DIGITS);
    assert_round_trip(challenge_key, "chalpub:" DIGITS);
    assert_true(nl_key_parse(STR("nlpub:" DIGITS), &lock));
    assert_true(nl_key_parse(STR("tlpub:" UPPER), &typed));
    assert_true(nl_key_eq(&lock, &typed));
    assert_false(nl_key_parse(STR("nlpriv:" DIGITS), &lock));
    assert_true(node_key_parse(STR("nodekey:" ZEROS), &zero));
    assert_true(node_key_is_zero(&zero));
}

static void private_keys_have_public_ones(void **state)
{
    static const struct str text =
        STR_INIT("privkey:505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f");
    AUTO_FINI(machine_private_fini) struct machine_private key;
    struct machine_key pub;
    struct buf out = BUF(256);

    (void)state;
    assert_true(machine_private_parse(text, &key));
    machine_private_public(&key, &pub);
    assert_hex(pub.b, sizeof(pub.b), DIGITS);
    machine_private_put(&out, &key);
    assert_str(buf_str(&out), text);
    buf_fini(&out);
}

static void generated_keys_are_clamped_and_differ(void **state)
{
    struct node_private a, b;
    struct node_key pub;

    (void)state;
    node_private_generate(&a);
    node_private_generate(&b);
    assert_memory_not_equal(a.b, b.b, sizeof(a.b));
    assert_int_equal(a.b[0] & 7, 0);
    assert_int_equal(a.b[31] & 0xc0, 0x40);
    node_private_public(&a, &pub);
    assert_false(node_key_is_zero(&pub));
    node_private_fini(&a);
    node_private_fini(&b);
    assert_true(key_is_zero(a.b));
}

static void short_form_is_base64_of_the_front(void **state)
{
    struct machine_key key;
    struct buf out = BUF(64), base64 = BUF(64);

    (void)state;
    assert_true(machine_key_parse(STR("mkey:" DIGITS), &key));
    key_put_short(&out, key.b);
    buf_put_base64(&base64, machine_key_str(&key));
    assert_int_equal(out.len, 7);
    assert_str(str_sub(buf_str(&out), 1, 5), str_sub(buf_str(&base64), 0, 5));
    assert_str(buf_str(&out), STR("[OS0XS]"));
    buf_fini(&out);
    buf_fini(&base64);
}

/* RFC 7748, 6.1. */
static void diffie_hellman_agrees_with_the_rfc(void **state)
{
    static const char shared[] = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    struct x25519_private alice, bob;
    uint8_t alice_pub[32], bob_pub[32], got[32];

    (void)state;
    hex_into("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", alice.b, 32);
    hex_into("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", bob.b, 32);
    x25519_public(&alice, alice_pub);
    x25519_public(&bob, bob_pub);
    assert_hex(alice_pub, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_hex(bob_pub, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_true(x25519(&alice, bob_pub, got));
    assert_hex(got, 32, shared);
    assert_true(x25519(&bob, alice_pub, got));
    assert_hex(got, 32, shared);
}

/* Points of small order, with which every private key yields zero. */
static void zero_results_are_refused(void **state)
{
    static const char *const points[] = {
        ZEROS,
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
    };
    struct x25519_private key;

    (void)state;
    x25519_generate(&key);
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        uint8_t point[32], out[32];

        memset(out, 0xa5, sizeof(out));
        hex_into(points[i], point, sizeof(point));
        print_message("%s\n", points[i]);
        assert_false(x25519(&key, point, out));
        assert_true(key_is_zero(out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_each_text),
        cmocka_unit_test(each_kind_has_its_prefix),
        cmocka_unit_test(private_keys_have_public_ones),
        cmocka_unit_test(generated_keys_are_clamped_and_differ),
        cmocka_unit_test(short_form_is_base64_of_the_front),
        cmocka_unit_test(diffie_hellman_agrees_with_the_rfc),
        cmocka_unit_test(zero_results_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
