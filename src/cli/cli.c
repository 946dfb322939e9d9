/* The table of commands, their help, and the way from argv to one of them. */

#include "cli/cli_internal.h"

static const struct flag_spec globals[] = {
    {"config", 'c', true, false, "configuration file (also $HATSIZE_CONFIG)"},
    {"data-dir", 0, true, false, "where keys and database live"},
    {"tailnet", 0, true, false, "which tailnet; not needed while there is one"},
    {"output", 'o', true, false, "json, json-line or yaml instead of text"},
    {"force", 0, false, false, "do not ask"},
    {0},
};

static const struct flag_spec user_create[] = {
    {"display-name", 'd', true, false, "name shown to people"},
    {"email", 'e', true, false, "mail address"},
    {"picture-url", 'p', true, false, "address of a picture"},
    {0},
};
static const struct flag_spec user_list[] = {
    {"identifier", 'i', true, false, "only this id"},
    {"name", 'n', true, false, "only this name"},
    {"email", 'e', true, false, "only this mail address"},
    {0},
};
static const struct flag_spec user_one[] = {
    {"identifier", 'i', true, false, "the user's id"},
    {"name", 'n', true, false, "the user's name"},
    {0},
};
static const struct flag_spec user_rename[] = {
    {"identifier", 'i', true, false, "the user's id"},
    {"name", 'n', true, false, "the user's name"},
    {"new-name", 'r', true, true, "the name to be"},
    {0},
};
static const struct flag_spec key_create[] = {
    {"user", 'u', true, false, "whose machines it makes: id or name"},
    {"tags", 0, true, false, "tags of its machines (comma list); then they belong to no user"},
    {"reusable", 0, false, false, "for any number of machines"},
    {"ephemeral", 0, false, false, "its machines vanish when they stay away"},
    {"expiration", 'e', true, false, "how long it is good: 30m, 24h, 90d (1h)"},
    {0},
};
static const struct flag_spec key_list[] = {
    {"user", 'u', true, false, "accepted for older scripts"},
    {0},
};
static const struct flag_spec key_one[] = {
    {"id", 'i', true, false, "the key's id"},
    {"user", 'u', true, false, "accepted for older scripts"},
    {0},
};
static const struct flag_spec node_list[] = {
    {"user", 'u', true, false, "only this user's"},
    {0},
};
static const struct flag_spec node_routes[] = {
    {"identifier", 'i', true, false, "only this node"},
    {0},
};
static const struct flag_spec node_one[] = {
    {"identifier", 'i', true, true, "the node's id"},
    {0},
};
static const struct flag_spec node_expire[] = {
    {"identifier", 'i', true, true, "the node's id"},
    {"expiry", 'e', true, false, "when, RFC 3339 (now)"},
    {"disable", 'd', false, false, "never expire"},
    {0},
};
static const struct flag_spec node_tag[] = {
    {"identifier", 'i', true, true, "the node's id"},
    {"tags", 't', true, false, "all its tags (comma list)"},
    {0},
};
static const struct flag_spec node_approve[] = {
    {"identifier", 'i', true, true, "the node's id"},
    {"routes", 'r', true, false, "all routes it may serve (comma list); empty: none"},
    {0},
};
static const struct flag_spec node_register[] = {
    {"user", 'u', true, true, "who is to own it"},
    {"key", 'k', true, true, "last part of the URL that the machine shows"},
    {0},
};
static const struct flag_spec auth_register[] = {
    {"user", 'u', true, true, "who is to own it"},
    {"auth-id", 0, true, true, "last part of the URL that the machine shows"},
    {0},
};
static const struct flag_spec auth_reject[] = {
    {"auth-id", 0, true, true, "last part of the URL that the machine shows"},
    {0},
};
static const struct flag_spec auth_approve[] = {
    {"auth-id", 0, true, true, "the check's id"},
    {0},
};
#define BYPASS_HELP "work on the database file; no server may be running"
#define BYPASS_FLAGS                                                                 \
    {"bypass-server-and-access-database-directly", 0, false, false, BYPASS_HELP},    \
        {"bypass-grpc-and-access-database-directly", 0, false, false, "older name"}, \
    {                                                                                \
        0                                                                            \
    }
