/*
 * What the relay reads from files: its key, the mesh key, rate limits, certificates.
 *
 * Source: tailscale cmd/derper (derper.go, cert.go), derp/derpserver: the files' forms.
 */

#include "relay/relay_internal.h"

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/cert.h"
#include "json/value.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

/* ---- Key ---- */

/* {"PrivateKey": "privkey:…"} */
static bool parse_key(struct str text, struct node_private *out)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *root = NULL;

    return json_parse(arena, text, NULL, &root, NULL) &&
           node_private_parse(json_get_str(root, "PrivateKey"), out);
}

static int make_key(struct relay *r, struct err *err)
{
    struct buf text = BUF(1024);

    node_private_generate(&r->key);
    buf_put(&text, STR("{\n\t\"PrivateKey\": \""));
    node_private_put(&text, &r->key);
    buf_put(&text, STR("\"\n}\n"));
    int status = file_write_secret(r->o->config, buf_str(&text), err);

    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    if (status == 0)
        log_event(LOG_INFO, "made the relay's key", LOG_STR("file", r->o->config));
    return status;
}

int relay_load_key(struct relay *r, struct err *err)
{
    struct buf text = BUF(FILE_BYTES_MAX);
    bool found = false;

    if (r->o->config.len == 0) { /* -dev: a key for this run */
        node_private_generate(&r->key);
        return 0;
    }
    int status = file_read(r->o->config, &text, &found, err);

    if (status == 0 && !found)
        status = make_key(r, err);
    else if (status == 0)
        status = file_check_private(r->o->config, err);
    if (status == 0 && found && !parse_key(buf_str(&text), &r->key))
        status =
            err_set(err, ERR_INVALID, "%.*s is no key file ({\"PrivateKey\": \"privkey:...\"})",
                    STR_ARG(r->o->config));
    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return status;
}

/* ---- Mesh key ---- */

static int set_mesh_key(struct relay *r, struct str text, struct err *err)
{
    uint8_t none[DERP_MESH_KEY_BYTES] = {0};

    if (!hex_decode(str_trim(text), r->mesh_key, sizeof(r->mesh_key)) ||
        str_eq_secret(str_bytes(r->mesh_key, sizeof(r->mesh_key)), str_bytes(none, sizeof(none))))
        return err_set(err, ERR_INVALID, "the mesh key is not 64 hexadecimal digits");
    r->has_mesh_key = true;
    return 0;
}

int relay_load_mesh_key(struct relay *r, struct err *err)
{
    struct buf text = BUF(FILE_BYTES_MAX);
    const char *of_dev = getenv("TAILSCALE_DERPER_MESH_KEY");
    bool found = false;

    if (r->o->dev)
        return of_dev && of_dev[0] ? set_mesh_key(r, str_from(of_dev), err) : 0;
    if (r->o->mesh_psk_file.len == 0)
        return 0;
    int status = file_read(r->o->mesh_psk_file, &text, &found, err);

    if (status == 0 && !found)
        status = err_set(err, ERR_NOT_FOUND, "-mesh-psk-file: there is no %.*s",
                         STR_ARG(r->o->mesh_psk_file));
    if (status == 0)
        status = set_mesh_key(r, buf_str(&text), err);
    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return status;
}

/* ---- Rate limits ---- */

int relay_load_rates(const struct relay_options *o, struct relay_rates *out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(FILE_BYTES_MAX);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *root = NULL;
    struct json_error why;
    bool found = false;

    *out = (struct relay_rates){0};
    if (o->rate_config.len == 0)
        return 0;
    if (file_read(o->rate_config, &text, &found, err) < 0)
        return -(int)err->code;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "-rate-config: there is no %.*s",
                       STR_ARG(o->rate_config));
    if (!json_parse(arena, buf_str(&text), NULL, &root, &why))
        return err_set(err, ERR_INVALID, "-rate-config: line %u: %s", (unsigned)why.line, why.text);
    if (!json_is(root, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "-rate-config: no object");
    /* Those for all are ours; the official relay passes over what it does not know. */
    static const char *const names[] = {"PerClientRateLimitBytesPerSec", "PerClientRateBurstBytes",
                                        "GlobalRateLimitBytesPerSec", "GlobalRateBurstBytes"};
    uint64_t *const values[] = {&out->bytes_per_second, &out->burst_bytes, &out->total_per_second,
                                &out->total_burst};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct json_value *v = json_get_nocase(root, names[i]);

        if (v && (v->type != JSON_NUMBER || v->number != JSON_UNSIGNED))
            return err_set(err, ERR_INVALID, "-rate-config: %s is %s, not a number of bytes",
                           names[i], json_type_name(v));
        *values[i] = json_as_u64(v, 0);
    }
    return 0;
}

/* ---- Certificates ---- */

struct pair {
    struct str cert_path, key_path; /* owned */
    struct buf cert, key;
    bool is_literal; /* -hostname is an IP address */
    bool is_own;     /* made here */
};

static void pair_fini(struct pair *p)
{
    str_free(&p->cert_path);
    str_free(&p->key_path);
    if (p->key.ptr)
        mem_wipe(p->key.ptr, p->key.cap);
    buf_fini(&p->cert);
    buf_fini(&p->key);
}

/* HOSTNAME with what may not be in a file name left out, as the official relay does. */
static struct str file_name_of(struct str hostname)
{
    struct buf out = BUF(1024);

