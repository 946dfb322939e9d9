#include "acme/ca.h"

#include "acme/jws.h"
#include "core/clock.h"
#include "core/mem.h"
#include "http/client.h"
#include "json/writer.h"

#define REQUEST_MS 30000
#define ANSWER_MAX ((size_t)256 << 10)
/* An authority may refuse some by chance, and an order has many requests. */
#define NONCE_TRIES 10
#define SAYS_MAX 160 /* characters of a problem's own words */

struct acme_ca {
    struct str directory_url, email, eab_kid, eab_key;
    char *ca_file; /* or NULL */
    const struct p256_key *key;
    const _Atomic(bool) *cancelled;
    struct str new_nonce, new_account, new_order, renewal_info;
    struct str account; /* its URL; empty: not known yet */
    struct str nonce;   /* for the next request; empty: none */
};

struct acme_ca *acme_ca_new(const struct acme_ca_options *o)
{
    struct acme_ca *ca = NEW(struct acme_ca);

    ca->directory_url = str_copy(o->directory_url);
    ca->email = str_copy(o->email);
    ca->eab_kid = str_copy(o->eab_kid);
    ca->eab_key = str_copy(o->eab_key);
    ca->ca_file = o->ca_file.len > 0 ? str_dup(o->ca_file) : NULL;
    ca->key = o->key;
    ca->cancelled = o->cancelled;
    return ca;
}

static void set(struct str *field, struct str value)
{
    struct str copy = str_copy(value);

    str_free(field);
    *field = copy;
}

