#include "../unit.h"

#include "stun/codec.h"

static const struct stun_txid txid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

static struct ip_addrport addrport(const char *text)
{
    struct ip_addrport ap;

    assert_true(ip_addrport_parse(str_from(text), &ap));
    return ap;
}

static void encodes_the_known_answer(void **state)
{
    static const char want[] = "0101000c2112a4420102030405060708090a0b0c"
                               "002000080001"
                               "83bbe112a648";
    struct buf out = BUF(4096), hex = BUF(4096);

    (void)state;
    stun_response_encode(&out, &txid, addrport("192.0.2.10:41641"));
    buf_put_hex(&hex, buf_str(&out));
    assert_str(buf_str(&hex), str_from(want));
    buf_fini(&out);
    buf_fini(&hex);
}

static void requests_look_as_clients_write_them(void **state)
{
    struct buf out = BUF(4096);
    struct stun_txid back;

    (void)state;
    stun_request_encode(&out, &txid);
    assert_int_equal(out.len, STUN_REQUEST_BYTES);
    assert_int_equal(str_be16(buf_str(&out), 0), 1);
    assert_int_equal(str_be16(buf_str(&out), 2), 0x14);
    assert_int_equal(str_be32(buf_str(&out), 4), 0x2112a442);
    assert_str(str_sub(buf_str(&out), 24, 8), STR("tailnode"));
    assert_true(stun_request_decode(buf_str(&out), &back));
    assert_memory_equal(back.b, txid.b, sizeof(txid.b));
    buf_fini(&out);
}

/* Whatever bit is turned, it is not a request any more: the fingerprint covers them all. */
static void every_turned_bit_is_refused(void **state)
{
    struct buf out = BUF(4096);
    struct stun_txid back;

    (void)state;
    stun_request_encode(&out, &txid);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ (1 << (bit % 8)));
        assert_false(stun_request_decode(buf_str(&out), &back));
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ (1 << (bit % 8)));
    }
    for (size_t len = 0; len < out.len; len++)
        assert_false(stun_request_decode(str_sub(buf_str(&out), 0, len), &back));
    buf_fini(&out);
}

static void answers_come_back_as_they_went(void **state)
{
    static const struct {
        const char *name, *seen, *reported;
    } cases[] = {
        {"IPv4", "192.0.2.10:41641", "192.0.2.10:41641"},
        {"port 0", "10.0.0.1:0", "10.0.0.1:0"},
        {"IPv6", "[2001:db8::1]:65535", "[2001:db8::1]:65535"},
        {"IPv4 through an IPv6 socket", "[::ffff:192.0.2.1]:80", "192.0.2.1:80"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(4096);
        struct ip_addrport seen;
        struct stun_txid back;

        print_message("%s\n", cases[i].name);
        stun_response_encode(&out, &txid, addrport(cases[i].seen));
        assert_true(out.len <= STUN_RESPONSE_MAX);
        assert_true(stun_response_decode(buf_str(&out), &back, &seen));
        assert_memory_equal(back.b, txid.b, sizeof(txid.b));
        assert_true(ip_addrport_eq(seen, addrport(cases[i].reported)));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_known_answer),
        cmocka_unit_test(requests_look_as_clients_write_them),
        cmocka_unit_test(every_turned_bit_is_refused),
        cmocka_unit_test(answers_come_back_as_they_went),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
