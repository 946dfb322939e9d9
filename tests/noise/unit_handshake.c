#include "../unit.h"

#include "noise/handshake.h"
#include "pair.h"

/* docs/protocol.md, A.1. */
static const char initiation_hex[] =
    "008e010060 23b7bb8c91ae008711fb12846780bcdf1e065f821bdfec49f57e7c7dcd4c4823"
    "39c937d33972f004517af7be2a9aa0582fbb42e14b1abdc35bac677360065b7c58a8ea84e0866a8fb1218af030f3df"
    "c8"
    "44b66509561da6549249d6dad3f4e255";
static const char response_hex[] =
    "020030 34e42d4af5ef94a07a3a84201b889d4cd1a743cb27b11b6a10438a8feb8e5847"
    "4f8180531f55cffe3c92f773681c3239";
static const char final_hash[] = "be0d177d133afe25b694e1b28d4190deb971fb2eba5e02e60251680b21fde6fd";

/* What a server made of an initiation. */
struct served {
    int status;
    uint8_t response[NOISE_RESPONSE_BYTES];
    struct noise_session session;
    struct machine_key client;
    uint16_t version;
    struct err err;
};

static struct served serve(struct str initiation)
{
    struct pair_keys k = pair_keys();
    struct served s = {0};

    s.status = noise_server_handshake(&k.server, initiation, &k.server_ephemeral, s.response,
                                      &s.session, &s.client, &s.version, &s.err);
    return s;
}

static void assert_refused(struct str initiation)
{
    struct served s = serve(initiation);

    assert_int_equal(s.status, -ERR_INVALID);
    assert_true(machine_key_is_zero(&s.client));
    assert_int_equal(s.version, 0);
    assert_memory_equal(&s.session.seal, &(struct aead_key){0}, sizeof(struct aead_key));
    assert_int_equal(s.response[0], 0);
    assert_true(s.err.text[0] != '\0');
}

static struct noise_client start(uint8_t initiation[NOISE_INITIATION_BYTES])
{
    struct pair_keys k = pair_keys();
    struct noise_client c;

    assert_int_equal(noise_client_start(&c, &k.client, &k.server_pub, PAIR_VERSION,
                                        &k.client_ephemeral, initiation, NULL),
                     0);
    return c;
}

static void client_writes_the_known_initiation(void **state)
{
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct noise_client c = start(initiation);

    (void)state;
    assert_hex(initiation, sizeof(initiation), initiation_hex);
    assert_hex(c.transcript.h, 32,
               "04aa45ef5ffff75d8e2e1d925920a7280ed9f889c9c6381272f8735eccc779a8");
    assert_hex(c.transcript.ck, 32,
               "94de586ff00dcfe27a62434f4608e113fecfbe0ee646c20d5d01fbf128303253");
    noise_client_fini(&c);
    assert_true(key_is_zero(c.machine.b));
}

static void server_writes_the_known_response(void **state)
{
    struct buf initiation = from_hex(initiation_hex);
    struct served s = serve(buf_str(&initiation));

    (void)state;
    assert_int_equal(s.status, 0);
    assert_hex(s.response, sizeof(s.response), response_hex);
    assert_hex(s.client.b, 32, "392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c124664488c1c");
    assert_int_equal(s.version, PAIR_VERSION);
    assert_hex(s.session.hash, 32, final_hash);
    noise_session_fini(&s.session);
    buf_fini(&initiation);
}

static void client_finishes_with_the_same_hash(void **state)
{
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct noise_client c = start(initiation);
    struct noise_session session;
    struct buf in = from_hex(response_hex);
    size_t used = 0;

    (void)state;
    for (size_t len = 0; len < in.len; len++)
        assert_int_equal(
            noise_client_finish(&c, str_sub(buf_str(&in), 0, len), &used, &session, NULL),
            NOISE_FINISH_MORE);
    buf_put(&in, STR("the first record"));
    assert_int_equal(noise_client_finish(&c, buf_str(&in), &used, &session, NULL), NOISE_FINISH_OK);
    assert_int_equal(used, NOISE_RESPONSE_BYTES);
    assert_hex(session.hash, 32, final_hash);
    noise_session_fini(&session);
    noise_client_fini(&c);
    buf_fini(&in);
}

