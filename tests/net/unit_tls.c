/* TLS as a layer, and the certificates we make. */

#include "harness.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define BIG ((size_t)3 << 20)

static const struct str names[] = {STR_INIT("relay.test"), STR_INIT("127.0.0.1"), STR_INIT("::1")};

static void put_server(struct end *e, const struct site *site)
{
    end_take(e, tls_accept(site->server, e->s));
}

static void count_ready(void *user)
{
    (*(size_t *)user)++;
}

static size_t n_ready;

static void put_client(struct end *e, const uint8_t *pin)
{
    struct tls_client_options options = {.server_name = STR("relay.test"),
                                         .has_pin = pin != NULL,
                                         .on_ready = count_ready,
                                         .user = &n_ready};
    struct stream *s;
    struct err err;

    if (pin)
        memcpy(options.pin_sha256, pin, 32);
    assert_int_equal(tls_connect(&options, e->s, &s, &err), 0);
    end_take(e, s);
}

/* rig->a is the client, rig->b the server. */
static struct rig *rig_tls(join_fn *join, const struct site *site)
{
    struct rig *rig = rig_new(join);

    n_ready = 0;
    put_client(&rig->a, site->pin);
    put_server(&rig->b, site);
    return rig;
}

/* ---- Data ---- */

static void carries_megabytes(void **state)
{
    struct str data = noise(1, BIG), back = noise(2, BIG);
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_tls(joins[i].join, &site);

        assert_true(stream_is_tls(rig->a.s) && stream_is_tls(rig->b.s));
        /* Before the handshake is done; on either side. */
        end_write(&rig->a, data);
        end_write(&rig->b, back);
        assert_true(stream_pending(rig->a.s) >= data.len);
        assert_int_equal(n_ready, 0);
        RUN_UNTIL(rig->loop, rig->b.got.len == BIG && rig->a.got.len == BIG);
        assert_int_equal(n_ready, 1);
        assert_memory_equal(rig->b.got.ptr, data.ptr, BIG);
        assert_memory_equal(rig->a.got.ptr, back.ptr, BIG);
        RUN_UNTIL(rig->loop, rig->a.n_writable && rig->b.n_writable);
        /* After; then close_notify. */
        end_write(&rig->b, back);
        end_close(&rig->b);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->a.got.len, 2 * BIG);
        assert_false(rig->a.has_why || rig->b.has_why);
        rig_free(rig);
    }
    site_fini(&site);
    str_free(&data);
    str_free(&back);
}

/* Two clients that share, the second while the first lives; both sides make their own records. */
static void clients_may_share(void **state)
{
    struct str data = noise(8, BIG), back = noise(9, BIG);
    struct tls_client *shared = NULL;
    struct site site;
    struct err err;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    assert_int_equal(tls_client_new(&shared, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rigs[2];

        for (size_t k = 0; k < 2; k++) {
            /* With a pin the certificate is looked at first. */
            struct tls_client_options options = {
                .shared = shared, .insecure = true, .has_pin = k == 1};
            struct rig *rig = rigs[k] = rig_new(joins[i].join);
            struct stream *s;

            memcpy(options.pin_sha256, site.pin, sizeof(site.pin));
            assert_int_equal(tls_connect(&options, rig->a.s, &s, &err), 0);
            end_take(&rig->a, s);
            put_server(&rig->b, &site);
            end_write(&rig->a, data);
            end_write(&rig->b, back);
            RUN_UNTIL(rig->loop, rig->b.got.len == BIG && rig->a.got.len == BIG);
            end_write(&rig->a, back);
            end_write(&rig->b, data);
            RUN_UNTIL(rig->loop, rig->b.got.len == 2 * BIG && rig->a.got.len == 2 * BIG);
            assert_memory_equal(rig->b.got.ptr, data.ptr, BIG);
            assert_memory_equal(rig->a.got.ptr, back.ptr, BIG);
            assert_memory_equal(rig->b.got.ptr + BIG, back.ptr, BIG);
            assert_memory_equal(rig->a.got.ptr + BIG, data.ptr, BIG);
        }
        for (size_t k = 0; k < 2; k++) {
            end_close(&rigs[k]->a);
            RUN_UNTIL(rigs[k]->loop, rigs[k]->a.n_close && rigs[k]->b.n_close);
            assert_false(rigs[k]->a.has_why || rigs[k]->b.has_why);
            rig_free(rigs[k]);
        }
    }
    tls_client_unref(shared);
    site_fini(&site);
    str_free(&data);
    str_free(&back);
}

static void waits_for_a_slow_reader(void **state)
{
    struct str data = noise(3, BIG);
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_tls(joins[i].join, &site);

        /* Not reading holds back the data, not the handshake. */
        stream_read_stop(rig->b.s);
        RUN_UNTIL(rig->loop, n_ready == 1);
        RUN_ROUNDS(rig->loop, 5); /* the server is a step behind */
        for (int j = 0; j < 4; j++)
            end_write(&rig->a, data);
        RUN_ROUNDS(rig->loop, 30);
        assert_int_equal(rig->b.got.len, 0);
        assert_true(stream_pending(rig->a.s) > 0);
        for (int j = 0; j < 20; j++) {
            stream_read_start(rig->b.s);
            loop_run_once(rig->loop, 1);
            stream_read_stop(rig->b.s);
            size_t had = rig->b.got.len;

            RUN_ROUNDS(rig->loop, 2);
            assert_int_equal(rig->b.got.len, had);
        }
        stream_read_start(rig->b.s);
        RUN_UNTIL(rig->loop, rig->b.got.len == 4 * BIG);
        assert_memory_equal(rig->b.got.ptr + 3 * BIG, data.ptr, BIG);
        rig_free(rig);
    }
    site_fini(&site);
    str_free(&data);
}

