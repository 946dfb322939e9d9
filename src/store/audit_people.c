/* People in the audit log: who may come, and who was invited. Never a secret. */

#include "store/audit_internal.h"

#include "json/writer.h"

struct str audit_login_of(const struct tailnet_view *v, user_id id, struct buf *scratch)
{
    const struct user *u = v && id ? view_user_find(v, id) : NULL;

    if (u) {
        AUTO_FINI(buf_fini) struct buf text = BUF(4096);

        buf_put(scratch, user_login_name(u, &text));
    }
    return buf_str(scratch);
}

void audit_put_joining(struct json_writer *w, const struct tailnet_settings *s)
{
    if (s->set & SETTING_JOINING) {
        json_field_array(w, STR("joining"));
        for (size_t i = 0; i < s->n_joining; i++) {
            json_begin_object(w);
            json_field_str(w, STR("by"), join_by_name(s->joining[i].by));
            json_field_str(w, STR("provider"), s->joining[i].provider);
            json_field_str(w, STR("value"), s->joining[i].value);
            json_field_bool(w, STR("needsApproval"), s->joining[i].needs_approval);
            json_field_str(w, STR("role"), user_role_name(s->joining[i].role));
            json_end_object(w);
        }
        json_end_array(w);
    }
    if (s->set & SETTING_USER_APPROVAL)
        json_field_bool(w, STR("userApproval"), s->user_approval);
    if (s->set & SETTING_DEVICE_APPROVAL)
        json_field_bool(w, STR("deviceApproval"), s->device_approval);
}

struct str audit_user_invite_json(struct domain *d, const struct user_invite *i)
{
    AUTO_FINI(buf_fini) struct buf name = BUF(4096);
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!i)
        return STR_NONE;
    AUTO(view_unref) const struct tailnet_view *v = domain_view(d, i->tailnet);
    json_begin_object(&w);
    json_field_str(&w, STR("inviter"), audit_login_of(v, i->inviter, &name));
    json_field_str(&w, STR("role"), user_role_name(i->role));
    json_field_str(&w, STR("email"), i->email);
    json_field_time(&w, STR("expiry"), i->expiry_ms);
    json_end_object(&w);
    return buf_take(&out);
}
