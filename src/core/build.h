#pragma once

/*
 * What this program was built from. The build writes it into the programs that tell it (see
 * scripts/build-info and src/meson.build); test programs and everybody else have "unknown".
 */

#include <stdbool.h>

struct build_info {
    const char *commit; /* 40 hex digits, or "unknown" */
    const char *time;   /* RFC 3339 in UTC: SOURCE_DATE_EPOCH's, else the commit's; or "unknown" */
    bool dirty;         /* there were changes that the commit has not */
};

extern const struct build_info build_info;

/* The processor it is for, in Go's words, which headscale's scripts know: "amd64". */
#if defined(__x86_64__)
#define BUILD_ARCH "amd64"
#elif defined(__aarch64__)
#define BUILD_ARCH "arm64"
#elif defined(__arm__)
#define BUILD_ARCH "arm"
#elif defined(__riscv)
#define BUILD_ARCH "riscv64"
#else
#define BUILD_ARCH "other"
#endif

/* What it was compiled by. */
#ifdef __clang__
#define BUILD_COMPILER __VERSION__
#else
#define BUILD_COMPILER "gcc " __VERSION__
#endif
