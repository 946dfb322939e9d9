/*
 * TLS as a layer, over OpenSSL with memory BIOs; once a server's TLS 1.3 handshake is done, over
 * records of our own (record_internal.h).
 *
 *   below --bytes--> BIO in --> SSL --> plain --> consumer        below --bytes--> record --> ...
 *   below <--bytes-- BIO out <- SSL <-- plain <-- consumer        below <--bytes-- record <-- ...
 *
 *   SSL with the handshake done --take_over: secrets, what is in BIO in--> record; SSL is freed
 *
 * Plain text written before the handshake is done waits in `early`. Whatever has come is decrypted
 * at once; what a consumer that does not read is owed waits with the stream (stream_deliver).
 *
 * TLS answers some messages by itself (key updates): those answers are counted, so that a peer that
 * asks and never reads is cut off.
 */

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "core/metric.h"
#include "net/layer_internal.h"
#include "net/record_internal.h"
#include "net/tls_internal.h"

static struct metric handshakes =
    METRIC_COUNTER("hatsize_tls_handshakes_total", "TLS handshakes done as a server.");
static struct metric failed = METRIC_COUNTER("hatsize_tls_handshakes_failed_total",
                                             "TLS handshakes that failed as a server.");

#define ANSWERS_MAX ((size_t)64 << 10) /* bytes queued that nobody here has written */
#define TURNS 2                        /* steps of handshakes, twice a round */

/* Of the handshake, until its end. */
struct secrets {
    struct record_options options;
    bool has_in, has_out;
};

struct tls {
    struct layer layer;
    SSL *ssl;                /* NULL when there is `record` */
    struct secrets *secrets; /* NULL: none are collected */
    struct record *record;
    struct buf in; /* the record that is not whole yet; only with `record` */
    struct list_node turn;
    struct tls_server *server; /* NULL for clients */
    struct buf early;
    struct timer limit;
    size_t answers; /* bytes TLS has answered by itself since the queue was last empty */
    bool is_ready;
    bool may_h2;
    bool has_alert; /* queued for the peer: it goes out before the end */
    void (*on_ready)(void *user);
    void *ready_user;
    bool has_pin;
    uint8_t pin[32];
};

/* ---- Moving bytes ---- */

static void send_out(struct tls *t)
{
    BIO *bio = SSL_get_wbio(t->ssl);
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);

    if (n <= 0)
        return;
    if (t->layer.below)
        stream_write(t->layer.below, str_bytes(data, (size_t)n));
    (void)BIO_reset(bio);
}

static void broken(struct tls *t, const char *doing)
{
    struct err err = {0};

    IGNORE(tls_fail(&err, doing));
    t->has_alert = BIO_ctrl_pending(SSL_get_wbio(t->ssl)) > 0;
    send_out(t);
    stream_fail(&t->layer.stream, &err);
}

/* What reading made TLS say. */
static void send_answers(struct tls *t)
{
    size_t n = BIO_ctrl_pending(SSL_get_wbio(t->ssl));
    struct err err = {0};

    if (n == 0)
        return;
    t->answers = layer_pending(&t->layer.stream) > 0 ? t->answers + n : n;
    if (t->answers <= ANSWERS_MAX) {
        send_out(t);
        return;
    }
    IGNORE(err_set(&err, ERR_LIMIT, "the peer asks TLS for answers and does not read them"));
    stream_fail(&t->layer.stream, &err);
}

/* ---- Records of our own ---- */

/* Where sealed records go: `own` when the stream below has no place for them. */
static struct buf *out_begin(struct tls *t, struct buf *own)
{
    struct buf *below = t->layer.below ? stream_write_begin(t->layer.below) : NULL;

    *own = BUF((size_t)1 << 40);
    return below ? below : own;
}

static void out_end(struct tls *t, const struct buf *out, struct buf *own)
{
    if (out != own)
        stream_write_end(t->layer.below);
    else if (t->layer.below)
        stream_write(t->layer.below, buf_str(own));
    buf_fini(own);
}

static void seal(struct tls *t, enum record_type type, struct str data)
{
    struct buf own, *out = out_begin(t, &own);
    struct err err = {0};
    int status = record_seal(t->record, type, data, out, &err);

    out_end(t, out, &own);
    if (status < 0)
        stream_fail(&t->layer.stream, &err);
}

static void broken_record(struct tls *t, uint8_t alert)
{
    const char text[] = {2, (char)alert}; /* fatal */
    struct err err = {0};

    IGNORE(err_set(&err, ERR_IO, "reading TLS: the peer broke the protocol (alert %u)", alert));
    t->has_alert = true;
    seal(t, RECORD_ALERT, str_bytes(text, sizeof(text)));
    stream_fail(&t->layer.stream, &err);
}

