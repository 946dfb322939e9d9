#pragma once

/*
 * Slots: pieces of address space of one size, zeroed, of which only the pages that are written
 * cost memory.
 *
 * For things of which there are thousands and that ask for far more room than they use: what they
 * never touch is never there, and what they gave back is returned to the system at once. A slot
 * begins at a page. Any thread.
 */

#include "core/defs.h"

#define SLOTS_PAGE ((size_t)4096)

struct slots;

/* Rounded up to whole pages. */
MUST_USE struct slots *slots_new(size_t slot_bytes);
/* Every slot must have been put back. NULL is fine. */
void slots_free(struct slots *s);
/* Zeroed; never NULL. */
MUST_USE void *slots_get(struct slots *s);
void slots_put(struct slots *s, void *slot);
/* How many are out. */
size_t slots_used(struct slots *s);
