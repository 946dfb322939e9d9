#include "auth/oidc.h"

#include "core/mem.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "http/client.h"

#define DOCUMENT_MAX ((size_t)256 << 10)
#define DISCOVER_MS 30000
#define ASK_MS 15000

/* ---- What the provider says of itself ---- */

struct oidc_meta *oidc_meta_ref(struct oidc_meta *m)
{
    if (m)
        ref_take(&m->ref);
    return m;
}

void oidc_meta_unref(struct oidc_meta *m)
{
    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->authorize_url);
    str_free(&m->token_url);
    str_free(&m->userinfo_url);
    str_free(&m->jwks_url);
    jwks_unref(m->keys);
    mem_free(m);
}

/* An address that may be asked or shown: of a kind with the issuer's, printable, no blanks. */
static bool url_is_good(const struct oidc_provider *p, struct str url)
{
    bool is_tls = str_starts(url, STR("https://"));

    if (!is_tls && (str_starts(p->issuer, STR("https://")) || !str_starts(url, STR("http://"))))
        return false;
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= 0x20 || (unsigned char)url.ptr[i] >= 0x7f)
            return false;
    return url.len <= 2048;
}

static int take_url(const struct oidc_provider *p, const struct json_value *doc, const char *name,
                    bool is_needed, struct str *out, struct err *err)
{
    struct str url = json_get_str(doc, name);

    if (url.len == 0 && !is_needed)
        return 0;
    if (!url_is_good(p, url))
        return err_set(err, ERR_INVALID, "the provider's %s is missing or no good", name);
    *out = str_copy(url);
    return 0;
}

static bool list_has(const struct json_value *list, const char *text)
{
    JSON_EACH(one, list) {
        if (str_eq(json_as_str(one, STR_NONE), str_from(text)))
            return true;
    }
    return false;
}

/* Basic is the default and every server must take it, unless it says otherwise. */
static bool wants_secret_in_body(const struct json_value *doc)
{
    const struct json_value *methods = json_get_array(doc, "token_endpoint_auth_methods_supported");

    return methods && !list_has(methods, "client_secret_basic") &&
           list_has(methods, "client_secret_post");
}

