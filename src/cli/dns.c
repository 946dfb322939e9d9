/* dns …: what machines are told about names, and what of it is set here and not in the
 * configuration. */

#include "cli/cli_internal.h"

/* ---- Shown ---- */

static bool is_set(const struct json_value *dns, const char *part)
{
    JSON_EACH(name, json_get_array(dns, "set")) {
        if (str_eq(json_as_str(name, STR_NONE), str_from(part)))
            return true;
    }
    return false;
}

static struct str line(struct cli *cli, struct str have, struct str text)
{
    return arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(have), have.len > 0 ? "\n" : "",
                        STR_ARG(text));
}

static struct str resolvers(struct cli *cli, const struct json_value *list, const char *between)
{
    struct str text = STR_NONE;

    JSON_EACH(r, list) {
        text = arena_printf(cli->arena, "%.*s%s%.*s%s", STR_ARG(text), text.len > 0 ? between : "",
                            STR_ARG(json_get_str(r, "address")),
                            json_get_bool(r, "useWithExitNode", false) ? " (past exit nodes)" : "");
    }
    return text;
}

static struct str splits(struct cli *cli, const struct json_value *dns)
{
    struct str text = STR_NONE;

    JSON_EACH(s, json_get_array(dns, "splitDns")) {
        struct str servers = resolvers(cli, json_get_array(s, "nameservers"), ", ");

        text = line(cli, text,
                    arena_printf(cli->arena, "%.*s: %.*s", STR_ARG(json_get_str(s, "domain")),
                                 STR_ARG(servers.len > 0 ? servers : STR("the machine itself"))));
    }
    return text;
}

static struct str records(struct cli *cli, const struct json_value *dns)
{
    struct str text = STR_NONE;

    JSON_EACH(r, json_get_array(dns, "records")) {
        bool own = str_eq(json_get_str(r, "source"), STR("set"));

        text = line(cli, text,
                    arena_printf(cli->arena, "%.*s %.*s %.*s%s", STR_ARG(json_get_str(r, "name")),
                                 STR_ARG(json_get_str(r, "type")),
                                 STR_ARG(json_get_str(r, "value")), own ? "" : " (configuration)"));
    }
    return text;
}

static struct str paths(struct cli *cli, const struct json_value *dns)
{
    struct str text = STR_NONE;

    JSON_EACH(p, json_get_array(dns, "searchPaths")) {
        text = line(cli, text, json_as_str(p, STR_NONE));
    }
    return text;
}

static struct str on_off(const struct json_value *dns, const char *member)
{
    return json_get_bool(dns, member, false) ? STR("on") : STR("off");
}

static void put_part(struct table *t, const struct json_value *dns, const char *title,
                     const char *part, struct str value)
{
    table_row(t);
    table_cell(t, str_from(title));
    table_cell(t, is_set(dns, part) ? STR("set") : STR("configuration"));
    table_cell_lines(t, value.len > 0 ? value : STR("none"));
}

/* `only`: one part, or NULL for all. */
static int show(struct cli *cli, const struct json_value *dns, const char *only)
{
    static const char *const columns[] = {"Part", "From", "Value", NULL};
    const struct {
        const char *part, *title;
        struct str value;
    } rows[] = {
        {"magicDns", "MagicDNS",
         arena_printf(cli->arena, "%.*s", STR_ARG(on_off(dns, "magicDns")))},
        {"overrideLocalDns", "Override local DNS", on_off(dns, "overrideLocalDns")},
        {"nameservers", "Nameservers", resolvers(cli, json_get_array(dns, "nameservers"), "\n")},
        {"splitDns", "Split DNS", splits(cli, dns)},
        {"searchPaths", "Search paths", paths(cli, dns)},
        {"records", "Records", records(cli, dns)},
    };
    struct table *t;

    if (!cli_is_human(cli))
        return cli_show(cli, only ? json_get(dns, only) : dns, "");
    t = table_new(cli, columns);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!only || str_eq(str_from(only), str_from(rows[i].part)))
            put_part(t, dns, rows[i].title, rows[i].part, rows[i].value);
    table_print(t);
    return 0;
}

