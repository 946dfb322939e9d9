#include "auth/oidc_claims.h"

/* ---- Is the token for us and for now? ---- */

/* Seconds since 1970, perhaps with a fraction. False when absent, not a number or far from any
 * time that people live in. */
static bool claim_ms(const struct json_value *payload, const char *name, int64_t *out)
{
    double s = json_get_double(payload, name, -1);

    if (!(s >= 0 && s < 1e11))
        return false;
    *out = (int64_t)(s * 1000);
    return true;
}

static bool audience_has(const struct json_value *aud, struct str client_id, size_t *n)
{
    bool found = false;

    *n = 1;
    if (json_is(aud, JSON_STRING))
        return str_eq(aud->str, client_id);
    if (!json_is(aud, JSON_ARRAY))
        return false;
    *n = json_len(aud);
    JSON_EACH(one, aud) {
        if (!json_is(one, JSON_STRING))
            return false;
        found |= str_eq(one->str, client_id);
    }
    return found;
}

static int check_audience(const struct json_value *payload, struct str client_id, struct err *err)
{
    const struct json_value *azp = json_get(payload, "azp");
    size_t n;

    if (!audience_has(json_get(payload, "aud"), client_id, &n))
        return err_set(err, ERR_DENIED, "the token is for another client");
    if ((n > 1 || azp) && !str_eq(json_as_str(azp, STR_NONE), client_id))
        return err_set(err, ERR_DENIED, "the token was given to another client");
    return 0;
}

static int check_times(const struct json_value *payload, int64_t now, struct err *err)
{
    int64_t at = 0;

    if (!claim_ms(payload, "exp", &at))
        return err_set(err, ERR_DENIED, "the token has no end");
    if (now >= at + OIDC_LEEWAY_MS)
        return err_set(err, ERR_DENIED, "the token has expired");
    if (!claim_ms(payload, "iat", &at))
        return err_set(err, ERR_DENIED, "the token does not say when it was made");
    if (at > now + OIDC_LEEWAY_MS)
        return err_set(err, ERR_DENIED,
                       "the token is from the future: compare this machine's clock");
    if (json_get(payload, "nbf") && (!claim_ms(payload, "nbf", &at) || at > now + OIDC_LEEWAY_MS))
        return err_set(err, ERR_DENIED, "the token is not valid yet");
    return 0;
}

int oidc_claims_check(const struct json_value *payload, const struct oidc_expectation *expected,
                      struct err *err)
{
    struct str issuer = json_get_str(payload, "iss"), nonce = json_get_str(payload, "nonce");

    if (expected->issuer.len == 0 || !str_eq(issuer, expected->issuer))
        return err_set(err, ERR_DENIED, "the token is of another issuer");
    if (check_audience(payload, expected->client_id, err) < 0 ||
        check_times(payload, expected->now_ms, err) < 0)
        return -(int)err->code;
    if (nonce.len == 0 || !str_eq_secret(nonce, expected->nonce))
        return err_set(err, ERR_DENIED, "the token belongs to another log-in");
    return 0;
}

/* ---- Reading ---- */

/* The text at `name`, or `otherwise` when it is absent or no use. */
static struct str claim_text(const struct json_value *payload, const char *name,
                             struct str otherwise)
{
    const struct json_value *v = json_get(payload, name);

    if (!json_is(v, JSON_STRING) || v->str.len == 0 || v->str.len > OIDC_TEXT_MAX ||
        str_has_control(v->str))
        return otherwise;
    return v->str;
}

/* A list, or one group as a text. */
static void read_groups(struct arena *arena, const struct json_value *payload,
                        struct oidc_claims *out)
{
    const struct json_value *v = json_get(payload, "groups");
    size_t n = 0;

    if (json_is(v, JSON_STRING)) {
        out->groups = arena_alloc(arena, sizeof(*out->groups));
        out->groups[0] = arena_copy(arena, v->str);
        out->n_groups = v->str.len > 0 && v->str.len <= OIDC_TEXT_MAX;
        out->has_groups = true;
    }
    if (!json_is(v, JSON_ARRAY))
        return;
    out->groups = arena_alloc(arena, OIDC_GROUPS_MAX * sizeof(*out->groups));
    JSON_EACH(one, v) {
        struct str text = json_as_str(one, STR_NONE);

        if (n < OIDC_GROUPS_MAX && text.len > 0 && text.len <= OIDC_TEXT_MAX)
            out->groups[n++] = arena_copy(arena, text);
    }
    out->n_groups = n;
    out->has_groups = true;
}

