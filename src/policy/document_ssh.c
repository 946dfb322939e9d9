/*
 * SSH rules (policy.md 6, 8.1, 8.2).
 */

#include "policy/document_internal.h"

#include <string.h>

#define PERIOD_MAX_NS ((int64_t)168 * 3600 * 1000000000)
#define LOCALPART "localpart:*@"

/* ---- users ---- */

static bool read_user(struct doc_reader *r, const struct json_value *v,
                      struct policy_ssh_rule *rule)
{
    if (!doc_is(r, v, JSON_STRING, "users"))
        return false;
    struct str name = str_trim(v->str);
    struct policy_pos pos = doc_pos(v);

    if (name.len == 0 || str_eq(name, STR("*"))) {
        doc_refuse(r, pos, "user %s is not valid", QUOTED(name));
        return doc_hint(r, "a log-in name, root, autogroup:nonroot or localpart:*@domain");
    }
    if (str_eq(name, STR("root"))) {
        rule->root = true;
    } else if (str_eq(name, STR("autogroup:nonroot"))) {
        rule->nonroot = true;
    } else if (str_starts(name, STR(LOCALPART)) && name.len > strlen(LOCALPART) &&
               !str_ends(name, STR("@"))) {
        struct str domain = str_from_index(name, (size_t)str_rfind_char(name, '@') + 1);

        if (!doc_domain(r, "", domain, pos))
            return false;
        rule->localparts.items[rule->localparts.len++] =
            (struct policy_word){doc_keep(r, domain), pos};
    } else {
        rule->logins.items[rule->logins.len++] = (struct policy_word){doc_keep(r, name), pos};
    }
    return true;
}

static bool read_users(struct doc_reader *r, const struct json_value *v,
                       struct policy_ssh_rule *rule)
{
    if (v && !doc_is(r, v, JSON_ARRAY, "users"))
        return false;
    if (json_len(v) == 0) {
        doc_refuse(r, v ? doc_pos(v) : rule->pos, "users must be specified");
        return doc_hint(r, "the names to log in as, like [\"autogroup:nonroot\", \"root\"]");
    }
    if (!doc_count(r, doc_pos(v), json_len(v)))
        return false;
    rule->logins.items = NEW_ITEMS(r, struct policy_word, json_len(v));
    rule->localparts.items = NEW_ITEMS(r, struct policy_word, json_len(v));
    JSON_EACH(m, v) {
        if (!read_user(r, m, rule))
            return false;
    }
    return true;
}

/* ---- action and period ---- */

static bool read_action(struct doc_reader *r, const struct json_value *v,
                        struct policy_ssh_rule *rule)
{
    if (v && !doc_is(r, v, JSON_STRING, "action"))
        return false;
    struct str text = str_trim(json_as_str(v, STR_NONE));
    struct policy_pos pos = v ? doc_pos(v) : rule->pos;

    if (str_eq(text, STR("accept")))
        rule->action = SSH_ACCEPT;
    else if (str_eq(text, STR("check")))
        rule->action = SSH_CHECK;
    else if (text.len == 0)
        doc_refuse(r, pos, "action must be specified");
    else
        doc_refuse(r, pos, "%s is not a valid action", QUOTED(text));
    return str_eq(text, STR("accept")) || str_eq(text, STR("check")) ||
           doc_hint(r, "the action is \"accept\" or \"check\"");
}

static bool refuse_period(struct doc_reader *r, struct policy_pos pos, int64_t ns)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64);

    duration_put(&text, ns);
    if (ns < 0)
        return doc_refuse(r, pos, "checkPeriod %.*s must be a positive duration",
                          STR_ARG(buf_str(&text)));
    doc_refuse(r, pos, "checkPeriod %.*s is above the max (168h)", STR_ARG(buf_str(&text)));
    return doc_hint(r, "168h is a week");
}

static bool read_period(struct doc_reader *r, const struct json_value *v,
                        struct policy_ssh_rule *rule)
{
    char why[256] = "";
    int64_t ns = 0;

    rule->period_ms = POLICY_CHECK_PERIOD_DEFAULT_MS;
    if (!v)
        return true;
    if (!doc_is(r, v, JSON_STRING, "checkPeriod"))
        return false;
    struct str text = str_trim(v->str);
    if (text.len == 0)
        return true;
    if (!str_eq(text, STR("always")) && !duration_parse(text, &ns, why)) {
        doc_refuse(r, doc_pos(v), "%s", why);
        return doc_hint(r, "\"always\", or hours, minutes and seconds like \"12h\" or \"1h30m\"");
    }
    if (ns < 0 || ns > PERIOD_MAX_NS)
        return refuse_period(r, doc_pos(v), ns);
    rule->period_ms = ns / 1000000;
    return rule->action == SSH_CHECK ||
           doc_refuse(r, doc_pos(v), "checkPeriod is only valid with action \"check\"");
}