int oidc_meta_parse(const struct oidc_provider *p, struct str json, struct oidc_meta **out,
                    struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(oidc_meta_unref) struct oidc_meta *m = NEW(struct oidc_meta);
    const struct json_options options = {.max_nodes = 20000, .max_bytes = DOCUMENT_MAX};
    struct json_value *doc = NULL;

    ref_init(&m->ref);
    if (!json_parse(arena, json, &options, &doc, NULL) || !json_is(doc, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "the provider's discovery document is not JSON");
    if (!str_eq(json_get_str(doc, "issuer"), p->issuer))
        return err_set(err, ERR_INVALID,
                       "the provider calls itself \"%.*s\": write that as the issuer",
                       (int)MIN(json_get_str(doc, "issuer").len, (size_t)120),
                       json_get_str(doc, "issuer").ptr ? json_get_str(doc, "issuer").ptr : "");
    if (take_url(p, doc, "authorization_endpoint", true, &m->authorize_url, err) < 0 ||
        take_url(p, doc, "token_endpoint", true, &m->token_url, err) < 0 ||
        take_url(p, doc, "jwks_uri", true, &m->jwks_url, err) < 0 ||
        take_url(p, doc, "userinfo_endpoint", false, &m->userinfo_url, err) < 0)
        return -(int)err->code;
    m->secret_in_body = wants_secret_in_body(doc);
    *out = TAKE(m);
    return 0;
}

/* ---- Asking it ---- */

static int ask(const struct http_fetch_options *options, struct buf *body, int *status,
               struct err *err)
{
    struct http_fetch_options o = *options;

    o.max_body = body->limit;
    return http_fetch(&o, status, body, err);
}

static int get(const struct oidc_provider *p, struct str url, int64_t ms,
               const _Atomic(bool) *cancelled, struct buf *body, struct err *err)
{
    char *text = str_dup(url);
    const struct http_fetch_options options = {
        .url = text, .timeout_ms = ms, .ca_file = p->ca_file, .cancelled = cancelled};
    int status = 0, got = ask(&options, body, &status, err);

    if (got == 0 && status != 200)
        got = err_set(err, ERR_IO, "%s: the provider answered %d", text, status);
    mem_free(text);
    return got;
}

static int fetch_keys(const struct oidc_provider *p, struct str url, const _Atomic(bool) *cancelled,
                      struct jwks **out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(JWKS_MAX);

    if (get(p, url, ASK_MS, cancelled, &body, err) < 0 || jwks_parse(buf_str(&body), out, err) < 0)
        return err_wrap(err, "reading the keys of %.*s", STR_ARG(p->issuer));
    return 0;
}

int oidc_discover(const struct oidc_provider *p, const _Atomic(bool) *cancelled,
                  struct oidc_meta **out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(DOCUMENT_MAX), url = BUF(4096);
    AUTO(oidc_meta_unref) struct oidc_meta *m = NULL;
    struct str issuer = p->issuer;

    while (str_ends(issuer, STR("/")))
        issuer.len--;
    buf_printf(&url, "%.*s/.well-known/openid-configuration", STR_ARG(issuer));
    if (get(p, buf_str(&url), DISCOVER_MS, cancelled, &body, err) < 0 ||
        oidc_meta_parse(p, buf_str(&body), &m, err) < 0)
        return err_wrap(err, "asking %.*s about itself", STR_ARG(p->issuer));
    if (fetch_keys(p, m->jwks_url, cancelled, &m->keys, err) < 0)
        return -(int)err->code;
    *out = TAKE(m);
    return 0;
}

int oidc_fetch_keys(const struct oidc_provider *p, const struct oidc_meta *m,
                    const _Atomic(bool) *cancelled, struct oidc_meta **out, struct err *err)
{
    struct jwks *keys = NULL;

    if (fetch_keys(p, m->jwks_url, cancelled, &keys, err) < 0)
        return -(int)err->code;
    struct oidc_meta *next = NEW(struct oidc_meta);
    ref_init(&next->ref);
    next->authorize_url = str_copy(m->authorize_url);
    next->token_url = str_copy(m->token_url);
    next->userinfo_url = str_copy(m->userinfo_url);
    next->jwks_url = str_copy(m->jwks_url);
    next->secret_in_body = m->secret_in_body;
    next->keys = keys;
    *out = next;
    return 0;
}

/* ---- Sending the browser there ---- */

static void make_hex(char *out, size_t bytes)
{
    struct buf text = BUF(256);

    secret_put_hex(&text, bytes);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    mem_wipe(text.ptr, text.len);
    buf_fini(&text);
}

void oidc_secrets_make(struct oidc_secrets *s)
{
    make_hex(s->state, OIDC_STATE_BYTES);
    make_hex(s->nonce, OIDC_STATE_BYTES);
    make_hex(s->verifier, 32);
}

void oidc_put_encoded(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c != '\0' && strchr("-_.~", c)))
            buf_put_char(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static void put_param(struct buf *out, const char *name, struct str value)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '?')
        buf_put_char(out, '&');
    oidc_put_encoded(out, str_from(name));
    buf_put_char(out, '=');
    oidc_put_encoded(out, value);
}

static void put_challenge(struct buf *out, enum oidc_pkce pkce, struct str verifier)
{
    AUTO_FINI(buf_fini) struct buf challenge = BUF(128);
    uint8_t hash[HASH_BYTES];

    if (pkce == OIDC_PKCE_PLAIN) {
        buf_put(&challenge, verifier);
    } else {
        sha256(verifier, hash);
        buf_put_base64url(&challenge, str_bytes(hash, sizeof(hash)));
    }
    put_param(out, "code_challenge", buf_str(&challenge));
    put_param(out, "code_challenge_method", pkce == OIDC_PKCE_PLAIN ? STR("plain") : STR("S256"));
}

