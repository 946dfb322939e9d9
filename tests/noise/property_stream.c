/*
 * What goes into a channel comes out at the other end, in order, however it was written and however
 * the network cut it; and once a bit was changed on the way, nothing from there on does.
 */

#include "../unit.h"

#include "core/rand.h"
#include "pair.h"

#define SEED 20260303
#define ROUNDS 150
#define WRITES_MAX 12
#define WRITE_MAX 12000

/* Several writes of random bytes: the plain text and the records. */
static void write_some(struct rand_seeded *r, struct noise_session *s, struct buf *sent,
                       struct buf *wire)
{
    static char text[WRITE_MAX];
    size_t writes = 1 + rand_seeded_below(r, WRITES_MAX);

    for (size_t i = 0; i < writes; i++) {
        size_t n = rand_seeded_below(r, rand_seeded_below(r, 2) ? 64 : WRITE_MAX);

        for (size_t j = 0; j < n; j++)
            text[j] = (char)rand_seeded_u64(r);
        buf_put(sent, str_bytes(text, n));
        assert_int_equal(noise_seal(s, str_bytes(text, n), wire, NULL), 0);
    }
}

/* Feeds `wire` in random pieces; the status of the last call. */
static int read_in_pieces(struct rand_seeded *r, struct noise_session *s, struct str wire,
                          struct buf *got)
{
    struct buf in = BUF(1 << 20);
    uint64_t most = 1 + rand_seeded_below(r, rand_seeded_below(r, 2) ? 50 : 9000);
    int status = 0;

    while (wire.len > 0 && status == 0) {
        struct str piece = str_sub(wire, 0, 1 + rand_seeded_below(r, most));

        buf_put(&in, piece);
        wire = str_from_index(wire, piece.len);
        status = noise_open(s, &in, got, NULL);
        assert_true(status < 0 || in.len < NOISE_RECORD_MAX);
    }
    if (status == 0)
        assert_int_equal(in.len == 0, true);
    buf_fini(&in);
    return status;
}

static void cutting_changes_nothing(void **state)
{
    struct rand_seeded r;

    (void)state;
    print_message("seed %d\n", SEED);
    rand_seed(&r, SEED);
    for (int i = 0; i < ROUNDS; i++) {
        struct pair p = pair_new();

        /* Both directions, twice, so that the counters go on. */
        for (int turn = 0; turn < 4; turn++) {
            struct noise_session *from = turn % 2 ? &p.server : &p.client;
            struct noise_session *to = turn % 2 ? &p.client : &p.server;
            struct buf sent = BUF(1 << 20), wire = BUF(1 << 20), got = BUF(1 << 20);

            write_some(&r, from, &sent, &wire);
            assert_int_equal(read_in_pieces(&r, to, buf_str(&wire), &got), 0);
            assert_true(str_eq(buf_str(&got), buf_str(&sent)));
            assert_int_equal(from->sealed, to->opened);
            buf_fini(&sent);
            buf_fini(&wire);
            buf_fini(&got);
        }
        pair_fini(&p);
    }
}

static void a_changed_bit_ends_the_stream(void **state)
{
    struct rand_seeded r;

    (void)state;
    print_message("seed %d\n", SEED + 1);
    rand_seed(&r, SEED + 1);
    for (int i = 0; i < ROUNDS; i++) {
        struct pair p = pair_new();
        struct buf sent = BUF(1 << 20), wire = BUF(1 << 20), got = BUF(1 << 20);

        buf_put(&sent, STR("."));
        assert_int_equal(noise_seal(&p.client, STR("."), &wire, NULL), 0);
        write_some(&r, &p.client, &sent, &wire);
        /* Enough behind it that a longer length finds its bytes. */
        size_t real = wire.len, at = rand_seeded_below(&r, real);
        for (int j = 0; j < NOISE_RECORD_MAX; j++)
            buf_put_char(&wire, 4);
        wire.ptr[at] = (char)(wire.ptr[at] ^ (1 << rand_seeded_below(&r, 8)));

        assert_int_equal(read_in_pieces(&r, &p.server, buf_str(&wire), &got), -ERR_INVALID);
        assert_true(got.len < sent.len);
        assert_true(str_starts(buf_str(&sent), buf_str(&got)));
        assert_true(got.len <= at);
        buf_fini(&sent);
        buf_fini(&wire);
        buf_fini(&got);
        pair_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_changes_nothing),
        cmocka_unit_test(a_changed_bit_ends_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
