#include "core/str.h"

#include <stdarg.h>

#include "core/mem.h"
#include "core/num.h"

struct str str_from(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

struct str str_bytes(const void *ptr, size_t len)
{
    return (struct str){ptr, len};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.len, b.len);
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool str_eq_secret(struct str a, struct str b)
{
    volatile unsigned char differ = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        differ = (unsigned char)(differ | ((unsigned char)a.ptr[i] ^ (unsigned char)b.ptr[i]));
    return differ == 0;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_sub(s, 0, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_from_index(s, s.len - suffix.len), suffix);
}

struct str str_sub(struct str s, size_t from, size_t len)
{
    if (from >= s.len)
        return (struct str){s.ptr ? s.ptr + s.len : NULL, 0};
    return (struct str){s.ptr + from, MIN(len, s.len - from)};
}

struct str str_from_index(struct str s, size_t from)
{
    return str_sub(s, from, s.len);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    size_t from = 0, to = s.len;

    while (from < to && is_space(s.ptr[from]))
        from++;
    while (to > from && is_space(s.ptr[to - 1]))
        to--;
    return str_sub(s, from, to - from);
}

ptrdiff_t str_find_char(struct str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return at ? at - s.ptr : -1;
}

ptrdiff_t str_rfind_char(struct str s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;

    return at ? at - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return -1;

    const char *at = memmem(s.ptr, s.len, needle.ptr, needle.len);

    return at ? at - s.ptr : -1;
}

bool str_split(struct str s, char sep, struct str *head, struct str *tail)
{
    ptrdiff_t at = str_find_char(s, sep);

    if (at < 0) {
        *head = s;
        *tail = (struct str){s.ptr ? s.ptr + s.len : NULL, 0};
        return false;
    }
    *head = str_sub(s, 0, (size_t)at);
    *tail = str_from_index(s, (size_t)at + 1);
    return true;
}

bool str_next(struct str *rest, char sep, struct str *piece)
{
    struct str all = *rest;

    if (all.len == 0)
        return false;
    str_split(all, sep, piece, rest);
    return true;
}

bool str_is_empty(struct str s)
{
    return s.len == 0;
}

bool str_is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

bool str_has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

/* How many bytes the well-formed sequence at the front has; 0 when it is not one. */
size_t str_utf8_len(struct str s)
{
    if (s.len == 0)
        return 0;

    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char lead = p[0], least = 0x80, most = 0xbf;
    size_t n = 0;

    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        n = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
        n = 3;
    else if (lead >= 0xf0 && lead <= 0xf4)
        n = 4;
    else
        return 0;

    /* The second byte's range shuts out long forms, surrogates and what is past U+10FFFF. */
    if (lead == 0xe0)
        least = 0xa0;
    else if (lead == 0xed)
        most = 0x9f;
    else if (lead == 0xf0)
        least = 0x90;
    else if (lead == 0xf4)
        most = 0x8f;

    if (s.len < n || p[1] < least || p[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return n;
}

bool str_is_utf8(struct str s)
{
    while (s.len > 0) {
        size_t n = str_utf8_len(s);

        if (n == 0)
            return false;
        s.ptr += n;
        s.len -= n;
    }
    return true;
}

uint16_t str_be16(struct str s, size_t at)
{
    ASSERT(at <= s.len && s.len - at >= 2);
    const unsigned char *p = (const unsigned char *)s.ptr + at;

    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t str_be32(struct str s, size_t at)
{
    ASSERT(at <= s.len && s.len - at >= 4);
    const unsigned char *p = (const unsigned char *)s.ptr + at;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint64_t str_be64(struct str s, size_t at)
{
    ASSERT(at <= s.len && s.len - at >= 8);
    return (uint64_t)str_be32(s, at) << 32 | str_be32(s, at + 4);
}

uint32_t str_le32(struct str s, size_t at)
{
    return __builtin_bswap32(str_be32(s, at));
}

bool str_parse_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (num_mul_overflows(v, 10u, &v) || num_add_overflows(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool str_parse_i64(struct str s, int64_t *out)
{
    bool minus = s.len > 0 && s.ptr[0] == '-';
    uint64_t v = 0;

    if (!str_parse_u64(str_from_index(s, minus ? 1 : 0), &v))
        return false;
    if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

char *str_dup(struct str s)
{
    char *copy = mem_alloc(s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

struct str str_copy(struct str s)
{
    if (s.len == 0)
        return STR_NONE;
    return (struct str){str_dup(s), s.len};
}

void str_free(struct str *s)
{
    if (!s)
        return;
    /* The pointer is const for readers only: str_copy and buf_take made it. */
    mem_free((void *)(uintptr_t)s->ptr);
    *s = STR_NONE;
}

struct str str_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        fputs("out of memory\n", stderr);
        abort();
    }
    if (n == 0) {
        free(text);
        return STR_NONE;
    }
    return (struct str){text, (size_t)n};
}

void str_list_add(struct str_list *list, struct str s)
{
    /* Grows at powers of two, so the length alone tells when. */
    if ((list->len & (list->len - 1)) == 0)
        list->items =
            mem_realloc_array(list->items, list->len ? list->len * 2 : 1, sizeof(*list->items));
    list->items[list->len++] = str_copy(s);
}

bool str_list_has(const struct str_list *list, struct str s)
{
    for (size_t i = 0; i < list->len; i++)
        if (str_eq(list->items[i], s))
            return true;
    return false;
}

bool str_list_eq(const struct str_list *a, const struct str_list *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    return true;
}

static int cmp_items(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void str_list_sort_unique(struct str_list *list)
{
    struct str_list kept = {0};

    if (list->len < 2)
        return;
    qsort(list->items, list->len, sizeof(*list->items), cmp_items);
    for (size_t i = 0; i < list->len; i++)
        if (i == 0 || !str_eq(list->items[i], list->items[i - 1]))
            str_list_add(&kept, list->items[i]);
    str_list_free(list);
    *list = kept;
}

void str_list_copy(struct str_list *to, const struct str_list *from)
{
    *to = (struct str_list){0};
    for (size_t i = 0; i < from->len; i++)
        str_list_add(to, from->items[i]);
}

void str_list_free(struct str_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        str_free(&list->items[i]);
    mem_free(list->items);
    *list = (struct str_list){0};
}
