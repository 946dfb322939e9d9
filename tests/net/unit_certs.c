/* Which certificate a client gets, and what is needed to be given some. */

#include "harness.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/cert.h"

static void site_for(struct site *site, struct str name)
{
    site_init(site, &name, 1);
}

/* ---- A client of another make, which can offer protocols ---- */

struct shaken {
    bool ok;
    int alert;     /* that the server sent, 0: none */
    char name[64]; /* the first name in its certificate */
    char protocol[16];
    bool is_closed; /* the server ended it, after the handshake */
    X509 *cert;     /* owned */
};

static void note_alert(const SSL *ssl, int where, int what)
{
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
        *(int *)SSL_get_app_data(ssl) = what & 0xff;
}

static void name_of(X509 *cert, char out[64])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *n = names ? sk_GENERAL_NAME_value(names, 0) : NULL;

    if (n && n->type == GEN_DNS)
        (void)snprintf(out, 64, "%.*s", ASN1_STRING_length(n->d.dNSName),
                       (const char *)ASN1_STRING_get0_data(n->d.dNSName));
    else if (n)
        (void)snprintf(out, 64, "address");
    GENERAL_NAMES_free(names);
}

static void exchange(struct rig *rig, SSL *ssl)
{
    char *data = NULL;

    if (rig->a.got.len > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(ssl), rig->a.got.ptr, (int)rig->a.got.len),
                         rig->a.got.len);
        buf_clear(&rig->a.got);
    }
    (void)SSL_do_handshake(ssl);
    long n = BIO_get_mem_data(SSL_get_wbio(ssl), &data);

    if (n > 0 && rig->a.s && !rig->a.is_ended)
        end_write(&rig->a, str_bytes(data, (size_t)n));
    (void)BIO_reset(SSL_get_wbio(ssl));
    loop_run_once(rig->loop, 2);
}

/* `protocols` as in the extension; version 0: the newest. */
static struct shaken shake(struct tls_server *server, const char *sni, const char *protocols,
                           int version)
{
    struct rig *rig = rig_new(join_tcp);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    struct shaken out = {0};
    const unsigned char *protocol = NULL;
    unsigned len = 0;

    end_take(&rig->b, tls_accept(server, rig->b.s));
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    (void)BIO_set_mem_eof_return(SSL_get_rbio(ssl), -1);
    SSL_set_connect_state(ssl);
    (void)SSL_set_app_data(ssl, &out.alert);
    SSL_set_info_callback(ssl, note_alert);
    if (version)
        (void)SSL_set_max_proto_version(ssl, version);
    if (sni[0])
        assert_int_equal(SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                                  (void *)(uintptr_t)sni),
                         1);
    if (protocols)
        assert_int_equal(
            SSL_set_alpn_protos(ssl, (const unsigned char *)protocols, (unsigned)strlen(protocols)),
            0);
    for (int i = 0; i < 300 && !out.alert && !(SSL_is_init_finished(ssl) && i > 10) &&
                    !(rig->a.n_close && rig->a.got.len == 0);
         i++)
        exchange(rig, ssl);
    out.ok = SSL_is_init_finished(ssl) == 1;
    for (int i = 0; i < 10; i++)
        loop_run_once(rig->loop, 1);
    out.is_closed = rig->b.n_close > 0;
    out.cert = SSL_get1_peer_certificate(ssl);
    if (out.cert)
        name_of(out.cert, out.name);
    SSL_get0_alpn_selected(ssl, &protocol, &len);
    (void)snprintf(out.protocol, sizeof(out.protocol), "%.*s", (int)len, (const char *)protocol);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    rig_free(rig);
    return out;
}

static struct ip_addr missing;
static int n_missing;

static void on_missing(void *user, struct ip_addr local)
{
    (void)user;
    missing = local;
    n_missing++;
}

