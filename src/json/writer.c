#include "json/writer.h"

#include <math.h>

#include "core/clock.h"

/*
 * Commas: `comma` is false right behind a bracket that opens, true behind a value. A key clears it
 * for its own value. So no stack of levels is needed.
 *
 * Strings: eight bytes at a time are looked at in one word. A word with nothing to escape and
 * nothing beyond ASCII is the common case and is only stepped over; whole stretches are copied at
 * once.
 */

static void break_line(struct json_writer *w)
{
    buf_put_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++)
        buf_put_char(w->out, '\t');
}

/* What comes between two values, or between a key and its value. */
static void before_value(struct json_writer *w)
{
    if (w->comma)
        buf_put_char(w->out, ',');
    if (w->pretty && w->depth > 0 && !w->after_key)
        break_line(w);
    w->comma = true;
    w->after_key = false;
}

void json_value_follows(struct json_writer *w)
{
    before_value(w);
}

static void begin(struct json_writer *w, char bracket)
{
    before_value(w);
    buf_put_char(w->out, bracket);
    w->comma = false;
    w->depth++;
}

static void end(struct json_writer *w, char bracket)
{
    ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    if (w->pretty && w->comma)
        break_line(w);
    buf_put_char(w->out, bracket);
    w->comma = true;
}

void json_begin_object(struct json_writer *w)
{
    begin(w, '{');
}

void json_end_object(struct json_writer *w)
{
    end(w, '}');
}

void json_begin_array(struct json_writer *w)
{
    begin(w, '[');
}

void json_end_array(struct json_writer *w)
{
    end(w, ']');
}

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* A high bit for each byte of `word` that is zero; may set more above the lowest one. */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

/* Whether any of the eight bytes is a control character, a quote, a backslash or beyond ASCII. */
static bool word_is_special(uint64_t word)
{
    uint64_t control = (word - ONES * 0x20) & ~word & HIGHS;
    uint64_t quote = zero_bytes(word ^ ONES * '"'), backslash = zero_bytes(word ^ ONES * '\\');

    return (control | quote | backslash | (word & HIGHS)) != 0;
}

static bool is_special(char c)
{
    unsigned char u = (unsigned char)c;

    return u < 0x20 || u == '"' || u == '\\' || u >= 0x80;
}

/* How many bytes from the front of `s` go out as they are. */
static size_t plain_len(struct str s)
{
    size_t n = 0;

    for (;;) {
        for (uint64_t word; s.len - n >= sizeof(word); n += sizeof(word)) {
            memcpy(&word, s.ptr + n, sizeof(word));
            if (word_is_special(word))
                break;
        }
        while (n < s.len && !is_special(s.ptr[n]))
            n++;
        if (n == s.len || (unsigned char)s.ptr[n] < 0x80)
            return n;

        size_t sequence = str_utf8_len(str_from_index(s, n));

        if (sequence == 0)
            return n;
        n += sequence;
    }
}

static void put_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',  ['\f'] = 'f',
        ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\',
    };

    if (c >= 0x80) {
        buf_put(out, STR("\xef\xbf\xbd"));
    } else if (letters[c]) {
        const char text[] = {'\\', letters[c]};

        buf_put(out, str_bytes(text, sizeof(text)));
    } else {
        const char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

        buf_put(out, str_bytes(text, sizeof(text)));
    }
}

static void put_contents(struct buf *out, struct str s)
{
    for (;;) {
        size_t n = plain_len(s);

        buf_put(out, str_sub(s, 0, n));
        if (n == s.len)
            return;
        put_escape(out, (unsigned char)s.ptr[n]);
        s = str_from_index(s, n + 1);
    }
}

static void put_quoted(struct buf *out, struct str s)
{
    buf_put_char(out, '"');
    put_contents(out, s);
    buf_put_char(out, '"');
}

void json_key(struct json_writer *w, struct str key)
{
    before_value(w);
    put_quoted(w->out, key);
    buf_put_char(w->out, ':');
    if (w->pretty)
        buf_put_char(w->out, ' ');
    w->comma = false;
    w->after_key = true;
}

void json_str(struct json_writer *w, struct str s)
{
    before_value(w);
    put_quoted(w->out, s);
}

