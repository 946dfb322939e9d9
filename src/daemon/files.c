/* See files.h. */

#include "daemon/files.h"

#include "core/log.h"
#include "core/mem.h"

#define FILE_MAX ((size_t)1 << 20)

static int key_file_read(struct str path, struct buf *text, bool *found, struct err *err)
{
    int status = file_read(path, text, found, err);

    return status == 0 && *found ? file_check_private(path, err) : status;
}

static int key_file_bad(struct str path, struct err *err)
{
    return err_set(
        err, ERR_INVALID,
        "%.*s is no key file (\"privkey:\" and 64 hex digits); put back a copy of it, or "
        "remove it to get a new key, which every client will refuse until it logs in anew",
        STR_ARG(path));
}

int key_file_machine(struct str path, struct machine_private *out, struct err *err)
{
    struct buf text = BUF(FILE_MAX);
    bool found = false;
    int status = key_file_read(path, &text, &found, err);

    if (status == 0 && found && !machine_private_parse(str_trim(buf_str(&text)), out))
        status = key_file_bad(path, err);
    if (status == 0 && !found) {
        machine_private_generate(out);
        machine_private_put(&text, out);
        log_event(LOG_INFO, "made the server's key; keep a copy of it", LOG_STR("file", path));
        status = file_write_secret(path, buf_str(&text), err);
    }
    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return status;
}

int key_file_node(struct str path, struct node_private *out, struct err *err)
{
    struct buf text = BUF(FILE_MAX);
    bool found = false;
    int status = key_file_read(path, &text, &found, err);

    if (status == 0 && found && !node_private_parse(str_trim(buf_str(&text)), out))
        status = key_file_bad(path, err);
    if (status == 0 && !found) {
        node_private_generate(out);
        node_private_put(&text, out);
        log_event(LOG_INFO, "made the relay's key", LOG_STR("file", path));
        status = file_write_secret(path, buf_str(&text), err);
    }
    mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return status;
}

int key_file_id_token(struct str beside, struct p256_key **out, struct err *err)
{
    struct str dir = str_sub(beside, 0, (size_t)(str_rfind_char(beside, '/') + 1));
    AUTO_FINI(str_free) struct str path = str_printf("%.*s" KEY_FILE_ID_TOKEN, STR_ARG(dir));
    struct buf text = BUF(FILE_MAX);
    bool found = false;
    int status = key_file_read(path, &text, &found, err);

    *out = NULL;
    if (status == 0 && found) {
        *out = p256_key_parse(buf_str(&text));
        if (!*out)
            status = err_set(err, ERR_INVALID,
                             "%.*s is no PEM file with a key on P-256; remove it to get a new one",
                             STR_ARG(path));
    } else if (status == 0) {
        *out = p256_key_new();
        p256_key_put(&text, *out);
        log_event(LOG_INFO, "made the key that signs ID tokens", LOG_STR("file", path));
        status = file_write_secret(path, buf_str(&text), err);
    }
    if (text.ptr)
        mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    if (status < 0) {
        p256_key_free(*out);
        *out = NULL;
    }
    return status;
}
