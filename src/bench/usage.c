/* What the server's process uses, as the kernel tells. */

#include <unistd.h>

#include "bench/bench.h"
#include "core/buf.h"

static bool read_proc(long pid, const char *what, struct buf *out)
{
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/%s", pid, what);
    file = fopen(path, "r");
    if (!file)
        return false;
    char *at = buf_reserve(out, 8192);
    size_t n = at ? fread(at, 1, 8192, file) : 0;

    buf_added(out, n);
    (void)fclose(file);
    return n > 0;
}

/* The n-th blank-separated field behind the program's name (which may hold blanks itself). */
static uint64_t stat_field(struct str text, size_t n)
{
    ptrdiff_t end = str_rfind_char(text, ')');
    struct str rest = str_from_index(text, end < 0 ? 0 : (size_t)end + 2), field = STR_NONE;
    uint64_t value = 0;

    for (size_t i = 0; i < n && str_next(&rest, ' ', &field); i++)
        ;
    return str_parse_u64(field, &value) ? value : 0;
}

struct bench_usage bench_usage_of(long pid)
{
    struct bench_usage usage = {0};
    struct buf text = BUF(65536);

    if (pid > 0 && read_proc(pid, "stat", &text)) {
        uint64_t ticks = stat_field(buf_str(&text), 12) + stat_field(buf_str(&text), 13);
        uint64_t pages = stat_field(buf_str(&text), 22);

        usage.cpu_seconds = (double)ticks / (double)sysconf(_SC_CLK_TCK);
        usage.rss_kib = (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024.0;
    }
    buf_fini(&text);
    return usage;
}

bool bench_parse_url(struct bench_options *o)
{
    struct str url = str_from(o->url);

    if (!str_starts(url, STR("http://")))
        return false;
    o->authority = str_from_index(url, 7);
    if (o->authority.len > 0 && o->authority.ptr[o->authority.len - 1] == '/')
        o->authority.len--;
    return ip_addrport_parse(o->authority, &o->addr);
}
