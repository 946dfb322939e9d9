/* One client and the relay: log-in, admission, frames, limits. */

#include "../unit.h"

#include "harness.h"

#include "core/rand.h"

static const struct derp_server_options open_relay = {0};
static const struct derp_server_options asking_relay = {.admit = rig_admit};

#define assert_log(party, want) assert_str(party_log(party), STR(want))

/* ---- Log-in ---- */

static void greets_and_admits(void **state)
{
    struct rig *rig = rig_new(open_relay);

    (void)state;
    rig_raw(rig);
    assert_int_equal(rig->raw_got.len, 5 + 40);
    assert_memory_equal(rig->raw_got.ptr + 13, derp_server_key(rig->server)->b, 32);
    assert_int_equal(derp_server_clients(rig->server), 0);

    struct party *a = rig_join(rig);
    assert_log(a, "ready ");
    assert_true(node_key_eq(derp_client_server_key(a->client), derp_server_key(rig->server)));
    assert_int_equal(derp_server_clients(rig->server), 1);
    derp_client_close(a->client);
    rig_run(rig);
    assert_log(a, "closed ");
    assert_int_equal(derp_server_clients(rig->server), 0);
    rig_free(rig);
}

static void closes_on_every_wrong_beginning(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct node_private key;
    struct buf info = BUF(0);

    (void)state;
    node_private_generate(&key);
    rig_put_info(rig, &key, &info);
    info.ptr[60] ^= 1;
    const struct str bad[] = {
        STR("\x04\0\0\0\x20"), /* a packet first */
        STR("\x02\0\0\0\x47"), /* too short for a box: judged by its header */
        STR("\x02\0\x01\0\0"), /* more than DERP_CLIENT_INFO_MAX */
        STR("\xff\0\0\0\0"),   /* unknown frames are not skipped yet */
        STR("GET / HTTP/1.1\r\n\r\n"), buf_str(&info),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        rig_raw(rig);
        stream_write(rig->raw, bad[i]);
        rig_run(rig);
        assert_null(rig->raw);
        assert_int_equal(rig->raw_got.len, 5 + 40);
    }
    buf_fini(&info);
    rig_free(rig);
}

static void gives_a_silent_client_ten_seconds(void **state)
{
    struct rig *rig = rig_new(open_relay);

    (void)state;
    rig_raw(rig);
    stream_write(rig->raw, STR("\x02\0\0\0"));
    rig_wait(rig, DERP_LOGIN_MS - 1000);
    assert_non_null(rig->raw);
    stream_write(rig->raw, STR("\x60"));
    rig_wait(rig, 1100);
    assert_null(rig->raw);
    rig_free(rig);
}

/* CLIENT_INFO and what follows in one write, byte by byte, and cut anywhere: all the same. */
static void takes_frames_however_they_come(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig);
    struct rand_seeded rng;

    (void)state;
    rand_seed(&rng, 7);
    for (int round = 0; round < 40; round++) {
        struct node_private key;
        struct buf bytes = BUF(0);

        node_private_generate(&key);
        rig_put_info(rig, &key, &bytes);
        derp_put_packet(&bytes, DERP_SEND_PACKET, &a->public_key, STR("one"));
        derp_put_frame(&bytes, 0x77, STR("from the future"));
        derp_put_packet(&bytes, DERP_SEND_PACKET, &a->public_key, STR(""));
        derp_put_note_preferred(&bytes, true);
        derp_put_packet(&bytes, DERP_SEND_PACKET, &a->public_key, STR("three"));
        rig_raw(rig);
        (void)party_log(a);
        for (size_t at = 0; at < bytes.len;) {
            size_t n = round == 0 ? bytes.len : round == 1 ? 1 : 1 + rand_seeded_below(&rng, 60);

            stream_write(rig->raw, str_sub(buf_str(&bytes), at, n));
            loop_run_once(rig->loop, 0);
            loop_run_once(rig->loop, 0);
            at += n;
        }
        rig_run(rig);
        assert_log(a, "?>one ?> ?>three ");
        stream_abort(rig->raw);
        rig_run(rig);
        buf_fini(&bytes);
    }
    rig_free(rig);
}

