#include "acme/order.h"

#include "acme/jws.h"
#include "core/clock.h"
#include "core/mem.h"
#include "crypto/hash.h"
#include "ip/addr.h"
#include "net/cert.h"
#include "net/tls.h"
#include "json/writer.h"

#define RUN_MS ((int64_t)10 * 60 * 1000) /* an attempt, at most */
#define POLL_MS 1000                     /* unless the authority says how long */
#define POLL_MIN_MS 250
#define POLL_MAX_MS 30000
#define TEXT_MAX ((size_t)512 << 10)
#define NO_CHALLENGE ACME_CHALLENGE_COUNT

enum run_state {
    RUN_OPEN,
    RUN_REGISTER,
    RUN_ORDER,
    RUN_AUTHORIZE,
    RUN_VALIDATE,
    RUN_READY,
    RUN_FINALIZE,
    RUN_ISSUE,
    RUN_DONE,
    RUN_STATE_COUNT
};

struct acme_run {
    struct acme_run_options options;
    struct str name, replaces; /* owned */
    bool is_address;
    enum run_state state;
    int64_t end_ms;      /* of the attempt; mono */
    struct arena *arena; /* of the order, with what is in `order` */
    struct acme_order order;
    struct str order_url; /* owned */
    size_t authorization; /* the current one */
    bool tried[ACME_CHALLENGE_COUNT];
    enum acme_challenge_kind presented; /* NO_CHALLENGE: none */
    struct str why;                     /* owned: why the last challenge failed */
    struct acme_reply reply;
    struct buf result; /* the key; then the chain too */
};

struct acme_run *acme_run_new(const struct acme_run_options *options)
{
    struct acme_run *r = NEW(struct acme_run);
    struct ip_addr addr;

    r->options = *options;
    r->name = str_copy(options->name);
    r->replaces = str_copy(options->replaces);
    r->is_address = ip_addr_parse(r->name, &addr);
    r->end_ms = clock_mono_ms() + RUN_MS;
    r->presented = NO_CHALLENGE;
    r->result = BUF(TEXT_MAX);
    return r;
}

static void withdraw(struct acme_run *r)
{
    if (r->presented == NO_CHALLENGE)
        return;
    IGNORE(r->options.present(r->options.user, r->presented, r->name, STR_NONE, NULL, NULL));
    r->presented = NO_CHALLENGE;
}

void acme_run_free(struct acme_run *r)
{
    if (!r)
        return;
    withdraw(r);
    str_free(&r->name);
    str_free(&r->replaces);
    str_free(&r->order_url);
    str_free(&r->why);
    arena_free(r->arena);
    acme_reply_fini(&r->reply);
    if (r->result.ptr)
        mem_wipe(r->result.ptr, r->result.cap);
    buf_fini(&r->result);
    mem_free(r);
}

struct str acme_run_result(const struct acme_run *r)
{
    return buf_str(&r->result);
}

/* ---- The order ---- */

static bool read_order(struct acme_run *r)
{
    struct arena *arena = arena_new();
    struct acme_order order;
    struct str text = arena_copy(arena, buf_str(&r->reply.body));

    if (!acme_read_order(arena, text, acme_ca_is_plain(r->options.ca), &order)) {
        arena_free(arena);
        return false;
    }
    arena_free(r->arena);
    r->arena = arena;
    r->order = order;
    return true;
}

static int bad_answer(struct err *err, const char *what)
{
    return err_set(err, ERR_IO, "the authority's answer is no %s", what);
}

static void put_order(const struct acme_run *r, bool replaces, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_array(&w, STR("identifiers"));
    json_begin_object(&w);
    json_field_str(&w, STR("type"), r->is_address ? STR("ip") : STR("dns"));
    json_field_str(&w, STR("value"), r->name);
    json_end_object(&w);
    json_end_array(&w);
    if (r->is_address) /* what Let's Encrypt gives addresses: about six days */
        json_field_str(&w, STR("profile"), STR("shortlived"));
    if (replaces)
        json_field_str(&w, STR("replaces"), r->replaces);
    json_end_object(&w);
}

static int place_order(struct acme_run *r, bool replaces, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf payload = BUF(TEXT_MAX);

    put_order(r, replaces, &payload);
    return acme_ca_post(r->options.ca, acme_ca_new_order_url(r->options.ca), buf_str(&payload),
                        &r->reply, err);
}

static int order(struct acme_run *r, struct err *err)
{
    bool replaces = r->replaces.len > 0;
    int status = place_order(r, replaces, err);

    /* It may be replaced already, or be another authority's: then it is an order like the first. */
    if (status < 0 && replaces && r->reply.status >= 400 && r->reply.status < 500 &&
        r->reply.problem == ACME_PROBLEM_OTHER) {
        str_free(&r->replaces);
        status = place_order(r, false, err);
    }
    if (status < 0)
        return err_wrap(err, "ordering");
    if (!read_order(r) || r->reply.location.len == 0 ||
        (r->order.status != ACME_PENDING && r->order.status != ACME_READY))
        return bad_answer(err, "new order");
    str_free(&r->order_url);
    r->order_url = str_copy(r->reply.location);
    r->authorization = 0;
    r->state = r->order.status == ACME_READY ? RUN_FINALIZE : RUN_AUTHORIZE;
    return 0;
}

