#pragma once

/* What auth.c and caller.c share. */

#include "auth/caller.h"
#include "tailnet/api_key.h"

/* `client`: of an access token its OAuth client, else the key itself; NULL: it went. */
struct caller caller_of_api_key(const struct api_key *k, const struct api_key *client);
