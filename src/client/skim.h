#pragma once

/*
 * Finding the values in JSON text without making a tree: brackets are matched, strings stepped
 * over, nothing else is looked at. What is skimmed is then either parsed, or known already because
 * the very same text was parsed before.
 *
 * Of text that json_parse takes, the pieces are exactly the `raw` of its members and elements. Of
 * other text the walk fails or gives pieces that json_parse refuses. No allocation.
 */

#include "core/str.h"

struct skim {
    struct str text;
    size_t at;
    bool is_object;
    bool is_first;
    bool failed;
};

/* `text` is one object or array, blanks around it. False: it is neither. */
MUST_USE bool skim_begin(struct skim *s, struct str text);
/*
 * The next member (`key` as spelled between its quotes) or element (empty key). False: there is
 * none, and skim_ok says whether that was the proper end.
 */
MUST_USE bool skim_next(struct skim *s, struct str *key, struct str *value);
/* After the last: closed, and only blanks behind. */
bool skim_ok(const struct skim *s);

/*
 * A list of whole objects, commas between them and perhaps one at either end: a piece cut out of
 * an array. Begin with *at = 0. SKIM_END: all of it was of that form.
 */
enum skim_piece { SKIM_OBJECT, SKIM_END, SKIM_OTHER };
MUST_USE enum skim_piece skim_objects(struct str text, size_t *at, struct str *object);
