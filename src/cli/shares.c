/* shares …: machines lent to other tailnets. */

#include "cli/cli_internal.h"

#define SHARES STR("/api/v1/share")
#define INVITES STR("/api/v1/share-invite")

static void put_list(struct cli *cli, struct json_writer *w, const char *flag)
{
    struct str_list texts = args_list(&cli->args, flag, cli->arena);

    json_field_str_list(w, str_from(flag), &texts);
}

static void put_terms(struct cli *cli, struct json_writer *w)
{
    json_field_bool(w, STR("exitNode"), args_has(&cli->args, "exit-node"));
    json_field_bool(w, STR("allRoutes"), args_has(&cli->args, "all-routes"));
    json_field_bool(w, STR("twoWay"), args_has(&cli->args, "two-way"));
    put_list(cli, w, "routes");
    put_list(cli, w, "ports");
}

/* "TAILNET" or "TAILNET/USER". */
static void put_guest(struct cli *cli, struct json_writer *w)
{
    struct str to = args_get(&cli->args, "to"), tailnet, user;

    if (!str_split(to, '/', &tailnet, &user)) {
        tailnet = to;
        user = STR_NONE;
    }
    json_field_str(w, STR("toTailnet"), tailnet);
    if (user.len > 0)
        json_field_str(w, STR("toUser"), user);
}

/* The share's path; empty after printing. */
static struct str path_of(struct cli *cli, struct str base, const char *verb, const char *more)
{
    if (cli->args.n_operands == 1)
        return arena_printf(cli->arena, "%.*s/%.*s%s", STR_ARG(base),
                            STR_ARG(cli_escape(cli, cli->args.operands[0])), more);
    (void)cli_fail(cli, "shares %s wants one ID, as `hatsize shares list` shows it", verb);
    return STR_NONE;
}

static struct str state_of(const struct json_value *share)
{
    return str_eq(json_get_str(share, "state"), STR("pending")) ? STR("waits to be accepted")
                                                                : STR("in force");
}

int cmd_shares_create(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1 || args_get(&cli->args, "to").len == 0)
        return cli_fail(cli, "shares create wants a machine and --to TAILNET or --to TAILNET/USER");
    json_begin_object(&w);
    json_field_str(&w, STR("node"), cli->args.operands[0]);
    put_guest(cli, &w);
    put_terms(cli, &w);
    if (!cli_put_time(cli, &w, "expiration", STR("expiration"), 0))
        return 1;
    json_end_object(&w);
    if (!cli_call(cli, "sharing", "POST", SHARES, &body, &answer))
        return 1;
    struct str text =
        arena_printf(cli->arena, "Share %.*s of %.*s %.*s", STR_ARG(json_get_str(answer, "id")),
                     STR_ARG(json_get_str(answer, "nodeName")), STR_ARG(state_of(answer)));
    return cli_show(cli, answer, text.ptr);
}

static struct str joined(struct cli *cli, struct str a, const char *between, struct str b)
{
    return b.len == 0 ? a : arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(a), between, STR_ARG(b));
}

/* What a share gives beyond the machine itself, in few words. */
static struct str terms_of(struct cli *cli, const struct json_value *share)
{
    struct str text = STR_NONE;

    JSON_EACH(port, json_get_array(share, "ports")) {
        text = joined(cli, json_as_str(port, STR_NONE), "\n", text);
    }
    JSON_EACH(route, json_get_array(share, "routes")) {
        text = joined(cli, json_as_str(route, STR_NONE), "\n", text);
    }
    if (json_get_bool(share, "allRoutes", false))
        text = joined(cli, STR("all routes"), "\n", text);
    if (json_get_bool(share, "exitNode", false))
        text = joined(cli, STR("exit node"), "\n", text);
    if (json_get_bool(share, "twoWay", false))
        text = joined(cli, STR("two-way"), "\n", text);
    return text;
}

static void put_share(struct cli *cli, struct table *t, const struct json_value *s)
{
    table_cell_id(t, s, "id");
    table_cell(t, json_get_str(s, "direction"));
    table_cell(t, json_get_str(s, "nodeName"));
    table_cell(t, joined(cli, json_get_str(s, "ownerTailnet"), "/", json_get_str(s, "sharer")));
    table_cell(t, joined(cli, json_get_str(s, "guestTailnet"), "/", json_get_str(s, "guestUser")));
    table_cell(t, json_get_str(s, "state"));
    table_cell_lines(t, terms_of(cli, s));
    table_cell_time(t, s, "expiration", "never");
}

int cmd_shares_list(struct cli *cli)
{
    static const char *const columns[] = {"ID",    "Direction", "Machine",    "From", "To",
                                          "State", "Terms",     "Expiration", NULL};

    return table_show(cli, columns, cli_call_list(cli, "listing shares", SHARES, "shares"),
                      put_share);
}

