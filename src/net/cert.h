#pragma once

/* Questions about certificates that somebody gave us. */

#include "core/err.h"

/* Whether the first certificate of a PEM text is for this DNS name or IP literal. */
MUST_USE int cert_is_for_host(struct str cert_pem, struct str host, bool *yes, struct err *err);
