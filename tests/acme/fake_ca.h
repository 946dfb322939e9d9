#pragma once

/*
 * A small certificate authority on loopback, in a thread of its own: it checks every request as a
 * real one does (nonce, URL, signature, account) and misbehaves as the test wants.
 */

#include "es256.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crypto/hash.h"
#include "http/client.h"
#include "http/server.h"
#include "ip/addr.h"
#include "net/loop.h"
#include "json/value.h"

#define FAKE_NONCES 64
#define FAKE_EAB_KEY "c2VjcmV0IG9mIHRoZSBjdXN0b21lcg" /* "secret of the customer" */

/* Answers instead of its own: to `path`, after `skip` honest ones. */
struct fake_lie {
    const char *path;
    int status;
    const char *body;
    int skip;
};

struct fake_ca {
    struct loop *loop;
    struct listener *listener;
    struct http_server *server;
    char base[64], directory[80];
    EVP_PKEY *key;

    /* What the test wants; set before it asks. */
    _Atomic(int) bad_nonces;         /* so many requests are told that their nonce is bad */
    _Atomic(int) bad_every;          /* so is every one of so many, 0: none */
    _Atomic(int) pending_polls;      /* of an authorization */
    _Atomic(int) processing_polls;   /* of an order after finalizing */
    _Atomic(bool) fails[2];          /* tls-alpn-01, http-01: the check fails */
    _Atomic(bool) offers[2];         /* which challenges there are */
    _Atomic(bool) is_authorized;     /* orders are ready at once */
    _Atomic(bool) wants_eab;         /* accounts need a binding */
    _Atomic(bool) forgets_account;   /* once */
    _Atomic(int) rate_limit_seconds; /* orders are refused so */
    const char *cert_name;           /* NULL: what was asked for; else certificates are for this */
    _Atomic(bool) own_key;           /* certificates are of another key */
    _Atomic(long) cert_seconds;      /* their life, from an hour ago */
    struct fake_lie lie;
    _Atomic(uint16_t) check_port;        /* http-01 is checked by asking here; 0: by `presented` */
    const char *renew_start, *renew_end; /* renewal information; NULL: none */

    /* What happened. */
    char nonces[FAKE_NONCES][24];
    unsigned n_nonces;
    _Atomic(bool) has_account;
    struct buf account_x, account_y;
    char presented[2][300]; /* by the test's `present`: the current tokens */
    _Atomic(int) n_orders, n_accounts, n_requests, n_polls, n_replaces, n_finalized, n_forged,
        n_renewal;
    char identifier[128], profile[32], why[128];
    _Atomic(int) state;    /* of the order: 0 pending, 1 ready, 2 processing, 3 valid, 4 invalid */
    _Atomic(int) authz;    /* 0 pending, 3 valid, 4 invalid */
    _Atomic(int) checking; /* the challenge that was accepted, or -1 */
    struct buf cert_pem;
    pthread_mutex_t lock;
};

/* ---- Answers ---- */

static void fake_nonce(struct fake_ca *ca, struct http_exchange *x)
{
    char *nonce = ca->nonces[ca->n_nonces % FAKE_NONCES];

    (void)snprintf(nonce, sizeof(ca->nonces[0]), "nonce-%u", ca->n_nonces++);
    http_add_header(x, STR("replay-nonce"), str_from(nonce));
}

static void fake_answer(struct fake_ca *ca, struct http_exchange *x, const char *path, int status,
                        struct str body)
{
    bool lies = ca->lie.path && strcmp(ca->lie.path, path) == 0 && ca->lie.skip-- <= 0;

    fake_nonce(ca, x);
    http_respond(x, lies ? ca->lie.status : status, "application/json",
                 lies ? str_from(ca->lie.body) : body);
}

static void fake_problem(struct fake_ca *ca, struct http_exchange *x, int status, const char *type,
                         const char *detail)
{
    struct buf body = BUF(4096);

    (void)snprintf(ca->why, sizeof(ca->why), "%s: %s", type, detail);
    buf_printf(&body,
               "{\"type\":\"urn:ietf:params:acme:error:%s\",\"detail\":\"%s\",\"status\":%d}", type,
               detail, status);
    fake_nonce(ca, x);
    http_respond(x, status, "application/problem+json", buf_str(&body));
    buf_fini(&body);
}

