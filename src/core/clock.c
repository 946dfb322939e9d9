#include "core/clock.h"

#include <stdatomic.h>

#include "core/num.h"

static _Atomic(int64_t) advanced_ms;
static _Atomic(bool) is_stopped;
static uint64_t stopped_mono_ns, stopped_unix_ns;

static uint64_t read_ns(clockid_t id)
{
    struct timespec now = {0};

    if (atomic_load_explicit(&is_stopped, memory_order_relaxed))
        return id == CLOCK_REALTIME ? stopped_unix_ns : stopped_mono_ns;
    ASSERT(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t advanced(void)
{
    return atomic_load_explicit(&advanced_ms, memory_order_relaxed);
}

int64_t clock_unix_ms(void)
{
    return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u) + advanced();
}

int64_t clock_mono_ms(void)
{
    return (int64_t)(read_ns(CLOCK_MONOTONIC) / 1000000u) + advanced();
}

uint64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC) + (uint64_t)advanced() * 1000000u;
}

void clock_test_advance_ms(int64_t ms)
{
    atomic_fetch_add(&advanced_ms, ms);
}

void clock_test_stop(void)
{
    stopped_unix_ns = read_ns(CLOCK_REALTIME);
    stopped_mono_ns = read_ns(CLOCK_MONOTONIC);
    atomic_store(&is_stopped, true);
}

#define DAY_MS ((int64_t)86400000)
/* 9999-12-31T23:59:59.999Z */
#define LAST_MS ((int64_t)253402300799999)

/*
 * Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
 * day is a year's last; 400 years have 146097 days.
 */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;

    int64_t in_era = year % 400, era = year / 400;
    int64_t from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;

    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

/* Of a day not before 0000-03-01. */
static void date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;

    int64_t era = days / 146097, of_era = days % 146097;
    int64_t in_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * in_era + in_era / 4 - in_era / 100);
    int64_t from_march = (5 * of_year + 2) / 153;

    *day = of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = era * 400 + in_era + (*month <= 2);
}

static void put_digits(struct buf *out, int64_t v, size_t width)
{
    char digits[20];

    ASSERT(width <= sizeof(digits));
    for (size_t i = width; i-- > 0; v /= 10)
        digits[i] = (char)('0' + v % 10);
    buf_put(out, str_bytes(digits, width));
}

void clock_put_rfc3339(struct buf *out, int64_t unix_ms)
{
    int64_t ms = MIN(MAX(unix_ms, CLOCK_ZERO), LAST_MS), year, month, day;
    int64_t of_day = ((ms % DAY_MS) + DAY_MS) % DAY_MS;

    date_from_days((ms - of_day) / DAY_MS, &year, &month, &day);
    put_digits(out, year, 4);
    buf_put_char(out, '-');
    put_digits(out, month, 2);
    buf_put_char(out, '-');
    put_digits(out, day, 2);
    buf_put_char(out, 'T');
    put_digits(out, of_day / 3600000, 2);
    buf_put_char(out, ':');
    put_digits(out, of_day / 60000 % 60, 2);
    buf_put_char(out, ':');
    put_digits(out, of_day / 1000 % 60, 2);
    if (of_day % 1000) {
        buf_put_char(out, '.');
        put_digits(out, of_day % 1000, 3);
    }
    buf_put_char(out, 'Z');
}

/* A cursor whose failure sticks. */
struct cursor {
    struct str rest;
    bool bad;
};

static int64_t take_digits(struct cursor *c, size_t width, int64_t least, int64_t most)
{
    uint64_t v = 0;

    if (c->bad || c->rest.len < width || !str_parse_u64(str_sub(c->rest, 0, width), &v) ||
        (int64_t)v < least || (int64_t)v > most) {
        c->bad = true;
        return least;
    }
    c->rest = str_from_index(c->rest, width);
    return (int64_t)v;
}

static void take_char(struct cursor *c, char want)
{
    if (c->bad || c->rest.len == 0 || c->rest.ptr[0] != want) {
        c->bad = true;
        return;
    }
    c->rest = str_from_index(c->rest, 1);
}

static bool next_is(const struct cursor *c, char want)
{
    return !c->bad && c->rest.len > 0 && c->rest.ptr[0] == want;
}

static int64_t take_fraction_ms(struct cursor *c)
{
    int64_t ms = 0, worth = 100;
    size_t digits = 0;

    if (!next_is(c, '.'))
        return 0;
    take_char(c, '.');
    for (; c->rest.len > 0 && c->rest.ptr[0] >= '0' && c->rest.ptr[0] <= '9'; digits++) {
        ms += worth * (c->rest.ptr[0] - '0');
        worth /= 10;
        c->rest = str_from_index(c->rest, 1);
    }
    if (digits == 0)
        c->bad = true;
    return ms;
}