int cmd_shares_accept(struct cli *cli)
{
    struct str path = path_of(cli, SHARES, "accept", "/accept");
    const struct json_value *answer = NULL;

    if (path.len == 0 || !cli_call(cli, "accepting the share", "POST", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Share accepted");
}

int cmd_shares_set(struct cli *cli)
{
    struct str path = path_of(cli, SHARES, "set", "");
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (path.len == 0)
        return 1;
    json_begin_object(&w);
    put_terms(cli, &w);
    if (!cli_put_time(cli, &w, "expiration", STR("expiration"), 0))
        return 1;
    json_end_object(&w);
    if (!cli_call(cli, "changing the share", "PATCH", path, &body, &answer))
        return 1;
    struct str text = arena_printf(cli->arena, "Share %.*s", STR_ARG(state_of(answer)));
    return cli_show(cli, answer, text.ptr);
}

int cmd_shares_revoke(struct cli *cli)
{
    struct str path = path_of(cli, SHARES, "revoke", "");
    const struct json_value *answer = NULL;

    if (path.len == 0 || !cli_call(cli, "revoking the share", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Share revoked");
}

/* ---- Invitations ---- */

/* False: printed. */
static bool put_uses(struct cli *cli, struct json_writer *w)
{
    struct str text = args_get(&cli->args, "uses");
    uint64_t uses = 1;

    if (text.len > 0 && !str_parse_u64(text, &uses)) {
        (void)cli_fail(cli, "--uses wants a number, not \"%.*s\"", STR_ARG(text));
        return false;
    }
    json_field_u64(w, STR("uses"), uses);
    return true;
}

int cmd_shares_invite(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1)
        return cli_fail(cli, "shares invite wants one machine, by name or ID");
    json_begin_object(&w);
    json_field_str(&w, STR("node"), cli->args.operands[0]);
    json_field_bool(&w, STR("wholeTailnet"), args_has(&cli->args, "whole-tailnet"));
    put_terms(cli, &w);
    if (!put_uses(cli, &w) || !cli_put_time(cli, &w, "expiration", STR("expiration"), 0) ||
        !cli_put_time(cli, &w, "share-expiration", STR("shareExpiration"), 0))
        return 1;
    json_end_object(&w);
    if (!cli_call(cli, "inviting", "POST", INVITES, &body, &answer))
        return 1;
    cli_notice(cli, "who is invited uses it with `hatsize shares join`; it is shown only now");
    return cli_show_member(cli, answer, "secret");
}

static void put_invite(struct cli *cli, struct table *t, const struct json_value *i)
{
    table_cell_id(t, i, "id");
    table_cell(t, json_get_str(i, "nodeName"));
    table_cell(t, json_get_bool(i, "wholeTailnet", false) ? STR("a tailnet") : STR("a user"));
    table_cell(t, json_get_raw(i, "usesLeft"));
    table_cell(t, json_get_raw(i, "uses"));
    table_cell_lines(t, terms_of(cli, i));
    table_cell_time(t, i, "expiration", "never");
}

int cmd_shares_invites(struct cli *cli)
{
    static const char *const columns[] = {"ID",   "Machine", "For",        "Uses left",
                                          "Uses", "Terms",   "Expiration", NULL};

    return table_show(cli, columns,
                      cli_call_list(cli, "listing invitations", INVITES, "invitations"),
                      put_invite);
}

int cmd_shares_uninvite(struct cli *cli)
{
    struct str path = path_of(cli, INVITES, "uninvite", "");
    const struct json_value *answer = NULL;

    if (path.len == 0 || !cli_call(cli, "revoking the invitation", "DELETE", path, NULL, &answer))
        return 1;
    return cli_show(cli, answer, "Invitation revoked");
}

int cmd_shares_join(struct cli *cli)
{
    struct str user = args_get(&cli->args, "user");
    AUTO_FINI(buf_fini) struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    if (cli->args.n_operands != 1)
        return cli_fail(cli,
                        "shares join wants the invitation, as `hatsize shares invite` gave it");
    json_begin_object(&w);
    json_field_str(&w, STR("secret"), cli->args.operands[0]);
    if (user.len > 0)
        json_field_str(&w, STR("user"), user);
    json_end_object(&w);
    if (!cli_call(cli, "accepting the invitation", "POST",
                  arena_printf(cli->arena, "%.*s/accept", STR_ARG(INVITES)), &body, &answer))
        return 1;
    struct str text = arena_printf(cli->arena, "%.*s is shared with %.*s",
                                   STR_ARG(json_get_str(answer, "nodeName")),
                                   STR_ARG(json_get_str(answer, "guestTailnet")));
    return cli_show(cli, answer, text.ptr);
}
