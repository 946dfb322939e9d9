#include "../unit.h"

#include "noise/record.h"
#include "pair.h"

struct fixture {
    struct pair p;
    struct buf wire, plain;
    struct err err;
};

static int set_up(void **state)
{
    static struct fixture f;

    f = (struct fixture){.p = pair_new(), .wire = BUF(1 << 20), .plain = BUF(1 << 20)};
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pair_fini(&f->p);
    buf_fini(&f->wire);
    buf_fini(&f->plain);
    return 0;
}

/* docs/protocol.md, A.1; the second one tells a big-endian counter from a little-endian one. */
static void seals_the_known_records(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(noise_seal(&f->p.client, STR("hello"), &f->wire, NULL), 0);
    assert_int_equal(noise_seal(&f->p.client, STR("hello"), &f->wire, NULL), 0);
    assert_hex(f->wire.ptr, f->wire.len,
               "040015 63f9992328d4d9d1c1f67b8bdcc83c68963a4aca53"
               "040015 0ae0eb2d53bee0ff6ad03a84f944df0b5f36451a9c");
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, NULL), 0);
    assert_str(buf_str(&f->plain), STR("hellohello"));
    assert_int_equal(f->wire.len, 0);

    assert_int_equal(noise_seal(&f->p.server, STR("world"), &f->wire, NULL), 0);
    assert_hex(f->wire.ptr, f->wire.len, "040015 096a300ef924db332a7e85784b243d8789098ed954");
    buf_clear(&f->plain);
    assert_int_equal(noise_open(&f->p.client, &f->wire, &f->plain, NULL), 0);
    assert_str(buf_str(&f->plain), STR("world"));
}

static const struct {
    size_t plain;
    size_t sealed;
} sizes[] = {
    {0, 0},
    {1, 20},
    {4077, 4096},
    {4078, 4096 + 20},
    {2 * 4077, 2 * 4096},
    {100000, 100000 + 25 * 19},
};

static void splits_what_is_larger_than_a_record(void **state)
{
    struct fixture *f = *state;
    char *text = mem_alloc(100000);

    memset(text, 't', 100000);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        buf_clear(&f->plain);
        print_message("%zu\n", sizes[i].plain);
        assert_int_equal(noise_sealed_len(sizes[i].plain), sizes[i].sealed);
        assert_int_equal(
            noise_seal(&f->p.client, str_bytes(text, sizes[i].plain), &f->wire, &f->err), 0);
        assert_int_equal(f->wire.len, sizes[i].sealed);
        assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), 0);
        assert_str(buf_str(&f->plain), str_bytes(text, sizes[i].plain));
    }
    mem_free(text);
}

static void whole_records_come_out_and_parts_wait(void **state)
{
    struct fixture *f = *state;
    struct buf in = BUF(4096);

    assert_int_equal(noise_seal(&f->p.client, STR("one"), &f->wire, NULL), 0);
    assert_int_equal(noise_seal(&f->p.client, STR("two"), &f->wire, NULL), 0);
    for (size_t i = 0; i < f->wire.len; i++) {
        buf_put_char(&in, f->wire.ptr[i]);
        assert_int_equal(noise_open(&f->p.server, &in, &f->plain, &f->err), 0);
        assert_int_equal(f->plain.len, (i + 1) / 22 * 3);
        assert_int_equal(in.len, (i + 1) % 22);
    }
    assert_str(buf_str(&f->plain), STR("onetwo"));
    buf_fini(&in);
}

/* A record with nothing in it, as noise_seal never makes them. */
static void empty_records_vanish(void **state)
{
    struct fixture *f = *state;
    uint8_t nonce[AEAD_NONCE_BYTES] = {0}, tag[AEAD_TAG_BYTES];

    aead_seal(&f->p.client.seal, nonce, STR_NONE, STR_NONE, tag);
    f->p.client.sealed = 1;
    buf_put(&f->wire, STR("\x04\0\x10"));
    buf_put(&f->wire, str_bytes(tag, sizeof(tag)));
    assert_int_equal(noise_seal(&f->p.client, STR("after"), &f->wire, NULL), 0);
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), 0);
    assert_str(buf_str(&f->plain), STR("after"));
}

