#include "../unit.h"

#include "../hex.h"
#include "crypto/box.h"

/* docs/protocol.md, A.2: from the client's key of A.1 to the server's. */
static const char sealed_hex[] = "000102030405060708090a0b0c0d0e0f1011121314151617"
                                 "929f9bdd6077878b2cbe363cd5ecd437790d049331ccb844dff2f5d580";
static const struct str plain = STR_INIT("{\"version\":2}");

struct fixture {
    struct box_key client, server; /* the same secret, from both ends */
};

static void key_pair(struct str text, struct node_private *key, struct node_key *pub)
{
    assert_true(node_private_parse(text, key));
    node_private_public(key, pub);
}

static int set_up(void **state)
{
    static struct fixture f;
    AUTO_FINI(node_private_fini) struct node_private client, server;
    struct node_key client_pub, server_pub;

    key_pair(STR("privkey:505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f"),
             &client, &client_pub);
    key_pair(STR("privkey:101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e6f"),
             &server, &server_pub);
    assert_true(box_key_init(&f.client, &client, &server_pub));
    assert_true(box_key_init(&f.server, &server, &client_pub));
    *state = &f;
    return 0;
}

static void seals_the_known_box(void **state)
{
    struct fixture *f = *state;
    uint8_t nonce[BOX_NONCE_BYTES];
    struct buf out = BUF(1024);

    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)i;
    box_seal_with(&f->client, nonce, plain, &out);
    assert_hex(out.ptr, out.len, sealed_hex);
    buf_fini(&out);
}

static void opens_it_at_the_other_end(void **state)
{
    struct fixture *f = *state;
    struct buf sealed = from_hex(sealed_hex), out = BUF(1024);

    buf_put(&out, STR("kept "));
    assert_true(box_open(&f->server, buf_str(&sealed), &out));
    assert_str(buf_str(&out), STR("kept {\"version\":2}"));
    buf_fini(&sealed);
    buf_fini(&out);
}

static void every_flipped_bit_and_cut_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf sealed = from_hex(sealed_hex), out = BUF(1024);

    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
        assert_false(box_open(&f->server, buf_str(&sealed), &out));
        sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t len = 0; len < sealed.len; len++)
        assert_false(box_open(&f->server, str_sub(buf_str(&sealed), 0, len), &out));
    assert_int_equal(out.len, 0);
    buf_fini(&sealed);
    buf_fini(&out);
}

static void strangers_cannot_open_it(void **state)
{
    struct fixture *f = *state;
    AUTO_FINI(node_private_fini) struct node_private stranger;
    struct node_key stranger_pub;
    struct box_key other;
    struct buf sealed = BUF(1024), out = BUF(1024);

    node_private_generate(&stranger);
    node_private_public(&stranger, &stranger_pub);
    assert_true(box_key_init(&other, &stranger, &stranger_pub));
    box_seal(&f->client, plain, &sealed);
    assert_int_equal(sealed.len, plain.len + BOX_OVERHEAD);
    assert_false(box_open(&other, buf_str(&sealed), &out));
    assert_true(box_open(&f->server, buf_str(&sealed), &out));
    assert_str(buf_str(&out), plain);
    buf_fini(&sealed);
    buf_fini(&out);
    box_key_fini(&other);
}

static void zero_peer_and_full_buffers_are_answered(void **state)
{
    struct fixture *f = *state;
    AUTO_FINI(node_private_fini) struct node_private own;
    struct node_key zero = {0};
    struct box_key k;
    struct buf small = BUF(8), sealed = from_hex(sealed_hex);

    node_private_generate(&own);
    assert_false(box_key_init(&k, &own, &zero));
    box_seal(&f->client, plain, &small);
    assert_true(buf_is_full(&small));
    assert_int_equal(small.len, 0);
    assert_false(box_open(&f->server, buf_str(&sealed), &small));
    buf_fini(&small);
    buf_fini(&sealed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(seals_the_known_box, set_up),
        cmocka_unit_test_setup(opens_it_at_the_other_end, set_up),
        cmocka_unit_test_setup(every_flipped_bit_and_cut_is_refused, set_up),
        cmocka_unit_test_setup(strangers_cannot_open_it, set_up),
        cmocka_unit_test_setup(zero_peer_and_full_buffers_are_answered, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
