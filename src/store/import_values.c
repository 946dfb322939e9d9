/*
 * What a column of headscale's may hold.
 *
 * Old releases, two engines and hand-made changes have left many spellings of the same thing; what
 * is plain is taken, what is not is a complaint that names the column. Nothing is guessed.
 */

#include <stdarg.h>
#include <stdio.h>

#include "core/num.h"
#include "store/import_internal.h"
#include "json/value.h"

void values_complain(struct values *r, const char *fmt, ...)
{
    va_list args;

    if (r->trouble[0])
        return;
    va_start(args, fmt);
    (void)vsnprintf(r->trouble, sizeof(r->trouble), fmt, args);
    va_end(args);
}

struct db_value values_get(const struct values *r, const char *column)
{
    for (size_t i = 0; i < r->n && r->names[i]; i++)
        if (str_eq(str_from(r->names[i]), str_from(column)))
            return r->v[i];
    return DB_NULL_OF;
}

struct str values_text(struct values *r, const char *column, size_t max)
{
    struct db_value v = values_get(r, column);

    if (v.type == DB_NULL)
        return STR_NONE;
    if (v.type != DB_TEXT && v.type != DB_BLOB)
        values_complain(r, "%s is no text", column);
    else if (v.s.len > max)
        values_complain(r, "%s has %zu bytes, more than %zu", column, v.s.len, max);
    else if (!str_is_utf8(v.s) || str_find_char(v.s, '\0') >= 0)
        values_complain(r, "%s is no text in UTF-8", column);
    else
        return v.s;
    return STR_NONE;
}

uint64_t values_id(struct values *r, const char *column)
{
    struct db_value v = values_get(r, column);
    uint64_t id = 0;

    if (v.type == DB_NULL)
        return 0;
    if (v.type == DB_INT && v.i >= 0 && v.i < (int64_t)NUM_JSON_MAX)
        return (uint64_t)v.i;
    if (v.type == DB_TEXT && str_parse_u64(v.s, &id) && id < NUM_JSON_MAX)
        return id;
    values_complain(r, "%s is no number of a row", column);
    return 0;
}

bool values_bool(struct values *r, const char *column)
{
    struct db_value v = values_get(r, column);

    if (v.type == DB_NULL)
        return false;
    if (v.type == DB_INT && (v.i == 0 || v.i == 1))
        return v.i == 1;
    if (v.type == DB_TEXT) {
        if (str_eq_nocase(v.s, STR("t")) || str_eq_nocase(v.s, STR("true")) ||
            str_eq(v.s, STR("1")) || str_eq(v.s, STR("1.0")))
            return true;
        if (str_eq_nocase(v.s, STR("f")) || str_eq_nocase(v.s, STR("false")) ||
            str_eq(v.s, STR("0")) || str_eq(v.s, STR("0.0")))
            return false;
    }
    values_complain(r, "%s is neither true nor false", column);
    return false;
}

struct str values_hash(struct values *r, const char *column, struct arena *arena)
{
    struct str text = values_text(r, column, 4096);
    struct str hex = str_from_index(text, 2);

    if (!str_starts(text, STR("\\x")) || hex.len % 2 != 0)
        return text;

    char *bytes = arena_alloc(arena, hex.len / 2 + 1);

    for (size_t i = 0; i < hex.len / 2; i++) {
        int high = hex_digit(hex.ptr[2 * i]), low = hex_digit(hex.ptr[2 * i + 1]);

        if (high < 0 || low < 0)
            return text;
        bytes[i] = (char)(high * 16 + low);
    }
    return str_bytes(bytes, hex.len / 2);
}

/* ---- time ---- */

/* Takes `n` digits off the front. */
static bool digits(struct str *s, size_t n, int64_t *out)
{
    uint64_t v = 0;

    if (s->len < n || !str_parse_u64(str_sub(*s, 0, n), &v))
        return false;
    *s = str_from_index(*s, n);
    *out = (int64_t)v;
    return true;
}

static bool skip(struct str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from_index(*s, 1);
    return true;
}

/* Days from 1970-01-01 of a proleptic Gregorian date. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    /* Years begin in March, so that the leap day is the last. */
    int64_t year = m <= 2 ? y - 1 : y;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t day = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719468;
}

static bool parse_fraction(struct str *s, int64_t *ms)
{
    int64_t scale = 100;

    *ms = 0;
    if (!skip(s, '.') && !skip(s, ','))
        return true;
    if (s->len == 0 || s->ptr[0] < '0' || s->ptr[0] > '9')
        return false;
    while (s->len > 0 && s->ptr[0] >= '0' && s->ptr[0] <= '9') {
        *ms += (s->ptr[0] - '0') * scale;
        scale /= 10;
        *s = str_from_index(*s, 1);
    }
    return true;
}

