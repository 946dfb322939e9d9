/* What may go to a terminal, and the questions asked there. */

#include <unistd.h>

#include "cli/cli_internal.h"

/*
 * Control characters (those of C1 too), direction and line marks, byte order marks: what would make
 * a name look like something else. `c` is a well-formed UTF-8 character.
 */
static bool is_harmful(struct str c)
{
    unsigned char a = (unsigned char)c.ptr[0];

    if (c.len == 1)
        return a < 0x20 || a == 0x7f;
    unsigned char b = (unsigned char)c.ptr[1];
    if (c.len == 2)
        return a == 0xc2 && b < 0xa0;
    if (c.len != 3)
        return false;
    unsigned char d = (unsigned char)c.ptr[2];
    if (a == 0xe2 && b == 0x80)
        return (d >= 0x8b && d <= 0x8f) || (d >= 0xa8 && d <= 0xae);
    if (a == 0xe2 && b == 0x81)
        return d >= 0xa0 && d <= 0xaf;
    return a == 0xef && b == 0xbb && d == 0xbf;
}

/* Takes the next character, or byte where there is none, off `rest`. */
static struct str next_character(struct str *rest)
{
    size_t n = MAX(str_utf8_len(*rest), (size_t)1);
    struct str c = str_sub(*rest, 0, n);

    *rest = str_from_index(*rest, n);
    return c;
}

static void put(FILE *to, struct str text, const char *allowed)
{
    while (text.len > 0) {
        bool is_broken = str_utf8_len(text) == 0;
        struct str c = next_character(&text);
        bool is_allowed = c.len == 1 && str_find_char(str_from(allowed), c.ptr[0]) >= 0;

        if (!is_allowed && (is_broken || is_harmful(c)))
            (void)fputc('.', to);
        else
            (void)fwrite(c.ptr, 1, c.len, to);
    }
}

void cli_put_word(FILE *to, struct str text)
{
    put(to, text, "");
}

void cli_put_text(FILE *to, struct str text)
{
    put(to, text, "\n\t");
}

size_t cli_width(struct str s)
{
    size_t n = 0;

    for (; s.len > 0; n++)
        (void)next_character(&s);
    return n;
}

/* ---- Questions ---- */

static bool is_yes(struct str answer)
{
    static const struct str words[] = {STR_INIT("y"), STR_INIT("yes"), STR_INIT("sure")};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(answer, words[i]))
            return true;
    return false;
}

enum cli_answer cli_ask_person(struct cli *cli, const char *question)
{
    bool is_terminal = isatty(STDIN_FILENO) == 1;
    char line[64];

    if (args_has(&cli->args, "force"))
        return CLI_YES;
    if (is_terminal) {
        cli_put_text(cli->complaints, str_from(question));
        (void)fputs(" [y/n] ", cli->complaints);
        (void)fflush(cli->complaints);
    }
    cli->deadline_ms = 0; /* a person may think */
    if (fgets(line, sizeof(line), stdin))
        return is_yes(str_trim(str_from(line))) ? CLI_YES : CLI_NO;
    if (is_terminal)
        return CLI_NO;
    (void)cli_fail(cli, "%s Nobody is there to ask: --force does it without asking", question);
    return CLI_NOBODY;
}

bool cli_confirm(struct cli *cli, const char *question)
{
    return cli_ask_person(cli, question) == CLI_YES;
}