/* ---- Admission ---- */

static void waits_for_the_answer(void **state)
{
    struct rig *rig = rig_new(asking_relay);
    struct party *a = rig_join(rig);

    (void)state;
    assert_log(a, "");
    assert_int_equal(rig->n_asked, 1);
    assert_int_equal(derp_server_clients(rig->server), 0);
    derp_admission_answer(rig->ticket, true);
    rig_run(rig);
    assert_log(a, "ready ");

    struct party *b = rig_join(rig);
    derp_admission_answer(rig->ticket, false);
    rig_run(rig);
    assert_log(b, "closed ");
    assert_int_equal(derp_server_clients(rig->server), 1);

    rig->answer_at_once = true;
    rig->answer = true;
    assert_log(rig_join(rig), "ready ");
    rig->answer = false;
    assert_log(rig_join(rig), "closed ");
    rig_free(rig);
}

static void answers_may_come_too_late(void **state)
{
    struct rig *rig = rig_new(asking_relay);
    struct party *a = rig_join(rig), *b;

    (void)state;
    /* The client has left. */
    derp_client_close(a->client);
    rig_run(rig);
    derp_admission_answer(rig->ticket, true);
    rig_run(rig);
    assert_log(a, "closed ");
    /* The relay has given up; then somebody else sits in the same slot. */
    b = rig_join(rig);
    struct derp_admission *old = rig->ticket;
    rig_wait(rig, DERP_LOGIN_MS + 100);
    assert_log(b, "closed ");
    rig_join(rig);
    derp_admission_answer(old, true);
    rig_run(rig);
    assert_int_equal(derp_server_clients(rig->server), 0);
    /* Nobody answers: the relay frees the question. */
    rig_free(rig);
}

static void early_packets_wait_for_admission(void **state)
{
    struct rig *rig = rig_new(asking_relay);
    struct party *a = rig_join(rig);
    struct node_private key;
    struct buf bytes = BUF(0);

    (void)state;
    derp_admission_answer(rig->ticket, true);
    rig_run(rig);
    node_private_generate(&key);
    rig_put_info(rig, &key, &bytes);
    derp_put_packet(&bytes, DERP_SEND_PACKET, &a->public_key, STR("early"));
    buf_put(&bytes, STR("\x04\0\0\0")); /* and a piece of the next */
    rig_raw(rig);
    stream_write(rig->raw, buf_str(&bytes));
    rig_run(rig);
    assert_log(a, "ready ");
    derp_admission_answer(rig->ticket, true);
    rig_run(rig);
    assert_log(a, "?>early ");
    buf_clear(&bytes);
    derp_put_packet(&bytes, DERP_SEND_PACKET, &a->public_key, STR("late"));
    stream_write(rig->raw, str_from_index(buf_str(&bytes), 4));
    rig_run(rig);
    assert_log(a, "?>late ");
    buf_fini(&bytes);
    rig_free(rig);
}

/* A key dropped while its admission is asked about: the yes was for a node that is no more. */
static void asks_again_when_dropped_meanwhile(void **state)
{
    struct rig *rig = rig_new(asking_relay);
    struct party *a = rig_join(rig);

    (void)state;
    derp_server_drop(rig->server, &a->public_key);
    derp_admission_answer(rig->ticket, true);
    rig_run(rig);
    assert_log(a, "");
    assert_int_equal(rig->n_asked, 2);
    derp_admission_answer(rig->ticket, false);
    rig_run(rig);
    assert_log(a, "closed ");
    rig_free(rig);
}

/* ---- Once logged in ---- */