/* "+01:00", "+0100", "+01", "+01:00:20", "Z", and a zone's name or nothing behind or instead. */
static bool parse_offset(struct str *s, int64_t *seconds)
{
    int64_t h = 0, m = 0, sec = 0;
    bool is_west;

    *seconds = 0;
    *s = str_trim(*s);
    if (s->len == 0 || skip(s, 'Z') || str_starts(*s, STR("UTC")))
        return true;
    is_west = s->ptr[0] == '-';
    if (!skip(s, '+') && !skip(s, '-'))
        return false;
    if (!digits(s, 2, &h))
        return false;
    if (skip(s, ':') || (s->len >= 2 && s->ptr[0] >= '0' && s->ptr[0] <= '9')) {
        if (!digits(s, 2, &m))
            return false;
    }
    if (skip(s, ':') && !digits(s, 2, &sec))
        return false;
    if (h > 24 || m > 59 || sec > 59)
        return false;
    *seconds = (h * 3600 + m * 60 + sec) * (is_west ? -1 : 1);
    return true;
}

bool import_parse_time(struct str text, int64_t *ms)
{
    struct str s = str_trim(text);
    int64_t y = 0, mo = 0, d = 0, h = 0, mi = 0, sec = 0, fraction = 0, offset = 0;

    if (!digits(&s, 4, &y) || !skip(&s, '-') || !digits(&s, 2, &mo) || !skip(&s, '-') ||
        !digits(&s, 2, &d))
        return false;
    if (skip(&s, ' ') || skip(&s, 'T') || skip(&s, 't')) {
        if (!digits(&s, 2, &h) || !skip(&s, ':') || !digits(&s, 2, &mi) || !skip(&s, ':') ||
            !digits(&s, 2, &sec) || !parse_fraction(&s, &fraction) || !parse_offset(&s, &offset))
            return false;
    } else if (s.len > 0) {
        return false;
    }
    if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 24 || mi > 59 || sec > 60)
        return false;
    *ms =
        (days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset) * (int64_t)1000 + fraction;
    return true;
}

/* 1900-01-01: headscale's own limit between a time and none. */
#define TIME_LEAST ((int64_t)-2208988800000)

enum import_time values_time(struct values *r, const char *column, int64_t *ms)
{
    struct db_value v = values_get(r, column);
    struct str text;
    int64_t t = 0;

    if (v.type == DB_NULL)
        return IMPORT_TIME_NONE;
    if (v.type == DB_INT && v.i >= 0 && v.i <= (int64_t)253402300799) {
        /* Seconds: what SQLite's own functions write. */
        *ms = v.i * 1000;
        return v.i == 0 ? IMPORT_TIME_ZERO : IMPORT_TIME_SET;
    }
    text = values_text(r, column, 128);
    if (text.len == 0 && !r->trouble[0])
        return IMPORT_TIME_NONE;
    if (!import_parse_time(text, &t)) {
        values_complain(r, "%s is no time", column);
        return IMPORT_TIME_NONE;
    }
    if (t < TIME_LEAST)
        return IMPORT_TIME_ZERO;
    *ms = t;
    return IMPORT_TIME_SET;
}

int64_t values_ms(struct values *r, const char *column)
{
    int64_t ms = 0;

    return values_time(r, column, &ms) == IMPORT_TIME_SET ? ms : 0;
}

/* ---- lists ---- */

void values_list(struct values *r, const char *column, struct arena *arena, struct str_list *out)
{
    struct str text = str_trim(values_text(r, column, (size_t)1 << 20));
    struct json_value *v = NULL;
    size_t n = 0;

    if (text.len == 0)
        return;
    if (!json_parse(arena, arena_copy(arena, text), NULL, &v, NULL) ||
        (!json_is(v, JSON_ARRAY) && !json_is(v, JSON_NULL))) {
        values_complain(r, "%s is no JSON list", column);
        return;
    }
    if (json_len(v) == 0)
        return;
    /* In the arena: str_list's own functions would want it freed. */
    out->items = arena_alloc(arena, json_len(v) * sizeof(*out->items));
    JSON_EACH(item, v) {
        if (!json_is(item, JSON_STRING)) {
            values_complain(r, "%s is no list of texts", column);
            return;
        }
        out->items[n++] = item->str;
        out->len = n;
    }
}
