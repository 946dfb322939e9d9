/* What `hatsize-bench derp` is asked for. */

#include "bench/derp.h"
#include "core/str.h"

static bool complain(struct buf *out, const char *option, const char *what)
{
    buf_printf(out, "%s %s", option, what);
    return false;
}

static bool parse_number(struct str text, size_t min, size_t max, size_t *out)
{
    uint64_t n = 0;

    if (!str_parse_u64(text, &n) || n < min || n > max)
        return false;
    *out = (size_t)n;
    return true;
}

static bool parse_list(struct str text, size_t min, size_t max, size_t *out, size_t *n)
{
    struct str piece;

    *n = 0;
    while (str_next(&text, ',', &piece))
        if (*n == DERP_BENCH_LIST_MAX || !parse_number(piece, min, max, &out[(*n)++]))
            return false;
    return *n > 0;
}

static bool parse_modes(struct str text, unsigned *modes)
{
    static const char *const names[DERP_BENCH_MODES] = {
        [DERP_BENCH_LOAD] = "load",      [DERP_BENCH_PACED] = "paced", [DERP_BENCH_SLOW] = "slow",
        [DERP_BENCH_IDLE] = "idle",      [DERP_BENCH_STORM] = "storm", [DERP_BENCH_STUN] = "stun",
        [DERP_BENCH_HOSTILE] = "hostile"};
    struct str piece;

    *modes = 0;
    while (str_next(&text, ',', &piece)) {
        size_t i = 0;

        while (i < DERP_BENCH_MODES && !str_eq(piece, str_from(names[i])))
            i++;
        if (i == DERP_BENCH_MODES)
            return false;
        *modes |= BIT(i);
    }
    return *modes != 0;
}

/* Which floors: how they wait, and whether they rest; enum derp_floor. */
static bool parse_floors(struct str text, bool floors[DERP_BENCH_FLOORS])
{
    static const char *const names[DERP_BENCH_FLOORS] = {"epoll", "uring", "epoll-rest",
                                                         "uring-rest"};
    struct str piece;
    size_t n = 0;

    for (; str_next(&text, ',', &piece); n++) {
        size_t i = 0;

        while (i < DERP_BENCH_FLOORS && !str_eq(piece, str_from(names[i])))
            i++;
        if (i == DERP_BENCH_FLOORS)
            return false;
        floors[i] = true;
    }
    return n > 0;
}

static bool has_floor(const struct derp_bench_options *o)
{
    for (size_t i = 0; i < DERP_BENCH_FLOORS; i++)
        if (o->floors[i])
            return true;
    return false;
}

/* "https://127.0.0.1:8443/derp": a literal address, and of a path nothing but /derp. */
static bool parse_url(struct str url, struct derp_bench_target *t)
{
    struct str rest, host, path;

    if (str_starts(url, STR("https://")))
        rest = str_from_index(url, 8);
    else if (str_starts(url, STR("http://")))
        rest = str_from_index(url, 7);
    else
        return false;
    if (str_split(rest, '/', &host, &path) && path.len > 0 && !str_eq(path, STR("derp")))
        return false;
    if (!ip_addrport_parse(host, &t->addr) || t->addr.port == 0)
        return false;
    t->is_tls = str_starts(url, STR("https://"));
    t->url = url;
    t->host = host;
    return true;
}

/* Options that say something of the URL before them. */
static bool parse_target(struct derp_bench_options *o, struct str name, struct str value,
                         bool *is_one, struct buf *complaint)
{
    struct derp_bench_target *t = o->n_targets > 0 ? &o->targets[o->n_targets - 1] : NULL;
    size_t pid = 0;

    *is_one = true;
    if (str_eq(name, STR("--url"))) {
        if (o->n_targets == DERP_BENCH_URLS_MAX)
            return complain(complaint, "--url", "is given too often");
        t = &o->targets[o->n_targets];
        *t = (struct derp_bench_target){.name = value};
        if (!parse_url(value, t))
            return complain(complaint, "--url", "wants http://ADDRESS:PORT or https://…");
        o->n_targets++;
        return true;
    }
    bool is_name = str_eq(name, STR("--name")), is_pid = str_eq(name, STR("--server-pid"));
    bool is_stun = str_eq(name, STR("--stun")), is_pin = str_eq(name, STR("--pin"));

    *is_one = is_name || is_pid || is_stun || is_pin;
    if (!*is_one)
        return true;
    if (!t)
        return complain(complaint, "--name, --server-pid, --stun and --pin", "come after a --url");
    if (is_name)
        t->name = value;
    if (is_pid && !parse_number(value, 1, INT32_MAX, &pid))
        return complain(complaint, "--server-pid", "wants a process");
    if (is_pid)
        t->pid = (long)pid;
    if (is_stun && !ip_addrport_parse(value, &t->stun))
        return complain(complaint, "--stun", "wants ADDRESS:PORT");
    t->has_stun = t->has_stun || is_stun;
    if (is_pin && !hex_decode(value, t->pin, sizeof(t->pin)))
        return complain(complaint, "--pin", "wants 64 hexadecimal digits");
    t->has_pin = t->has_pin || is_pin;
    return true;
}

