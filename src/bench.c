/* hatsize-bench: load and abuse for a control server. */

#include <signal.h>

#include "bench/bench.h"
#include "core/log.h"

static const char usage[] =
    "hatsize-bench control --server http://ADDR:PORT --auth-key KEY [OPTION]...\n"
    "    simulated nodes join at once, see each other, change endpoints, and stay\n"
    "  --nodes N         how many (100)\n"
    "  --changes N       endpoint changes to time (20)\n"
    "  --idle SECONDS    how long to stay and watch the server (5)\n"
    "  --limit SECONDS   for the whole run (300)\n"
    "  --server-pid PID  report this process's CPU and memory\n"
    "  --json            one line of JSON\n"
    "hatsize-bench hostile --server http://ADDR:PORT --auth-key KEY\n"
    "    what a hostile client may try, beside one that behaves\n"
    "The key must be reusable. Exit status 1: a check failed; timings never decide it.\n";

/* The number behind an option; exits when it is none. */
static uint64_t number(const char *option, const char *text)
{
    uint64_t n = 0;

    if (!text || !str_parse_u64(str_from(text), &n) || n > 10000000) {
        (void)fprintf(stderr, "hatsize-bench: %s wants a number\n", option);
        exit(2);
    }
    return n;
}

static void parse(int argc, char **argv, struct bench_options *o)
{
    for (int i = 2; i < argc; i++) {
        struct str name = str_from(argv[i]);
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (str_eq(name, STR("--json"))) {
            o->json = true;
            continue;
        }
        i++;
        if (str_eq(name, STR("--server")) && value) {
            o->url = value;
        } else if (str_eq(name, STR("--auth-key")) && value) {
            o->auth_key = str_from(value);
        } else if (str_eq(name, STR("--nodes"))) {
            o->nodes = number("--nodes", value);
        } else if (str_eq(name, STR("--changes"))) {
            o->changes = number("--changes", value);
        } else if (str_eq(name, STR("--idle"))) {
            o->idle_ms = (int64_t)number("--idle", value) * 1000;
        } else if (str_eq(name, STR("--limit"))) {
            o->limit_ms = (int64_t)number("--limit", value) * 1000;
        } else if (str_eq(name, STR("--server-pid"))) {
            o->server_pid = (long)number("--server-pid", value);
        } else {
            (void)fputs(usage, stderr);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct bench_options o = {.nodes = 100, .changes = 20, .idle_ms = 5000, .limit_ms = 300000};
    struct str what = argc > 1 ? str_from(argv[1]) : STR_NONE;

    log_init(LOG_ERROR, LOG_TEXT, -1);
    (void)signal(SIGPIPE, SIG_IGN);
    parse(argc, argv, &o);
    if (!o.url || o.auth_key.len == 0 || o.nodes == 0 || !bench_parse_url(&o)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (str_eq(what, STR("control")))
        return bench_control(&o);
    if (str_eq(what, STR("hostile")))
        return bench_hostile(&o);
    (void)fputs(usage, stderr);
    return 2;
}
