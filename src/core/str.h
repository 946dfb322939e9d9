#pragma once

/*
 * Borrowed bytes: a pointer and a length, passed by value. Not NUL-terminated; may hold any byte.
 */

#include "core/defs.h"

struct str {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_INIT(lit)           \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }
#define STR_ARG(s) ((int)(s).len), ((s).ptr ? (s).ptr : "")
#define STR_NONE ((struct str){0})

/* From NUL-terminated text; NULL gives the empty one. */
struct str str_from(const char *text);
struct str str_bytes(const void *ptr, size_t len);
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
/* Bytewise order, shorter first on a tie: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
/* For secrets: time depends on the lengths only. */
bool str_eq_secret(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* The part [from, from+len), cut to what exists. */
struct str str_sub(struct str s, size_t from, size_t len);
struct str str_from_index(struct str s, size_t from);
struct str str_trim(struct str s); /* ASCII white space at both ends */
/* Index of the first / last c, or -1. */
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_rfind_char(struct str s, char c);
/* Index of the first `needle`, or -1. */
ptrdiff_t str_find(struct str s, struct str needle);
/* Splits at the first `sep`: before it into `head`, after it into `tail`. False (head = s, tail
 * empty) if absent. */
bool str_split(struct str s, char sep, struct str *head, struct str *tail);
/*
 * Takes the next `sep`-separated piece off `rest`; false when nothing is left. "a,,b" gives
 * "a","","b"; a separator at the very end adds no piece, and the empty str has none.
 */
bool str_next(struct str *rest, char sep, struct str *piece);
bool str_is_empty(struct str s);
bool str_is_ascii(struct str s);
/* Whether a byte of it is a control character of ASCII. */
bool str_has_control(struct str s);
/* Whether the bytes are well-formed UTF-8 (no surrogates, nothing past U+10FFFF). */
bool str_is_utf8(struct str s);
/* Bytes of the well-formed UTF-8 sequence at the front of s, 1 to 4; 0 when there is none. */
size_t str_utf8_len(struct str s);

/* Big- and little-endian reads; the bytes must exist (ASSERT). */
uint16_t str_be16(struct str s, size_t at);
uint32_t str_be32(struct str s, size_t at);
uint64_t str_be64(struct str s, size_t at);
uint32_t str_le32(struct str s, size_t at);

/* Decimal, the whole of `s`, no sign or space. False on anything else or overflow; out untouched.
 */
MUST_USE bool str_parse_u64(struct str s, uint64_t *out);
MUST_USE bool str_parse_i64(struct str s, int64_t *out);

/* Heap copy with a NUL behind it; free with mem_free. */
MUST_USE char *str_dup(struct str s);
/* Heap copy that stays a str; free with str_free. The empty one owns nothing. */
MUST_USE struct str str_copy(struct str s);
void str_free(struct str *s);
MUST_USE PRINTF_LIKE(1, 2) struct str str_printf(const char *fmt, ...);

/* Lists of owned strings, for tags, routes and names. */
struct str_list {
    struct str *items;
    size_t len;
};
void str_list_add(struct str_list *list, struct str s); /* copies */
bool str_list_has(const struct str_list *list, struct str s);
bool str_list_eq(const struct str_list *a, const struct str_list *b);
void str_list_sort_unique(struct str_list *list);
/* `to` need not be initialised; what it held is not freed. */
void str_list_copy(struct str_list *to, const struct str_list *from);
void str_list_free(struct str_list *list);
