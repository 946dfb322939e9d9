#include "../unit.h"

#include <string.h>

#include "derp/frame.h"

/* ---- Splitting ---- */

static const struct {
    const char *name;
    struct str in;
    enum derp_decode want;
    uint8_t type;
    struct str payload;
    size_t used;
} cases[] = {
    {"nothing yet", STR_INIT(""), DERP_DECODE_MORE, 0, STR_INIT(""), 0},
    {"header cut short", STR_INIT("\x04\0\0\0"), DERP_DECODE_MORE, 0, STR_INIT(""), 0},
    {"payload cut short", STR_INIT("\x04\0\0\0\x02x"), DERP_DECODE_MORE, 0, STR_INIT(""), 0},
    {"keep-alive has no payload", STR_INIT("\x06\0\0\0\0"), DERP_DECODE_OK, 6, STR_INIT(""), 5},
    {"second frame stays", STR_INIT("\x04\0\0\0\x02xy\x06"), DERP_DECODE_OK, 4, STR_INIT("xy"), 7},
    {"unknown types pass", STR_INIT("\xee\0\0\0\x01x"), DERP_DECODE_OK, 0xee, STR_INIT("x"), 6},
    {"as long as allowed",
     STR_INIT("\x04\0\0\0\x10"
              "0123456789abcdef"),
     DERP_DECODE_OK, 4, STR_INIT("0123456789abcdef"), 21},
    {"one byte too long", STR_INIT("\x04\0\0\0\x11"), DERP_DECODE_TOO_LONG, 0, STR_INIT(""), 0},
    {"length is big-endian", STR_INIT("\x04\x01\0\0\0"), DERP_DECODE_TOO_LONG, 0, STR_INIT(""), 0},
    {"largest length", STR_INIT("\x04\xff\xff\xff\xff"), DERP_DECODE_TOO_LONG, 0, STR_INIT(""), 0},
};

static void decodes_each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct derp_frame frame = {0};
        size_t used = 0;

        print_message("%s\n", cases[i].name);
        assert_int_equal(derp_frame_decode(cases[i].in, 16, &frame, &used), cases[i].want);
        assert_int_equal(used, cases[i].used);
        assert_int_equal(frame.type, cases[i].type);
        assert_str(frame.payload, cases[i].payload);
    }
}

/* ---- Every frame byte by byte, as docs/protocol.md 16.3 has them ---- */

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct node_key key_of(char c)
{
    struct node_key key;

    memset(key.b, c, sizeof(key.b));
    return key;
}

static void put_send(struct buf *out)
{
    const struct node_key a = key_of('a');

    derp_put_packet(out, DERP_SEND_PACKET, &a, STR("hello"));
}

static void put_recv_empty(struct buf *out)
{
    const struct node_key b = key_of('b');

    derp_put_packet(out, DERP_RECV_PACKET, &b, STR(""));
}

static void put_forward(struct buf *out)
{
    const struct node_key a = key_of('a'), b = key_of('b');

    derp_put_forward(out, &a, &b, STR("hi"));
}

static void put_home(struct buf *out)
{
    derp_put_note_preferred(out, true);
}

static void put_not_home(struct buf *out)
{
    derp_put_note_preferred(out, false);
}

static void put_gone(struct buf *out)
{
    const struct node_key a = key_of('a');

    derp_put_peer_gone(out, &a, DERP_GONE_NOT_HERE);
}

static void put_present(struct buf *out)
{
    const struct derp_peer_present present = {
        key_of('a'), {IP_ADDR_V4(1, 2, 3, 4), 0x1234}, DERP_PRESENT_REGULAR | DERP_PRESENT_PROBER};

    derp_put_peer_present(out, &present);
}

static void put_present_unknown(struct buf *out)
{
    const struct derp_peer_present present = {.key = key_of('b'), .flags = DERP_PRESENT_MESH_PEER};

    derp_put_peer_present(out, &present);
}

static void put_restarting(struct buf *out)
{
    derp_put_restarting(out, 1000, 0x10203);
}

static void put_ping(struct buf *out)
{
    derp_put_frame(out, DERP_PING, STR("12345678"));
}

static const struct {
    void (*put)(struct buf *out);
    struct str want;
} golden[] = {
    {put_send, STR_INIT("\x04\0\0\0\x25" KEY_A "hello")},
    {put_recv_empty, STR_INIT("\x05\0\0\0\x20" KEY_B)},
    {put_forward, STR_INIT("\x0a\0\0\0\x42" KEY_A KEY_B "hi")},
    {put_home, STR_INIT("\x07\0\0\0\x01\x01")},
    {put_not_home, STR_INIT("\x07\0\0\0\x01\0")},
    {put_gone, STR_INIT("\x08\0\0\0\x21" KEY_A "\x01")},
    {put_present,
     STR_INIT("\x09\0\0\0\x33" KEY_A "\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\x12\x34\x05")},
    {put_present_unknown,
     STR_INIT("\x09\0\0\0\x33" KEY_B "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02")},
    {put_restarting, STR_INIT("\x15\0\0\0\x08\0\0\x03\xe8\0\x01\x02\x03")},
    {put_ping, STR_INIT("\x12\0\0\0\x08"
                        "12345678")},
};

