#pragma once

/* What the commands share: the call to the server, and the ways to show an answer. */

#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "json/value.h"
#include "json/writer.h"

struct http_fetch_options;

enum cli_format { CLI_HUMAN, CLI_JSON, CLI_JSON_LINE, CLI_YAML };

struct cli {
    struct args args;
    struct arena *arena; /* the command's memory */
    enum cli_format format;
    struct config *config;      /* loaded on first need */
    const char *const *environ; /* "NAME=value", NULL at the end; NULL: this process's */
    int64_t deadline_ms; /* by the monotonic clock, for all calls together; 0: none was made */
    bool timed_out;      /* the last call ran out of time */
    FILE *out;           /* answers */
    FILE *complaints;    /* errors, questions, notices */
    /* In place of http_fetch, for tests; NULL: that. */
    int (*fetch)(const struct http_fetch_options *options, int *status, struct buf *body,
                 struct err *err);
    int (*serve)(const struct config *config);
};

extern const struct command_spec cli_commands[]; /* ends with a NULL run */
extern const struct flag_spec cli_globals[];     /* ends with a NULL name */
/* From argv to the exit status; `cli` has its arena and its two files. */
int cli_run(struct cli *cli, int argc, char **argv);

/* Prints "Error: …" (or {"error": …} in the output format); returns 1. */
PRINTF_LIKE(2, 3) int cli_fail(const struct cli *cli, const char *fmt, ...);
/* Prints "Notice: …" for people; nothing in a machine format. */
PRINTF_LIKE(2, 3) void cli_notice(const struct cli *cli, const char *fmt, ...);
/* The configuration, loaded once; prints what is wrong with it. False: printed. */
MUST_USE bool cli_load_config(struct cli *cli, bool with_notices);

/*
 * Asks the server. `path` begins with /api/v1 or v2; the tailnet of --tailnet is added. `body` may
 * be NULL. False: the refusal was printed, prefixed by `doing`. *answer (may be NULL) lives in the
 * arena.
 */
MUST_USE bool cli_call(struct cli *cli, const char *doing, const char *method, struct str path,
                       const struct buf *body, const struct json_value **answer);
/* The list that the answer to a GET has as `member`; NULL after printing. */
const struct json_value *cli_call_list(struct cli *cli, const char *doing, struct str path,
                                       const char *member);
/* The exchange alone, once the configuration is loaded: 0 with the answer's status and text (in the
 * arena), whatever it is; negative when there is no answer. */
MUST_USE int cli_ask(struct cli *cli, const char *method, struct str path, const struct buf *body,
                     int *status, struct str *text, struct err *err);
/* Says that nobody answered; returns 1. */
int cli_fail_unreached(struct cli *cli, const char *doing, const struct err *err);
/* Puts the server's refusal; returns 1. */
int cli_fail_refused(struct cli *cli, const char *doing, int status, struct str body);
/* A file's text, "-" being the standard input, in the arena. */
MUST_USE int cli_read_file(struct cli *cli, struct str path, size_t max, struct str *text,
                           struct err *err);
/*
 * To the terminal, with what could steer it, reverse it or end its line made a dot each: names come
 * from machines. cli_put_text keeps line ends and tabs.
 */
void cli_put_word(FILE *to, struct str text);
void cli_put_text(FILE *to, struct str text);
/* Columns that cli_put_word takes: characters (wide ones aside). */
size_t cli_width(struct str s);
/* The tailnet that is meant: --tailnet, else HATSIZE_TAILNET; empty: the first, or the key's. */
struct str cli_tailnet(const struct cli *cli);
/* Percent-encodes a path segment or query value, in the arena. */
struct str cli_escape(struct cli *cli, struct str s);

/* Prints `value` when a machine format is asked for, else `human` and a line end. Returns 0. */
int cli_show(struct cli *cli, const struct json_value *value, const char *human);
bool cli_is_human(const struct cli *cli);
/* old_json.c: whether the environment asks for headscale's JSON up to 0.29; a value in it, in the
 * arena. */
bool cli_wants_old_json(const struct cli *cli);
const struct json_value *cli_old_json(struct cli *cli, const struct json_value *value);
/* {"Result": text} or the text. Returns 0. */
int cli_result(struct cli *cli, const char *text);
/* A string by itself: bare in JSON. Returns 0. */
int cli_show_str(struct cli *cli, struct str text);
/* All of the object when a machine format is asked for, else its string `member` by itself.
 * Returns 0. */
