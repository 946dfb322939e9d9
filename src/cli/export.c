/* export and import: everything as one JSON file (docs/storage.md), also from engine to engine. */

#include <stdio.h>

#include "cli/cli_internal.h"
#include "core/file.h"
#include "store/store.h"

int cmd_export(struct cli *cli)
{
    AUTO_FINI(config_store_fini) struct config_store room = {0};
    AUTO_FINI(buf_fini) struct buf text = BUF((size_t)2 << 30);
    struct str path = cli->args.n_operands == 1 ? cli->args.operands[0] : STR("-");
    struct err err = {0};

    if (!cli_load_config(cli, false))
        return 1;
    if (store_export(config_store_options(cli->config, &room), &text, &err) < 0)
        return cli_fail(cli, "nothing was exported: %s", err.text);
    if (str_eq(path, STR("-"))) {
        if (fwrite(text.ptr, 1, text.len, cli->out) != text.len || fflush(cli->out) != 0)
            return cli_fail(cli, "the export could not be written: is the disk full?");
        return 0;
    }
    if (file_write_secret(path, buf_str(&text), &err) < 0)
        return cli_fail(cli, "nothing was exported: %s", err.text);
    struct str said = arena_printf(cli->arena, "export written to %.*s", STR_ARG(path));
    return cli_result(cli, said.ptr);
}

int cmd_import(struct cli *cli)
{
    if (cli->args.n_operands != 1 || cli->args.operands[0].len == 0)
        return cli_fail(cli, "name one file, as `hatsize export` wrote it");
    return cli_restore_file(cli, arena_copy(cli->arena, cli->args.operands[0]), "importing");
}
