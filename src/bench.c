/* hatsize-bench: load and abuse for a control server. */

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/bench.h"
#include "bench/derp.h"
#include "bench/soak.h"
#include "core/log.h"

static const char usage[] =
    "hatsize-bench control --server http://ADDR:PORT --auth-key KEY [OPTION]...\n"
    "    simulated nodes join at once; what each of them holds is checked\n"
    "  --nodes N         how many (100)\n"
    "  --tailnets N      so many tailnets, made through the API, whose nodes they are in turn (1)\n"
    "  --phases LIST     of join, settle (these two always), fan-out: endpoints, each viewer "
    "timed;\n"
    "                    arrive: more nodes, one by one; restart: the server ends and starts\n"
    "                    anew (--serve); policy: it changes for everybody; churn: nodes leave and "
    "come back; storm: "
    "all drop out at once, then all\n"
    "                    change at once; verify: deltas against a fresh map; idle\n"
    "                    (fan-out,verify,idle)\n"
    "  --changes N       endpoint changes to time (20)\n"
    "  --arrivals N      nodes that join later (5)\n"
    "  --churn SECONDS   how long nodes leave and come back (5)\n"
    "  --upheavals N     so often in the churn the policy changes and the server ends (by "
    "SIGKILL,\n"
    "                    every other time) and starts anew (--serve, and the API) (0)\n"
    "  --idle SECONDS    how long to stay and watch the server (5)\n"
    "  --verify N        how many nodes are compared with a fresh map (3)\n"
    "  --beside N        exactly so many nodes are there beside these (any number)\n"
    "  --limit SECONDS   for the whole run (300)\n"
    "  --rules N         under a made-up policy: N rules between 40 groups and 40 tags (0)\n"
    "  --policies N      policy changes to time (3)\n"
    "  --quiet N         more nodes, which register and report but hold no stream (0)\n"
    "  --api-socket PATH the server's Unix socket; makes users, keys (--auth-key is not needed "
    "then)\n"
    "                    and policies; or --api-url URL --api-key KEY, as headscale has it\n"
    "  --serve COMMAND   start the server by this, and end it\n"
    "  --server-pid PID  report this process's CPU and memory\n"
    "  --patient         streams that the server breaks off come again, and are counted\n"
    "  --json            one line of JSON\n"
    "hatsize-bench hostile --server http://ADDR:PORT --auth-key KEY\n"
    "    what a hostile client may try, beside one that behaves\n"
    "hatsize-bench ask --server http://ADDR:PORT\n"
    "    a machine that asks what standard input says: lines \"PATH BODY\"; answers are lines\n"
    "    [STATUS, \"TEXT\"]\n"
    "hatsize-bench policy [--json]\n"
    "    how long policies take to compile; needs no server\n"
    "hatsize-bench derp --url http[s]://ADDR:PORT [OPTION]...\n"
    "    load on relays; each packet's content is checked. Up to three --url are put through the\n"
    "    same cases in turn and compared with the first; certificates are not verified\n"
    "  --name, --server-pid PID, --stun ADDR:PORT, --pin SHA256    of the --url before it\n"
    "  --floor           also a forwarder of our own that only copies bytes\n"
    "  --modes LIST      of load: pairs; paced: the same at what the first could carry; slow: the\n"
    "                    same beside receivers that never read; idle: memory per connection;\n"
    "                    storm: many connect at once; stun; hostile: what hostile\n"
    "                    clients try, beside a pair that behaves (load)\n"
    "  --pairs LIST      1,8,64\n"
    "  --sizes LIST      bytes per packet (64,1280)\n"
    "  --rate N          packets per second to offer, all pairs; 0: saturate (0)\n"
    "  --window N        when saturating, packets of a pair on their way (32)\n"
    "  --burst N         packets in one write, which over TLS is one record (1)\n"
    "  --gather          a sender's writes in a row are one system call: a cheaper generator\n"
    "  --slow N, --idle N, --storm N    how many (4, 1000, 500)\n"
    "  --seconds N       each case (3)\n"
    "  --limit SECONDS   for the whole run (600)\n"
    "  --json            a line of JSON for each case\n"
    "hatsize-bench soak --server http://ADDR:PORT --auth-key KEY... [OPTION]...\n"
    "    nodes come, go and start over until SIGTERM; at each SIGUSR1 all fall silent and what "
    "each\n"
    "    holds is compared with a fresh map. For bench/soak, which changes the server meanwhile\n"
    "  --nodes N         how many (50); they take the keys in turn\n"
    "  --seed N          of what they do\n"
    "  --quiet SECONDS   silence before comparing (15)\n"
    "  --limit SECONDS   for the silence to come (120)\n"
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

