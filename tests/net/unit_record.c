/*
 * TLS 1.3 records: against the traces of RFC 8448, both ways, cut anywhere, forged, renewed.
 * That OpenSSL and its clients understand them is shown by unit_tls, which runs over them.
 */

#include "../unit.h"

#include "core/rand.h"
#include "net/record_internal.h"

static const unsigned suites[] = {RECORD_AES_128_GCM_SHA256, RECORD_AES_256_GCM_SHA384,
                                  RECORD_CHACHA20_POLY1305_SHA256};

/* Two ends of one connection. */
struct both {
    struct record *near, *far;
};

static struct both both_new(unsigned suite, uint64_t records_per_key)
{
    struct record_options near = {.suite = suite, .records_per_key = records_per_key}, far;
    struct both b;
    struct err err;

    near.secret_len = suite == RECORD_AES_256_GCM_SHA384 ? 48 : 32;
    rand_bytes(near.in_secret, sizeof(near.in_secret));
    rand_bytes(near.out_secret, sizeof(near.out_secret));
    far = near;
    memcpy(far.in_secret, near.out_secret, sizeof(far.in_secret));
    memcpy(far.out_secret, near.in_secret, sizeof(far.out_secret));
    assert_int_equal(record_new(&near, &b.near, &err), 0);
    assert_int_equal(record_new(&far, &b.far, &err), 0);
    return b;
}

static void both_free(struct both *b)
{
    record_free(b->near);
    record_free(b->far);
}

static void seal(struct record *r, enum record_type type, struct str plain, struct buf *out)
{
    struct err err;

    assert_int_equal(record_seal(r, type, plain, out, &err), 0);
}

/* Opens all of `in`, doing what handshake messages say; appends the data. */
static void open_all(struct record *r, struct str in, struct buf *data)
{
    static char plain[RECORD_PLAIN_MAX + 256];

    while (in.len > 0) {
        struct record_content got;
        uint8_t alert = 0;
        bool answer = true;

        assert_int_equal(record_open(r, in, plain, sizeof(plain), &got, &alert), RECORD_OK);
        assert_int_equal(got.used, record_wants(in));
        in = str_from_index(in, got.used);
        if (got.type == RECORD_DATA) {
            buf_put(data, str_bytes(plain, got.len));
            continue;
        }
        assert_int_equal(got.type, RECORD_HANDSHAKE);
        assert_int_equal(record_on_handshake(r, str_bytes(plain, got.len), false, &answer, &alert),
                         0);
        assert_false(answer);
    }
}

/* RFC 8448, section 3: the client's and the server's 50 bytes of application data. */
static void agrees_with_the_rfc(void **state)
{
    struct record_options o = {.suite = RECORD_AES_128_GCM_SHA256, .secret_len = 32, .out_seq = 1};
    const struct str client = STR("\xa2\x3f\x70\x54\xb6\x2c\x94\xd0\xaf\xfa\xfe\x82\x28\xba\x55\xcb"
                                  "\xef\xac\xea\x42\xf9\x14\xaa\x66\xbc\xab\x3f\x2b\x98\x19\xa8\xa5"
                                  "\xb4\x6b\x39\x5b\xd5\x4a\x9a\x20\x44\x1e\x2b\x62\x97\x4e\x1f\x5a"
                                  "\x62\x92\xa2\x97\x70\x14\xbd\x1e\x3d\xea\xe6\x3a\xee\xbb\x21\x69"
                                  "\x49\x15\xe4\x0a");
    const struct str server = STR("\x2e\x93\x7e\x11\xef\x4a\xc7\x40\xe5\x38\xad\x36\x00\x5f\xc4\xa4"
                                  "\x69\x32\xfc\x32\x25\xd0\x5f\x82\xaa\x1b\x36\xe3\x0e\xfa\xf9\x7d"
                                  "\x90\xe6\xdf\xfc\x60\x2d\xcb\x50\x1a\x59\xa8\xfc\xc4\x9c\x4b\xf2"
                                  "\xe5\xf0\xa2\x1c\x00\x47\xc2\xab\xf3\x32\x54\x0d\xd0\x32\xe1\x67"
                                  "\xc2\x95\x5d");
    AUTO_FINI(buf_fini) struct buf in = BUF(1000), out = BUF(1000), data = BUF(1000);
    struct record *r = NULL;
    struct err err;
    char plain[50];

    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (char)i;
    assert_true(hex_decode(STR("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"),
                           o.in_secret, 32));
    assert_true(hex_decode(STR("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"),
                           o.out_secret, 32));
    assert_int_equal(record_new(&o, &r, &err), 0);
    buf_put(&in, STR("\x17\x03\x03\x00\x43"));
    buf_put(&in, str_sub(client, 0, 0x43));
    open_all(r, buf_str(&in), &data);
    assert_int_equal(data.len, sizeof(plain));
    assert_memory_equal(data.ptr, plain, sizeof(plain));
    /* The server has sent a ticket before: its number is 1. */
    seal(r, RECORD_DATA, str_bytes(plain, sizeof(plain)), &out);
    assert_int_equal(out.len, 5 + 0x43);
    assert_memory_equal(out.ptr, "\x17\x03\x03\x00\x43", 5);
    assert_memory_equal(out.ptr + 5, server.ptr, 0x43);
    record_free(r);
}

