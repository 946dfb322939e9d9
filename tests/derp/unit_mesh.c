/* Relays that are linked: over stream pairs on one loop, and by name over TLS. */

#include "../unit.h"

#include "core/clock.h"
#include "core/log.h"
#include "derp/client.h"
#include "derp/link.h"
#include "derp/mesh.h"
#include "net/loop.h"

#define RELAYS 3
#define CLIENTS 8

static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";

struct guest {
    struct world *world;
    char name;
    struct node_private key;
    struct node_key public_key;
    struct derp_client *client; /* NULL once closed */
    struct buf log;
};

struct linked {
    struct world *world;
    struct stream *far; /* the other relay's end */
    bool is_ready, is_over;
    enum derp_link_end why;
};

struct world {
    struct loop *loop;
    struct derp_server *relays[RELAYS];
    struct node_private keys[RELAYS];
    struct guest guests[CLIENTS];
    size_t n_guests;
    struct linked links[RELAYS][RELAYS]; /* from, to */
};

static void run(struct world *w)
{
    for (int i = 0; i < 40; i++)
        loop_run_once(w->loop, 0);
}

static void wait_ms(struct world *w, int64_t ms)
{
    clock_test_advance_ms(ms);
    for (int i = 0; i < 8; i++)
        loop_run_once(w->loop, 2);
    run(w);
}

static struct world *world_new(size_t n_relays)
{
    struct world *w = NEW(struct world);
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    assert_int_equal(loop_new("test", &w->loop, &err), 0);
    for (size_t i = 0; i < n_relays; i++) {
        node_private_generate(&w->keys[i]);
        w->relays[i] = derp_server_new(&(struct derp_server_options){
            .key = &w->keys[i], .loops = &w->loop, .n_loops = 1, .mesh_key = mesh_key});
    }
    return w;
}

static void world_free(struct world *w)
{
    loop_free(w->loop);
    for (size_t i = 0; i < RELAYS; i++)
        derp_server_free(w->relays[i]);
    for (size_t i = 0; i < w->n_guests; i++)
        buf_fini(&w->guests[i].log);
    mem_free(w);
}

/* ---- Links ---- */

static void on_ready(void *user)
{
    ((struct linked *)user)->is_ready = true;
}

static void on_end(void *user, enum derp_link_end why)
{
    struct linked *l = user;

    l->is_over = true;
    l->why = why;
}

static const struct derp_link_events link_events = {.on_ready = on_ready, .on_end = on_end};

static struct linked *link_one(struct world *w, size_t from, size_t to)
{
    struct linked *l = &w->links[from][to];
    struct stream *ends[2];

    *l = (struct linked){.world = w};
    stream_pair(w->loop, ends);
    l->far = ends[1];
    derp_server_accept(w->relays[to], ends[1]);
    derp_link_open(w->relays[from], ends[0], &link_events, l);
    run(w);
    return l;
}

static void link_both(struct world *w, size_t a, size_t b)
{
    assert_true(link_one(w, a, b)->is_ready);
    assert_true(link_one(w, b, a)->is_ready);
}

/* ---- Clients ---- */

static char name_of(const struct world *w, const struct node_key *key)
{
    for (size_t i = 0; i < w->n_guests; i++)
        if (node_key_eq(&w->guests[i].public_key, key))
            return w->guests[i].name;
    return '?';
}

static void on_packet(void *user, const struct node_key *src, struct str packet)
{
    struct guest *g = user;

    buf_printf(&g->log, "%c>%.*s ", name_of(g->world, src), (int)MIN(packet.len, (size_t)12),
               packet.ptr);
}

static void on_peer_gone(void *user, const struct node_key *key, uint8_t reason)
{
    struct guest *g = user;

    buf_printf(&g->log, "gone:%c:%u ", name_of(g->world, key), reason);
}

static void on_frame(void *user, const struct derp_frame *frame)
{
    buf_printf(&((struct guest *)user)->log, "frame:%02x ", frame->type);
}

static void on_close(void *user, const struct err *why)
{
    struct guest *g = user;

    (void)why;
    buf_put(&g->log, STR("closed "));
    g->client = NULL;
}

static const struct derp_client_events guest_events = {.on_packet = on_packet,
                                                       .on_peer_gone = on_peer_gone,
                                                       .on_frame = on_frame,
                                                       .on_close = on_close};