static void stop_after_data(struct end *e, struct str data)
{
    (void)data;
    stream_read_stop(e->s);
}

/* Every piece stops the reader; what is left inside TLS comes on, and the end behind it. */
static void loses_nothing_to_stops(void **state)
{
    struct str data = noise(4, (size_t)1 << 20);
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_tls(joins[i].join, &site);

        rig->b.data = stop_after_data;
        end_write(&rig->a, data);
        RUN_UNTIL(rig->loop, rig->b.got.len > 0);
        end_close(&rig->a);
        for (int j = 0; j < 5000 && !rig->b.n_close; j++) {
            stream_read_start(rig->b.s);
            loop_run_once(rig->loop, 1);
        }
        assert_int_equal(rig->b.n_close, 1);
        assert_false(rig->b.has_why);
        assert_int_equal(rig->b.got.len, data.len);
        assert_memory_equal(rig->b.got.ptr, data.ptr, data.len);
        rig_free(rig);
    }
    site_fini(&site);
    str_free(&data);
}

static void put_back_all(struct end *e, struct str data)
{
    if (e->n++ > 0)
        return;
    buf_clear(&e->got);
    stream_unread(e->s, data);
}

/* Data and close_notify come in one piece. */
static void gives_back_before_the_end(void **state)
{
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_tls(joins[i].join, &site);

        RUN_UNTIL(rig->loop, n_ready == 1);
        rig->b.data = put_back_all;
        end_write(&rig->a, STR("all there is"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->b.n_close);
        assert_str(buf_str(&rig->b.got), STR("all there is"));
        assert_false(rig->b.has_why);
        rig_free(rig);
    }
    site_fini(&site);
}

/* Closing flushes, also what waits for the handshake. */
static void closes_after_what_is_early(void **state)
{
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_tls(joins[i].join, &site);

        end_write(&rig->a, STR("a word and gone"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_str(buf_str(&rig->b.got), STR("a word and gone"));
        assert_false(rig->a.has_why || rig->b.has_why);
        rig_free(rig);
        /* Nothing to say: at once. */
        rig = rig_tls(joins[i].join, &site);
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(n_ready, 0);
        rig_free(rig);
    }
    site_fini(&site);
}

static void abort_in_data(struct end *e, struct str data)
{
    (void)data;
    end_abort(e);
}

static void close_in_data(struct end *e, struct str data)
{
    (void)data;
    end_close(e);
}

static void ends_from_inside(void **state)
{
    struct str data = noise(5, 300 << 10);
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (int how = 0; how < 2; how++) {
        for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
            struct rig *rig = rig_tls(joins[i].join, &site);

            rig->b.data = how == 0 ? abort_in_data : close_in_data;
            end_write(&rig->b, STR("queued"));
            end_write(&rig->a, data);
            RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
            assert_int_equal(rig->b.n_data, 1);
            rig_free(rig);
        }
    }
    site_fini(&site);
    str_free(&data);
}

#define STORM 24

