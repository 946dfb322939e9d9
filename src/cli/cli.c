/* The table of commands, and the way from argv to one of them. */

#include <errno.h>
#include <string.h>

#include "cli/cli_internal.h"

const struct flag_spec cli_globals[] = {
    {"config", 'c', true, false, "configuration file (also $HATSIZE_CONFIG)"},
    {"data-dir", 0, true, false, "where keys and database live"},
    {"tailnet", 0, true, false, "which tailnet; unless named, the first (also $HATSIZE_TAILNET)"},
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
static const struct flag_spec user_invite[] = {
    {"role", 0, true, false,
     "owner, admin, network-admin, it-admin, billing-admin, auditor; member"},
    {"email", 'e', true, false, "only for who has this address, verified; whoever has the link"},
    {"expiration", 0, true, false, "how long the link is good: 24h, 30d (7d)"},
    {0},
};
static const struct flag_spec user_rename[] = {
    {"identifier", 'i', true, false, "the user's id"},
    {"name", 'n', true, false, "the user's name"},
    {"new-name", 'r', true, false, "the name to be"},
    {0},
};
static const struct flag_spec key_create[] = {
    {"user", 'u', true, false, "whose machines it makes: id or name"},
    {"tags", 0, true, false, "tags of its machines (comma list); then they belong to no user"},
    {"reusable", 0, false, false, "for any number of machines"},
    {"ephemeral", 0, false, false, "its machines vanish when they stay away"},
    {"preauthorized", 0, false, false, "its machines wait for nobody's approval"},
    {"expiration", 'e', true, false, "how long it is good: 30m, 24h, 90d (1h)"},
    {0},
};
static const struct flag_spec key_list[] = {
    {"user", 'u', true, false, NULL},
    {0},
};
static const struct flag_spec key_one[] = {
    {"id", 'i', true, false, "the key's id"},
    {"user", 'u', true, false, NULL},
    {0},
};
static const struct flag_spec node_list[] = {
    {"user", 'u', true, false, "only this user's: a name"},
    {"tags", 't', false, false, NULL},
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
static const struct flag_spec node_move[] = {
    {"identifier", 'i', true, true, "the node's id"},
    {"user", 'u', true, true, "who is to own it: id or name"},
    {0},
};
static const struct flag_spec api_key_create[] = {
    {"expiration", 'e', true, false, "how long it is good: 24h, 90d (90d)"},
    {"description", 'd', true, false, "what it is for"},
    {"scope", 's', true, false, "what it may do (comma list): devices:core:read; everything"},
    {0},
};
static const struct flag_spec api_key_one[] = {
    {"id", 'i', true, false, "the key's id"},
    {"prefix", 'p', true, false, "the key's prefix, as the list shows it"},
    {0},
};
static const struct flag_spec oauth_client_create[] = {
    {"scope", 's', true, false, "what its tokens may do (comma list): devices:core, auth_keys"},
    {"tag", 't', true, false, "tags its tokens may give (comma list)"},
    {"description", 'd', true, false, "what it is for"},
    {0},
};
static const struct flag_spec oauth_client_one[] = {
    {"id", 'i', true, false, "the client's id"},
    {0},
};
static const struct flag_spec session_one[] = {
    {"id", 'i', true, false, "the session's id"},
    {0},
};
static const struct flag_spec audit_list[] = {
    {"limit", 'l', true, false, "how many entries, the newest (100)"},
    {"since", 0, true, false, "not before: RFC 3339, or how long ago as in 24h"},
    {"until", 0, true, false, "not after, likewise"},
    {"before", 0, true, false, "only those before the one with this id"},
    {0},
};
#define DNS_NONE                                                                \
    {                                                                           \
        "none", 0, false, false, "none at all, whatever the configuration says" \
    }
#define DNS_WITH_EXIT                                                                     \
    {                                                                                     \
        "with-exit-node", 0, false, false, "asked directly also by who uses an exit node" \
    }
static const struct flag_spec dns_nameservers[] = {
    {"add", 0, false, false, "beside those there are"},
    {"remove", 0, false, false, "these no longer"},
    DNS_NONE,
    DNS_WITH_EXIT,
    {0},
};
static const struct flag_spec dns_split[] = {
    {"remove", 0, false, false, "the domain no longer"},
    DNS_NONE,
    DNS_WITH_EXIT,
    {0},
};
static const struct flag_spec dns_search[] = {
    {"add", 0, false, false, "beside those there are"},
    {"remove", 0, false, false, "these no longer"},
    DNS_NONE,
    {0},
};
static const struct flag_spec dns_records[] = {
    {"remove", 0, false, false, "the record no longer"},
    {"none", 0, false, false, "none that was set here"},
    {0},
};
static const struct flag_spec old_routes[] = {
    {"identifier", 'i', true, false, "only this node"},
    {0},
};
static const struct flag_spec old_route[] = {
    {"route", 'r', true, true, "the route's id, as routes list shows it"},
    {0},
};
static const struct flag_spec debug_node[] = {
    {"name", 0, true, true, "what the machine is called"},
    {"user", 'u', true, true, "who is to own it"},
    {"key", 'k', true, true, "the auth id that it is to wait under"},
    {"route", 'r', true, false, "routes it is to offer (comma list)"},
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
#define BYPASS_FLAGS                                                              \
    {"bypass-server-and-access-database-directly", 0, false, false, BYPASS_HELP}, \
        {"bypass-grpc-and-access-database-directly", 0, false, false, NULL},      \
    {                                                                             \
        0                                                                         \
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
static const struct flag_spec import_headscale[] = {
    {"database", 0, true, false, "headscale's database, if not where its configuration says"},
    {"dry-run", 0, false, false, "only say what would be taken; write nothing"},
    {"identity", 0, true, false, "NAME=ISSUER/SUBJECT, for a user of 0.23 or older who logs in"},
    {"skip-damaged", 0, false, false, "leave out rows that cannot be read"},
    {0},
};

static const struct flag_spec configtest[] = {
    {"offline", 0, false, false, "do not ask log-in providers"},
    {0},
};
static const struct flag_spec doctor[] = {
    {"wait", 0, true, false, "seconds that a connection is left silent (5)"},
    {0},
};

static const struct flag_spec webhook_create[] = {
    {"provider", 0, true, false, "slack, mattermost, googlechat or discord; signed JSON"},
    {"subscribe", 0, true, false, "events (comma list): nodeCreated,policyUpdate; all"},
    {0},
};

static const struct flag_spec events[] = {
    {"since", 0, true, false, "go on after the event with this id"},
    {"count", 0, true, false, "end after so many"},
    {0},
};

#define TAILNET_FLAGS                                                                              \
    {"base-domain", 0, true, false, "what its machines' names end in (NAME.<the first's>)"},       \
        {"max-nodes", 0, true, false, "quota of machines; 0: none"},                               \
        {"max-users", 0, true, false, "quota of users; 0: none"},                                  \
        {"max-keys", 0, true, false, "quota of auth, API and OAuth keys together; 0: none"},       \
        {"key-expiry", 0, true, false, "of node keys: 90d; 0: never; default: the server's"},      \
        {"join", 0, true, false, "who joins by log-in: anyone, group:G, domain:D[,role=R]; none"}, \
        {"user-approval", 0, true, false, "on: all who join by a rule wait for approval; off"},    \
        {"device-approval", 0, true, false, "on: new machines wait for approval; off"},            \
    {                                                                                              \
        "relays", 0, true, false, "file with relay regions of its own (DERP map); or default"      \
    }
static const struct flag_spec tailnet_create[] = {
    {"name", 0, true, false, "in place of the operand"},
    TAILNET_FLAGS,
    {"prefixes", 0, true, false, "address ranges of its own (comma list), one a family"},
    {"may-overlap", 0, false, false, "those ranges may be other tailnets', too"},
    {0},
};
static const struct flag_spec tailnet_set[] = {TAILNET_FLAGS, {0}};

#define SHARE_TERMS                                                                             \
    {"exit-node", 0, false, false, "it may be used as an exit node"},                           \
        {"all-routes", 0, false, false, "and for every route it serves"},                       \
        {"routes", 0, true, false, "or for these (comma list)"},                                \
        {"ports", 0, true, false, "only these (comma list): 22,8000-8010; all"},                \
        {"two-way", 0, false, false, "it may begin connections to the guests, too"},            \
    {                                                                                           \
        "expiration", 0, true, false, "from now, such as 90d; of an invitation 30d, else never" \
    }
static const struct flag_spec share_create[] = {
    {"to", 0, true, false, "TAILNET, or TAILNET/USER"},
    SHARE_TERMS,
    {0},
};
static const struct flag_spec share_set[] = {SHARE_TERMS, {0}};
static const struct flag_spec share_invite[] = {
    SHARE_TERMS,
    {"uses", 0, true, false, "how often the invitation is good (1)"},
    {"whole-tailnet", 0, false, false, "for all of a tailnet, not for one user"},
    {"share-expiration", 0, true, false, "of what the invitation makes, from now; never"},
    {0},
};
static const struct flag_spec share_join[] = {
    {"user", 'u', true, false, "for whom; without it for the whole tailnet"},
    {0},
};

#define USERS "users", "user namespace namespaces ns"
#define KEYS "preauthkeys", "preauthkey authkey pre"
#define API_KEYS "apikeys", "apikey api"
#define OAUTH_CLIENTS "oauth-clients", "oauth-client oauthclients oauthclient oauth"
#define SESSIONS "sessions", "session"
#define NODES "nodes", "node machine machines"
#define ROUTES "routes", "route r"
#define AUTH "auth", ""
#define SSH "ssh", ""
#define TAILNETS "tailnets", "tailnet"
#define SHARES "shares", "share"
#define AUDIT "audit", ""
#define WEBHOOKS "webhooks", "webhook"
#define DNS "dns", ""
#define GENERATE "generate", "gen"
#define DEBUG "debug", ""
#define POLICY "policy", ""
#define IMPORT "import", ""
#define ALONE "", ""

/* In the order of the help. */
const struct command_spec cli_commands[] = {
    {ALONE, "serve", "", "", "run the server", NULL, cmd_serve, false},
    {ALONE, "quickstart", "", "", "print the line that joins a first machine", quickstart,
     cmd_quickstart, false},
    {USERS, "create", "c new", "NAME", "make a user", user_create, cmd_users_create, false},
    {USERS, "list", "ls show", "", "list users", user_list, cmd_users_list, false},
    {USERS, "rename", "mv", "[OLD NEW]", "rename a user", user_rename, cmd_users_rename, false},
    {USERS, "role", "", "[NAME] ROLE", "give a user another role: what he may do over the API",
     user_one, cmd_users_role, false},
    {USERS, "approve", "", "[NAME]", "let a user in who waits for approval", user_one,
     cmd_users_approve, false},
    {USERS, "suspend", "", "[NAME]", "take a user's access, and that of all his machines", user_one,
     cmd_users_suspend, false},
    {USERS, "restore", "unsuspend", "[NAME]", "undo suspend", user_one, cmd_users_restore, false},
    {USERS, "invite", "", "", "make a link that makes one person a member, and print it",
     user_invite, cmd_users_invite, false},
    {USERS, "invites", "", "", "list invitations", NULL, cmd_users_invites, false},
    {USERS, "uninvite", "", "ID", "take an invitation back", NULL, cmd_users_uninvite, false},
    {USERS, "destroy", "delete", "[NAME]", "remove a user without nodes", user_one,
     cmd_users_destroy, false},
    {KEYS, "create", "c new", "", "make an auth key", key_create, cmd_keys_create, false},
    {KEYS, "list", "ls show", "", "list auth keys", key_list, cmd_keys_list, false},
    {KEYS, "expire", "revoke exp e", "[KEY]", "end an auth key's time", key_one, cmd_keys_expire,
     false},
    {KEYS, "delete", "del rm d", "[KEY]", "remove an auth key", key_one, cmd_keys_delete, false},
    {API_KEYS, "create", "c new", "", "make an API key", api_key_create, cmd_api_keys_create,
     false},
    {API_KEYS, "list", "ls show", "", "list API keys", NULL, cmd_api_keys_list, false},
    {API_KEYS, "expire", "revoke exp e", "", "end an API key's time", api_key_one,
     cmd_api_keys_expire, false},
    {API_KEYS, "delete", "remove del", "", "remove an API key", api_key_one, cmd_api_keys_delete,
     false},
    {OAUTH_CLIENTS, "create", "c new", "", "make an OAuth client, for Terraform or an operator",
     oauth_client_create, cmd_oauth_clients_create, false},
    {OAUTH_CLIENTS, "list", "ls show", "", "list OAuth clients", NULL, cmd_oauth_clients_list,
     false},
    {OAUTH_CLIENTS, "delete", "remove del", "", "remove an OAuth client and its tokens",
     oauth_client_one, cmd_oauth_clients_delete, false},
    {SESSIONS, "list", "ls show", "", "list who is logged in to the API in a browser", NULL,
     cmd_sessions_list, false},
    {SESSIONS, "delete", "remove del", "", "log somebody out", session_one, cmd_sessions_delete,
     false},
    {NODES, "list", "ls show", "", "list nodes", node_list, cmd_nodes_list, false},
    {NODES, "list-routes", "lsr routes", "", "list nodes with routes", node_routes,
     cmd_nodes_routes, false},
    {NODES, "approve", "", "", "let a machine in that waits for approval", node_one,
     cmd_nodes_approve, false},
    {NODES, "unapprove", "", "", "take its approval back: it loses access", node_one,
     cmd_nodes_unapprove, false},
    {NODES, "approve-routes", "", "", "set the routes a node may serve", node_approve,
     cmd_nodes_approve_routes, false},
    {NODES, "rename", "", "NEW_NAME", "rename a node", node_one, cmd_nodes_rename, false},
    {NODES, "tag", "tags t", "", "set a node's tags; it then belongs to nobody", node_tag,
     cmd_nodes_tag, false},
    {NODES, "expire", "logout exp e", "", "end a node key's time", node_expire, cmd_nodes_expire,
     false},
    {NODES, "delete", "del", "", "remove a node", node_one, cmd_nodes_delete, false},
    {NODES, "backfillips", "", "", "give nodes the addresses they lack", NULL, cmd_nodes_backfill,
     false},
    {NODES, "register", "", "", "old form of auth register", node_register, cmd_nodes_register,
     true},
    {NODES, "move", "mv", "", "give a node to another user", node_move, cmd_nodes_move, false},
    {ROUTES, "list", "ls show", "", "old form of nodes list-routes", old_routes, cmd_routes_list,
     true},
    {ROUTES, "enable", "", "", "old form of nodes approve-routes", old_route, cmd_routes_enable,
     true},
    {ROUTES, "disable", "", "", "old form of nodes approve-routes", old_route, cmd_routes_disable,
     true},
    {ROUTES, "delete", "del", "", "old form of nodes approve-routes", old_route, cmd_routes_disable,
     true},
    {AUTH, "register", "", "", "let a waiting machine in", auth_register, cmd_auth_register, false},
    {AUTH, "reject", "", "", "refuse a waiting machine", auth_reject, cmd_auth_reject, false},
    {AUTH, "approve", "", "", "headscale's form of ssh approve", auth_approve, cmd_auth_approve,
     false},
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
    {DNS, "show", "list ls", "", "what machines are told about names, and where it is set", NULL,
     cmd_dns_show, false},
    {DNS, "nameservers", "", "[ADDRESS...]", "show or set the global nameservers", dns_nameservers,
     cmd_dns_nameservers, false},
    {DNS, "split", "", "[DOMAIN ADDRESS...]", "show or set who is asked about a domain", dns_split,
     cmd_dns_split, false},
    {DNS, "search", "", "[DOMAIN...]", "show or set search paths", dns_search, cmd_dns_search,
     false},
    {DNS, "records", "", "[NAME ADDRESS]", "show records, or add one", dns_records, cmd_dns_records,
     false},
    {DNS, "magic", "", "[on|off]", "machines' names are answered by MagicDNS", NULL, cmd_dns_magic,
     false},
    {DNS, "override", "", "[on|off]", "global nameservers in place of the machines' own", NULL,
     cmd_dns_override, false},
    {DNS, "reset", "", "[PART...]", "back to what is configured: magic, override, nameservers, ...",
     NULL, cmd_dns_reset, false},
    {TAILNETS, "list", "ls", "", "list tailnets", NULL, cmd_tailnets_list, false},
    {TAILNETS, "show", "get", "NAME", "say what is set of a tailnet", NULL, cmd_tailnets_show,
     false},
    {TAILNETS, "create", "c new", "NAME", "make a tailnet", tailnet_create, cmd_tailnets_create,
     false},
    {TAILNETS, "set", "update", "NAME", "change who joins, quotas, base domain, ...", tailnet_set,
     cmd_tailnets_set, false},
    {TAILNETS, "rename", "mv", "OLD NEW", "give a tailnet another name", NULL, cmd_tailnets_rename,
     false},
    {TAILNETS, "suspend", "", "NAME", "take its machines off, refuse its keys", NULL,
     cmd_tailnets_suspend, false},
    {TAILNETS, "resume", "", "NAME", "undo suspend", NULL, cmd_tailnets_resume, false},
    {TAILNETS, "export", "", "NAME [FILE]", "write all of one tailnet as JSON", NULL,
     cmd_tailnets_export, false},
    {TAILNETS, "delete", "destroy del rm", "NAME", "delete a tailnet and all that is in it", NULL,
     cmd_tailnets_delete, false},
    {SHARES, "create", "c new", "MACHINE", "lend a machine to another tailnet, or a user there",
     share_create, cmd_shares_create, false},
    {SHARES, "list", "ls show", "", "list what is lent, and borrowed", NULL, cmd_shares_list,
     false},
    {SHARES, "accept", "", "ID", "accept what the tailnet is lent", NULL, cmd_shares_accept, false},
    {SHARES, "set", "update", "ID", "give a share these terms, and no others", share_set,
     cmd_shares_set, false},
    {SHARES, "revoke", "delete del rm", "ID", "end a share, from either side", NULL,
     cmd_shares_revoke, false},
    {SHARES, "invite", "", "MACHINE", "make an invitation to borrow a machine, and print it",
     share_invite, cmd_shares_invite, false},
    {SHARES, "invites", "", "", "list invitations", NULL, cmd_shares_invites, false},
    {SHARES, "uninvite", "", "ID", "take an invitation back", NULL, cmd_shares_uninvite, false},
    {SHARES, "join", "", "INVITATION", "borrow a machine by invitation", share_join,
     cmd_shares_join, false},
    {AUDIT, "list", "ls show", "", "say who changed what", audit_list, cmd_audit_list, false},
    {ALONE, "events", "", "", "say what changes, as it changes", events, cmd_events, false},
    {WEBHOOKS, "create", "c new", "URL", "tell an address of what happens; prints its secret",
     webhook_create, cmd_webhooks_create, false},
    {WEBHOOKS, "list", "ls show", "", "list webhooks", NULL, cmd_webhooks_list, false},
    {WEBHOOKS, "delete", "del rm", "ID", "remove a webhook", NULL, cmd_webhooks_delete, false},
    {WEBHOOKS, "test", "", "ID", "send it a test event", NULL, cmd_webhooks_test, false},
    {WEBHOOKS, "rotate", "", "ID", "give it another secret, and print that", NULL,
     cmd_webhooks_rotate, false},
    {GENERATE, "private-key", "", "", "print a new key", NULL, cmd_private_key, false},
    {GENERATE, "man", "", "", "print the manual page hatsize(1)", NULL, cmd_man, false},
    {DEBUG, "create-node", "", "", "invent a machine that waits to be let in", debug_node,
     cmd_debug_node, true},
    {IMPORT, "headscale", "", "", "take over a headscale server, whose file --config names",
     import_headscale, cmd_import_headscale, false},
    {ALONE, "import", "", "FILE.json", "replace everything by what export wrote; no server may run",
     NULL, cmd_import, false},
    {ALONE, "export", "", "FILE.json", "write everything as one JSON file, beside a running server",
     NULL, cmd_export, false},
    {ALONE, "backup", "", "FILE", "copy the database, beside a running server", NULL, cmd_backup,
     false},
    {ALONE, "restore", "", "FILE", "put a backup in the database's place; no server may run", NULL,
     cmd_restore, false},
    {ALONE, "doctor", "", "", "ask the public URL as a client would, say what is wrong", doctor,
     cmd_doctor, false},
    {ALONE, "configtest", "", "", "check the configuration", configtest, cmd_configtest, false},
    {ALONE, "dumpConfig", "", "", "print the configuration in force, without secrets", NULL,
     cmd_dump_config, true},
    {ALONE, "health", "", "", "ask the server whether it is well", NULL, cmd_health, false},
    {ALONE, "version", "", "", "print the version", NULL, cmd_version, false},
    {ALONE, "completion", "", "bash|zsh|fish|powershell", "print a shell's completion script", NULL,
     cmd_completion, false},
    {ALONE, "__complete", "", "WORD...", "what a completion script asks", NULL, cmd_complete, true},
    {ALONE, "mockoidc", "", "", "says what to use instead", NULL, cmd_mock_oidc, true},
    {ALONE, "help", "", "COMMAND...", "this, or what a command takes", NULL, cmd_help, false},
    {0},
};

/* ---- Main ---- */

static bool find_format(struct str word, enum cli_format *format)
{
    static const struct {
        const char *name;
        enum cli_format format;
    } formats[] = {
        {"", CLI_HUMAN}, {"json", CLI_JSON}, {"json-line", CLI_JSON_LINE}, {"yaml", CLI_YAML}};

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (!str_eq(word, str_from(formats[i].name)))
            continue;
        *format = formats[i].format;
        return true;
    }
    return false;
}

static bool set_format(struct cli *cli)
{
    struct str want = args_get(&cli->args, "output");

    if (find_format(want, &cli->format))
        return true;
    (void)cli_fail(cli, "--output is json, json-line or yaml, not \"%.*s\"", STR_ARG(want));
    return false;
}

/* Complaints about the arguments come in the form that is asked for, too. */
static void guess_format(struct cli *cli, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct str word = str_from(argv[i]), value;

        if (str_eq(word, STR("-o")) || str_eq(word, STR("--output")))
            value = i + 1 < argc ? str_from(argv[i + 1]) : STR_NONE;
        else if (str_starts(word, STR("--output=")))
            value = str_from_index(word, strlen("--output="));
        else if (str_starts(word, STR("-o")))
            value = str_from_index(word, str_starts(word, STR("-o=")) ? 3 : 2);
        else
            continue;
        (void)!find_format(value, &cli->format);
    }
}

int cli_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};

    if (args_parse(argc, argv, cli_commands, cli_globals, &cli->args, &err) < 0) {
        guess_format(cli, argc, argv);
        return cli_fail(cli, "%s", err.text);
    }
    if (cli->args.help || !cli->args.command) {
        cli_usage(cli, cli->args.group, cli->args.command);
        return 0;
    }
    return set_format(cli) ? cli->args.command->run(cli) : 1;
}

/* A full disk behind the redirection, say. */
static int fail_written(const struct cli *cli)
{
    struct err err = {0};

    (void)!err_sys(&err, errno, "writing the answer");
    return cli_fail(cli, "%s", err.text);
}

int cli_main(int argc, char **argv, int (*serve)(const struct config *config))
{
    struct cli *cli = NEW(struct cli);
    int status;

    log_init(LOG_WARN, LOG_TEXT, -1);
    cli->out = stdout;
    cli->complaints = stderr;
    cli->arena = arena_new();
    cli->serve = serve;
    status = cli_run(cli, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = fail_written(cli);
    config_free(cli->config);
    arena_free(cli->arena);
    mem_free(cli);
    return status;
}