static const struct flag_spec policy_get[] = {BYPASS_FLAGS};
static const struct flag_spec policy_file[] = {
    {"file", 'f', true, false, "the policy's file; - is the standard input"},
    BYPASS_FLAGS,
};
static const struct flag_spec policy_diff[] = {
    {"file", 'f', true, false, "the policy's file; - is the standard input"},
    {0},
};
static const struct flag_spec quickstart[] = {
    {"user", 'u', true, false, "who is to own the machine (admin); made if there is none"},
    {"reusable", 0, false, false, "a key for any number of machines"},
    {"ephemeral", 0, false, false, "a key whose machines vanish when they stay away"},
    {"expiration", 'e', true, false, "how long the key is good (1h)"},
    {"tags", 0, true, false, "tags of the key's machines"},
    {0},
};

#define USERS "users", "user"
#define KEYS "preauthkeys", "preauthkey authkey pre"
#define NODES "nodes", "node"
#define AUTH "auth", ""
#define SSH "ssh", ""
#define TAILNETS "tailnets", "tailnet"
#define GENERATE "generate", "gen"
#define POLICY "policy", ""
#define ALONE "", ""

static const struct command_spec commands[] = {
    {ALONE, "serve", "", "", "run the server", NULL, cmd_serve, false},
    {ALONE, "quickstart", "", "", "print the line that joins a first machine", quickstart,
     cmd_quickstart, false},
    {USERS, "create", "c new", "NAME", "make a user", user_create, cmd_users_create, false},
    {USERS, "list", "ls show", "", "list users", user_list, cmd_users_list, false},
    {USERS, "rename", "mv", "", "rename a user", user_rename, cmd_users_rename, false},
    {USERS, "destroy", "delete", "", "remove a user without nodes", user_one, cmd_users_destroy,
     false},
    {KEYS, "create", "c new", "", "make an auth key", key_create, cmd_keys_create, false},
    {KEYS, "list", "ls show", "", "list auth keys", key_list, cmd_keys_list, false},
    {KEYS, "expire", "revoke exp e", "", "end an auth key's time", key_one, cmd_keys_expire, false},
    {KEYS, "delete", "del rm d", "", "remove an auth key", key_one, cmd_keys_delete, false},
    {NODES, "list", "ls show", "", "list nodes", node_list, cmd_nodes_list, false},
    {NODES, "list-routes", "lsr routes", "", "list nodes with routes", node_routes,
     cmd_nodes_routes, false},
    {NODES, "approve-routes", "", "", "set the routes a node may serve", node_approve,
     cmd_nodes_approve, false},
    {NODES, "rename", "", "NEW_NAME", "rename a node", node_one, cmd_nodes_rename, false},
    {NODES, "tag", "tags t", "", "set a node's tags; it then belongs to nobody", node_tag,
     cmd_nodes_tag, false},
    {NODES, "expire", "logout exp e", "", "end a node key's time", node_expire, cmd_nodes_expire,
     false},
    {NODES, "delete", "del", "", "remove a node", node_one, cmd_nodes_delete, false},
    {NODES, "register", "", "", "old form of auth register", node_register, cmd_nodes_register,
     true},
    {AUTH, "register", "", "", "let a waiting machine in", auth_register, cmd_auth_register, false},
    {AUTH, "reject", "", "", "refuse a waiting machine", auth_reject, cmd_auth_reject, false},
    {AUTH, "approve", "", "", "headscale's form of ssh approve", auth_approve, cmd_auth_approve,
     true},
    {SSH, "list", "ls show", "", "list SSH log-ins that wait, and approvals", NULL, cmd_ssh_list,
     false},
    {SSH, "approve", "", "ID", "let a waiting SSH log-in in", NULL, cmd_ssh_approve, false},
    {SSH, "reject", "revoke", "ID", "refuse one, or take its approval back", NULL, cmd_ssh_reject,
     false},
    {POLICY, "get", "show view fetch", "", "print the policy in force, as it was written",
     policy_get, cmd_policy_get, false},
    {POLICY, "set", "put update", "FILE", "put a policy in force", policy_file, cmd_policy_set,
     false},
    {POLICY, "check", "", "FILE", "judge a policy and run its tests, without setting it",
     policy_file, cmd_policy_check, false},
    {POLICY, "diff", "", "FILE", "say which connections a policy would open and close", policy_diff,
     cmd_policy_diff, false},
    {POLICY, "explain", "", "SRC DST[:PORT[/PROTO]]", "say why a connection is allowed or not",
     NULL, cmd_policy_explain, false},
    {POLICY, "eval", "", "CASE.json", "compile a case in the captures' format; needs no server",
     NULL, cmd_policy_eval, false},
    {TAILNETS, "list", "ls show", "", "list tailnets", NULL, cmd_tailnets_list, false},
    {TAILNETS, "create", "c new", "NAME", "make a tailnet", NULL, cmd_tailnets_create, false},
    {GENERATE, "private-key", "", "", "print a new key", NULL, cmd_private_key, false},
    {ALONE, "configtest", "", "", "check the configuration", NULL, cmd_configtest, false},
    {ALONE, "health", "", "", "ask the server whether it is well", NULL, cmd_health, false},
    {ALONE, "version", "", "", "print the version", NULL, cmd_version, false},
    {ALONE, "help", "", "", "this", NULL, cmd_help, false},
    {0},
};

