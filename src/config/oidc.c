/*
 * The section "oidc", as headscale has it, and our list "oidc_providers" of more of the same.
 * headscale.md 1.2.
 */

#include "config/config_internal.h"

#define SECRET_FILE_MAX ((size_t)16 << 10)
#define NAME_MAX_LEN 32

enum field {
    F_NAME,
    F_TITLE,
    F_TAILNET,
    F_ISSUER,
    F_CLIENT_ID,
    F_SECRET,
    F_SECRET_PATH,
    F_SCOPE,
    F_EXTRA,
    F_DOMAINS,
    F_USERS,
    F_GROUPS,
    F_ADMIN_USERS,
    F_ADMIN_GROUPS,
    F_ADMIN_SUBJECTS,
    F_VERIFIED,
    F_TOKEN_EXPIRY,
    F_PKCE,
    F_PKCE_METHOD,
    F_CA_FILE,
    F_COUNT
};

/* The keys of one provider; that of the section, if it has one. */
static const struct {
    struct str path;
    int key;
} fields[F_COUNT] = {
    [F_NAME] = {STR_INIT("name"), -1},
    [F_TITLE] = {STR_INIT("title"), KEY_OIDC_TITLE},
    [F_TAILNET] = {STR_INIT("tailnet"), KEY_OIDC_TAILNET},
    [F_ISSUER] = {STR_INIT("issuer"), KEY_OIDC_ISSUER},
    [F_CLIENT_ID] = {STR_INIT("client_id"), KEY_OIDC_CLIENT_ID},
    [F_SECRET] = {STR_INIT("client_secret"), KEY_OIDC_SECRET},
    [F_SECRET_PATH] = {STR_INIT("client_secret_path"), KEY_OIDC_SECRET_PATH},
    [F_SCOPE] = {STR_INIT("scope"), KEY_OIDC_SCOPE},
    [F_EXTRA] = {STR_INIT("extra_params"), KEY_OIDC_EXTRA},
    [F_DOMAINS] = {STR_INIT("allowed_domains"), KEY_OIDC_DOMAINS},
    [F_USERS] = {STR_INIT("allowed_users"), KEY_OIDC_USERS},
    [F_GROUPS] = {STR_INIT("allowed_groups"), KEY_OIDC_GROUPS},
    [F_ADMIN_USERS] = {STR_INIT("admin_users"), KEY_OIDC_ADMIN_USERS},
    [F_ADMIN_GROUPS] = {STR_INIT("admin_groups"), KEY_OIDC_ADMIN_GROUPS},
    [F_ADMIN_SUBJECTS] = {STR_INIT("admin_subjects"), KEY_OIDC_ADMIN_SUBJECTS},
    [F_VERIFIED] = {STR_INIT("email_verified_required"), KEY_OIDC_VERIFIED},
    [F_TOKEN_EXPIRY] = {STR_INIT("use_expiry_from_token"), KEY_OIDC_TOKEN_EXPIRY},
    [F_PKCE] = {STR_INIT("pkce.enabled"), KEY_OIDC_PKCE},
    [F_PKCE_METHOD] = {STR_INIT("pkce.method"), KEY_OIDC_PKCE_METHOD},
    [F_CA_FILE] = {STR_INIT("ca_file"), KEY_OIDC_CA_FILE},
};

/* One provider as written. */
struct entry {
    struct loader *l;
    const struct yaml_node *at; /* for complaints about what is missing */
    const char *where;          /* "oidc" or "oidc_providers" */
    const struct yaml_node *values[F_COUNT];
};

static struct str name_of(const struct entry *e, enum field f)
{
    return arena_printf(e->l->arena, "%s.%.*s", e->where, STR_ARG(fields[f].path));
}

static bool read_text(const struct entry *e, enum field f, struct str *out)
{
    struct str text;

    if (!e->values[f] || !node_text(e->l, e->values[f], name_of(e, f), &text) || text.len == 0)
        return false;
    *out = text;
    return true;
}

static void read_bool(const struct entry *e, enum field f, bool *out)
{
    if (e->values[f])
        (void)!node_bool(e->l, e->values[f], name_of(e, f), out);
}

