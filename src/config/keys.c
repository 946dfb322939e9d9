/*
 * From a tree, the environment and old names to one value for each key.
 *
 * Keys are told apart by their path ("derp.server.enabled"), without regard to case. What is no key
 * of ours or headscale's gets a notice with the nearest name; what is known and not used yet gets
 * a notice that says so.
 */

#include "config/config_internal.h"

enum fate {
    USED,
    LATER, /* taken, without effect so far */
    QUIET, /* never had an effect worth a word */
    OLD,   /* another name of a key */
    GONE,  /* nothing took its place */
};

static const struct {
    struct str path;
    enum fate fate;
} keys[KEY_COUNT] = {
#define X(name, path, fate) [KEY_##name] = {STR_INIT(path), fate},
    CONFIG_KEYS(X)
#undef X
};

/* Old names whose value is taken over as it is. */
static const struct {
    enum config_key old;
    enum config_key now;
} renamed[] = {
    {KEY_OLD_POLICY_PATH, KEY_POLICY_PATH}, {KEY_OLD_MAGIC_DNS, KEY_MAGIC_DNS},
    {KEY_OLD_BASE_DOMAIN, KEY_BASE_DOMAIN}, {KEY_OLD_OVERRIDE_DNS, KEY_OVERRIDE_DNS},
    {KEY_OLD_NAMESERVERS, KEY_NAMESERVERS}, {KEY_OLD_SPLIT, KEY_SPLIT},
    {KEY_OLD_DOMAINS, KEY_SEARCH_DOMAINS},  {KEY_OLD_RECORDS, KEY_EXTRA_RECORDS},
    {KEY_OLD_OIDC_EXPIRY, KEY_NODE_EXPIRY}, {KEY_OLD_EPHEMERAL, KEY_EPHEMERAL_TIMEOUT},
    {KEY_OLD_DB_TYPE, KEY_DATABASE_TYPE},   {KEY_OLD_DB_PATH, KEY_SQLITE_PATH},
    {KEY_OLD_DB_HOST, KEY_PG_HOST},         {KEY_OLD_DB_PORT, KEY_PG_PORT},
    {KEY_OLD_DB_NAME, KEY_PG_NAME},         {KEY_OLD_DB_USER, KEY_PG_USER},
    {KEY_OLD_DB_PASS, KEY_PG_PASS},         {KEY_OLD_DB_SSL, KEY_PG_SSL},
    {KEY_OLD_LOG_LEVEL, KEY_LOG_LEVEL},
};

/* Lists, which a variable gives as words. */
static const enum config_key lists[] = {
    KEY_DERP_PATHS,  KEY_DERP_URLS,       KEY_TRUSTED_PROXIES, KEY_NAMESERVERS, KEY_SEARCH_DOMAINS,
    KEY_OIDC_SCOPE,  KEY_OIDC_USERS,      KEY_OIDC_DOMAINS,    KEY_OIDC_GROUPS, KEY_OLD_PREFIXES,
    KEY_OLD_DOMAINS, KEY_OLD_NAMESERVERS, KEY_API_ORIGINS,
};

struct str key_path(enum config_key key)
{
    ASSERT(key < KEY_COUNT);
    return keys[key].path;
}

/* ---- nearest names ---- */

