#pragma once

/* One run of `hatsize import headscale`: what it was told, what it found. */

#include "cli/cli_internal.h"
#include "policy/document.h"
#include "store/import.h"

enum import_key_state { KEY_GOOD, KEY_MISSING, KEY_BAD };

struct import_run {
    struct cli *cli;
    struct import_options options;
    struct store_options target;
    struct str target_name;   /* for people */
    struct config_store room; /* of the target, when it is PostgreSQL */
    struct import_report report;
    struct str source; /* for people */
    bool is_dry;
    bool is_written;

    enum import_key_state noise, relay;
    struct str noise_trouble, relay_trouble;
    const struct policy_document *document; /* in force after the import, for its tags; or NULL */
    struct str policy_trouble;              /* of the policy file */
};

/* import_report.c: as text or in the output format. */
void import_show(struct import_run *run);
