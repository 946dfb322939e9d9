#include "core/defs.h"

void assert_failed(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: this must hold and does not: %s\n", file, line, text);
    fflush(stderr);
    abort();
}
