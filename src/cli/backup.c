/*
 * backup and restore: a copy of the database, and back. Works on the database itself, so it works
 * whatever state the server is in: a backup beside a running one, a restore beside none.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli_internal.h"
#include "core/file.h"
#include "store/store.h"

#define SQLITE_MAGIC STR("SQLite format 3\0")

/* Absolute or not, as it was given; NUL behind it. */
static bool one_file(struct cli *cli, struct str *path)
{
    if (cli->args.n_operands == 1 && cli->args.operands[0].len > 0) {
        *path = arena_copy(cli->arena, cli->args.operands[0]);
        return true;
    }
    (void)cli_fail(cli, "name one file");
    return false;
}

int cmd_backup(struct cli *cli)
{
    AUTO_FINI(config_store_fini) struct config_store room = {0};
    struct err err = {0};
    struct str path;

    if (!one_file(cli, &path) || !cli_load_config(cli, false))
        return 1;
    if (access(path.ptr, F_OK) == 0 &&
        !cli_confirm(cli, "There is a file of that name. Write over it?"))
        return cli_fail(cli, "%.*s is left as it is", STR_ARG(path));
    if (store_backup(config_store_options(cli->config, &room), path, &err) < 0)
        return cli_fail(cli, "no backup was made: %s", err.text);
    struct str said = arena_printf(cli->arena, "backup written to %.*s", STR_ARG(path));
    return cli_result(cli, said.ptr);
}

/* ---- back ---- */

static bool is_sqlite(struct str path)
{
    int fd = open(path.ptr, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char head[16] = {0};
    bool is = fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
              str_eq(str_bytes(head, sizeof(head)), SQLITE_MAGIC);

    if (fd >= 0)
        close(fd);
    return is;
}

int cli_restore_file(struct cli *cli, struct str path, const char *doing)
{
    AUTO_FINI(config_store_fini) struct config_store room = {0};
    const struct store_options *options;
    struct str text = STR_NONE;
    struct err err = {0};
    bool has = false, is_file;
    int status;

    if (!cli_load_config(cli, false))
        return 1;
    options = config_store_options(cli->config, &room);
    is_file = is_sqlite(path);
    if (!is_file && cli_read_file(cli, path, (size_t)2 << 30, &text, &err) < 0)
        return cli_fail(cli, "%s %.*s: %s", doing, STR_ARG(path), err.text);
    if (store_has_content(options, &has, &err) < 0)
        return cli_fail(cli, "%s: %s", doing, err.text);
    if (has && !cli_confirm(cli, "This replaces everything in the database; what is there is kept "
                                 "as a backup. Go on?"))
        return cli_fail(cli, "%s: nothing was changed", doing);
    status =
        is_file ? store_restore_file(options, path, &err) : store_restore_text(options, text, &err);
    if (status < 0)
        return cli_fail(cli, "%s %.*s, nothing was changed: %s", doing, STR_ARG(path), err.text);
    return cli_result(cli, has ? "done; what was there is kept as a backup" : "done");
}

int cmd_restore(struct cli *cli)
{
    struct str path;

    return one_file(cli, &path) ? cli_restore_file(cli, path, "restoring") : 1;
}
