/* Certificates that come by themselves: from nothing to renewal, with a folder that stays. */

#include "fake_ca.h"

#include <sys/stat.h>
#include <unistd.h>

#include "acme/acme.h"
#include "acme/acme_internal.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/metric.h"
#include "net/cert.h"

#define DAY_MS ((int64_t)86400 * 1000)

/* A server with port 80 and port 443, as far as ACME goes. */
struct rig {
    struct fake_ca *fake;
    char dir[64];
    struct loop *loop;
    struct worker_pool *pool;
    struct acme *acme;
    struct http_server *plain;
    struct listener *plain_listener, *secure_listener;
    struct err err;
};

static void on_challenge(void *user, struct http_exchange *x, const struct http_request *req)
{
    acme_answer_challenge(((struct rig *)user)->acme, x, http_param_get(req, STR("token")));
}

static void on_plain(void *user, struct stream *s)
{
    http_serve(((struct rig *)user)->plain, s, NULL, NULL);
}

static void on_data(void *user, struct str data)
{
    (void)user;
    (void)data;
}

/* TLS and nothing above it, so that turned clocks end no connection. */
static void on_secure(void *user, struct stream *s)
{
    stream_ignore(tls_accept(acme_tls(((struct rig *)user)->acme), s));
}

static struct listener *listen_on(struct rig *rig, void (*accept)(void *user, struct stream *s))
{
    const struct listener_options options = {
        .addr = {IP_ADDR_V4(127, 0, 0, 1), 0}, .on_accept = accept, .user = rig};
    struct listener *out = NULL;

    assert_int_equal(listener_open(rig->loop, &options, &out, &rig->err), 0);
    return out;
}

/* For this name (NULL: none), with what the folder has. */
static int start(struct rig *rig, const char *name, bool own_addresses)
{
    static const struct http_route routes[] = {{"GET", ACME_CHALLENGE_PATH, on_challenge, 0}};
    struct str names[] = {str_from(name)};
    const struct acme_options options = {.dir = str_from(rig->dir),
                                         .directory_url = str_from(rig->fake->directory),
                                         .names = names,
                                         .n_names = name ? 1 : 0,
                                         .own_addresses = own_addresses,
                                         .http_01 = true};

    if (acme_new(&options, &rig->acme, &rig->err) < 0)
        return -1;
    assert_int_equal(loop_new("home", &rig->loop, &rig->err), 0);
    assert_int_equal(worker_pool_new(2, &rig->pool, &rig->err), 0);
    rig->plain = http_server_new(&(struct http_server_options){
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = rig});
    rig->plain_listener = listen_on(rig, on_plain);
    rig->secure_listener = listen_on(rig, on_secure);
    rig->fake->check_port = listener_addr(rig->plain_listener).port;
    acme_start(rig->acme, rig->loop, rig->pool);
    return 0;
}

static void stop(struct rig *rig)
{
    acme_stop(rig->acme);
    worker_pool_free(rig->pool);
    loop_free(rig->loop);
    http_server_free(rig->plain);
    acme_free(rig->acme);
    rig->acme = NULL;
}

static struct rig *rig_new(void)
{
    struct rig *rig = NEW(struct rig);

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/unit-acme-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    rig->fake = fake_ca_new();
    return rig;
}

static void rig_free(struct rig *rig)
{
    char command[100];

    fake_ca_free(rig->fake);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig->dir);
    assert_int_equal(system(command), 0);
    mem_free(rig);
}

static int64_t metric(const char *name)
{
    AUTO_FINI(buf_fini) struct buf all = BUF(1 << 20);
    struct str line = str_printf("\n%s ", name);

    metric_put_all(&all);
    ptrdiff_t at = str_find(buf_str(&all), line);
    int64_t value = at < 0 ? 0 : strtoll(all.ptr + at + (ptrdiff_t)line.len, NULL, 10);

    str_free(&line);
    return value;
}

