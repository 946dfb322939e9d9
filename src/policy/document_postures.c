/*
 * Device postures (policy.md 5.10): "node:os IN ['macos', 'linux']", and who refers to them.
 */

#include "policy/document_internal.h"

#include <stdlib.h>
#include <string.h>

#include "tailnet/attributes.h"

/* ---- One assertion ---- */

struct cursor {
    struct str rest;
    struct str text;
};

static void skip_space(struct cursor *c)
{
    c->rest = str_trim(c->rest);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Letters up to white space or one of the marks of the language. */
static struct str take_name(struct cursor *c)
{
    size_t n = 0;

    skip_space(c);
    while (n < c->rest.len && !is_space(c->rest.ptr[n]) && !strchr("=!<>[],'\"", c->rest.ptr[n]))
        n++;
    struct str name = str_sub(c->rest, 0, n);
    c->rest = str_from_index(c->rest, n);
    return name;
}

static bool take_mark(struct cursor *c, const char *mark)
{
    skip_space(c);
    if (!str_starts(c->rest, str_from(mark)))
        return false;
    c->rest = str_from_index(c->rest, strlen(mark));
    return true;
}

static bool take_op(struct cursor *c, enum policy_assert_op *op)
{
    static const struct {
        const char *mark;
        enum policy_assert_op op;
    } marks[] = {{"==", ASSERT_EQ}, {"!=", ASSERT_NE}, {"<=", ASSERT_LE},
                 {">=", ASSERT_GE}, {"<", ASSERT_LT},  {">", ASSERT_GT}};

    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (take_mark(c, marks[i].mark)) {
            *op = marks[i].op;
            return true;
        }
    }
    struct str word = take_name(c);
    if (str_eq_nocase(word, STR("IN"))) {
        *op = ASSERT_IN;
    } else if (str_eq_nocase(word, STR("IS"))) {
        *op = ASSERT_IS_SET;
        return str_eq_nocase(take_name(c), STR("SET"));
    } else if (str_eq_nocase(word, STR("NOT"))) {
        word = take_name(c);
        *op = str_eq_nocase(word, STR("IN")) ? ASSERT_NOT_IN : ASSERT_NOT_SET;
        return *op == ASSERT_NOT_IN || str_eq_nocase(word, STR("SET"));
    } else {
        return false;
    }
    return true;
}

/* 'quoted', "quoted", or a bare number, version, true, false. */
static bool take_value(struct cursor *c, struct str *value)
{
    skip_space(c);
    if (c->rest.len > 0 && (c->rest.ptr[0] == '\'' || c->rest.ptr[0] == '"')) {
        struct str inner = str_from_index(c->rest, 1);
        ptrdiff_t end = str_find_char(inner, c->rest.ptr[0]);

        if (end < 0)
            return false;
        *value = str_sub(inner, 0, (size_t)end);
        c->rest = str_from_index(inner, (size_t)end + 1);
        return true;
    }
    *value = take_name(c);
    return value->len > 0;
}

/* The values of IN: counted first when `items` is NULL. */
static bool take_list(struct cursor c, struct policy_word *items, struct policy_pos pos, size_t *n,
                      struct cursor *end)
{
    *n = 0;
    if (!take_mark(&c, "["))
        return false;
    while (!take_mark(&c, "]")) {
        struct str value = {0};

        if (*n > 0 && !take_mark(&c, ","))
            return false;
        if (!take_value(&c, &value))
            return false;
        if (items)
            items[*n] = (struct policy_word){value, pos};
        (*n)++;
    }
    *end = c;
    return true;
}

static bool refuse_assertion(struct doc_reader *r, struct cursor c, struct policy_pos pos)
{
    doc_refuse(r, pos, "invalid posture assertion %s", QUOTED(c.text));
    return doc_hint(r, "like \"node:os IN ['macos', 'linux']\", \"node:tsVersion >= '1.40'\", "
                       "\"custom:tier IS SET\"");
}

static bool take_values(struct doc_reader *r, struct cursor *c, struct policy_assertion *a)
{
    struct policy_words *values = &a->values;

    if (a->op == ASSERT_IS_SET || a->op == ASSERT_NOT_SET)
        return true;
    if (a->op == ASSERT_IN || a->op == ASSERT_NOT_IN) {
        struct cursor end = {0};

        if (!take_list(*c, NULL, a->pos, &values->len, &end))
            return refuse_assertion(r, *c, a->pos);
        if (!doc_count(r, a->pos, values->len))
            return false;
        values->items = NEW_ITEMS(r, struct policy_word, values->len);
        IGNORE(take_list(*c, values->items, a->pos, &values->len, &end));
        *c = end;
        return true;
    }
    values->items = NEW_ITEMS(r, struct policy_word, 1);
    values->len = 1;
    values->items[0].pos = a->pos;
    return take_value(c, &values->items[0].text) || refuse_assertion(r, *c, a->pos);
}