static void enter(struct guest *g, size_t relay, struct derp_client_info info)
{
    struct stream *ends[2];

    stream_pair(g->world->loop, ends);
    derp_server_accept(g->world->relays[relay], ends[0]);
    g->client = derp_client_new(
        ends[1], &(struct derp_client_options){
                     .key = &g->key, .info = info, .events = &guest_events, .user = g});
    run(g->world);
}

static struct guest *guest_new(struct world *w, size_t relay)
{
    struct guest *g = &w->guests[w->n_guests];

    g->world = w;
    g->name = (char)('A' + w->n_guests++);
    node_private_generate(&g->key);
    node_private_public(&g->key, &g->public_key);
    enter(g, relay, (struct derp_client_info){0});
    return g;
}

static void leave(struct guest *g)
{
    derp_client_close(g->client);
    run(g->world);
    buf_clear(&g->log);
}

static void say(struct guest *from, const struct guest *to, const char *text)
{
    derp_client_send(from->client, &to->public_key, str_from(text));
    run(from->world);
}

#define assert_log(guest, want)                   \
    do {                                          \
        assert_str(buf_str(&(guest)->log), want); \
        buf_clear(&(guest)->log);                 \
    } while (0)

/* ---- Tests ---- */

static void forwards_to_where_a_client_is(void **state)
{
    struct world *w = world_new(2);
    struct guest *a = guest_new(w, 0); /* before the link */

    (void)state;
    link_both(w, 0, 1);
    struct guest *b = guest_new(w, 1), *c = guest_new(w, 0); /* after it */

    say(a, b, "one");
    say(b, a, "two");
    say(b, c, "three");
    say(a, c, "four");
    assert_log(a, STR("B>two "));
    assert_log(b, STR("A>one "));
    assert_log(c, STR("B>three A>four "));
    /* A client that moves is found at the other relay, also while it is at both. */
    enter(c, 1, (struct derp_client_info){0});
    buf_clear(&c->log);
    say(b, c, "here");
    assert_log(c, STR("B>here "));
    world_free(w);
}

/* Whoever had packets from a client elsewhere hears when it goes, once and with the right reason.
 */
static void tells_of_who_left_elsewhere(void **state)
{
    struct world *w = world_new(2);
    struct guest *a = guest_new(w, 0), *b = guest_new(w, 1), *c = guest_new(w, 0);

    (void)state;
    link_both(w, 0, 1);
    say(b, a, "hello");
    assert_log(a, STR("B>hello "));
    leave(b);
    assert_log(a, STR("gone:B:0 "));
    assert_log(c, STR(""));
    say(a, b, "lost");
    enter(b, 1, (struct derp_client_info){0});
    say(a, b, "again");
    assert_log(b, STR("A>again "));
    world_free(w);
}

static void survives_the_loss_of_a_link(void **state)
{
    struct world *w = world_new(2);
    struct guest *a = guest_new(w, 0), *b = guest_new(w, 1);
    struct linked *there, *back;

    (void)state;
    link_both(w, 0, 1);
    there = &w->links[0][1];
    back = &w->links[1][0];
    say(b, a, "one");
    assert_log(a, STR("B>one "));
    stream_abort(there->far);
    run(w);
    assert_true(there->is_over && there->why == DERP_LINK_LOST && !back->is_over);
    assert_log(a, STR("gone:B:0 "));
    say(a, b, "nowhere");
    say(b, a, "still"); /* its own direction stands */
    assert_log(a, STR("B>still "));
    assert_log(b, STR(""));
    assert_true(link_one(w, 0, 1)->is_ready);
    say(a, b, "two");
    assert_log(b, STR("A>two "));
    world_free(w);
}

/* One hop: what a relay has brought goes to clients, never on to a third. */
static void forwards_once(void **state)
{
    struct world *w = world_new(3);
    struct guest *a = guest_new(w, 0), *b = guest_new(w, 1), *c = guest_new(w, 2);

    (void)state;
    link_both(w, 0, 1);
    link_both(w, 1, 2);
    say(a, c, "too far");
    say(b, c, "near");
    assert_log(c, STR("B>near "));
    link_both(w, 0, 2);
    say(a, c, "near");
    assert_log(c, STR("A>near "));
    /* At two relays at once: a third one uses one of them, and the other when that is gone. */
    enter(c, 1, (struct derp_client_info){0});
    say(a, c, "x");
    assert_log(c, STR("A>x "));
    stream_abort(w->links[0][2].far);
    run(w);
    say(a, c, "y");
    assert_log(c, STR("A>y "));
    world_free(w);
}