/* Many handshakes at once: a few in each round, all of them in the end, nothing lost. */
static void takes_handshakes_by_turns(void **state)
{
    static struct end ends[2 * STORM];
    struct loop *loop = new_loop();
    struct site site;
    size_t most = 0;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    n_ready = 0;
    for (size_t i = 0; i < STORM; i++) {
        struct stream *pair[2];

        stream_pair(loop, pair);
        ends[2 * i] = (struct end){.s = pair[0], .got = BUF(1000)};
        ends[2 * i + 1] = (struct end){.s = pair[1], .got = BUF(1000)};
        put_client(&ends[2 * i], site.pin);
        put_server(&ends[2 * i + 1], &site);
        end_write(&ends[2 * i], STR("hello"));
        /* One leaves while it waits. */
        if (i == STORM / 2)
            end_abort(&ends[2 * i]);
    }
    for (int round = 0; round < 5000 && n_ready < STORM - 1; round++) {
        size_t was = n_ready;

        loop_run_once(loop, 0);
        most = MAX(most, n_ready - was);
    }
    assert_int_equal(n_ready, STORM - 1);
    assert_in_range(most, 1, STORM / 4);
    for (size_t i = 0; i < STORM; i++)
        if (i != STORM / 2)
            RUN_UNTIL(loop, str_eq(buf_str(&ends[2 * i + 1].got), STR("hello")));
    loop_free(loop);
    for (size_t i = 0; i < 2 * STORM; i++)
        buf_fini(&ends[i].got);
    site_fini(&site);
}

/* ---- Who it is ---- */

static void knows_the_pinned_certificate(void **state)
{
    struct site site, other;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    site_init(&other, names, ARRAY_LEN(names));
    assert_memory_not_equal(site.pin, other.pin, 32);
    const uint8_t *wrong[] = {other.pin, NULL}; /* NULL: the chain is asked, and it is nobody's */
    const enum err_code want[] = {ERR_DENIED, ERR_IO};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct rig *rig = rig_new(join_tcp);

        n_ready = 0;
        put_client(&rig->a, wrong[i]);
        put_server(&rig->b, &site);
        end_write(&rig->a, STR("a secret"));
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->a.why.code, want[i]);
        assert_int_equal(n_ready, 0);
        assert_int_equal(rig->b.got.len, 0);
        rig_free(rig);
    }
    uint8_t hash[32];
    struct err err;

    assert_int_equal(tls_cert_sha256(buf_str(&site.cert), hash, &err), 0);
    assert_memory_equal(hash, site.pin, 32);
    assert_true(tls_cert_sha256(STR("no certificate"), hash, &err) < 0);
    site_fini(&site);
    site_fini(&other);
}

static void replaces_the_certificate(void **state)
{
    struct site site, next;
    struct rig *rig;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    rig = rig_tls(join_tcp, &site);
    RUN_UNTIL(rig->loop, n_ready == 1);
    /* The listener drops the old one: the connection keeps it. */
    tls_server_unref(site.server);
    site.server = NULL;
    site_init(&next, names, ARRAY_LEN(names));
    end_write(&rig->a, STR("still here"));
    end_write(&rig->b, STR("still there"));
    RUN_UNTIL(rig->loop, rig->b.got.len == 10 && rig->a.got.len == 11);
    rig_free(rig);
    rig = rig_tls(join_tcp, &next);
    RUN_UNTIL(rig->loop, n_ready == 1);
    rig_free(rig);
    site_fini(&site);
    site_fini(&next);
}

static void refuses_what_does_not_fit(void **state)
{
    struct site site, other;
    struct tls_server *server = NULL;
    struct err err;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    site_init(&other, names, ARRAY_LEN(names));
    const struct tls_server_options bad[] = {
        {.cert_pem = buf_str(&site.cert), .key_pem = buf_str(&other.key)},
        {.cert_pem = buf_str(&site.cert), .key_pem = STR("no key")},
        {.cert_pem = STR(""), .key_pem = buf_str(&site.key)},
        {.cert_pem = buf_str(&site.cert),
         .key_pem = buf_str(&site.key),
         .extra_der = STR("no certificate")},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(tls_server_new(&bad[i], &server, &err) < 0);
        assert_null(server);
    }
    site_fini(&site);
    site_fini(&other);
}

/* ---- Peers that do not play along ---- */

/* The plain end `a` against a TLS server at `b`. */
static struct rig *rig_stranger(join_fn *join, const struct site *site)
{
    struct rig *rig = rig_new(join);

    put_server(&rig->b, site);
    return rig;
}