static void chooses_by_name_and_address(void **state)
{
    static const struct {
        const char *sni;
        const char *name; /* what it gets; NULL: an alert */
        int alert;
    } cases[] = {
        {"a.test", "a.test", 0},
        {"b.test", "b.test", 0},
        {"B.Test", "b.test", 0},
        {"a.test.", "a.test", 0},
        {"c.test", NULL, SSL_AD_UNRECOGNIZED_NAME},
        {"sub.a.test", NULL, SSL_AD_UNRECOGNIZED_NAME},
        {"later.test", NULL, SSL_AD_INTERNAL_ERROR},
        {"", "address", 0},
        {"127.0.0.1", "address", 0},
        {"127.0.0.2", NULL, SSL_AD_UNRECOGNIZED_NAME},
    };
    struct tls_certs *certs = tls_certs_new(on_missing, NULL);
    struct tls_server *server = NULL;
    struct site a, b, address;
    struct err err;

    (void)state;
    site_for(&a, STR("a.test"));
    site_for(&b, STR("b.test"));
    site_for(&address, STR("127.0.0.1"));
    tls_certs_put(certs, STR("a.test"), a.server);
    tls_certs_put(certs, STR("b.test"), b.server);
    tls_certs_put(certs, STR("later.test"), NULL);
    tls_certs_put(certs, STR("::ffff:127.0.0.1"), address.server);
    assert_int_equal(tls_server_new(&(struct tls_server_options){.certs = certs}, &server, &err),
                     0);
    n_missing = 0;
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct shaken s = shake(server, cases[i].sni, NULL, version);

            print_message("%s\n", cases[i].sni);
            assert_int_equal(s.ok, cases[i].name != NULL);
            assert_int_equal(s.alert, cases[i].alert);
            assert_string_equal(s.name, cases[i].name ? cases[i].name : "");
            X509_free(s.cert);
        }
    }
    assert_int_equal(n_missing, 0);
    /* Taken away, it is asked for. */
    tls_certs_put(certs, STR("127.0.0.1"), NULL);
    struct shaken s = shake(server, "", NULL, 0);

    assert_false(s.ok);
    assert_int_equal(n_missing, 1);
    assert_true(ip_addr_eq(missing, IP_ADDR_V4(127, 0, 0, 1)));
    X509_free(s.cert);
    /* The default stands in, and it is asked for all the same; not for who names an address. */
    tls_certs_put(certs, STR("192.0.2.1"), b.server);
    tls_certs_set_default(certs, STR("192.0.2.1"));
    s = shake(server, "", NULL, 0);
    assert_string_equal(s.name, "b.test");
    assert_int_equal(n_missing, 2);
    X509_free(s.cert);
    s = shake(server, "127.0.0.1", NULL, 0);
    assert_false(s.ok);
    X509_free(s.cert);
    s = shake(server, "c.test", NULL, 0);
    assert_false(s.ok);
    X509_free(s.cert);
    /* Replaced, the next one gets the new one. */
    tls_certs_put(certs, STR("a.test"), b.server);
    s = shake(server, "a.test", NULL, 0);
    assert_string_equal(s.name, "b.test");
    X509_free(s.cert);
    tls_server_unref(server);
    tls_certs_unref(certs);
    site_fini(&a);
    site_fini(&b);
    site_fini(&address);
}

/* One certificate, and only for who asks for it. */
static void refuses_other_names(void **state)
{
    struct buf cert = BUF(1 << 16), key = BUF(1 << 16);
    struct tls_server *server = NULL;
    const struct str name = STR("a.test");
    uint8_t hash[32];
    struct err err;

    (void)state;
    assert_int_equal(tls_self_signed(&name, 1, &cert, &key, hash, &err), 0);
    const struct tls_server_options options = {
        .cert_pem = buf_str(&cert), .key_pem = buf_str(&key), .names = &name, .n_names = 1};

    assert_int_equal(tls_server_new(&options, &server, &err), 0);
    static const char *const asked[] = {"a.test", "A.TEST", "b.test", "", "127.0.0.1"};

    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        struct shaken s = shake(server, asked[i], NULL, 0);

        assert_int_equal(s.ok, i < 2);
        assert_int_equal(s.alert, i < 2 ? 0 : SSL_AD_UNRECOGNIZED_NAME);
        X509_free(s.cert);
    }
    tls_server_unref(server);
    buf_fini(&cert);
    buf_fini(&key);
}

#define ACME_ONLY \
    "\x0a"        \
    "acme-tls/1"
#define HTTP_ONLY \
    "\x08"        \
    "http/1.1"