/* What many clients send to those at another relay waits in one queue, which has room for it. */
static void busy_links_have_room(void **state)
{
    struct world *w = world_new(2);
    struct guest *from[4], *to;
    char packet[1200] = {0};

    (void)state;
    link_both(w, 0, 1);
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        from[i] = guest_new(w, 0);
    to = guest_new(w, 1);
    for (size_t round = 0; round < 2; round++) {
        size_t n = round ? 4000 : 1000, got = 0;

        to->log = BUF((size_t)1 << 20);
        stream_read_stop(w->links[0][1].far);
        for (size_t i = 0; i < n; i++) {
            derp_client_send(from[i % ARRAY_LEN(from)]->client, &to->public_key,
                             str_bytes(packet, sizeof(packet)));
            if (i % 32 == 31)
                run(w);
        }
        run(w);
        stream_read_start(w->links[0][1].far);
        run(w);
        for (size_t i = 0; i < to->log.len; i++)
            got += to->log.ptr[i] == '>';
        if (round == 0)
            assert_int_equal(got, n);
        else /* but no more than that: in the queue, and before it in the stream */
            assert_in_range(got, 1024, 1024 + 600);
        buf_fini(&to->log);
    }
    world_free(w);
}

static void knows_itself(void **state)
{
    struct world *w = world_new(1);
    struct linked *l = link_one(w, 0, 0);

    (void)state;
    assert_true(l->is_over && !l->is_ready && l->why == DERP_LINK_SELF);
    world_free(w);
}

static void gives_up_a_silent_relay(void **state)
{
    struct world *w = world_new(2);
    struct linked *l = link_one(w, 0, 1);
    struct stream *ends[2];
    struct linked mute = {.world = w};

    (void)state;
    for (int i = 0; i < 6; i++)
        wait_ms(w, 10001); /* pings are answered */
    assert_false(l->is_over);
    stream_pair(w->loop, ends);
    derp_link_open(w->relays[0], ends[0], &link_events, &mute);
    wait_ms(w, DERP_LOGIN_MS + 1);
    assert_true(mute.is_over && !mute.is_ready);
    world_free(w);
}

/* Watchers hear of all who are here, of each change, and nobody else does. */
static void watchers_hear_of_everybody(void **state)
{
    struct world *w = world_new(1);
    struct derp_client_info info = {.has_mesh_key = true};
    struct guest *a = guest_new(w, 0), *m = &w->guests[1];

    (void)state;
    memcpy(info.mesh_key, mesh_key, sizeof(mesh_key));
    m->world = w;
    m->name = 'B';
    w->n_guests = 2;
    node_private_generate(&m->key);
    node_private_public(&m->key, &m->public_key);
    enter(m, 0, info);
    struct guest *c = guest_new(w, 0);

    assert_log(m, STR(""));
    derp_client_send_frame(m->client, DERP_WATCH_CONNS, STR_NONE);
    run(w);
    assert_log(m, STR("frame:09 frame:09 frame:09 ")); /* A, C and itself */
    derp_client_send_frame(m->client, DERP_WATCH_CONNS, STR_NONE);
    run(w);
    assert_log(m, STR(""));                    /* once is enough */
    enter(a, 0, (struct derp_client_info){0}); /* a second connection */
    assert_log(m, STR("frame:09 "));
    leave(c);
    assert_log(m, STR("gone:C:0 "));
    enter(c, 0, (struct derp_client_info){0});
    assert_log(m, STR("frame:09 "));
    assert_true(str_find(buf_str(&a->log), STR("frame")) < 0);
    /* CLOSE_PEER: all its connections. */
    derp_client_send_frame(m->client, DERP_CLOSE_PEER, node_key_str(&c->public_key));
    run(w);
    assert_log(c, STR("closed "));
    assert_log(m, STR("gone:C:0 "));
    leave(m);
    leave(a);
    world_free(w);
}