static void closes_on_broken_frames(void **state)
{
    static const struct {
        const char *name;
        struct str bytes;
        bool survives;
    } cases[] = {
        {"packet without a key", STR_INIT("\x04\0\0\0\x1f"), false},
        {"packet of 64 KiB and one byte", STR_INIT("\x04\0\x01\0\x21"), false},
        {"home without a byte", STR_INIT("\x07\0\0\0\0"), false},
        {"short ping", STR_INIT("\x12\0\0\0\x07"), false},
        {"long ping", STR_INIT("\x12\0\0\x03\xe9"), false},
        {"a second log-in", STR_INIT("\x02\0\0\0\x50"), false},
        {"forward without the mesh key", STR_INIT("\x0a\0\0\0\x40"), false},
        {"watch without the mesh key", STR_INIT("\x10\0\0\0\0"), false},
        {"close peer without the mesh key", STR_INIT("\x11\0\0\0\x20"), false},
        {"giant unknown frame", STR_INIT("\x99\0\x10\0\x01"), false},
        {"unknown frame",
         STR_INIT("\x99\0\x10\0\0"
                  "and so on"),
         true},
        {"unknown frame, empty", STR_INIT("\x99\0\0\0\0"), true},
        {"pong nobody asked for",
         STR_INIT("\x13\0\0\0\x08"
                  "12345678"),
         true},
        {"ping",
         STR_INIT("\x12\0\0\0\x0a"
                  "1234567890"),
         true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig *rig = rig_new(open_relay);
        struct node_private key;
        struct buf bytes = BUF(0);

        print_message("%s\n", cases[i].name);
        node_private_generate(&key);
        rig_put_info(rig, &key, &bytes);
        buf_put(&bytes, cases[i].bytes);
        rig_raw(rig);
        stream_write(rig->raw, buf_str(&bytes));
        rig_run(rig);
        assert_int_equal(rig->raw != NULL, cases[i].survives);
        buf_fini(&bytes);
        rig_free(rig);
    }
}

static void answers_pings(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig);

    (void)state;
    derp_client_ping(a->client, (const uint8_t *)"12345678");
    derp_client_send_frame(a->client, DERP_PING, STR("abcdefgh and more"));
    rig_run(rig);
    assert_log(a, "ready pong:12345678 pong:abcdefgh ");
    rig_free(rig);
}

static void keeps_alive_once_a_minute(void **state)
{
    struct rig *rig = rig_new(open_relay);
    struct party *a = rig_join(rig);

    (void)state;
    rig_wait(rig, DERP_KEEP_ALIVE_MS - 1000);
    assert_log(a, "ready ");
    rig_wait(rig, 6100);
    assert_log(a, "frame:06 ");
    rig_wait(rig, DERP_KEEP_ALIVE_MS + 5100);
    assert_log(a, "frame:06 ");
    rig_free(rig);
}

/* A relay that greets and then says nothing more. */
struct mute {
    struct rig *rig;
    struct stream *stream;
};

static void mute_data(void *user, struct str data)
{
    struct mute *m = user;
    struct derp_proof proof = {0};
    struct buf out = BUF(0);
    const struct derp_server_info info = {.version = DERP_VERSION};
    struct err err;

    assert_int_equal(derp_client_info_open(str_from_index(data, DERP_FRAME_HEADER),
                                           &m->rig->server_key, &proof, &err),
                     0);
    derp_put_server_info(&out, &proof.box, &info);
    stream_write(m->stream, buf_str(&out));
    buf_fini(&out);
    derp_proof_fini(&proof);
}

static void mute_close(void *user, const struct err *why)
{
    (void)user;
    (void)why;
}

static void a_client_gives_up_a_silent_relay(void **state)
{
    static const struct stream_events mute_events = {.on_data = mute_data, .on_close = mute_close};
    struct rig *rig = rig_new(open_relay);
    struct mute mute = {.rig = rig};
    struct party *a = NEW(struct party);
    struct stream *ends[2];
    struct buf key = BUF(0);

    (void)state;
    rig->parties[rig->n_parties++] = a;
    a->rig = rig;
    node_private_generate(&a->key);
    stream_pair(rig->loop, ends);
    mute.stream = ends[0];
    stream_set_events(ends[0], &mute_events, &mute);
    derp_put_server_key(&key, derp_server_key(rig->server));
    stream_write(ends[0], buf_str(&key));
    a->client = derp_client_new(
        ends[1], &(struct derp_client_options){.key = &a->key, .events = &party_events, .user = a});
    rig_run(rig);
    rig_wait(rig, DERP_CLIENT_SILENCE_MS - 1000);
    stream_write(ends[0], STR("\x06\0\0\0\0"));
    rig_run(rig);
    rig_wait(rig, DERP_CLIENT_SILENCE_MS - 1000);
    assert_log(a, "ready frame:06 ");
    rig_wait(rig, DERP_CLIENT_SILENCE_MS);
    assert_log(a, "closed ");
    buf_fini(&key);
    rig_free(rig);
}

