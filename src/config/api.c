/* The API: whose pages may call it from a browser. Where webhooks may lead. */

#include "config/config_internal.h"

#define ORIGINS_MAX 64
#define ORIGIN_LEN_MAX 512

/* "https://ui.example.com", with its port if that is another: what browsers send as Origin. */
static bool is_origin(struct str s)
{
    size_t scheme = str_starts(s, STR("https://")) ? 8 : str_starts(s, STR("http://")) ? 7 : 0;
    struct str host = str_from_index(s, scheme);

    if (str_eq(s, STR("*")))
        return true;
    if (scheme == 0 || host.len == 0 || s.len > ORIGIN_LEN_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || host.ptr[i] >= 0x7f || host.ptr[i] == '/')
            return false;
    return true;
}

void section_api(struct loader *l)
{
    const struct yaml_node *list = value_list(l, KEY_API_ORIGINS);
    struct str_list *origins = &l->c->api_origins;

    value_bool(l, KEY_WEBHOOKS_LOCAL, &l->c->webhooks_allow_local);
    if (!list)
        return;
    origins->items = arena_alloc(l->arena, ORIGINS_MAX * sizeof(*origins->items));
    YAML_EACH(item, list)
    {
        struct str text;

        if (yaml_is_null(item) || !node_text(l, item, key_path(KEY_API_ORIGINS), &text))
            continue;
        if (!is_origin(text)) {
            error_at(l, item,
                     "api.allowed_origins: \"%.*s\" is no origin: write one like "
                     "https://ui.example.com, without a path",
                     STR_ARG(shown(l, text)));
            continue;
        }
        if (origins->len == ORIGINS_MAX) {
            error_at(l, item, "api.allowed_origins has more than %d entries", ORIGINS_MAX);
            return;
        }
        origins->items[origins->len++] = text;
    }
}
