/* See skim.h. */

#include "client/skim.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_blanks(struct str t, size_t at)
{
    while (at < t.len && is_blank(t.ptr[at]))
        at++;
    return at;
}

/* Behind the string whose opening quote is at `at`; SIZE_MAX when it has no end. */
static size_t skip_string(struct str t, size_t at)
{
    for (at++; at < t.len; at++) {
        const char *end = memchr(t.ptr + at, '"', t.len - at);
        size_t slashes = 0;

        if (!end)
            return SIZE_MAX;
        at = (size_t)(end - t.ptr);
        while (t.ptr[at - 1 - slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return at + 1;
    }
    return SIZE_MAX;
}

static size_t skip_brackets(struct str t, size_t at)
{
    size_t depth = 0;

    while (at < t.len) {
        switch (t.ptr[at]) {
        case '"':
            at = skip_string(t, at);
            if (at == SIZE_MAX)
                return SIZE_MAX;
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
    return SIZE_MAX;
}

/* Behind the value at `at`, or SIZE_MAX. */
static size_t skip_value(struct str t, size_t at)
{
    size_t from = at;

    if (at >= t.len)
        return SIZE_MAX;
    if (t.ptr[at] == '"')
        return skip_string(t, at);
    if (t.ptr[at] == '{' || t.ptr[at] == '[')
        return skip_brackets(t, at);
    while (at < t.len && !is_blank(t.ptr[at]) && !strchr(",:]}[{\"", t.ptr[at]))
        at++;
    return at > from ? at : SIZE_MAX;
}

bool skim_begin(struct skim *s, struct str text)
{
    size_t at = skip_blanks(text, 0);

    *s = (struct skim){.text = text, .at = at + 1, .is_first = true};
    if (at >= text.len || (text.ptr[at] != '{' && text.ptr[at] != '['))
        return false;
    s->is_object = text.ptr[at] == '{';
    return true;
}

static bool fail(struct skim *s)
{
    s->failed = true;
    return false;
}

static bool take_key(struct skim *s, struct str *key)
{
    struct str t = s->text;
    size_t end;

    if (s->at >= t.len || t.ptr[s->at] != '"')
        return fail(s);
    end = skip_string(t, s->at);
    if (end == SIZE_MAX)
        return fail(s);
    *key = str_sub(t, s->at + 1, end - s->at - 2);
    s->at = skip_blanks(t, end);
    if (s->at >= t.len || t.ptr[s->at] != ':')
        return fail(s);
    s->at = skip_blanks(t, s->at + 1);
    return true;
}

bool skim_next(struct skim *s, struct str *key, struct str *value)
{
    struct str t = s->text;
    size_t end;

    s->at = skip_blanks(t, s->at);
    if (s->failed || s->at >= t.len)
        return fail(s);
    if (t.ptr[s->at] == (s->is_object ? '}' : ']')) {
        s->at = skip_blanks(t, s->at + 1);
        return s->at == t.len ? false : fail(s);
    }
    if (!s->is_first) {
        if (t.ptr[s->at] != ',')
            return fail(s);
        s->at = skip_blanks(t, s->at + 1);
    }
    s->is_first = false;
    *key = STR_NONE;
    if (s->is_object && !take_key(s, key))
        return false;
    end = skip_value(t, s->at);
    if (end == SIZE_MAX)
        return fail(s);
    *value = str_sub(t, s->at, end - s->at);
    s->at = end;
    return true;
}

bool skim_ok(const struct skim *s)
{
    return !s->failed && s->at == s->text.len;
}

enum skim_piece skim_objects(struct str text, size_t *at, struct str *object)
{
    size_t from = skip_blanks(text, *at), end;

    if (from < text.len && text.ptr[from] == ',')
        from = skip_blanks(text, from + 1);
    else if (*at > 0 && from < text.len)
        return SKIM_OTHER;
    if (from >= text.len)
        return SKIM_END;
    if (text.ptr[from] != '{')
        return SKIM_OTHER;
    end = skip_brackets(text, from);
    if (end == SIZE_MAX)
        return SKIM_OTHER;
    *object = str_sub(text, from, end - from);
    *at = end;
    return SKIM_OBJECT;
}
