#include "json/value.h"

#include <math.h>
#include <stdarg.h>

/*
 * Recursive descent, one function per grammar rule, over a cursor whose failure sticks: the first
 * complaint is kept, and from then on nothing is taken.
 *
 * Invariants
 *   1. The whole text is well-formed UTF-8 before the first rule runs, so no rule checks it again.
 *   2. A line can only end in white space or a comment; `line_start` and `extra` (bytes of the line
 *      that continue a character) make a column out of any offset on the current line.
 *   3. Recursion is bounded by JSON_DEPTH_MAX, the tree by `nodes_left`.
 */

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    size_t line_start;
    size_t extra;   /* continuation bytes since line_start that were stepped over */
    size_t counted; /* up to where extra was counted */
    uint32_t line;
    unsigned depth;
    size_t nodes_left;
    bool hujson;
    bool failed;
    struct json_error error;
};

/* The column of `at`, which is on the current line and not before the last one asked for. */
static uint32_t column(struct parser *p)
{
    for (; p->counted < p->at; p->counted++)
        if (((unsigned char)p->text.ptr[p->counted] & 0xc0) == 0x80)
            p->extra++;
    return (uint32_t)(p->at - p->line_start - p->extra + 1);
}

PRINTF_LIKE(2, 3) static bool fail(struct parser *p, const char *fmt, ...)
{
    va_list args;

    if (p->failed)
        return false;
    p->failed = true;
    p->error.line = p->line;
    p->error.col = column(p);
    va_start(args, fmt);
    if (vsnprintf(p->error.text, sizeof(p->error.text), fmt, args) < 0)
        p->error.text[0] = 0;
    va_end(args);
    return false;
}

static bool at_end(const struct parser *p)
{
    return p->at >= p->text.len;
}

static bool next_is(const struct parser *p, char c)
{
    return !at_end(p) && p->text.ptr[p->at] == c;
}

static bool take(struct parser *p, char c)
{
    if (!next_is(p, c))
        return false;
    p->at++;
    return true;
}

static void new_line(struct parser *p)
{
    p->line++;
    p->line_start = p->at;
    p->counted = p->at;
    p->extra = 0;
}

static bool skip_line_comment(struct parser *p)
{
    while (!at_end(p) && !next_is(p, '\n'))
        p->at++;
    return true;
}

static bool skip_block_comment(struct parser *p)
{
    struct parser begun = *p;

    p->at += 2;
    for (;;) {
        if (at_end(p)) {
            /* The beginning is where to look, the end is just the end. */
            *p = begun;
            return fail(p, "this comment has no end");
        }
        char c = p->text.ptr[p->at++];

        if (c == '*' && take(p, '/'))
            return true;
        if (c == '\n')
            new_line(p);
    }
}

static bool skip_comment(struct parser *p)
{
    if (p->text.len - p->at >= 2 && p->text.ptr[p->at + 1] == '/')
        return skip_line_comment(p);
    if (p->text.len - p->at >= 2 && p->text.ptr[p->at + 1] == '*')
        return skip_block_comment(p);
    return fail(p, "a lone slash");
}

static bool skip_space(struct parser *p)
{
    while (!at_end(p)) {
        char c = p->text.ptr[p->at];

        if (c == '\n') {
            p->at++;
            new_line(p);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            p->at++;
        } else if (c == '/' && p->hujson) {
            if (!skip_comment(p))
                return false;
        } else {
            break;
        }
    }
    return true;
}

