#pragma once

/*
 * Log-ins over two loops: a browser of bare sockets, a provider on the other loop, the desk and the
 * registrar behind.
 */

#include "../auth/tokens.h"
#include "../first_tailnet.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/browser.h"
#include "control/control.h"
#include "control/login.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/rand.h"

#define ANSWER_MAX ((size_t)256 << 10)

struct fixture {
    char path[64];
    struct loop *loops[2];
    struct listener *listener;
    struct http_server *server;
    struct control *control;
    struct oidc_meta *meta;
    struct oidc_provider provider;
    struct str url; /* of all of it: server and provider share the port */

    pthread_mutex_t lock; /* what the provider says, which the test changes */
    struct signer signer;
    struct signer published;
    struct str nonce;
    const char *subject; /* NULL: alice */
    struct str claims;   /* more of them, with a comma before */
    size_t keys_asked;
};

/* ---- The provider ---- */

static void on_discovery(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct fixture *f = user;
    struct str text =
        str_printf("{\"issuer\":\"%.*s\",\"authorization_endpoint\":\"%.*s/authorize\","
                   "\"token_endpoint\":\"%.*s/token\",\"jwks_uri\":\"%.*s/keys\"}",
                   STR_ARG(f->url), STR_ARG(f->url), STR_ARG(f->url), STR_ARG(f->url));

    (void)req;
    http_respond(x, 200, "application/json", text);
    str_free(&text);
}

static void on_keys(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = user;

    (void)req;
    (void)pthread_mutex_lock(&f->lock);
    f->keys_asked++;
    http_respond(x, 200, "application/json", signers_jwks(&f->published, 1, arena, ""));
    (void)pthread_mutex_unlock(&f->lock);
}

static void on_token(void *user, struct http_exchange *x, const struct http_request *req)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct fixture *f = user;
    struct str code = STR_NONE, verifier = STR_NONE, redirect = STR_NONE;
    long long now = clock_unix_ms() / 1000;

    if (!form_get(arena, req->body, STR("code"), &code) || !str_eq(code, STR("good")) ||
        !form_get(arena, req->body, STR("code_verifier"), &verifier) || verifier.len != 64 ||
        !form_get(arena, req->body, STR("redirect_uri"), &redirect) ||
        !str_starts(http_header_get(req, STR("authorization")), STR("Basic "))) {
        http_respond(x, 400, "application/json", STR("{\"error\":\"invalid_grant\"}"));
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    struct str claims = arena_printf(
        arena,
        "{\"iss\":\"%.*s\",\"aud\":\"us\",\"sub\":\"%s\",\"nonce\":\"%.*s\",\"iat\":%lld,"
        "\"exp\":%lld%.*s}",
        STR_ARG(f->url), f->subject ? f->subject : "alice", STR_ARG(f->nonce), now, now + 300,
        STR_ARG(f->claims));
    struct str token = signer_sign(&f->signer, arena, NULL, claims);
    (void)pthread_mutex_unlock(&f->lock);
    http_respond(x, 200, "application/json",
                 arena_printf(arena,
                              "{\"access_token\":\"a\",\"token_type\":\"Bearer\","
                              "\"id_token\":\"%.*s\"}",
                              STR_ARG(token)));
}

/* ---- The server's own pages ---- */

static void on_register(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_register_page(((struct fixture *)user)->control, x, req);
}

static void on_back(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_login_back(((struct fixture *)user)->control, x, req);
}

static void on_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_register_confirm(((struct fixture *)user)->control, x, req);
}

static void on_session(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_session_page(((struct fixture *)user)->control, x, req);
}

static void on_session_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_session_confirm(((struct fixture *)user)->control, x, req);
}

static void on_invite(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_invite_page(((struct fixture *)user)->control, x, req);
}

static void on_invite_confirm(void *user, struct http_exchange *x, const struct http_request *req)
{
    control_on_invite_confirm(((struct fixture *)user)->control, x, req);
}

static const struct http_route routes[] = {
    {"GET", "/.well-known/openid-configuration", on_discovery, 0},
    {"GET", "/keys", on_keys, 0},
    {"POST", "/token", on_token, 0},
    {"GET", "/register/{id}", on_register, 0},
    {"GET", "/oidc/callback", on_back, 0},
    {"POST", "/register/confirm/{id}", on_confirm, 0},
    {"GET", "/login", on_session, 0},
    {"POST", "/login/confirm", on_session_confirm, 0},
    {"GET", "/invite/{secret}", on_invite, 0},
    {"POST", "/invite/confirm", on_invite_confirm, 0},
};

static void on_accept(void *user, struct stream *stream)
{
    struct fixture *f = user;

    http_serve(f->server, stream, NULL, NULL);
}

/* ---- What stands behind ---- */

