#pragma once

/*
 * Clocks. Everything in Hatsize asks these, so tests can turn them: unix time is milliseconds since
 * 1970 UTC; mono time only grows and has no meaning of its own.
 */

#include "core/buf.h"
#include "core/str.h"

int64_t clock_unix_ms(void);
int64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void); /* for measuring */
/* Tests: adds to both clocks from now on. */
void clock_test_advance_ms(int64_t ms);
/*
 * Tests: both clocks stand still for the rest of the program, but for what is added. A time limit
 * then ends nothing because the machine is busy. Before other threads.
 */
void clock_test_stop(void);

/* "2026-11-21T04:28:02Z", with ".123" only when there are milliseconds. Years 0001..9999. */
void clock_put_rfc3339(struct buf *out, int64_t unix_ms);
/* Any offset, any fraction (cut to ms). The zero time 0001-01-01 gives CLOCK_ZERO. False: not a
 * time. */
MUST_USE bool clock_parse_rfc3339(struct str text, int64_t *unix_ms);
/* Go's zero time, 0001-01-01T00:00:00Z, in milliseconds. */
#define CLOCK_ZERO ((int64_t)-62135596800000)
/*
 * Durations as people write them: Go's ("1h30m", "800ms") and Prometheus' ("90d", "1w", "1y" =
 * 365d). A bare integer is refused. False: not a duration or over 292 years.
 */
MUST_USE bool clock_parse_duration(struct str text, int64_t *ms);
