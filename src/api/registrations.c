/* /api/v1/auth, /api/v1/node/register: machines and SSH log-ins that wait for a person. */

#include "api/api_internal.h"

#define AUTH_ID_PREFIX STR("hskey-authreq-")
#define AUTH_ID_CHARS 24

static bool is_id_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9') &&
            ch != '-' && ch != '_')
            return false;
    }
    return true;
}

bool api_auth_id(struct api_call *c, struct str text, struct str *id)
{
    text = str_trim(text);
    ptrdiff_t slash = str_rfind_char(text, '/');
    struct str last = slash < 0 ? text : str_from_index(text, (size_t)slash + 1);

    if (last.len == AUTH_ID_CHARS && is_id_text(last) && !str_starts(last, AUTH_ID_PREFIX))
        last = arena_printf(api_arena(c), "%.*s%.*s", STR_ARG(AUTH_ID_PREFIX), STR_ARG(last));
    if (str_starts(last, STR(SSH_CHECK_ID_PREFIX)) ||
        (last.len == AUTH_ID_PREFIX.len + AUTH_ID_CHARS && is_id_text(last) &&
         str_starts(last, AUTH_ID_PREFIX))) {
        *id = last;
        return true;
    }
    api_problem(c, 400, "invalid auth_id", "an auth id is hskey-authreq- and 24 characters");
    return false;
}

static void approve(struct api_call *c, struct str user, struct str auth_id)
{
    struct command *command = api_command(c, COMMAND_REGISTER_APPROVE);
    const struct user *found = api_find_user(c->view, user);

    if (!api_auth_id(c, auth_id, &command->name))
        return;
    if (!found) {
        api_problem(c, 404, "looking up user", "user not found");
        return;
    }
    command->user = found->id;
    api_submit(c, api_done_node);
}

void api_auth_register(struct api_call *c)
{
    approve(c, api_text(c, "user"), api_text(c, "authId"));
}

/* Query, body, or one in each. */
void api_nodes_register(struct api_call *c)
{
    struct str user = api_text(c, "user"), key = api_text(c, "key");

    if (user.len == 0)
        (void)api_query(c, "user", &user);
    if (key.len == 0)
        (void)api_query(c, "key", &key);
    approve(c, user, key);
}

/* Of a machine or of an SSH log-in: their ids are of one form, so it is looked for in both. */
void api_auth_reject(struct api_call *c)
{
    struct str id;

    if (!api_auth_id(c, api_text(c, "authId"), &id))
        return;
    if (str_starts(id, STR(SSH_CHECK_ID_PREFIX))) {
        api_ssh_check_decide(c, id, false);
        return;
    }
    api_command(c, COMMAND_REGISTER_REJECT)->name = id;
    api_submit(c, api_done_empty);
}

/* headscale approves SSH checks with it; a machine's registration needs a user and has a call of
 * its own. */
void api_auth_approve(struct api_call *c)
{
    struct str id;

    if (api_auth_id(c, api_text(c, "authId"), &id))
        api_ssh_check_decide(c, id, true);
}
