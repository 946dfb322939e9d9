#pragma once

/*
 * A document in words, one thing a line, so that two can be compared and a test can look for a
 * line:
 *
 *   acl 0 posture posture:a proto 6 src user:alice@x dst tag:web:80,443
 */

#include "policy/document.h"

/* With `positions`, "@line:col" goes before each thing. */
void dump_document(const struct policy_document *d, bool positions, struct buf *out);
/* "tag:web", "user alice@x", ...: what it is and means. */
void dump_selector(const struct policy_selector *s, struct buf *out);