/* The steps of the key schedule that no message shows, spelled out once more. */
static void schedule_is_the_documented_one(void **state)
{
    struct pair_keys k = pair_keys();
    struct x25519_private server;
    uint8_t eph_pub[32], ck[32], key[32], shared[32], to_server[32], to_client[32];

    (void)state;
    memcpy(server.b, k.server.b, 32);
    x25519_public(&k.client_ephemeral, eph_pub);
    assert_hex(eph_pub, 32, "23b7bb8c91ae008711fb12846780bcdf1e065f821bdfec49f57e7c7dcd4c4823");
    assert_hex(k.server_pub.b, 32,
               "d89e3bad79437dbed9f843418304f460ff05c7fe81fe4a9577a804cb9367ff66");
    blake2s(STR("Noise_IK_25519_ChaChaPoly_BLAKE2s"), ck);
    assert_true(x25519(&server, eph_pub, shared));
    noise_hkdf(ck, str_bytes(shared, 32), ck, key);
    assert_hex(ck, 32, "b2485f53667064c94aeb7be2f837d86e2cd1091b0350f5cb8e8b3de73127e63c");
    assert_true(x25519(&server, k.client_pub.b, shared));
    noise_hkdf(ck, str_bytes(shared, 32), ck, key);
    assert_true(x25519(&k.server_ephemeral, eph_pub, shared));
    noise_hkdf(ck, str_bytes(shared, 32), ck, key);
    assert_hex(ck, 32, "ccdacbe3edfbad78f13f24132fb6856266744c374ae5e3cabbd4284fa3fd68a0");
    assert_true(x25519(&k.server_ephemeral, k.client_pub.b, shared));
    noise_hkdf(ck, str_bytes(shared, 32), ck, key);
    assert_hex(ck, 32, "196853435b69df01ff3b8e336f8f8eb9d771e826ba110dd17e27d9810ab80909");
    noise_hkdf(ck, STR_NONE, to_server, to_client);
    assert_hex(to_server, 32, "425ae189d4b35978fc420fbc272143950ccaa83f9fabc3479da4394ab169a5cf");
    assert_hex(to_client, 32, "1c7b660d3fda3f69bedad353835ca280175225be93c40b672aff7c9e61e17762");
}