#define RUN_UNTIL(rig, cond)                                           \
    do {                                                               \
        for (int i_ = 0; i_ < 4000 && !(cond); i_++)                   \
            loop_run_once((rig)->loop, 5);                             \
        if (!(cond))                                                   \
            fail_msg("not: %s (it says %s)", #cond, (rig)->fake->why); \
    } while (0)

/* ---- A client ---- */

struct visit {
    bool is_ready, is_over;
    struct stream *s;
};

static void visit_on_close(void *user, const struct err *why)
{
    (void)why;
    ((struct visit *)user)->is_over = true;
}

static void visit_on_ready(void *user)
{
    ((struct visit *)user)->is_ready = true;
}

static void visit_on_connect(void *user, struct stream *s, const struct err *err)
{
    (void)err;
    ((struct visit *)user)->s = s;
}

/* Whether a handshake that names `sni` succeeds. The connection stays in *v until visit_end. */
static bool visit(struct rig *rig, const char *sni, struct visit *v)
{
    static const struct stream_events events = {.on_data = on_data, .on_close = visit_on_close};
    const struct tls_client_options options = {
        .server_name = str_from(sni), .insecure = true, .on_ready = visit_on_ready, .user = v};
    struct stream *tls = NULL;

    *v = (struct visit){0};
    stream_connect_tcp(rig->loop, listener_addr(rig->secure_listener), 5000, visit_on_connect, v);
    RUN_UNTIL(rig, v->s);
    assert_int_equal(tls_connect(&options, v->s, &tls, &rig->err), 0);
    v->s = tls;
    stream_set_events(tls, &events, v);
    RUN_UNTIL(rig, v->is_ready || v->is_over);
    for (int i = 0; i < 10; i++) /* the server is a step behind */
        loop_run_once(rig->loop, 1);
    return v->is_ready;
}

static void visit_end(struct rig *rig, struct visit *v)
{
    if (!v->is_over)
        stream_abort(v->s);
    RUN_UNTIL(rig, v->is_over);
}

static bool is_served(struct rig *rig, const char *sni)
{
    struct visit v;
    bool ok = visit(rig, sni, &v);

    visit_end(rig, &v);
    return ok;
}

/* ---- Tests ---- */

static void gets_and_keeps_one(void **state)
{
    struct rig *rig = rig_new();
    char path[100];
    struct stat st;

    (void)state;
    assert_int_equal(start(rig, "relay.test", false), 0);
    assert_false(is_served(rig, "relay.test")); /* not yet, and cleanly */
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    assert_true(is_served(rig, "RELAY.test"));
    assert_false(is_served(rig, "other.test"));
    assert_false(is_served(rig, ""));
    assert_true(metric("hatsize_acme_certificate_end_seconds") > clock_unix_ms() / 1000);
    stop(rig);
    /* Private, and under the names that autocert knows. */
    static const char *const names[] = {"acme_account+key", "relay.test"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    /* The next start asks for nothing. */
    int orders = rig->fake->n_orders;

    assert_int_equal(start(rig, "relay.test", false), 0);
    assert_true(is_served(rig, "relay.test"));
    for (int i = 0; i < 50; i++)
        loop_run_once(rig->loop, 2);
    assert_int_equal(rig->fake->n_orders, orders);
    /* Unless what is there is of no use. */
    stop(rig);
    assert_int_equal(file_write_secret(str_from(path), STR("rubbish"), &rig->err), 0);
    assert_int_equal(start(rig, "relay.test", false), 0);
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    assert_int_equal(rig->fake->n_orders, orders + 1);
    assert_int_equal(rig->fake->n_accounts, 1 + 1); /* the same key: it is found again */
    stop(rig);
    rig_free(rig);
}

static void renews_while_connections_live(void **state)
{
    struct rig *rig = rig_new();
    struct visit old;

    (void)state;
    assert_int_equal(start(rig, "relay.test", false), 0);
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    assert_true(visit(rig, "relay.test", &old));
    int64_t end = metric("hatsize_acme_certificate_end_seconds");

    /* At two thirds of ninety days, not before. */
    clock_test_advance_ms(55 * DAY_MS);
    for (int i = 0; i < 50; i++)
        loop_run_once(rig->loop, 2);
    assert_int_equal(rig->fake->n_finalized, 1);
    rig->fake->cert_seconds += 61 * 86400; /* its clock was not turned */
    clock_test_advance_ms(6 * DAY_MS);
    RUN_UNTIL(rig,
              rig->fake->n_finalized == 2 && metric("hatsize_acme_certificate_end_seconds") > end);
    assert_int_equal(rig->fake->n_replaces, 1);
    assert_false(old.is_over);
    assert_true(is_served(rig, "relay.test"));
    visit_end(rig, &old);
    stop(rig);
    rig_free(rig);
    clock_test_advance_ms(-61 * DAY_MS);
}

static void renews_when_the_authority_likes(void **state)
{
    struct rig *rig = rig_new();

    (void)state;
    rig->fake->renew_start = "2020-01-01T00:00:00Z"; /* long ago: something is wrong with it */
    rig->fake->renew_end = "2020-01-02T00:00:00Z";
    assert_int_equal(start(rig, "relay.test", false), 0);
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    assert_int_equal(rig->fake->n_finalized, 1);
    clock_test_advance_ms(130000); /* it is asked within two minutes */
    RUN_UNTIL(rig, rig->fake->n_finalized == 2);
    assert_true(rig->fake->n_renewal >= 1);
    stop(rig);
    rig_free(rig);
    clock_test_advance_ms(-130000);
}

/* One attempt, then a rest that grows; the rest that the authority asks for is respected. */
static void tries_again_later(void **state)
{
    struct rig *rig = rig_new();
    int64_t before = metric("hatsize_acme_orders_total"), turned = 0;

    (void)state;
#define ATTEMPTS() (metric("hatsize_acme_orders_total") - before)
#define TURN(ms)                         \
    do {                                 \
        clock_test_advance_ms(ms);       \
        turned += (ms);                  \
        for (int i_ = 0; i_ < 60; i_++)  \
            loop_run_once(rig->loop, 2); \
    } while (0)
    rig->fake->fails[1] = true;
    assert_int_equal(start(rig, "relay.test", false), 0);
    RUN_UNTIL(rig, metric("hatsize_acme_failures_total") == 1);
    TURN(40000);
    assert_int_equal(ATTEMPTS(), 1);
    TURN(36000);
    assert_int_equal(ATTEMPTS(), 2);
    RUN_UNTIL(rig, metric("hatsize_acme_failures_total") == 2);
    TURN(80000); /* now one and a half minutes at least */
    assert_int_equal(ATTEMPTS(), 2);
    rig->fake->rate_limit_seconds = 36000;
    TURN(75000);
    assert_int_equal(ATTEMPTS(), 3);
    RUN_UNTIL(rig, metric("hatsize_acme_failures_total") == 3);
    rig->fake->rate_limit_seconds = 0;
    rig->fake->fails[1] = false;
    TURN(9 * 3600 * 1000);
    assert_int_equal(ATTEMPTS(), 3);
    TURN(3700 * 1000);
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    assert_int_equal(ATTEMPTS(), 4);
    stop(rig);
    rig_free(rig);
    clock_test_advance_ms(-turned);
}

/* An order for the address that a client reached, and for no other. */
static void gets_ones_for_its_addresses(void **state)
{
    struct rig *rig = rig_new();
    char path[100];

    (void)state;
    assert_int_equal(start(rig, NULL, true), 0);
    assert_false(is_served(rig, "")); /* loopback is nobody's to certify */
    for (int i = 0; i < 50; i++)
        loop_run_once(rig->loop, 2);
    assert_int_equal(rig->fake->n_orders, 0);
    stop(rig);
    /* Named, it is: as with -hostname ADDRESS. */
    assert_int_equal(start(rig, "127.0.0.1", true), 0);
    RUN_UNTIL(rig, is_served(rig, ""));
    assert_string_equal(rig->fake->identifier, "ip:127.0.0.1");
    assert_string_equal(rig->fake->profile, "shortlived");
    stop(rig);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/127.0.0.1.%s", rig->dir, i ? "key" : "crt");
        assert_int_equal(access(path, F_OK), 0);
    }
    assert_int_equal(start(rig, "127.0.0.1", true), 0);
    assert_true(is_served(rig, ""));
    stop(rig);
    rig_free(rig);
}

static void answers_only_what_is_being_checked(void **state)
{
    struct rig *rig = rig_new();
    struct buf body = BUF(4096);
    int status = 0;

    (void)state;
    assert_int_equal(start(rig, "relay.test", false), 0);
    RUN_UNTIL(rig, is_served(rig, "relay.test"));
    stop(rig);
    /* Its loop in a thread, so that it can be asked from here. */
    assert_int_equal(start(rig, "relay.test", false), 0);
    assert_int_equal(loop_thread_start(rig->loop, &rig->err), 0);
    struct str url = str_printf("http://127.0.0.1:%u/.well-known/acme-challenge/token-1-1",
                                rig->fake->check_port);

    assert_int_equal(
        http_fetch(&(struct http_fetch_options){.url = url.ptr}, &status, &body, &rig->err), 0);
    assert_int_equal(status, 404); /* it was, but is no more */
    loop_stop(rig->loop);
    loop_thread_join(rig->loop);
    str_free(&url);
    buf_fini(&body);
    stop(rig);
    rig_free(rig);
}

/* Gives up in the middle of waiting, at once. */
static void stops_in_the_middle(void **state)
{
    (void)state;
    for (int rounds = 0; rounds < 40; rounds += 3) {
        struct rig *rig = rig_new();

        rig->fake->pending_polls = 1000;
        assert_int_equal(start(rig, "relay.test", false), 0);
        for (int i = 0; i < rounds; i++)
            loop_run_once(rig->loop, 1);
        stop(rig);
        rig_free(rig);
    }
}

/* As autocert and the official relay leave their folders. */
static void takes_over_other_folders(void **state)
{
    static const char *const keys[] = {"acme_account+key", "acme_account.key", "acme-account.key"};
    struct p256_key *loaded = NULL;
    uint8_t x[32], y[32];
    char path[100];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct rig *rig = rig_new();

        (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, keys[i]);
        assert_int_equal(file_write_secret(str_from(path), STR(RFC7515_KEY), &rig->err), 0);
        assert_int_equal(acme_load_account(str_from(rig->dir), &loaded, &rig->err), 0);
        p256_key_public(loaded, x, y);
        assert_int_equal(x[0], 0x7f);
        p256_key_free(loaded);
        /* An account's key that is none is not thrown away. */
        assert_int_equal(file_write_secret(str_from(path), STR("rubbish"), &rig->err), 0);
        assert_true(acme_load_account(str_from(rig->dir), &loaded, &rig->err) < 0);
        rig_free(rig);
    }
    struct rig *rig = rig_new();
    struct buf pem = BUF(1 << 16), cert = BUF(1 << 16), key = BUF(1 << 16);
    const struct str name = STR("relay.test");
    uint8_t hash[32];
    bool found = true;

    assert_int_equal(tls_self_signed(&name, 1, &cert, &key, hash, &rig->err), 0);
    buf_printf(&key, "%.*s", STR_ARG(buf_str(&cert)));
    (void)snprintf(path, sizeof(path), "%s/relay.test+rsa", rig->dir);
    assert_int_equal(file_write_secret(str_from(path), buf_str(&key), &rig->err), 0);
    assert_int_equal(acme_load_cert(str_from(rig->dir), name, &pem, &found, &rig->err), 0);
    assert_true(found);
    assert_str(buf_str(&pem), buf_str(&key));
    buf_clear(&pem);
    assert_int_equal(acme_load_cert(str_from(rig->dir), STR("other.test"), &pem, &found, &rig->err),
                     0);
    assert_false(found);
    buf_fini(&pem);
    buf_fini(&cert);
    buf_fini(&key);
    rig_free(rig);
}