static void read_list(const struct entry *e, enum field f, const struct str **out, size_t *n)
{
    const struct yaml_node *list = e->values[f];
    struct str *items, text;

    if (!list || yaml_is_null(list))
        return;
    if (list->type == YAML_MAP) {
        error_at(e->l, list, "\"%.*s\" is a list: write one \"- value\" a line",
                 STR_ARG(name_of(e, f)));
        return;
    }
    items = arena_alloc(e->l->arena, (list->len + 1) * sizeof(*items));
    *n = 0;
    if (list->type == YAML_SCALAR) {
        if (node_text(e->l, list, name_of(e, f), &text) && text.len > 0)
            items[(*n)++] = text;
    } else {
        YAML_EACH(item, list)
        {
            if (!yaml_is_null(item) && node_text(e->l, item, name_of(e, f), &text) && text.len > 0)
                items[(*n)++] = text;
        }
    }
    *out = items;
}

static struct str lower_case(struct arena *arena, struct str s)
{
    char *to = arena_alloc(arena, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        to[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] - 'A' + 'a') : s.ptr[i];
    return str_bytes(to, s.len);
}

/* What the log-in itself is made of, is not to be written over. */
static bool is_ours(struct str name)
{
    static const struct str ours[] = {
        STR_INIT("client_id"),      STR_INIT("redirect_uri"),
        STR_INIT("response_type"),  STR_INIT("scope"),
        STR_INIT("state"),          STR_INIT("nonce"),
        STR_INIT("code_challenge"), STR_INIT("code_challenge_method"),
        STR_INIT("response_mode"),
    };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (str_eq(ours[i], name))
            return true;
    return false;
}

static void read_extra(const struct entry *e, struct oidc_provider *p)
{
    const struct yaml_node *map = e->values[F_EXTRA];
    struct oidc_param *params;
    size_t n = 0;

    if (!map || yaml_is_null(map) || (map->type == YAML_SCALAR && map->text.len == 0))
        return;
    if (map->type != YAML_MAP) {
        error_at(e->l, map, "\"%.*s\" wants \"name: value\" lines", STR_ARG(name_of(e, F_EXTRA)));
        return;
    }
    params = arena_alloc(e->l->arena, map->len * sizeof(*params));
    YAML_EACH(entry, map)
    {
        struct str name = lower_case(e->l->arena, entry->key), value;

        if (is_ours(name))
            error_at(e->l, entry, "\"%.*s\" is set by the log-in itself: remove it",
                     STR_ARG(shown(e->l, name)));
        else if (node_text(e->l, entry, name_of(e, F_EXTRA), &value))
            params[n++] = (struct oidc_param){name, value};
    }
    p->extra = params;
    p->n_extra = n;
}

/* ---- the secret ---- */

/* "$NAME" and "${NAME}" from the environment, as headscale takes them here. */
static struct str expand(struct loader *l, struct str path)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(8192);

    for (size_t i = 0; i < path.len; i++) {
        bool braced = i + 1 < path.len && path.ptr[i + 1] == '{';
        size_t from = i + (braced ? 2 : 1), end = from;

        if (path.ptr[i] != '$') {
            buf_put_char(&out, path.ptr[i]);
            continue;
        }
        while (end < path.len &&
               ((path.ptr[end] >= 'A' && path.ptr[end] <= 'Z') ||
                (path.ptr[end] >= 'a' && path.ptr[end] <= 'z') ||
                (path.ptr[end] >= '0' && path.ptr[end] <= '9') || path.ptr[end] == '_'))
            end++;
        buf_put(&out, env_get(l->req, str_sub(path, from, end - from)));
        i = braced && end < path.len && path.ptr[end] == '}' ? end : end - 1;
    }
    return arena_copy(l->arena, buf_str(&out));
}

static void read_secret(const struct entry *e, struct oidc_provider *p)
{
    struct loader *l = e->l;
    struct str path, text;
    struct err err = {0};
    bool has_secret = read_text(e, F_SECRET, &p->client_secret);

    if (!read_text(e, F_SECRET_PATH, &path)) {
        if (!has_secret)
            error_at(l, e->at,
                     "\"%s\" has an issuer and no client_secret: write it, or "
                     "client_secret_path",
                     e->where);
        return;
    }
    if (has_secret) {
        error_at(l, e->values[F_SECRET_PATH],
                 "client_secret and client_secret_path exclude each other: keep one");
        return;
    }
    path = path_absolute(l->arena, path_cwd(l->arena), expand(l, path));
    if (config_file_read(l->arena, path, &text, &err) < 0) {
        error_at(l, e->values[F_SECRET_PATH], "client_secret_path \"%.*s\" cannot be read: %s",
                 STR_ARG(shown(l, path)), err.text);
        return;
    }
    p->client_secret = str_trim(text);
    if (p->client_secret.len == 0 || p->client_secret.len > SECRET_FILE_MAX)
        error_at(l, e->values[F_SECRET_PATH],
                 "client_secret_path \"%.*s\" holds no secret: put the client's secret into it",
                 STR_ARG(shown(l, path)));
}