/* ---- Who may reach whom (8.2) ---- */

static bool is_tags(const struct policy_selector *s)
{
    return s->kind == SELECTOR_TAG || s->autogroup == AUTOGROUP_TAGGED;
}

static bool check_pair(struct doc_reader *r, const struct policy_ref *src,
                       const struct policy_ref *dst, size_t n_src)
{
    const struct policy_selector *s = src->selector, *d = dst->selector;

    if (is_tags(s) && d->kind == SELECTOR_USER)
        return doc_refuse(r, src->pos,
                          "tags in SSH source cannot access user-owned devices (%s); use "
                          "autogroup:tagged or specific tags as destinations instead",
                          PLAIN(d->text));
    if (is_tags(s) && d->autogroup == AUTOGROUP_SELF)
        return doc_refuse(r, src->pos,
                          "autogroup:self destination requires source to contain only users or "
                          "groups, not tags or autogroup:tagged");
    if (is_tags(s) && d->autogroup == AUTOGROUP_MEMBER)
        return doc_refuse(r, src->pos,
                          "tags in SSH source cannot access autogroup:member (user-owned devices)");
    if (d->kind == SELECTOR_USER && (s != d || n_src != 1))
        return doc_refuse(r, dst->pos,
                          "user destination requires source to contain only that same user %s; use "
                          "autogroup:self instead for same-user SSH access",
                          QUOTED(d->text));
    return true;
}

/* Each such autogroup is looked at once, however often it is named, and more than one source beside
 * a user as destination ends it: linear. */
static bool check_pairs(struct doc_reader *r, const struct policy_ssh_rule *rule)
{
    unsigned seen = 0;

    for (size_t d = 0; d < rule->dst.len; d++) {
        const struct policy_selector *dst = rule->dst.items[d].selector;

        if (dst->kind != SELECTOR_USER && dst->autogroup != AUTOGROUP_SELF &&
            dst->autogroup != AUTOGROUP_MEMBER)
            continue;
        if (dst->kind != SELECTOR_USER && (seen & BIT(dst->autogroup)))
            continue;
        seen |= BIT(dst->autogroup);
        for (size_t s = 0; s < rule->src.len; s++) {
            if (!check_pair(r, &rule->src.items[s], &rule->dst.items[d], rule->src.len))
                return false;
        }
    }
    return true;
}

/* ---- Rules ---- */

static bool read_env(struct doc_reader *r, const struct json_value *v, struct policy_ssh_rule *rule)
{
    if (!doc_words(r, v, "acceptEnv", &rule->accept_env))
        return false;
    for (size_t i = 0; i < rule->accept_env.len; i++) {
        if (rule->accept_env.items[i].text.len == 0)
            return doc_refuse(r, rule->accept_env.items[i].pos, "acceptEnv values cannot be empty");
    }
    return true;
}

static bool read_rule(struct doc_reader *r, const struct json_value *v,
                      struct policy_ssh_rule *rule)
{
    const struct json_value *action, *src, *dst, *users, *period, *env, *recorder, *enforce,
        *postures;
    const struct doc_field fields[] = {
        {"action", NULL, &action},
        {"src", NULL, &src},
        {"dst", NULL, &dst},
        {"users", NULL, &users},
        {"checkPeriod", NULL, &period},
        {"acceptEnv", NULL, &env},
        {"recorder", NULL, &recorder},
        {"enforceRecorder", NULL, &enforce},
        {"srcPosture", NULL, &postures},
    };

    return doc_fields(r, v, "an SSH rule", fields, ARRAY_LEN(fields), false) &&
           read_action(r, action, rule) && read_users(r, users, rule) &&
           read_period(r, period, rule) && read_env(r, env, rule) &&
           doc_refs(r, PLACE_SSH_SRC, src, "src", &rule->src) &&
           doc_refs(r, PLACE_SSH_DST, dst, "dst", &rule->dst) && check_pairs(r, rule) &&
           doc_refs(r, PLACE_RECORDER, recorder, "recorder", &rule->recorders) &&
           doc_bool(r, enforce, "enforceRecorder", &rule->enforce_recorder) &&
           doc_rule_postures(r, postures, &rule->postures);
}

bool doc_ssh(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;

    if (!doc_list(r, v, JSON_ARRAY, "ssh", POLICY_RULES_MAX))
        return false;
    doc->ssh = NEW_ITEMS(r, struct policy_ssh_rule, json_len(v));
    JSON_EACH(m, v) {
        struct policy_ssh_rule *rule = &doc->ssh[doc->n_ssh];

        *rule = (struct policy_ssh_rule){.index = doc->n_ssh, .pos = doc_pos(m)};
        doc->n_ssh++;
        if (!read_rule(r, m, rule))
            return false;
    }
    return true;
}