static void every_flipped_bit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct str sealed;

    assert_int_equal(noise_seal(&f->p.client, STR("hello"), &f->wire, NULL), 0);
    sealed = buf_str(&f->wire);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        struct pair p = pair_new();
        struct buf in = BUF(8192);

        buf_put(&in, sealed);
        in.ptr[bit / 8] = (char)(in.ptr[bit / 8] ^ (1 << bit % 8));
        int status = noise_open(&p.server, &in, &f->plain, &f->err);
        /* A longer length only waits for bytes that then cannot be right. */
        if (status == 0) {
            assert_true(bit / 8 == 1 || bit / 8 == 2);
            while (in.len < NOISE_RECORD_MAX)
                buf_put_char(&in, 'x');
            status = noise_open(&p.server, &in, &f->plain, &f->err);
        }
        assert_int_equal(status, -ERR_INVALID);
        assert_int_equal(f->plain.len, 0);
        buf_fini(&in);
        pair_fini(&p);
    }
}

static const struct {
    const char *name;
    struct str in;
} bad_fronts[] = {
    {"another type", STR_INIT("\x05")},
    {"a response", STR_INIT("\x02\0\x30")},
    {"no room for a tag", STR_INIT("\x04\0\x0f")},
    {"empty", STR_INIT("\x04\0\0")},
    {"one byte too long", STR_INIT("\x04\x0f\xfe")},
    {"as long as can be", STR_INIT("\x04\xff\xff")},
};

static void bad_headers_break_the_channel(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad_fronts); i++) {
        struct pair p = pair_new();

        print_message("%s\n", bad_fronts[i].name);
        buf_clear(&f->wire);
        buf_put(&f->wire, bad_fronts[i].in);
        assert_int_equal(noise_open(&p.server, &f->wire, &f->plain, &f->err), -ERR_INVALID);
        pair_fini(&p);
    }
}

static void records_before_a_bad_one_count_and_none_after(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(noise_seal(&f->p.client, STR("good"), &f->wire, NULL), 0);
    size_t first = f->wire.len;
    assert_int_equal(noise_seal(&f->p.client, STR("bad"), &f->wire, NULL), 0);
    assert_int_equal(noise_seal(&f->p.client, STR("late"), &f->wire, NULL), 0);
    f->wire.ptr[first + 5] ^= 1;
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), -ERR_INVALID);
    assert_str(buf_str(&f->plain), STR("good"));
    f->wire.ptr[5] ^= 1;
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), -ERR_INVALID);
    assert_str(buf_str(&f->plain), STR("good"));
}

static void replayed_swapped_and_reflected_records_are_refused(void **state)
{
    struct fixture *f = *state;
    struct pair p = pair_new();
    struct buf again = BUF(4096), swapped = BUF(4096);

    assert_int_equal(noise_seal(&f->p.client, STR("once"), &f->wire, NULL), 0);
    buf_put(&again, buf_str(&f->wire));
    buf_put(&again, buf_str(&f->wire));
    assert_int_equal(noise_open(&f->p.server, &again, &f->plain, &f->err), -ERR_INVALID);
    assert_str(buf_str(&f->plain), STR("once"));

    size_t first = f->wire.len;
    assert_int_equal(noise_seal(&f->p.client, STR("more"), &f->wire, NULL), 0);
    buf_put(&swapped, str_from_index(buf_str(&f->wire), first));
    buf_put(&swapped, str_sub(buf_str(&f->wire), 0, first));
    assert_int_equal(noise_open(&p.server, &swapped, &f->plain, &f->err), -ERR_INVALID);

    /* Back to its sender. */
    assert_int_equal(noise_open(&f->p.client, &f->wire, &f->plain, &f->err), -ERR_INVALID);
    assert_str(buf_str(&f->plain), STR("once"));
    pair_fini(&p);
    buf_fini(&again);
    buf_fini(&swapped);
}

