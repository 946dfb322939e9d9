/* See id_token.h. */

#include "control/id_token.h"

#include "control/control_internal.h"
#include "core/clock.h"
#include "core/rand.h"
#include "crypto/hash.h"
#include "json/value.h"
#include "json/writer.h"

#define TOKEN_MAX ((size_t)64 << 10)
#define REQUEST_NODES_MAX 64
#define JTI_BYTES 16

/* ---- The key ---- */

static void put_key(struct json_writer *w, const struct p256_key *key, bool canonical)
{
    uint8_t x[P256_BYTES], y[P256_BYTES];
    struct buf text = BUF(128);

    p256_key_public(key, x, y);
    json_field_str(w, STR("crv"), STR("P-256"));
    json_field_str(w, STR("kty"), STR("EC"));
    buf_put_base64url(&text, str_bytes(x, sizeof(x)));
    json_field_str(w, STR("x"), buf_str(&text));
    buf_clear(&text);
    buf_put_base64url(&text, str_bytes(y, sizeof(y)));
    json_field_str(w, STR("y"), buf_str(&text));
    buf_fini(&text);
    if (!canonical) {
        json_field_str(w, STR("use"), STR("sig"));
        json_field_str(w, STR("alg"), STR("ES256"));
    }
}

/* RFC 7638: the hash of what makes the key, so that another key has another name. */
static void put_key_id(struct buf *out, const struct p256_key *key)
{
    uint8_t hash[HASH_BYTES];
    struct buf text = BUF(512);
    struct json_writer w = JSON_WRITER(&text);

    json_begin_object(&w);
    put_key(&w, key, true);
    json_end_object(&w);
    sha256(buf_str(&text), hash);
    buf_put_base64url(out, str_bytes(hash, sizeof(hash)));
    buf_fini(&text);
}

void id_token_put_keys(struct buf *out, const struct p256_key *key)
{
    struct json_writer w = JSON_WRITER(out);
    struct buf id = BUF(64);

    put_key_id(&id, key);
    json_begin_object(&w);
    json_field_array(&w, STR("keys"));
    json_begin_object(&w);
    put_key(&w, key, false);
    json_field_str(&w, STR("kid"), buf_str(&id));
    json_end_object(&w);
    json_end_array(&w);
    json_end_object(&w);
    buf_fini(&id);
}

static void field_words(struct json_writer *w, struct str key, const char *const *words, size_t n)
{
    json_field_array(w, key);
    for (size_t i = 0; i < n; i++)
        json_str(w, str_from(words[i]));
    json_end_array(w);
}

void id_token_put_discovery(struct buf *out, struct str issuer)
{
    static const char *const types[] = {"id_token"}, *const subjects[] = {"public"},
                             *const algorithms[] = {"ES256"}, *const scopes[] = {"openid"},
                             *const claims[] = {"sub",  "aud",    "exp",  "iat",       "iss",
                                                "jti",  "nbf",    "key",  "addresses", "nid",
                                                "node", "domain", "tags", "user",      "uid"};
    struct json_writer w = JSON_WRITER(out);
    struct buf keys = BUF(4096);

    buf_printf(&keys, "%.*s/.well-known/jwks.json", STR_ARG(issuer));
    json_begin_object(&w);
    json_field_str(&w, STR("issuer"), issuer);
    json_field_str(&w, STR("jwks_uri"), buf_str(&keys));
    field_words(&w, STR("response_types_supported"), types, ARRAY_LEN(types));
    field_words(&w, STR("subject_types_supported"), subjects, ARRAY_LEN(subjects));
    field_words(&w, STR("id_token_signing_alg_values_supported"), algorithms,
                ARRAY_LEN(algorithms));
    field_words(&w, STR("scopes_supported"), scopes, ARRAY_LEN(scopes));
    field_words(&w, STR("claims_supported"), claims, ARRAY_LEN(claims));
    json_end_object(&w);
    buf_fini(&keys);
}

/* ---- The token ---- */

