/*
 * policy get, set and check on the database file, for when the server cannot be asked. The store
 * refuses a file that a server has open.
 */

#include "cli/cli_internal.h"
#include "core/clock.h"
#include "policy/policy.h"
#include "store/audit_note.h"

struct bypass {
    struct store *store;
    struct domain *domain;
    const struct tailnet_view *view; /* of the tailnet that is meant */
};

bool policy_bypass_wanted(const struct cli *cli)
{
    return args_has(&cli->args, "bypass-server-and-access-database-directly") ||
           args_has(&cli->args, "bypass-grpc-and-access-database-directly");
}

static void bypass_close(struct bypass *b)
{
    view_unref(b->view);
    domain_free(b->domain);
    store_close(b->store);
}

static int open_files(struct cli *cli, struct bypass *b, struct err *err)
{
    AUTO_FINI(config_store_fini) struct config_store room = {0};
    struct str name = cli_tailnet(cli);

    if (store_open(config_store_options(cli->config, &room), &b->store, err) < 0)
        return -(int)err->code;
    b->domain = domain_new();
    if (store_load(b->store, b->domain, err) < 0)
        return -(int)err->code;
    b->view = name.len > 0 ? domain_view_by_name(b->domain, name) : domain_view(b->domain, 0);
    return b->view ? 0 : err_set(err, ERR_NOT_FOUND, "tailnet not found");
}

/* False: said why not. */
static bool bypass_open(struct cli *cli, struct bypass *b)
{
    struct err err = {0};

    *b = (struct bypass){0};
    if (!cli_load_config(cli, false))
        return false;
    enum cli_answer said = cli_ask_person(cli, "This works on the database file itself. Is the "
                                               "server stopped, and do you want to go on?");

    if (said == CLI_NO)
        (void)cli_fail(cli, "command aborted by user");
    if (said != CLI_YES)
        return false;
    if (open_files(cli, b, &err) == 0)
        return true;
    (void)cli_fail(cli, "%s", err.text);
    bypass_close(b);
    return false;
}

int policy_bypass_get(struct cli *cli)
{
    struct bypass b;

    if (!bypass_open(cli, &b))
        return 1;
    struct str text = view_info(b.view)->policy;
    int status = text.len > 0 ? 0 : cli_fail(cli, "reading policy: acl policy not found");

    (void)fwrite(text.ptr ? text.ptr : "", 1, text.len, cli->out);
    bypass_close(&b);
    return status;
}

/* 0, or 1 after printing. */
static int judge(struct cli *cli, const struct bypass *b, struct str file, struct str text)
{
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    AUTO(policy_unref) const struct policy *policy = NULL;
    AUTO_FINI(buf_fini) struct buf details = BUF((size_t)1 << 20);
    struct policy_complaint c = {0};
    int status = 0;

    if (text.len > 0)
        status = policy_document_parse(text, &(struct policy_parse_options){0}, &document, &c);
    if (status == 0 && document) {
        policy = policy_compile(&(struct policy_input){.document = document, .view = b->view});
        status = policy_check_users(document, b->view, &c);
        if (status == 0)
            status = policy_run_tests(policy, &c, &details);
    }
    if (status == 0)
        return 0;
    return policy_fail(cli, file, c.pos.line, c.pos.col, str_from(c.text), str_from(c.hint),
                       str_trim(buf_str(&details)));
}

int policy_bypass_check(struct cli *cli, struct str file, struct str text)
{
    struct bypass b;

    if (!bypass_open(cli, &b))
        return 1;
    int status = judge(cli, &b, file, text);

    bypass_close(&b);
    return status == 0 ? cli_result(cli, "Policy is valid") : 1;
}

static int store_text(struct bypass *b, struct str text, struct err *err)
{
    const struct command c = {.type = COMMAND_POLICY_SET,
                              .origin = ORIGIN_SERVER,
                              .author = STR("command line, on the database"),
                              .tailnet = view_info(b->view)->id,
                              .now_ms = clock_unix_ms(),
                              .text = text};
    struct change_list changes = {0};
    struct command_result result = {0};
    bool durable = false;
    struct audit_note note;

    audit_note_begin(&note, b->domain, &c);
    int status = domain_apply(b->domain, &c, &changes, &result, err);
    const struct audit_entry *entry =
        audit_note_end(&note, b->domain, &c, status == 0 ? &result : NULL);
    if (status == 0 && changes.len > 0) {
        struct store_batch *batch = store_batch_new();

        store_batch_add(batch, result.view, changes.items, changes.len, &durable);
        if (entry)
            store_batch_add_audit(batch, audit_entry_ref(entry));
        status = store_commit(b->store, batch, err);
        store_batch_free(batch);
    }
    audit_entry_unref(entry);
    command_result_fini(&result);
    change_list_fini(&changes);
    return status;
}

int policy_bypass_set(struct cli *cli, struct str file, struct str text)
{
    struct bypass b;
    struct err err = {0};

    if (!bypass_open(cli, &b))
        return 1;
    int status = judge(cli, &b, file, text);
    if (status == 0 && store_text(&b, text, &err) < 0)
        status = cli_fail(cli, "setting policy: %s", err.text);
    bypass_close(&b);
    return status == 0 ? cli_result(cli, "Policy updated.") : 1;
}