static void on_alert(struct tls *t, struct str content)
{
    struct err err = {0};
    uint8_t what = content.len == 2 ? (uint8_t)content.ptr[1] : RECORD_DECODE_ERROR;

    if (content.len != 2) {
        broken_record(t, RECORD_DECODE_ERROR);
    } else if (what == RECORD_CLOSE_NOTIFY) {
        stream_fail(&t->layer.stream, NULL);
    } else if (what != RECORD_USER_CANCELED) {
        IGNORE(err_set(&err, ERR_IO, "reading TLS: the peer sent alert %u", what));
        stream_fail(&t->layer.stream, &err);
    }
}

static void on_handshake_record(struct tls *t, struct str content)
{
    bool answer = false;
    uint8_t alert = 0;
    struct err err = {0};

    if (record_on_handshake(t->record, content, !t->server, &answer, &alert) < 0) {
        broken_record(t, alert);
        return;
    }
    if (!answer)
        return;
    struct buf own, *out = out_begin(t, &own);
    size_t was = out->len;
    bool is_queued = layer_pending(&t->layer.stream) > 0;
    int status = record_update(t->record, out, &err);
    size_t n = out->len - was;

    out_end(t, out, &own);
    t->answers = is_queued ? t->answers + n : n;
    if (status == 0 && t->answers > ANSWERS_MAX)
        status = err_set(&err, ERR_LIMIT, "the peer asks TLS for answers and does not read them");
    if (status < 0)
        stream_fail(&t->layer.stream, &err);
}

/* Moves to `in` what its record lacks: of the header first, then of the rest. */
static struct str complete(struct tls *t, struct str *data)
{
    for (int i = 0; i < 2 && data->len > 0; i++) {
        size_t want = MIN(record_wants(buf_str(&t->in)), RECORD_MAX);
        size_t n = MIN(want - MIN(want, t->in.len), data->len);

        buf_put(&t->in, str_sub(*data, 0, n));
        *data = str_from_index(*data, n);
    }
    return buf_str(&t->in);
}

/* What a record brought besides data: `content` is at the end of what is filled. */
static void on_message(struct tls *t, uint8_t type, struct str content)
{
    if (type == RECORD_ALERT)
        on_alert(t, content);
    else
        on_handshake_record(t, content);
}

/*
 * Everything that can be opened: straight from where it was read to the plain buffer, and from
 * there to the consumer, as few pieces as the buffer allows.
 */
static void open_records(struct tls *t, struct str data, char *plain)
{
    struct stream *s = &t->layer.stream;
    size_t filled = 0;

    while (s->state == STREAM_OPEN) {
        bool is_kept = t->in.len > 0;
        struct str cur = is_kept ? complete(t, &data) : data;
        struct record_content got = {0};
        uint8_t alert = 0;
        enum record_opened opened =
            record_open(t->record, cur, plain + filled, READ_BUFFER - filled, &got, &alert);

        if (opened == RECORD_MORE && !is_kept) {
            buf_put(&t->in, data);
            data = STR_NONE;
        }
        if (opened == RECORD_OK && is_kept)
            buf_fini(&t->in);
        else if (opened == RECORD_OK)
            data = str_from_index(data, got.used);
        if (opened == RECORD_OK && got.type == RECORD_DATA && got.len > 0) {
            filled += got.len;
            continue;
        }
        if (filled > 0)
            stream_deliver(s, str_bytes(plain, filled));
        if (s->state != STREAM_OPEN || opened == RECORD_MORE)
            break;
        if (opened == RECORD_BROKEN)
            broken_record(t, alert);
        else if (opened == RECORD_OK && got.type != RECORD_DATA)
            on_message(t, got.type, str_bytes(plain + filled, got.len));
        filled = 0;
    }
}

static void read_records(struct tls *t, struct str data)
{
    struct loop *loop = t->layer.stream.loop;
    char *plain = TAKE(loop->plain_buffer); /* TLS inside TLS brings its own */

    if (!plain)
        plain = mem_alloc(READ_BUFFER);
    open_records(t, data, plain);
    if (loop->plain_buffer)
        mem_free(plain);
    else
        loop->plain_buffer = plain;
}

static void secrets_free(struct secrets *s)
{
    if (!s)
        return;
    mem_wipe(s, sizeof(*s));
    mem_free(s);
}

/*
 * Counts the records that wait to be sent and are sealed with the secret that the connection keeps:
 * the tickets, which the server sends last of all. False: something else is there.
 */