struct test_call {
    struct registrar_call call;
    _Atomic(bool) is_done;
};

static void on_call_done(struct registrar_call *call)
{
    atomic_store(&CONTAINER_OF(call, struct test_call, call)->is_done, true);
}

static void apply(struct fixture *f, struct test_call *t, struct command command)
{
    t->call.command = command;
    t->call.command.origin = ORIGIN_SOCKET;
    t->call.loop = f->loops[0];
    t->call.done = on_call_done;
    registrar_submit(control_registrar(f->control), &t->call);
    for (int i = 0; i < 60000 && !atomic_load(&t->is_done); i++)
        (void)usleep(1000);
    assert_true(atomic_load(&t->is_done));
    assert_int_equal(t->call.status, 0);
}

static void make_tailnet(struct fixture *f)
{
    struct tailnet_info *info = first_tailnet();
    struct test_call t = {0};

    apply(f, &t,
          (struct command){.type = COMMAND_TAILNET_CREATE, .name = STR("default"), .info = info});
    command_result_fini(&t.call.result);
    tailnet_info_unref(info);
}

/* A machine asks to join; the id of its page. */
static void begin(struct fixture *f, char id[64])
{
    struct test_call t = {0};
    struct node_facts *facts = node_facts_new();
    struct register_request reg = {.capver = 142, .facts = facts};

    facts->hostname = str_copy(STR("lap<top>"));
    rand_bytes(reg.machine.b, sizeof(reg.machine.b));
    rand_bytes(reg.key.b, sizeof(reg.key.b));
    apply(f, &t, (struct command){.type = COMMAND_REGISTER, .reg = &reg});
    assert_int_equal(t.call.result.outcome, REGISTER_PENDING);
    memcpy(id, t.call.result.auth_id, 64);
    node_facts_unref(facts);
    command_result_fini(&t.call.result);
}

/* ---- The browser ---- */

struct answer {
    int status;
    struct str all;      /* in the arena */
    struct str location; /* of a redirect */
    struct str cookies;  /* "a=b; c=d": what it is to send with the next request */
};

static struct str header_of(struct str *rest, struct str name)
{
    ptrdiff_t at = str_find(*rest, name);

    if (at < 0) {
        *rest = STR_NONE;
        return STR_NONE;
    }
    *rest = str_from_index(*rest, (size_t)at + name.len);
    ptrdiff_t end = str_find(*rest, STR("\r\n"));
    return str_trim(str_sub(*rest, 0, end < 0 ? rest->len : (size_t)end));
}

static struct answer ask(struct fixture *f, struct arena *arena, const char *method,
                         struct str target, struct str cookies, struct str body)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct buf in = BUF(ANSWER_MAX), sent = BUF(ANSWER_MAX), jar = BUF(ANSWER_MAX);
    struct answer a = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    to.sin_port = htons(listener_addr(f->listener).port);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    buf_printf(&sent,
               "%s %.*s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: %.*s\r\n"
               "content-length: %zu\r\n\r\n%.*s",
               method, STR_ARG(target), STR_ARG(cookies), body.len, STR_ARG(body));
    assert_int_equal(write(fd, sent.ptr, sent.len), (ssize_t)sent.len);
    do {
        char *room = buf_reserve(&in, 4096);

        assert_non_null(room);
        n = read(fd, room, 4096);
        buf_added(&in, n > 0 ? (size_t)n : 0);
    } while (n > 0);
    (void)close(fd);
    a.all = arena_copy(arena, buf_str(&in));
    assert_true(a.all.len > 12);
    a.status = (a.all.ptr[9] - '0') * 100 + (a.all.ptr[10] - '0') * 10 + a.all.ptr[11] - '0';
    struct str rest = a.all;
    a.location = header_of(&rest, STR("\r\nlocation:"));
    rest = a.all;
    for (struct str c; (c = header_of(&rest, STR("\r\nset-cookie:"))).len > 0;) {
        struct str pair, more;

        (void)str_split(c, ';', &pair, &more);
        buf_printf(&jar, "%s%.*s", jar.len > 0 ? "; " : "", STR_ARG(pair));
    }
    a.cookies = arena_copy(arena, buf_str(&jar));
    buf_fini(&in);
    buf_fini(&sent);
    buf_fini(&jar);
    return a;
}

