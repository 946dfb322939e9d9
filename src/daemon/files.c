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