void json_u64(struct json_writer *w, uint64_t v)
{
    before_value(w);
    buf_put_u64(w->out, v);
}

void json_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    buf_put_i64(w->out, v);
}

void json_bool(struct json_writer *w, bool v)
{
    before_value(w);
    buf_put(w->out, v ? STR("true") : STR("false"));
}

void json_null(struct json_writer *w)
{
    before_value(w);
    buf_put(w->out, STR("null"));
}

void json_double(struct json_writer *w, double v)
{
    char text[32];

    if (!isfinite(v)) {
        json_null(w);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    before_value(w);
    buf_put(w->out, str_from(text));
}

void json_raw(struct json_writer *w, struct str json)
{
    before_value(w);
    buf_put(w->out, json.len ? json : STR("null"));
}

void json_begin_plain(struct json_writer *w)
{
    before_value(w);
    buf_put_char(w->out, '"');
}

void json_end_plain(struct json_writer *w)
{
    buf_put_char(w->out, '"');
}

void json_base64(struct json_writer *w, struct str bytes)
{
    json_begin_plain(w);
    buf_put_base64(w->out, bytes);
    json_end_plain(w);
}

void json_hex(struct json_writer *w, struct str prefix, struct str bytes)
{
    json_begin_plain(w);
    put_contents(w->out, prefix);
    buf_put_hex(w->out, bytes);
    json_end_plain(w);
}

void json_time(struct json_writer *w, int64_t unix_ms)
{
    json_begin_plain(w);
    clock_put_rfc3339(w->out, unix_ms);
    json_end_plain(w);
}

void json_str_list(struct json_writer *w, const struct str_list *list)
{
    json_begin_array(w);
    for (size_t i = 0; i < list->len; i++)
        json_str(w, list->items[i]);
    json_end_array(w);
}

void json_field_object(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_begin_object(w);
}

void json_field_array(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_begin_array(w);
}

void json_field_str(struct json_writer *w, struct str key, struct str s)
{
    json_key(w, key);
    json_str(w, s);
}

void json_field_u64(struct json_writer *w, struct str key, uint64_t v)
{
    json_key(w, key);
    json_u64(w, v);
}

void json_field_i64(struct json_writer *w, struct str key, int64_t v)
{
    json_key(w, key);
    json_i64(w, v);
}

void json_field_bool(struct json_writer *w, struct str key, bool v)
{
    json_key(w, key);
    json_bool(w, v);
}

void json_field_null(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_null(w);
}

void json_field_double(struct json_writer *w, struct str key, double v)
{
    json_key(w, key);
    json_double(w, v);
}

void json_field_raw(struct json_writer *w, struct str key, struct str json)
{
    json_key(w, key);
    json_raw(w, json);
}

void json_field_base64(struct json_writer *w, struct str key, struct str bytes)
{
    json_key(w, key);
    json_base64(w, bytes);
}

void json_field_hex(struct json_writer *w, struct str key, struct str prefix, struct str bytes)
{
    json_key(w, key);
    json_hex(w, prefix, bytes);
}

void json_field_time(struct json_writer *w, struct str key, int64_t unix_ms)
{
    json_key(w, key);
    json_time(w, unix_ms);
}

void json_field_str_list(struct json_writer *w, struct str key, const struct str_list *list)
{
    json_key(w, key);
    json_str_list(w, list);
}

void json_opt_str(struct json_writer *w, struct str key, struct str s)
{
    if (s.len)
        json_field_str(w, key, s);
}

void json_opt_u64(struct json_writer *w, struct str key, uint64_t v)
{
    if (v)
        json_field_u64(w, key, v);
}

void json_opt_i64(struct json_writer *w, struct str key, int64_t v)
{
    if (v)
        json_field_i64(w, key, v);
}

void json_opt_bool(struct json_writer *w, struct str key, bool v)
{
    if (v)
        json_field_bool(w, key, v);
}

void json_opt_raw(struct json_writer *w, struct str key, struct str json)
{
    if (json.len)
        json_field_raw(w, key, json);
}

void json_opt_str_list(struct json_writer *w, struct str key, const struct str_list *list)
{
    if (list->len)
        json_field_str_list(w, key, list);
}
