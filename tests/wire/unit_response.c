#include "unit.h"

#include <pthread.h>

#include "wire/response.h"
#include "json/value.h"

static void writes_register_answers(void **state)
{
    struct wire_login login = {
        .id = 7, .login_name = STR("u@x"), .display_name = STR("U"), .picture_url = STR_NONE};
    struct buf out = BUF(0);

    (void)state;
    wire_register_response_encode(
        &(struct wire_register_response){.login = &login, .machine_authorized = true}, &out);
    assert_str(
        buf_str(&out),
        STR("{\"User\":{\"ID\":7,\"DisplayName\":\"U\"},\"Login\":{\"ID\":7,\"Provider\":\"\","
            "\"LoginName\":\"u@x\",\"DisplayName\":\"U\"},\"NodeKeyExpired\":false,"
            "\"MachineAuthorized\":true,\"AuthURL\":\"\",\"Error\":\"\"}"));
    buf_clear(&out);
    wire_register_response_encode(&(struct wire_register_response){.node_key_expired = true,
                                                                   .auth_url = STR("https://h/r"),
                                                                   .error = STR("no \"key\"")},
                                  &out);
    assert_str(
        buf_str(&out),
        STR("{\"User\":{\"ID\":0,\"DisplayName\":\"\"},\"Login\":{\"ID\":0,\"Provider\":\"\","
            "\"LoginName\":\"\",\"DisplayName\":\"\"},\"NodeKeyExpired\":true,"
            "\"MachineAuthorized\":false,\"AuthURL\":\"https://h/r\",\"Error\":\"no "
            "\\\"key\\\"\"}"));
    buf_fini(&out);
}

static void writes_the_servers_key(void **state)
{
    struct machine_key key = {{0xab}};
    struct buf out = BUF(0);

    (void)state;
    wire_key_response_encode(&key, &out);
    assert_str(buf_str(&out),
               STR("{\"legacyPublicKey\":\"mkey:"
                   "0000000000000000000000000000000000000000000000000000000000000000\","
                   "\"publicKey\":\"mkey:"
                   "ab00000000000000000000000000000000000000000000000000000000000000\"}"));
    buf_fini(&out);
}

static const struct {
    const char *name;
    struct str in;
    enum wire_frame want;
    struct str payload;
    size_t used;
} frames[] = {
    {"nothing yet", STR(""), WIRE_FRAME_MORE, STR(""), 0},
    {"length cut short", STR("\x03\0\0"), WIRE_FRAME_MORE, STR(""), 0},
    {"payload cut short", STR("\x03\0\0\0ab"), WIRE_FRAME_MORE, STR(""), 0},
    {"empty payload", STR("\0\0\0\0"), WIRE_FRAME_OK, STR(""), 4},
    {"little-endian, the next frame stays", STR("\x02\0\0\0abc"), WIRE_FRAME_OK, STR("ab"), 6},
    {"17 bytes where 16 may come", STR("\x11\0\0\0"), WIRE_FRAME_TOO_LONG, STR(""), 0},
};

static void splits_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct str payload = STR_NONE;
        size_t used = 0;

        print_message("%s\n", frames[i].name);
        assert_int_equal(wire_frame_decode(frames[i].in, 16, &payload, &used), frames[i].want);
        assert_str(payload, frames[i].payload);
        assert_int_equal(used, frames[i].used);
    }
}

static void frame_round_trip(struct str json, bool zstd)
{
    struct buf out = BUF(0), back = BUF(0);
    struct str payload = STR_NONE;
    size_t used = 0;

    buf_put(&out, STR("before"));
    wire_frame_put(&out, json, zstd);
    assert_int_equal(
        wire_frame_decode(str_from_index(buf_str(&out), 6), (size_t)1 << 24, &payload, &used),
        WIRE_FRAME_OK);
    assert_int_equal(used, out.len - 6);
    if (zstd)
        assert_int_equal(wire_decompress(payload, json.len, &back, NULL), 0);
    else
        buf_put(&back, payload);
    assert_str(buf_str(&back), json);
    buf_fini(&out);
    buf_fini(&back);
}

static void frames_come_back(void **state)
{
    struct buf large = BUF(0);

    (void)state;
    for (unsigned i = 0; large.len < 3000000; i++)
        buf_printf(&large, "%u,%u;", i * 2654435761u, i);
    for (int zstd = 0; zstd < 2; zstd++) {
        frame_round_trip(STR("{}"), zstd);
        frame_round_trip(STR(""), zstd);
        frame_round_trip(buf_str(&large), zstd);
    }
    buf_fini(&large);
}

