/*
 * Linked relays under random comings and goings: no packet is duplicated, altered or handed to
 * another key; and once all has settled, everybody reaches everybody.
 *
 * Clients enter, leave, move, and are at two relays at a time; links break and are made again; the
 * loop runs a little between any two of these, so that frames of all of them are under way
 * together.
 */

#include "../property.h"
#include "../unit.h"

#include "core/log.h"
#include "core/rand.h"
#include "derp/client.h"
#include "derp/link.h"

#define RELAYS 3
#define GUESTS 7
#define PLACES 2 /* connections of one client */
#define PACKETS 4096
#define ROUNDS 40
#define STEPS 400

static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";

struct place {
    struct guest *guest;
    struct derp_client *client; /* NULL: free */
};

struct guest {
    struct world *world;
    size_t index;
    struct node_private key;
    struct node_key public_key;
    struct place places[PLACES];
};

struct linked {
    struct stream *far;
    bool is_up;
};

struct packet {
    uint8_t src, dst;
    bool is_delivered;
};

struct world {
    struct loop *loop;
    struct rand_seeded rand;
    struct derp_server *relays[RELAYS];
    struct guest guests[GUESTS];
    struct linked links[RELAYS][RELAYS];
    struct packet packets[PACKETS];
    uint32_t n_packets, n_delivered;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->rand, n);
}

static void run(struct world *w, int rounds)
{
    for (int i = 0; i < rounds; i++)
        loop_run_once(w->loop, 0);
}

/* ---- Packets: their number, and bytes that follow from it ---- */

static void put_packet(struct buf *out, uint32_t number, size_t len)
{
    struct rand_seeded bytes;

    rand_seed(&bytes, number);
    buf_put_be32(out, number);
    for (size_t i = 4; i < len; i++)
        buf_put_char(out, (char)rand_seeded_u64(&bytes));
}

static void on_packet(void *user, const struct node_key *src, struct str data)
{
    const struct place *place = user;
    struct world *w = place->guest->world;
    AUTO_FINI(buf_fini) struct buf want = BUF(DERP_PACKET_MAX);

    assert_true(data.len >= 4);
    uint32_t number = str_be32(data, 0);

    assert_true(number < w->n_packets);
    struct packet *p = &w->packets[number];

    assert_int_equal(p->dst, place->guest->index);
    assert_true(node_key_eq(src, &w->guests[p->src].public_key));
    assert_false(p->is_delivered);
    put_packet(&want, number, data.len);
    assert_true(str_eq(buf_str(&want), data));
    p->is_delivered = true;
    w->n_delivered++;
}

static void say(struct world *w, struct derp_client *from, size_t src, size_t dst)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(DERP_PACKET_MAX);
    size_t len = 4 + (size_t)below(w, below(w, 8) ? 200 : 20000);

    if (w->n_packets == PACKETS || !derp_client_is_ready(from))
        return;
    w->packets[w->n_packets] = (struct packet){.src = (uint8_t)src, .dst = (uint8_t)dst};
    put_packet(&out, w->n_packets++, len);
    derp_client_send(from, &w->guests[dst].public_key, buf_str(&out));
}

/* ---- Clients and links ---- */

static void on_close(void *user, const struct err *why)
{
    (void)why;
    ((struct place *)user)->client = NULL;
}

static const struct derp_client_events events = {.on_packet = on_packet, .on_close = on_close};

static void enter(struct world *w, struct place *place, size_t relay)
{
    struct stream *ends[2];

    stream_pair(w->loop, ends);
    derp_server_accept(w->relays[relay], ends[0]);
    place->client = derp_client_new(
        ends[1],
        &(struct derp_client_options){.key = &place->guest->key, .events = &events, .user = place});
}

static void on_ready(void *user)
{
    ((struct linked *)user)->is_up = true;
}

static void on_end(void *user, enum derp_link_end why)
{
    assert_int_equal(why, DERP_LINK_LOST);
    *(struct linked *)user = (struct linked){0};
}

static void link_up(struct world *w, size_t from, size_t to)
{
    static const struct derp_link_events link_events = {.on_ready = on_ready, .on_end = on_end};
    struct linked *l = &w->links[from][to];
    struct stream *ends[2];

    if (from == to || l->far)
        return;
    stream_pair(w->loop, ends);
    l->far = ends[1];
    derp_server_accept(w->relays[to], ends[1]);
    derp_link_open(w->relays[from], ends[0], &link_events, l);
}

