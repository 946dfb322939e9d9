/* Several clients of one relay: delivery, duplicates, leaving, slow readers. */

#include "../unit.h"

#include "harness.h"

#include "core/metric.h"

static const struct derp_server_options open_relay = {0};

#define assert_log(party, want) assert_str(party_log(party), STR(want))

static const char disco[62] = "TS\xf0\x9f\x92\xac";

/* ---- Delivery ---- */

static void delivers_both_ways_and_to_itself(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig), *c = rig_join(rig);

    (void)state;
    party_say(a, b, STR("hello"));
    party_say(a, a, STR("self"));
    party_say(b, a, STR(""));
    rig_run(rig);
    assert_log(a, "ready A>self B> ");
    assert_log(b, "ready A>hello ");
    assert_log(c, "ready ");
    /* In order, however many there are. */
    derp_client_cork(a->client);
    for (int i = 0; i < 100; i++) {
        char text[4];

        party_say(a, b, str_bytes(text, (size_t)snprintf(text, sizeof(text), "%d", i)));
    }
    derp_client_uncork(a->client);
    rig_run(rig);
    struct str got = party_log(b);
    for (int i = 0; i < 100; i++) {
        char want[8];
        struct str w = str_bytes(want, (size_t)snprintf(want, sizeof(want), "A>%d ", i));

        assert_true(str_starts(got, w));
        got = str_from_index(got, w.len);
    }
    assert_int_equal(got.len, 0);
    rig_free(rig);
}

static void delivers_the_largest_packet(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    char *packet = mem_alloc(DERP_PACKET_MAX);

    (void)state;
    party_say(a, b, str_bytes(packet, DERP_PACKET_MAX));
    rig_run(rig);
    assert_int_equal(b->n_packets, 1);
    assert_int_equal(b->bytes, DERP_PACKET_MAX);
    mem_free(packet);
    rig_free(rig);
}

/* Discovery of somebody who is not here is answered three times, then once a second; data never. */
static void says_who_is_not_here(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);

    (void)state;
    derp_client_close(b->client);
    rig_run(rig);
    (void)party_log(a);
    party_say(a, b, STR("data"));
    rig_run(rig);
    assert_log(a, "");
    for (int i = 0; i < 10; i++)
        party_say(a, b, str_bytes(disco, sizeof(disco)));
    rig_run(rig);
    assert_log(a, "gone:B:1 gone:B:1 gone:B:1 ");
    rig_wait(rig, 1100);
    for (int i = 0; i < 10; i++)
        party_say(a, b, str_bytes(disco, sizeof(disco)));
    rig_run(rig);
    assert_log(a, "gone:B:1 ");
    /* A disco packet one byte too short is data. */
    rig_wait(rig, 5000);
    party_say(a, b, str_bytes(disco, sizeof(disco) - 1));
    rig_run(rig);
    assert_log(a, "");
    rig_free(rig);
}

/* ---- Leaving ---- */

static void tells_those_who_heard_of_it(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig), *c = rig_join(rig);

    (void)state;
    party_say(a, b, STR("x"));
    party_say(c, a, STR("y"));
    rig_run(rig);
    derp_client_close(a->client);
    rig_run(rig);
    assert_log(b, "ready A>x gone:A:0 ");
    assert_log(c, "ready "); /* it sent to A, but never heard of it */
    /* A route outlives its peer's absence. */
    struct party *again = rig_join_as(rig, &a->key, (struct derp_client_info){0});
    party_say(c, again, STR("z"));
    rig_run(rig);
    assert_log(again, "ready C>z ");
    rig_free(rig);
}

static void drops_every_connection_of_a_key(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    struct party *twin = rig_join_as(rig, &a->key, (struct derp_client_info){0});

    (void)state;
    party_say(a, b, STR("x"));
    rig_run(rig);
    derp_server_drop(rig->server, &a->public_key);
    rig_run(rig);
    assert_log(a, "ready closed ");
    assert_log(twin, "ready closed ");
    assert_log(b, "ready A>x gone:A:0 ");
    assert_int_equal(derp_server_clients(rig->server), 1);
    derp_server_drop(rig->server, &a->public_key); /* nobody is there: nothing happens */
    /* It may come back, when it is admitted. */
    assert_log(rig_join_as(rig, &a->key, (struct derp_client_info){0}), "ready ");
    rig_free(rig);
}

/* ---- Duplicates ---- */

