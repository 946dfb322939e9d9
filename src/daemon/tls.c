/*
 * The certificate: the operator's, or one of our own for the relay, pinned in the relay map by its
 * hash. Ours is made anew when the name that clients use has changed, since they check the name
 * too.
 */

#include "daemon/daemon_internal.h"

#include "core/log.h"
#include "daemon/files.h"

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

int server_load_tls(struct server *s, struct err *err)
{
    struct buf cert = BUF((size_t)1 << 20), key = BUF((size_t)1 << 20), meta = BUF(4096);
    struct node_key public;
    int status = s->config->tls_cert_path.len > 0 ? load_given(s, &cert, &key, err)
                                                  : load_own(s, &cert, &key, err);

    /* Clients of 1.82 that were told a pin take no second certificate, not even the meta one. */
    if (status == 0 && !s->relay_cert_is_pinned) {
        node_private_public(&s->derp_key, &public);
        status = tls_derp_meta_cert(public.b, &meta, err);
    }
    if (status == 0) {
        const struct tls_server_options options = {
            .cert_pem = buf_str(&cert), .key_pem = buf_str(&key), .extra_der = buf_str(&meta)};

        status = tls_server_new(&options, &s->tls, err);
    }
    mem_wipe(key.ptr, key.cap);
    buf_fini(&cert);
    buf_fini(&key);
    buf_fini(&meta);
    return status;
}
