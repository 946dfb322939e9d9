#pragma once

/*
 * Names for the compiler extensions Hatsize uses, assertions, and scope-bound clean-up.
 *
 * ASSERT is for our own mistakes and stays on in release builds: nothing a peer, a file or a
 * database says may ever reach it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/param.h> /* has a MIN and MAX of its own, which evaluate twice */

#include "core/banned.h"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NO_RETURN __attribute__((noreturn))
#define NON_STRING __attribute__((nonstring))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1u << (n))
/* Each use names its temporaries anew, so that they nest without shadowing. */
#undef MIN
#undef MAX
#define MIN(a, b) PICK_(<, a, b, __COUNTER__)
#define MAX(a, b) PICK_(>, a, b, __COUNTER__)
#define PICK_(op, a, b, n) PICK_NAMED_(op, a, b, n)
#define PICK_NAMED_(op, a, b, n)                            \
    ({                                                      \
        __auto_type pick_a_##n = (a);                       \
        __auto_type pick_b_##n = (b);                       \
        pick_a_##n op pick_b_##n ? pick_a_##n : pick_b_##n; \
    })

/* The struct that holds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define CONTAINER_OF_CONST(ptr, type, member)                                                      \
    ((const type *)(const void *)((const char *)(ptr)-offsetof(type, member)))

/* Yields `p` and leaves NULL: ownership goes to whoever gets the value. */
#define TAKE(p)                  \
    ({                           \
        __auto_type take_ = (p); \
        (p) = NULL;              \
        take_;                   \
    })

/* Makes AUTO(fn) work for `fn(type *)`; the variable holds a pointer, NULL when nothing is owned.
 */
#define DEFINE_AUTO(type, fn)               \
    static inline void fn##_auto_(type **p) \
    {                                       \
        fn(*p);                             \
    }                                       \
    struct fn##_auto_needs_semicolon_
/* Makes AUTO_FINI(fn) work for `fn(type *)` on a variable that is the struct itself. */
#define AUTO(fn) __attribute__((cleanup(fn##_auto_)))
#define AUTO_FINI(fn) __attribute__((cleanup(fn)))

/* For a MUST_USE value that there is really nothing to do with. */
#define IGNORE(expr)                                                                               \
    do {                                                                                           \
        __auto_type ignored_ = (expr);                                                             \
        (void)ignored_;                                                                            \
    } while (0)

NO_RETURN void assert_failed(const char *file, int line, const char *text);

#define ASSERT(cond)                                  \
    do {                                              \
        if (__builtin_expect(!(cond), 0))             \
            assert_failed(__FILE__, __LINE__, #cond); \
    } while (0)