static int64_t take_offset_ms(struct cursor *c)
{
    bool west = next_is(c, '-');

    if (next_is(c, 'Z')) {
        take_char(c, 'Z');
        return 0;
    }
    take_char(c, west ? '-' : '+');

    int64_t minutes = take_digits(c, 2, 0, 23) * 60;

    take_char(c, ':');
    minutes += take_digits(c, 2, 0, 59);
    return (west ? -minutes : minutes) * 60000;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (month == 2)
        return leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

bool clock_parse_rfc3339(struct str text, int64_t *unix_ms)
{
    struct cursor c = {.rest = text};
    int64_t year = take_digits(&c, 4, 1, 9999);

    take_char(&c, '-');
    int64_t month = take_digits(&c, 2, 1, 12);

    take_char(&c, '-');
    int64_t day = take_digits(&c, 2, 1, days_in_month(year, month));

    take_char(&c, 'T');
    int64_t ms = take_digits(&c, 2, 0, 23) * 3600000;

    take_char(&c, ':');
    ms += take_digits(&c, 2, 0, 59) * 60000;
    take_char(&c, ':');
    ms += take_digits(&c, 2, 0, 59) * 1000;
    ms += take_fraction_ms(&c);
    ms -= take_offset_ms(&c);
    if (c.bad || c.rest.len > 0)
        return false;

    ms += days_from_date(year, month, day) * DAY_MS;
    if (ms < CLOCK_ZERO || ms > LAST_MS)
        return false;
    *unix_ms = ms;
    return true;
}

static const struct {
    struct str name;
    int64_t ns;
} units[] = {
    {STR_INIT("ns"), 1},
    {STR_INIT("us"), 1000},
    {STR_INIT("\xc2\xb5s"), 1000}, /* the micro sign */
    {STR_INIT("\xce\xbcs"), 1000}, /* the Greek mu */
    {STR_INIT("ms"), 1000000},
    {STR_INIT("s"), 1000000000},
    {STR_INIT("m"), 60 * (int64_t)1000000000},
    {STR_INIT("h"), 3600 * (int64_t)1000000000},
    {STR_INIT("d"), 86400 * (int64_t)1000000000},
    {STR_INIT("w"), 7 * 86400 * (int64_t)1000000000},
    {STR_INIT("y"), 365 * 86400 * (int64_t)1000000000},
};

static bool is_digit_or_dot(char c)
{
    return c == '.' || (c >= '0' && c <= '9');
}

/* Takes the leading characters for which is_digit_or_dot is `wanted`. */
static struct str take_while(struct str *rest, bool wanted)
{
    size_t n = 0;

    while (n < rest->len && is_digit_or_dot(rest->ptr[n]) == wanted)
        n++;

    struct str taken = str_sub(*rest, 0, n);

    *rest = str_from_index(*rest, n);
    return taken;
}

/* "1.5" of a unit, in ns; digits past the nanosecond are dropped. */
static bool scale(struct str number, int64_t unit_ns, int64_t *ns)
{
    struct str whole, fraction;
    bool dotted = str_split(number, '.', &whole, &fraction);
    int64_t v = 0;

    if (dotted && whole.len + fraction.len == 0)
        return false;
    if (whole.len && !str_parse_i64(whole, &v))
        return false;
    if (num_mul_overflows(v, unit_ns, &v))
        return false;
    for (size_t i = 0; i < fraction.len; i++) {
        if (fraction.ptr[i] == '.')
            return false;
        unit_ns /= 10;
        if (num_add_overflows(v, unit_ns * (fraction.ptr[i] - '0'), &v))
            return false;
    }
    *ns = v;
    return true;
}

static bool unit_of(struct str name, int64_t *ns)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_eq(units[i].name, name)) {
            *ns = units[i].ns;
            return true;
        }
    }
    return false;
}

bool clock_parse_duration(struct str text, int64_t *ms)
{
    bool minus = str_starts(text, STR("-"));
    int64_t total = 0;

    if (minus || str_starts(text, STR("+")))
        text = str_from_index(text, 1);
    if (text.len == 0)
        return false;
    while (text.len > 0) {
        struct str number = take_while(&text, true), name = take_while(&text, false);
        int64_t unit_ns = 0, part = 0;

        if (number.len == 0 || !unit_of(name, &unit_ns) || !scale(number, unit_ns, &part))
            return false;
        if (num_add_overflows(total, part, &total))
            return false;
    }
    total /= 1000000;
    *ms = minus ? -total : total;
    return true;
}