static void carries_any_length(void **state)
{
    static const size_t lens[] = {1, 15, 16, 17, 64, 1280, 16383, 16384, 16385, 50000, 200000};

    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
        struct both b = both_new(suites[s], 0);

        for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
            AUTO_FINI(buf_fini)
            struct buf out = BUF(1 << 20), plain = BUF(1 << 20), data = BUF(1 << 20);
            size_t records = (lens[i] + RECORD_PLAIN_MAX - 1) / RECORD_PLAIN_MAX;

            rand_bytes(buf_reserve(&plain, lens[i]), lens[i]);
            buf_added(&plain, lens[i]);
            seal(b.near, RECORD_DATA, buf_str(&plain), &out);
            assert_int_equal(out.len, lens[i] + records * (RECORD_HEADER + 17));
            open_all(b.far, buf_str(&out), &data);
            assert_true(str_eq(buf_str(&data), buf_str(&plain)));
        }
        both_free(&b);
    }
}

static void takes_the_next_key_in_time(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
        struct both b = both_new(suites[s], 3);
        AUTO_FINI(buf_fini) struct buf out = BUF(1 << 20), data = BUF(1 << 20);

        for (int i = 0; i < 10; i++)
            seal(b.near, RECORD_DATA, STR("x"), &out);
        /* After each three, and not at the end. */
        assert_int_equal(out.len, 10 * 23 + 3 * 27);
        open_all(b.far, buf_str(&out), &data);
        assert_int_equal(data.len, 10);
        both_free(&b);
    }
}

static void asks_for_more_and_for_room(void **state)
{
    struct both b = both_new(RECORD_AES_128_GCM_SHA256, 0);
    AUTO_FINI(buf_fini) struct buf out = BUF(1000);
    struct record_content got;
    char plain[64];
    uint8_t alert = 0;

    (void)state;
    seal(b.near, RECORD_DATA, STR("hello, world"), &out);
    seal(b.near, RECORD_DATA, STR("next"), &out);
    size_t whole = record_wants(buf_str(&out));

    for (size_t n = 0; n < whole; n++) {
        struct str in = str_sub(buf_str(&out), 0, n);

        assert_int_equal(record_wants(in), n < RECORD_HEADER ? RECORD_HEADER : whole);
        assert_int_equal(record_open(b.far, in, plain, sizeof(plain), &got, &alert), RECORD_MORE);
    }
    assert_int_equal(record_open(b.far, buf_str(&out), plain, 12, &got, &alert), RECORD_FULL);
    assert_int_equal(record_open(b.far, buf_str(&out), plain, 13, &got, &alert), RECORD_OK);
    assert_int_equal(got.used, whole);
    assert_int_equal(got.len, 12);
    assert_memory_equal(plain, "hello, world", 12);
    both_free(&b);
}

/* Any bit of any record: header, content, tag. And records again, or in another order. */
static void refuses_what_was_changed(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
        struct both b = both_new(suites[s], 0);
        AUTO_FINI(buf_fini) struct buf out = BUF(1000);

        seal(b.near, RECORD_DATA, STR("hello"), &out);
        for (size_t bit = 0; bit < 8 * out.len; bit++) {
            struct record_content got;
            char plain[70000];
            uint8_t alert = 0;
            struct both fresh = both_new(suites[s], 0);
            AUTO_FINI(buf_fini) struct buf own = BUF(1000);

            seal(fresh.near, RECORD_DATA, STR("hello"), &own);
            own.ptr[bit / 8] = (char)(own.ptr[bit / 8] ^ 1 << bit % 8);
            enum record_opened opened =
                record_open(fresh.far, buf_str(&own), plain, sizeof(plain), &got, &alert);
            assert_true(opened == RECORD_BROKEN || (opened == RECORD_MORE && bit / 8 == 4) ||
                        (opened == RECORD_MORE && bit / 8 == 3));
            both_free(&fresh);
        }
        struct record_content got;
        char plain[64];
        uint8_t alert = 0;

        assert_int_equal(record_open(b.far, buf_str(&out), plain, 64, &got, &alert), RECORD_OK);
        assert_int_equal(record_open(b.far, buf_str(&out), plain, 64, &got, &alert), RECORD_BROKEN);
        assert_int_equal(alert, RECORD_BAD_MAC);
        both_free(&b);
    }
}

