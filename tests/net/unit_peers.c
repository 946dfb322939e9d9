/*
 * Peers that are slow, odd or hostile, seen from a server: half-closed ones, ones that break TLS or
 * make it answer without end, ones that write while we wait.
 */

#include "harness.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls.h"

/* ---- A socket of our own, without loop or stream ---- */

struct visit {
    struct loop *loop;
    struct joint joint;
    struct end end; /* the server's */
    int fd;         /* ours */
};

static void visit_begin(struct visit *v)
{
    struct listener *l;
    struct err err;

    *v = (struct visit){.loop = new_loop(), .end.got = BUF((size_t)1 << 30)};
    struct listener_options options = {
        .addr = addrport("127.0.0.1:0"), .on_accept = joint_on_accept, .user = &v->joint};

    assert_int_equal(listener_open(v->loop, &options, &l, &err), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_addr(l).port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(v->fd >= 0);
    assert_int_equal(connect(v->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    RUN_UNTIL(v->loop, v->joint.accepted);
    listener_close(l);
}

static void visit_end(struct visit *v)
{
    assert_int_equal(close(v->fd), 0);
    loop_free(v->loop);
    assert_int_equal(v->end.n_close, 1);
    buf_fini(&v->end.got);
}

static struct tls_server *new_server(uint8_t sha256[32])
{
    struct buf cert = BUF(65536), key = BUF(65536);
    const struct str names[] = {STR("relay.test")};
    struct tls_server *server;
    struct err err;

    assert_int_equal(tls_self_signed(names, 1, &cert, &key, sha256, &err), 0);
    struct tls_server_options options = {.cert_pem = buf_str(&cert), .key_pem = buf_str(&key)};

    assert_int_equal(tls_server_new(&options, &server, &err), 0);
    buf_fini(&cert);
    buf_fini(&key);
    return server;
}

/* ---- Time ---- */

static int64_t loop_said, clock_said;

static void look_at_the_time(struct end *e, struct str data)
{
    (void)data;
    loop_said = loop_now_ms(stream_loop(e->s));
    clock_said = clock_mono_ms();
}

static void *write_late(void *fd)
{
    (void)poll(NULL, 0, 300);
    return (void *)(intptr_t)write(*(int *)fd, "x", 1);
}

/* A loop that has slept long knows what time it is when data wakes it. */
static void knows_the_time_when_woken(void **state)
{
    struct visit v;
    pthread_t writer;

    (void)state;
    visit_begin(&v);
    v.end.data = look_at_the_time;
    end_take(&v.end, v.joint.accepted);
    assert_int_equal(pthread_create(&writer, NULL, write_late, &v.fd), 0);
    for (int i = 0; i < 50 && v.end.n_data == 0; i++)
        loop_run_once(v.loop, 5000);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(v.end.n_data, 1);
    assert_in_range(clock_said - loop_said, 0, 150);
    visit_end(&v);
}

/* ---- Half-closed ---- */

#define ANSWER ((size_t)14 << 20) /* more than the kernel holds, less than a stream's limit */

static struct str answer;

static void give_answer(struct end *e, struct str data)
{
    assert_str(data, STR("question"));
    end_write(e, answer);
}

struct reading {
    int fd;
    struct buf got;
};

static void *read_slowly(void *arg)
{
    struct reading *r = arg;
    char *at;

    for (ssize_t n = 1; n > 0; buf_added(&r->got, n > 0 ? (size_t)n : 0)) {
        at = buf_reserve(&r->got, 65536);
        assert_non_null(at);
        n = recv(r->fd, at, 65536, 0);
        (void)poll(NULL, 0, 1);
    }
    return NULL;
}

/* Who asks and says at once that it will say no more still gets the whole answer. */
static void answers_a_half_closed_peer(void **state)
{
    struct visit v;
    pthread_t reader;

    (void)state;
    visit_begin(&v);
    struct reading reading = {.fd = v.fd, .got = BUF((size_t)1 << 30)};

    answer = noise(1, ANSWER);
    v.end.data = give_answer;
    end_take(&v.end, v.joint.accepted);
    assert_int_equal(send(v.fd, "question", 8, 0), 8);
    assert_int_equal(shutdown(v.fd, SHUT_WR), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, &reading), 0);
    RUN_UNTIL(v.loop, v.end.n_close);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_false(v.end.has_why);
    assert_int_equal(reading.got.len, ANSWER);
    assert_memory_equal(reading.got.ptr, answer.ptr, ANSWER);
    str_free(&answer);
    buf_fini(&reading.got);
    visit_end(&v);
}

/* What it sent and nobody wants must not cost it the answer: no reset. */
static void answers_a_peer_that_said_too_much(void **state)
{
    struct str much = noise(3, 200 << 10);
    struct visit v;
    char got[16];

    (void)state;
    visit_begin(&v);
    end_take(&v.end, v.joint.accepted);
    assert_int_equal(send(v.fd, much.ptr, much.len, 0), much.len);
    RUN_UNTIL(v.loop, v.end.n_data > 0);
    end_write(&v.end, STR("too much"));
    end_close(&v.end);
    RUN_UNTIL(v.loop, v.end.n_close);
    assert_true(v.end.got.len < much.len);
    assert_int_equal(recv(v.fd, got, sizeof(got), 0), 8);
    assert_int_equal(recv(v.fd, got, sizeof(got), 0), 0);
    str_free(&much);
    visit_end(&v);
}

/* ---- TLS ---- */

/* A record that is no ClientHello: the peer is told, and so are we. */
static void says_what_is_wrong_with_a_handshake(void **state)
{
    uint8_t sha256[32], got[64];
    struct tls_server *server = new_server(sha256);
    struct visit v;

    (void)state;
    visit_begin(&v);
    end_take(&v.end, tls_accept(server, v.joint.accepted));
    assert_int_equal(send(v.fd, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x07", 10, 0), 10);
    RUN_UNTIL(v.loop, v.end.n_close);
    assert_true(v.end.has_why);
    assert_int_equal(v.end.why.code, ERR_IO);
    /* An alert: its type, two bytes each of version and length, level and description. */
    assert_int_equal(recv(v.fd, got, sizeof(got), 0), 7);
    assert_int_equal(got[0], 21);
    assert_int_equal(recv(v.fd, got, sizeof(got), 0), 0);
    tls_server_unref(server);
    visit_end(&v);
}

/* The end of the bytes is no orderly end while hands are being shaken. */
static void calls_an_end_in_the_handshake_broken(void **state)
{
    static const struct {
        const char *name;
        struct str sent;
    } cases[] = {{"nothing", STR_INIT("")},
                 {"half a record", STR_INIT("\x16\x03\x01\x00\x50\x01")}};
    uint8_t sha256[32];
    struct tls_server *server = new_server(sha256);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct visit v;

        print_message("%s\n", cases[i].name);
        visit_begin(&v);
        end_take(&v.end, tls_accept(server, v.joint.accepted));
        assert_int_equal(send(v.fd, cases[i].sent.ptr, cases[i].sent.len, 0), cases[i].sent.len);
        assert_int_equal(shutdown(v.fd, SHUT_WR), 0);
        RUN_UNTIL(v.loop, v.end.n_close);
        assert_true(v.end.has_why);
        visit_end(&v);
    }
    tls_server_unref(server);
}

/* A consumer that does not read yet has a handshake all the same, and then gets all that came. */
static void shakes_hands_while_not_reading(void **state)
{
    uint8_t sha256[32];
    struct tls_server *server = new_server(sha256);
    struct rig *rig = rig_new(join_pair);
    struct str data = noise(2, 300000);
    struct stream *client;
    struct err err;
    struct tls_client_options options = {.has_pin = true};

    (void)state;
    memcpy(options.pin_sha256, sha256, sizeof(sha256));
    end_take(&rig->b, tls_accept(server, rig->b.s));
    assert_int_equal(tls_connect(&options, rig->a.s, &client, &err), 0);
    end_take(&rig->a, client);
    stream_read_stop(rig->b.s);
    end_write(&rig->b, STR("hello"));
    RUN_UNTIL(rig->loop, rig->a.got.len == 5);
    end_write(&rig->a, data);
    end_close(&rig->a);
    RUN_ROUNDS(rig->loop, 30);
    assert_int_equal(rig->b.got.len, 0);
    assert_int_equal(rig->b.n_close, 0);
    stream_read_start(rig->b.s);
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_int_equal(rig->b.got.len, data.len);
    assert_memory_equal(rig->b.got.ptr, data.ptr, data.len);
    assert_false(rig->b.has_why);
    str_free(&data);
    tls_server_unref(server);
    rig_free(rig);
}

/* OpenSSL's client between two memory BIOs, so that a test may do with it what no stream does. */
static SSL *own_client;

static void feed_own_client(struct end *e, struct str data)
{
    char *out = NULL;

    if (data.len > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(own_client), data.ptr, (int)data.len), data.len);
    (void)SSL_do_handshake(own_client);
    long n = BIO_get_mem_data(SSL_get_wbio(own_client), &out);

    if (n > 0)
        end_write(e, str_bytes(out, (size_t)n));
    (void)BIO_reset(SSL_get_wbio(own_client));
}

/* Each key update may ask for one in return. Who asks on and on and never reads is cut off. */
static void does_not_answer_key_updates_for_ever(void **state)
{
    uint8_t sha256[32];
    struct tls_server *server = new_server(sha256);
    struct rig *rig = rig_new(join_pair);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    size_t most = 0;

    (void)state;
    own_client = SSL_new(ctx);
    SSL_set_bio(own_client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(own_client);
    end_take(&rig->b, tls_accept(server, rig->b.s));
    rig->a.data = feed_own_client;
    feed_own_client(&rig->a, STR_NONE);
    RUN_UNTIL(rig->loop, SSL_is_init_finished(own_client));
    RUN_ROUNDS(rig->loop, 20);
    /* As long as it reads, it may ask as often as it likes. */
    for (int i = 0; i < 6000; i++) {
        assert_int_equal(SSL_key_update(own_client, SSL_KEY_UPDATE_REQUESTED), 1);
        feed_own_client(&rig->a, STR_NONE);
        loop_run_once(rig->loop, 0);
        assert_int_equal(rig->b.n_close, 0);
    }
    stream_read_stop(rig->a.s);
    for (int i = 0; i < 30000 && rig->b.n_close == 0; i++) {
        assert_int_equal(SSL_key_update(own_client, SSL_KEY_UPDATE_REQUESTED), 1);
        feed_own_client(&rig->a, STR_NONE);
        loop_run_once(rig->loop, 0);
        most = rig->b.s ? MAX(most, stream_pending(rig->b.s)) : most;
    }
    assert_int_equal(rig->b.n_close, 1);
    assert_int_equal(rig->b.why.code, ERR_LIMIT);
    assert_in_range(most, 1, 128 << 10);
    SSL_free(own_client);
    SSL_CTX_free(ctx);
    tls_server_unref(server);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_time_when_woken),
        cmocka_unit_test(answers_a_half_closed_peer),
        cmocka_unit_test(answers_a_peer_that_said_too_much),
        cmocka_unit_test(says_what_is_wrong_with_a_handshake),
        cmocka_unit_test(calls_an_end_in_the_handshake_broken),
        cmocka_unit_test(shakes_hands_while_not_reading),
        cmocka_unit_test(does_not_answer_key_updates_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