static void put_scopes(struct buf *out, const struct oidc_provider *p)
{
    AUTO_FINI(buf_fini) struct buf scope = BUF(8192);

    for (size_t i = 0; i < p->n_scopes; i++) {
        buf_put(&scope, i > 0 ? STR(" ") : STR(""));
        buf_put(&scope, p->scopes[i]);
    }
    put_param(out, "scope", buf_str(&scope));
}

void oidc_put_authorize_url(struct buf *out, const struct oidc_provider *p,
                            const struct oidc_meta *m, const struct oidc_secrets *s,
                            struct str redirect_uri)
{
    buf_put(out, m->authorize_url);
    if (str_find_char(m->authorize_url, '?') < 0)
        buf_put_char(out, '?');
    put_param(out, "client_id", p->client_id);
    put_param(out, "redirect_uri", redirect_uri);
    put_param(out, "response_type", STR("code"));
    put_scopes(out, p);
    put_param(out, "state", str_from(s->state));
    put_param(out, "nonce", str_from(s->nonce));
    if (p->pkce != OIDC_PKCE_NONE)
        put_challenge(out, p->pkce, str_from(s->verifier));
    for (size_t i = 0; i < p->n_extra; i++) {
        char *name = str_dup(p->extra[i].name);

        put_param(out, name, p->extra[i].value);
        mem_free(name);
    }
}

/* ---- A code made into claims ---- */

static void wipe_buf(struct buf *b)
{
    if (b->ptr)
        mem_wipe(b->ptr, b->len);
    buf_fini(b);
}

static void put_token_form(struct buf *form, const struct oidc_exchange *x)
{
    const struct oidc_provider *p = x->provider;

    put_param(form, "grant_type", STR("authorization_code"));
    put_param(form, "code", x->code);
    put_param(form, "redirect_uri", x->redirect_uri);
    if (p->pkce != OIDC_PKCE_NONE)
        put_param(form, "code_verifier", str_from(x->secrets->verifier));
    if (x->meta->secret_in_body) {
        put_param(form, "client_id", p->client_id);
        put_param(form, "client_secret", p->client_secret);
    }
}

/* RFC 6749 2.3.1: both are form-encoded first. */
static void put_basic(struct buf *out, const struct oidc_provider *p)
{
    AUTO_FINI(wipe_buf) struct buf pair = BUF(32768);

    oidc_put_encoded(&pair, p->client_id);
    buf_put_char(&pair, ':');
    oidc_put_encoded(&pair, p->client_secret);
    buf_put_base64(out, buf_str(&pair));
}

/* The tokens out of the answer; x->err says what is wrong with it. */
static enum oidc_outcome read_tokens(struct oidc_exchange *x, int status, struct str answer)
{
    const struct json_options options = {.max_nodes = 20000, .max_bytes = DOCUMENT_MAX};
    struct json_value *root = NULL;

    x->answer = arena_copy(x->arena, answer);
    if (!json_parse(x->arena, x->answer, &options, &root, NULL))
        root = NULL;
    if (status >= 500) {
        (void)!err_set(&x->err, ERR_IO, "the token endpoint answered %d", status);
        return OIDC_AWAY;
    }
    if (status != 200) {
        struct str why = json_get_str(root, "error");

        (void)!err_set(&x->err, ERR_DENIED, "the token endpoint answered %d %.*s", status,
                       (int)MIN(why.len, (size_t)64), why.ptr ? why.ptr : "");
        return OIDC_REFUSED;
    }
    x->id_token = json_get_str(root, "id_token");
    x->access_token = json_get_str(root, "access_token");
    if (x->id_token.len > 0)
        return OIDC_OK;
    (void)!err_set(&x->err, ERR_INVALID, "the provider gave no ID token");
    return OIDC_NO_TOKEN;
}