/* ---- one provider ---- */

static void read_pkce(const struct entry *e, struct oidc_provider *p)
{
    struct str method;
    bool enabled = true;

    read_bool(e, F_PKCE, &enabled);
    p->pkce = enabled ? OIDC_PKCE_S256 : OIDC_PKCE_NONE;
    if (!read_text(e, F_PKCE_METHOD, &method))
        return;
    if (str_eq(method, STR("plain")))
        p->pkce = enabled ? OIDC_PKCE_PLAIN : OIDC_PKCE_NONE;
    else if (!str_eq(method, STR("S256")))
        error_at(e->l, e->values[F_PKCE_METHOD], "pkce.method is \"%.*s\": write S256 or plain",
                 STR_ARG(shown(e->l, method)));
}

static bool is_issuer(struct str url)
{
    size_t from = str_starts(url, STR("https://")) ? 8 : str_starts(url, STR("http://")) ? 7 : 0;

    if (from == 0 || url.len == from || url.ptr[from] == '/' || url.len > 1024)
        return false;
    for (size_t i = from; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= 0x20 || (unsigned char)url.ptr[i] >= 0x7f ||
            strchr("?#\"<>\\", url.ptr[i]))
            return false;
    return true;
}

static bool is_loopback(struct str url)
{
    return str_starts(url, STR("http://127.")) || str_starts(url, STR("http://localhost")) ||
           str_starts(url, STR("http://[::1]"));
}

static void read_name(const struct entry *e, struct oidc_provider *p)
{
    bool good = read_text(e, F_NAME, &p->name) && p->name.len <= NAME_MAX_LEN;

    for (size_t i = 0; good && i < p->name.len; i++)
        good = (p->name.ptr[i] >= 'a' && p->name.ptr[i] <= 'z') ||
               (p->name.ptr[i] >= '0' && p->name.ptr[i] <= '9') || p->name.ptr[i] == '-';
    if (!good)
        error_at(e->l, e->values[F_NAME] ? e->values[F_NAME] : e->at,
                 "each of oidc_providers wants a \"name\" of its own: letters a to z, digits "
                 "and '-'");
}

/* The issuer is there. */
static void read_provider(const struct entry *e, struct oidc_provider *p)
{
    static const struct str usual[] = {STR_INIT("openid"), STR_INIT("profile"), STR_INIT("email")};
    struct str ca_file;

    *p = (struct oidc_provider){
        .scopes = usual, .n_scopes = ARRAY_LEN(usual), .rules = {.email_verified_required = true}};
    if (!read_text(e, F_ISSUER, &p->issuer) || !is_issuer(p->issuer))
        error_at(e->l, e->values[F_ISSUER] ? e->values[F_ISSUER] : e->at,
                 "\"%s\" wants an \"issuer\" like https://idp.example.com", e->where);
    if (str_starts(p->issuer, STR("http://")) && !is_loopback(p->issuer))
        notice_at(e->l, e->values[F_ISSUER],
                  "the issuer is asked in the open: whoever is on the way can log in as anybody; "
                  "write https://");
    if (!read_text(e, F_CLIENT_ID, &p->client_id))
        error_at(e->l, e->at, "\"%s\" has an issuer and no client_id: write it", e->where);
    read_secret(e, p);
    (void)!read_text(e, F_TITLE, &p->title);
    (void)!read_text(e, F_TAILNET, &p->tailnet);
    read_list(e, F_SCOPE, &p->scopes, &p->n_scopes);
    read_list(e, F_DOMAINS, &p->rules.domains, &p->rules.n_domains);
    read_list(e, F_USERS, &p->rules.users, &p->rules.n_users);
    read_list(e, F_GROUPS, &p->rules.groups, &p->rules.n_groups);
    read_list(e, F_ADMIN_USERS, &p->admins.users, &p->admins.n_users);
    read_list(e, F_ADMIN_GROUPS, &p->admins.groups, &p->admins.n_groups);
    read_list(e, F_ADMIN_SUBJECTS, &p->admins.subjects, &p->admins.n_subjects);
    read_bool(e, F_VERIFIED, &p->rules.email_verified_required);
    read_bool(e, F_TOKEN_EXPIRY, &p->use_expiry_from_token);
    read_extra(e, p);
    read_pkce(e, p);
    if (read_text(e, F_CA_FILE, &ca_file))
        p->ca_file = path_absolute(e->l->arena, e->l->base_dir, ca_file).ptr;
}