static void whoever_sent_last_is_active(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *one = rig_join(rig);
    struct party *two = rig_join_as(rig, &one->key, (struct derp_client_info){0});

    (void)state;
    party_say(a, one, STR("1"));
    rig_run(rig);
    assert_log(one, "ready ");
    assert_log(two, "ready A>1 "); /* the newest, at first */
    party_say(one, a, STR("2"));
    rig_run(rig);
    party_say(a, one, STR("3"));
    rig_run(rig);
    assert_log(one, "A>3 ");
    assert_log(two, "");
    /* One goes: the other is active, and the peer is not gone. */
    derp_client_close(one->client);
    rig_run(rig);
    party_say(a, two, STR("4"));
    rig_run(rig);
    assert_log(two, "A>4 ");
    assert_log(a, "ready B>2 ");
    party_say(two, a, STR("5"));
    rig_run(rig);
    derp_client_close(two->client);
    rig_run(rig);
    assert_log(a, "B>5 gone:B:0 ");
    rig_free(rig);
}

/* Two machines with one key, both talking: each is told, once, and again when it is over. */
static void cloned_machines_are_told(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *one = rig_join(rig);
    struct party *two = rig_join_as(rig, &one->key, (struct derp_client_info){0});

    (void)state;
    /* Whoever comes back elsewhere takes over once. */
    party_say(one, a, STR("1"));
    rig_run(rig);
    for (int i = 0; i < 30; i++)
        party_say(two, a, STR("2"));
    rig_run(rig);
    assert_str(party_log(one), STR("ready "));
    assert_str(party_log(two), STR("ready "));
    for (int i = 0; i < 12; i++) {
        party_say(i % 2 ? two : one, a, STR("x"));
        rig_run(rig);
    }
    assert_str(party_log(one), STR("ill "));
    assert_str(party_log(two), STR("ill "));
    derp_client_close(one->client);
    rig_run(rig);
    assert_str(party_log(two), STR("well "));
    /* From time to time is no fight. */
    party_join(rig, one, &one->key, (struct derp_client_info){0});
    (void)party_log(one);
    for (int i = 0; i < 12; i++) {
        party_say(i % 2 ? two : one, a, STR("x"));
        rig_wait(rig, 4000);
    }
    assert_str(party_log(one), STR(""));
    rig_free(rig);
}

static void the_oldest_of_too_many_goes(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *first = rig_join(rig);
    struct buf info = BUF(0);

    (void)state;
    rig_put_info(rig, &first->key, &info);
    for (int i = 1; i < DERP_DUPLICATES_MAX; i++) {
        rig_raw(rig);
        stream_write(rig->raw, buf_str(&info));
        rig_run(rig);
    }
    assert_log(first, "ready ");
    assert_int_equal(derp_server_clients(rig->server), DERP_DUPLICATES_MAX + 1);
    for (int i = 0; i < 3; i++) {
        rig_raw(rig);
        stream_write(rig->raw, buf_str(&info));
        rig_run(rig);
        assert_int_equal(derp_server_clients(rig->server), DERP_DUPLICATES_MAX + 1);
    }
    assert_log(first, "closed ");
    size_t before = rig->raw_got.len;
    party_say(a, first, STR("x"));
    rig_run(rig);
    assert_int_equal(rig->raw_got.len, before + 5 + 32 + 1); /* the newest has it */
    buf_fini(&info);
    rig_free(rig);
}

/* ---- Slow readers ---- */

/* What a slow client finds when it reads again: the backlog, then the newest, with a gap between.
 */
static void the_oldest_waiting_packets_go(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig), *c = rig_join(rig);
    char packet[1000] = {0};
    const size_t sent = 2000;

    (void)state;
    stream_read_stop(derp_client_stream(b->client));
    for (size_t i = 0; i < sent; i++) {
        memcpy(packet, &i, sizeof(i));
        party_say(a, b, str_bytes(packet, sizeof(packet)));
        if (i % 20 == 0)
            rig_run(rig);
    }
    /* Others are served meanwhile, by the same sender and to it. */
    party_say(a, c, STR("fine"));
    rig_run(rig);
    assert_log(c, "ready A>fine ");
    assert_int_equal(b->n_packets, 0);
    party_say(a, b, STR("last"));
    rig_run(rig);
    stream_read_start(derp_client_stream(b->client));
    rig_run(rig);
    assert_true(str_ends(party_log(b), STR("A>last ")));
    print_message("%zu of %zu came\n", b->n_packets, sent);
    assert_in_range(b->n_packets, 120 + DERP_QUEUE, 200);
    /* Afterwards all is well again. */
    size_t before = b->n_packets;
    for (int i = 0; i < 100; i++)
        party_say(a, b, STR("again"));
    rig_run(rig);
    assert_int_equal(b->n_packets, before + 100);
    rig_free(rig);
}

