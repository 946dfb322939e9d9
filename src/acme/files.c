/*
 * The folder, as Go's autocert and the official relay write it, so that it survives a switch.
 *
 * Source: golang.org/x/crypto/acme/autocert (autocert.go: certKey, cachePut, accountKey); tailscale
 * cmd/derper/ipcert.go (certPaths, loadOrCreateAccountKey).
 */

#include "acme/acme_internal.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "ip/addr.h"
#include "net/cert.h"
#include "net/tls.h"

bool acme_is_name(struct str name)
{
    struct ip_addr addr;

    if (ip_addr_parse(name, &addr))
        return true;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.')
            return false;
    }
    return name.len > 0 && name.len <= 253 && name.ptr[0] != '.' && str_find(name, STR("..")) < 0;
}

static struct str path_of(struct str dir, struct str name, const char *suffix)
{
    return str_printf("%.*s/%.*s%s", STR_ARG(dir), STR_ARG(name), suffix);
}

/* ADDRESS with dots for colons, its shortest form. */
static struct str address_stem(struct ip_addr addr)
{
    struct buf out = BUF(64);

    ip_addr_put(&out, addr);
    for (size_t i = 0; i < out.len; i++)
        if (out.ptr[i] == ':')
            out.ptr[i] = '.';
    return buf_take(&out);
}

static int read_into(struct str dir, struct str name, const char *suffix, struct buf *out,
                     bool *found, struct err *err)
{
    struct str path = path_of(dir, name, suffix);
    int status = file_read(path, out, found, err);

    str_free(&path);
    return status;
}

static int write_file(struct str dir, struct str name, const char *suffix, struct str text,
                      struct err *err)
{
    struct str path = path_of(dir, name, suffix);
    int status = file_write_secret(path, text, err);

    str_free(&path);
    return status;
}

static void wipe(struct buf *b)
{
    if (b->ptr)
        mem_wipe(b->ptr, b->cap);
    buf_fini(b);
}

/* ---- The account ---- */

static int make_account(struct str dir, struct p256_key **out, struct err *err)
{
    AUTO_FINI(wipe) struct buf text = BUF(ACME_FILE_MAX);
    struct p256_key *key = p256_key_new();

    p256_key_put(&text, key);
    if (write_file(dir, STR("acme_account"), "+key", buf_str(&text), err) < 0) {
        p256_key_free(key);
        return -(int)err->code;
    }
    log_event(LOG_INFO, "made the key of an ACME account", LOG_STR("folder", dir));
    *out = key;
    return 0;
}

int acme_load_account(struct str dir, struct p256_key **out, struct err *err)
{
    /* autocert's, its older name, and what the official relay has for addresses. */
    static const char *const suffixes[] = {"_account+key", "_account.key", "-account.key"};
    AUTO_FINI(wipe) struct buf text = BUF(ACME_FILE_MAX);
    bool found = false;

    if (dir_make(dir, err) < 0)
        return -(int)err->code;
    for (size_t i = 0; i < ARRAY_LEN(suffixes) && !found; i++)
        if (read_into(dir, STR("acme"), suffixes[i], &text, &found, err) < 0)
            return -(int)err->code;
    if (!found)
        return make_account(dir, out, err);
    *out = p256_key_parse(buf_str(&text));
    return *out ? 0
                : err_set(err, ERR_INVALID,
                          "the account's key in %.*s is none on the curve P-256 (move it away, and "
                          "a new account is made)",
                          STR_ARG(dir));
}

/* ---- Certificates ---- */

static bool is_usable(struct str pem, struct str name)
{
    const struct tls_server_options options = {.cert_pem = pem, .key_pem = pem};
    int64_t now = clock_unix_ms();
    struct tls_server *trial = NULL;
    struct cert_times times;
    struct err err = {0};
    bool fits = false;

    if (cert_is_for_host(pem, name, &fits, &err) < 0 || !fits ||
        cert_times(pem, &times, &err) < 0 || times.not_before_unix_ms > now ||
        times.not_after_unix_ms <= now || tls_server_new(&options, &trial, &err) < 0)
        return false;
    tls_server_unref(trial);
    return true;
}

static int load_address(struct str dir, struct str stem, struct buf *pem, bool *found,
                        struct err *err)
{
    bool has_key = false, has_cert = false;

    if (read_into(dir, stem, ".key", pem, &has_key, err) < 0 ||
        read_into(dir, stem, ".crt", pem, &has_cert, err) < 0)
        return -(int)err->code;
    *found = has_key && has_cert;
    return 0;
}

int acme_load_cert(struct str dir, struct str name, struct buf *pem, bool *found, struct err *err)
{
    /* An RSA certificate serves until there is one of the other kind; it is not renewed. */
    static const char *const suffixes[] = {"", "+rsa"};
    struct ip_addr addr;

    *found = false;
    if (ip_addr_parse(name, &addr)) {
        struct str stem = address_stem(addr);
        int status = load_address(dir, stem, pem, found, err);

        str_free(&stem);
        *found = status == 0 && *found && is_usable(buf_str(pem), name);
        return status;
    }
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        buf_clear(pem);
        if (read_into(dir, name, suffixes[i], pem, found, err) < 0)
            return -(int)err->code;
        *found = *found && is_usable(buf_str(pem), name);
        if (*found)
            return 0;
    }
    return 0;
}

int acme_save_cert(struct str dir, struct str name, struct str pem, struct err *err)
{
    ptrdiff_t chain = str_find(pem, STR("-----BEGIN CERTIFICATE-----"));
    struct ip_addr addr;

    ASSERT(chain > 0);
    if (!ip_addr_parse(name, &addr))
        return write_file(dir, name, "", pem, err);
    struct str stem = address_stem(addr);
    int status = write_file(dir, stem, ".key", str_sub(pem, 0, (size_t)chain), err);

    if (status == 0)
        status = write_file(dir, stem, ".crt", str_from_index(pem, (size_t)chain), err);
    str_free(&stem);
    return status;
}