/* To the provider and back with this code; the page that follows. */
static struct answer come_back_from(struct fixture *f, struct arena *arena, struct str start,
                                    const char *code, struct answer *away)
{
    struct str path, query, state, nonce;

    *away = ask(f, arena, "GET", start, STR_NONE, STR_NONE);
    assert_int_equal(away->status, 302);
    assert_true(str_split(away->location, '?', &path, &query));
    assert_true(form_get(arena, query, STR("state"), &state));
    assert_true(form_get(arena, query, STR("nonce"), &nonce));
    (void)pthread_mutex_lock(&f->lock);
    f->nonce = arena_copy(arena, nonce);
    (void)pthread_mutex_unlock(&f->lock);
    return ask(f, arena, "GET",
               arena_printf(arena, "/oidc/callback?code=%s&state=%.*s", code, STR_ARG(state)),
               away->cookies, STR_NONE);
}

static struct str token_of(const struct answer *question)
{
    struct str token = STR_NONE, more;
    ptrdiff_t at = str_find(question->all, STR("name=\"token\" value=\""));

    assert_true(at > 0);
    (void)str_split(str_from_index(question->all, (size_t)at + 20), '"', &token, &more);
    return token;
}

/* The question's yes; `tailnet`: which, 0 not said. */
static struct answer answer_to(struct fixture *f, struct arena *arena, struct str path,
                               const struct answer *question, tailnet_id tailnet)
{
    struct str body = arena_printf(arena, "token=%.*s", STR_ARG(token_of(question)));

    if (tailnet != 0)
        body = arena_printf(arena, "%.*s&tailnet=%llu", STR_ARG(body), (unsigned long long)tailnet);
    return ask(f, arena, "POST", path, question->cookies, body);
}

static bool has(const struct answer *a, const char *text)
{
    return str_find(a->all, str_from(text)) >= 0;
}

static void set_claims(struct fixture *f, struct str claims)
{
    (void)pthread_mutex_lock(&f->lock);
    f->claims = claims;
    (void)pthread_mutex_unlock(&f->lock);
}

/* ---- Life ---- */

static void open_server(struct fixture *f)
{
    const struct http_server_options server = {
        .routes = routes, .n_routes = ARRAY_LEN(routes), .user = f};
    const struct listener_options listen = {
        .addr = {.addr = IP_ADDR_V4(127, 0, 0, 1)}, .on_accept = on_accept, .user = f};
    struct err err = {0};

    assert_int_equal(loop_new("desk", &f->loops[0], &err), 0);
    assert_int_equal(loop_new("pages", &f->loops[1], &err), 0);
    f->server = http_server_new(&server);
    assert_int_equal(listener_open(f->loops[1], &listen, &f->listener, &err), 0);
    f->url = str_printf("http://127.0.0.1:%u", (unsigned)listener_addr(f->listener).port);
}

static int setup(void **state)
{
    static const struct str scopes[] = {STR_INIT("openid")};
    struct fixture *f = NEW(struct fixture);
    struct machine_private key = {0};
    struct store *store = NULL;
    struct domain *domain = domain_new();
    struct err err = {0};

    log_init(LOG_OFF, LOG_TEXT, -1);
    (void)pthread_mutex_init(&f->lock, NULL);
    f->signer = f->published = signer_new("one", "RS256");
    (void)snprintf(f->path, sizeof(f->path), "/tmp/hatsize-login-%d-%llx.sqlite", getpid(),
                   (unsigned long long)rand_u64());
    rand_bytes(&key, sizeof(key));
    const struct store_options store_options = {.sqlite_path = str_from(f->path), .wal = true};
    assert_int_equal(store_open(&store_options, &store, &err), 0);
    assert_int_equal(store_load(store, domain, &err), 0);
    domain_load_done(domain, clock_unix_ms());
    open_server(f);
    f->provider = (struct oidc_provider){.issuer = f->url,
                                         .client_id = STR("us"),
                                         .client_secret = STR("s"),
                                         .group_prefix = STR("oidc:"),
                                         .scopes = scopes,
                                         .n_scopes = 1,
                                         .pkce = OIDC_PKCE_S256};
    const struct control_options options = {.loops = f->loops,
                                            .n_loops = 2,
                                            .noise_key = &key,
                                            .server_url = f->url,
                                            .store = store,
                                            .domain = domain,
                                            .providers = &f->provider,
                                            .n_providers = 1};
    assert_int_equal(control_new(&options, &f->control, &err), 0);
    assert_int_equal(loop_thread_start(f->loops[0], &err), 0);
    assert_int_equal(loop_thread_start(f->loops[1], &err), 0);
    make_tailnet(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        loop_stop(f->loops[i]);
        loop_thread_join(f->loops[i]);
    }
    listener_close(f->listener);
    control_stop(f->control);
    loop_free(f->loops[0]);
    loop_free(f->loops[1]);
    http_server_free(f->server);
    control_free(f->control);
    signer_free(&f->signer);
    str_free(&f->url);
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        char name[96];

        (void)snprintf(name, sizeof(name), "%s%s", f->path, endings[i]);
        (void)unlink(name);
    }
    mem_free(f);
    return 0;
}
