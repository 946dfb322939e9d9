#pragma once

/* Test vectors as they are printed: hexadecimal, cut by spaces at will. */

#include "core/buf.h"

/* The bytes of `hex`, owned: buf_fini. */
static inline struct buf from_hex(const char *hex)
{
    struct buf digits = BUF(1 << 20), bytes = BUF(1 << 20);

    for (const char *c = hex; *c; c++)
        if (*c != ' ' && *c != '\n')
            buf_put_char(&digits, *c);
    char *to = buf_reserve(&bytes, digits.len / 2);
    ASSERT(to && hex_decode(buf_str(&digits), to, digits.len / 2));
    buf_added(&bytes, digits.len / 2);
    buf_fini(&digits);
    return bytes;
}

/* Exactly n bytes of it, into `out`. */
static inline void hex_into(const char *hex, void *out, size_t n)
{
    struct buf bytes = from_hex(hex);

    ASSERT(bytes.len == n);
    memcpy(out, bytes.ptr, n);
    buf_fini(&bytes);
}

#define assert_hex(got_ptr, got_len, want_hex)                                \
    do {                                                                      \
        struct buf got_hex_ = BUF(1 << 20), hex_wanted_ = from_hex(want_hex), \
                   want_hex_ = BUF(1 << 20);                                  \
        buf_put_hex(&got_hex_, str_bytes((got_ptr), (got_len)));              \
        buf_put_hex(&want_hex_, buf_str(&hex_wanted_));                       \
        assert_str(buf_str(&got_hex_), buf_str(&want_hex_));                  \
        buf_fini(&got_hex_);                                                  \
        buf_fini(&hex_wanted_);                                               \
        buf_fini(&want_hex_);                                                 \
    } while (0)