static void answers_garbage_with_an_alert(void **state)
{
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_stranger(joins[i].join, &site);

        /* A TLS record whose handshake message is of no kind. */
        end_write(&rig->a, STR("\x16\x03\x01\0\x05\xee\0\0\x01\0"));
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_true(rig->b.has_why);
        assert_int_equal(rig->b.why.code, ERR_IO);
        assert_int_equal(rig->b.n_data, 0);
        assert_true(rig->a.got.len >= 7);
        assert_int_equal(rig->a.got.ptr[0], 0x15);
        rig_free(rig);

        rig = rig_stranger(joins[i].join, &site);
        end_write(&rig->a, STR("GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n"));
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->b.why.code, ERR_IO);
        rig_free(rig);
    }
    /* And a client that is answered with garbage. */
    struct rig *rig = rig_new(join_pair);

    put_client(&rig->a, site.pin);
    end_write(&rig->b, STR("HTTP/1.1 400 Bad Request\r\n\r\n"));
    RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
    assert_int_equal(rig->a.why.code, ERR_IO);
    rig_free(rig);
    site_fini(&site);
}

static void gives_up_on_an_endless_handshake(void **state)
{
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_stranger(joins[i].join, &site);

        end_write(&rig->a, STR("\x16\x03\x01"));
        RUN_ROUNDS(rig->loop, 10);
        clock_test_advance_ms(9000);
        RUN_ROUNDS(rig->loop, 10);
        assert_int_equal(rig->b.n_close, 0);
        clock_test_advance_ms(1500);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->b.why.code, ERR_IO);
        rig_free(rig);
        /* Nor does one that is to be closed after it. */
        rig = rig_new(joins[i].join);
        put_client(&rig->a, site.pin);
        end_write(&rig->a, STR("never to be sent"));
        end_close(&rig->a);
        RUN_ROUNDS(rig->loop, 10);
        clock_test_advance_ms(11000);
        RUN_UNTIL(rig->loop, rig->a.n_close);
        rig_free(rig);
        /* One that is done lives on. */
        rig = rig_tls(joins[i].join, &site);
        end_write(&rig->a, STR("x"));
        RUN_UNTIL(rig->loop, rig->b.got.len == 1);
        clock_test_advance_ms(60000);
        RUN_ROUNDS(rig->loop, 10);
        assert_false(rig->a.n_close || rig->b.n_close);
        rig_free(rig);
    }
    site_fini(&site);
}

/* An OpenSSL client at the plain end: `out` is what it wants sent. */
static SSL *client_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);

    SSL_CTX_free(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static void client_send(SSL *ssl, struct end *e, size_t less)
{
    char *data;
    long n = BIO_get_mem_data(SSL_get_wbio(ssl), &data);

    if (n > 0)
        end_write(e, str_bytes(data, (size_t)n - less));
    (void)BIO_reset(SSL_get_wbio(ssl));
}

static void client_shake(SSL *ssl, struct rig *rig)
{
    while (!SSL_is_init_finished(ssl)) {
        (void)SSL_do_handshake(ssl);
        client_send(ssl, &rig->a, 0);
        RUN_ROUNDS(rig->loop, 2);
        (void)BIO_write(SSL_get_rbio(ssl), rig->a.got.ptr, (int)rig->a.got.len);
        buf_clear(&rig->a.got);
    }
}

static void tells_a_cut_from_an_end(void **state)
{
    static const struct {
        const char *name;
        size_t less; /* bytes of the last record that never come */
        bool wants_why;
    } rows[] = {
        {"cut in the record's body", 4, true},
        {"cut in the record's header", 26, true},
        {"whole records, no close_notify", 0, false},
    };
    struct site site;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(joins); i++) {
        struct rig *rig = rig_stranger(joins[i % ARRAY_LEN(joins)].join, &site);
        SSL *ssl = client_new();

        print_message("%s\n", rows[i / ARRAY_LEN(joins)].name);
        client_shake(ssl, rig);
        assert_int_equal(SSL_write(ssl, "whole", 5), 5);
        client_send(ssl, &rig->a, 0);
        assert_int_equal(SSL_write(ssl, "words", 5), 5);
        client_send(ssl, &rig->a, rows[i / ARRAY_LEN(joins)].less);
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->b.n_close);
        assert_memory_equal(rig->b.got.ptr, "whole", 5);
        assert_int_equal(rig->b.has_why, rows[i / ARRAY_LEN(joins)].wants_why);
        SSL_free(ssl);
        rig_free(rig);
    }
    /* In the handshake there is no end in order. */
    struct rig *rig = rig_stranger(join_tcp, &site);

    end_close(&rig->a);
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_true(rig->b.has_why);
    rig_free(rig);
    site_fini(&site);
}

