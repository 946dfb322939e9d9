/* Filters, with a toy codec: units of a 16-bit length and as many bytes, each XORed. */

#include "harness.h"

#define UNIT_MAX ((size_t)1000)
#define BAD_LENGTH ((size_t)0xffff)

struct toy {
    char key;
    size_t *n_freed;
};

static void put_xored(struct buf *out, struct str data, char key)
{
    for (size_t i = 0; i < data.len; i++)
        buf_put_char(out, (char)(data.ptr[i] ^ key));
}

static int toy_decode(void *codec, struct buf *in, struct buf *plain, struct err *err)
{
    struct toy *toy = codec;

    while (in->len >= 2) {
        size_t n = str_be16(buf_str(in), 0);

        if (n == BAD_LENGTH)
            return err_set(err, ERR_DENIED, "a toy may not be this long");
        if (in->len < 2 + n)
            return 0;
        put_xored(plain, str_sub(buf_str(in), 2, n), toy->key);
        buf_drop(in, 2 + n);
    }
    return 0;
}

static int toy_encode(void *codec, struct str plain, struct buf *out, struct err *err)
{
    struct toy *toy = codec;

    if (str_eq(plain, STR("forbidden")))
        return err_set(err, ERR_CONFLICT, "a toy does not say this");
    while (plain.len > 0) {
        struct str unit = str_sub(plain, 0, UNIT_MAX);

        buf_put_be16(out, (uint16_t)unit.len);
        put_xored(out, unit, toy->key);
        plain = str_from_index(plain, unit.len);
    }
    return 0;
}

static void toy_free(void *codec)
{
    struct toy *toy = codec;

    (*toy->n_freed)++;
    mem_free(toy);
}

static const struct stream_filter_ops toy_ops = {
    .decode = toy_decode, .encode = toy_encode, .free = toy_free, .in_limit = 2 + UNIT_MAX};

static size_t n_freed;

static void put_filter(struct end *e, char key)
{
    struct toy *toy = NEW(struct toy);

    *toy = (struct toy){.key = key, .n_freed = &n_freed};
    end_take(e, stream_filter(e->s, &toy_ops, toy));
}

/* A filter at rig->b, raw bytes at rig->a. */
static struct rig *rig_half(join_fn *join)
{
    struct rig *rig = rig_new(join);

    n_freed = 0;
    put_filter(&rig->b, 0x5a);
    return rig;
}

/* Filters at both ends, two deep. */
static struct rig *rig_whole(join_fn *join)
{
    struct rig *rig = rig_half(join);

    put_filter(&rig->a, 0x5a);
    put_filter(&rig->a, 0x33);
    put_filter(&rig->b, 0x33);
    return rig;
}

static void rig_done(struct rig *rig, size_t n_filters)
{
    rig_free(rig);
    assert_int_equal(n_freed, n_filters);
}

static void decodes_whatever_the_cuts(void **state)
{
    struct str plain = noise(1, 100 << 10);
    struct buf wire = BUF(1 << 20);
    struct rand_seeded r;
    struct err err;
    uint64_t seed = rand_u64();

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    rand_seed(&r, seed);
    assert_int_equal(toy_encode(&(struct toy){.key = 0x5a}, plain, &wire, &err), 0);
    for (int i = 0; i < 10; i++) {
        struct rig *rig = rig_half(join_pair);
        uint64_t longest = (uint64_t)1 << (4 + i);

        for (struct str rest = buf_str(&wire); rest.len > 0;) {
            struct str piece = str_sub(rest, 0, 1 + rand_seeded_below(&r, longest));

            end_write(&rig->a, piece);
            rest = str_from_index(rest, piece.len);
            if (rand_seeded_below(&r, 2))
                loop_run_once(rig->loop, 0);
            if (rand_seeded_below(&r, 8) == 0)
                stream_read_stop(rig->b.s);
            if (rand_seeded_below(&r, 8) == 0)
                stream_read_start(rig->b.s);
        }
        stream_read_start(rig->b.s);
        RUN_UNTIL(rig->loop, rig->b.got.len == plain.len);
        assert_memory_equal(rig->b.got.ptr, plain.ptr, plain.len);
        rig_done(rig, 1);
    }
    buf_fini(&wire);
    str_free(&plain);
}

static void carries_megabytes_through_two(void **state)
{
    struct str data = noise(2, (size_t)3 << 20), back = noise(3, (size_t)2 << 20);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_whole(joins[i].join);

        end_write(&rig->a, data);
        end_write(&rig->b, back);
        assert_true(stream_pending(rig->a.s) >= data.len);
        RUN_UNTIL(rig->loop, rig->b.got.len == data.len && rig->a.got.len == back.len);
        assert_memory_equal(rig->b.got.ptr, data.ptr, data.len);
        assert_memory_equal(rig->a.got.ptr, back.ptr, back.len);
        RUN_UNTIL(rig->loop, rig->a.n_writable == 1 && rig->b.n_writable == 1);
        end_write(&rig->a, STR("the last"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->b.got.len, data.len + 8);
        assert_false(rig->a.has_why || rig->b.has_why);
        rig_done(rig, 4);
    }
    str_free(&data);
    str_free(&back);
}