#define NAME_MAX_LEN 64
#define FAR 1000

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* How many letters to insert, drop, change or swap; FAR for long names. */
static size_t distance(struct str a, struct str b)
{
    size_t rows[3][NAME_MAX_LEN + 1];

    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return FAR;
    for (size_t k = 0; k <= b.len; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            bool same = lower(a.ptr[i - 1]) == lower(b.ptr[k - 1]);
            size_t change = before[k - 1] + (same ? 0 : 1);

            now[k] = MIN(change, MIN(before[k], now[k - 1]) + 1);
            if (i > 1 && k > 1 && lower(a.ptr[i - 1]) == lower(b.ptr[k - 2]) &&
                lower(a.ptr[i - 2]) == lower(b.ptr[k - 1]))
                now[k] = MIN(now[k], earlier[k - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

static struct str last_part(struct str path)
{
    return str_from_index(path, (size_t)(str_rfind_char(path, '.') + 1));
}

/* The key most probably meant, or the empty str. */
static struct str nearest(struct str path)
{
    struct str best = STR_NONE;
    size_t best_distance = path.len / 5 + 2;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        struct str candidate = keys[i].path;
        size_t d = distance(path, candidate);

        /* The right name in the wrong place. */
        if (keys[i].fate == USED && candidate.len > last_part(candidate).len &&
            str_eq_nocase(last_part(path), last_part(candidate)))
            d = MIN(d, (size_t)2);
        if (d < best_distance && keys[i].fate != GONE && keys[i].fate != OLD) {
            best = candidate;
            best_distance = d;
        }
        /* A section's name. */
        for (size_t k = 0; k < candidate.len; k++) {
            if (candidate.ptr[k] != '.')
                continue;
            d = distance(path, str_sub(candidate, 0, k));
            if (d < best_distance && keys[i].fate == USED) {
                best = str_sub(candidate, 0, k);
                best_distance = d;
            }
        }
    }
    return best;
}

/* ---- the file ---- */

static ptrdiff_t key_find(struct str path)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (str_eq_nocase(path, keys[i].path))
            return (ptrdiff_t)i;
    return -1;
}

/* Whether keys begin with `path` and a dot. */
static bool is_section(struct str path)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].path.len > path.len && keys[i].path.ptr[path.len] == '.' &&
            str_eq_nocase(path, str_sub(keys[i].path, 0, path.len)))
            return true;
    return false;
}

static void unknown_key(struct loader *l, const struct yaml_node *entry, struct str path)
{
    struct str guess = nearest(path);

    if (guess.len > 0)
        notice_at_key(l, entry, "\"%.*s\" is no key and was ignored; did you mean \"%.*s\"?",
                      STR_ARG(shown(l, path)), STR_ARG(guess));
    else
        notice_at_key(l, entry, "\"%.*s\" is no key and was ignored", STR_ARG(shown(l, path)));
}

/* Depth is that of known sections: "derp.server.stun.enabled" is the deepest. */
static void collect_map(struct loader *l, struct str prefix, const struct yaml_node *map)
{
    YAML_EACH(entry, map)
    {
        struct str path = prefix.len > 0 ? arena_printf(l->arena, "%.*s.%.*s", STR_ARG(prefix),
                                                        STR_ARG(entry->key))
                                         : entry->key;
        ptrdiff_t key = path.len <= NAME_MAX_LEN ? key_find(path) : -1;

        if (key >= 0)
            l->values[key] = yaml_is_null(entry) ? NULL : entry;
        else if (path.len > NAME_MAX_LEN || !is_section(path))
            unknown_key(l, entry, path);
        else if (entry->type == YAML_MAP)
            collect_map(l, path, entry);
        else if (!yaml_is_null(entry))
            error_at(l, entry, "\"%.*s\" is a section: write its keys below it, indented",
                     STR_ARG(path));
    }
}

/* ---- the environment ---- */

static struct str after_prefix(struct str name, struct str prefix)
{
    return str_starts(name, prefix) ? str_from_index(name, prefix.len) : STR_NONE;
}

struct str env_get(const struct config_request *req, struct str name)
{
    for (size_t i = 0; req->environ && req->environ[i]; i++) {
        struct str have, value;

        if (str_split(str_from(req->environ[i]), '=', &have, &value) && str_eq(have, name))
            return value;
    }
    return STR_NONE;
}

/* "DERP_SERVER_ENABLED" names the path: in capitals, '_' for '.'. */
static bool is_variable_of(struct str tail, struct str path)
{
    if (tail.len != path.len)
        return false;
    for (size_t i = 0; i < tail.len; i++) {
        char want = path.ptr[i] == '.' ? '_' : path.ptr[i];

        if (lower(tail.ptr[i]) != want || (tail.ptr[i] >= 'a' && tail.ptr[i] <= 'z'))
            return false;
    }
    return true;
}

static const struct yaml_node *variable_node(struct loader *l, enum config_key key, struct str name,
                                             struct str value)
{
    struct yaml_node *n = arena_alloc(l->arena, sizeof(*n)), **tail;
    bool is_list = false;

    n->name = arena_copy(l->arena, name).ptr;
    n->text = arena_copy(l->arena, value);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        is_list |= lists[i] == key;
    if (!is_list)
        return n;
    n->type = YAML_LIST;
    tail = &n->first;
    for (size_t i = 0, end; i < n->text.len; i = end + 1) {
        struct yaml_node *word;

        for (end = i; end < n->text.len && !strchr(" \t\n\r", n->text.ptr[end]); end++)
            ;
        if (end == i)
            continue;
        word = arena_alloc(l->arena, sizeof(*word));
        word->name = n->name;
        word->text = arena_copy(l->arena, str_sub(n->text, i, end - i));
        *tail = word;
        tail = &word->next;
        n->len++;
    }
    return n;
}