/* ---- Challenges ---- */

static bool may_try(const struct acme_run *r, enum acme_challenge_kind kind)
{
    if (r->tried[kind])
        return false;
    if (kind == ACME_TLS_ALPN_01)
        return r->options.tls_alpn_01 && !r->is_address;
    return kind == ACME_HTTP_01 && r->options.http_01;
}

static int present(struct acme_run *r, enum acme_challenge_kind kind, struct str token,
                   struct err *err)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(1024);
    uint8_t hash[HASH_BYTES];

    acme_put_key_authorization(&text, acme_ca_key(r->options.ca), token);
    sha256(buf_str(&text), hash);
    r->presented = kind;
    return r->options.present(r->options.user, kind, r->name, token, hash, err);
}

static int no_challenge(struct acme_run *r, struct err *err)
{
    if (r->why.len > 0)
        return err_set(err, ERR_DENIED, "%.*s", STR_ARG(r->why));
    return err_set(err, ERR_DENIED, "the authority offers no challenge that can be met here");
}

static int authorize(struct acme_run *r, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct acme_authorization z;

    if (r->authorization == r->order.n_authorizations) {
        r->state = RUN_READY;
        return 0;
    }
    if (acme_ca_post(r->options.ca, r->order.authorizations[r->authorization], STR_NONE, &r->reply,
                     err) < 0)
        return err_wrap(err, "asking for challenges");
    /* The text goes with the next request's answer. */
    if (!acme_read_authorization(arena, arena_copy(arena, buf_str(&r->reply.body)),
                                 acme_ca_is_plain(r->options.ca), &z))
        return bad_answer(err, "authorization");
    if (z.status == ACME_VALID) { /* of an earlier order */
        r->authorization++;
        return 0;
    }
    for (enum acme_challenge_kind k = 0; z.status == ACME_PENDING && k < ACME_CHALLENGE_COUNT;
         k++) {
        if (z.challenges[k].url.len == 0 || !may_try(r, k))
            continue;
        r->tried[k] = true;
        if (present(r, k, z.challenges[k].token, err) < 0)
            return err_wrap(err, "presenting the answer to a challenge");
        if (acme_ca_post(r->options.ca, z.challenges[k].url, STR("{}"), &r->reply, err) < 0)
            return err_wrap(err, "asking for a challenge to be checked");
        r->state = RUN_VALIDATE;
        return 0;
    }
    return no_challenge(r, err);
}

static const char *kind_name(enum acme_challenge_kind kind)
{
    return kind == ACME_HTTP_01 ? "http-01" : "tls-alpn-01";
}

/* What it says is kept for the log, should no other kind of challenge work. */
static void note_failure(struct acme_run *r, const struct acme_authorization *z)
{
    struct buf why = BUF(512);

    buf_printf(&why, "%s failed: ", kind_name(r->presented));
    for (size_t i = 0; i < MIN(z->problem.detail.len, (size_t)160); i++) {
        char c = z->problem.detail.ptr[i];

        buf_put_char(&why, c >= ' ' && c < 0x7f ? c : '?');
    }
    str_free(&r->why);
    r->why = buf_take(&why);
}

static int validate(struct acme_run *r, bool *is_waiting, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct acme_authorization z;

    if (acme_ca_post(r->options.ca, r->order.authorizations[r->authorization], STR_NONE, &r->reply,
                     err) < 0)
        return err_wrap(err, "asking about a challenge");
    if (!acme_read_authorization(arena, buf_str(&r->reply.body), acme_ca_is_plain(r->options.ca),
                                 &z))
        return bad_answer(err, "authorization");
    *is_waiting = z.status == ACME_PENDING || z.status == ACME_PROCESSING;
    if (*is_waiting)
        return 0;
    if (z.status == ACME_VALID) {
        withdraw(r);
        r->authorization++;
        r->state = RUN_AUTHORIZE;
        return 0;
    }
    note_failure(r, &z);
    withdraw(r);
    for (enum acme_challenge_kind k = 0; k < ACME_CHALLENGE_COUNT; k++) {
        if (!may_try(r, k))
            continue;
        r->state = RUN_ORDER; /* this one is spoilt */
        return 0;
    }
    return no_challenge(r, err);
}

/* ---- The certificate ---- */

static int poll_order(struct acme_run *r, struct err *err)
{
    if (acme_ca_post(r->options.ca, r->order_url, STR_NONE, &r->reply, err) < 0)
        return err_wrap(err, "asking about the order");
    if (!read_order(r))
        return bad_answer(err, "order");
    if (r->order.status == ACME_INVALID)
        return err_set(err, ERR_DENIED, "the order became invalid");
    return 0;
}