void acme_ca_free(struct acme_ca *ca)
{
    if (!ca)
        return;
    if (ca->eab_key.len > 0)
        mem_wipe((void *)(uintptr_t)ca->eab_key.ptr, ca->eab_key.len);
    struct str *const all[] = {
        &ca->directory_url, &ca->email,     &ca->eab_kid,      &ca->eab_key, &ca->new_nonce,
        &ca->new_account,   &ca->new_order, &ca->renewal_info, &ca->account, &ca->nonce,
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        str_free(all[i]);
    mem_free(ca->ca_file);
    mem_free(ca);
}

const struct p256_key *acme_ca_key(const struct acme_ca *ca)
{
    return ca->key;
}

bool acme_ca_is_plain(const struct acme_ca *ca)
{
    return str_starts(ca->directory_url, STR("http://"));
}

struct str acme_ca_new_order_url(const struct acme_ca *ca)
{
    return ca->new_order;
}

struct str acme_ca_renewal_url(const struct acme_ca *ca)
{
    return ca->renewal_info;
}

void acme_reply_fini(struct acme_reply *r)
{
    buf_fini(&r->body);
    str_free(&r->location);
}

/* ---- One request ---- */

struct exchange {
    struct acme_ca *ca;
    struct acme_reply *reply;
};

static void on_header(void *user, struct str name, struct str value)
{
    struct exchange *x = user;

    if (str_eq_nocase(name, STR("replay-nonce")) && acme_is_token(value))
        set(&x->ca->nonce, value);
    else if (str_eq_nocase(name, STR("location")) && acme_is_url(value, acme_ca_is_plain(x->ca)))
        set(&x->reply->location, value);
    else if (str_eq_nocase(name, STR("retry-after")))
        x->reply->retry_after_ms = acme_read_retry_after(value, clock_unix_ms());
}

/* What strangers say goes to a log: one line of plain characters. */
static struct str plain_text(char out[SAYS_MAX], struct str said)
{
    size_t n = MIN(said.len, (size_t)SAYS_MAX);

    for (size_t i = 0; i < n; i++)
        out[i] = said.ptr[i] >= ' ' && said.ptr[i] < 0x7f ? said.ptr[i] : '?';
    return str_bytes(out, n);
}

static int refused(struct acme_reply *r, struct str url, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct acme_problem p = acme_read_problem(arena, buf_str(&r->body));
    char type[SAYS_MAX], detail[SAYS_MAX];

    r->problem = r->status == 429 ? ACME_PROBLEM_RATE_LIMITED : p.kind;
    if (p.type.len == 0 && p.detail.len == 0)
        return err_set(err, ERR_IO, "%.*s answers %d", (int)MIN(url.len, (size_t)128), url.ptr,
                       r->status);
    return err_set(err, ERR_DENIED, "the authority says (%d, %.*s): %.*s", r->status,
                   STR_ARG(plain_text(type, str_sub(p.type, 0, 40))),
                   STR_ARG(plain_text(detail, p.detail)));
}

static int fetch(struct acme_ca *ca, const char *method, struct str url, struct str body,
                 struct acme_reply *r, struct err *err)
{
    struct exchange x = {ca, r};
    char *text = str_dup(url);
    const struct http_fetch_options options = {.url = text,
                                               .method = method,
                                               .body = body,
                                               .content_type =
                                                   body.len > 0 ? "application/jose+json" : NULL,
                                               .timeout_ms = REQUEST_MS,
                                               .ca_file = ca->ca_file,
                                               .max_body = ANSWER_MAX,
                                               .on_header = on_header,
                                               .user = &x,
                                               .cancelled = ca->cancelled};

    acme_reply_fini(r);
    *r = (struct acme_reply){.body = BUF(2 * ANSWER_MAX), .retry_after_ms = -1};
    int status = http_fetch(&options, &r->status, &r->body, err);

    mem_free(text);
    if (status == 0 && (r->status < 200 || r->status > 299))
        status = refused(r, url, err);
    return status;
}

int acme_ca_get(struct acme_ca *ca, struct str url, struct acme_reply *r, struct err *err)
{
    return fetch(ca, "GET", url, STR_NONE, r, err);
}

static int post_once(struct acme_ca *ca, struct str url, struct str payload, bool by_key,
                     struct acme_reply *r, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(ANSWER_MAX);

    if (ca->nonce.len == 0 && fetch(ca, "HEAD", ca->new_nonce, STR_NONE, r, err) < 0)
        return err_wrap(err, "asking for a nonce");
    if (ca->nonce.len == 0)
        return err_set(err, ERR_IO, "the authority gives no nonce");
    struct str nonce = ca->nonce; /* good for one request */

    ca->nonce = STR_NONE;
    const struct acme_jws jws = {
        .key = ca->key, .kid = by_key ? STR_NONE : ca->account, .nonce = nonce, .url = url};

    acme_put_jws(&body, &jws, payload);
    int status = fetch(ca, "POST", url, buf_str(&body), r, err);

    str_free(&nonce);
    return status;
}

static int post(struct acme_ca *ca, struct str url, struct str payload, bool by_key,
                struct acme_reply *r, struct err *err)
{
    int status = -1;

    for (int i = 0; i < NONCE_TRIES; i++) {
        status = post_once(ca, url, payload, by_key, r, err);
        if (status == 0 || r->problem != ACME_PROBLEM_BAD_NONCE)
            break;
    }
    if (status < 0 && r->problem == ACME_PROBLEM_NO_ACCOUNT)
        set(&ca->account, STR_NONE); /* made again the next time */
    return status;
}

int acme_ca_post(struct acme_ca *ca, struct str url, struct str payload, struct acme_reply *r,
                 struct err *err)
{
    return post(ca, url, payload, false, r, err);
}

/* ---- Directory and account ---- */

int acme_ca_open(struct acme_ca *ca, struct acme_reply *r, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct acme_directory d;

    if (acme_ca_get(ca, ca->directory_url, r, err) < 0)
        return err_wrap(err, "asking for the directory");
    if (!acme_read_directory(arena, buf_str(&r->body), acme_ca_is_plain(ca), &d))
        return err_set(err, ERR_IO, "%.*s is no ACME directory", STR_ARG(ca->directory_url));
    set(&ca->new_nonce, d.new_nonce);
    set(&ca->new_account, d.new_account);
    set(&ca->new_order, d.new_order);
    set(&ca->renewal_info, d.renewal_info);
    return 0;
}

static void put_account(const struct acme_ca *ca, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_field_bool(&w, STR("termsOfServiceAgreed"), true);
    if (ca->email.len > 0) {
        struct str mail = str_printf("mailto:%.*s", STR_ARG(ca->email));

        json_field_array(&w, STR("contact"));
        json_str(&w, mail);
        json_end_array(&w);
        str_free(&mail);
    }
    if (ca->eab_kid.len > 0) {
        json_key(&w, STR("externalAccountBinding"));
        json_value_follows(&w);
        acme_put_binding(out, ca->key, ca->eab_kid, ca->eab_key, ca->new_account);
    }
    json_end_object(&w);
}

int acme_ca_register(struct acme_ca *ca, struct acme_reply *r, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf payload = BUF(ANSWER_MAX);

    if (ca->account.len > 0)
        return 0;
    put_account(ca, &payload);
    if (post(ca, ca->new_account, buf_str(&payload), true, r, err) < 0)
        return err_wrap(err, "making the account");
    if (r->location.len == 0)
        return err_set(err, ERR_IO, "the authority does not say where the account is");
    set(&ca->account, r->location);
    return 0;
}
