/*
 * Law: however a message is compressed and cut, a view by numbers of texts holds what the plain
 * state holds that was given the same messages whole.
 *
 * Messages are made up: whole maps, cards, patches, online changes, removals, filters. They go to
 * the reader as one zstd frame or as several (cut between cards, inside the head, inside a card),
 * the same blocks again and again, in pieces of any length.
 */

#include "../unit.h"

#include <inttypes.h>

#include "client/netmap_pool.h"
#include "client/netmap_state.h"
#include "client/node_text.h"
#include "client/skim.h"
#include "core/mem.h"
#include "core/rand.h"
#include "wire/response.h"

#define NODES 40
#define VIEWS 3
#define STEPS 120
#define ROUNDS 12

struct client {
    struct netmap_reader reader;
    struct netmap_view view;
    struct netmap_state state;
    size_t got;
};

struct world {
    struct rand_seeded rand;
    struct netmap_pool *pool;
    struct client clients[VIEWS];
    unsigned version[NODES + 1]; /* of each node's card */
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rand_seeded_below(&w->rand, n);
}

/* ---- Messages ---- */

static void put_card(struct world *w, uint64_t id, struct buf *out)
{
    unsigned v = w->version[id];

    buf_printf(out,
               "{\"ID\":%" PRIu64 ",\"Name\":\"n%" PRIu64
               ".x.\",\"User\":7,\"Key\":\"nodekey:%064u\","
               "\"Addresses\":[\"100.64.0.%" PRIu64 "/32\"],\"Endpoints\":[\"1.2.3.4:%u\"],"
               "\"HomeDERP\":%u,\"Cap\":%u",
               id, id, (unsigned)id, id, 1000 + v, v % 3, 100 + v % 2);
    if (v % 4)
        buf_printf(out, ",\"Online\":%s", v % 2 ? "true" : "false");
    buf_printf(out, ",\"Tags\":[\"tag:t%u\"]}", v / 5);
}

static void put_cards(struct world *w, uint64_t from, uint64_t to, struct buf *out)
{
    for (uint64_t id = from; id < to; id++) {
        if (id > from)
            buf_put_char(out, ',');
        put_card(w, id, out);
    }
}

static void put_filter(struct world *w, struct buf *out)
{
    switch (below(w, 5)) {
    case 0:
        buf_printf(out, ",\"PacketFilters\":{\"*\":null,\"a\":[{\"SrcIPs\":[\"%u\"]}]}",
                   (unsigned)below(w, 3));
        break;
    case 1:
        buf_printf(out, ",\"PacketFilters\":{\"b\":[],\"%s\":null}", below(w, 2) ? "a" : "c");
        break;
    case 2:
        buf_put(out, STR(",\"PacketFilter\":[]"));
        break;
    default:
        break;
    }
}

static void put_delta(struct world *w, struct buf *out)
{
    uint64_t a = 2 + below(w, NODES - 2), b = 2 + below(w, NODES - 2);

    buf_put(out, STR("{\"PeersChanged\":["));
    w->version[a] += (unsigned)below(w, 3);
    if (below(w, 2))
        put_cards(w, a, a + 1 + below(w, 2), out);
    buf_printf(out, "],\"PeersRemoved\":[%" PRIu64 "]", below(w, 4) ? 0 : b);
    if (below(w, 2))
        buf_printf(out, ",\"OnlineChange\":{\"%" PRIu64 "\":%s}", b,
                   below(w, 2) ? "true" : "false");
    if (below(w, 2))
        buf_printf(out,
                   ",\"PeersChangedPatch\":[{\"NodeID\":%" PRIu64 ",\"DERPRegion\":%u,"
                   "\"Endpoints\":[\"5.6.7.8:%u\"]},{\"NodeID\":%" PRIu64 ",\"Online\":true}]",
                   a, (unsigned)below(w, 3), (unsigned)below(w, 9000), b);
    put_filter(w, out);
    buf_put_char(out, '}');
}

/* ---- Cutting and compressing ---- */

static void put_frame(struct str json, struct buf *out)
{
    struct err err;

    assert_int_equal(wire_compress(json, 1, out, &err), 0);
}

/* Some of its lists as frames of whole objects, what is between them as others. */
static void put_cut(struct world *w, struct str json, struct buf *out)
{
    struct skim s;
    struct str key, value, object;
    size_t done = 0;

    assert_true(skim_begin(&s, json));
    while (skim_next(&s, &key, &value)) {
        size_t begin = (size_t)(value.ptr - json.ptr) + 1, from = 0, at = 0;
        struct str list = str_sub(json, begin, value.len - 2);

        if (value.ptr[0] != '[' || list.len == 0 || list.ptr[0] != '{' || below(w, 2))
            continue;
        put_frame(str_sub(json, done, begin - done), out);
        while (skim_objects(list, &at, &object) == SKIM_OBJECT) {
            if (at < list.len && below(w, 2)) {
                put_frame(str_sub(list, from, at - from), out);
                from = at;
            }
        }
        put_frame(str_from_index(list, from), out);
        done = begin + list.len;
    }
    put_frame(str_from_index(json, done), out);
}