/* ---- Help ---- */

static void print_flags(const struct flag_spec *flags)
{
    for (const struct flag_spec *f = flags; f && f->name; f++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "--%s%s", f->name, f->takes_value ? " VALUE" : "");
        if (f->letter)
            printf("  -%c, %-24s %s%s\n", f->letter, name, f->help,
                   f->is_required ? " (required)" : "");
        else
            printf("      %-24s %s%s\n", name, f->help, f->is_required ? " (required)" : "");
    }
}

static void print_commands(const char *group)
{
    for (const struct command_spec *c = commands; c->run; c++) {
        char name[64];

        if (c->hidden || (group && !str_eq(str_from(group), str_from(c->group))))
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s %s", c->group, c->group[0] ? " " : "", c->name,
                       c->operands);
        printf("  %-28s %s\n", name, c->help);
    }
}

void cli_usage(const struct args *args)
{
    const struct command_spec *c = args->command;

    if (c && c->run != cmd_help) {
        printf("hatsize %s%s%s %s: %s\n\n", c->group, c->group[0] ? " " : "", c->name, c->operands,
               c->help);
        print_flags(c->flags);
        printf("%severywhere:\n", c->flags ? "\n" : "");
    } else {
        puts("hatsize: a self-hosted control plane for Tailscale clients\n\ncommands:");
        print_commands(args->group);
        puts("\neverywhere:");
    }
    print_flags(globals);
    puts("  -h, --help                   what a command takes");
}

int cmd_help(struct cli *cli)
{
    cli_usage(&cli->args);
    return 0;
}

/* ---- Main ---- */

static bool set_format(struct cli *cli)
{
    static const struct {
        const char *name;
        enum cli_format format;
    } formats[] = {
        {"", CLI_HUMAN}, {"json", CLI_JSON}, {"json-line", CLI_JSON_LINE}, {"yaml", CLI_YAML}};
    struct str want = args_get(&cli->args, "output");

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (!str_eq(want, str_from(formats[i].name)))
            continue;
        cli->format = formats[i].format;
        return true;
    }
    (void)cli_fail(cli, "--output is json, json-line or yaml, not \"%.*s\"", STR_ARG(want));
    return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};

    log_init(LOG_WARN, LOG_TEXT, -1);
    if (args_parse(argc, argv, commands, globals, &cli->args, &err) < 0)
        return cli_fail(cli, "%s", err.text);
    if (cli->args.help || !cli->args.command) {
        cli_usage(&cli->args);
        return 0;
    }
    return set_format(cli) ? cli->args.command->run(cli) : 1;
}

int cli_main(int argc, char **argv, int (*serve)(const struct config *config))
{
    struct cli *cli = NEW(struct cli);
    int status;

    cli->arena = arena_new();
    cli->serve = serve;
    status = run(cli, argc, argv);
    config_free(cli->config);
    arena_free(cli->arena);
    mem_free(cli);
    return status;
}
