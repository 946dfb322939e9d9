#include "core/buf.h"

#include <stdarg.h>

#include "core/mem.h"
#include "core/num.h"

static size_t limit_of(const struct buf *b)
{
    return b->limit ? b->limit : BUF_LIMIT_DEFAULT;
}

void buf_fini(struct buf *b)
{
    mem_free(b->ptr);
    *b = (struct buf){.limit = b->limit};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->full = false;
}

void buf_drop(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    if (b->len && n)
        memmove(b->ptr, b->ptr + n, b->len);
}

void buf_cut(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len = n;
}

bool buf_is_full(const struct buf *b)
{
    return b->full;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t limit = limit_of(b), need = 0;

    if (b->full)
        return NULL;
    if (num_add_overflows(b->len, n, &need) || need > limit) {
        b->full = true;
        return NULL;
    }
    if (need > b->cap || !b->ptr) {
        size_t cap = b->cap > limit / 2 ? limit : b->cap * 2;

        b->cap = MIN(MAX(MAX(cap, need), (size_t)64), MAX(limit, (size_t)1));
        b->ptr = mem_realloc_array(b->ptr, b->cap, 1);
    }
    return b->ptr + b->len;
}

void buf_added(struct buf *b, size_t n)
{
    ASSERT(n <= b->cap - b->len);
    b->len += n;
}

void buf_put(struct buf *b, struct str s)
{
    char *to = buf_reserve(b, s.len);

    if (!to || s.len == 0)
        return;
    memcpy(to, s.ptr, s.len);
    b->len += s.len;
}

void buf_put_char(struct buf *b, char c)
{
    if (b->len < b->cap && !b->full) {
        b->ptr[b->len++] = c;
        return;
    }
    buf_put(b, (struct str){&c, 1});
}

void buf_put_be16(struct buf *b, uint16_t v)
{
    const char bytes[] = {(char)(v >> 8), (char)v};

    buf_put(b, str_bytes(bytes, sizeof(bytes)));
}

void buf_put_be32(struct buf *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_put_le32(b, v);
}

void buf_put_be64(struct buf *b, uint64_t v)
{
    char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(v >> (56 - 8 * i));
    buf_put(b, str_bytes(bytes, sizeof(bytes)));
}

void buf_put_le32(struct buf *b, uint32_t v)
{
    const char bytes[] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};

    buf_put(b, str_bytes(bytes, sizeof(bytes)));
}

void buf_set_le32(struct buf *b, size_t at, uint32_t v)
{
    ASSERT(at + 4 <= b->len);
    for (size_t i = 0; i < 4; i++)
        b->ptr[at + i] = (char)(v >> (8 * i) & 0xff);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_put(b, str_bytes(digits + at, sizeof(digits) - at));
}

void buf_put_i64(struct buf *b, int64_t v)
{
    char digits[21];
    size_t at = sizeof(digits);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (v < 0)
        digits[--at] = '-';
    buf_put(b, str_bytes(digits + at, sizeof(digits) - at));
}

