/*
 * An operator's view of the database's work: each statement, or those that took long.
 *
 * It stands between the store and its engine: the engine's table of functions is copied, with one
 * in place of its `run`. Statements are shown as they are written, with $1 for what is put in: a
 * log holds no names, addresses or hashes (headscale's database.gorm.parameterized_queries).
 */

#include "core/clock.h"
#include "core/log.h"
#include "store/store_internal.h"

static int run_watched(struct db *db, enum db_statement id, const struct db_value *args,
                       size_t n_args, db_row_fn *on_row, void *user, struct err *err)
{
    const struct db_watch *w = &db->watch;
    uint64_t before_ns = clock_mono_ns();
    int status = w->engine->run(db, id, args, n_args, on_row, user, err);
    uint64_t took_us = (clock_mono_ns() - before_ns) / 1000;
    bool is_slow = w->slow_ms > 0 && took_us / 1000 >= w->slow_ms;

    if (is_slow || w->each)
        log_event(is_slow ? LOG_WARN : LOG_INFO, is_slow ? "slow statement" : "statement",
                  LOG_TXT("sql", db_sql(id)), LOG_U64("us", took_us), LOG_BOOL("ok", status == 0));
    return status;
}

void db_watch(struct db *db, const struct store_options *options)
{
    struct db_watch *w = &db->watch;

    if (!options->log_statements && options->slow_ms == 0)
        return;
    w->engine = db->ops;
    w->ops = *db->ops;
    w->ops.run = run_watched;
    w->each = options->log_statements;
    w->slow_ms = options->slow_ms;
    db->ops = &w->ops;
}
