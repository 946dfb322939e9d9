/*
 * The JSON of headscale's command line up to 0.29, for scripts that still read it: members in
 * snake_case, ids as numbers, times as {"seconds","nanos"}, and what is zero left out. Asked for by
 * HATSIZE_CLI_JSON=0.29 in the environment. Source: headscale.md 2.4.
 */

#include "cli/cli_internal.h"
#include "core/clock.h"

bool cli_wants_old_json(const struct cli *cli)
{
    const char *const *vars = cli->environ ? cli->environ : config_request_here().environ;

    for (; vars && *vars; vars++)
        if (str_eq(str_from(*vars), STR("HATSIZE_CLI_JSON=0.29")))
            return true;
    return false;
}

static struct str snake(struct cli *cli, struct str name)
{
    struct buf out = BUF(1024);

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool upper = c >= 'A' && c <= 'Z';

        if (upper)
            buf_put_char(&out, '_');
        buf_put_char(&out, upper ? (char)(c - 'A' + 'a') : c);
    }
    struct str copy = arena_copy(cli->arena, buf_str(&out));

    buf_fini(&out);
    return copy;
}

static struct json_value *number(struct cli *cli, int64_t n)
{
    struct json_value *v = arena_alloc(cli->arena, sizeof(*v));

    v->type = JSON_NUMBER;
    v->number = n < 0 ? JSON_NEGATIVE : JSON_UNSIGNED;
    v->i64 = n;
    v->raw = arena_printf(cli->arena, "%lld", (long long)n);
    return v;
}

static void append(struct json_value *list, struct json_value ***tail, struct json_value *item)
{
    item->next = NULL;
    **tail = item;
    *tail = &item->next;
    list->list.len++;
}

static struct json_value *time_object(struct cli *cli, int64_t ms)
{
    struct json_value *v = arena_alloc(cli->arena, sizeof(*v));
    struct json_value **tail = &v->list.first;
    int64_t seconds = ms / 1000 - (ms % 1000 < 0);
    struct json_value *parts[] = {number(cli, seconds),
                                  number(cli, (ms - seconds * 1000) * 1000000)};

    v->type = JSON_OBJECT;
    parts[0]->key = STR("seconds");
    parts[1]->key = STR("nanos");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i]->i64 != 0)
            append(v, &tail, parts[i]);
    return v;
}

static bool is_time(struct str name)
{
    static const struct str names[] = {STR_INIT("createdAt"), STR_INIT("updatedAt"),
                                       STR_INIT("lastSeen"), STR_INIT("expiration"),
                                       STR_INIT("expiry")};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

static int64_t register_method(struct str name)
{
    static const struct str names[] = {
        STR_INIT("REGISTER_METHOD_UNSPECIFIED"), STR_INIT("REGISTER_METHOD_AUTH_KEY"),
        STR_INIT("REGISTER_METHOD_CLI"), STR_INIT("REGISTER_METHOD_OIDC")};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return (int64_t)i;
    return 0;
}

static bool is_zero(const struct json_value *v)
{
    switch (v->type) {
    case JSON_BOOL:
        return !v->boolean;
    case JSON_NUMBER:
        return str_eq(v->raw, STR("0"));
    case JSON_STRING:
        return v->str.len == 0;
    case JSON_ARRAY:
        return v->list.len == 0;
    case JSON_OBJECT:
        return false;
    case JSON_NULL:
    default:
        return true;
    }
}

/* Depth is bounded by the parser that made the value. */
static struct json_value *convert(struct cli *cli, const struct json_value *v)
{
    struct json_value *out = arena_alloc(cli->arena, sizeof(*out));
    struct json_value **tail = &out->list.first;
    int64_t ms = 0;
    uint64_t id = 0;

    if (json_is(v, JSON_STRING) && is_time(v->key) && clock_parse_rfc3339(v->str, &ms))
        return time_object(cli, ms);
    if (json_is(v, JSON_STRING) && str_eq(v->key, STR("id")) && str_parse_u64(v->str, &id))
        return number(cli, (int64_t)id);
    if (json_is(v, JSON_STRING) && str_eq(v->key, STR("registerMethod")))
        return number(cli, register_method(v->str));
    *out = *v;
    if (!json_is(v, JSON_ARRAY) && !json_is(v, JSON_OBJECT))
        return out;
    out->list.first = NULL;
    out->list.len = 0;
    JSON_EACH(item, v) {
        struct json_value *member = convert(cli, item);

        member->key = snake(cli, item->key);
        if (json_is(v, JSON_ARRAY) || !is_zero(member))
            append(out, &tail, member);
    }
    return out;
}

const struct json_value *cli_old_json(struct cli *cli, const struct json_value *value)
{
    return convert(cli, value);
}