/* The whole map for a viewer; the same text whole in `json` and cut into frames in `payload`. */
static void put_full(struct world *w, struct buf *json, struct buf *payload)
{
    uint64_t cut = 2 + below(w, 3) * 10;
    size_t head;

    buf_put(json, STR("{\"Node\":{\"ID\":1,\"Name\":\"me.x.\",\"User\":7,\"Key\":\"nodekey:"
                      "0000000000000000000000000000000000000000000000000000000000000001\"},"
                      "\"UserProfiles\":[{\"ID\":7}],\"DERPMap\":{\"Regions\":{}},"
                      "\"PacketFilters\":{\"*\":null,\"base\":[]},\"Peers\":["));
    if (cut > 2)
        put_cards(w, 2, cut, json); /* the head ends between cards, or right behind the bracket */
    head = json->len - below(w, 2) * below(w, 20); /* or within a word */
    put_frame(str_sub(buf_str(json), 0, head), payload);
    struct buf mid = BUF(1 << 20);

    buf_put(&mid, str_from_index(buf_str(json), head));
    if (mid.len > 0)
        put_frame(buf_str(&mid), payload);
    for (uint64_t from = cut; from <= NODES; from += 10) {
        buf_clear(&mid);
        if (from > 2)
            buf_put_char(&mid, ',');
        put_cards(w, from, MIN(from + 10, (uint64_t)NODES + 1), &mid);
        buf_put(json, buf_str(&mid));
        put_frame(buf_str(&mid), payload);
    }
    put_frame(STR("],\"Health\":[]}"), payload);
    buf_put(json, STR("],\"Health\":[]}"));
    buf_fini(&mid);
}

/* ---- Both sides ---- */

static void on_message(void *user, struct netmap_message *m, size_t wire_bytes)
{
    struct client *c = user;

    assert_true(wire_bytes > 4);
    assert_true(netmap_view_apply(&c->view, m));
    c->got++;
}

static void feed(struct world *w, struct client *c, struct str payload)
{
    struct buf bytes = BUF(1 << 22);
    struct err err;
    size_t got = c->got;

    buf_put_le32(&bytes, (uint32_t)payload.len);
    buf_put(&bytes, payload);
    for (size_t at = 0; at < bytes.len;) {
        size_t n = below(w, 2) ? 1 + below(w, 30) : bytes.len;
        struct str part = str_sub(buf_str(&bytes), at, n);

        assert_int_equal(netmap_reader_feed(&c->reader, part, on_message, c, &err), 0);
        at += part.len;
    }
    assert_int_equal(c->got, got + 1);
    buf_fini(&bytes);
}

static void give(struct world *w, struct client *c, struct str json, struct str payload)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;

    assert_true(json_parse(arena, json, NULL, &v, NULL));
    assert_true(netmap_state_apply(&c->state, v));
    feed(w, c, payload);
}

static void compare(struct world *w, struct client *c)
{
    static const struct node_text_ignored nothing = {NULL, 0};
    char why[256] = "";

    assert_int_equal(c->view.n_peers, netmap_state_peers(&c->state));
    for (uint64_t id = 2; id <= NODES; id++) {
        const struct netmap_peer *peer = netmap_state_peer(&c->state, id);
        text_ix ix = netmap_view_at(&c->view, netmap_pool_slot(w->pool, id));

        if ((peer != NULL) != (ix != 0))
            fail_msg("node %" PRIu64 ": held by the %s only", id, ix ? "view" : "state");
        if (!peer)
            continue;
        const struct netmap_card *card = netmap_pool_card(w->pool, ix);

        if (!node_text_same(netmap_pool_text(w->pool, ix), peer->json, &nothing, id, why,
                            sizeof(why)))
            fail_msg("%s", why);
        assert_true(node_key_eq(&card->key, &peer->key));
        assert_true(ip_addr_eq(card->v4, peer->v4));
    }
    assert_string_equal(c->view.complaint ? c->view.complaint : "", c->state.complaint);
}

static void step(struct world *w)
{
    struct buf json = BUF(1 << 20), payload = BUF(1 << 20);

    if (below(w, 10) == 0) {
        put_full(w, &json, &payload);
    } else {
        put_delta(w, &json);
        put_cut(w, buf_str(&json), &payload);
    }
    /* Some get it, the others fall behind: one message then meets different views. */
    for (size_t i = 0; i < VIEWS; i++) {
        if (i > 0 && below(w, 5) == 0)
            continue;
        give(w, &w->clients[i], buf_str(&json), buf_str(&payload));
        compare(w, &w->clients[i]);
    }
    buf_fini(&json);
    buf_fini(&payload);
}