int cli_show_member(struct cli *cli, const struct json_value *object, const char *member);
/* An object of strings: names and values in turn, NULL at the end. In the arena. */
const struct json_value *cli_object(struct cli *cli, const char *const *members);
enum cli_answer { CLI_YES, CLI_NO, CLI_NOBODY };
/*
 * Asks on the terminal; --force is a yes. Without a terminal an answer is read all the same (`yes |
 * hatsize …`); CLI_NOBODY when there was none, which is said.
 */
MUST_USE enum cli_answer cli_ask_person(struct cli *cli, const char *question);
/* As above; neither a no nor nobody is a yes. */
bool cli_confirm(struct cli *cli, const char *question);
/* The --identifier (or --id) flag as a positive number. False: printed. */
MUST_USE bool cli_id(struct cli *cli, const char *flag, uint64_t *id);
/* The time that is as far from now as the flag says; otherwise_ms 0: no member when it says
 * nothing. False: printed. */
MUST_USE bool cli_put_time(struct cli *cli, struct json_writer *w, const char *flag,
                           struct str member, int64_t otherwise_ms);

/* ---- Tables ---- */

struct table;
/* Column names, NULL at the end. In the arena. */
struct table *table_new(struct cli *cli, const char *const *columns);
/* Starts a row; then one cell after the other. */
void table_row(struct table *t);
/* Borrowed. Whatever is in it, it stays one line. */
void table_cell(struct table *t, struct str text);
/* The same for one line a '\n'. */
void table_cell_lines(struct table *t, struct str text);
/* A cell with a colour of its own on terminals: '1' red, '2' green. */
void table_cell_colour(struct table *t, struct str text, char colour);
void table_cell_id(struct table *t, const struct json_value *obj, const char *name);
/* "2026-11-21 04:28:02", or `none` where there is no time. */
void table_cell_time(struct table *t, const struct json_value *obj, const char *name,
                     const char *none);
/* One line for each string of a list. */
void table_cell_list(struct table *t, const struct json_value *list);
void table_print(struct table *t);
/* The list when a machine format is asked for, else a table to which `put` adds the cells of each
 * item's row. Returns 0; 1 without a list (NULL), when why has been printed. */
int table_show(struct cli *cli, const char *const *columns, const struct json_value *list,
               void (*put)(struct cli *cli, struct table *t, const struct json_value *item));

/* ---- Commands, by file ---- */

int cmd_users_create(struct cli *), cmd_users_list(struct cli *), cmd_users_destroy(struct cli *),
    cmd_users_rename(struct cli *), cmd_users_approve(struct cli *),
    cmd_users_suspend(struct cli *), cmd_users_restore(struct cli *), cmd_users_role(struct cli *),
    cmd_users_invite(struct cli *), cmd_users_invites(struct cli *),
    cmd_users_uninvite(struct cli *);
int cmd_keys_create(struct cli *), cmd_keys_list(struct cli *), cmd_keys_expire(struct cli *),
    cmd_keys_delete(struct cli *);
int cmd_nodes_list(struct cli *), cmd_nodes_routes(struct cli *), cmd_nodes_expire(struct cli *),
    cmd_nodes_rename(struct cli *), cmd_nodes_delete(struct cli *), cmd_nodes_tag(struct cli *),
    cmd_nodes_approve_routes(struct cli *), cmd_nodes_approve(struct cli *),
    cmd_nodes_unapprove(struct cli *), cmd_nodes_register(struct cli *),
    cmd_nodes_backfill(struct cli *), cmd_nodes_move(struct cli *), cmd_debug_node(struct cli *);
int cmd_routes_list(struct cli *), cmd_routes_enable(struct cli *),
    cmd_routes_disable(struct cli *);
int cmd_api_keys_create(struct cli *), cmd_api_keys_list(struct cli *),
    cmd_api_keys_expire(struct cli *), cmd_api_keys_delete(struct cli *);
int cmd_sessions_list(struct cli *), cmd_sessions_delete(struct cli *);
int cmd_oauth_clients_create(struct cli *), cmd_oauth_clients_list(struct cli *),
    cmd_oauth_clients_delete(struct cli *);
int cmd_auth_register(struct cli *), cmd_auth_reject(struct cli *), cmd_auth_approve(struct cli *);
int cmd_audit_list(struct cli *);
int cmd_events(struct cli *);
int cmd_shares_create(struct cli *), cmd_shares_list(struct cli *), cmd_shares_accept(struct cli *),
    cmd_shares_set(struct cli *), cmd_shares_revoke(struct cli *), cmd_shares_invite(struct cli *),
    cmd_shares_invites(struct cli *), cmd_shares_uninvite(struct cli *),
    cmd_shares_join(struct cli *);