static bool count_tickets(struct tls *t, uint64_t *n)
{
    char *data = NULL;
    long len = BIO_get_mem_data(SSL_get_wbio(t->ssl), &data);
    struct str rest = str_bytes(data, len > 0 ? (size_t)len : 0);

    for (*n = 0; rest.len > 0; ++*n) {
        if (rest.len < RECORD_HEADER || rest.ptr[0] != RECORD_DATA || rest.len < record_wants(rest))
            return false;
        rest = str_from_index(rest, record_wants(rest));
    }
    return true;
}

/* The handshake is done. From now on OpenSSL is not needed, if all is as it should be. */
static void take_over(struct tls *t, uint64_t sent)
{
    struct secrets *s = TAKE(t->secrets);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    struct err err = {0};

    if (s && s->has_in && s->has_out && cipher && SSL_version(t->ssl) == TLS1_3_VERSION &&
        SSL_has_pending(t->ssl) == 0) {
        char *rest = NULL;
        long len = BIO_get_mem_data(SSL_get_rbio(t->ssl), &rest);

        s->options.suite = SSL_CIPHER_get_protocol_id(cipher);
        s->options.out_seq = sent;
        if (record_new(&s->options, &t->record, &err) == 0) {
            t->in = BUF((size_t)1 << 40); /* `complete` bounds it */
            buf_put(&t->in, str_bytes(rest, len > 0 ? (size_t)len : 0));
            SSL_free(TAKE(t->ssl));
        }
    }
    secrets_free(s);
}

/* OpenSSL tells secrets as lines of text: which, whose (its random number), the secret. */
void tls_on_secret(const SSL *ssl, const char *line)
{
    struct tls *t = SSL_get_app_data(ssl);
    struct secrets *s = t ? t->secrets : NULL;
    struct str of_client = STR("CLIENT_TRAFFIC_SECRET_0");
    struct str of_server = STR("SERVER_TRAFFIC_SECRET_0");
    struct str which, whose, secret;

    if (!s || !str_split(str_from(line), ' ', &which, &whose) ||
        !str_split(whose, ' ', &whose, &secret) || secret.len / 2 > RECORD_SECRET_MAX)
        return;
    if (str_eq(which, t->server ? of_client : of_server))
        s->has_in = hex_decode(secret, s->options.in_secret, secret.len / 2);
    else if (str_eq(which, t->server ? of_server : of_client))
        s->has_out = hex_decode(secret, s->options.out_secret, secret.len / 2);
    else
        return;
    s->options.secret_len = secret.len / 2;
}

struct ip_addr tls_local(const SSL *ssl)
{
    const struct tls *t = SSL_get_app_data(ssl);

    return t->layer.stream.local.addr;
}

bool tls_may_h2(const SSL *ssl)
{
    const struct tls *t = SSL_get_app_data(ssl);

    return t && t->may_h2;
}

/* ---- Writing, the handshake ---- */

static void write_plain(struct tls *t, struct str data)
{
    size_t wrote = 0;

    if (t->record) {
        seal(t, RECORD_DATA, data);
        return;
    }
    ERR_clear_error();
    while (data.len > 0) {
        if (SSL_write_ex(t->ssl, data.ptr, data.len, &wrote) != 1) {
            broken(t, "writing TLS");
            return;
        }
        data = str_from_index(data, wrote);
    }
    send_out(t);
}

/* Closing after what is queued begins here, or when the handshake is done. */
static void say_goodbye(struct tls *t)
{
    if (t->record) {
        seal(t, RECORD_ALERT, STR("\x01\0")); /* a warning: close_notify */
    } else {
        (void)SSL_shutdown(t->ssl);
        send_out(t);
    }
    layer_close(&t->layer.stream);
}

static void become_ready(struct tls *t)
{
    struct buf early = t->early;

    if (t->has_pin && !tls_pin_is_right(t->ssl, t->pin)) {
        struct err err = {0};

        IGNORE(err_set(&err, ERR_DENIED, "the certificate is not the pinned one"));
        stream_fail(&t->layer.stream, &err);
        return;
    }
    t->is_ready = true;
    timer_stop(&t->limit);
    if (t->server)
        metric_add(&handshakes, 1);
    if (t->server && t->ssl && tls_is_challenge(t->ssl)) {
        stream_fail(&t->layer.stream, NULL); /* who asks so wanted the certificate only */
        return;
    }
    if (t->layer.stream.read_stopped)
        layer_update_reading(&t->layer.stream); /* so far the handshake had to be read */
    t->early = (struct buf){0};
    if (early.len > 0)
        write_plain(t, buf_str(&early));
    buf_fini(&early);
    if (t->layer.stream.state == STREAM_CLOSING)
        say_goodbye(t);
    else if (t->on_ready)
        t->on_ready(t->ready_user);
}

