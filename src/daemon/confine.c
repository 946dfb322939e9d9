/* What the server gives up: root at once, where it is to be somebody else; then what only the start
 * needed. */

#include <unistd.h>

#include "core/file.h"
#include "daemon/daemon_internal.h"
#include "host/privileges.h"
#include "host/sandbox.h"

#define FOLDERS_MAX 16

/* Where the server keeps what it keeps; borrowed from the configuration. */
static size_t own_folders(const struct config *c, struct str folders[FOLDERS_MAX])
{
    const struct str files[] = {
        config_socket_path(c),    c->sqlite_path,    c->noise_key_path,
        c->derp.private_key_path, c->derp.cert_path, c->derp.key_path,
    };
    size_t n = 0;

    folders[n++] = c->data_dir;
    if (c->acme.host.len > 0)
        folders[n++] = c->acme.dir;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct str folder = str_sub(files[i], 0, (size_t)MAX(str_rfind_char(files[i], '/'), 0));

        if (folder.len > 0)
            folders[n++] = folder;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    /* Where tests want sanitizers to write what they have found. */
    folders[n] = str_sub(c->data_dir, 0, (size_t)MAX(str_rfind_char(c->data_dir, '/'), 0));
    n += folders[n].len > 0;
#endif
    ASSERT(n <= FOLDERS_MAX);
    return n;
}

int server_become(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    const struct str socket = config_socket_path(c);
    const struct str folders[] = {c->data_dir,
                                  str_sub(socket, 0, (size_t)MAX(str_rfind_char(socket, '/'), 0))};

    if (c->run_as.len == 0)
        return 0;
    if (privileges_become(c->run_as, folders, ARRAY_LEN(folders), err) < 0)
        return err_wrap(err, "run_as");
    return 0;
}

int server_confine_files(struct server *s, struct err *err)
{
    struct str folders[FOLDERS_MAX];
    size_t n = own_folders(s->config, folders);

    if (!s->config->sandbox)
        return 0;
    /* A folder that is made later could not be allowed then. */
    for (size_t i = 0; i < n; i++)
        if (dir_make(folders[i], err) < 0)
            return -(int)err->code;
    sandbox_files(folders, n);
    return 0;
}

/* Root that was not told to be somebody else may need all it may to read files of others again. */
int server_confine(struct server *s, struct err *err)
{
    if (s->config->sandbox)
        sandbox_calls();
    return geteuid() == 0 ? 0 : privileges_drop(STR_NONE, err);
}