/* The four digits at `at`, or -1. */
static int32_t hex4(struct str text, size_t at)
{
    int32_t v = 0;

    if (text.len < at || text.len - at < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        int d = hex_digit(text.ptr[at + i]);

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Finds the closing quote and checks all between; *escaped says whether decoding is needed. */
static bool scan_string(struct parser *p, struct str *inside, bool *escaped)
{
    size_t from = ++p->at;

    *escaped = false;
    for (;; p->at++) {
        if (at_end(p))
            return fail(p, "this string has no end");

        unsigned char c = (unsigned char)p->text.ptr[p->at];

        if (c == '"')
            break;
        if (c == '\n')
            return fail(p, "this string does not end on its line");
        if (c < 0x20)
            return fail(p, "control character %u in a string", c);
        if (c != '\\')
            continue;
        *escaped = true;
        p->at++;
        if (at_end(p))
            return fail(p, "this string has no end");
        c = (unsigned char)p->text.ptr[p->at];
        if (c == 'u') {
            if (hex4(p->text, p->at + 1) < 0)
                return fail(p, "\\u needs four hexadecimal digits");
            p->at += 4;
        } else if (c == 0 || !strchr("\"\\/bfnrt", c)) {
            return fail(p, "unknown escape in a string");
        }
    }
    *inside = str_sub(p->text, from, p->at - from);
    p->at++;
    return true;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The character of the \u escape whose digits are at *at, or of a pair; steps over what it used. */
static uint32_t take_unicode(struct str s, size_t *at)
{
    uint32_t c = (uint32_t)hex4(s, *at);

    *at += 4;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && s.len - *at >= 6 && s.ptr[*at] == '\\' && s.ptr[*at + 1] == 'u') {
        uint32_t low = (uint32_t)hex4(s, *at + 2);

        if (low >= 0xdc00 && low <= 0xdfff) {
            *at += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

static char unescape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* What scan_string let through; an escape is never shorter than what it stands for. */
static struct str decode(struct arena *arena, struct str s)
{
    char *to = arena_alloc(arena, s.len + 1);
    size_t len = 0;

    for (size_t at = 0; at < s.len;) {
        char c = s.ptr[at++];

        if (c != '\\') {
            to[len++] = c;
            continue;
        }
        c = s.ptr[at++];
        if (c == 'u')
            len += put_utf8(to + len, take_unicode(s, &at));
        else
            to[len++] = unescape(c);
    }
    return (struct str){to, len};
}

static bool parse_string(struct parser *p, struct str *out)
{
    struct str inside;
    bool escaped;

    if (!scan_string(p, &inside, &escaped))
        return false;
    *out = escaped ? decode(p->arena, inside) : inside;
    return true;
}

static size_t take_digits(struct parser *p)
{
    size_t from = p->at;

    while (!at_end(p) && p->text.ptr[p->at] >= '0' && p->text.ptr[p->at] <= '9')
        p->at++;
    return p->at - from;
}

/* Steps over a number; false when it is not one. *whole: neither fraction nor exponent. */
static bool scan_number(struct parser *p, bool *whole)
{
    take(p, '-');
    if (!take(p, '0') && take_digits(p) == 0)
        return false;
    *whole = true;
    if (take(p, '.')) {
        *whole = false;
        if (take_digits(p) == 0)
            return false;
    }
    if (take(p, 'e') || take(p, 'E')) {
        *whole = false;
        if (!take(p, '+'))
            take(p, '-');
        if (take_digits(p) == 0)
            return false;
    }
    return true;
}

/* strtod wants a NUL; numbers of ordinary length get it on the stack. */
static double to_double(struct parser *p, struct str raw)
{
    char text[64];

    if (raw.len >= sizeof(text))
        return strtod(arena_copy(p->arena, raw).ptr, NULL);
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = 0;
    return strtod(text, NULL);
}

static bool parse_number(struct parser *p, struct json_value *v)
{
    size_t from = p->at;
    bool whole = false;

    v->type = JSON_NUMBER;
    if (!scan_number(p, &whole))
        return fail(p, "malformed number");

    struct str raw = str_sub(p->text, from, p->at - from);

    if (whole && str_parse_u64(raw, &v->u64)) {
        v->number = JSON_UNSIGNED;
        return true;
    }
    if (whole && str_parse_i64(raw, &v->i64)) {
        v->number = v->i64 < 0 ? JSON_NEGATIVE : JSON_UNSIGNED; /* "-0" */
        return true;
    }
    v->number = JSON_DOUBLE;
    v->dbl = to_double(p, raw);
    return isfinite(v->dbl) || fail(p, "this number is too large");
}

static bool parse_word(struct parser *p, struct str word, struct json_value *v)
{
    if (!str_starts(str_from_index(p->text, p->at), word))
        return fail(p, "expected a value");
    p->at += word.len;
    v->type = word.ptr[0] == 'n' ? JSON_NULL : JSON_BOOL;
    v->boolean = word.ptr[0] == 't';
    return true;
}

static bool parse_value(struct parser *p, struct json_value *v);

static struct json_value *new_value(struct parser *p)
{
    if (p->nodes_left == 0) {
        fail(p, "too many values");
        return NULL;
    }
    p->nodes_left--;
    return arena_alloc(p->arena, sizeof(struct json_value));
}

static bool parse_key(struct parser *p, struct json_value *v)
{
    if (!next_is(p, '"'))
        return fail(p, "expected a member's name in quotes");
    v->key_line = p->line;
    v->key_col = column(p);
    if (!parse_string(p, &v->key) || !skip_space(p))
        return false;
    if (!take(p, ':'))
        return fail(p, "expected a colon");
    return skip_space(p);
}

/* What both kinds of brackets share. The opening one is taken. */
static bool parse_list(struct parser *p, struct json_value *list, char close)
{
    struct json_value **end = &list->list.first;

    if (p->depth++ == JSON_DEPTH_MAX)
        return fail(p, "nested deeper than %d", JSON_DEPTH_MAX);
    if (!skip_space(p))
        return false;
    while (!take(p, close)) {
        struct json_value *v = new_value(p);

        if (!v || (list->type == JSON_OBJECT && !parse_key(p, v)) || !parse_value(p, v))
            return false;
        *end = v;
        end = &v->next;
        list->list.len++;
        if (!skip_space(p))
            return false;
        if (take(p, ',')) {
            if (!skip_space(p))
                return false;
            if (next_is(p, close) && !p->hujson)
                return fail(p, "a comma before the closing bracket");
        } else if (!next_is(p, close)) {
            return fail(p, "expected a comma or '%c'", close);
        }
    }
    p->depth--;
    return true;
}

static bool parse_by_first(struct parser *p, struct json_value *v)
{
    if (at_end(p))
        return fail(p, "expected a value, found the end");
    switch (p->text.ptr[p->at]) {
    case '{':
        p->at++;
        v->type = JSON_OBJECT;
        return parse_list(p, v, '}');
    case '[':
        p->at++;
        v->type = JSON_ARRAY;
        return parse_list(p, v, ']');
    case '"':
        v->type = JSON_STRING;
        return parse_string(p, &v->str);
    case 't':
        return parse_word(p, STR("true"), v);
    case 'f':
        return parse_word(p, STR("false"), v);
    case 'n':
        return parse_word(p, STR("null"), v);
    default:
        if (next_is(p, '-') || (p->text.ptr[p->at] >= '0' && p->text.ptr[p->at] <= '9'))
            return parse_number(p, v);
        return fail(p, "expected a value");
    }
}

static bool parse_value(struct parser *p, struct json_value *v)
{
    size_t from = p->at;

    v->line = p->line;
    v->col = column(p);
    if (!parse_by_first(p, v))
        return false;
    v->raw = str_sub(p->text, from, p->at - from);
    return true;
}

/* Fails at the first byte that is not UTF-8. */
static bool check_text(struct parser *p, size_t max_bytes)
{
    if (p->text.len > max_bytes)
        return fail(p, "longer than %zu bytes", max_bytes);
    if (str_is_utf8(p->text)) {
        if (str_starts(p->text, STR("\xef\xbb\xbf")))
            return fail(p, "begins with a byte order mark");
        return true;
    }
    for (size_t n; (n = str_utf8_len(str_from_index(p->text, p->at))) > 0;) {
        bool ends_line = p->text.ptr[p->at] == '\n';

        p->at += n;
        if (ends_line)
            new_line(p);
    }
    return fail(p, "not UTF-8");
}

static bool parse_text(struct parser *p, struct json_value *v)
{
    if (!skip_space(p) || !parse_value(p, v) || !skip_space(p))
        return false;
    return at_end(p) || fail(p, "expected nothing more");
}

bool json_parse(struct arena *arena, struct str text, const struct json_options *options,
                struct json_value **out, struct json_error *error)
{
    struct json_options o = options ? *options : (struct json_options){0};
    struct parser p = {
        .arena = arena,
        .text = text,
        .line = 1,
        .nodes_left = o.max_nodes ? o.max_nodes : JSON_NODES_DEFAULT,
        .hujson = o.hujson,
    };
    size_t max_bytes = MIN(o.max_bytes ? o.max_bytes : JSON_BYTES_DEFAULT, (size_t)UINT32_MAX);
    struct json_value *v = NULL;

    if (check_text(&p, max_bytes) && (v = new_value(&p)) && parse_text(&p, v)) {
        *out = v;
        return true;
    }
    if (error)
        *error = p.error;
    return false;
}
