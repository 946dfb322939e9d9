/*
 * Where the server is: this machine's socket, or what cli.address (HATSIZE_CLI_ADDRESS) says; and
 * what to do when nobody answers there.
 */

#include <errno.h>

#include "cli/cli_internal.h"

#define GRPC_PORT ":50443" /* headscale's up to 0.29 */

/* Scheme, host, port and path of an address by hand: nothing that could smuggle something else. */
static bool is_address(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!word && str_find_char(STR(".-_:[]/~%"), s.ptr[i]) < 0)
            return false;
    }
    return s.len > 0 && s.ptr[0] != '/' && s.ptr[0] != ':' && str_find(s, STR("://")) < 0;
}

static int find_remote(struct cli *cli, struct str address, struct target *t, struct err *err)
{
    struct str rest = address;
    bool has_scheme = false;

    if (str_starts(rest, STR("http://")) || str_starts(rest, STR("https://"))) {
        rest = str_from_index(rest, str_starts(rest, STR("https")) ? 8 : 7);
        has_scheme = true;
    }
    while (str_ends(rest, STR("/")))
        rest = str_sub(rest, 0, rest.len - 1);
    if (!is_address(rest))
        return err_set(err, ERR_INVALID,
                       "cli.address is \"%.*s\": write what clients use, like "
                       "https://vpn.example.com, or vpn.example.com:8443",
                       STR_ARG(str_sub(address, 0, 80)));
    struct str scheme =
        has_scheme ? str_sub(address, 0, (size_t)(rest.ptr - address.ptr)) : STR("https://");

    t->base = arena_printf(cli->arena, "%.*s%.*s", STR_ARG(scheme), STR_ARG(rest));
    t->unix_path = NULL;
    t->bearer = cli->config->cli.api_key;
    if (t->bearer.len > 0)
        return 0;
    return err_set(err, ERR_INVALID,
                   "HATSIZE_CLI_API_KEY (or HEADSCALE_CLI_API_KEY, or cli.api_key) needs to be set "
                   "for %.*s; `hatsize apikeys create` on the server makes a key",
                   STR_ARG(str_sub(t->base, 0, 80)));
}

int target_find(struct cli *cli, struct target *t, struct err *err)
{
    struct str address = str_trim(cli->config->cli.address);

    if (address.len > 0)
        return find_remote(cli, address, t, err);
    *t = (struct target){
        .base = STR("http://local"),
        .unix_path = arena_copy(cli->arena, config_socket_path(cli->config)).ptr,
    };
    return 0;
}

/* ---- Advice ---- */

static struct str timeout_advice(struct cli *cli)
{
    return arena_printf(cli->arena,
                        "\nThe server was too busy to answer within %lld ms, or is stopped. Try "
                        "again, or wait longer with HATSIZE_CLI_TIMEOUT=30s.",
                        (long long)cli->config->cli.timeout_ms);
}

static struct str remote_advice(struct cli *cli, const struct target *t, const struct err *err)
{
    struct str text = str_from(err->text);

    if (str_find(t->base, STR(GRPC_PORT)) >= 0)
        return STR("\nPort 50443 was where headscale up to 0.29 spoke gRPC. The command line now "
                   "speaks to the address that clients use: HATSIZE_CLI_ADDRESS=https://host");
    if (cli->timed_out)
        return timeout_advice(cli);
    if (str_find(text, STR("SSL")) >= 0 || str_find(text, STR("certificate")) >= 0)
        return STR("\nHATSIZE_CLI_INSECURE=true skips the check of the certificate; "
                   "http:// in front of the address does without TLS.");
    return STR("\nIs the server running, and is HATSIZE_CLI_ADDRESS its address?");
}

struct str target_advice(struct cli *cli, const struct target *t, const struct err *err)
{
    if (err->code != ERR_IO)
        return STR_NONE;
    if (!t->unix_path)
        return remote_advice(cli, t, err);
    if (cli->timed_out)
        return timeout_advice(cli);
    if (err->sys == EACCES)
        return STR(
            "\nThis user may not use the server's socket: be root, or in the group that owns "
            "it (unix_socket_permission).");
    return STR("\nIs the server running? Start it with `hatsize serve` and name it as it was "
               "started (--config, --data-dir).");
}