static int wait_ready(struct acme_run *r, bool *is_waiting, struct err *err)
{
    if (poll_order(r, err) < 0)
        return -(int)err->code;
    if (r->order.status == ACME_READY)
        r->state = RUN_FINALIZE;
    else if (r->order.status == ACME_VALID)
        return bad_answer(err, "order of ours: it is done already");
    else
        *is_waiting = true;
    return 0;
}

static int finalize(struct acme_run *r, bool *is_waiting, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf der = BUF(TEXT_MAX), payload = BUF(TEXT_MAX);
    struct json_writer w = JSON_WRITER(&payload);

    buf_clear(&r->result);
    if (cert_key_new(&r->result, err) < 0 ||
        cert_request(buf_str(&r->result), &r->name, 1, &der, err) < 0)
        return -(int)err->code;
    json_begin_object(&w);
    json_key(&w, STR("csr"));
    json_begin_plain(&w);
    buf_put_base64url(&payload, buf_str(&der));
    json_end_plain(&w);
    json_end_object(&w);
    if (acme_ca_post(r->options.ca, r->order.finalize, buf_str(&payload), &r->reply, err) < 0)
        return err_wrap(err, "finalizing");
    if (!read_order(r))
        return bad_answer(err, "order");
    r->state = RUN_ISSUE;
    *is_waiting = r->order.status != ACME_VALID;
    return 0;
}

/* What came is for the name, of the key, and good now. */
static int check_result(struct acme_run *r, struct err *err)
{
    struct str text = buf_str(&r->result);
    const struct tls_server_options options = {.cert_pem = text, .key_pem = text};
    struct tls_server *trial = NULL;
    struct cert_times times;
    bool fits = false;

    if (cert_is_for_host(text, r->name, &fits, err) < 0 || cert_times(text, &times, err) < 0 ||
        tls_server_new(&options, &trial, err) < 0)
        return err_wrap(err, "the certificate that came");
    tls_server_unref(trial);
    if (!fits)
        return err_set(err, ERR_IO, "the certificate that came is not for %.*s", STR_ARG(r->name));
    if (times.not_after_unix_ms <= clock_unix_ms())
        return err_set(err, ERR_IO, "the certificate that came has ended (is the clock right?)");
    return 0;
}

static int issue(struct acme_run *r, bool *is_waiting, struct err *err)
{
    if (r->order.status != ACME_VALID && poll_order(r, err) < 0)
        return -(int)err->code;
    if (r->order.status != ACME_VALID) {
        *is_waiting = true;
        return 0;
    }
    if (acme_ca_post(r->options.ca, r->order.certificate, STR_NONE, &r->reply, err) < 0)
        return err_wrap(err, "downloading the certificate");
    if (!acme_is_chain(buf_str(&r->reply.body)))
        return bad_answer(err, "chain of certificates");
    buf_put(&r->result, buf_str(&r->reply.body));
    if (check_result(r, err) < 0)
        return -(int)err->code;
    r->state = RUN_DONE;
    return 0;
}

/* ---- Steps ---- */

static int step(struct acme_run *r, bool *is_waiting, struct err *err)
{
    int status = 0;

    switch (r->state) {
    case RUN_OPEN:
        status = acme_ca_open(r->options.ca, &r->reply, err);
        r->state = RUN_REGISTER;
        break;
    case RUN_REGISTER:
        status = acme_ca_register(r->options.ca, &r->reply, err);
        r->state = RUN_ORDER;
        break;
    case RUN_ORDER:
        return order(r, err);
    case RUN_AUTHORIZE:
        return authorize(r, err);
    case RUN_VALIDATE:
        return validate(r, is_waiting, err);
    case RUN_READY:
        return wait_ready(r, is_waiting, err);
    case RUN_FINALIZE:
        return finalize(r, is_waiting, err);
    case RUN_ISSUE:
        return issue(r, is_waiting, err);
    case RUN_DONE:
    case RUN_STATE_COUNT:
        break;
    }
    return status;
}

static int64_t poll_wait(const struct acme_run *r)
{
    if (r->reply.retry_after_ms < 0)
        return POLL_MS;
    return MIN(MAX(r->reply.retry_after_ms, (int64_t)POLL_MIN_MS), (int64_t)POLL_MAX_MS);
}

enum acme_step acme_run_step(struct acme_run *r, int64_t *wait_ms, struct err *err)
{
    bool is_waiting = false;
    int status = step(r, &is_waiting, err);

    if (status == 0 && r->state != RUN_DONE && clock_mono_ms() >= r->end_ms)
        status = err_set(err, ERR_IO, "no certificate in time%s%.*s", r->why.len > 0 ? "; " : "",
                         STR_ARG(r->why));
    if (status < 0) {
        *wait_ms = r->reply.retry_after_ms;
        withdraw(r);
        return ACME_STEP_FAILED;
    }
    *wait_ms = is_waiting ? poll_wait(r) : 0;
    return r->state == RUN_DONE ? ACME_STEP_DONE : ACME_STEP_AGAIN;
}