static int get(struct cli *cli, const char *only)
{
    const struct json_value *answer = NULL;

    if (!cli_call(cli, "reading DNS settings", "GET", STR("/api/v1/dns"), NULL, &answer))
        return 1;
    return show(cli, json_get(answer, "dns"), only);
}

int cmd_dns_show(struct cli *cli)
{
    return get(cli, NULL);
}

/* ---- Changed ---- */

enum how { SET, ADD, REMOVE };

struct changing {
    struct cli *cli;
    struct buf body;
    struct json_writer w;
};

static void begin(struct changing *ch, struct cli *cli)
{
    *ch = (struct changing){.cli = cli, .body = BUF((size_t)1 << 20)};
    ch->w = JSON_WRITER(&ch->body);
    json_begin_object(&ch->w);
}

static int finish(struct changing *ch, enum how how, const char *only)
{
    static const struct {
        const char *method, *path;
    } calls[] = {[SET] = {"PATCH", "/api/v1/dns"},
                 [ADD] = {"POST", "/api/v1/dns/add"},
                 [REMOVE] = {"POST", "/api/v1/dns/remove"}};
    const struct json_value *answer = NULL;

    json_end_object(&ch->w);
    bool ok = cli_call(ch->cli, "setting DNS", calls[how].method, str_from(calls[how].path),
                       &ch->body, &answer);
    buf_fini(&ch->body);
    return ok ? show(ch->cli, json_get(answer, "dns"), only) : 1;
}

/* At most one of --add, --remove and --none; false: printed. */
static bool one_way(struct cli *cli, enum how *how, bool *none)
{
    bool add = args_has(&cli->args, "add"), remove = args_has(&cli->args, "remove");

    *none = args_has(&cli->args, "none");
    *how = add ? ADD : remove ? REMOVE : SET;
    if (add + remove + *none > 1) {
        (void)cli_fail(cli, "only one of --add, --remove and --none can be given");
        return false;
    }
    if (*none && cli->args.n_operands > 0) {
        (void)cli_fail(cli, "--none takes no further words");
        return false;
    }
    if ((add || remove) && cli->args.n_operands == 0) {
        (void)cli_fail(cli, "--%s wants to be told what", add ? "add" : "remove");
        return false;
    }
    return true;
}

static void put_resolvers(struct changing *ch, size_t from)
{
    const struct args *a = &ch->cli->args;

    json_field_array(&ch->w, STR("nameservers"));
    for (size_t i = from; i < a->n_operands; i++) {
        json_begin_object(&ch->w);
        json_field_str(&ch->w, STR("address"), a->operands[i]);
        json_field_bool(&ch->w, STR("useWithExitNode"), args_has(a, "with-exit-node"));
        json_end_object(&ch->w);
    }
    json_end_array(&ch->w);
}

int cmd_dns_nameservers(struct cli *cli)
{
    struct changing ch;
    enum how how;
    bool none;

    if (!one_way(cli, &how, &none))
        return 1;
    if (cli->args.n_operands == 0 && !none)
        return get(cli, "nameservers");
    begin(&ch, cli);
    put_resolvers(&ch, 0);
    return finish(&ch, how, "nameservers");
}

int cmd_dns_search(struct cli *cli)
{
    struct changing ch;
    enum how how;
    bool none;

    if (!one_way(cli, &how, &none))
        return 1;
    if (cli->args.n_operands == 0 && !none)
        return get(cli, "searchPaths");
    begin(&ch, cli);
    json_field_array(&ch.w, STR("searchPaths"));
    for (size_t i = 0; i < cli->args.n_operands; i++)
        json_str(&ch.w, cli->args.operands[i]);
    json_end_array(&ch.w);
    return finish(&ch, how, "searchPaths");
}

