#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"

/*
 * A line is built in memory and written whole under a lock, so lines of two threads never mix even
 * when the kernel takes only a part of one.
 */

#define VALUE_MAX ((size_t)4096) /* bytes of one value; the rest is cut */
#define LINE_MAX_BYTES ((size_t)1 << 20)

static _Atomic(int) min_level = LOG_INFO;
static enum log_format line_format = LOG_TEXT;
static int out_fd = STDERR_FILENO;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {
    [LOG_TRACE] = "trace", [LOG_DEBUG] = "debug", [LOG_INFO] = "info",
    [LOG_WARN] = "warn",   [LOG_ERROR] = "error",
};

void log_init(enum log_level level, enum log_format format, int fd)
{
    line_format = format;
    out_fd = fd >= 0 ? fd : format == LOG_JSON ? STDOUT_FILENO : STDERR_FILENO;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
}

bool log_level_parse(struct str text, enum log_level *level)
{
    static const struct {
        struct str name;
        enum log_level level;
    } names[] = {
        {STR_INIT("trace"), LOG_TRACE},  {STR_INIT("debug"), LOG_DEBUG},
        {STR_INIT("info"), LOG_INFO},    {STR_INIT("warn"), LOG_WARN},
        {STR_INIT("warning"), LOG_WARN}, {STR_INIT("error"), LOG_ERROR},
        {STR_INIT("fatal"), LOG_ERROR},  {STR_INIT("panic"), LOG_ERROR},
        {STR_INIT("disabled"), LOG_OFF},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(names[i].name, text)) {
            *level = names[i].level;
            return true;
        }
    }
    return false;
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* One character of a quoted string; returns how many bytes of `s` it took. */
static size_t put_escaped(struct buf *line, struct str s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = str_utf8_len(s);

    if (n == 0) {
        buf_put(line, STR("\xef\xbf\xbd"));
        return 1;
    }
    if (c == '"' || c == '\\') {
        buf_put_char(line, '\\');
        buf_put_char(line, (char)c);
    } else if (c == '\n') {
        buf_put(line, STR("\\n"));
    } else if (c < 0x20 || c == 0x7f) {
        buf_printf(line, "\\u%04x", c);
    } else {
        buf_put(line, str_sub(s, 0, n));
    }
    return n;
}

static void put_quoted(struct buf *line, struct str s)
{
    bool cut = s.len > VALUE_MAX;

    s = str_sub(s, 0, VALUE_MAX);
    buf_put_char(line, '"');
    while (s.len > 0)
        s = str_from_index(s, put_escaped(line, s));
    if (cut)
        buf_put(line, STR("..."));
    buf_put_char(line, '"');
}

static bool is_plain(struct str s)
{
    if (s.len == 0 || s.len > VALUE_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '"' || s.ptr[i] == '=' ||
            s.ptr[i] == '\\')
            return false;
    return true;
}

static void put_value(struct buf *line, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_FIELD_STR:
        if (line_format == LOG_TEXT && is_plain(f->value.str))
            buf_put(line, f->value.str);
        else
            put_quoted(line, f->value.str);
        break;
    case LOG_FIELD_U64:
        buf_put_u64(line, f->value.u64);
        break;
    case LOG_FIELD_I64:
        buf_put_i64(line, f->value.i64);
        break;
    case LOG_FIELD_BOOL:
        buf_put(line, f->value.u64 ? STR("true") : STR("false"));
        break;
    }
}

static void put_text_line(struct buf *line, enum log_level level, struct str event,
                          const struct log_field *fields, size_t n)
{
    clock_put_rfc3339(line, clock_unix_ms());
    buf_printf(line, " %-5s ", level_names[level]);
    while (event.len > 0)
        event = str_from_index(event, put_escaped(line, event));
    for (size_t i = 0; i < n; i++) {
        buf_put_char(line, ' ');
        buf_put(line, str_from(fields[i].name));
        buf_put_char(line, '=');
        put_value(line, &fields[i]);
    }
}

static void put_json_line(struct buf *line, enum log_level level, struct str event,
                          const struct log_field *fields, size_t n)
{
    buf_printf(line, "{\"level\":\"%s\",\"time\":\"", level_names[level]);
    clock_put_rfc3339(line, clock_unix_ms());
    buf_put(line, STR("\",\"message\":"));
    put_quoted(line, event);
    for (size_t i = 0; i < n; i++) {
        buf_put_char(line, ',');
        put_quoted(line, str_from(fields[i].name));
        buf_put_char(line, ':');
        put_value(line, &fields[i]);
    }
    buf_put_char(line, '}');
}

static void write_all(struct str line)
{
    while (line.len > 0) {
        ssize_t n = write(out_fd, line.ptr, line.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is left to tell */
        line = str_from_index(line, (size_t)n);
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    AUTO_FINI(buf_fini) struct buf line = BUF(LINE_MAX_BYTES);
    int saved = errno;

    if (level >= LOG_OFF)
        return;
    if (line_format == LOG_JSON)
        put_json_line(&line, level, str_from(event), fields, n);
    else
        put_text_line(&line, level, str_from(event), fields, n);
    buf_put_char(&line, '\n');
    pthread_mutex_lock(&out_lock);
    write_all(buf_str(&line));
    pthread_mutex_unlock(&out_lock);
    errno = saved;
}

bool log_pace_may(struct log_pace *pace, int64_t every_ms, uint64_t *unlogged)
{
    int64_t now = clock_mono_ms();

    if (pace->next_ms != 0 && now < pace->next_ms) {
        pace->unlogged++;
        return false;
    }
    pace->next_ms = now + every_ms;
    *unlogged = pace->unlogged;
    pace->unlogged = 0;
    return true;
}