static void writes_each_frame(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        struct buf out = BUF(200);

        golden[i].put(&out);
        assert_int_equal(out.len, golden[i].want.len);
        assert_memory_equal(out.ptr, golden[i].want.ptr, out.len);
        buf_fini(&out);
    }
}

static void packets_have_a_key_and_a_limit(void **state)
{
    struct buf payload = BUF(0);
    struct node_key key, other;
    struct str packet;

    (void)state;
    assert_false(derp_packet_decode(STR(""), &key, &packet));
    assert_false(derp_packet_decode(str_sub(STR(KEY_A), 0, 31), &key, &packet));
    assert_true(derp_packet_decode(STR(KEY_A), &key, &packet));
    assert_int_equal(packet.len, 0);
    assert_true(derp_packet_decode(STR(KEY_A "xyz"), &key, &packet));
    assert_str(packet, STR("xyz"));
    assert_memory_equal(key.b, KEY_A, 32);

    assert_false(derp_forward_decode(str_sub(STR(KEY_A KEY_B), 0, 63), &key, &other, &packet));
    assert_true(derp_forward_decode(STR(KEY_A KEY_B "z"), &key, &other, &packet));
    assert_memory_equal(key.b, KEY_A, 32);
    assert_memory_equal(other.b, KEY_B, 32);
    assert_str(packet, STR("z"));

    char *room = buf_reserve(&payload, KEY_BYTES + DERP_PACKET_MAX + 1);
    memset(room, 'x', KEY_BYTES + DERP_PACKET_MAX + 1);
    assert_true(derp_packet_decode(str_bytes(room, KEY_BYTES + DERP_PACKET_MAX), &key, &packet));
    assert_int_equal(packet.len, DERP_PACKET_MAX);
    assert_false(
        derp_packet_decode(str_bytes(room, KEY_BYTES + DERP_PACKET_MAX + 1), &key, &packet));
    buf_fini(&payload);
}

static void reads_what_relays_send(void **state)
{
    struct derp_peer_present present;
    struct node_key key;
    uint8_t reason = 9;
    uint32_t in_ms = 0, for_ms = 0;

    (void)state;
    assert_false(derp_peer_gone_decode(str_sub(STR(KEY_A), 0, 31), &key, &reason));
    assert_true(derp_peer_gone_decode(STR(KEY_A), &key, &reason));
    assert_int_equal(reason, DERP_GONE_DISCONNECTED);
    assert_true(derp_peer_gone_decode(STR(KEY_A "\x01more"), &key, &reason));
    assert_int_equal(reason, DERP_GONE_NOT_HERE);

    assert_false(derp_restarting_decode(STR("\0\0\0\0\0\0\0"), &in_ms, &for_ms));
    assert_true(derp_restarting_decode(STR("\0\0\0\x07\0\0\x01\0"), &in_ms, &for_ms));
    assert_int_equal(in_ms, 7);
    assert_int_equal(for_ms, 256);

    assert_false(derp_peer_present_decode(str_sub(STR(KEY_A), 0, 31), &present));
    assert_true(derp_peer_present_decode(STR(KEY_A), &present));
    assert_int_equal(present.from.addr.family, IP_NONE);
    assert_int_equal(present.flags, DERP_PRESENT_REGULAR);
    assert_true(derp_peer_present_decode(str_from_index(golden[6].want, 5), &present));
    assert_true(ip_addr_eq(present.from.addr, IP_ADDR_V4(1, 2, 3, 4)));
    assert_int_equal(present.from.port, 0x1234);
    assert_int_equal(present.flags, 5);
    assert_true(derp_peer_present_decode(str_from_index(golden[7].want, 5), &present));
    assert_int_equal(present.from.addr.family, IP_NONE);
}

static void knows_disco_packets(void **state)
{
    char packet[63] = "TS\xf0\x9f\x92\xac";

    (void)state;
    assert_true(derp_is_disco(str_bytes(packet, 62)));
    assert_true(derp_is_disco(str_bytes(packet, 63)));
    assert_false(derp_is_disco(str_bytes(packet, 61)));
    assert_false(derp_is_disco(STR("")));
    packet[5]++;
    assert_false(derp_is_disco(str_bytes(packet, 62)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_each_case),
        cmocka_unit_test(writes_each_frame),
        cmocka_unit_test(packets_have_a_key_and_a_limit),
        cmocka_unit_test(reads_what_relays_send),
        cmocka_unit_test(knows_disco_packets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
