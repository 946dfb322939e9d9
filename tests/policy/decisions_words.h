#pragma once

/* How a difference is told. */

#include "decisions.h"

/* Fills `why` and is false. */
PRINTF_LIKE(2, 3) bool differs(char why[DECISIONS_WHY], const char *fmt, ...);
unsigned long long id_of(const struct node *n);
/* `out`, with the address in it. */
const char *text_of(struct ip_addr a, char out[64]);