static void fake_put_order(const struct fake_ca *ca, struct buf *body)
{
    static const char *const words[] = {"pending", "ready", "processing", "valid", "invalid"};

    buf_printf(body,
               "{\"status\":\"%s\",\"finalize\":\"%s/finalize\",\"authorizations\":[\"%s/authz\"]",
               words[ca->state], ca->base, ca->base);
    if (ca->state == 3)
        buf_printf(body, ",\"certificate\":\"%s/cert\"", ca->base);
    buf_put_char(body, '}');
}

/* ---- Requests ---- */

struct fake_request {
    struct arena *arena;
    struct json_value *header;
    struct json_value *payload; /* NULL: empty */
};

static bool fake_take_nonce(struct fake_ca *ca, struct str nonce)
{
    for (size_t i = 0; i < FAKE_NONCES; i++) {
        if (ca->nonces[i][0] && str_eq(nonce, str_from(ca->nonces[i]))) {
            ca->nonces[i][0] = 0;
            return true;
        }
    }
    return false;
}

static struct str fake_decode(struct arena *a, const struct json_value *v, const char *name)
{
    struct buf raw = BUF(1 << 16);
    bool ok = base64_decode(json_get_str(v, name), &raw);
    struct str out = ok ? arena_copy(a, buf_str(&raw)) : STR_NONE;

    buf_fini(&raw);
    return out;
}

static bool fake_is_signed(struct fake_ca *ca, struct arena *a, const struct json_value *flat,
                           const struct json_value *header, bool by_key)
{
    const struct json_value *jwk = json_get(header, "jwk");
    struct str input = arena_printf(a, "%.*s.%.*s", STR_ARG(json_get_str(flat, "protected")),
                                    STR_ARG(json_get_str(flat, "payload")));
    struct str x = by_key ? fake_decode(a, jwk, "x") : buf_str(&ca->account_x);
    struct str y = by_key ? fake_decode(a, jwk, "y") : buf_str(&ca->account_y);

    if (x.len != 32 || y.len != 32 || !es256_verify(x, y, input, fake_decode(a, flat, "signature")))
        return false;
    if (by_key && ca->account_x.len == 0) {
        buf_put(&ca->account_x, x);
        buf_put(&ca->account_y, y);
    }
    return true;
}

/* Everything that RFC 8555 section 6 wants of a request. False: it has been answered. */
static bool fake_read(struct fake_ca *ca, struct http_exchange *x, const struct http_request *req,
                      bool by_key, struct fake_request *out)
{
    struct json_value *flat = NULL;
    struct str url = arena_printf(out->arena, "%s%.*s", ca->base, STR_ARG(req->path));
    struct str kid = arena_printf(out->arena, "%s/account/1", ca->base);

    ca->n_requests++;
    if (!json_parse(out->arena, req->body, NULL, &flat, NULL) ||
        !json_parse(out->arena, fake_decode(out->arena, flat, "protected"), NULL, &out->header,
                    NULL)) {
        fake_problem(ca, x, 400, "malformed", "no JWS");
        return false;
    }
    struct str payload = fake_decode(out->arena, flat, "payload");
    bool known = fake_take_nonce(ca, json_get_str(out->header, "nonce"));

    if (ca->bad_nonces > 0) {
        ca->bad_nonces--;
        known = false;
    }
    if (ca->bad_every > 0 && ca->n_requests % ca->bad_every == 0)
        known = false;
    if (!known) {
        fake_problem(ca, x, 400, "badNonce", "no such nonce");
        return false;
    }
    if (!str_eq(json_get_str(out->header, "url"), url) ||
        !str_eq(http_header_get(req, STR("content-type")), STR("application/jose+json")) ||
        (payload.len > 0 && !json_parse(out->arena, payload, NULL, &out->payload, NULL)) ||
        by_key != (json_get(out->header, "jwk") != NULL) ||
        !fake_is_signed(ca, out->arena, flat, out->header, by_key)) {
        ca->n_forged++;
        fake_problem(ca, x, 403, "unauthorized", "not signed as it must be");
        return false;
    }
    if (!by_key && (ca->forgets_account || !ca->has_account ||
                    !str_eq(json_get_str(out->header, "kid"), kid))) {
        ca->forgets_account = false;
        fake_problem(ca, x, 400, "accountDoesNotExist", "who are you?");
        return false;
    }
    return true;
}

static void fake_directory(struct fake_ca *ca, struct http_exchange *x)
{
    struct buf body = BUF(4096);

    buf_printf(&body,
               "{\"newNonce\":\"%s/nonce\",\"newAccount\":\"%s/account\",\"newOrder\":\"%s/order\"",
               ca->base, ca->base, ca->base);
    if (ca->renew_start)
        buf_printf(&body, ",\"renewalInfo\":\"%s/renewal\"", ca->base);
    buf_put_char(&body, '}');
    fake_answer(ca, x, "/dir", 200, buf_str(&body));
    buf_fini(&body);
}