static void link_down(struct world *w, size_t from, size_t to)
{
    struct linked *l = &w->links[from][to];

    if (l->far && l->is_up) {
        l->is_up = false;
        stream_abort(l->far);
    }
}

/* ---- A history ---- */

static void step(struct world *w)
{
    struct guest *g = &w->guests[below(w, GUESTS)];
    struct place *place = &g->places[below(w, PLACES)];
    size_t relay = (size_t)below(w, RELAYS), other = (size_t)below(w, RELAYS);

    switch (below(w, 16)) {
    case 0:
    case 1:
        if (!place->client)
            enter(w, place, relay);
        break;
    case 2:
        if (place->client)
            derp_client_close(place->client);
        break;
    case 3:
        link_up(w, relay, other);
        break;
    case 4:
        if (below(w, 3) == 0)
            link_down(w, relay, other);
        break;
    case 5:
    case 6:
        run(w, (int)below(w, 6));
        break;
    default:
        if (place->client)
            say(w, place->client, g->index, (size_t)below(w, GUESTS));
    }
}

static void settle(struct world *w)
{
    run(w, 60);
    for (size_t i = 0; i < RELAYS * RELAYS; i++)
        link_up(w, i / RELAYS, i % RELAYS);
    for (size_t i = 0; i < GUESTS; i++)
        for (size_t k = 0; k < PLACES; k++)
            if (w->guests[i].places[k].client && (k > 0 || below(w, 2)))
                derp_client_close(w->guests[i].places[k].client);
    run(w, 60);
    for (size_t i = 0; i < GUESTS; i++)
        if (!w->guests[i].places[0].client)
            enter(w, &w->guests[i].places[0], (size_t)below(w, RELAYS));
    run(w, 60);
    w->n_packets = w->n_delivered = 0;
    for (size_t i = 0; i < GUESTS * GUESTS; i++) {
        say(w, w->guests[i / GUESTS].places[0].client, i / GUESTS, i % GUESTS);
        run(w, 2);
    }
    run(w, 60);
    for (size_t i = 0; i < w->n_packets; i++)
        if (!w->packets[i].is_delivered)
            fail_msg("%u does not reach %u", w->packets[i].src, w->packets[i].dst);
    assert_int_equal(w->n_packets, GUESTS * GUESTS);
}

static size_t live_through(uint64_t seed)
{
    struct world *w = NEW(struct world);
    struct node_private keys[RELAYS];
    struct err err = {0};
    size_t delivered;

    rand_seed(&w->rand, seed);
    assert_int_equal(loop_new("test", &w->loop, &err), 0);
    for (size_t i = 0; i < RELAYS; i++) {
        node_private_generate(&keys[i]);
        w->relays[i] = derp_server_new(&(struct derp_server_options){
            .key = &keys[i], .loops = &w->loop, .n_loops = 1, .mesh_key = mesh_key});
    }
    for (size_t i = 0; i < GUESTS; i++) {
        struct guest *g = &w->guests[i];

        g->world = w;
        g->index = i;
        node_private_generate(&g->key);
        node_private_public(&g->key, &g->public_key);
        for (size_t k = 0; k < PLACES; k++)
            g->places[k].guest = g;
    }
    for (int i = 0; i < STEPS; i++)
        step(w);
    delivered = w->n_delivered;
    settle(w);
    loop_free(w->loop);
    for (size_t i = 0; i < RELAYS; i++)
        derp_server_free(w->relays[i]);
    mem_free(w);
    return delivered;
}

static void packets_arrive_whole_once_and_where_they_should(void **state)
{
    uint64_t seed = property_seed();
    size_t delivered = 0;

    (void)state;
    log_init(LOG_OFF, LOG_TEXT, -1);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        print_message("PROPERTY_SEED=%llu\n", (unsigned long long)(seed + i));
        delivered += live_through(seed + i);
    }
    assert_true(delivered > ROUNDS); /* it is not silence that keeps the law */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_arrive_whole_once_and_where_they_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
