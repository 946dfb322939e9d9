/*
 * However a client's stream is cut, the same frames come of it: the plain bytes are cut anyhow into
 * writes, which over TLS are records, and the records' bytes are cut anyhow again on their way,
 * both ways. Every packet arrives whole, once and in order; frames of other kinds between them
 * change nothing.
 */

#include "../property.h"
#include "../unit.h"

#include "harness.h"

#include "core/rand.h"
#include "net/tls.h"

#define ROUNDS 120
#define BATCH_BYTES ((size_t)60 << 10)

static struct {
    struct rand_seeded rand;
    struct tls_server *tls;
    struct tls_client *tls_client;
    uint32_t sent, got;
} world;

static size_t below(size_t n)
{
    return (size_t)rand_seeded_below(&world.rand, n);
}

/* ---- What cuts: between two streams, each way ---- */

/* Takes what comes from one stream and gives it to the next, a piece a round. */
struct cutter {
    struct loop *loop;
    struct stream *to;    /* NULL: gone */
    struct cutter *other; /* of the other way; NULL: gone */
    struct buf waiting;
    struct loop_message next;
    bool is_posted, is_over; /* its own stream has gone */
};

/* Mostly small pieces: the first bytes of records and frames are where cutting matters. */
static size_t piece_of(size_t len)
{
    size_t most = below(3) ? 40 : below(2) ? 3 : 6000;

    return MIN(len, 1 + below(most));
}

static void write_cut(struct stream *to, struct str data)
{
    while (data.len > 0) {
        size_t n = piece_of(data.len);

        stream_write(to, str_sub(data, 0, n));
        data = str_from_index(data, n);
    }
}

static void free_if_over(struct cutter *c)
{
    if (!c->is_over || c->is_posted)
        return;
    buf_fini(&c->waiting);
    mem_free(c);
}

static void post(struct cutter *c)
{
    if (c->is_posted)
        return;
    c->is_posted = true;
    loop_post(c->loop, &c->next);
}

static void on_next(struct loop_message *msg)
{
    struct cutter *c = CONTAINER_OF(msg, struct cutter, next);
    size_t n = piece_of(c->waiting.len);

    c->is_posted = false;
    if (c->to && !c->is_over && n > 0) {
        stream_write(c->to, str_sub(buf_str(&c->waiting), 0, n));
        buf_drop(&c->waiting, n);
    }
    if (c->waiting.len > 0 && c->to && !c->is_over)
        post(c);
    free_if_over(c);
}

static void on_cut_data(void *user, struct str data)
{
    struct cutter *c = user;

    buf_put(&c->waiting, data);
    post(c);
}

static void on_cut_close(void *user, const struct err *why)
{
    struct cutter *c = user;

    (void)why;
    if (c->other) {
        c->other->other = NULL;
        c->other->to = NULL; /* that was our stream */
        stream_abort(c->to);
    }
    c->is_over = true;
    free_if_over(c);
}

static const struct stream_events cut_events = {.on_data = on_cut_data, .on_close = on_cut_close};

/* The client's end of a connection to the relay, over TLS or plain, whose bytes are cut. */
static struct stream *connect_cut(struct rig *rig, bool with_tls)
{
    struct stream *near[2], *far[2], *out = NULL;
    struct cutter *up = NEW(struct cutter), *down = NEW(struct cutter);
    struct err err = {0};

    stream_pair(rig->loop, near);
    stream_pair(rig->loop, far);
    *up = (struct cutter){rig->loop, far[0], down, BUF((size_t)1 << 24), {.run = on_next}, 0, 0};
    *down = (struct cutter){rig->loop, near[1], up, BUF((size_t)1 << 24), {.run = on_next}, 0, 0};
    stream_set_events(near[1], &cut_events, up);
    stream_set_events(far[0], &cut_events, down);
    derp_server_accept(rig->server, with_tls ? tls_accept(world.tls, far[1]) : far[1]);
    if (!with_tls)
        return near[0];
    assert_int_equal(
        tls_connect(&(struct tls_client_options){.shared = world.tls_client, .insecure = true},
                    near[0], &out, &err),
        0);
    return out;
}