static bool parse_ms(struct str text, int64_t *ms)
{
    size_t seconds = 0;

    if (!parse_number(text, 1, 3600, &seconds))
        return false;
    *ms = (int64_t)seconds * 1000;
    return true;
}

static bool parse_value(struct derp_bench_options *o, const char *option, struct str value,
                        struct buf *complaint)
{
    const struct {
        const char *name;
        size_t min, max;
        size_t *out;
    } numbers[] = {
        {"--rate", 0, 10000000, &o->rate},
        {"--window", 1, 1000, &o->window},
        {"--burst", 1, 64, &o->burst},
        {"--slow", 1, 1000, &o->slow},
        {"--idle", 1, DERP_BENCH_CROWD_MAX, &o->idle},
        {"--storm", 1, DERP_BENCH_CROWD_MAX, &o->storm},
    };
    struct str name = str_from(option);

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (str_eq(name, str_from(numbers[i].name)))
            return parse_number(value, numbers[i].min, numbers[i].max, numbers[i].out) ||
                   complain(complaint, option, "wants another number");
    if (str_eq(name, STR("--pairs")))
        return parse_list(value, 1, DERP_BENCH_PAIRS_MAX, o->pairs, &o->n_pairs) ||
               complain(complaint, option, "wants numbers with commas between them");
    if (str_eq(name, STR("--sizes")))
        return parse_list(value, DERP_BENCH_PACKET_MIN, 65536, o->sizes, &o->n_sizes) ||
               complain(complaint, option, "wants sizes of 40 to 65536 bytes");
    if (str_eq(name, STR("--modes")))
        return parse_modes(value, &o->modes) ||
               complain(complaint, option, "wants load, paced, slow, idle, storm, stun or hostile");
    if (str_eq(name, STR("--floors")))
        return parse_floors(value, o->floors) ||
               complain(complaint, option, "wants epoll, uring, epoll-rest or uring-rest");
    if (str_eq(name, STR("--seconds")))
        return parse_ms(value, &o->run_ms) || complain(complaint, option, "wants 1 to 3600");
    if (str_eq(name, STR("--limit")))
        return parse_ms(value, &o->limit_ms) || complain(complaint, option, "wants 1 to 3600");
    return complain(complaint, option, "is no option");
}

static bool parse_flag(struct derp_bench_options *o, struct str name)
{
    const struct {
        const char *name;
        bool *out;
    } flags[] = {{"--json", &o->json}, {"--floor", &o->floors[0]}, {"--gather", &o->gather}};

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (!str_eq(name, str_from(flags[i].name)))
            continue;
        *flags[i].out = true;
        return true;
    }
    return false;
}

bool derp_bench_parse(int argc, char *const *argv, struct derp_bench_options *o,
                      struct buf *complaint)
{
    *o = (struct derp_bench_options){.modes = BIT(DERP_BENCH_LOAD),
                                     .pairs = {1, 8, 64},
                                     .n_pairs = 3,
                                     .sizes = {64, 1280},
                                     .n_sizes = 2,
                                     .window = 32,
                                     .burst = 1,
                                     .slow = 4,
                                     .idle = 1000,
                                     .storm = 500,
                                     .run_ms = 3000,
                                     .warm_ms = 500,
                                     .limit_ms = 600000};
    for (int i = 0; i < argc; i++) {
        struct str name = str_from(argv[i]);
        bool is_targets = false;

        if (parse_flag(o, name))
            continue;
        if (i + 1 == argc)
            return complain(complaint, argv[i], "wants a value, or is no option");
        i++;
        if (!parse_target(o, name, str_from(argv[i]), &is_targets, complaint) ||
            (!is_targets && !parse_value(o, argv[i - 1], str_from(argv[i]), complaint)))
            return false;
    }
    if (o->n_targets == 0 && !has_floor(o))
        return complain(complaint, "--url or --floor", "must be given");
    if (o->burst > o->window)
        return complain(complaint, "--burst", "is at most --window");
    return true;
}
