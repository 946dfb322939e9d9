#pragma once

/*
 * Structured logs: an event in words and fields, as text or JSON, one write per line.
 *
 * A line is for the operator at night: what happened, to whom, what to do. Never put a key or token
 * in a field. Safe from every thread; below the level costs one load.
 *
 *   log_event(LOG_WARN, "relay refused a client", LOG_STR("addr", addr), LOG_U64("node", id));
 */

#include "core/err.h"
#include "core/str.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_BOOL } kind;
    union {
        struct str str;
        uint64_t u64;
        int64_t i64;
    } value;
};

#define LOG_STR(n, s) ((struct log_field){.name = (n), .kind = LOG_FIELD_STR, .value.str = (s)})
#define LOG_TXT(n, cstr) LOG_STR(n, str_from(cstr))
#define LOG_U64(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_U64, .value.u64 = (v)})
#define LOG_I64(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_I64, .value.i64 = (v)})
#define LOG_BOOL(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_BOOL, .value.u64 = (v)})
/* The text of a struct err as the field "error". */
#define LOG_ERR(err_ptr) LOG_TXT("error", (err_ptr)->text)

/* Start of the program, before other threads. Text goes to stderr, JSON to stdout, unless fd >= 0.
 */
void log_init(enum log_level level, enum log_format format, int fd);
void log_set_level(enum log_level level); /* any thread, any time */
/* "trace" … "error", "disabled", also "fatal" and "panic" (as LOG_ERROR); false: not a level. */
MUST_USE bool log_level_parse(struct str text, enum log_level *level);
bool log_is_on(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define log_event(level, event, ...)                                                  \
    do {                                                                              \
        if (log_is_on(level)) {                                                       \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};              \
            log_write((level), (event), log_fields_ + 1, ARRAY_LEN(log_fields_) - 1); \
        }                                                                             \
    } while (0)

/*
 * Lines that strangers can cause: one in a while, the next with how many were kept back. All zero
 * at birth; its owner's thread only.
 *
 *   if (log_pace_may(&l->pace, 1000, &unlogged))
 *       log_event(LOG_INFO, "…", LOG_U64("unlogged", unlogged));
 */
struct log_pace {
    int64_t next_ms; /* 0: nothing was logged yet */
    uint64_t unlogged;
};
MUST_USE bool log_pace_may(struct log_pace *pace, int64_t every_ms, uint64_t *unlogged);
