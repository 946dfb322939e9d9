/* audit …: who changed what. */

#include "cli/cli_internal.h"
#include "core/clock.h"

/* "&since=…" out of a time or of how long ago it was; false: printed. */
static bool add_time(struct cli *cli, struct buf *query, const char *flag)
{
    struct str text = args_get(&cli->args, flag);
    int64_t ms = 0, ago = 0;

    if (text.len == 0)
        return true;
    if (!clock_parse_rfc3339(text, &ms)) {
        if (!clock_parse_duration(text, &ago)) {
            (void)cli_fail(
                cli, "--%s wants a time such as 2027-01-31T00:00:00Z, or how long ago: 24h", flag);
            return false;
        }
        ms = clock_unix_ms() - ago;
    }
    buf_printf(query, "&%s=", flag);
    clock_put_rfc3339(query, ms);
    return true;
}

static bool add_number(struct cli *cli, struct buf *query, const char *flag)
{
    struct str text = args_get(&cli->args, flag);
    uint64_t n = 0;

    if (text.len == 0)
        return true;
    if (!str_parse_u64(text, &n)) {
        (void)cli_fail(cli, "--%s wants a number, not \"%.*s\"", flag, STR_ARG(text));
        return false;
    }
    buf_printf(query, "&%s=%llu", flag, (unsigned long long)n);
    return true;
}

static void print_entries(struct cli *cli, const struct json_value *entries)
{
    static const char *const columns[] = {"ID",     "Time",   "Author", "From",
                                          "Action", "Object", "Name",   NULL};
    struct table *t = table_new(cli, columns);

    JSON_EACH(e, entries) {
        table_row(t);
        table_cell_id(t, e, "id");
        table_cell_time(t, e, "createdAt", "");
        table_cell(t, json_get_str(e, "author"));
        table_cell(t, json_get_str(e, "from"));
        table_cell(t, json_get_str(e, "action"));
        table_cell(t, arena_printf(cli->arena, "%.*s %.*s", STR_ARG(json_get_str(e, "object")),
                                   STR_ARG(json_get_str(e, "objectId"))));
        table_cell(t, json_get_str(e, "objectName"));
    }
    table_print(t);
}

int cmd_audit_list(struct cli *cli)
{
    AUTO_FINI(buf_fini) struct buf query = BUF(4096);
    const struct json_value *entries;

    if (!add_number(cli, &query, "limit") || !add_number(cli, &query, "before") ||
        !add_time(cli, &query, "since") || !add_time(cli, &query, "until"))
        return 1;
    struct str given = str_from_index(buf_str(&query), 1);
    struct str path =
        arena_printf(cli->arena, "/api/v1/audit%s%.*s", given.len > 0 ? "?" : "", STR_ARG(given));

    entries = cli_call_list(cli, "reading the audit log", path, "entries");
    if (!entries)
        return 1;
    if (!cli_is_human(cli))
        return cli_show(cli, entries, "");
    print_entries(cli, entries);
    return 0;
}
