#include "../unit.h"

#include <string.h>

#include "derp/frame.h"
#include "derp/handshake.h"

/* docs/protocol.md A.1 and A.2. */
#define SERVER_PRIVATE "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e6f"
#define SERVER_PUBLIC "d89e3bad79437dbed9f843418304f460ff05c7fe81fe4a9577a804cb9367ff66"
#define CLIENT_PRIVATE "505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f"
#define CLIENT_PUBLIC "392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c124664488c1c"
#define SEALED                                         \
    "000102030405060708090a0b0c0d0e0f1011121314151617" \
    "929f9bdd6077878b2cbe363cd5ecd437790d049331ccb844dff2f5d580"

struct ends {
    struct node_private server, client;
    struct node_key server_public, client_public;
    struct box_key box; /* the client's */
};

static struct ends ends_of_the_book(void)
{
    struct ends e = {0};

    assert_true(hex_decode(STR(SERVER_PRIVATE), e.server.b, 32));
    assert_true(hex_decode(STR(CLIENT_PRIVATE), e.client.b, 32));
    assert_true(hex_decode(STR(SERVER_PUBLIC), e.server_public.b, 32));
    assert_true(hex_decode(STR(CLIENT_PUBLIC), e.client_public.b, 32));
    assert_true(box_key_init(&e.box, &e.client, &e.server_public));
    return e;
}

/* CLIENT_INFO's payload with this JSON in its box. */
static struct buf info_with(const struct ends *e, struct str json)
{
    struct buf payload = BUF(0);

    buf_put(&payload, node_key_str(&e->client_public));
    box_seal(&e->box, json, &payload);
    return payload;
}

static bool opens(const struct ends *e, struct str json, struct derp_client_info *info)
{
    struct buf payload = info_with(e, json);
    struct derp_proof proof = {0};
    struct err err = {0};
    bool ok = derp_client_info_open(buf_str(&payload), &e->server, &proof, &err) == 0;

    if (ok) {
        assert_true(node_key_eq(&proof.peer, &e->client_public));
        *info = proof.info;
    } else {
        assert_true(err.code == ERR_INVALID || err.code == ERR_DENIED);
        assert_true(err.text[0] != '\0');
    }
    derp_proof_fini(&proof);
    buf_fini(&payload);
    return ok;
}

static void opens_the_known_answer(void **state)
{
    struct ends e = ends_of_the_book();
    char payload[32 + 53];
    struct derp_proof proof = {0};
    struct err err;

    (void)state;
    memcpy(payload, e.client_public.b, 32);
    assert_true(hex_decode(STR(SEALED), payload + 32, 53));
    assert_int_equal(
        derp_client_info_open(str_bytes(payload, sizeof(payload)), &e.server, &proof, &err), 0);
    assert_int_equal(proof.info.version, 2);
    assert_false(proof.info.can_ack_pings);
    assert_false(proof.info.has_mesh_key);
    derp_proof_fini(&proof);
}

static void refuses_every_changed_byte(void **state)
{
    struct ends e = ends_of_the_book();
    struct buf payload = info_with(&e, STR("{\"version\":2}"));
    struct derp_proof proof = {0};
    struct err err;

    (void)state;
    for (size_t i = 0; i < payload.len; i++) {
        payload.ptr[i] = (char)(payload.ptr[i] ^ 1);
        assert_true(derp_client_info_open(buf_str(&payload), &e.server, &proof, &err) < 0);
        assert_true(node_key_is_zero(&proof.peer));
        payload.ptr[i] = (char)(payload.ptr[i] ^ 1);
    }
    for (size_t len = 0; len < payload.len; len++)
        assert_true(derp_client_info_open(str_bytes(payload.ptr, len), &e.server, &proof, &err) <
                    0);
    assert_int_equal(derp_client_info_open(buf_str(&payload), &e.server, &proof, &err), 0);
    derp_proof_fini(&proof);
    buf_fini(&payload);
}

static void reads_what_clients_say(void **state)
{
    struct ends e = ends_of_the_book();
    struct derp_client_info info = {0};

    (void)state;
    assert_true(opens(&e,
                      STR("{\"version\":2,\"CanAckPings\":true,\"IsProber\":true,"
                          "\"AppName\":\"x\",\"New\":[{}]}"),
                      &info));
    assert_true(info.can_ack_pings && info.is_prober && !info.has_mesh_key);
    assert_true(opens(&e,
                      STR("{\"Version\":2,\"canackpings\":true,\"MeshKey\":"
                          "\"00ff000000000000000000000000000000000000000000000000000000000007\"}"),
                      &info));
    assert_true(info.can_ack_pings && info.has_mesh_key);
    assert_int_equal(info.mesh_key[1], 0xff);
    assert_int_equal(info.mesh_key[31], 7);
    assert_true(opens(&e, STR("{\"meshKey\":\"\"}"), &info));
    assert_false(info.has_mesh_key);
    assert_true(opens(&e, STR("{}"), &info));
}