static void phases_or_exit(const char *text, struct bench_options *o)
{
    if (bench_parse_phases(str_from(text), &o->phases))
        return;
    (void)fprintf(stderr, "hatsize-bench: --phases: one of \"%s\" is no phase\n", text);
    exit(2);
}

/* A simulated node is a socket; the usual limit is for programs with fewer. */
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
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
        if (str_eq(name, STR("--patient"))) {
            o->patient = true;
            continue;
        }
        i++;
        if (str_eq(name, STR("--server")) && value) {
            o->url = value;
        } else if (str_eq(name, STR("--auth-key")) && value) {
            o->auth_key = str_from(value);
        } else if (str_eq(name, STR("--nodes"))) {
            o->nodes = number("--nodes", value);
        } else if (str_eq(name, STR("--phases")) && value) {
            phases_or_exit(value, o);
        } else if (str_eq(name, STR("--tailnets"))) {
            o->tailnets = number("--tailnets", value);
        } else if (str_eq(name, STR("--changes"))) {
            o->changes = number("--changes", value);
        } else if (str_eq(name, STR("--rules"))) {
            o->rules = number("--rules", value);
        } else if (str_eq(name, STR("--policies"))) {
            o->policy_changes = number("--policies", value);
        } else if (str_eq(name, STR("--quiet"))) {
            o->quiet = number("--quiet", value);
        } else if (str_eq(name, STR("--api-socket")) && value) {
            o->api_socket = value;
        } else if (str_eq(name, STR("--api-url")) && value) {
            o->api_url = value;
        } else if (str_eq(name, STR("--api-key")) && value) {
            o->api_key = str_from(value);
        } else if (str_eq(name, STR("--serve")) && value) {
            o->serve = value;
        } else if (str_eq(name, STR("--arrivals"))) {
            o->arrivals = number("--arrivals", value);
        } else if (str_eq(name, STR("--verify"))) {
            o->verify = number("--verify", value);
        } else if (str_eq(name, STR("--beside"))) {
            o->has_beside = true;
            o->beside = number("--beside", value);
        } else if (str_eq(name, STR("--churn"))) {
            o->churn_ms = (int64_t)number("--churn", value) * 1000;
        } else if (str_eq(name, STR("--upheavals"))) {
            o->upheavals = number("--upheavals", value);
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

static int derp(int argc, char **argv)
{
    struct derp_bench_options o;
    struct buf complaint = BUF(1024);

    if (derp_bench_parse(argc - 2, argv + 2, &o, &complaint)) {
        allow_many_files();
        return bench_derp(&o);
    }
    (void)fprintf(stderr, "hatsize-bench: %.*s\n", STR_ARG(buf_str(&complaint)));
    buf_fini(&complaint);
    return 2;
}

static int soak(int argc, char **argv)
{
    struct soak_options o;

    if (!soak_parse(argc - 2, argv + 2, &o)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    allow_many_files();
    return bench_soak(&o);
}

int main(int argc, char **argv)
{
    struct bench_options o = {.nodes = 100,
                              .tailnets = 1,
                              .changes = 20,
                              .arrivals = 5,
                              .policy_changes = 3,
                              .verify = 3,
                              .churn_ms = 5000,
                              .idle_ms = 5000,
                              .limit_ms = 300000};
    struct str what = argc > 1 ? str_from(argv[1]) : STR_NONE;

    log_init(LOG_ERROR, LOG_TEXT, -1);
    (void)signal(SIGPIPE, SIG_IGN);
    IGNORE(bench_parse_phases(STR("fan-out,verify,idle"), &o.phases));
    if (str_eq(what, STR("derp")))
        return derp(argc, argv);
    if (str_eq(what, STR("soak")))
        return soak(argc, argv);
    parse(argc, argv, &o);
    allow_many_files();
    if (str_eq(what, STR("policy")))
        return bench_policy(&o);
    if (str_eq(what, STR("ask")) && o.url && bench_parse_url(&o))
        return bench_ask(&o);
    bool has_key = o.auth_key.len > 0 || o.api_socket || o.api_url;
    /* Several tailnets are made through the API, and are the bench's alone. */
    bool is_odd = o.tailnets == 0 || (o.tailnets > 1 && (o.auth_key.len > 0 || o.rules > 0 ||
                                                         o.quiet > 0 || o.tailnets > o.nodes));

    if (o.tailnets > 1) {
        o.has_beside = true;
        o.beside = 0;
    }

    if (!o.url || !has_key || is_odd || o.nodes == 0 || o.nodes > BENCH_NODES_MAX ||
        !bench_parse_url(&o)) {
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