static void judges_headers_at_once(void **state)
{
    static const struct {
        const char *name;
        struct str in;
        uint8_t alert;
    } cases[] = {
        {"plain alert", STR_INIT("\x15\x03\x03\x00\x02"), RECORD_UNEXPECTED_MESSAGE},
        {"change of cipher", STR_INIT("\x14"), RECORD_UNEXPECTED_MESSAGE},
        {"too long", STR_INIT("\x17\x03\x03\x41\x01"), RECORD_OVERFLOW},
        {"no room for a type", STR_INIT("\x17\x03\x03\x00\x10"), RECORD_BAD_MAC},
    };
    struct both b = both_new(RECORD_AES_128_GCM_SHA256, 0);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct record_content got;
        char plain[64];
        uint8_t alert = 0;

        print_message("%s\n", cases[i].name);
        assert_int_equal(record_open(b.far, cases[i].in, plain, 64, &got, &alert), RECORD_BROKEN);
        assert_int_equal(alert, cases[i].alert);
    }
    both_free(&b);
}

static void judges_messages(void **state)
{
    static const struct {
        const char *name;
        struct str in;
        bool is_client;
        int status;
        bool answer;
        uint8_t alert;
    } cases[] = {
        {"update", STR_INIT("\x18\0\0\x01\0"), false, 0, false, 0},
        {"update, and you too", STR_INIT("\x18\0\0\x01\x01"), false, 0, true, 0},
        {"update of a third kind", STR_INIT("\x18\0\0\x01\x02"), false, -ERR_INVALID, false,
         RECORD_DECODE_ERROR},
        {"update without a body", STR_INIT("\x18\0\0\0"), false, -ERR_INVALID, false,
         RECORD_DECODE_ERROR},
        {"cut", STR_INIT("\x18\0\0\x01"), false, -ERR_INVALID, false, RECORD_DECODE_ERROR},
        {"update and more", STR_INIT("\x18\0\0\x01\0\x18\0\0\x01\0"), false, -ERR_INVALID, false,
         RECORD_UNEXPECTED_MESSAGE},
        {"nothing", STR_INIT(""), false, -ERR_INVALID, false, RECORD_UNEXPECTED_MESSAGE},
        {"ticket for a client", STR_INIT("\x04\0\0\x02xy\x04\0\0\x01z"), true, 0, false, 0},
        {"ticket for a server", STR_INIT("\x04\0\0\x02xy"), false, -ERR_INVALID, false,
         RECORD_UNEXPECTED_MESSAGE},
        {"a new hello", STR_INIT("\x01\0\0\x02xy"), false, -ERR_INVALID, false,
         RECORD_UNEXPECTED_MESSAGE},
        {"bytes behind a ticket", STR_INIT("\x04\0\0\x02xy\x04"), true, -ERR_INVALID, false,
         RECORD_DECODE_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct both b = both_new(RECORD_AES_128_GCM_SHA256, 0);
        bool answer = true;
        uint8_t alert = 0;

        print_message("%s\n", cases[i].name);
        assert_int_equal(
            record_on_handshake(b.far, cases[i].in, cases[i].is_client, &answer, &alert),
            cases[i].status);
        assert_int_equal(answer, cases[i].answer);
        assert_int_equal(alert, cases[i].alert);
        both_free(&b);
    }
}

static void refuses_other_suites(void **state)
{
    static const struct {
        unsigned suite;
        size_t secret_len;
    } cases[] = {
        {0x1304, 32}, {0, 32}, {RECORD_AES_128_GCM_SHA256, 48}, {RECORD_AES_256_GCM_SHA384, 32}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct record_options o = {.suite = cases[i].suite, .secret_len = cases[i].secret_len};
        struct record *r = NULL;
        struct err err;

        assert_int_equal(record_new(&o, &r, &err), -ERR_INVALID);
        assert_null(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_rfc),
        cmocka_unit_test(carries_any_length),
        cmocka_unit_test(takes_the_next_key_in_time),
        cmocka_unit_test(asks_for_more_and_for_room),
        cmocka_unit_test(refuses_what_was_changed),
        cmocka_unit_test(judges_headers_at_once),
        cmocka_unit_test(judges_messages),
        cmocka_unit_test(refuses_other_suites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