/* DOMAIN ADDRESS...: one domain's nameservers; the others stay. */
int cmd_dns_split(struct cli *cli)
{
    bool remove = args_has(&cli->args, "remove"), none = args_has(&cli->args, "none");
    struct changing ch;

    if (cli->args.n_operands == 0 && !none && !remove)
        return get(cli, "splitDns");
    if (remove && (none || cli->args.n_operands != 1))
        return cli_fail(cli, "--remove wants one domain");
    if (none && cli->args.n_operands > 0)
        return cli_fail(cli, "--none takes no further words");
    if (!remove && !none && cli->args.n_operands < 2)
        return cli_fail(cli, "a domain and its nameservers are wanted: dns split corp.example "
                             "10.0.0.53");
    begin(&ch, cli);
    json_field_array(&ch.w, STR("splitDns"));
    if (!none) {
        json_begin_object(&ch.w);
        json_field_str(&ch.w, STR("domain"), cli->args.operands[0]);
        put_resolvers(&ch, 1);
        json_end_object(&ch.w);
    }
    json_end_array(&ch.w);
    return finish(&ch, none ? SET : remove ? REMOVE : ADD, "splitDns");
}

/* NAME ADDRESS: one more; --remove NAME [ADDRESS]. */
int cmd_dns_records(struct cli *cli)
{
    bool remove = args_has(&cli->args, "remove"), none = args_has(&cli->args, "none");
    size_t n = cli->args.n_operands;
    struct changing ch;

    if (n == 0 && !none && !remove)
        return get(cli, "records");
    if (none && (remove || n > 0))
        return cli_fail(cli, "--none takes no further words");
    if (remove ? n < 1 || n > 2 : !none && n != 2)
        return cli_fail(cli, remove ? "--remove wants a name, and may have an address"
                                    : "a name and its address are wanted: dns records "
                                      "grafana.example 100.64.0.3");
    begin(&ch, cli);
    json_field_array(&ch.w, STR("records"));
    if (!none) {
        json_begin_object(&ch.w);
        json_field_str(&ch.w, STR("name"), cli->args.operands[0]);
        json_field_str(&ch.w, STR("value"), n > 1 ? cli->args.operands[1] : STR_NONE);
        json_end_object(&ch.w);
    }
    json_end_array(&ch.w);
    return finish(&ch, none ? SET : remove ? REMOVE : ADD, "records");
}

static int toggle(struct cli *cli, const char *member)
{
    struct changing ch;
    struct str word = cli->args.n_operands == 1 ? cli->args.operands[0] : STR_NONE;
    bool on = str_eq_nocase(word, STR("on"));

    if (cli->args.n_operands == 0)
        return get(cli, member);
    if (!on && !str_eq_nocase(word, STR("off")))
        return cli_fail(cli, "on or off is wanted");
    begin(&ch, cli);
    json_field_bool(&ch.w, str_from(member), on);
    return finish(&ch, SET, member);
}

int cmd_dns_magic(struct cli *cli)
{
    return toggle(cli, "magicDns");
}

int cmd_dns_override(struct cli *cli)
{
    return toggle(cli, "overrideLocalDns");
}

/* PART...: as the commands are called; none: all of them. */
int cmd_dns_reset(struct cli *cli)
{
    static const char *const parts[][2] = {
        {"magic", "magicDns"}, {"override", "overrideLocalDns"}, {"nameservers", "nameservers"},
        {"split", "splitDns"}, {"search", "searchPaths"},        {"records", "records"},
    };
    struct buf body = BUF(65536);
    struct json_writer w = JSON_WRITER(&body);
    const struct json_value *answer = NULL;

    json_begin_object(&w);
    json_field_array(&w, STR("parts"));
    for (size_t i = 0; i < cli->args.n_operands; i++) {
        size_t k = 0;

        while (k < ARRAY_LEN(parts) && !str_eq(cli->args.operands[i], str_from(parts[k][0])))
            k++;
        if (k == ARRAY_LEN(parts)) {
            buf_fini(&body);
            return cli_fail(cli,
                            "\"%.*s\" is no part of DNS: magic, override, nameservers, split, "
                            "search and records are",
                            STR_ARG(cli->args.operands[i]));
        }
        json_str(&w, str_from(parts[k][1]));
    }
    json_end_array(&w);
    json_end_object(&w);
    bool ok = cli_call(cli, "resetting DNS", "POST", STR("/api/v1/dns/reset"), &body, &answer);

    buf_fini(&body);
    return ok ? show(cli, json_get(answer, "dns"), NULL) : 1;
}
