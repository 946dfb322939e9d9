#include "wire/response.h"

#include "json/writer.h"

/* Every answer has all members, as the official library writes them: tailscale-rs wants each. */
static void put_login(struct json_writer *w, const struct wire_login *login)
{
    static const struct wire_login nobody;

    if (!login)
        login = &nobody;
    json_field_object(w, STR("User"));
    json_field_u64(w, STR("ID"), login->id);
    json_field_str(w, STR("DisplayName"), login->display_name);
    json_opt_str(w, STR("ProfilePicURL"), login->picture_url);
    json_end_object(w);

    json_field_object(w, STR("Login"));
    json_field_u64(w, STR("ID"), login->id);
    json_field_str(w, STR("Provider"), login->provider);
    json_field_str(w, STR("LoginName"), login->login_name);
    json_field_str(w, STR("DisplayName"), login->display_name);
    json_opt_str(w, STR("ProfilePicURL"), login->picture_url);
    json_end_object(w);
}

void wire_register_response_encode(const struct wire_register_response *r, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    put_login(&w, r->login);
    json_field_bool(&w, STR("NodeKeyExpired"), r->node_key_expired);
    json_field_bool(&w, STR("MachineAuthorized"), r->machine_authorized);
    json_field_str(&w, STR("AuthURL"), r->auth_url);
    json_field_str(&w, STR("Error"), r->error);
    json_end_object(&w);
}

void wire_key_response_encode(const struct machine_key *key, struct buf *out)
{
    static const struct machine_key none;
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    json_key(&w, STR("legacyPublicKey"));
    json_begin_plain(&w);
    machine_key_put(out, &none);
    json_end_plain(&w);
    json_key(&w, STR("publicKey"));
    json_begin_plain(&w);
    machine_key_put(out, key);
    json_end_plain(&w);
    json_end_object(&w);
}