/* The binding is to the key of the request, by the customer's. */
static bool fake_is_bound(const struct fake_request *r)
{
    const struct json_value *flat = json_get_object(r->payload, "externalAccountBinding");
    struct str input = arena_printf(r->arena, "%.*s.%.*s", STR_ARG(json_get_str(flat, "protected")),
                                    STR_ARG(json_get_str(flat, "payload")));
    struct str payload = fake_decode(r->arena, flat, "payload");
    struct json_value *jwk = NULL;
    uint8_t mac[HASH_BYTES];

    sha256_hmac(STR("secret of the customer"), input, mac);
    return flat && str_eq(fake_decode(r->arena, flat, "signature"), str_bytes(mac, sizeof(mac))) &&
           json_parse(r->arena, payload, NULL, &jwk, NULL) &&
           str_eq(json_get_str(jwk, "x"), json_get_str(json_get(r->header, "jwk"), "x"));
}

static void fake_account(struct fake_ca *ca, struct http_exchange *x, const struct fake_request *r)
{
    struct str at = arena_printf(r->arena, "%s/account/1", ca->base);

    if (ca->wants_eab && !fake_is_bound(r)) {
        fake_problem(ca, x, 400, "externalAccountRequired", "whose customer are you?");
        return;
    }
    if (!json_get_bool(r->payload, "termsOfServiceAgreed", false)) {
        fake_problem(ca, x, 403, "userActionRequired", "terms");
        return;
    }
    ca->n_accounts++;
    ca->has_account = true;
    http_add_header(x, STR("location"), at);
    fake_answer(ca, x, "/account", 201, STR("{\"status\":\"valid\"}"));
}

static void fake_order(struct fake_ca *ca, struct http_exchange *x, const struct fake_request *r)
{
    const struct json_value *id = json_at(json_get_array(r->payload, "identifiers"), 0);
    struct str at = arena_printf(r->arena, "%s/order/1", ca->base);
    struct buf body = BUF(4096);

    if (ca->rate_limit_seconds > 0) {
        http_add_header(x, STR("retry-after"),
                        arena_printf(r->arena, "%d", ca->rate_limit_seconds));
        fake_problem(ca, x, 429, "rateLimited", "too many of these");
        return;
    }
    ca->n_orders++;
    ca->n_replaces += json_get(r->payload, "replaces") != NULL;
    (void)snprintf(ca->identifier, sizeof(ca->identifier), "%.*s:%.*s",
                   STR_ARG(json_get_str(id, "type")), STR_ARG(json_get_str(id, "value")));
    (void)snprintf(ca->profile, sizeof(ca->profile), "%.*s",
                   STR_ARG(json_get_str(r->payload, "profile")));
    ca->state = ca->is_authorized ? 1 : 0;
    ca->authz = 0;
    ca->checking = -1;
    ca->n_polls = 0;
    fake_put_order(ca, &body);
    http_add_header(x, STR("location"), at);
    fake_answer(ca, x, "/order", 201, buf_str(&body));
    buf_fini(&body);
}

/* The account's thumbprint, as the challenge's answer must have it. */
static void fake_thumbprint(const struct fake_ca *ca, struct buf *out)
{
    struct buf jwk = BUF(1024);
    uint8_t hash[HASH_BYTES];

    buf_put(&jwk, STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\""));
    buf_put_base64url(&jwk, buf_str(&ca->account_x));
    buf_put(&jwk, STR("\",\"y\":\""));
    buf_put_base64url(&jwk, buf_str(&ca->account_y));
    buf_put(&jwk, STR("\"}"));
    sha256(buf_str(&jwk), hash);
    buf_put_base64url(out, str_bytes(hash, sizeof(hash)));
    buf_fini(&jwk);
}

static void fake_token(const struct fake_ca *ca, int kind, char out[64])
{
    (void)snprintf(out, 64, "token-%d-%d", ca->n_orders, kind);
}