static void counters_end(void **state)
{
    struct fixture *f = *state;

    f->p.client.sealed = UINT64_MAX - 1;
    f->p.server.opened = UINT64_MAX - 1;
    char *two = mem_alloc(NOISE_RECORD_PLAIN_MAX + 1);
    assert_int_equal(
        noise_seal(&f->p.client, str_bytes(two, NOISE_RECORD_PLAIN_MAX + 1), &f->wire, &f->err),
        -ERR_LIMIT);
    mem_free(two);
    assert_int_equal(f->wire.len, 0);
    assert_int_equal(noise_seal(&f->p.client, STR("last"), &f->wire, &f->err), 0);
    struct str sealed = str_copy(buf_str(&f->wire));
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), 0);
    assert_str(buf_str(&f->plain), STR("last"));
    assert_int_equal(noise_seal(&f->p.client, STR("x"), &f->wire, &f->err), -ERR_LIMIT);
    buf_put(&f->wire, sealed);
    assert_int_equal(noise_open(&f->p.server, &f->wire, &f->plain, &f->err), -ERR_LIMIT);
    assert_str(buf_str(&f->plain), STR("last"));
    str_free(&sealed);
}

static void full_buffers_are_errors(void **state)
{
    struct fixture *f = *state;
    struct buf small = BUF(20), none = BUF(2);

    assert_int_equal(noise_seal(&f->p.client, STR("hello"), &small, &f->err), -ERR_LIMIT);
    assert_int_equal(small.len, 0);
    assert_int_equal(f->p.client.sealed, 0);
    assert_int_equal(noise_seal(&f->p.client, STR("hello"), &f->wire, &f->err), 0);
    assert_int_equal(noise_open(&f->p.server, &f->wire, &none, &f->err), -ERR_LIMIT);
    assert_int_equal(none.len, 0);
    buf_fini(&small);
    buf_fini(&none);
}

/* ---- Early payload ---- */

static void early_payload_round_trip(void **state)
{
    static const struct str want =
        STR_INIT("{\"nodeKeyChallenge\":\"chalpub:"
                 "0100000000000000000000000000000000000000000000000000000000000000\"}");
    struct challenge_key key = {{1}};
    struct fixture *f = *state;
    struct str json;
    size_t used = 0;

    noise_early_payload_put(&f->plain, &key);
    size_t whole = f->plain.len;
    assert_str(str_sub(buf_str(&f->plain), 0, 9), STR("\xff\xff\xffTS\0\0\0\x5f"));
    for (size_t len = 0; len < whole; len++)
        assert_int_equal(
            noise_early_payload_decode(str_sub(buf_str(&f->plain), 0, len), &json, &used),
            NOISE_EARLY_MORE);
    buf_put(&f->plain, STR("\0\0\x12\4"));
    assert_int_equal(noise_early_payload_decode(buf_str(&f->plain), &json, &used), NOISE_EARLY_OK);
    assert_int_equal(used, whole);
    assert_str(json, want);
}

static const struct {
    const char *name;
    struct str in;
    enum noise_early want;
} early[] = {
    {"HTTP/2 settings", STR_INIT("\0\0\x12\x04\0\0\0\0\0"), NOISE_EARLY_NONE},
    {"one byte of them", STR_INIT("\0"), NOISE_EARLY_NONE},
    {"almost the magic", STR_INIT("\xff\xff\xffTT"), NOISE_EARLY_NONE},
    {"the largest that clients take", STR_INIT("\xff\xff\xffTS\0\xa0\0\0"), NOISE_EARLY_MORE},
    {"one byte over", STR_INIT("\xff\xff\xffTS\0\xa0\0\x01"), NOISE_EARLY_TOO_LONG},
    {"far over", STR_INIT("\xff\xff\xffTS\xff\xff\xff\xff"), NOISE_EARLY_TOO_LONG},
    {"empty", STR_INIT("\xff\xff\xffTS\0\0\0\0"), NOISE_EARLY_OK},
};

static void early_payload_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        struct str json = STR_NONE;
        size_t used = 0;

        print_message("%s\n", early[i].name);
        assert_int_equal(noise_early_payload_decode(early[i].in, &json, &used), early[i].want);
        assert_int_equal(used, early[i].want == NOISE_EARLY_OK ? 9 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(seals_the_known_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_what_is_larger_than_a_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_records_come_out_and_parts_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_records_vanish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_headers_break_the_channel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_before_a_bad_one_count_and_none_after, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(replayed_swapped_and_reflected_records_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(counters_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_buffers_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(early_payload_round_trip, set_up, tear_down),
        cmocka_unit_test(early_payload_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
