#pragma once

/* Machine names: what clients call themselves, made into DNS labels. headscale.md 5.2. */

#include "core/buf.h"

/*
 * Appends the DNS label made from a raw host name: a trailing .local, .localdomain or .lan dropped,
 * cut to 63 bytes, outer bytes that are no letters or digits stripped, inner space . @ _ to '-',
 * the rest of what is not a letter, digit or '-' dropped, lower case; "node" when nothing is left.
 */
void name_from_hostname(struct str hostname, struct buf *label);
/* 1 to 63 letters, digits, '-', not at the ends. */
bool name_is_label(struct str s);
/* "tag:" + letter + letters, digits, '-', lower case. */
bool tag_is_valid(struct str s);
