#pragma once

/* Relay regions as JSON: in both APIs' answers and requests, and as they are stored. */

#include "tailnet/info.h"
#include "json/writer.h"

enum regions_spelling {
    REGIONS_API,    /* "hostName"; what only tests set is left out */
    REGIONS_STORED, /* "host_name"; everything */
};
/* The regions, one after the other, into an array that the caller began. */
void regions_put(struct json_writer *w, const struct derp_region *items, size_t n,
                 enum regions_spelling spelling);