static bool is_other_variable(struct str tail)
{
    return str_eq(tail, STR("CONFIG")) || str_eq(tail, STR("TAILNET")) ||
           str_starts(tail, STR("DEBUG_"));
}

static void collect_variable(struct loader *l, struct str name, struct str tail, struct str value)
{
    struct str guess;
    struct buf path = BUF(256);

    if (value.len == 0 || is_other_variable(tail))
        return;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (is_variable_of(tail, keys[i].path)) {
            l->values[i] = variable_node(l, (enum config_key)i, name, value);
            return;
        }
    /* Others may have variables of this name, so only what looks like a slip is spoken of. */
    for (size_t i = 0; i < tail.len; i++)
        buf_put_char(&path, lower(tail.ptr[i]));
    guess = nearest(buf_str(&path));
    for (size_t i = 0; i < KEY_COUNT && guess.len == 0; i++) {
        struct buf flat = BUF(256);

        for (size_t k = 0; k < keys[i].path.len; k++)
            buf_put_char(&flat, keys[i].path.ptr[k] == '.' ? '_' : keys[i].path.ptr[k]);
        if (keys[i].fate == USED && distance(buf_str(&path), buf_str(&flat)) <= 2)
            guess = keys[i].path;
        buf_fini(&flat);
    }
    buf_fini(&path);
    if (guess.len > 0)
        remark(l, false, (struct place){.file = STR("environment")},
               "%.*s sets no key; did you mean the one of \"%.*s\"?", STR_ARG(shown(l, name)),
               STR_ARG(guess));
}

static void collect_environment(struct loader *l)
{
    static const struct str prefixes[] = {STR_INIT("HEADSCALE_"), STR_INIT("HATSIZE_")};

    /* The later prefix wins. */
    for (size_t p = 0; p < ARRAY_LEN(prefixes); p++)
        for (size_t i = 0; l->req->environ && l->req->environ[i]; i++) {
            struct str name, value;

            if (str_split(str_from(l->req->environ[i]), '=', &name, &value) &&
                str_starts(name, prefixes[p]))
                collect_variable(l, name, after_prefix(name, prefixes[p]), value);
        }
}

/* ---- old names, and what has no effect ---- */

static void take_renamed(struct loader *l)
{
    for (size_t i = 0; i < ARRAY_LEN(renamed); i++) {
        const struct yaml_node *old = l->values[renamed[i].old];

        if (!old)
            continue;
        if (l->values[renamed[i].now]) {
            notice_at_key(l, old, "\"%.*s\" is the old name of \"%.*s\", which is set too: ignored",
                          STR_ARG(key_path(renamed[i].old)), STR_ARG(key_path(renamed[i].now)));
            continue;
        }
        notice_at_key(l, old, "\"%.*s\" is now called \"%.*s\": write that",
                      STR_ARG(key_path(renamed[i].old)), STR_ARG(key_path(renamed[i].now)));
        l->values[renamed[i].now] = old;
    }
}

/* Nothing is asked for by an empty, false or zero value. */
static bool asks_for_nothing(const struct yaml_node *n)
{
    if (n->type != YAML_SCALAR)
        return n->len == 0;
    return n->text.len == 0 || str_eq_nocase(n->text, STR("false")) || str_eq(n->text, STR("0"));
}

static void tell_unused(struct loader *l)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct yaml_node *n = l->values[i];

        if (!n || asks_for_nothing(n))
            continue;
        if (keys[i].fate == LATER)
            notice_at_key(l, n, "\"%.*s\" is accepted and has no effect yet",
                          STR_ARG(keys[i].path));
        else if (keys[i].fate == GONE)
            notice_at_key(l, n, "\"%.*s\" has no meaning any more: remove it",
                          STR_ARG(keys[i].path));
    }
}

void keys_collect(struct loader *l, const struct yaml_node *root)
{
    if (root && root->type == YAML_MAP)
        collect_map(l, STR_NONE, root);
    else if (!yaml_is_null(root))
        error_at(l, root, "a configuration is a list of \"key: value\" lines");
    collect_environment(l);
    take_renamed(l);
    tell_unused(l);
}