/* RFC 8737: the certificate says what it must, to who asks for nothing else, and that is all. */
static void answers_challenges(void **state)
{
    struct tls_certs *certs = tls_certs_new(NULL, NULL);
    struct tls_server *server = NULL;
    struct buf cert = BUF(1 << 16), key = BUF(1 << 16);
    struct site site;
    uint8_t hash[32];
    struct err err;

    (void)state;
    memset(hash, 0xc7, sizeof(hash));
    site_for(&site, STR("a.test"));
    tls_certs_put(certs, STR("a.test"), site.server);
    assert_int_equal(tls_server_new(&(struct tls_server_options){.certs = certs}, &server, &err),
                     0);
    assert_int_equal(cert_challenge(STR("a.test"), hash, &cert, &key, &err), 0);
    struct shaken s = shake(server, "a.test", ACME_ONLY, 0);

    assert_false(s.ok); /* nothing is being checked */
    X509_free(s.cert);
    assert_int_equal(
        tls_certs_put_challenge(certs, STR("a.test"), buf_str(&cert), buf_str(&key), &err), 0);
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        s = shake(server, "a.test", ACME_ONLY, version);
        assert_true(s.ok && s.is_closed);
        assert_string_equal(s.protocol, "acme-tls/1");
        assert_string_equal(s.name, "a.test");
        ASN1_OBJECT *what = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
        int at = X509_get_ext_by_OBJ(s.cert, what, -1);

        assert_true(at >= 0);
        X509_EXTENSION *ext = X509_get_ext(s.cert, at);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);

        assert_int_equal(X509_EXTENSION_get_critical(ext), 1);
        assert_int_equal(ASN1_STRING_length(value), 34);
        assert_memory_equal(ASN1_STRING_get0_data(value), "\x04\x20", 2);
        assert_memory_equal(ASN1_STRING_get0_data(value) + 2, hash, 32);
        ASN1_OBJECT_free(what);
        X509_free(s.cert);
    }
    /* Clients are served as ever meanwhile, also those who would take either. */
    static const char *const others[] = {HTTP_ONLY, ACME_ONLY HTTP_ONLY, NULL};

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        s = shake(server, "a.test", others[i], 0);
        assert_true(s.ok && !s.is_closed);
        assert_string_equal(s.protocol, others[i] ? "http/1.1" : "");
        X509_free(s.cert);
    }
    assert_int_equal(tls_certs_put_challenge(certs, STR("a.test"), STR_NONE, STR_NONE, &err), 0);
    s = shake(server, "a.test", ACME_ONLY, 0);
    assert_false(s.ok);
    X509_free(s.cert);
    s = shake(server, "a.test", HTTP_ONLY, 0);
    assert_true(s.ok);
    X509_free(s.cert);
    /* For a name that is not served otherwise, it leaves nothing behind. */
    assert_int_equal(
        tls_certs_put_challenge(certs, STR("b.test"), buf_str(&cert), buf_str(&key), &err), 0);
    assert_int_equal(tls_certs_put_challenge(certs, STR("b.test"), STR_NONE, STR_NONE, &err), 0);
    s = shake(server, "b.test", NULL, 0);
    assert_int_equal(s.alert, SSL_AD_UNRECOGNIZED_NAME);
    X509_free(s.cert);
    tls_server_unref(server);
    tls_certs_unref(certs);
    buf_fini(&cert);
    buf_fini(&key);
    site_fini(&site);
}

/* ---- Asking for certificates ---- */

static void asks_for_names_and_addresses(void **state)
{
    const struct str names[] = {STR_INIT("a.test"), STR_INIT("192.0.2.1"), STR_INIT("2001:db8::1")};
    const struct str bad = STR("a.test,DNS:evil.test");
    struct buf key = BUF(1 << 16), der = BUF(1 << 16);
    struct err err;

    (void)state;
    assert_int_equal(cert_key_new(&key, &err), 0);
    assert_true(str_starts(buf_str(&key), STR("-----BEGIN EC PRIVATE KEY-----\n")));
    assert_int_equal(cert_request(buf_str(&key), names, ARRAY_LEN(names), &der, &err), 0);
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);

    assert_non_null(req);
    assert_ptr_equal(at, der.ptr + der.len);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *got = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);

    assert_int_equal(sk_GENERAL_NAME_num(got), 3);
    assert_int_equal(sk_GENERAL_NAME_value(got, 0)->type, GEN_DNS);
    assert_int_equal(ASN1_STRING_length(sk_GENERAL_NAME_value(got, 1)->d.iPAddress), 4);
    assert_int_equal(ASN1_STRING_length(sk_GENERAL_NAME_value(got, 2)->d.iPAddress), 16);
    GENERAL_NAMES_free(got);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    /* Nothing slips into the list of names, and no key, no request. */
    assert_true(cert_request(buf_str(&key), &bad, 1, &der, &err) < 0);
    assert_true(cert_request(STR("no key"), names, 1, &der, &err) < 0);
    buf_fini(&key);
    buf_fini(&der);
}

/* RFC 9773 section 4.1's example: the identifiers of that certificate. */
static void tells_times_and_renewal_ids(void **state)
{
    struct site site;
    struct cert_times times;
    struct buf id = BUF(1000);
    struct err err;
    int64_t now = clock_unix_ms(), day = (int64_t)86400 * 1000;
    static const char example[] =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt\n"
        "cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS\n"
        "BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu\n"
        "7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf\n"
        "qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B\n"
        "yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb\n"
        "+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK\n"
        "-----END CERTIFICATE-----\n";

    (void)state;
    site_for(&site, STR("a.test"));
    assert_int_equal(cert_times(buf_str(&site.cert), &times, &err), 0);
    assert_in_range(now - times.not_before_unix_ms, day - 60000, day + 60000);
    assert_in_range(times.not_after_unix_ms - now, 3650 * day - 60000, 3650 * day + 60000);
    assert_int_equal(cert_renewal_id(buf_str(&site.cert), &id, &err), -ERR_NOT_FOUND);
    assert_int_equal(cert_renewal_id(str_from(example), &id, &err), 0);
    assert_str(buf_str(&id), STR("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
    assert_true(cert_times(STR("nothing"), &times, &err) < 0);
    buf_fini(&id);
    site_fini(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_by_name_and_address),
        cmocka_unit_test(refuses_other_names),
        cmocka_unit_test(answers_challenges),
        cmocka_unit_test(asks_for_names_and_addresses),
        cmocka_unit_test(tells_times_and_renewal_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