static void begin(struct world *w, uint64_t seed)
{
    struct buf json = BUF(1 << 20), payload = BUF(1 << 20);

    *w = (struct world){.pool = netmap_pool_new(8)};
    rand_seed(&w->rand, seed);
    put_full(w, &json, &payload);
    for (size_t i = 0; i < VIEWS; i++) {
        struct client *c = &w->clients[i];

        netmap_reader_init(&c->reader, w->pool, true);
        c->reader.small = below(w, 2) ? 300 : c->reader.small; /* so that some maps are large */
        netmap_view_init(&c->view, w->pool);
        netmap_state_init(&c->state);
        c->state.keep_json = true;
        give(w, c, buf_str(&json), buf_str(&payload));
        compare(w, c);
    }
    buf_fini(&json);
    buf_fini(&payload);
}

static void end(struct world *w)
{
    for (size_t i = 0; i < VIEWS; i++) {
        netmap_reader_fini(&w->clients[i].reader);
        netmap_view_fini(&w->clients[i].view);
        netmap_state_fini(&w->clients[i].state);
    }
    netmap_pool_free(w->pool);
}

static void holds_what_the_plain_state_holds(void **state)
{
    uint64_t seed = rand_u64();

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct world w;

        begin(&w, seed + round);
        for (int i = 0; i < STEPS; i++)
            step(&w);
        end(&w);
    }
}

/* Blocks and small messages that came before are known again. */
static void knows_what_came_before(void **state)
{
    struct world w;
    struct buf json = BUF(1 << 20), payload = BUF(1 << 20);

    (void)state;
    begin(&w, 1);
    put_delta(&w, &json);
    put_frame(buf_str(&json), &payload);
    size_t hits = netmap_pool_figures(w.pool).message_hits;

    for (size_t i = 0; i < VIEWS; i++)
        give(&w, &w.clients[i], buf_str(&json), buf_str(&payload));
    assert_int_equal(netmap_pool_figures(w.pool).message_hits, hits + VIEWS - 1);
    buf_clear(&json);
    buf_clear(&payload);
    put_full(&w, &json, &payload);
    w.clients[0].reader.small = w.clients[1].reader.small = 0;
    give(&w, &w.clients[0], buf_str(&json), buf_str(&payload));
    struct netmap_pool_figures before = netmap_pool_figures(w.pool);

    give(&w, &w.clients[1], buf_str(&json), buf_str(&payload));
    assert_true(netmap_pool_figures(w.pool).block_hits > before.block_hits);
    assert_int_equal(netmap_pool_figures(w.pool).texts, before.texts);
    end(&w);
    buf_fini(&json);
    buf_fini(&payload);
}

static void ignore(void *user, struct netmap_message *m, size_t wire_bytes)
{
    (void)user;
    (void)m;
    (void)wire_bytes;
}

static void refuses_what_is_no_map(void **state)
{
    static const struct {
        const char *name, *first, *second;
    } cases[] = {
        {"no JSON", "{\"Peers\":[", NULL},
        {"a number among peers", "{\"Peers\":[1]}", NULL},
        {"a node without id", "{\"Peers\":[{\"Name\":\"x\"}]}", NULL},
        {"a key that is none", "{\"PeersChanged\":[{\"ID\":1,\"Key\":\"x\"}]}", NULL},
        {"a block outside of a list", "{\"Health\":[],\"a\":", "{}"},
        {"a list, and no object", "[]", NULL},
        {"something behind", "{} {}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct netmap_pool *p = netmap_pool_new(4);
        struct netmap_reader r;
        struct buf bytes = BUF(1 << 20), payload = BUF(1 << 20);
        struct err err = {0};

        print_message("%s\n", cases[i].name);
        put_frame(str_from(cases[i].first), &payload);
        if (cases[i].second)
            put_frame(str_from(cases[i].second), &payload);
        buf_put_le32(&bytes, (uint32_t)payload.len);
        buf_put(&bytes, buf_str(&payload));
        netmap_reader_init(&r, p, true);
        assert_true(netmap_reader_feed(&r, buf_str(&bytes), ignore, NULL, &err) < 0);
        netmap_reader_fini(&r);
        netmap_pool_free(p);
        buf_fini(&bytes);
        buf_fini(&payload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_the_plain_state_holds),
        cmocka_unit_test(knows_what_came_before),
        cmocka_unit_test(refuses_what_is_no_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
