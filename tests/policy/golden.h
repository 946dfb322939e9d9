#pragma once

/*
 * Cases in the captures' format, run through the evaluator and compared by the rules that come with
 * the captures: order of filter and SSH rules counts; SrcIPs, peers and routes are sets; DstPorts
 * and principals are multisets; null is not []; a refusal's message has to contain the one
 * recorded.
 */

#include "core/buf.h"
#include "json/value.h"

enum golden_outcome { GOLDEN_AGREES, GOLDEN_DIFFERS, GOLDEN_UNRELIABLE };

struct golden_totals {
    size_t cases;
    size_t agree;
    size_t differ;
    size_t unreliable;
};

/*
 * Differences between a recorded `expect` object and an answer: for each the id, the JSON path,
 * what was expected and what came. Returns their number.
 */
size_t golden_compare(struct str id, const struct json_value *want, const struct json_value *got,
                      struct buf *report);
/*
 * Evaluates one case and compares. The evaluator is handed the input members only, and not which
 * routes were approved: that is compared as well.
 */
enum golden_outcome golden_run_case(struct str text, struct buf *report);
/*
 * Every *.json file in `dir` and the folders in it, by name; reports are printed. Only those whose
 * path has `only` in it, unless that is NULL. False: there is no such directory.
 */
bool golden_run_dir(const char *dir, const char *only, struct golden_totals *totals);