void buf_put_lower(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        buf_put_char(b, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
}

void buf_put_hex(struct buf *b, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    if (num_mul_overflows(bytes.len, 2u, &n)) {
        b->full = true;
        return;
    }

    char *to = buf_reserve(b, n);

    if (!to)
        return;
    for (size_t i = 0; i < bytes.len; i++) {
        to[2 * i] = digits[(unsigned char)bytes.ptr[i] >> 4];
        to[2 * i + 1] = digits[(unsigned char)bytes.ptr[i] & 15];
    }
    b->len += n;
}

void buf_put_base64(struct buf *b, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    size_t groups = bytes.len / 3 + (bytes.len % 3 != 0), n = 0;

    if (num_mul_overflows(groups, 4u, &n)) {
        b->full = true;
        return;
    }

    char *to = buf_reserve(b, n);

    if (!to)
        return;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = MIN(bytes.len - i, (size_t)3);
        uint32_t v = (uint32_t)p[i] << 16;

        if (have > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (have > 2)
            v |= p[i + 2];
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = have > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = have > 2 ? digits[v & 63] : '=';
    }
    b->len += n;
}

void buf_put_base64url(struct buf *b, struct str bytes)
{
    size_t from = b->len;

    buf_put_base64(b, bytes);
    for (size_t i = from; i < b->len; i++) {
        if (b->ptr[i] == '+')
            b->ptr[i] = '-';
        else if (b->ptr[i] == '/')
            b->ptr[i] = '_';
    }
    while (b->len > from && b->ptr[b->len - 1] == '=')
        b->len--;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    if (n < 0) {
        b->full = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        buf_put(b, str_bytes(small, (size_t)n));
        return;
    }
    if ((size_t)n > limit_of(b)) {
        b->full = true;
        return;
    }

    char *large = mem_alloc((size_t)n + 1);

    va_start(args, fmt);
    vsnprintf(large, (size_t)n + 1, fmt, args);
    va_end(args);
    buf_put(b, str_bytes(large, (size_t)n));
    mem_free(large);
}

struct str buf_take(struct buf *b)
{
    struct str all = buf_str(b);

    if (all.len == 0) {
        buf_fini(b);
        return STR_NONE;
    }
    *b = (struct buf){.limit = b->limit};
    return all;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct str hex, void *out, size_t out_len)
{
    unsigned char *to = out;

    if (hex.len % 2 != 0 || hex.len / 2 != out_len)
        return false;
    for (size_t i = 0; i < hex.len; i++)
        if (hex_digit(hex.ptr[i]) < 0)
            return false;
    for (size_t i = 0; i < out_len; i++)
        to[i] = (unsigned char)(hex_digit(hex.ptr[2 * i]) << 4 | hex_digit(hex.ptr[2 * i + 1]));
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

/* Padding, when there is some, must be the right amount. */
static bool base64_unpad(struct str *text)
{
    size_t digits = text->len;

    while (digits > 0 && text->len - digits < 2 && text->ptr[digits - 1] == '=')
        digits--;
    if (digits != text->len && text->len % 4 != 0)
        return false;
    text->len = digits;
    return digits % 4 != 1;
}

bool base64_decode(struct str text, struct buf *out)
{
    if (!base64_unpad(&text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (base64_digit(text.ptr[i]) < 0)
            return false;
    /* Bits that belong to no byte must be zero, so that one value has one spelling. */
    if (text.len % 4 == 2 && (base64_digit(text.ptr[text.len - 1]) & 15) != 0)
        return false;
    if (text.len % 4 == 3 && (base64_digit(text.ptr[text.len - 1]) & 3) != 0)
        return false;

    size_t n = text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
    char *to = buf_reserve(out, n);
    uint32_t v = 0;

    if (!to)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        v = v << 6 | (uint32_t)base64_digit(text.ptr[i]);
        if (i % 4 == 1)
            *to++ = (char)(v >> 4);
        else if (i % 4 == 2)
            *to++ = (char)(v >> 2);
        else if (i % 4 == 3)
            *to++ = (char)v;
    }
    out->len += n;
    return true;
}

struct blob {
    struct ref ref;
    size_t len;
    char bytes[];
};

struct blob *blob_new(struct str bytes)
{
    size_t size = 0;

    ASSERT(!num_add_overflows(sizeof(struct blob), bytes.len, &size));

    struct blob *b = mem_alloc(size);

    ref_init(&b->ref);
    b->len = bytes.len;
    if (bytes.len)
        memcpy(b->bytes, bytes.ptr, bytes.len);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b)
        ref_take(&b->ref);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b && ref_drop(&b->ref))
        mem_free(b);
}

struct str blob_str(const struct blob *b)
{
    return b ? (struct str){b->bytes, b->len} : STR_NONE;
}
