/*
 * Reading a policy's JSON: members by name whatever their case, lists, strings, and the complaints
 * about all of them.
 */

#include "policy/document_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Complaints ---- */

/* Code points that Go's strconv.IsPrint leaves unescaped, but for rare scripts' unassigned ones. */
static bool is_print(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad)
        return false;
    if ((c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) ||
        (c >= 0x205f && c <= 0x206f))
        return false;
    if (c == 0x1680 || c == 0x3000 || c == 0xfeff || (c >= 0xe000 && c <= 0xf8ff))
        return false;
    return c < 0xe0000;
}

static uint32_t code_point(struct str s, size_t n)
{
    static const uint8_t first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)s.ptr[0] & first[n];

    for (size_t i = 1; i < n; i++)
        c = (c << 6) | ((uint8_t)s.ptr[i] & 0x3f);
    return c;
}

static void quote_one(struct str s, size_t n, char piece[static 12])
{
    static const char plain[] = "\a\b\f\n\r\t\v\"\\", letters[] = "abfnrtv\"\\";
    uint32_t c = n ? code_point(s, n) : (uint8_t)s.ptr[0];
    const char *at = c && c < 0x80 ? strchr(plain, (int)c) : NULL;

    if (at)
        snprintf(piece, 12, "\\%c", letters[at - plain]);
    else if (n == 0 || (c < 0x80 && !is_print(c)))
        snprintf(piece, 12, "\\x%02x", (unsigned)c);
    else if (is_print(c))
        snprintf(piece, 12, "%.*s", (int)n, s.ptr);
    else
        snprintf(piece, 12, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

struct doc_quoted doc_quote(struct str s, size_t max_bytes)
{
    struct doc_quoted q = {.text = "\""};
    size_t len = 1, cap = MIN(max_bytes, sizeof(q.text));

    while (s.len > 0) {
        char piece[12] = "";
        size_t n = str_utf8_len(s);

        quote_one(s, n, piece);
        if (len + strlen(piece) + sizeof("…\"") > cap) {
            memcpy(q.text + len, "…", sizeof("…") - 1);
            len += sizeof("…") - 1;
            break;
        }
        memcpy(q.text + len, piece, strlen(piece));
        len += strlen(piece);
        s = str_from_index(s, n ? n : 1);
    }
    q.text[len] = '"';
    q.text[len + 1] = 0;
    return q;
}

struct doc_quoted doc_plain(struct str s)
{
    struct doc_quoted q = doc_quote(s, sizeof(q));
    size_t len = strlen(q.text) - 2;

    memmove(q.text, q.text + 1, len);
    q.text[len] = 0;
    return q;
}

/* What vsnprintf cut may end in half a character. */
PRINTF_LIKE(3, 0) static void put_text(char *out, size_t cap, const char *fmt, va_list args)
{
    int n = vsnprintf(out, cap, fmt, args);

    if (n < 0 || (size_t)n < cap)
        return;
    size_t len = cap - 1;
    while (len > 0 && ((uint8_t)out[len - 1] & 0xc0) == 0x80)
        len--;
    if (len > 0 && (uint8_t)out[len - 1] >= 0xc0) {
        struct str last = str_bytes(out + len - 1, cap - len);
        if (str_utf8_len(last) == 0)
            out[len - 1] = 0;
    }
}

bool doc_refuse(struct doc_reader *r, struct policy_pos pos, const char *fmt, ...)
{
    va_list args;

    *r->complaint = (struct policy_complaint){.pos = pos};
    va_start(args, fmt);
    put_text(r->complaint->text, sizeof(r->complaint->text), fmt, args);
    va_end(args);
    return false;
}

bool doc_hint(struct doc_reader *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_text(r->complaint->hint, sizeof(r->complaint->hint), fmt, args);
    va_end(args);
    return false;
}

void doc_undelivered(struct doc_reader *r, struct policy_pos pos, const char *fmt, ...)
{
    struct policy_findings *list = &r->doc->undelivered;
    char text[400];
    va_list args;

    if (list->len == DOC_FINDINGS_MAX)
        return;
    va_start(args, fmt);
    put_text(text, sizeof(text), fmt, args);
    va_end(args);
    if (list->len == r->cap_findings) {
        r->cap_findings = r->cap_findings ? 2 * r->cap_findings : 8;
        r->findings = mem_realloc_array(r->findings, r->cap_findings, sizeof(*r->findings));
    }
    r->findings[list->len++] = (struct policy_finding){
        .pos = pos,
        .text = arena_copy(r->doc->arena, str_from(text)),
    };
}

/* ---- Values ---- */

struct policy_pos doc_pos(const struct json_value *v)
{
    return (struct policy_pos){v->line, v->col};
}

struct policy_pos doc_key_pos(const struct json_value *v)
{
    return (struct policy_pos){v->key_line, v->key_col};
}

/* Strings without escapes are part of the text, which the document has; others are the tree's. */
struct str doc_keep(struct doc_reader *r, struct str s)
{
    struct str text = r->doc->text;

    if ((uintptr_t)s.ptr >= (uintptr_t)text.ptr &&
        (uintptr_t)s.ptr + s.len <= (uintptr_t)text.ptr + text.len)
        return s;
    return arena_copy(r->doc->arena, s);
}

bool doc_count(struct doc_reader *r, struct policy_pos pos, size_t n)
{
    r->n_items += n;
    if (r->n_items <= POLICY_SELECTORS_MAX)
        return true;
    return doc_refuse(r, pos, "too long: all lists of a policy together may have %u entries",
                      (unsigned)POLICY_SELECTORS_MAX);
}

static char folded(struct str s, size_t *at)
{
    while (*at < s.len && (s.ptr[*at] == '-' || s.ptr[*at] == '_'))
        (*at)++;
    if (*at >= s.len)
        return 0;
    char c = s.ptr[(*at)++];
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(struct str key, const char *name)
{
    struct str other = str_from(name);
    size_t i = 0, j = 0;

    if (!name || str_find_char(key, 0) >= 0)
        return false;
    for (;;) {
        char a = folded(key, &i), b = folded(other, &j);
        if (a != b)
            return false;
        if (!a)
            return true;
    }
}

static bool unknown_field(struct doc_reader *r, const struct json_value *m, const char *what,
                          const struct doc_field *fields, size_t n)
{
    char known[256] = "";
    size_t len = 0;

    for (size_t i = 0; i < n && len < sizeof(known); i++)
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
                                fields[i].name);
    doc_refuse(r, doc_key_pos(m), "unknown field: %s", QUOTED(m->key));
    return doc_hint(r, "%s has: %s", what, known);
}

bool doc_fields(struct doc_reader *r, const struct json_value *obj, const char *what,
                const struct doc_field *fields, size_t n, bool notes)
{
    uint32_t seen[32] = {0}; /* lines */

    ASSERT(n <= ARRAY_LEN(seen));
    for (size_t i = 0; i < n; i++)
        *fields[i].value = NULL;
    if (!doc_is(r, obj, JSON_OBJECT, what))
        return false;
    JSON_EACH(m, obj) {
        size_t i = 0;

        if (notes && str_starts(m->key, STR("#")))
            continue;
        while (i < n && !same_name(m->key, fields[i].name) &&
               !same_name(m->key, fields[i].old_name))
            i++;
        if (i == n)
            return unknown_field(r, m, what, fields, n);
        if (seen[i]) {
            doc_refuse(r, doc_key_pos(m), "duplicate field: %s", QUOTED(m->key));
            return doc_hint(r, "%s is given on line %u already", fields[i].name, seen[i]);
        }
        seen[i] = m->key_line;
        *fields[i].value = json_is(m, JSON_NULL) ? NULL : m;
    }
    return true;
}

static const char *type_name(enum json_type type)
{
    struct json_value v = {.type = type};

    return json_type_name(&v);
}

bool doc_is(struct doc_reader *r, const struct json_value *v, enum json_type type, const char *what)
{
    if (json_is(v, type))
        return true;
    return doc_refuse(r, doc_pos(v), "%s must be %s, not %s", what, type_name(type),
                      json_type_name(v));
}

bool doc_list(struct doc_reader *r, const struct json_value *v, enum json_type type,
              const char *what, size_t max)
{
    if (!doc_is(r, v, type, what))
        return false;
    if (json_len(v) > max)
        return doc_refuse(r, doc_pos(v), "%s: %zu entries, at most %zu are allowed", what,
                          json_len(v), max);
    return true;
}

bool doc_bool(struct doc_reader *r, const struct json_value *v, const char *what, bool *out)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_BOOL, what))
        return false;
    *out = v->boolean;
    return true;
}

