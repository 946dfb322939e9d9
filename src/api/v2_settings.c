/*
 * v2's settings and contacts of a tailnet (tailnet/settings.h). A setting of Tailscale's that means
 * nothing here is shown as it is, and refused when it is to be another.
 */

#include "api/v2_internal.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* ---- Settings ---- */

static void respond_settings(struct api_call *c, const struct tailnet_info *info)
{
    const struct tailnet_settings *s = &info->settings;
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_field_bool(&w, STR("aclsExternallyManagedOn"),
                    s->policy_elsewhere || api_policy_is_from_file(c));
    json_field_str(&w, STR("aclsExternalLink"), s->policy_link);
    json_field_bool(&w, STR("devicesApprovalOn"), s->device_approval);
    json_field_bool(&w, STR("devicesAutoUpdatesOn"), info->auto_update);
    /* What is left of a day counts as one. */
    json_field_i64(&w, STR("devicesKeyDurationDays"), (info->node_expiry_ms + DAY_MS - 1) / DAY_MS);
    json_field_bool(&w, STR("usersApprovalOn"), s->user_approval);
    json_field_str(&w, STR("usersRoleAllowedToJoinExternalTailnets"), STR("none"));
    json_field_bool(&w, STR("networkFlowLoggingOn"), false);
    json_field_bool(&w, STR("regionalRoutingOn"), false);
    json_field_bool(&w, STR("postureIdentityCollectionOn"), false);
    json_field_bool(&w, STR("httpsEnabled"), false);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_settings_get(struct api_call *c)
{
    respond_settings(c, view_info(c->view));
}

/* NULL: what is asked for is how things are. Else the member that cannot be so. */
static const char *not_here(const struct api_call *c)
{
    static const char *const off[] = {
        "networkFlowLoggingOn",
        "regionalRoutingOn",
        "postureIdentityCollectionOn",
        "httpsEnabled",
    };
    struct str role = api_text(c, "usersRoleAllowedToJoinExternalTailnets");

    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        if (api_bool(c, off[i]))
            return off[i];
    if (role.len > 0 && !str_eq(role, STR("none")))
        return "usersRoleAllowedToJoinExternalTailnets";
    return NULL;
}

static void done_settings(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_settings(c, view_info(call->result.view));
}

/* False: answered. */
static bool read_duration(struct api_call *c, struct tailnet_settings *s)
{
    const struct json_value *v = api_member(c, "devicesKeyDurationDays");
    uint64_t days = json_as_u64(v, UINT64_MAX);

    if (!v)
        return true;
    if (days > KEY_DURATION_DAYS_MAX) {
        api_problem(c, 400,
                    arena_printf(api_arena(c), "devicesKeyDurationDays is 0 (for ever) to %d",
                                 KEY_DURATION_DAYS_MAX)
                        .ptr,
                    NULL);
        return false;
    }
    s->set |= SETTING_KEY_DURATION;
    s->key_duration_ms = (int64_t)days * DAY_MS;
    return true;
}

void api_v2_settings_set(struct api_call *c)
{
    struct tailnet_settings *s = arena_alloc(api_arena(c), sizeof(*s));
    const char *foreign = not_here(c);

    *s = (struct tailnet_settings){0};
    if (foreign) {
        api_problem(c, 501, "this server has no such thing", foreign);
        return;
    }
    if (!read_duration(c, s))
        return;
    if (api_member(c, "devicesAutoUpdatesOn")) {
        s->set |= SETTING_AUTO_UPDATE;
        s->auto_update = api_bool(c, "devicesAutoUpdatesOn");
    }
    if (api_member(c, "aclsExternallyManagedOn")) {
        s->set |= SETTING_POLICY_ELSEWHERE;
        s->policy_elsewhere = api_bool(c, "aclsExternallyManagedOn");
    }
    if (api_member(c, "aclsExternalLink")) {
        s->set |= SETTING_POLICY_LINK;
        s->policy_link = api_text(c, "aclsExternalLink");
    }
    if (api_member(c, "devicesApprovalOn")) {
        s->set |= SETTING_DEVICE_APPROVAL;
        s->device_approval = api_bool(c, "devicesApprovalOn");
    }
    if (api_member(c, "usersApprovalOn")) {
        s->set |= SETTING_USER_APPROVAL;
        s->user_approval = api_bool(c, "usersApprovalOn");
    }
    if (s->set == 0) {
        respond_settings(c, view_info(c->view));
        return;
    }
    api_command(c, COMMAND_SETTINGS_SET)->settings = s;
    api_submit(c, done_settings);
}

/* ---- Contacts ---- */

static const struct str kinds[CONTACTS] = {
    [CONTACT_ACCOUNT] = STR_INIT("account"),
    [CONTACT_SUPPORT] = STR_INIT("support"),
    [CONTACT_SECURITY] = STR_INIT("security"),
};

void api_v2_contacts_get(struct api_call *c)
{
    const struct tailnet_settings *s = &view_info(c->view)->settings;
    struct buf body = BUF((size_t)64 << 10);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    for (size_t i = 0; i < CONTACTS; i++) {
        json_field_object(&w, kinds[i]);
        json_field_str(&w, STR("email"), s->contacts[i]);
        json_field_bool(&w, STR("needsVerification"), false);
        json_end_object(&w);
    }
    json_end_object(&w);
    api_respond(c, &body);
}

void api_v2_contact_set(struct api_call *c)
{
    struct tailnet_settings *s = arena_alloc(api_arena(c), sizeof(*s));
    struct str kind = api_path_text(c, "contactType");
    unsigned i = 0;

    while (i < CONTACTS && !str_eq(kinds[i], kind))
        i++;
    if (i == CONTACTS) {
        api_problem(c, 404, "there are the contacts account, support and security", NULL);
        return;
    }
    if (!api_member(c, "email")) {
        api_respond_empty(c);
        return;
    }
    *s = (struct tailnet_settings){.set = (unsigned)SETTING_CONTACT_ACCOUNT << i};
    s->contacts[i] = api_text(c, "email");
    api_command(c, COMMAND_SETTINGS_SET)->settings = s;
    api_submit(c, api_done_empty);
}

/* Nothing is sent to anybody, so nothing waits to be confirmed. */
void api_v2_contact_resend(struct api_call *c)
{
    api_problem(c, 400, "no contact waits to be confirmed", NULL);
}
