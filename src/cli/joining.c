/*
 * Joining rules as they are typed and shown:
 *
 *   --join anyone | group:GROUP | domain:DOMAIN [,role=ROLE] [,approve | ,no-approve]
 * [,from=ISSUER]
 *   --join none      nobody, but by invitation
 *   --join default   as if nothing had been said
 *
 * each --join one rule, all of them together in place of those there were. Source: docs/people.md.
 */

#include "cli/cli_internal.h"

static bool complain(struct cli *cli, struct str rule, const char *why)
{
    (void)cli_fail(
        cli,
        "--join \"%.*s\": %s; a rule is anyone, group:GROUP or domain:DOMAIN, and behind "
        "commas role=ROLE, approve, no-approve, from=ISSUER",
        STR_ARG(rule), why);
    return false;
}

/* False: printed. */
static bool put_option(struct cli *cli, struct json_writer *w, struct str rule, struct str option)
{
    struct str name = STR_NONE, value = STR_NONE;

    if (str_eq(option, STR("approve")) || str_eq(option, STR("no-approve"))) {
        json_field_bool(w, STR("needsApproval"), str_eq(option, STR("approve")));
        return true;
    }
    if (!str_split(option, '=', &name, &value) || value.len == 0)
        return complain(cli, rule, "it has a part that means nothing");
    if (str_eq(name, STR("role")))
        json_field_str(w, STR("role"), value);
    else if (str_eq(name, STR("from")))
        json_field_str(w, STR("provider"), value);
    else
        return complain(cli, rule, "it has a part that means nothing");
    return true;
}

static bool put_rule(struct cli *cli, struct json_writer *w, struct str rule)
{
    struct str rest = rule, who = STR_NONE, by = STR_NONE, value = STR_NONE, option;

    (void)str_next(&rest, ',', &who);
    json_begin_object(w);
    if (str_eq(who, STR("anyone"))) {
        json_field_str(w, STR("by"), who);
    } else if (str_split(who, ':', &by, &value) && value.len > 0 &&
               (str_eq(by, STR("group")) || str_eq(by, STR("domain")))) {
        json_field_str(w, STR("by"), by);
        json_field_str(w, STR("value"), value);
    } else {
        return complain(cli, rule, "it does not say who");
    }
    while (str_next(&rest, ',', &option))
        if (!put_option(cli, w, rule, option))
            return false;
    json_end_object(w);
    return true;
}

/* False: printed. */
static bool put_switch(struct cli *cli, struct json_writer *w, const char *flag, const char *member)
{
    struct str text = args_get(&cli->args, flag);

    if (!args_has(&cli->args, flag))
        return true;
    if (!str_eq(text, STR("on")) && !str_eq(text, STR("off"))) {
        (void)cli_fail(cli, "--%s is on or off, not \"%.*s\"", flag, STR_ARG(text));
        return false;
    }
    json_field_bool(w, str_from(member), str_eq(text, STR("on")));
    return true;
}

bool cli_joins_default(const struct cli *cli)
{
    return str_eq(args_get(&cli->args, "join"), STR("default"));
}

static bool is_join(const struct args *a, size_t i)
{
    return str_eq(str_from(a->flags[i].spec->name), STR("join"));
}

bool cli_put_joining(struct cli *cli, struct json_writer *w)
{
    const struct args *a = &cli->args;
    struct str last = args_get(a, "join");
    size_t n = 0;

    if (!put_switch(cli, w, "user-approval", "userApproval") ||
        !put_switch(cli, w, "device-approval", "deviceApproval"))
        return false;
    for (size_t i = 0; i < a->n_flags; i++)
        n += is_join(a, i);
    if (n == 0 || (n == 1 && cli_joins_default(cli)))
        return true;
    json_field_array(w, STR("joining"));
    for (size_t i = 0; i < a->n_flags && !(n == 1 && str_eq(last, STR("none"))); i++)
        if (is_join(a, i) && !put_rule(cli, w, a->flags[i].value))
            return false;
    json_end_array(w);
    return true;
}

/* ---- Shown ---- */

/* As it would be typed. */
static struct str rule_text(struct cli *cli, const struct json_value *rule)
{
    struct str by = json_get_str(rule, "by"), value = json_get_str(rule, "value");
    struct str from = json_get_str(rule, "provider"), role = json_get_str(rule, "role");
    bool is_plain = str_eq(role, STR("member"));

    return arena_printf(cli->arena, "%.*s%s%.*s%s%.*s%s%s%.*s", STR_ARG(by),
                        value.len > 0 ? ":" : "", STR_ARG(value),
                        is_plain ? "" : ",role=", STR_ARG(is_plain ? STR_NONE : role),
                        json_get_bool(rule, "needsApproval", false) ? ",approve" : ",no-approve",
                        from.len > 0 ? ",from=" : "", STR_ARG(from));
}

struct str cli_joining_text(struct cli *cli, const struct json_value *tailnet)
{
    const struct json_value *rules = json_get_array(tailnet, "joining");
    struct str all = STR_NONE;

    if (!rules)
        return STR("default");
    if (json_len(rules) == 0)
        return STR("none");
    JSON_EACH(rule, rules) {
        all = arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(all), all.len > 0 ? " " : "",
                           STR_ARG(rule_text(cli, rule)));
    }
    return all;
}
