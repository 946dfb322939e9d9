#pragma once

/* What tls.c and cert.c share. */

#include "net/tls.h"

/* ERR_IO with OpenSSL's newest complaint behind the text. */
MUST_USE int tls_fail(struct err *err, const char *doing);
