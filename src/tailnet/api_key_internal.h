#pragma once

/* How the domain makes a set of its API keys. */

#include "tailnet/api_key.h"
#include "tailnet/table_internal.h"

/* Copies the table, chunks shared; count 1. */
MUST_USE struct api_key_set *api_key_set_new(const struct table *keys);