bool doc_word(struct doc_reader *r, const struct json_value *v, const char *what,
              struct policy_word *out)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_STRING, what))
        return false;
    *out = (struct policy_word){doc_keep(r, v->str), doc_pos(v)};
    return true;
}

bool doc_words(struct doc_reader *r, const struct json_value *v, const char *what,
               struct policy_words *out)
{
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_ARRAY, what) || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    *out = (struct policy_words){.items = NEW_ITEMS(r, struct policy_word, json_len(v))};
    JSON_EACH(m, v) {
        if (!doc_word(r, m, what, &out->items[out->len++]))
            return false;
    }
    return true;
}

struct str doc_compact(struct doc_reader *r, const struct json_value *v)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(8 * POLICY_TEXT_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_value_write(&w, v);
    return arena_copy(r->doc->arena, buf_str(&text));
}

/* ---- Members given twice ---- */

static bool twice(struct doc_reader *r, const struct json_value *m, const struct json_value *first)
{
    doc_refuse(r, doc_key_pos(m), "duplicate field: %s", QUOTED(m->key));
    return doc_hint(r, "it is given on line %u already", first->key_line);
}

static bool unique_few(struct doc_reader *r, const struct json_value *obj)
{
    JSON_EACH(m, obj) {
        for (const struct json_value *o = json_first(obj); o != m; o = o->next) {
            if (str_eq(o->key, m->key))
                return twice(r, m, o);
        }
    }
    return true;
}

static bool unique_many(struct doc_reader *r, const struct json_value *obj)
{
    struct map *seen = map_new();
    bool ok = true;

    for (const struct json_value *m = json_first(obj); m && ok; m = m->next) {
        const struct json_value *first = map_find(seen, m->key);

        if (first)
            ok = twice(r, m, first);
        else
            map_put(seen, m->key, (void *)(uintptr_t)m);
    }
    map_free(seen);
    return ok;
}

bool doc_unique_members(struct doc_reader *r, const struct json_value *v)
{
    if (json_is(v, JSON_OBJECT) && !(json_len(v) <= 8 ? unique_few(r, v) : unique_many(r, v)))
        return false;
    if (!json_is(v, JSON_OBJECT) && !json_is(v, JSON_ARRAY))
        return true;
    JSON_EACH(m, v) {
        if (!doc_unique_members(r, m))
            return false;
    }
    return true;
}