static void put_header(struct buf *out, const struct p256_key *key)
{
    struct buf text = BUF(512), id = BUF(64);
    struct json_writer w = JSON_WRITER(&text);

    put_key_id(&id, key);
    json_begin_object(&w);
    json_field_str(&w, STR("alg"), STR("ES256"));
    json_field_str(&w, STR("kid"), buf_str(&id));
    json_field_str(&w, STR("typ"), STR("JWT"));
    json_end_object(&w);
    buf_put_base64url(out, buf_str(&text));
    buf_fini(&text);
    buf_fini(&id);
}

static void put_addresses(struct json_writer *w, const struct node *n)
{
    json_field_array(w, STR("addresses"));
    for (int i = 0; i < 2; i++) {
        struct ip_addr addr = i == 0 ? n->v4 : n->v6;

        if (!ip_addr_is_set(addr))
            continue;
        json_begin_plain(w);
        ip_addr_put(w->out, addr);
        buf_put(w->out, addr.family == IP_V4 ? STR("/32") : STR("/128"));
        json_end_plain(w);
    }
    json_end_array(w);
}

/* The owner: tags, or a user; each with the tailnet it is of. */
static void put_owner(struct json_writer *w, const struct tailnet_view *view, const struct node *n)
{
    struct str domain = view_info(view)->domain;
    const struct user *user = n->user ? view_user_find(view, n->user) : NULL;
    struct buf text = BUF(8192), scratch = BUF(1024);

    if (node_is_tagged(n)) {
        json_field_array(w, STR("tags"));
        for (size_t i = 0; i < n->tags.len; i++) {
            buf_clear(&text);
            buf_printf(&text, "%.*s:%.*s", STR_ARG(domain), STR_ARG(n->tags.items[i]));
            json_str(w, buf_str(&text));
        }
        json_end_array(w);
    } else if (user) {
        struct str login = user_login_name(user, &scratch);

        buf_printf(&text, "%.*s:%.*s", STR_ARG(domain), STR_ARG(login));
        json_field_str(w, STR("user"), buf_str(&text));
        json_field_u64(w, STR("uid"), user->id);
    }
    buf_fini(&text);
    buf_fini(&scratch);
}

static void put_claims(struct buf *out, struct str issuer, const struct tailnet_view *view,
                       const struct node *n, struct str audience, int64_t now_ms)
{
    struct buf text = BUF(TOKEN_MAX);
    struct json_writer w = JSON_WRITER(&text);
    uint8_t jti[JTI_BYTES];
    struct str name = node_dns_name(n);

    rand_bytes(jti, sizeof(jti));
    json_begin_object(&w);
    json_field_str(&w, STR("iss"), issuer);
    json_field_str(&w, STR("sub"), name);
    json_field_str(&w, STR("aud"), audience);
    json_field_i64(&w, STR("iat"), now_ms / 1000);
    json_field_i64(&w, STR("nbf"), now_ms / 1000);
    json_field_i64(&w, STR("exp"), now_ms / 1000 + ID_TOKEN_S);
    json_field_hex(&w, STR("jti"), STR_NONE, str_bytes(jti, sizeof(jti)));
    json_field_hex(&w, STR("key"), STR("nodekey:"), str_bytes(&n->key, sizeof(n->key)));
    put_addresses(&w, n);
    json_field_u64(&w, STR("nid"), n->id);
    json_field_str(&w, STR("node"), name);
    json_field_str(&w, STR("domain"), view_info(view)->domain);
    put_owner(&w, view, n);
    json_end_object(&w);
    buf_put_base64url(out, buf_str(&text));
    buf_fini(&text);
}

void id_token_put(struct buf *out, const struct p256_key *key, struct str issuer,
                  const struct tailnet_view *view, const struct node *node, struct str audience,
                  int64_t now_ms)
{
    struct buf signed_part = BUF(2 * TOKEN_MAX);
    uint8_t signature[P256_SIGNATURE_BYTES];

    put_header(&signed_part, key);
    buf_put_char(&signed_part, '.');
    put_claims(&signed_part, issuer, view, node, audience, now_ms);
    p256_sign(key, buf_str(&signed_part), signature);
    buf_put(out, buf_str(&signed_part));
    buf_put_char(out, '.');
    buf_put_base64url(out, str_bytes(signature, sizeof(signature)));
    buf_fini(&signed_part);
}

/* ---- Inside the channel ---- */