static bool handshake(struct tls *t)
{
    ERR_clear_error();
    int status = SSL_do_handshake(t->ssl);

    if (status != 1 && SSL_get_error(t->ssl, status) != SSL_ERROR_WANT_READ) {
        broken(t, "TLS handshake");
        return false;
    }
    uint64_t sent = 0;
    /* A client has sent nothing yet under the secret it keeps; a pin wants the certificate. */
    bool can_take_over =
        status == 1 && t->secrets && (t->server ? count_tickets(t, &sent) : !t->has_pin);

    send_out(t);
    if (can_take_over)
        take_over(t, sent);
    if (status == 1)
        become_ready(t);
    return t->is_ready && t->layer.stream.state == STREAM_OPEN;
}

/* Everything that can be decrypted now, a read buffer at a time. */
static void read_plain(struct tls *t)
{
    struct stream *s = &t->layer.stream;
    struct loop *loop = s->loop;
    char *plain = TAKE(loop->plain_buffer); /* TLS inside TLS brings its own */

    if (!plain)
        plain = mem_alloc(READ_BUFFER);
    while (s->state == STREAM_OPEN) {
        size_t n = 0, filled = 0;
        int status = 1;

        ERR_clear_error();
        /* Several records go to the consumer as one piece. */
        while (filled < READ_BUFFER &&
               (status = SSL_read_ex(t->ssl, plain + filled, READ_BUFFER - filled, &n)) == 1)
            filled += n;
        int why = status == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, status);

        if (filled > 0)
            stream_deliver(s, str_bytes(plain, filled));
        if (s->state != STREAM_OPEN || why == SSL_ERROR_WANT_READ)
            break;
        if (why == SSL_ERROR_ZERO_RETURN) {
            stream_fail(s, NULL);
            break;
        }
        if (why != SSL_ERROR_NONE) {
            broken(t, "reading TLS");
            break;
        }
    }
    if (loop->plain_buffer)
        mem_free(plain);
    else
        loop->plain_buffer = plain;
    if (s->state == STREAM_OPEN)
        send_answers(t);
}

static void shake_hands(struct tls *t)
{
    if (!handshake(t))
        return;
    if (!t->record) {
        read_plain(t);
        return;
    }
    struct buf rest = t->in; /* came together with the end of the handshake */

    t->in = BUF(rest.limit);
    read_records(t, buf_str(&rest));
    buf_fini(&rest);
}

static void on_more_turns(struct deferred *d)
{
    struct turns *turns = CONTAINER_OF(d, struct turns, more);
    struct loop *loop = CONTAINER_OF(turns, struct loop, handshakes);

    turns->done = 0;
    for (int i = 0; i < TURNS; i++) {
        struct list_node *n = list_pop_front(&turns->waiting);

        if (!n)
            return;
        struct tls *t = CONTAINER_OF(n, struct tls, turn);

        if (!t->layer.below)
            continue;
        stream_read_start(t->layer.below);
        shake_hands(t);
    }
    if (!list_is_empty(&turns->waiting))
        loop_defer(loop, d);
}

/*
 * A step of a handshake takes as long as relaying hundreds of packets. When many come at once, a
 * few go on in each round and the others wait, unread: connections that are ready come first.
 */
static bool may_shake_hands(struct tls *t)
{
    struct loop *loop = t->layer.stream.loop;
    struct turns *turns = &loop->handshakes;

    if (!t->server)
        return true;
    turns->more.run = on_more_turns;
    loop_defer(loop, &turns->more);
    if (turns->done < TURNS && list_is_empty(&turns->waiting)) {
        turns->done++;
        return true;
    }
    stream_read_stop(t->layer.below);
    if (!list_node_is_linked(&t->turn))
        list_push_back(&turns->waiting, &t->turn);
    return false;
}

static void on_data(struct layer *l, struct str data)
{
    struct tls *t = CONTAINER_OF(l, struct tls, layer);

    if (t->record) {
        read_records(t, data);
        return;
    }
    if (BIO_write(SSL_get_rbio(t->ssl), data.ptr, (int)data.len) != (int)data.len) {
        broken(t, "buffering TLS");
        return;
    }
    if (t->is_ready)
        read_plain(t);
    else if (may_shake_hands(t))
        shake_hands(t);
}

static void tls_write(struct stream *s, struct str data)
{
    struct tls *t = CONTAINER_OF(s, struct tls, layer.stream);

    if (t->is_ready)
        write_plain(t, data);
    else
        buf_put(&t->early, data);
}

