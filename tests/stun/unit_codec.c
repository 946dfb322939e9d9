#include "../unit.h"

#include "../hex.h"
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

/* Made by an independent implementation; every fingerprint is right for its message. */
static const struct {
    const char *name;
    const char *hex;
    bool ok;
} requests[] = {
    {"what clients send",
     "000100142112a4420102030405060708090a0b0c802200087461696c6e6f646580280004b32c370f", true},
    {"an attribute more, padded",
     "000100202112a4420102030405060708090a0b0c7f00000561626364650000008022000874616"
     "96c6e6f64658028000462eeb2f1",
     true},
    {"no SOFTWARE", "000100082112a4420102030405060708090a0b0c802800045b20f9cc", false},
    {"other SOFTWARE",
     "000100142112a4420102030405060708090a0b0c802200087461696c6e6f6466802800042a2566b5", false},
    {"a longer SOFTWARE",
     "000100182112a4420102030405060708090a0b0c802200097461696c6e6f646532000000802800046d9c9078",
     false},
    {"no FINGERPRINT", "0001000c2112a4420102030405060708090a0b0c802200087461696c6e6f6465", false},
    {"FINGERPRINT not last",
     "000100142112a4420102030405060708090a0b0c80280004bd30b652802200087461696c6e6f6465", false},
    {"something behind FINGERPRINT",
     "000100142112a4420102030405060708090a0b0c802200087461696c6e6f646580280004b32c370f7f0000046162"
     "6364",
     false},
    {"length short of the packet",
     "000100102112a4420102030405060708090a0b0c802200087461696c6e6f646580280004e44255de", false},
    {"length past the packet",
     "000100182112a4420102030405060708090a0b0c802200087461696c6e6f6465802800044a9e907c", false},
    {"another cookie",
     "000100142112a4430102030405060708090a0b0c802200087461696c6e6f64658028000416a7a701", false},
    {"an indication",
     "001100142112a4420102030405060708090a0b0c802200087461696c6e6f6465802800045d52ba1f", false},
    {"a response",
     "010100142112a4420102030405060708090a0b0c802200087461696c6e6f64658028000442f632a5", false},
    {"an attribute past the end",
     "000100182112a4420102030405060708090a0b0c802200087461696c6e6f64657f0001908028000430606b18",
     false},
};

static void takes_only_what_official_clients_send(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf in = from_hex(requests[i].hex);
        struct stun_txid got = {{0}};

        print_message("%s\n", requests[i].name);
        assert_int_equal(stun_request_decode(buf_str(&in), &got), requests[i].ok);
        assert_int_equal(got.b[0], requests[i].ok ? txid.b[0] : 0);
        buf_fini(&in);
    }
}

static const struct {
    const char *name;
    const char *hex;
    const char *seen; /* NULL: refused */
} responses[] = {
    {"IPv4", "0101000c2112a4420102030405060708090a0b0c00200008000183bbe112a648",
     "192.0.2.10:41641"},
    {"IPv6",
     "010100182112a4420102030405060708090a0b0c00200014000220a90113a9fa0102030405060708090a0b0d",
     "[2001:db8::1]:443"},
    {"the plain address alone", "0101000c2112a4420102030405060708090a0b0c000100080001a2a9c000020a",
     "192.0.2.10:41641"},
    {"both: the masked one counts",
     "010100182112a4420102030405060708090a0b0c00010008000100010a00000100200008000183bbe112a648",
     "192.0.2.10:41641"},
    {"behind something unknown",
     "010100182112a4420102030405060708090a0b0c80220006636f7475726e000000200008000183bbe112a648",
     "192.0.2.10:41641"},
    {"no address", "0101000c2112a4420102030405060708090a0b0c802200087461696c6e6f6465", NULL},
    {"nothing", "010100002112a4420102030405060708090a0b0c", NULL},
    {"an IPv4 address of 16 bytes",
     "010100182112a4420102030405060708090a0b0c00200014000120a90113a9fa0102030405060708090a0b0d",
     NULL},
    {"an unknown family", "0101000c2112a4420102030405060708090a0b0c00200008000383bbe112a648", NULL},
    {"an address cut short", "010100082112a4420102030405060708090a0b0c00200004000183bb", NULL},
    {"an error response", "0111000c2112a4420102030405060708090a0b0c00200008000183bbe112a648", NULL},
    {"a request", "0001000c2112a4420102030405060708090a0b0c00200008000183bbe112a648", NULL},
    {"an attribute past the end",
     "010100102112a4420102030405060708090a0b0c00200008000183bbe112a6487f000190", NULL},
    {"length past the packet", "010100402112a4420102030405060708090a0b0c00200008000183bbe112a648",
     NULL},
};

static void reads_each_response(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
        struct buf in = from_hex(responses[i].hex);
        struct ip_addrport seen = {.port = 7};
        struct stun_txid got = {{0}};

        print_message("%s\n", responses[i].name);
        assert_int_equal(stun_response_decode(buf_str(&in), &got, &seen),
                         responses[i].seen != NULL);
        if (responses[i].seen) {
            assert_true(ip_addrport_eq(seen, addrport(responses[i].seen)));
            assert_memory_equal(got.b, txid.b, sizeof(txid.b));
        } else {
            assert_int_equal(seen.port, 7);
            assert_int_equal(got.b[0], 0);
        }
        buf_fini(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_known_answer),
        cmocka_unit_test(requests_look_as_clients_write_them),
        cmocka_unit_test(every_turned_bit_is_refused),
        cmocka_unit_test(answers_come_back_as_they_went),
        cmocka_unit_test(takes_only_what_official_clients_send),
        cmocka_unit_test(reads_each_response),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
