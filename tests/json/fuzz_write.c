/*
 * Whatever calls are made and whatever bytes the strings hold, the text parses and the values come
 * back. The input is a little program: an opcode, then what it needs.
 */

#include <math.h>

#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take(struct str *rest, size_t n)
{
    struct str taken = str_sub(*rest, 0, n);

    *rest = str_from_index(*rest, n);
    return taken;
}

static uint8_t take_byte(struct str *rest)
{
    struct str one = take(rest, 1);

    return one.len ? (uint8_t)one.ptr[0] : 0;
}

static uint64_t take_u64(struct str *rest)
{
    struct str bytes = take(rest, 8);
    uint64_t v = 0;

    if (bytes.len)
        memcpy(&v, bytes.ptr, bytes.len);
    return v;
}

/* Writes values until the input says stop, at most a few levels deep; returns how many. */
static size_t write_items(struct json_writer *w, struct str *rest, bool keys, unsigned depth)
{
    size_t n = 0;

    for (; rest->len > 0; n++) {
        uint8_t op = take_byte(rest) % 10;

        if (op == 0)
            break;
        if (keys)
            json_key(w, take(rest, take_byte(rest) % 20u));
        if (op == 1 && depth < 20) {
            json_begin_object(w);
            (void)write_items(w, rest, true, depth + 1);
            json_end_object(w);
        } else if (op == 2 && depth < 20) {
            json_begin_array(w);
            (void)write_items(w, rest, false, depth + 1);
            json_end_array(w);
        } else if (op == 3) {
            json_u64(w, take_u64(rest));
        } else if (op == 4) {
            json_i64(w, (int64_t)take_u64(rest));
        } else if (op == 5) {
            uint64_t bits = take_u64(rest);
            double v;

            memcpy(&v, &bits, sizeof(v));
            json_double(w, v);
        } else if (op == 6) {
            json_base64(w, take(rest, take_byte(rest)));
        } else if (op == 7) {
            json_time(w, (int64_t)take_u64(rest));
        } else if (op == 8) {
            json_bool(w, true);
        } else {
            json_str(w, take(rest, take_byte(rest)));
        }
    }
    return n;
}

/* A string comes back as it was, each ill-formed byte as U+FFFD. */
static void check_string(struct arena *a, struct str s)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    AUTO_FINI(buf_fini) struct buf want = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct json_value *v = NULL;

    json_str(&w, s);
    while (s.len > 0) {
        size_t n = str_utf8_len(s);

        buf_put(&want, n ? str_sub(s, 0, n) : STR("\xef\xbf\xbd"));
        s = str_from_index(s, n ? n : 1);
    }
    ASSERT(json_parse(a, buf_str(&out), NULL, &v, NULL));
    ASSERT(str_eq(v->str, buf_str(&want)));
}

static void check_double(struct arena *a, struct str s)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct json_value *v = NULL;
    uint64_t bits = take_u64(&s);
    double in;

    memcpy(&in, &bits, sizeof(in));
    json_double(&w, in);
    ASSERT(json_parse(a, buf_str(&out), NULL, &v, NULL));
    if (isfinite(in))
        ASSERT(json_as_double(v, NAN) == in);
    else
        ASSERT(json_is(v, JSON_NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct str in = str_bytes(size ? (const char *)data : "", size), rest = in;

    for (int pretty = 0; pretty < 2; pretty++) {
        AUTO_FINI(buf_fini) struct buf out = BUF(0);
        struct json_writer w = {.out = &out, .pretty = pretty};
        struct json_value *v = NULL;

        rest = in;
        json_begin_array(&w);

        size_t n = write_items(&w, &rest, false, 0);

        json_end_array(&w);
        ASSERT(json_parse(a, buf_str(&out), NULL, &v, NULL));
        ASSERT(json_len(v) == n);
    }
    check_string(a, in);
    check_double(a, in);
    return 0;
}
