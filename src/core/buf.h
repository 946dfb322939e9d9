#pragma once

/*
 * A growing byte buffer with a ceiling given at birth.
 *
 * Putting past the ceiling fails once and for all: the buffer keeps what it held, `full` is set,
 * and later puts do nothing. So a writer puts many things and asks buf_is_full() once.
 */

#include "core/str.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t limit; /* bytes; 0 means BUF_LIMIT_DEFAULT */
    bool full;    /* a put was refused */
};

#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)
#define BUF(limit_bytes) ((struct buf){.limit = (limit_bytes)})

void buf_fini(struct buf *b);
/* Empties and forgets `full`; keeps the memory. */
void buf_clear(struct buf *b);
/* Drops the first n bytes (n <= len). */
void buf_drop(struct buf *b, size_t n);
/* Cuts to n bytes (n <= len). */
void buf_cut(struct buf *b, size_t n);
bool buf_is_full(const struct buf *b);
struct str buf_str(const struct buf *b);
/* Makes room for n more bytes and returns where to write them, or NULL when over the limit; follow
 * with buf_added. */
MUST_USE char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

void buf_put(struct buf *b, struct str s);
void buf_put_char(struct buf *b, char c);
void buf_put_be16(struct buf *b, uint16_t v);
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_set_le32(struct buf *b, size_t at, uint32_t v); /* over four bytes that are there */
void buf_put_u64(struct buf *b, uint64_t v);             /* decimal text */
void buf_put_i64(struct buf *b, int64_t v);
void buf_put_hex(struct buf *b, struct str bytes);       /* lower case */
void buf_put_lower(struct buf *b, struct str s);         /* ASCII letters in lower case */
void buf_put_base64(struct buf *b, struct str bytes);    /* standard, padded */
void buf_put_base64url(struct buf *b, struct str bytes); /* URL alphabet, not padded */
PRINTF_LIKE(2, 3) void buf_printf(struct buf *b, const char *fmt, ...);
/* Hands the bytes over as an owned str (str_free) and leaves the buffer empty. */
MUST_USE struct str buf_take(struct buf *b);

/* Decoding text forms: whole input, strict. False and out untouched on anything else. */
int hex_digit(char c); /* 0 to 15, or -1 */
MUST_USE bool hex_decode(struct str hex, void *out, size_t out_len);
MUST_USE bool base64_decode(struct str text,
                            struct buf *out); /* standard or URL alphabet, padding optional */

/*
 * Immutable counted bytes, shared between threads.
 */
struct blob;
MUST_USE struct blob *blob_new(struct str bytes); /* copies */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b);           /* NULL is fine */
struct str blob_str(const struct blob *b); /* NULL gives the empty str */
