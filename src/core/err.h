#pragma once

/*
 * Errors that travel up. A function returns 0 or -code and fills `struct err`; each level adds what
 * it was doing; one place at the top logs or answers. The text may be shown to a client: no keys,
 * no paths, no SQL.
 */

#include "core/str.h"

/* What the caller can do about it; one table in api/ maps a code to an HTTP status. */
enum err_code {
    ERR_INVALID = 1, /* the request is wrong as it stands */
    ERR_NOT_FOUND,
    ERR_CONFLICT,
    ERR_DENIED,
    ERR_LIMIT, /* a cap we set was reached */
    ERR_IO,    /* a system call, a database or a peer failed; `sys` has errno */
    ERR_INTERNAL,
};

/* Lives on the caller's stack; no heap, so failing cannot fail. */
struct err {
    enum err_code code;
    int sys;
    char text[256]; /* outermost context first: "renaming node 7: name is taken" */
};

/* Both return -code, so `return err_set(...)` is the whole error path. err may be NULL. */
MUST_USE PRINTF_LIKE(3, 4) int err_set(struct err *err, enum err_code code, const char *fmt, ...);
/* ERR_IO with errno's own words behind the text. */
MUST_USE PRINTF_LIKE(3, 4) int err_sys(struct err *err, int sys, const char *fmt, ...);
/* Puts "fmt: " in front of the text; returns -err->code. */
MUST_USE PRINTF_LIKE(2, 3) int err_wrap(struct err *err, const char *fmt, ...);
