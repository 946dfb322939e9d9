/*
 * Whether a machine is in the state a policy asks for. policy.md 5.10.
 *
 * Known are the attributes that clients report of themselves: node:os, node:osVersion,
 * node:tsVersion, node:tsReleaseTrack; and the custom ones that administrators gave the node.
 * Anything else is not set: it satisfies NOT SET only.
 *
 * Versions compare number by number ("1.9" < "1.40"); what is behind the numbers does not count.
 * Custom numbers compare as numbers, other custom values as texts.
 */

#include "policy/policy_internal.h"

struct facts {
    const struct node *node;
    struct str os;
    struct str os_version;
    struct str version;
    struct arena *arena;
};

static void facts_of(const struct node *n, struct facts *f)
{
    struct json_value *v = NULL;

    f->node = n;
    f->os = n->facts->os;
    f->version = n->facts->ipn_version;
    if (!json_parse(f->arena, n->facts->hostinfo, NULL, &v, NULL))
        return;
    f->os_version = json_get_str(v, "OSVersion");
}

/* Even minor versions are stable, odd ones are not. */
static struct str release_track(struct str version)
{
    struct str major, rest, minor, tail;
    uint64_t n;

    if (!str_split(version, '.', &major, &rest))
        return STR_NONE;
    (void)str_split(rest, '.', &minor, &tail);
    if (!str_parse_u64(minor, &n))
        return STR_NONE;
    return n % 2 ? STR("unstable") : STR("stable");
}

/* As the policy spells systems. */
static struct str os_name(struct str os)
{
    static const struct str known[][2] = {
        {STR_INIT("macOS"), STR_INIT("macos")},     {STR_INIT("iOS"), STR_INIT("ios")},
        {STR_INIT("windows"), STR_INIT("windows")}, {STR_INIT("linux"), STR_INIT("linux")},
        {STR_INIT("tvOS"), STR_INIT("tvos")},       {STR_INIT("android"), STR_INIT("android")},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(known[i][0], os))
            return known[i][1];
    return os;
}

static struct str fact(const struct facts *f, struct str attribute)
{
    const struct node_attribute *custom = node_attribute_find(f->node, attribute);

    if (custom)
        return custom->value;
    if (str_eq(attribute, STR("node:os")))
        return os_name(f->os);
    if (str_eq(attribute, STR("node:osVersion")))
        return f->os_version;
    if (str_eq(attribute, STR("node:tsVersion")))
        return f->version;
    if (str_eq(attribute, STR("node:tsReleaseTrack")))
        return release_track(f->version);
    return STR_NONE;
}

/* Takes the number at the front; false when there is none. */
static bool take_number(struct str *s, uint64_t *n)
{
    size_t len = 0;

    *n = 0;
    while (len < s->len && s->ptr[len] >= '0' && s->ptr[len] <= '9' && *n < UINT32_MAX)
        *n = *n * 10 + (uint64_t)(s->ptr[len++] - '0');
    *s = str_from_index(*s, len);
    return len > 0;
}

static int version_cmp(struct str a, struct str b)
{
    for (;;) {
        uint64_t x, y;
        bool more_a = take_number(&a, &x), more_b = take_number(&b, &y);

        if (x != y)
            return x < y ? -1 : 1;
        if (!more_a && !more_b)
            return 0;
        a = str_starts(a, STR(".")) ? str_from_index(a, 1) : STR_NONE;
        b = str_starts(b, STR(".")) ? str_from_index(b, 1) : STR_NONE;
    }
}

static bool is_custom(struct str attribute)
{
    return str_starts(attribute, STR(ATTRIBUTE_PREFIX));
}

/* A JSON number; the policy's parser lets nothing else be one. */
static bool number_of(struct str text, double *out)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;

    if (!json_parse(arena, text, NULL, &v, NULL) || !json_is(v, JSON_NUMBER))
        return false;
    *out = json_as_double(v, 0);
    return true;
}

/* Of two values of a custom attribute: numbers if both are, else texts. */
static int custom_cmp(struct str a, struct str b)
{
    double x = 0, y = 0;

    if (number_of(a, &x) && number_of(b, &y))
        return (x > y) - (x < y);
    return str_cmp(a, b);
}

static bool is_version(struct str attribute)
{
    return str_eq(attribute, STR("node:osVersion")) || str_eq(attribute, STR("node:tsVersion"));
}

static bool is_same(const struct policy_assertion *a, struct str have, struct str want)
{
    if (str_eq(have, want))
        return true;
    if (is_custom(a->attribute))
        return custom_cmp(have, want) == 0;
    return is_version(a->attribute) && have.len && want.len && have.ptr[0] >= '0' &&
           have.ptr[0] <= '9' && want.ptr[0] >= '0' && want.ptr[0] <= '9' &&
           version_cmp(have, want) == 0;
}

static bool is_one_of(const struct policy_assertion *a, struct str have)
{
    for (size_t i = 0; i < a->values.len; i++)
        if (is_same(a, have, a->values.items[i].text))
            return true;
    return false;
}

static int value_cmp(const struct policy_assertion *a, struct str have, struct str want)
{
    return is_custom(a->attribute) ? custom_cmp(have, want) : version_cmp(have, want);
}

static bool assertion_holds(const struct policy_assertion *a, struct str have)
{
    struct str want = a->values.len ? a->values.items[0].text : STR_NONE;

    if (have.len == 0)
        return a->op == ASSERT_NOT_SET;
    switch (a->op) {
    case ASSERT_EQ:
    case ASSERT_IN:
        return is_one_of(a, have);
    case ASSERT_NE:
    case ASSERT_NOT_IN:
        return !is_one_of(a, have);
    case ASSERT_LT:
        return value_cmp(a, have, want) < 0;
    case ASSERT_LE:
        return value_cmp(a, have, want) <= 0;
    case ASSERT_GT:
        return value_cmp(a, have, want) > 0;
    case ASSERT_GE:
        return value_cmp(a, have, want) >= 0;
    case ASSERT_IS_SET:
        return true;
    case ASSERT_NOT_SET:
        return false;
    }
    return false;
}

static bool facts_satisfy(const struct facts *f, const struct policy_posture *posture)
{
    for (size_t i = 0; i < posture->n_assertions; i++)
        if (!assertion_holds(&posture->assertions[i], fact(f, posture->assertions[i].attribute)))
            return false;
    return true;
}

bool posture_holds(const struct policy_posture *posture, const struct node *n)
{
    struct facts f = {.arena = arena_new()};
    bool holds;

    facts_of(n, &f);
    holds = facts_satisfy(&f, posture);
    arena_free(f.arena);
    return holds;
}

void postures_each_held(const struct policy_document *d, const struct node *n,
                        void (*held)(void *user, uint32_t index), void *user)
{
    struct facts f = {0};

    if (d->n_postures == 0)
        return;
    f.arena = arena_new();
    facts_of(n, &f);
    for (size_t i = 0; i < d->n_postures; i++)
        if (facts_satisfy(&f, &d->postures[i]))
            held(user, (uint32_t)i);
    arena_free(f.arena);
}
