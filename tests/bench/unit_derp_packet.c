/* A packet of the bench passes as it was made, for whom it was made, and in no other way. */

#include "../unit.h"

#include "bench/derp_internal.h"
#include "core/rand.h"

static void passes_as_made(void **state)
{
    static char packet[65536];
    static const size_t sizes[] = {DERP_BENCH_PACKET_MIN, 64, 1280, 65536};
    struct packet_kit kit;
    uint64_t number = 0, sent = 0;

    (void)state;
    packet_kit_init(&kit, 1);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        packet_make(&kit, 3, 1000 + i, 77, packet, sizes[i]);
        assert_true(packet_check(&kit, 3, str_bytes(packet, sizes[i]), &number, &sent));
        assert_int_equal(number, 1000 + i);
        assert_int_equal(sent, 77);
        assert_false(packet_check(&kit, 2, str_bytes(packet, sizes[i]), &number, &sent));
        assert_false(packet_check(&kit, 3, str_bytes(packet, sizes[i] - 1), &number, &sent));
    }
    packet_kit_fini(&kit);
}

static void any_changed_bit_is_seen(void **state)
{
    char packet[128];
    struct packet_kit kit;
    uint64_t number = 0, sent = 0;

    (void)state;
    packet_kit_init(&kit, 2);
    packet_make(&kit, 0, 5, 123456789, packet, sizeof(packet));
    for (size_t bit = 0; bit < 8 * sizeof(packet); bit++) {
        packet[bit / 8] = (char)(packet[bit / 8] ^ 1 << bit % 8);
        assert_false(packet_check(&kit, 0, str_bytes(packet, sizeof(packet)), &number, &sent));
        packet[bit / 8] = (char)(packet[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(packet_check(&kit, 0, str_bytes(packet, sizeof(packet)), &number, &sent));
    packet_kit_fini(&kit);
}

/* The head of one with the rest of another. */
static void mixed_packets_are_seen(void **state)
{
    char a[256], b[256];
    struct packet_kit kit;
    uint64_t number = 0, sent = 0;

    (void)state;
    packet_kit_init(&kit, 3);
    for (uint64_t n = 1; n < 200; n++) {
        packet_make(&kit, 0, n, 1, a, sizeof(a));
        packet_make(&kit, 0, n + 1, 1, b, sizeof(b));
        memcpy(a + 128, b + 128, 128);
        assert_false(packet_check(&kit, 0, str_bytes(a, sizeof(a)), &number, &sent));
    }
    packet_kit_fini(&kit);
}

static void runs_do_not_mix(void **state)
{
    char packet[64];
    struct packet_kit one, other;
    uint64_t number = 0, sent = 0;

    (void)state;
    packet_kit_init(&one, 4);
    packet_kit_init(&other, 5);
    packet_make(&one, 0, 0, 0, packet, sizeof(packet));
    assert_false(packet_check(&other, 0, str_bytes(packet, sizeof(packet)), &number, &sent));
    packet_kit_fini(&one);
    packet_kit_fini(&other);
}

static const struct {
    uint64_t number;
    enum packet_order want;
} orders[] = {
    {0, PACKET_NEWEST},      {0, PACKET_TWICE},
    {3, PACKET_NEWEST},      {1, PACKET_LATE},
    {1, PACKET_TWICE},       {3, PACKET_TWICE},
    {2, PACKET_LATE},        {4000, PACKET_NEWEST},
    {10, PACKET_LATE},       {10, PACKET_TWICE},
    {3999, PACKET_LATE},     {4097, PACKET_NEWEST}, /* 1's bit is used again */
    {2, PACKET_TWICE},                              /* seen, still within the window */
    {4096, PACKET_LATE},     {1, PACKET_TWICE},     /* too old to tell */
    {100000, PACKET_NEWEST}, {99999, PACKET_LATE},
    {4097, PACKET_TWICE},    {95905, PACKET_LATE},
    {95904, PACKET_TWICE}, /* too old */
};

static void tells_order(void **state)
{
    struct packet_seen seen = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        print_message("%llu\n", (unsigned long long)orders[i].number);
        assert_int_equal(packet_seen_add(&seen, orders[i].number), orders[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_as_made),
        cmocka_unit_test(any_changed_bit_is_seen),
        cmocka_unit_test(mixed_packets_are_seen),
        cmocka_unit_test(runs_do_not_mix),
        cmocka_unit_test(tells_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