/* ---- where they are written ---- */

static bool read_section(struct loader *l, struct oidc_provider *p)
{
    struct entry e = {.l = l, .at = l->values[KEY_OIDC_ISSUER], .where = "oidc"};

    if (!e.at || (e.at->type == YAML_SCALAR && str_trim(e.at->text).len == 0))
        return false;
    for (size_t i = 0; i < F_COUNT; i++)
        e.values[i] = fields[i].key < 0 ? NULL : l->values[fields[i].key];
    read_provider(&e, p);
    p->name = STR("oidc");
    p->group_prefix = STR("oidc:");
    return true;
}

static void set_field(struct entry *e, struct str path, const struct yaml_node *value)
{
    for (size_t i = 0; i < F_COUNT; i++)
        if (str_eq_nocase(fields[i].path, path)) {
            e->values[i] = yaml_is_null(value) ? NULL : value;
            return;
        }
    error_at(e->l, value, "\"%.*s\" is no key of a provider: write those of \"oidc\", and a name",
             STR_ARG(shown(e->l, path)));
}

static void read_item(struct loader *l, const struct yaml_node *item, struct oidc_provider *p)
{
    struct entry e = {.l = l, .at = item, .where = "oidc_providers"};

    if (item->type != YAML_MAP) {
        error_at(l, item, "each of oidc_providers is a section: \"- name: …\", then its keys");
        return;
    }
    YAML_EACH(entry, item)
    {
        if (str_eq_nocase(entry->key, STR("pkce")) && entry->type == YAML_MAP) {
            YAML_EACH(part, entry)
            {
                set_field(&e, arena_printf(l->arena, "pkce.%.*s", STR_ARG(part->key)), part);
            }
        } else {
            set_field(&e, entry->key, entry);
        }
    }
    read_provider(&e, p);
    read_name(&e, p);
    p->group_prefix = arena_printf(l->arena, "oidc-%.*s:", STR_ARG(p->name));
}

static struct str without_slash(struct str s)
{
    while (str_ends(s, STR("/")))
        s.len--;
    return s;
}

/*
 * People are told apart by issuer, '/' and subject: where one issuer begins as another does, two
 * people could look alike.
 */
static bool issuers_overlap(struct str a, struct str b)
{
    a = without_slash(a);
    b = without_slash(b);
    return str_starts(b, a) && (b.len == a.len || b.ptr[a.len] == '/');
}

static void check_apart(struct loader *l, const struct oidc_provider *providers, size_t n,
                        const struct yaml_node *at)
{
    const struct oidc_provider *last = &providers[n - 1];

    for (size_t i = 0; i + 1 < n; i++) {
        if (str_eq(providers[i].name, last->name))
            error_at(l, at, "two providers are called \"%.*s\": names must differ",
                     STR_ARG(shown(l, last->name)));
        if (issuers_overlap(providers[i].issuer, last->issuer) ||
            issuers_overlap(last->issuer, providers[i].issuer))
            error_at(l, at,
                     "the issuers of \"%.*s\" and \"%.*s\" begin alike: people of one could "
                     "be taken for people of the other",
                     STR_ARG(shown(l, providers[i].name)), STR_ARG(shown(l, last->name)));
    }
}

void section_oidc(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_OIDC_PROVIDERS);
    struct config_oidc *o = &l->c->oidc;
    struct oidc_provider *providers =
        arena_alloc(l->arena, OIDC_PROVIDERS_MAX * sizeof(*providers));
    size_t n = 0;

    o->only_start_if_available = true;
    value_bool(l, KEY_OIDC_ONLY_START, &o->only_start_if_available);
    if (read_section(l, &providers[0]))
        n++;
    if (list) {
        YAML_EACH(item, list)
        {
            if (n == OIDC_PROVIDERS_MAX) {
                error_at(l, item, "at most %d providers", OIDC_PROVIDERS_MAX);
                break;
            }
            read_item(l, item, &providers[n++]);
            check_apart(l, providers, n, item);
        }
    }
    o->providers = providers;
    o->n_providers = n;
}