static void on_one_closed(void *user, const struct err *why)
{
    (void)why;
    ++*(size_t *)user;
}

static void on_some_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

/* Those who do not say who they are make room for those who do. */
static void bounds_log_ins(void **state)
{
    static const struct stream_events silent = {.on_data = on_some_data, .on_close = on_one_closed};
    struct rig *rig = rig_new((struct derp_server_options){.max_logins = 4});
    struct party *a = rig_join(rig);
    size_t closed = 0;

    (void)state;
    for (size_t i = 0; i < 40; i++)
        stream_set_events(rig_connect(rig), &silent, &closed);
    rig_run(rig);
    assert_in_range(closed, 35, 36);
    assert_log(rig_join(rig), "ready ");
    assert_log(a, "ready ");
    derp_server_set_max_logins(rig->server, 60);
    closed = 0;
    for (size_t i = 0; i < 40; i++)
        stream_set_events(rig_connect(rig), &silent, &closed);
    rig_run(rig);
    assert_int_equal(closed, 0);
    rig_free(rig);
}

/* 200 bytes a second: what is above the burst is read late, and nothing is lost. */
static void limits_by_reading_later(void **state)
{
    const struct derp_server_options limited = {.client_bytes_per_second = 200,
                                                .client_burst_bytes = 1};
    struct rig *rig = rig_new(limited);
    struct party *a = rig_join(rig), *b = rig_join(rig);
    char packet[1000] = {0};

    (void)state;
    /* The burst is at least one whole packet, 65,573 bytes; this is half as much again. */
    for (int i = 0; i < 100; i++) {
        party_say(a, b, str_bytes(packet, sizeof(packet)));
        rig_run(rig);
    }
    size_t before = b->n_packets;
    assert_in_range(before, 60, 70);
    rig_wait(rig, 50);
    assert_int_equal(b->n_packets, before); /* the debt is of a packet, more than a second */
    for (int i = 0; i < 12; i++)
        rig_wait(rig, 20000);
    assert_int_equal(b->n_packets, 100);
    rig_free(rig);
}

/* The limit of those who are there changes, from none to one and back. */
static void limits_are_replaced_live(void **state)
{
    struct rig *rig = rig_new((struct derp_server_options){0});
    struct party *a = rig_join(rig), *b = rig_join(rig);
    char packet[60000] = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        party_say(a, b, str_bytes(packet, sizeof(packet)));
    rig_run(rig);
    assert_int_equal(b->n_packets, 4);
    derp_server_set_rate(rig->server, 10000, 0);
    for (int i = 0; i < 8; i++) {
        party_say(a, b, str_bytes(packet, sizeof(packet)));
        rig_run(rig);
    }
    size_t limited = b->n_packets;

    assert_true(limited < 12);
    derp_server_set_rate(rig->server, 0, 0);
    for (int i = 0; i < 50; i++)
        rig_wait(rig, 1000); /* its debt is paid, and there is no new one */
    for (int i = 0; i < 8; i++)
        party_say(a, b, str_bytes(packet, sizeof(packet)));
    rig_run(rig);
    assert_int_equal(b->n_packets, 20);
    rig_free(rig);
}

static void tells_of_a_restart(void **state)
{
    struct rig *rig = rig_new((struct derp_server_options){0});
    struct party *a = rig_join(rig), *b = rig_join(rig);

    (void)state;
    buf_clear(&a->log);
    buf_clear(&b->log);
    derp_server_say_restarting(rig->server, 1000, 60000);
    rig_run(rig);
    assert_str(party_log(a), STR("frame:15 "));
    assert_str(party_log(b), STR("frame:15 "));
    rig_free(rig);
}

