/*
 * The certificate: the operator's, one that comes by itself (acme.c), or one of our own for the
 * relay, pinned in the relay map by its hash. Ours is made anew when the name that clients use has
 * changed, since they check the name too.
 */

#include "daemon/daemon_internal.h"

#include "acme/acme.h"
#include "core/health.h"
#include "core/log.h"
#include "daemon/files.h"
#include "net/cert.h"

#define HOST_VALUE STR("relay_certificate_host")

static int read_pem(struct str path, struct buf *out, bool *found, struct err *err)
{
    return path.len == 0 ? (*found = false, 0) : file_read(path, out, found, err);
}

/* Whether the stored certificate was made for the name in use. */
static int is_for_host(struct server *s, bool *yes, struct err *err)
{
    struct buf host = BUF(1024);
    bool found = false;
    int status = store_value_get(s->store, HOST_VALUE, &host, &found, err);

    *yes = status == 0 && found && str_eq(buf_str(&host), s->config->server_host);
    buf_fini(&host);
    return status;
}

static int make_own(struct server *s, struct buf *cert, struct buf *key, struct err *err)
{
    const struct config *c = s->config;
    uint8_t sha256[32];

    buf_clear(cert);
    buf_clear(key);
    if (tls_self_signed(&c->server_host, 1, cert, key, sha256, err) < 0)
        return -(int)err->code;
    if (file_write_secret(c->derp.cert_path, buf_str(cert), err) < 0)
        return -(int)err->code;
    if (file_write_secret(c->derp.key_path, buf_str(key), err) < 0)
        return -(int)err->code;
    log_event(LOG_INFO, "made a certificate for the relay; its hash goes into the relay map",
              LOG_STR("host", c->server_host), LOG_STR("file", c->derp.cert_path));
    return store_value_put(s->store, HOST_VALUE, c->server_host, err);
}

static int load_own(struct server *s, struct buf *cert, struct buf *key, struct err *err)
{
    bool have_cert = false, have_key = false, fits = false;

    if (read_pem(s->config->derp.cert_path, cert, &have_cert, err) < 0 ||
        read_pem(s->config->derp.key_path, key, &have_key, err) < 0 ||
        is_for_host(s, &fits, err) < 0)
        return -(int)err->code;
    if ((!have_cert || !have_key || !fits) && make_own(s, cert, key, err) < 0)
        return err_wrap(err, "making the relay's certificate");
    s->relay_cert_is_pinned = true;
    return tls_cert_sha256(buf_str(cert), s->relay_cert_sha256, err);
}

static int load_given(struct server *s, struct buf *cert, struct buf *key, struct err *err)
{
    bool have_cert = false, have_key = false;

    if (read_pem(s->config->tls_cert_path, cert, &have_cert, err) < 0 ||
        read_pem(s->config->tls_key_path, key, &have_key, err) < 0)
        return -(int)err->code;
    if (!have_cert || !have_key)
        return err_set(err, ERR_NOT_FOUND, "tls_cert_path or tls_key_path names no file");
    return 0;
}

/* Clients of 1.82 that were told a pin take no second certificate, not even the meta one. */
static int make_meta(const struct server *s, struct buf *meta, struct err *err)
{
    struct node_key public;

    if (s->relay_cert_is_pinned)
        return 0;
    node_private_public(&s->derp_key, &public);
    return tls_derp_meta_cert(public.b, meta, err);
}

/* The relay's own is pinned, and good as long as its hash is: its end means nothing to clients. */
static void note_end(const struct server *s, struct str cert)
{
    struct cert_times times = {0};
    struct err err = {0};

    if (s->config->tls_cert_path.len > 0 && cert_times(cert, &times, &err) == 0)
        health_note_certificate_end(times.not_after_unix_ms);
}

/* A new reference in *out. */
static int load_files(struct server *s, struct tls_server **out, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf cert = BUF((size_t)1 << 20), meta = BUF(4096);
    struct buf key = BUF((size_t)1 << 20);
    int status = s->config->tls_cert_path.len > 0 ? load_given(s, &cert, &key, err)
                                                  : load_own(s, &cert, &key, err);

    if (status == 0)
        status = make_meta(s, &meta, err);
    if (status == 0) {
        const struct tls_server_options options = {
            .cert_pem = buf_str(&cert), .key_pem = buf_str(&key), .extra_der = buf_str(&meta)};

        status = tls_server_new(&options, out, err);
        note_end(s, buf_str(&cert));
    }
    mem_wipe(key.ptr, key.cap);
    buf_fini(&key);
    return status;
}

int server_load_tls(struct server *s, struct err *err)
{
    AUTO_FINI(buf_fini) struct buf meta = BUF(4096);

    if (s->config->acme.host.len == 0)
        return load_files(s, &s->tls, err);
    if (make_meta(s, &meta, err) < 0)
        return -(int)err->code;
    return server_load_acme(s, buf_str(&meta), err);
}

/* Connections that are there keep the certificate they began with. */
void server_reload_tls(struct server *s)
{
    struct tls_server *tls = NULL;
    struct err err = {0};

    if (s->acme) {
        acme_reload(s->acme);
        log_event(LOG_INFO, "certificates read again", LOG_STR("dir", s->config->acme.dir));
        return;
    }
    /* The relay's own is pinned in the relay map: it stays. */
    if (s->config->tls_cert_path.len == 0)
        return;
    if (load_files(s, &tls, &err) < 0) {
        log_event(LOG_ERROR, "the certificate stays as it is", LOG_ERR(&err));
        health_note(HEALTH_CERTIFICATE, str_from(err.text));
        return;
    }
    health_note(HEALTH_CERTIFICATE, STR_NONE);
    http_server_set_tls(s->outer, tls);
    if (s->grpc_server)
        http_server_set_tls(s->grpc_server, tls);
    tls_server_unref(s->tls);
    s->tls = tls;
    log_event(LOG_INFO, "certificate read again", LOG_STR("file", s->config->tls_cert_path));
}