/* Strangers are cut off for a mesh frame, and move nothing by it. */
static void strangers_are_cut_off(void **state)
{
    static const uint8_t types[] = {DERP_WATCH_CONNS, DERP_CLOSE_PEER, DERP_FORWARD_PACKET};
    struct world *w = world_new(2);
    struct guest *a = guest_new(w, 0), *b = guest_new(w, 1);
    struct derp_client_info wrong = {.has_mesh_key = true};

    (void)state;
    link_both(w, 0, 1);
    memcpy(wrong.mesh_key, mesh_key, sizeof(mesh_key));
    wrong.mesh_key[0] ^= 1;
    for (size_t i = 0; i < ARRAY_LEN(types) * 2; i++) {
        AUTO_FINI(buf_fini) struct buf payload = BUF(4096);
        struct guest *eve = &w->guests[2];
        uint8_t type = types[i / 2];

        buf_fini(&eve->log);
        w->n_guests = 2;
        eve = guest_new(w, 0);
        if (i % 2) {
            leave(eve);
            enter(eve, 0, wrong);
        }
        if (type == DERP_CLOSE_PEER)
            buf_put(&payload, node_key_str(&a->public_key));
        if (type == DERP_FORWARD_PACKET) {
            buf_put(&payload, node_key_str(&b->public_key));
            buf_put(&payload, node_key_str(&a->public_key));
            buf_put(&payload, STR("forged"));
        }
        derp_client_send_frame(eve->client, type, buf_str(&payload));
        run(w);
        assert_log(eve, STR("closed "));
        assert_log(a, STR(""));
        say(a, b, "fine");
        assert_log(b, STR("A>fine "));
    }
    world_free(w);
}

/* A relay whose frames make no sense is left. */
static void leaves_a_broken_relay(void **state)
{
    static const struct {
        const char *name;
        struct str bytes;
    } cases[] = {
        {"no magic", STR_INIT("\x01\0\0\0\x28"
                              "0123456789012345678901234567890123456789")},
        {"key cut short", STR_INIT("\x01\0\0\0\x10")},
        {"key too long", STR_INIT("\x01\0\0\x10\0")},
        {"information before the key", STR_INIT("\x03\0\0\0\x28"
                                                "0123456789012345678901234567890123456789")},
        {"a frame too long", STR_INIT("\x05\0\x20\0\0")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = world_new(1);
        struct linked l = {.world = w};
        struct stream *ends[2];

        print_message("%s\n", cases[i].name);
        stream_pair(w->loop, ends);
        derp_link_open(w->relays[0], ends[0], &link_events, &l);
        stream_write(ends[1], cases[i].bytes);
        run(w);
        assert_true(l.is_over && !l.is_ready);
        world_free(w);
    }
}

static void reads_the_list(void **state)
{
    static const char with[] = "a.example,b.example:8443 , c/10.0.0.3,[::1]:444/dial.example";
    struct derp_mesh_relay relays[MESH_RELAYS_MAX];
    struct err err = {0};
    size_t n = 0;

    (void)state;
    assert_int_equal(derp_mesh_parse(str_from(with), STR_NONE, relays, &n, &err), 0);
    assert_int_equal(n, 4);
    assert_str(relays[0].name, STR("a.example"));
    assert_str(relays[0].dial_name, STR("a.example"));
    assert_int_equal(relays[0].port, 443);
    assert_str(relays[1].name, STR("b.example"));
    assert_int_equal(relays[1].port, 8443);
    assert_str(relays[2].dial_name, STR("10.0.0.3"));
    assert_str(relays[3].name, STR("::1"));
    assert_int_equal(relays[3].port, 444);
    assert_str(relays[3].dial_name, STR("dial.example"));
    assert_int_equal(
        derp_mesh_parse(str_from(with),
                        STR("c=sha256-raw:"
                            "00000000000000000000000000000000000000000000000000000000000000ff"),
                        relays, &n, &err),
        0);
    assert_true(relays[2].has_pin && relays[2].pin_sha256[31] == 0xff && !relays[0].has_pin);

    static const char *const bad[][2] = {{"a,,b", ""}, {"a/b/c", ""}, {"a:0", ""},
                                         {"a:x", ""},  {":443", ""},  {"a/", ""},
                                         {"a\nb", ""}, {"a", "a=00"}, {"a", "b=sha256-raw:00"},
                                         {"a", "junk"}};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        print_message("%s %s\n", bad[i][0], bad[i][1]);
        assert_true(derp_mesh_parse(str_from(bad[i][0]), str_from(bad[i][1]), relays, &n, &err) <
                    0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwards_to_where_a_client_is),
        cmocka_unit_test(tells_of_who_left_elsewhere),
        cmocka_unit_test(survives_the_loss_of_a_link),
        cmocka_unit_test(forwards_once),
        cmocka_unit_test(busy_links_have_room),
        cmocka_unit_test(knows_itself),
        cmocka_unit_test(gives_up_a_silent_relay),
        cmocka_unit_test(watchers_hear_of_everybody),
        cmocka_unit_test(strangers_are_cut_off),
        cmocka_unit_test(leaves_a_broken_relay),
        cmocka_unit_test(reads_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