/* One byte of a record turned: an error, an alert, and nothing of it delivered. */
static void refuses_a_forged_record(void **state)
{
    struct site site;
    struct rig *rig;
    SSL *ssl = client_new();

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    rig = rig_stranger(join_tcp, &site);
    client_shake(ssl, rig);
    assert_int_equal(SSL_write(ssl, "forged", 6), 6);
    char *data;
    long n = BIO_get_mem_data(SSL_get_wbio(ssl), &data);

    data[n - 1] ^= 1;
    client_send(ssl, &rig->a, 0);
    RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
    assert_int_equal(rig->b.got.len, 0);
    assert_int_equal(rig->b.why.code, ERR_IO);
    assert_true(rig->a.got.len > 0);
    SSL_free(ssl);
    rig_free(rig);
    site_fini(&site);
}

/* ---- Certificates ---- */

static void assert_dates(X509 *cert, int days_before, int days_after)
{
    int days, seconds;

    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), NULL), 1);
    assert_in_range(days * 86400 + seconds, days_before * 86400 - 60, days_before * 86400 + 60);
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)), 1);
    assert_in_range(days * 86400 + seconds, days_after * 86400 - 60, days_after * 86400 + 60);
}

static void signs_for_its_names(void **state)
{
    struct site site;
    struct err err;
    uint8_t hash[32];

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    BIO *bio = BIO_new_mem_buf(site.cert.ptr, (int)site.cert.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    assert_non_null(cert);
    assert_int_equal(X509_check_host(cert, "relay.test", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "other.test", 0, 0, NULL), 0);
    assert_int_equal(X509_check_host(cert, "hatsize", 0, 0, NULL), 0); /* the CN is no name */
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.2", 0), 0);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_dates(cert, 1, 3650);
    X509_free(cert);
    BIO_free(bio);

    const struct str bad[] = {STR(""), STR("a,DNS:b"), STR("a b"), STR("a\nb"), STR("a\0b")};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(tls_self_signed(&bad[i], 1, &site.cert, &site.key, hash, &err),
                         -ERR_INVALID);
    site_fini(&site);
}

static void makes_the_meta_certificate(void **state)
{
    struct buf der = BUF(1 << 16), want = BUF(100);
    struct site site;
    uint8_t public[32];
    char cn[100];
    struct err err;

    (void)state;
    site_init(&site, names, ARRAY_LEN(names));
    for (size_t i = 0; i < sizeof(public); i++)
    public[i] = (uint8_t)(i * 9);
    assert_int_equal(tls_derp_meta_cert(public, &der, &err), 0);
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);

    assert_non_null(cert);
    assert_ptr_equal(at, der.ptr + der.len);
    buf_put(&want, STR("derpkey"));
    buf_put_hex(&want, str_bytes(public, sizeof(public)));
    assert_int_equal(
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)),
        7 + 64);
    assert_str(str_from(cn), buf_str(&want));
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(cert)), 1);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)), 0);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(cert)), 2);
    assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), EVP_PKEY_ED25519);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    assert_dates(cert, 30, 30);

    /* A client is sent it behind the leaf. */
    struct tls_server_options options = {
        .cert_pem = buf_str(&site.cert), .key_pem = buf_str(&site.key), .extra_der = buf_str(&der)};

    tls_server_unref(site.server);
    assert_int_equal(tls_server_new(&options, &site.server, &err), 0);
    struct rig *rig = rig_stranger(join_tcp, &site);
    SSL *ssl = client_new();

    client_shake(ssl, rig);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

    assert_int_equal(sk_X509_num(chain), 2);
    assert_int_equal(X509_cmp(sk_X509_value(chain, 1), cert), 0);
    SSL_free(ssl);
    rig_free(rig);
    X509_free(cert);
    buf_fini(&der);
    buf_fini(&want);
    site_fini(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_megabytes),
        cmocka_unit_test(clients_may_share),
        cmocka_unit_test(waits_for_a_slow_reader),
        cmocka_unit_test(loses_nothing_to_stops),
        cmocka_unit_test(gives_back_before_the_end),
        cmocka_unit_test(closes_after_what_is_early),
        cmocka_unit_test(ends_from_inside),
        cmocka_unit_test(takes_handshakes_by_turns),
        cmocka_unit_test(knows_the_pinned_certificate),
        cmocka_unit_test(replaces_the_certificate),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(answers_garbage_with_an_alert),
        cmocka_unit_test(gives_up_on_an_endless_handshake),
        cmocka_unit_test(tells_a_cut_from_an_end),
        cmocka_unit_test(refuses_a_forged_record),
        cmocka_unit_test(signs_for_its_names),
        cmocka_unit_test(makes_the_meta_certificate),
    };

    clock_test_stop(); /* a handshake's time is limited, and TSan's machines are busy */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