static void every_flipped_bit_of_an_initiation_is_refused(void **state)
{
    struct buf in = from_hex(initiation_hex);

    (void)state;
    for (size_t bit = 0; bit < in.len * 8; bit++) {
        in.ptr[bit / 8] = (char)(in.ptr[bit / 8] ^ (1 << bit % 8));
        assert_refused(buf_str(&in));
        in.ptr[bit / 8] = (char)(in.ptr[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t len = 0; len < in.len; len++)
        assert_refused(str_sub(buf_str(&in), 0, len));
    buf_put_char(&in, '\0');
    assert_refused(buf_str(&in));
    buf_fini(&in);
}

static void every_flipped_bit_of_a_response_is_refused(void **state)
{
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct noise_client c = start(initiation);
    struct noise_session session;
    struct buf in = from_hex(response_hex);
    size_t used = 0;

    (void)state;
    for (size_t bit = 0; bit < in.len * 8; bit++) {
        in.ptr[bit / 8] = (char)(in.ptr[bit / 8] ^ (1 << bit % 8));
        enum noise_finish got = noise_client_finish(&c, buf_str(&in), &used, &session, NULL);
        assert_int_not_equal(got, NOISE_FINISH_OK);
        in.ptr[bit / 8] = (char)(in.ptr[bit / 8] ^ (1 << bit % 8));
    }
    assert_int_equal(used, 0);
    assert_int_equal(noise_client_finish(&c, buf_str(&in), &used, &session, NULL), NOISE_FINISH_OK);
    noise_session_fini(&session);
    noise_client_fini(&c);
    buf_fini(&in);
}

static void points_of_small_order_are_refused(void **state)
{
    struct pair_keys k = pair_keys();
    struct machine_key zero = {0};
    struct noise_client c;
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct buf in = from_hex(initiation_hex);
    struct err err = {0};

    (void)state;
    memset(in.ptr + 5, 0, 32);
    assert_refused(buf_str(&in));
    assert_int_equal(noise_client_start(&c, &k.client, &zero, PAIR_VERSION, NULL, initiation, &err),
                     -ERR_INVALID);
    buf_fini(&in);
}

static void another_servers_key_is_refused(void **state)
{
    struct pair_keys k = pair_keys();
    AUTO_FINI(machine_private_fini) struct machine_private other;
    struct buf in = from_hex(initiation_hex);
    struct served s = {0};

    (void)state;
    machine_private_generate(&other);
    assert_int_equal(noise_server_handshake(&other, buf_str(&in), &k.server_ephemeral, s.response,
                                            &s.session, &s.client, &s.version, &s.err),
                     -ERR_INVALID);
    buf_fini(&in);
}

static void random_ephemerals_work_and_differ(void **state)
{
    struct pair_keys k = pair_keys();
    uint8_t first[NOISE_INITIATION_BYTES], second[NOISE_INITIATION_BYTES];
    struct noise_client a, b;
    struct noise_session to_client, to_server;
    struct served s = {0};
    struct buf wire = BUF(1024), plain = BUF(1024);
    size_t used;

    (void)state;
    assert_int_equal(noise_client_start(&a, &k.client, &k.server_pub, 1, NULL, first, NULL), 0);
    assert_int_equal(noise_client_start(&b, &k.client, &k.server_pub, 65535, NULL, second, NULL),
                     0);
    assert_memory_not_equal(first + 5, second + 5, 32);
    assert_int_equal(noise_server_handshake(&k.server, str_bytes(second, sizeof(second)), NULL,
                                            s.response, &to_client, &s.client, &s.version, NULL),
                     0);
    assert_int_equal(s.version, 65535);
    assert_true(machine_key_eq(&s.client, &k.client_pub));
    struct str response = str_bytes(s.response, sizeof(s.response));
    assert_int_equal(noise_client_finish(&a, response, &used, &to_server, NULL),
                     NOISE_FINISH_BROKEN);
    assert_int_equal(noise_client_finish(&b, response, &used, &to_server, NULL), NOISE_FINISH_OK);
    assert_int_equal(noise_seal(&to_server, STR("it is me"), &wire, NULL), 0);
    assert_int_equal(noise_open(&to_client, &wire, &plain, NULL), 0);
    assert_str(buf_str(&plain), STR("it is me"));
    noise_client_fini(&a);
    noise_client_fini(&b);
    noise_session_fini(&to_client);
    noise_session_fini(&to_server);
    buf_fini(&wire);
    buf_fini(&plain);
}

static const struct {
    const char *name;
    struct str in;
    enum noise_finish want;
} answers[] = {
    {"nothing", STR_INIT(""), NOISE_FINISH_MORE},
    {"a record first", STR_INIT("\x04"), NOISE_FINISH_BROKEN},
    {"an initiation", STR_INIT("\x01\0\x60"), NOISE_FINISH_BROKEN},
    {"HTTP", STR_INIT("HTTP/1.1 400"), NOISE_FINISH_BROKEN},
    {"a response of another length", STR_INIT("\x02\0\x31"), NOISE_FINISH_BROKEN},
    {"an error message's front", STR_INIT("\x03\0\x05too"), NOISE_FINISH_MORE},
    {"an error message", STR_INIT("\x03\0\x07too\x1b old"), NOISE_FINISH_REFUSED},
    {"an empty error message", STR_INIT("\x03\0\0"), NOISE_FINISH_REFUSED},
    {"a novel", STR_INIT("\x03\xff\xff"), NOISE_FINISH_BROKEN},
};

static void client_reads_each_answer(void **state)
{
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct noise_client c = start(initiation);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct noise_session session;
        struct err err = {0};
        size_t used = 0;

        print_message("%s\n", answers[i].name);
        assert_int_equal(noise_client_finish(&c, answers[i].in, &used, &session, &err),
                         answers[i].want);
        assert_int_equal(used, 0);
        assert_null(str_find_char(str_from(err.text), '\x1b') >= 0 ? err.text : NULL);
    }
    noise_client_fini(&c);
}

static void error_messages_reach_the_client(void **state)
{
    uint8_t initiation[NOISE_INITIATION_BYTES];
    struct noise_client c = start(initiation);
    struct noise_session session;
    struct buf out = BUF(4096), text = BUF(4096);
    struct err err = {0};
    size_t used = 0;

    (void)state;
    noise_error_put(&out, STR("your client is too old"));
    assert_int_equal(noise_client_finish(&c, buf_str(&out), &used, &session, &err),
                     NOISE_FINISH_REFUSED);
    assert_int_equal(err.code, ERR_DENIED);
    assert_str(str_from(err.text), STR("the server refused: your client is too old"));

    /* Cut at the maximum, never inside a character. */
    while (text.len < NOISE_ERROR_TEXT_MAX - 1)
        buf_put_char(&text, 'x');
    buf_put(&text, STR("\xc3\xa9"));
    buf_clear(&out);
    noise_error_put(&out, buf_str(&text));
    assert_int_equal(out.len, 3 + NOISE_ERROR_TEXT_MAX - 1);
    assert_int_equal(str_be16(buf_str(&out), 1), NOISE_ERROR_TEXT_MAX - 1);
    noise_client_fini(&c);
    buf_fini(&out);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_writes_the_known_initiation),
        cmocka_unit_test(server_writes_the_known_response),
        cmocka_unit_test(client_finishes_with_the_same_hash),
        cmocka_unit_test(schedule_is_the_documented_one),
        cmocka_unit_test(every_flipped_bit_of_an_initiation_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_response_is_refused),
        cmocka_unit_test(points_of_small_order_are_refused),
        cmocka_unit_test(another_servers_key_is_refused),
        cmocka_unit_test(random_ephemerals_work_and_differ),
        cmocka_unit_test(client_reads_each_answer),
        cmocka_unit_test(error_messages_reach_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
