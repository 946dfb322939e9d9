/*
 * Who becomes a member of a tailnet by logging in, and who waits for approval, as JSON: parts of
 * the tailnet's settings (tailnet/joining.h).
 */

#include "api/api_internal.h"
#include "api/schema_words_internal.h"

const struct api_member api_join_rule_members[5] = {
    {.name = "by", .kind = KIND_STRING, .about = "anyone, group or domain"},
    {.name = "provider", .kind = KIND_STRING, .about = "its issuer; empty: any"},
    {.name = "value", .kind = KIND_STRING, .about = "the group, as policies name it; the domain"},
    {.name = "needsApproval",
     .kind = KIND_BOOL,
     .about = "left out: true for a domain, else false"},
    {.name = "role", .kind = KIND_STRING, .about = "of who comes by it; member"},
};

void api_put_joining(struct json_writer *w, const struct tailnet_settings *s)
{
    if (s->set & SETTING_JOINING) {
        json_field_array(w, STR("joining"));
        for (size_t i = 0; i < s->n_joining; i++) {
            const struct join_rule *r = &s->joining[i];

            json_begin_object(w);
            json_field_str(w, STR("by"), join_by_name(r->by));
            json_field_str(w, STR("provider"), r->provider);
            json_field_str(w, STR("value"), r->value);
            json_field_bool(w, STR("needsApproval"), r->needs_approval);
            json_field_str(w, STR("role"), user_role_name(r->role));
            json_end_object(w);
        }
        json_end_array(w);
    } else {
        json_field_null(w, STR("joining"));
    }
    json_field_bool(w, STR("userApproval"), s->user_approval);
    json_field_bool(w, STR("deviceApproval"), s->device_approval);
}

/* ---- Read ---- */

static bool refuse(struct api_call *c, const char *why)
{
    api_problem(c, 400, why, NULL);
    return false;
}

/* Whether the tailnet has it already: then nobody gives anything. */
static bool is_old(const struct api_call *c, const struct join_rule *r)
{
    const struct tailnet_settings *s = &view_info(c->view)->settings;

    for (size_t i = 0; (s->set & SETTING_JOINING) && i < s->n_joining; i++)
        if (join_rules_eq(&s->joining[i], 1, r, 1))
            return true;
    return false;
}

/* Borrows from the body. False: answered. */
static bool read_rule(struct api_call *c, const struct json_value *v, struct join_rule *r)
{
    struct str role = json_get_str(v, "role");

    *r = (struct join_rule){.provider = json_get_str(v, "provider"),
                            .value = json_get_str(v, "value")};
    if (!json_is(v, JSON_OBJECT) || !join_by_find(json_get_str(v, "by"), &r->by))
        return refuse(c, "a joining rule is {\"by\": \"anyone\", \"group\" or \"domain\", ...}");
    if (role.len > 0 && !user_role_find(role, &r->role))
        return refuse(c, "a joining rule gives a role that there is");
    r->needs_approval = json_get_bool(v, "needsApproval", r->by == JOIN_DOMAIN);
    return is_old(c, r) || api_may_give(c, r->role);
}

static bool read_rules(struct api_call *c, const struct json_value *list,
                       struct tailnet_settings *s)
{
    if (!json_is(list, JSON_ARRAY) || json_len(list) > JOIN_RULES_MAX)
        return refuse(
            c, arena_printf(api_arena(c), "joining is a list of at most %d rules", JOIN_RULES_MAX)
                   .ptr);
    s->set |= SETTING_JOINING;
    s->joining = arena_alloc(api_arena(c), (json_len(list) + 1) * sizeof(*s->joining));
    JSON_EACH(rule, list) {
        if (!read_rule(c, rule, &s->joining[s->n_joining++]))
            return false;
    }
    return true;
}

bool api_read_joining(struct api_call *c, struct tailnet_settings *s)
{
    const struct json_value *rules = api_member(c, "joining");

    if (api_member(c, "userApproval")) {
        s->set |= SETTING_USER_APPROVAL;
        s->user_approval = api_bool(c, "userApproval");
    }
    if (api_member(c, "deviceApproval")) {
        s->set |= SETTING_DEVICE_APPROVAL;
        s->device_approval = api_bool(c, "deviceApproval");
    }
    return !rules || read_rules(c, rules, s);
}
