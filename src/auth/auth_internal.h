#pragma once

/* What auth.c and caller.c share. */

#include "auth/caller.h"
#include "tailnet/api_key.h"

struct caller caller_of_api_key(const struct api_key *k);