/* Two minutes for each of three, in the order of their coming; keep-alives go on meanwhile. */
static void drains_one_after_the_other(void **state)
{
    struct rig *rig = rig_new((struct derp_server_options){0});
    struct party *party[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        party[i] = rig_join(rig);
    for (size_t i = 0; i < 3; i++)
        buf_clear(&party[i]->log);
    derp_server_drain(rig->server, 360000, 60000);
    rig_run(rig);
    for (size_t i = 0; i < 3; i++)
        assert_str(party_log(party[i]), STR("frame:15 "));
    for (size_t gone = 0; gone <= 3; gone++) {
        for (int i = 0; i < (gone == 0 ? 2 : 4); i++)
            rig_wait(rig, 30000); /* to the middle of somebody's two minutes */
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(party[i]->client == NULL, i < gone);
    }
    assert_int_equal(derp_server_clients(rig->server), 0);
    rig_free(rig);
}

/* ---- Mesh peers ---- */

static void mesh_peers_show_the_key(void **state)
{
    static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";
    const struct derp_server_options mesh = {.mesh_key = mesh_key, .admit = rig_admit};
    struct rig *rig = rig_new(mesh);
    struct derp_client_info right = {.has_mesh_key = true}, wrong = {.has_mesh_key = true};
    struct node_private key, other;
    struct buf payload = BUF(0);

    (void)state;
    rig->answer = rig->answer_at_once = true;
    memcpy(right.mesh_key, mesh_key, sizeof(mesh_key));
    memcpy(wrong.mesh_key, mesh_key, sizeof(mesh_key));
    wrong.mesh_key[31]++;
    node_private_generate(&key);
    node_private_generate(&other);
    struct party *a = rig_join(rig);
    assert_int_equal(rig->n_asked, 1);
    struct party *m = rig_join_as(rig, &key, right);
    assert_int_equal(rig->n_asked, 1); /* nobody is asked about mesh peers */
    struct party *w = rig_join_as(rig, &other, wrong);
    assert_int_equal(rig->n_asked, 2);

    buf_put(&payload, node_key_str(&w->public_key));
    buf_put(&payload, node_key_str(&a->public_key));
    buf_put(&payload, STR("hi"));
    derp_client_send_frame(m->client, DERP_FORWARD_PACKET, buf_str(&payload));
    rig_run(rig);
    assert_log(a, "ready C>hi ");
    derp_client_send_frame(w->client, DERP_FORWARD_PACKET, buf_str(&payload));
    rig_run(rig);
    assert_log(w, "ready closed ");
    derp_client_send_frame(m->client, DERP_CLOSE_PEER, node_key_str(&a->public_key));
    rig_run(rig);
    assert_log(a, "closed ");
    assert_log(m, "ready ");
    buf_fini(&payload);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets_and_admits),
        cmocka_unit_test(closes_on_every_wrong_beginning),
        cmocka_unit_test(gives_a_silent_client_ten_seconds),
        cmocka_unit_test(takes_frames_however_they_come),
        cmocka_unit_test(waits_for_the_answer),
        cmocka_unit_test(answers_may_come_too_late),
        cmocka_unit_test(early_packets_wait_for_admission),
        cmocka_unit_test(asks_again_when_dropped_meanwhile),
        cmocka_unit_test(closes_on_broken_frames),
        cmocka_unit_test(answers_pings),
        cmocka_unit_test(keeps_alive_once_a_minute),
        cmocka_unit_test(a_client_gives_up_a_silent_relay),
        cmocka_unit_test(bounds_log_ins),
        cmocka_unit_test(limits_by_reading_later),
        cmocka_unit_test(limits_are_replaced_live),
        cmocka_unit_test(tells_of_a_restart),
        cmocka_unit_test(drains_one_after_the_other),
        cmocka_unit_test(mesh_peers_show_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