static void refuses_bad_options(void **state)
{
    struct rig *rig = rig_new();
    const struct acme_options good = {.dir = str_from(rig->dir)};
    const struct str bad_names[] = {STR_INIT("../etc"), STR_INIT("a/b"), STR_INIT(".hidden"),
                                    STR_INIT(""),       STR_INIT("a b"), STR_INIT("*.a.example")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
        struct acme_options o = good;

        o.names = &bad_names[i];
        o.n_names = 1;
        assert_true(acme_new(&o, &rig->acme, &rig->err) < 0);
    }
    struct acme_options o = good;

    o.eab_kid = STR("only the id");
    assert_true(acme_new(&o, &rig->acme, &rig->err) < 0);
    o.eab_key = STR("not base64!");
    assert_true(acme_new(&o, &rig->acme, &rig->err) < 0);
    o = good;
    o.directory_url = STR("file:///etc/passwd");
    assert_true(acme_new(&o, &rig->acme, &rig->err) < 0);
    o = good;
    o.dir = STR("/dev/null/x");
    assert_true(acme_new(&o, &rig->acme, &rig->err) < 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_again_later), /* counts from nothing */
        cmocka_unit_test(gets_and_keeps_one),
        cmocka_unit_test(renews_while_connections_live),
        cmocka_unit_test(renews_when_the_authority_likes),
        cmocka_unit_test(gets_ones_for_its_addresses),
        cmocka_unit_test(answers_only_what_is_being_checked),
        cmocka_unit_test(stops_in_the_middle),
        cmocka_unit_test(takes_over_other_folders),
        cmocka_unit_test(refuses_bad_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