static bool is_delivered(struct str attribute)
{
    static const struct str delivered[] = {
        STR_INIT("node:os"),
        STR_INIT("node:osVersion"),
        STR_INIT("node:tsVersion"),
        STR_INIT("node:tsReleaseTrack"),
    };

    for (size_t i = 0; i < ARRAY_LEN(delivered); i++) {
        if (str_eq(attribute, delivered[i]))
            return true;
    }
    return str_starts(attribute, STR(ATTRIBUTE_PREFIX));
}

static bool read_assertion(struct doc_reader *r, const struct json_value *v,
                           struct policy_assertion *a)
{
    if (!doc_is(r, v, JSON_STRING, "an assertion of a posture"))
        return false;
    struct str text = doc_keep(r, v->str);
    struct cursor c = {text, text};

    *a = (struct policy_assertion){.text = text, .pos = doc_pos(v)};
    a->attribute = take_name(&c);
    if (str_find_char(a->attribute, ':') <= 0 || !take_op(&c, &a->op))
        return refuse_assertion(r, c, a->pos);
    if (!take_values(r, &c, a))
        return false;
    skip_space(&c);
    if (c.rest.len > 0)
        return refuse_assertion(r, c, a->pos);
    if (!is_delivered(a->attribute))
        doc_undelivered(r, a->pos,
                        "posture attribute %s is not delivered yet: no node has a value for it",
                        QUOTED(a->attribute));
    return true;
}

/* ---- Sections ---- */

struct unread { /* sorted by the name of its posture */
    struct policy_posture posture;
    const struct json_value *list;
};

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct unread *)a)->posture.name,
                   ((const struct unread *)b)->posture.name);
}

static bool read_posture(struct doc_reader *r, struct policy_posture *p, const struct json_value *v)
{
    if (json_is(v, JSON_NULL))
        return true;
    if (!doc_is(r, v, JSON_ARRAY, "a posture") || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    p->assertions = NEW_ITEMS(r, struct policy_assertion, json_len(v));
    JSON_EACH(m, v) {
        if (!read_assertion(r, m, &p->assertions[p->n_assertions++]))
            return false;
    }
    return true;
}

bool doc_postures(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;
    size_t n = 0;

    if (!doc_list(r, v, JSON_OBJECT, "postures", POLICY_NAMES_MAX))
        return false;
    struct unread *list = NEW_ITEMS(r, struct unread, json_len(v));
    JSON_EACH(m, v) {
        if (!str_starts(m->key, STR("posture:")) || m->key.len == strlen("posture:")) {
            doc_refuse(r, doc_key_pos(m), "posture must start with 'posture:', got: %s",
                       QUOTED(m->key));
            return doc_hint(r, "a posture is named like posture:latest");
        }
        list[n++] = (struct unread){
            .posture = {.name = doc_keep(r, m->key), .pos = doc_key_pos(m)},
            .list = m,
        };
    }
    if (n > 1)
        qsort(list, n, sizeof(list[0]), by_name);
    doc->postures = NEW_ITEMS(r, struct policy_posture, n);
    doc->n_postures = n;
    for (size_t i = 0; i < n; i++) {
        doc->postures[i] = list[i].posture;
        doc->postures[i].index = i;
        if (!read_posture(r, &doc->postures[i], list[i].list))
            return false;
    }
    return true;
}

static bool read_names(struct doc_reader *r, const struct json_value *v, const char *what,
                       struct policy_postures *out)
{
    if (!doc_is(r, v, JSON_ARRAY, what) || !doc_count(r, doc_pos(v), json_len(v)))
        return false;
    out->items =
        (const struct policy_posture **)NEW_ITEMS(r, const struct policy_posture *, json_len(v));
    out->len = 0;
    JSON_EACH(m, v) {
        if (!doc_is(r, m, JSON_STRING, what))
            return false;
        const struct policy_posture *p = doc_posture_find(r->doc, str_trim(m->str));
        if (!p) {
            doc_refuse(r, doc_pos(m), "posture not found: %s", QUOTED(m->str));
            return doc_hint(r, "a posture is defined in postures before it is used");
        }
        out->items[out->len++] = p;
    }
    return true;
}

bool doc_default_postures(struct doc_reader *r, const struct json_value *v)
{
    return read_names(r, v, "defaultSrcPosture", &r->default_postures);
}

/* An empty list names none, as no list does: the default then guards the rule. */
bool doc_rule_postures(struct doc_reader *r, const struct json_value *v,
                       struct policy_postures *out)
{
    *out = r->default_postures;
    return !v || json_len(v) == 0 ? !v || doc_is(r, v, JSON_ARRAY, "srcPosture")
                                  : read_names(r, v, "srcPosture", out);
}