    for (size_t i = 0; i < hostname.len; i++) {
        char c = hostname.ptr[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.')
            buf_put_char(&out, c);
    }
    return buf_take(&out);
}

static int make_pair(const struct relay_options *o, struct pair *p, struct err *err)
{
    uint8_t sha256[32];

    if (tls_self_signed(&o->hostname, 1, &p->cert, &p->key, sha256, err) < 0 ||
        file_write_secret(p->cert_path, buf_str(&p->cert), err) < 0 ||
        file_write_secret(p->key_path, buf_str(&p->key), err) < 0)
        return -(int)err->code;
    log_event(LOG_INFO, "made a self-signed certificate", LOG_STR("file", p->cert_path));
    return 0;
}

static int read_pair(const struct relay_options *o, struct pair *p, struct err *err)
{
    bool may_make = p->is_literal || p->is_own, have_cert = false, have_key = false;

    if (file_read(p->cert_path, &p->cert, &have_cert, err) < 0 ||
        file_read(p->key_path, &p->key, &have_key, err) < 0)
        return -(int)err->code;
    if (!have_cert && !have_key && may_make)
        return make_pair(o, p, err);
    if (!have_cert || !have_key)
        return err_set(err, ERR_NOT_FOUND, "there is no %.*s",
                       STR_ARG(have_cert ? p->key_path : p->cert_path));
    return 0;
}

static int check_name(const struct relay_options *o, const struct pair *p, struct err *err)
{
    bool fits = false;

    if (cert_is_for_host(buf_str(&p->cert), o->hostname, &fits, err) < 0)
        return err_wrap(err, "%.*s", STR_ARG(p->cert_path));
    if (!fits)
        return err_set(err, ERR_INVALID, "the certificate in %.*s is not for %.*s",
                       STR_ARG(p->cert_path), STR_ARG(o->hostname));
    return 0;
}

/* Whoever sets up the relay map wants this line. */
static int say_pin(const struct relay_options *o, const struct pair *p, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf pin = BUF(256);
    uint8_t sha256[32];

    if (tls_cert_sha256(buf_str(&p->cert), sha256, err) < 0)
        return -(int)err->code;
    buf_put(&pin, STR("sha256-raw:"));
    buf_put_hex(&pin, str_bytes(sha256, sizeof(sha256)));
    log_event(LOG_INFO, "a relay map pins this certificate", LOG_STR("HostName", o->hostname),
              LOG_STR("CertName", buf_str(&pin)));
    return 0;
}

int relay_load_tls(const struct relay_options *o, const struct node_private *key,
                   struct tls_server **out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf meta = BUF(4096);
    AUTO_FINI(pair_fini)
    struct pair p = {.cert = BUF(FILE_BYTES_MAX), .key = BUF(FILE_BYTES_MAX)};
    struct str name = file_name_of(o->hostname);
    struct node_key public_key;
    struct ip_addr literal;

    p.cert_path = str_printf("%.*s/%.*s.crt", STR_ARG(o->cert_dir), STR_ARG(name));
    p.key_path = str_printf("%.*s/%.*s.key", STR_ARG(o->cert_dir), STR_ARG(name));
    str_free(&name);
    p.is_literal = ip_addr_parse(o->hostname, &literal);
    p.is_own = str_eq(o->cert_mode, STR("self-signed"));
    if (read_pair(o, &p, err) < 0 || check_name(o, &p, err) < 0)
        return -(int)err->code;
    /* Clients of 1.82 that were told a pin take no second certificate, not even the meta one. */
    if (p.is_literal || p.is_own) {
        if (say_pin(o, &p, err) < 0)
            return -(int)err->code;
    } else {
        node_private_public(key, &public_key);
        if (tls_derp_meta_cert(public_key.b, &meta, err) < 0)
            return -(int)err->code;
    }
    /* As the official relay: a client that asks for another name, or for none, is not ours. A pin
     * stands for the name. */
    const struct tls_server_options options = {.cert_pem = buf_str(&p.cert),
                                               .key_pem = buf_str(&p.key),
                                               .extra_der = buf_str(&meta),
                                               .names = &o->hostname,
                                               .n_names = p.is_literal || p.is_own ? 0 : 1};

    return tls_server_new(&options, out, err);
}

int relay_open_acme(struct relay *r, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf meta = BUF(4096), name = BUF(1024);
    const struct relay_options *o = r->o;
    struct str host = o->hostname;
    struct node_key public_key;

    if (str_ends(host, STR(".")))
        host = str_sub(host, 0, host.len - 1);
    for (size_t i = 0; i < host.len; i++)
        buf_put_char(&name, (char)(host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? host.ptr[i] | 32
                                                                            : host.ptr[i]));
    struct str lower = buf_str(&name);

    node_private_public(&r->key, &public_key);
    if (tls_derp_meta_cert(public_key.b, &meta, err) < 0)
        return -(int)err->code;
    const struct acme_options options = {
        .dir = o->cert_dir,
        .directory_url = o->acme_directory.len > 0          ? o->acme_directory
                         : str_eq(o->cert_mode, STR("gcp")) ? ACME_GOOGLE
                                                            : STR_NONE,
        .ca_file = o->acme_ca_file,
        .email = o->acme_email,
        .eab_kid = o->acme_eab_kid,
        .eab_key = o->acme_eab_key,
        .names = &lower,
        .n_names = 1,
        .own_addresses = o->acme_ip_certs,
        .http_01 = o->http_port >= 0,
        .tls_alpn_01 = true,
        .extra_der = buf_str(&meta),
    };

    if (acme_new(&options, &r->acme, err) < 0)
        return err_wrap(err, "-certmode %.*s", STR_ARG(o->cert_mode));
    r->tls = tls_server_ref(acme_tls(r->acme));
    return 0;
}