static void put_back_all(struct end *e, struct str data)
{
    if (e->n++ > 0)
        return;
    buf_clear(&e->got);
    stream_unread(e->s, data);
}

static void gives_back_before_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_whole(joins[i].join);

        rig->b.data = put_back_all;
        end_write(&rig->a, STR("one"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->b.n_close);
        assert_str(buf_str(&rig->b.got), STR("one"));
        rig_done(rig, 4);
        /* Not yet given back when the loop goes. */
        rig = rig_whole(joins[i].join);
        stream_unread(rig->b.s, STR("kept"));
        stream_read_stop(rig->b.s);
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->a.n_close);
        RUN_ROUNDS(rig->loop, 5);
        assert_int_equal(rig->b.n_close, 0);
        rig_done(rig, 4);
    }
}

static void aborts_with_the_decoders_error(void **state)
{
    struct rig *rig = rig_half(join_pair);

    (void)state;
    end_write(&rig->a, STR("\0\2\x3b\x38\xff\xff garbage"));
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_str(buf_str(&rig->b.got), STR("ab")); /* what was whole came first */
    assert_true(rig->b.has_why);
    assert_int_equal(rig->b.why.code, ERR_DENIED);
    assert_non_null(strstr(rig->b.why.text, "toy"));
    RUN_UNTIL(rig->loop, rig->a.n_close);
    rig_done(rig, 1);
}

static void aborts_with_the_encoders_error(void **state)
{
    struct rig *rig = rig_half(join_pair);

    (void)state;
    end_write(&rig->b, STR("forbidden"));
    assert_int_equal(rig->b.n_close, 0);
    end_write(&rig->b, STR("ignored"));
    rig->b.is_ended = true;
    RUN_UNTIL(rig->loop, rig->b.n_close && rig->a.n_close);
    assert_int_equal(rig->a.got.len, 0);
    assert_int_equal(rig->b.why.code, ERR_CONFLICT);
    rig_done(rig, 1);
}

static void limits_what_is_not_decoded(void **state)
{
    struct str zeros = {mem_alloc(5000), 5000};

    (void)state;
    /* A unit longer than may be kept, in one piece and in small ones. */
    for (size_t step = 1; step <= 5000; step *= 5) {
        struct rig *rig = rig_half(join_pair);

        end_write(&rig->a, STR("\x7f\xff"));
        for (size_t sent = 0; sent <= UNIT_MAX && !rig->b.n_close; sent += step) {
            end_write(&rig->a, str_sub(zeros, 0, step));
            loop_run_once(rig->loop, 0);
        }
        RUN_UNTIL(rig->loop, rig->b.n_close);
        assert_int_equal(rig->b.why.code, ERR_LIMIT);
        assert_int_equal(rig->b.got.len, 0);
        RUN_UNTIL(rig->loop, rig->a.n_close);
        rig_done(rig, 1);
    }
    /* The longest that may be. */
    struct rig *rig = rig_half(join_pair);

    end_write(&rig->a, STR("\x03\xe8"));
    end_write(&rig->a, str_sub(zeros, 0, 999));
    RUN_ROUNDS(rig->loop, 5);
    assert_int_equal(rig->b.got.len, 0);
    end_write(&rig->a, STR("x"));
    RUN_UNTIL(rig->loop, rig->b.got.len == 1000);
    rig_done(rig, 1);
    str_free(&zeros);
}

static void abort_in_data(struct end *e, struct str data)
{
    (void)data;
    end_abort(e);
}

static void close_in_data(struct end *e, struct str data)
{
    (void)data;
    end_close(e);
}

static void ends_from_inside(void **state)
{
    struct str data = noise(4, 300 << 10);

    (void)state;
    for (int how = 0; how < 2; how++) {
        for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
            struct rig *rig = rig_whole(joins[i].join);

            rig->b.data = how == 0 ? abort_in_data : close_in_data;
            end_write(&rig->b, STR("queued"));
            end_write(&rig->a, data);
            RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
            assert_int_equal(rig->b.n_data, 1);
            rig_done(rig, 4);
        }
    }
    str_free(&data);
}

/* A peer that ends in the middle of a unit did not end in order. */
static void tells_of_a_cut_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_half(joins[i].join);

        end_write(&rig->a, STR("\0\5abc"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->b.n_close);
        assert_true(rig->b.has_why);
        assert_int_equal(rig->b.why.code, ERR_IO);
        rig_done(rig, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_whatever_the_cuts),
        cmocka_unit_test(carries_megabytes_through_two),
        cmocka_unit_test(gives_back_before_the_end),
        cmocka_unit_test(aborts_with_the_decoders_error),
        cmocka_unit_test(aborts_with_the_encoders_error),
        cmocka_unit_test(limits_what_is_not_decoded),
        cmocka_unit_test(ends_from_inside),
        cmocka_unit_test(tells_of_a_cut_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