/* Some providers write it as a text. Absent: as it was. */
static bool read_verified(const struct json_value *payload, bool otherwise)
{
    const struct json_value *v = json_get(payload, "email_verified");

    if (json_is(v, JSON_STRING))
        return str_eq(v->str, STR("true"));
    return json_as_bool(v, otherwise);
}

static void read_profile(struct arena *arena, const struct json_value *v, struct oidc_claims *c)
{
    struct str email = claim_text(v, "email", STR_NONE);

    /* Whether an address is verified is said beside it, and of no other. */
    if (email.len > 0) {
        bool same = str_eq(email, c->email);

        c->email = arena_copy(arena, email);
        c->email_verified = read_verified(v, same && c->email_verified);
    }
    c->name = arena_copy(arena, claim_text(v, "name", c->name));
    c->preferred_username =
        arena_copy(arena, claim_text(v, "preferred_username", c->preferred_username));
    c->picture = arena_copy(arena, claim_text(v, "picture", c->picture));
    read_groups(arena, v, c);
}

int oidc_claims_read(struct arena *arena, const struct json_value *payload, struct oidc_claims *out,
                     struct err *err)
{
    struct oidc_claims c = {0};
    struct str subject = json_get_str(payload, "sub");

    if (subject.len == 0 || subject.len > OIDC_SUBJECT_MAX || str_find_char(subject, '\0') >= 0)
        return err_set(err, ERR_INVALID, "the token does not say who it is about");
    c.subject = arena_copy(arena, subject);
    (void)claim_ms(payload, "exp", &c.expiry_ms);
    read_profile(arena, payload, &c);
    *out = c;
    return 0;
}

bool oidc_claims_overlay(struct arena *arena, const struct json_value *userinfo,
                         struct oidc_claims *claims)
{
    if (!str_eq(json_get_str(userinfo, "sub"), claims->subject))
        return false;
    read_profile(arena, userinfo, claims);
    return true;
}

/* ---- Who may log in ---- */

static bool list_has(const struct str *list, size_t n, struct str s)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], s))
            return true;
    return false;
}

static bool is_in_a_group(const struct oidc_rules *rules, const struct oidc_claims *c)
{
    for (size_t i = 0; i < c->n_groups; i++)
        if (list_has(rules->groups, rules->n_groups, c->groups[i]))
            return true;
    return false;
}

const char *oidc_rules_refuse(const struct oidc_rules *rules, const struct oidc_claims *c)
{
    ptrdiff_t at = str_rfind_char(c->email, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(c->email, (size_t)at + 1);

    if (rules->n_groups > 0 && !is_in_a_group(rules, c))
        return "unauthorised group";
    if ((rules->n_domains > 0 || rules->n_users > 0) && rules->email_verified_required &&
        !c->email_verified)
        return "unverified email";
    if (rules->n_domains > 0 &&
        (domain.len == 0 || !list_has(rules->domains, rules->n_domains, domain)))
        return "unauthorised domain";
    if (rules->n_users > 0 &&
        (c->email.len == 0 || !list_has(rules->users, rules->n_users, c->email)))
        return "unauthorised user";
    return NULL;
}

bool oidc_admins_have(const struct oidc_admins *admins, const struct oidc_claims *c)
{
    if (c->subject.len > 0 && list_has(admins->subjects, admins->n_subjects, c->subject))
        return true;
    if (c->email_verified && c->email.len > 0 && list_has(admins->users, admins->n_users, c->email))
        return true;
    for (size_t i = 0; i < c->n_groups; i++)
        if (list_has(admins->groups, admins->n_groups, c->groups[i]))
            return true;
    return false;
}

/* ---- Identity and name ---- */

static void put_issuer(struct buf *out, struct str issuer)
{
    ptrdiff_t scheme = str_find(issuer, STR("://"));
    size_t from = scheme < 0 ? 0 : (size_t)scheme + 3;

    while (issuer.len > from && issuer.ptr[issuer.len - 1] == '/')
        issuer.len--;
    buf_put(out, str_sub(issuer, 0, from));
    for (size_t i = from; i < issuer.len; i++)
        if (issuer.ptr[i] != '/' || i == from || issuer.ptr[i - 1] != '/')
            buf_put_char(out, issuer.ptr[i]);
}

/* What Go's net/url leaves as it is in a path. */
static bool is_path_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("-_.~$&+,/:;=@!'()*[]", c) != NULL);
}

void oidc_identity_put(struct buf *out, struct str issuer, struct str subject)
{
    put_issuer(out, issuer);
    buf_put_char(out, '/');
    for (size_t i = 0; i < subject.len; i++) {
        if (is_path_char(subject.ptr[i]))
            buf_put_char(out, subject.ptr[i]);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)subject.ptr[i]);
    }
}