static bool fake_check(struct fake_ca *ca)
{
    char token[64], url[200];
    struct buf got = BUF(4096), want = BUF(4096);
    struct err err = {0};
    int status = 0;

    fake_token(ca, ca->checking, token);
    if (ca->fails[ca->checking])
        return false;
    if (ca->check_port == 0) {
        (void)pthread_mutex_lock(&ca->lock);
        bool same = strcmp(ca->presented[ca->checking], token) == 0;

        (void)pthread_mutex_unlock(&ca->lock);
        return same;
    }
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/.well-known/acme-challenge/%s",
                   ca->check_port, token);
    buf_printf(&want, "%s.", token);
    fake_thumbprint(ca, &want);
    bool ok = http_fetch(&(struct http_fetch_options){.url = url}, &status, &got, &err) == 0 &&
              status == 200 && str_eq(buf_str(&got), buf_str(&want));

    buf_fini(&got);
    buf_fini(&want);
    return ok;
}

static void fake_authz(struct fake_ca *ca, struct http_exchange *x)
{
    static const char *const kinds[] = {"tls-alpn-01", "http-01"};
    static const char *const words[] = {"pending", "", "", "valid", "invalid"};
    struct buf body = BUF(8192);

    if (ca->authz == 0 && ca->checking >= 0 && ca->n_polls++ >= ca->pending_polls) {
        ca->authz = fake_check(ca) ? 3 : 4;
        ca->state = ca->authz == 3 ? 1 : 4;
    }
    buf_printf(&body,
               "{\"status\":\"%s\",\"challenges\":[{\"type\":\"dns-01\",\"url\":\"%s/chal/"
               "dns\",\"token\":\"x\"}",
               words[ca->authz], ca->base);
    for (int i = 0; i < 2; i++) {
        char token[64];

        fake_token(ca, i, token);
        if (!ca->offers[i])
            continue;
        buf_printf(&body, ",{\"type\":\"%s\",\"url\":\"%s/chal/%d\",\"token\":\"%s\"", kinds[i],
                   ca->base, i, token);
        if (ca->authz == 4 && ca->checking == i)
            buf_printf(&body,
                       ",\"error\":{\"type\":\"urn:ietf:params:acme:error:unauthorized\","
                       "\"detail\":\"nobody answers %s\"}",
                       kinds[i]);
        buf_put_char(&body, '}');
    }
    buf_put(&body, STR("]}"));
    fake_answer(ca, x, "/authz", 200, buf_str(&body));
    buf_fini(&body);
}

/* ---- Certificates ---- */

static X509 *fake_cert(struct fake_ca *ca, EVP_PKEY *of, const char *san)
{
    X509 *cert = X509_new();
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);

    assert_true(cert && ext && X509_set_version(cert, 2) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(cert), 4711 + ca->n_finalized) == 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), ca->cert_seconds - 3600);
    assert_true(X509_set_pubkey(cert, of) == 1 && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING *issuer = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();

    assert_true(ASN1_OCTET_STRING_set(issuer, (const unsigned char *)"fake", 4) == 1);
    akid->keyid = issuer;
    assert_true(X509_add1_ext_i2d(cert, NID_authority_key_identifier, akid, 0, 0) == 1);
    AUTHORITY_KEYID_free(akid);
    assert_true(X509_sign(cert, ca->key, EVP_sha256()) > 0);
    return cert;
}

static void fake_issue(struct fake_ca *ca, const struct fake_request *r)
{
    struct str der = fake_decode(r->arena, r->payload, "csr");
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
    BIO *out = BIO_new(BIO_s_mem());
    const char *name = strchr(ca->identifier, ':') + 1;
    char san[200], *data = NULL;

    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    /* The request names what was ordered. */
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);

    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    assert_int_equal(sk_GENERAL_NAME_value(names, 0)->type,
                     strncmp(ca->identifier, "ip:", 3) == 0 ? GEN_IPADD : GEN_DNS);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    (void)snprintf(san, sizeof(san), "%s:%s",
                   strncmp(ca->identifier, "ip:", 3) == 0 && !ca->cert_name ? "IP" : "DNS",
                   ca->cert_name ? ca->cert_name : name);
    X509 *cert = fake_cert(ca, ca->own_key ? ca->key : X509_REQ_get0_pubkey(req), san);

    assert_true(PEM_write_bio_X509(out, cert) == 1);
    X509_free(cert);
    cert = fake_cert(ca, ca->key, "DNS:the.fake.authority");
    assert_true(PEM_write_bio_X509(out, cert) == 1);
    X509_free(cert);
    long n = BIO_get_mem_data(out, &data);

    buf_clear(&ca->cert_pem);
    buf_put(&ca->cert_pem, str_bytes(data, (size_t)n));
    BIO_free(out);
    X509_REQ_free(req);
    ca->n_finalized++;
}