static void refuses_what_is_no_info(void **state)
{
    static const struct str bad[] = {
        STR_INIT(""),
        STR_INIT("null"),
        STR_INIT("[]"),
        STR_INIT("2"),
        STR_INIT("{"),
        STR_INIT("{\"version\":2} {}"),
        STR_INIT("{\"\xff\":1}"),
        STR_INIT("{\"meshKey\":\"00ff\"}"),
        STR_INIT(
            "{\"meshKey\":\"zz00000000000000000000000000000000000000000000000000000000000000\"}"),
    };
    struct ends e = ends_of_the_book();
    struct derp_client_info info = {0};
    struct buf large = BUF(0);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(opens(&e, bad[i], &info));
    /* As large as may be, and one more; and a great many values in a small space. */
    buf_put(&large, STR("{}"));
    while (large.len < DERP_CLIENT_INFO_MAX - 32 - BOX_OVERHEAD)
        buf_put_char(&large, ' ');
    assert_true(opens(&e, buf_str(&large), &info));
    buf_put_char(&large, ' ');
    assert_false(opens(&e, buf_str(&large), &info));
    buf_clear(&large);
    buf_put(&large, STR("{\"a\":[0"));
    for (int i = 0; i < 1000; i++)
        buf_put(&large, STR(",0"));
    buf_put(&large, STR("]}"));
    assert_false(opens(&e, buf_str(&large), &info));
    buf_fini(&large);
}

static void refuses_keys_that_are_none(void **state)
{
    struct ends e = ends_of_the_book();
    struct buf payload = info_with(&e, STR("{}"));
    struct derp_proof proof = {0};
    struct err err;

    (void)state;
    memset(payload.ptr, 0, 32);
    assert_true(derp_client_info_open(buf_str(&payload), &e.server, &proof, &err) < 0);
    payload.ptr[0] = 1; /* a point of small order */
    assert_true(derp_client_info_open(buf_str(&payload), &e.server, &proof, &err) < 0);
    buf_fini(&payload);
}

static void both_sides_agree(void **state)
{
    struct derp_client_info info = {.version = 2, .can_ack_pings = true, .has_mesh_key = true};
    const struct derp_server_info offer = {2, 1000, 70000}, plain = {.version = 2};
    struct ends e = ends_of_the_book();
    struct buf out = BUF(0);
    struct derp_frame frame;
    struct derp_proof proof = {0};
    struct derp_server_info got = {0};
    struct node_key key;
    struct err err;
    size_t used;

    (void)state;
    memset(info.mesh_key, 0xab, sizeof(info.mesh_key));
    derp_put_client_info(&out, &e.box, &e.client_public, &info);
    assert_int_equal(derp_frame_decode(buf_str(&out), 1024, &frame, &used), DERP_DECODE_OK);
    assert_int_equal(used, out.len);
    assert_int_equal(frame.type, DERP_CLIENT_INFO);
    assert_int_equal(derp_client_info_open(frame.payload, &e.server, &proof, &err), 0);
    assert_true(proof.info.can_ack_pings && proof.info.has_mesh_key && !proof.info.is_prober);
    assert_memory_equal(proof.info.mesh_key, info.mesh_key, 32);

    buf_clear(&out);
    derp_put_server_info(&out, &proof.box, &offer);
    assert_int_equal(derp_frame_decode(buf_str(&out), 1024, &frame, &used), DERP_DECODE_OK);
    assert_int_equal(frame.type, DERP_SERVER_INFO);
    assert_int_equal(derp_server_info_open(frame.payload, &e.box, &got, &err), 0);
    assert_int_equal(got.bytes_per_second, 1000);
    assert_int_equal(got.burst_bytes, 70000);
    assert_true(derp_server_info_open(str_from_index(frame.payload, 1), &e.box, &got, &err) < 0);

    /* Without a limit nothing is said about one: a rate with no burst would stop a client. */
    buf_clear(&out);
    derp_put_server_info(&out, &proof.box, &plain);
    struct buf json = BUF(100);
    assert_true(box_open(&e.box, str_from_index(buf_str(&out), 5), &json));
    assert_str(buf_str(&json), STR("{\"version\":2}"));
    buf_fini(&json);

    buf_clear(&out);
    derp_put_server_key(&out, &e.server_public);
    assert_int_equal(out.len, 5 + 8 + 32);
    assert_memory_equal(out.ptr,
                        "\x01\0\0\0\x28"
                        "DERP\xf0\x9f\x94\x91",
                        13);
    assert_true(derp_server_key_decode(str_from_index(buf_str(&out), 5), &key));
    assert_true(node_key_eq(&key, &e.server_public));
    assert_false(derp_server_key_decode(str_sub(buf_str(&out), 5, 39), &key));
    out.ptr[5] = 'd';
    assert_false(derp_server_key_decode(str_from_index(buf_str(&out), 5), &key));
    derp_proof_fini(&proof);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_the_known_answer),     cmocka_unit_test(refuses_every_changed_byte),
        cmocka_unit_test(reads_what_clients_say),     cmocka_unit_test(refuses_what_is_no_info),
        cmocka_unit_test(refuses_keys_that_are_none), cmocka_unit_test(both_sides_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