static enum oidc_outcome redeem(struct oidc_exchange *x)
{
    AUTO_FINI(wipe_buf) struct buf form = BUF(65536), basic = BUF(65536);
    AUTO_FINI(wipe_buf) struct buf answer = BUF(DOCUMENT_MAX);
    char *url = str_dup(x->meta->token_url);
    struct http_fetch_options options = {
        .url = url,
        .method = "POST",
        .content_type = "application/x-www-form-urlencoded",
        .timeout_ms = ASK_MS,
        .ca_file = x->provider->ca_file,
        .cancelled = x->cancelled,
    };
    int status = 0;

    put_token_form(&form, x);
    options.body = buf_str(&form);
    if (!x->meta->secret_in_body) {
        put_basic(&basic, x->provider);
        options.basic = buf_str(&basic);
    }
    int got = ask(&options, &answer, &status, &x->err);

    mem_free(url);
    return got < 0 ? OIDC_AWAY : read_tokens(x, status, buf_str(&answer));
}

enum oidc_outcome oidc_exchange_verify(struct oidc_exchange *x, int64_t now_ms)
{
    const struct oidc_expectation expected = {.issuer = x->provider->issuer,
                                              .client_id = x->provider->client_id,
                                              .nonce = str_from(x->secrets->nonce),
                                              .now_ms = now_ms};
    struct jwt token;

    if (jwt_decode(x->arena, x->id_token, &token, &x->err) < 0)
        return OIDC_REFUSED;
    switch (jwks_verify(x->meta->keys, &token)) {
    case JWT_UNKNOWN_KEY:
        (void)!err_set(&x->err, ERR_DENIED, "no key of the provider fits the token");
        return OIDC_UNKNOWN_KEY;
    case JWT_FORGED:
        (void)!err_set(&x->err, ERR_DENIED, "the token's signature is wrong");
        return OIDC_REFUSED;
    case JWT_GOOD:
        break;
    }
    if (oidc_claims_check(token.payload, &expected, &x->err) < 0 ||
        oidc_claims_read(x->arena, token.payload, &x->claims, &x->err) < 0)
        return OIDC_REFUSED;
    return OIDC_OK;
}

/* Says more, but the ID token stands by itself: whoever cannot answer here is not asked again. */
static void ask_userinfo(struct oidc_exchange *x)
{
    AUTO_FINI(wipe_buf) struct buf answer = BUF(DOCUMENT_MAX);
    const struct json_options json = {.max_nodes = 20000, .max_bytes = DOCUMENT_MAX};
    struct json_value *root = NULL;
    struct err err = {0};
    int status = 0;

    if (x->meta->userinfo_url.len == 0 || x->access_token.len == 0)
        return;
    char *url = str_dup(x->meta->userinfo_url);
    const struct http_fetch_options options = {.url = url,
                                               .bearer = x->access_token,
                                               .timeout_ms = ASK_MS,
                                               .ca_file = x->provider->ca_file,
                                               .cancelled = x->cancelled};

    if (ask(&options, &answer, &status, &err) == 0 && status == 200 &&
        json_parse(x->arena, arena_copy(x->arena, buf_str(&answer)), &json, &root, NULL))
        (void)oidc_claims_overlay(x->arena, root, &x->claims);
    mem_free(url);
}

void oidc_exchange_fini(struct oidc_exchange *x)
{
    if (x->answer.len > 0)
        mem_wipe((void *)(uintptr_t)x->answer.ptr, x->answer.len); /* the arena's, and so ours */
    x->answer = x->id_token = x->access_token = STR_NONE;
}

enum oidc_outcome oidc_exchange_run(struct oidc_exchange *x, int64_t now_ms)
{
    enum oidc_outcome outcome = OIDC_OK;

    if (x->id_token.len == 0)
        outcome = redeem(x);
    if (outcome == OIDC_OK)
        outcome = oidc_exchange_verify(x, now_ms);
    if (outcome == OIDC_OK)
        ask_userinfo(x);
    return outcome;
}