/* A buffer with room for the result but not for the worst case must do. */
static void compresses_into_little_room(void **state)
{
    struct buf zeros = BUF(0), out = BUF(4096), none = BUF(8);
    char *at = buf_reserve(&zeros, 1000000);

    (void)state;
    memset(at, 'a', 1000000);
    buf_added(&zeros, 1000000);
    out.limit = (size_t)200 << 10;
    wire_frame_put(&out, buf_str(&zeros), true);
    assert_false(buf_is_full(&out));
    assert_true(out.len < 4096);

    wire_frame_put(&none, buf_str(&zeros), true);
    assert_true(buf_is_full(&none));
    assert_int_equal(none.len, 0);
    buf_fini(&zeros);
    buf_fini(&out);
    buf_fini(&none);
}

static void several_frames_are_one_payload(void **state)
{
    struct buf out = BUF(0), back = BUF(0);

    (void)state;
    assert_int_equal(wire_compress(STR("{\"a\":"), 1, &out, NULL), 0);
    assert_int_equal(wire_compress(STR("1}"), 3, &out, NULL), 0);
    assert_int_equal(wire_decompress(buf_str(&out), 100, &back, NULL), 0);
    assert_str(buf_str(&back), STR("{\"a\":1}"));
    buf_fini(&out);
    buf_fini(&back);
}

/* Every length, before and behind another frame. */
static void stored_texts_come_back(void **state)
{
    char text[WIRE_STORE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * 7 % 26);
    for (size_t len = 0; len <= sizeof text; len++) {
        struct buf out = BUF(0), back = BUF(0), want = BUF(0);
        const struct str stored = {text, len};
        size_t first;

        wire_store(stored, true, &out);
        first = out.len;
        assert_int_equal(wire_zstd_frame_len(buf_str(&out)), first);
        assert_int_equal(wire_compress(STR("|"), 1, &out, NULL), 0);
        wire_store(stored, false, &out);
        assert_true(wire_zstd_frame_len(buf_str(&out)) == first);
        assert_int_equal(wire_decompress(buf_str(&out), 2 * len + 1, &back, NULL), 0);
        buf_put(&want, stored);
        buf_put_char(&want, '|');
        buf_put(&want, stored);
        assert_str(buf_str(&back), buf_str(&want));
        buf_fini(&out);
        buf_fini(&back);
        buf_fini(&want);
    }
}

static void refuses_bad_compression(void **state)
{
    struct buf good = BUF(0), back = BUF(0);
    struct err err = {0};

    (void)state;
    buf_put(&back, STR("kept"));
    assert_int_equal(wire_compress(STR("hello hello hello"), 1, &good, NULL), 0);
    assert_int_equal(wire_decompress(STR("not zstd"), 100, &back, &err), -ERR_INVALID);
    assert_int_equal(wire_decompress(STR(""), 100, &back, &err), -ERR_INVALID);
    assert_int_equal(wire_decompress(str_sub(buf_str(&good), 0, good.len - 1), 100, &back, &err),
                     -ERR_INVALID);
    assert_int_equal(wire_decompress(buf_str(&good), 16, &back, &err), -ERR_LIMIT);
    assert_int_equal(wire_decompress(buf_str(&good), 0, &back, &err), -ERR_LIMIT);
    assert_str(buf_str(&back), STR("kept"));
    assert_int_equal(wire_decompress(buf_str(&good), 17, &back, &err), 0);
    assert_str(buf_str(&back), STR("kepthello hello hello"));
    buf_fini(&good);
    buf_fini(&back);
}

/* The spelling after which no client takes its short cut (protocol.md 6.3). */
static void spells_the_keep_alive(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_value *v = NULL;

    (void)state;
    assert_false(str_eq(STR(WIRE_KEEP_ALIVE), STR("{\"KeepAlive\":true}")));
    assert_true(json_parse(a, STR(WIRE_KEEP_ALIVE), NULL, &v, NULL));
    assert_true(json_get_bool(v, "KeepAlive", false));
    assert_int_equal(json_len(v), 1);
}

static void *compress_in_thread(void *arg)
{
    struct buf out = BUF(0);

    *(int *)arg = wire_compress(STR("thread"), 1, &out, NULL);
    buf_fini(&out);
    return NULL;
}

/* Contexts go with their thread; the leak checker watches. */
static void threads_have_their_own(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        int rc = -1;

        assert_int_equal(pthread_create(&t, NULL, compress_in_thread, &rc), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
        assert_int_equal(rc, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_register_answers),
        cmocka_unit_test(writes_the_servers_key),
        cmocka_unit_test(splits_frames),
        cmocka_unit_test(frames_come_back),
        cmocka_unit_test(compresses_into_little_room),
        cmocka_unit_test(several_frames_are_one_payload),
        cmocka_unit_test(stored_texts_come_back),
        cmocka_unit_test(refuses_bad_compression),
        cmocka_unit_test(spells_the_keep_alive),
        cmocka_unit_test(threads_have_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