/* A token that waits to hear from the registrar whose node the key is. */
struct token_request {
    struct registrar_query query;
    struct control *control;
    struct http_exchange *x; /* NULL: the client went */
    struct machine_key machine;
    struct node_key key;
    struct str audience;             /* owned */
    const struct node *node;         /* counted; NULL: none of this machine's */
    bool is_held;                    /* it is its, and has no access */
    const struct tailnet_view *view; /* counted: its tailnet */
};

static void token_find(struct registrar_query *q, struct domain *d)
{
    struct token_request *t = CONTAINER_OF(q, struct token_request, query);
    const struct node *n = domain_node_by_key(d, &t->key);

    if (!n || n->expired || !machine_key_eq(&n->machine, &t->machine))
        return;
    t->is_held = !node_has_access(n);
    if (t->is_held)
        return;
    t->view = domain_view(d, n->tailnet);
    if (!view_info(t->view)->suspended)
        t->node = node_ref(n);
}

static void respond_token(struct token_request *t)
{
    struct buf out = BUF(TOKEN_MAX * 4), token = BUF(TOKEN_MAX * 3);
    struct json_writer w = JSON_WRITER(&out);

    id_token_put(&token, t->control->id_token_key, t->control->server_url, t->view, t->node,
                 t->audience, clock_unix_ms());
    json_begin_object(&w);
    json_field_str(&w, STR("id_token"), buf_str(&token));
    json_end_object(&w);
    http_respond(t->x, 200, "application/json", buf_str(&out));
    buf_fini(&out);
    buf_fini(&token);
}

static void token_found(struct registrar_query *q)
{
    struct token_request *t = CONTAINER_OF(q, struct token_request, query);

    if (t->x) {
        http_on_end(t->x, NULL, NULL);
        if (t->node)
            respond_token(t);
        else if (t->is_held)
            http_respond_text(t->x, 403, "this machine has no access to its tailnet yet");
        else
            http_respond_text(t->x, 401, "this machine is not logged in");
    }
    node_unref(t->node);
    view_unref(t->view);
    str_free(&t->audience);
    mem_free(t);
}

static void token_client_went(void *user, bool aborted)
{
    struct token_request *t = user;

    (void)aborted;
    t->x = NULL;
}

void on_id_token(void *user, struct http_exchange *x, const struct http_request *req)
{
    struct control *c = user;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_options options = {.max_nodes = REQUEST_NODES_MAX};
    struct json_value *body = NULL;
    struct node_key key;

    if (!c->id_token_key) {
        http_respond_text(x, 501, "not available on this server");
        return;
    }
    if (!json_parse(arena, req->body, &options, &body, NULL) ||
        !key_parse(json_get_str(body, "NodeKey"), STR("nodekey:"), key.b)) {
        http_respond_text(x, 400, "the body is no token request");
        return;
    }
    struct str audience = json_get_str(body, "Audience");

    if (audience.len == 0 || audience.len > ID_TOKEN_AUDIENCE_MAX) {
        http_respond_text(x, 400, "an audience has 1 to 1024 bytes");
        return;
    }
    struct token_request *t = NEW(struct token_request);

    *t = (struct token_request){
        .query = {.run = token_find, .done = token_found, .loop = req->loop},
        .control = c,
        .x = x,
        .machine = request_channel(req)->machine,
        .key = key,
        .audience = str_copy(audience),
    };
    http_on_end(x, token_client_went, t);
    registrar_ask(c->registrar, &t->query);
}

/* ---- The outer door ---- */

static void respond_public(struct http_exchange *x, struct buf *body)
{
    http_add_header(x, STR("cache-control"), STR("public, max-age=300"));
    http_respond(x, 200, "application/json", buf_str(body));
    buf_fini(body);
}

void control_on_openid_configuration(struct control *c, struct http_exchange *x)
{
    struct buf body = BUF(16384);

    id_token_put_discovery(&body, c->server_url);
    respond_public(x, &body);
}

void control_on_jwks(struct control *c, struct http_exchange *x)
{
    struct buf body = BUF(4096);

    if (c->id_token_key)
        id_token_put_keys(&body, c->id_token_key);
    else
        buf_put(&body, STR("{\"keys\":[]}"));
    respond_public(x, &body);
}
