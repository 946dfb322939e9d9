#include "decisions_words.h"

#include <stdarg.h>
#include <stdio.h>

bool differs(char why[DECISIONS_WHY], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, DECISIONS_WHY, fmt, args);
    va_end(args);
    return false;
}

unsigned long long id_of(const struct node *n)
{
    return (unsigned long long)n->id;
}

const char *text_of(struct ip_addr a, char out[64])
{
    struct buf b = BUF(0);

    ip_addr_put(&b, a);
    (void)snprintf(out, 64, "%.*s", STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return out;
}
