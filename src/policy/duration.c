/*
 * Durations as Go reads and prints them: "1h30m", "1.5h", "-1m"; "12h0m0s", "100ms".
 */

#include "policy/document_internal.h"

#include "core/num.h"

#include <stdio.h>

#define SECOND ((int64_t)1000000000)

static const struct {
    struct str name;
    int64_t ns;
} units[] = {
    {STR_INIT("ns"), 1},          {STR_INIT("us"), 1000},         {STR_INIT("µs"), 1000},
    {STR_INIT("μs"), 1000},       {STR_INIT("ms"), 1000000},      {STR_INIT("s"), SECOND},
    {STR_INIT("m"), 60 * SECOND}, {STR_INIT("h"), 3600 * SECOND},
};

static bool is_digit(struct str s)
{
    return s.len > 0 && s.ptr[0] >= '0' && s.ptr[0] <= '9';
}

/* Digits, a fraction and a unit off the front of *s, added to *ns. 0, or what Go would say. */
enum part { PART_OK, PART_BAD, PART_NO_UNIT, PART_UNKNOWN_UNIT };
static enum part take_part(struct str *s, int64_t *ns, struct str *unit)
{
    int64_t whole = 0, fraction = 0, scale = 1, value = 0;
    bool digits = is_digit(*s);

    for (; is_digit(*s); *s = str_from_index(*s, 1)) {
        if (num_mul_overflows(whole, 10, &whole) ||
            num_add_overflows(whole, s->ptr[0] - '0', &whole))
            return PART_BAD;
    }
    if (str_starts(*s, STR("."))) {
        *s = str_from_index(*s, 1);
        digits = digits || is_digit(*s);
        for (; is_digit(*s); *s = str_from_index(*s, 1)) {
            if (scale < (int64_t)1e15) { /* further digits are below a nanosecond */
                fraction = fraction * 10 + (s->ptr[0] - '0');
                scale *= 10;
            }
        }
    }
    if (!digits)
        return PART_BAD;

    size_t len = 0;
    while (len < s->len && s->ptr[len] != '.' && !is_digit(str_from_index(*s, len)))
        len++;
    *unit = str_sub(*s, 0, len);
    *s = str_from_index(*s, len);
    if (len == 0)
        return PART_NO_UNIT;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq(*unit, units[i].name))
            continue;
        int64_t rest = (int64_t)((double)fraction * ((double)units[i].ns / (double)scale));
        if (num_mul_overflows(whole, units[i].ns, &value) ||
            num_add_overflows(value, rest, &value) || num_add_overflows(*ns, value, ns))
            return PART_BAD;
        return PART_OK;
    }
    return PART_UNKNOWN_UNIT;
}

static bool say(enum part what, struct str unit, struct str text, char why[static 256])
{
    if (what == PART_NO_UNIT)
        snprintf(why, 256, "time: missing unit in duration %.160s", QUOTED_MAX(text, 160));
    else if (what == PART_UNKNOWN_UNIT)
        snprintf(why, 256, "time: unknown unit %.80s in duration %.120s", QUOTED_MAX(unit, 80),
                 QUOTED_MAX(text, 120));
    else
        snprintf(why, 256, "time: invalid duration %.200s", QUOTED_MAX(text, 200));
    return false;
}

bool duration_parse(struct str text, int64_t *ns, char why[static 256])
{
    struct str rest = text, unit = {0};
    int64_t sum = 0;
    bool minus = str_starts(text, STR("-"));

    if (minus || str_starts(text, STR("+")))
        rest = str_from_index(text, 1);
    if (rest.len == 0)
        return say(PART_BAD, unit, text, why);
    while (rest.len > 0 && !str_eq(rest, STR("0"))) {
        enum part part = take_part(&rest, &sum, &unit);

        if (part != PART_OK)
            return say(part, unit, text, why);
        if (str_eq(rest, STR("0"))) /* "0" needs no unit only when it is all */
            return say(PART_NO_UNIT, unit, text, why);
    }
    *ns = minus ? -sum : sum;
    return true;
}

/* n / scale with as many digits behind the point as it takes. */
static void put_decimal(struct buf *out, uint64_t n, uint64_t scale)
{
    buf_put_u64(out, n / scale);
    n %= scale;
    if (n)
        buf_put_char(out, '.');
    for (; n; n %= scale) {
        scale /= 10;
        buf_put_char(out, (char)('0' + n / scale));
    }
}

void duration_put(struct buf *out, int64_t ns)
{
    uint64_t n = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    const uint64_t second = (uint64_t)SECOND;

    if (ns < 0)
        buf_put_char(out, '-');
    if (n == 0) {
        buf_put(out, STR("0s"));
    } else if (n < second) {
        uint64_t scale = n < 1000 ? 1 : n < 1000000 ? 1000 : 1000000;

        put_decimal(out, n, scale);
        buf_put(out, scale == 1 ? STR("ns") : scale == 1000 ? STR("µs") : STR("ms"));
    } else {
        uint64_t hours = n / (3600 * second), minutes = n / (60 * second) % 60;

        if (hours)
            buf_printf(out, "%lluh", (unsigned long long)hours);
        if (hours || minutes)
            buf_printf(out, "%llum", (unsigned long long)minutes);
        put_decimal(out, n % (60 * second), second);
        buf_put_char(out, 's');
    }
}

void policy_put_duration(struct buf *out, int64_t ms)
{
    int64_t ns = 0;

    if (num_mul_overflows(ms, 1000000, &ns))
        ns = ms < 0 ? INT64_MIN : INT64_MAX; /* 292 years */
    duration_put(out, ns);
}