static struct party *join_cut(struct rig *rig, bool with_tls)
{
    struct party *p = NEW(struct party);

    p->name = (char)('A' + rig->n_parties);
    rig->parties[rig->n_parties++] = p;
    p->rig = rig;
    node_private_generate(&p->key);
    node_private_public(&p->key, &p->public_key);
    p->client = derp_client_new(
        connect_cut(rig, with_tls),
        &(struct derp_client_options){.key = &p->key, .events = &party_events, .user = p});
    for (int i = 0; i < 4000 && !derp_client_is_ready(p->client); i++)
        loop_run_once(rig->loop, 0);
    assert_true(derp_client_is_ready(p->client));
    return p;
}

/* ---- Packets ---- */

static void put_packet(struct buf *out, uint32_t number)
{
    struct rand_seeded bytes;

    rand_seed(&bytes, number);
    size_t len = 4 + (size_t)rand_seeded_below(&bytes, number % 7 ? 300 : 20000);

    buf_put_be32(out, number);
    for (size_t i = 4; i < len; i++)
        buf_put_char(out, (char)rand_seeded_u64(&bytes));
}

static void on_packet(struct party *p, const struct node_key *src, struct str packet)
{
    AUTO_FINI(buf_fini) struct buf want = BUF(DERP_PACKET_MAX);

    assert_int_equal(p->name, 'B');
    assert_true(node_key_eq(src, &p->rig->parties[0]->public_key));
    put_packet(&want, world.got);
    assert_true(str_eq(buf_str(&want), packet));
    world.got++;
}

static void put_frames(struct buf *out, const struct node_key *to)
{
    while (out->len < 1 + below(BATCH_BYTES)) {
        AUTO_FINI(buf_fini) struct buf packet = BUF(DERP_PACKET_MAX);

        switch (below(8)) {
        case 0:
            derp_put_frame(out, DERP_PING, STR("12345678"));
            break;
        case 1:
            derp_put_note_preferred(out, below(2));
            break;
        case 2:
            derp_put_frame(out, (uint8_t)(0x40 + below(0x80)), STR("a frame nobody knows"));
            break;
        case 3:
            derp_put_frame(out, DERP_KEEP_ALIVE, STR_NONE);
            break;
        default:
            put_packet(&packet, world.sent++);
            derp_put_packet(out, DERP_SEND_PACKET, to, buf_str(&packet));
        }
    }
}

static void one_stream(uint64_t seed)
{
    rand_seed(&world.rand, seed);
    world.sent = world.got = 0;
    struct rig *rig = rig_new((struct derp_server_options){0});

    rig->on_packet = on_packet;
    struct party *a = join_cut(rig, below(4) > 0), *b = join_cut(rig, below(4) > 0);

    for (size_t batch = 0; batch < 4; batch++) {
        AUTO_FINI(buf_fini) struct buf frames = BUF((size_t)1 << 20);

        put_frames(&frames, &b->public_key);
        write_cut(derp_client_stream(a->client), buf_str(&frames));
        for (int i = 0; i < 20000 && world.got < world.sent; i++)
            loop_run_once(rig->loop, 0);
        assert_int_equal(world.got, world.sent);
    }
    assert_non_null(a->client);
    rig_free(rig);
}

static void any_split_gives_the_same_frames(void **state)
{
    AUTO_FINI(buf_fini) struct buf cert = BUF(65536), key = BUF(65536);
    const struct str name = STR("127.0.0.1");
    uint64_t seed = property_seed();
    uint8_t sha256[32];
    struct err err = {0};

    (void)state;
    assert_int_equal(tls_self_signed(&name, 1, &cert, &key, sha256, &err), 0);
    assert_int_equal(tls_server_new(&(struct tls_server_options){.cert_pem = buf_str(&cert),
                                                                 .key_pem = buf_str(&key)},
                                    &world.tls, &err),
                     0);
    assert_int_equal(tls_client_new(&world.tls_client, &err), 0);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        print_message("PROPERTY_SEED=%llu\n", (unsigned long long)(seed + i));
        one_stream(seed + i);
    }
    tls_server_unref(world.tls);
    tls_client_unref(world.tls_client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_split_gives_the_same_frames)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