int cmd_webhooks_create(struct cli *), cmd_webhooks_list(struct cli *),
    cmd_webhooks_delete(struct cli *), cmd_webhooks_test(struct cli *),
    cmd_webhooks_rotate(struct cli *);
int cmd_dns_show(struct cli *), cmd_dns_nameservers(struct cli *), cmd_dns_split(struct cli *),
    cmd_dns_search(struct cli *), cmd_dns_records(struct cli *), cmd_dns_magic(struct cli *),
    cmd_dns_override(struct cli *), cmd_dns_reset(struct cli *);
int cmd_ssh_list(struct cli *), cmd_ssh_approve(struct cli *), cmd_ssh_reject(struct cli *);
int cmd_tailnets_list(struct cli *), cmd_tailnets_create(struct cli *),
    cmd_tailnets_show(struct cli *), cmd_tailnets_set(struct cli *),
    cmd_tailnets_rename(struct cli *), cmd_tailnets_suspend(struct cli *),
    cmd_tailnets_resume(struct cli *), cmd_tailnets_export(struct cli *),
    cmd_tailnets_delete(struct cli *);
int cmd_policy_get(struct cli *), cmd_policy_set(struct cli *), cmd_policy_check(struct cli *),
    cmd_policy_diff(struct cli *), cmd_policy_explain(struct cli *), cmd_policy_eval(struct cli *);
int cmd_import_headscale(struct cli *);
int cmd_backup(struct cli *), cmd_restore(struct cli *), cmd_export(struct cli *),
    cmd_import(struct cli *);
/* backup.c: JSON or an SQLite file over all that is there; says how it went, the exit status. */
int cli_restore_file(struct cli *cli, struct str path, const char *doing);
int cmd_doctor(struct cli *);
int cmd_serve(struct cli *), cmd_configtest(struct cli *), cmd_health(struct cli *),
    cmd_version(struct cli *), cmd_private_key(struct cli *), cmd_quickstart(struct cli *),
    cmd_help(struct cli *), cmd_dump_config(struct cli *), cmd_mock_oidc(struct cli *);
int cmd_completion(struct cli *), cmd_complete(struct cli *), cmd_man(struct cli *);

/* policy_bypass.c: the same on the database file itself, beside no server. */
bool policy_bypass_wanted(const struct cli *cli);
int policy_bypass_get(struct cli *cli);
int policy_bypass_set(struct cli *cli, struct str file, struct str text);
int policy_bypass_check(struct cli *cli, struct str file, struct str text);
/* The complaint about a file, as compilers put it; returns 1. */
int policy_fail(struct cli *cli, struct str file, uint64_t line, uint64_t col, struct str text,
                struct str hint, struct str details);

/* Finds a user by --identifier or --name, or an email filter; prints and returns NULL if not
 * exactly one. */
const struct json_value *cli_find_user(struct cli *cli, struct str id, struct str name);
/* The user of --identifier, of --name, or called `otherwise` (operands of older command lines);
 * prints and gives NULL when it is not exactly one. */
const struct json_value *cli_named_user(struct cli *cli, struct str otherwise);
/* joining.c: what --join, --user-approval and --device-approval say, as members. False: printed. */
MUST_USE bool cli_put_joining(struct cli *cli, struct json_writer *w);
/* Whether --join asks for what there is when nobody says anything. */
bool cli_joins_default(const struct cli *cli);
/* A tailnet's rules, as they are typed. In the arena. */
struct str cli_joining_text(struct cli *cli, const struct json_value *tailnet);
/* Prints the overview, a group's commands or a command's flags; both may be NULL. */
void cli_usage(struct cli *cli, const char *group, const struct command_spec *command);

/* ---- Reaching the server ---- */

struct target {
    struct str base;       /* "https://host:port", or "http://local" for the socket */
    const char *unix_path; /* NULL: by network */
    struct str bearer;     /* the API key; empty on the socket */
};
/* Where cli.address, or without one this machine's socket, is. Negative: it cannot be said. */
MUST_USE int target_find(struct cli *cli, struct target *t, struct err *err);
/* Why nobody may have answered, and what to do, behind a line end; empty if there is nothing to
 * say. In the arena. */
struct str target_advice(struct cli *cli, const struct target *t, const struct err *err);