static size_t tls_pending(const struct stream *s)
{
    return layer_pending(s) + CONTAINER_OF_CONST(s, struct tls, layer.stream)->early.len;
}

/* The handshake is read also for a consumer that does not read. */
static void tls_update_reading(struct stream *s)
{
    if (CONTAINER_OF(s, struct tls, layer.stream)->is_ready)
        layer_update_reading(s);
}

static void tls_close(struct stream *s)
{
    struct tls *t = CONTAINER_OF(s, struct tls, layer.stream);

    if (t->is_ready) {
        say_goodbye(t);
        return;
    }
    if (t->early.len > 0 && t->layer.below)
        return; /* what is early goes first; the handshake's limit stays */
    timer_stop(&t->limit);
    layer_close(s);
}

static void tls_abort(struct stream *s)
{
    struct tls *t = CONTAINER_OF(s, struct tls, layer.stream);

    timer_stop(&t->limit);
    list_remove(&t->turn);
    if (t->has_alert && t->layer.below) {
        t->has_alert = false; /* a second abort does not wait */
        stream_close(t->layer.below);
        return;
    }
    layer_abort(s);
}

static void tls_free(struct stream *s)
{
    struct tls *t = CONTAINER_OF(s, struct tls, layer.stream);

    timer_stop(&t->limit);
    if (t->server && !t->is_ready)
        metric_add(&failed, 1);
    layer_fini(&t->layer);
    list_remove(&t->turn);
    SSL_free(t->ssl);
    secrets_free(t->secrets);
    record_free(t->record);
    buf_fini(&t->in);
    tls_server_unref(t->server);
    if (t->early.ptr)
        mem_wipe(t->early.ptr, t->early.cap);
    buf_fini(&t->early);
    mem_free(t);
}

static const struct stream_ops tls_ops = {.write = tls_write,
                                          .pending = tls_pending,
                                          .update_reading = tls_update_reading,
                                          .close = tls_close,
                                          .abort = tls_abort,
                                          .free = tls_free};

static void on_limit(void *user)
{
    struct tls *t = user;
    struct err err = {0};

    IGNORE(err_set(&err, ERR_IO, "TLS handshake: no end in time"));
    stream_fail(&t->layer.stream, &err);
}

/*
 * In the handshake, or in the middle of a record. Many peers leave out TLS's own word for the end,
 * so that is held against nobody.
 */
static bool is_cut(const struct layer *l)
{
    const struct tls *t = CONTAINER_OF_CONST(l, struct tls, layer);

    if (t->record)
        return t->in.len > 0;
    return !t->is_ready || SSL_has_pending(t->ssl) == 1;
}

static struct tls *tls_new(SSL *ssl, struct stream *below)
{
    struct tls *t = NEW(struct tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    ASSERT(in && out);
    (void)BIO_set_mem_eof_return(in, -1);
    (void)BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    t->ssl = ssl;
    list_node_init(&t->turn);
    layer_init(&t->layer, below, &tls_ops, on_data);
    t->layer.stream.is_tls = true;
    t->layer.is_cut = is_cut;
    timer_init(&t->limit, below->loop, on_limit, t);
    timer_start(&t->limit, HANDSHAKE_MS);
    return t;
}

/* ---- Server ---- */

static struct stream *begin_server(struct tls_server *server, struct stream *below, bool may_h2)
{
    struct tls *t = tls_new(tls_server_begin(server), below);

    t->server = tls_server_ref(server);
    t->secrets = NEW(struct secrets);
    t->may_h2 = may_h2;
    (void)SSL_set_app_data(t->ssl, t);
    return &t->layer.stream;
}

struct stream *tls_accept(struct tls_server *server, struct stream *below)
{
    return begin_server(server, below, false);
}

struct stream *tls_accept_h2(struct tls_server *server, struct stream *below)
{
    return begin_server(server, below, true);
}

/* ---- Client ---- */

int tls_connect(const struct tls_client_options *options, struct stream *below, struct stream **out,
                struct err *err)
{
    SSL *ssl = NULL;
    int status = tls_client_begin(options, &ssl, err);

    if (status < 0) {
        stream_abort(below);
        return status;
    }
    struct tls *t = tls_new(ssl, below);

    if (options->shared) {
        t->secrets = NEW(struct secrets);
        (void)SSL_set_app_data(ssl, t);
    }
    t->on_ready = options->on_ready;
    t->ready_user = options->user;
    t->has_pin = options->has_pin;
    memcpy(t->pin, options->pin_sha256, sizeof(t->pin));
    (void)handshake(t);
    *out = &t->layer.stream;
    return 0;
}