/* Path discovery waits beside data, not behind it. */
static void discovery_has_a_queue_of_its_own(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    char packet[1000] = {0};

    (void)state;
    stream_read_stop(derp_client_stream(b->client));
    for (int i = 0; i < 1000; i++) {
        party_say(a, b, str_bytes(packet, sizeof(packet)));
        if (i == 500)
            party_say(a, b, str_bytes(disco, sizeof(disco)));
        if (i % 20 == 0)
            rig_run(rig);
    }
    rig_run(rig);
    stream_read_start(derp_client_stream(b->client));
    rig_run(rig);
    assert_int_equal(b->bytes % 1000, sizeof(disco));
    rig_free(rig);
}

static void who_takes_nothing_is_closed(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);

    (void)state;
    rig_wait(rig, DERP_STALL_MS + 100); /* what the log-in wrote was taken */
    stream_read_stop(derp_client_stream(b->client));
    party_say(a, b, STR("x"));
    rig_run(rig);
    rig_wait(rig, DERP_STALL_MS - 500);
    assert_int_equal(derp_server_clients(rig->server), 2);
    rig_wait(rig, 1000);
    assert_int_equal(derp_server_clients(rig->server), 1);
    assert_log(a, "ready ");
    rig_free(rig);
}

/* Who only sends pings and never reads gets one pong at last, and costs no memory. */
static void one_pong_waits(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    char packet[1000] = {0};

    (void)state;
    stream_read_stop(derp_client_stream(b->client));
    for (int i = 0; i < 200; i++)
        party_say(a, b, str_bytes(packet, sizeof(packet)));
    rig_run(rig);
    (void)party_log(b);
    for (int i = 0; i < 1000; i++)
        derp_client_ping(b->client, (const uint8_t *)"12345678");
    rig_run(rig);
    stream_read_start(derp_client_stream(b->client));
    rig_run(rig);
    assert_log(b, "pong:12345678 ");
    rig_free(rig);
}

/* Loops count for themselves and tell the metrics a few times a second. */
static void counts(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    struct buf before = BUF(0), after = BUF(0);
    uint64_t n[2] = {0};

    (void)state;
    rig_wait(rig, 300);
    metric_put_all(&before);
    for (int i = 0; i < 7; i++)
        party_say(a, b, STR("x"));
    rig_run(rig);
    rig_wait(rig, 300);
    metric_put_all(&after);
    const struct str texts[] = {buf_str(&before), buf_str(&after)};
    for (size_t i = 0; i < 2; i++) {
        struct str name = STR("\nhatsize_derp_packets_sent_total "), rest, line;
        ptrdiff_t at = str_find(texts[i], name);

        assert_true(at >= 0);
        (void)str_split(str_from_index(texts[i], (size_t)at + name.len), '\n', &line, &rest);
        assert_true(str_parse_u64(line, &n[i]));
    }
    assert_int_equal(n[1] - n[0], 7);
    assert_true(str_find(buf_str(&after), STR("\nhatsize_derp_clients 2\n")) >= 0);
    buf_fini(&before);
    buf_fini(&after);
    rig_free(rig);
}

/* By the official relay's names, each family told once. */
static void counts_by_official_names(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(65536);
    struct rig *rig = rig_new((struct derp_server_options){0});
    struct party *a = rig_join(rig), *b = rig_join(rig);

    (void)state;
    party_say(a, b, STR("hello"));
    rig_run(rig);
    rig_wait(rig, 300);
    derp_put_metrics(&out);
    assert_true(
        str_find(buf_str(&out), STR("# TYPE derp_packets_sent counter\nderp_packets_sent ")) >= 0);
    assert_true(str_find(buf_str(&out), STR("\nderp_current_connections 2\n")) >= 0);
    ptrdiff_t at = str_find(buf_str(&out), STR("# TYPE derp_packets_dropped counter\n"));

    assert_true(at >= 0);
    assert_true(str_find(str_from_index(buf_str(&out), (size_t)at + 1),
                         STR("# TYPE derp_packets_dropped ")) < 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_both_ways_and_to_itself),
        cmocka_unit_test(delivers_the_largest_packet),
        cmocka_unit_test(says_who_is_not_here),
        cmocka_unit_test(tells_those_who_heard_of_it),
        cmocka_unit_test(drops_every_connection_of_a_key),
        cmocka_unit_test(whoever_sent_last_is_active),
        cmocka_unit_test(cloned_machines_are_told),
        cmocka_unit_test(the_oldest_of_too_many_goes),
        cmocka_unit_test(the_oldest_waiting_packets_go),
        cmocka_unit_test(discovery_has_a_queue_of_its_own),
        cmocka_unit_test(who_takes_nothing_is_closed),
        cmocka_unit_test(one_pong_waits),
        cmocka_unit_test(counts),
        cmocka_unit_test(counts_by_official_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
