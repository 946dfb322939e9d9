#include "tailnet/name.h"

#define LABEL_MAX 63

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_letter_or_digit(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static struct str without_local_suffix(struct str name)
{
    static const struct str suffixes[] = {STR_INIT(".local"), STR_INIT(".localdomain"),
                                          STR_INIT(".lan")};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(name, suffixes[i]))
            name.len -= suffixes[i].len;
    return name;
}

void name_from_hostname(struct str hostname, struct buf *label)
{
    struct str s = str_sub(without_local_suffix(hostname), 0, LABEL_MAX);

    while (s.len > 0 && !is_letter_or_digit(s.ptr[0]))
        s = str_from_index(s, 1);
    while (s.len > 0 && !is_letter_or_digit(s.ptr[s.len - 1]))
        s.len--;
    if (s.len == 0)
        s = STR("node");
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (is_letter_or_digit(c) || c == '-')
            buf_put_char(label, lower(c));
        else if (c == ' ' || c == '.' || c == '@' || c == '_')
            buf_put_char(label, '-');
    }
}

bool name_is_label(struct str s)
{
    if (s.len == 0 || s.len > LABEL_MAX || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter_or_digit(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return true;
}

bool tag_is_valid(struct str s)
{
    struct str rest;

    if (!str_starts(s, STR("tag:")))
        return false;
    rest = str_from_index(s, 4);
    if (rest.len == 0 || !is_letter(rest.ptr[0]))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if ((!is_letter_or_digit(rest.ptr[i]) && rest.ptr[i] != '-') ||
            rest.ptr[i] != lower(rest.ptr[i]))
            return false;
    return true;
}