static void fake_state(struct fake_ca *ca, struct http_exchange *x, const char *path)
{
    struct buf body = BUF(4096);

    if (ca->state == 2 && ca->n_polls++ >= ca->processing_polls)
        ca->state = 3;
    fake_put_order(ca, &body);
    fake_answer(ca, x, path, 200, buf_str(&body));
    buf_fini(&body);
}

/* ---- The server ---- */

static void fake_on_post(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct fake_ca *ca = user;
    struct fake_request r = {.arena = arena_new()};
    struct str path = req->path;

    if (fake_read(ca, x, req, str_eq(path, STR("/account")), &r)) {
        if (str_eq(path, STR("/account"))) {
            fake_account(ca, x, &r);
        } else if (str_eq(path, STR("/order"))) {
            fake_order(ca, x, &r);
        } else if (str_eq(path, STR("/authz"))) {
            fake_authz(ca, x);
        } else if (str_starts(path, STR("/chal/"))) {
            ca->checking = path.ptr[6] - '0';
            fake_answer(ca, x, "/chal", 200, STR("{\"status\":\"processing\"}"));
        } else if (str_eq(path, STR("/order/1"))) {
            fake_state(ca, x, "/order/1");
        } else if (str_eq(path, STR("/finalize"))) {
            fake_issue(ca, &r);
            ca->state = 2;
            ca->n_polls = 0;
            fake_state(ca, x, "/finalize");
        } else {
            fake_answer(ca, x, "/cert", 200, buf_str(&ca->cert_pem));
        }
    }
    arena_free(r.arena);
}

static void fake_on_get(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct fake_ca *ca = user;
    struct buf body = BUF(1024);

    if (str_eq(req->path, STR("/dir"))) {
        fake_directory(ca, x);
    } else if (str_eq(req->path, STR("/nonce"))) {
        fake_nonce(ca, x);
        http_respond(x, 200, NULL, STR_NONE);
    } else {
        ca->n_renewal++;
        buf_printf(&body, "{\"suggestedWindow\":{\"start\":\"%s\",\"end\":\"%s\"}}",
                   ca->renew_start, ca->renew_end);
        http_add_header(x, STR("retry-after"), STR("21600"));
        http_respond(x, 200, "application/json", buf_str(&body));
    }
    buf_fini(&body);
}

static void fake_on_accept(void *user, struct stream *s)
{
    http_serve(((struct fake_ca *)user)->server, s, NULL, NULL);
}

static struct fake_ca *fake_ca_new(void)
{
    static const struct http_route routes[] = {
        {"POST", "/*", fake_on_post, 1 << 16},
        {"GET", "/*", fake_on_get, 0},
    };
    struct fake_ca *ca = NEW(struct fake_ca);
    struct listener_options options = {.on_accept = fake_on_accept, .user = ca};
    struct err err = {0};

    ca->key = EVP_EC_gen("P-256");
    ca->offers[0] = ca->offers[1] = true;
    ca->cert_seconds = 90 * 86400;
    ca->checking = -1;
    ca->account_x = ca->account_y = BUF(100);
    ca->cert_pem = BUF(1 << 16);
    assert_int_equal(pthread_mutex_init(&ca->lock, NULL), 0);
    ca->server = http_server_new(
        &(struct http_server_options){.routes = routes, .n_routes = ARRAY_LEN(routes), .user = ca});
    options.addr = (struct ip_addrport){IP_ADDR_V4(127, 0, 0, 1), 0};
    assert_int_equal(loop_new("fake-ca", &ca->loop, &err), 0);
    assert_int_equal(listener_open(ca->loop, &options, &ca->listener, &err), 0);
    (void)snprintf(ca->base, sizeof(ca->base), "http://127.0.0.1:%u",
                   listener_addr(ca->listener).port);
    (void)snprintf(ca->directory, sizeof(ca->directory), "%s/dir", ca->base);
    assert_int_equal(loop_thread_start(ca->loop, &err), 0);
    return ca;
}

static void fake_ca_free(struct fake_ca *ca)
{
    loop_stop(ca->loop);
    loop_thread_join(ca->loop);
    loop_free(ca->loop);
    http_server_free(ca->server);
    EVP_PKEY_free(ca->key);
    buf_fini(&ca->account_x);
    buf_fini(&ca->account_y);
    buf_fini(&ca->cert_pem);
    (void)pthread_mutex_destroy(&ca->lock);
    mem_free(ca);
}
