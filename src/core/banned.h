#pragma once

/*
 * Functions that have hurt C programs before; using one is a compile error. The libc headers that
 * declare them come first, so that the poison only meets our own code.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* With clang and FORTIFY_SOURCE these two are macros. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atof gets \
    gmtime localtime ctime asctime strerror
