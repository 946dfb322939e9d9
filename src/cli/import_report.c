/* What an import takes, changes and leaves out, for people and for programs. */

#include "cli/import_internal.h"

#include "core/clock.h"

#define REPORT_MAX ((size_t)256 << 20)
#define SHOWN_NOTES 40 /* of one fate, to people */

/* ---- words for both ---- */

static const char *key_state(enum import_key_state state)
{
    static const char *const names[] = {"kept", "missing", "unusable"};

    return names[state];
}

static struct str policy_words(const struct import_run *run)
{
    const struct config *config = run->cli->config;
    const size_t *counts = run->report.counts[IMPORT_POLICY];
    struct arena *arena = run->cli->arena;

    if (config->policy_in_database && counts[IMPORT_TAKEN] > 0)
        return STR("the newest of the database is taken");
    if (config->policy_in_database && counts[IMPORT_PRESENT] > 0)
        return STR("the target has one, which stays");
    if (config->policy_in_database || config->policy_path.len == 0)
        return STR("none: everyone may reach everyone");
    if (run->policy_trouble.len > 0)
        return arena_printf(arena, "%.*s cannot be used: %.*s", STR_ARG(config->policy_path),
                            STR_ARG(run->policy_trouble));
    return arena_printf(arena, "%.*s, read at each start", STR_ARG(config->policy_path));
}

/* ---- for programs ---- */

static void put_counts(struct json_writer *w, const struct import_report *r)
{
    static const char *const whats[] = {"users",    "nodes",        "authKeys",   "apiKeys",
                                        "policies", "oauthClients", "oauthTokens"};
    static const char *const fates[] = {"taken", "changed", "present", "leftOut", "damaged"};

    json_field_object(w, STR("counts"));
    for (size_t what = 0; what < IMPORT_WHATS; what++) {
        json_field_object(w, str_from(whats[what]));
        for (size_t fate = 0; fate < IMPORT_FATES; fate++)
            json_field_u64(w, str_from(fates[fate]), r->counts[what][fate]);
        json_end_object(w);
    }
    json_end_object(w);
}

static void put_key(struct json_writer *w, const char *name, struct str path,
                    enum import_key_state state, struct str trouble)
{
    json_field_object(w, str_from(name));
    json_field_str(w, STR("path"), path);
    json_field_str(w, STR("state"), str_from(key_state(state)));
    json_opt_str(w, STR("trouble"), trouble);
    json_end_object(w);
}

static void put_notes(struct json_writer *w, const struct import_report *r)
{
    json_field_array(w, STR("notes"));
    for (size_t i = 0; i < r->n_notes; i++) {
        const struct import_note *n = &r->notes[i];

        json_begin_object(w);
        json_field_str(w, STR("fate"), str_from(import_fate_name(n->fate)));
        json_field_str(w, STR("what"), str_from(import_what_name(n->what)));
        json_field_u64(w, STR("id"), n->id);
        json_field_str(w, STR("name"), n->name);
        json_field_str(w, STR("text"), n->text);
        json_end_object(w);
    }
    json_end_array(w);
}

static void show_machine(struct import_run *run)
{
    const struct config *config = run->cli->config;
    const struct import_report *r = &run->report;
    struct buf json = BUF(REPORT_MAX);
    struct json_writer w = JSON_WRITER(&json);
    struct json_value *v = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("source"), run->source);
    json_field_str(&w, STR("release"), r->release);
    json_field_str(&w, STR("target"), run->target_name);
    json_field_bool(&w, STR("dryRun"), run->is_dry);
    json_field_bool(&w, STR("written"), run->is_written);
    put_counts(&w, r);
    json_field_u64(&w, STR("taggedNodes"), r->n_tagged);
    json_field_u64(&w, STR("approvedRoutes"), r->n_routes);
    put_key(&w, "noiseKey", config->noise_key_path, run->noise, run->noise_trouble);
    put_key(&w, "derpKey", config->derp.private_key_path, run->relay, run->relay_trouble);
    json_field_str(&w, STR("policy"), policy_words(run));
    put_notes(&w, r);
    json_end_object(&w);

    struct str text = arena_copy(run->cli->arena, buf_str(&json));
    bool is_whole = !buf_is_full(&json);

    buf_fini(&json);
    if (is_whole &&
        json_parse(run->cli->arena, text,
                   &(struct json_options){.max_nodes = (size_t)1 << 24, .max_bytes = REPORT_MAX},
                   &v, NULL))
        (void)cli_show(run->cli, v, "");
}

/* ---- for people ---- */

static void show_counts(struct import_run *run)
{
    static const char *const columns[] = {"",         "Taken",   "Changed", "There already",
                                          "Left out", "Damaged", NULL};
    static const char *const plurals[] = {"users",    "nodes",         "auth keys",    "API keys",
                                          "policies", "OAuth clients", "access tokens"};
    struct table *t = table_new(run->cli, columns);

    for (size_t what = 0; what < IMPORT_WHATS; what++) {
        size_t any = 0;

        for (size_t fate = 0; fate < IMPORT_FATES; fate++)
            any += run->report.counts[what][fate];
        if (any == 0 && what != IMPORT_USER && what != IMPORT_NODE)
            continue;
        table_row(t);
        table_cell(t, str_from(plurals[what]));
        for (size_t fate = 0; fate < IMPORT_FATES; fate++)
            table_cell(t, arena_printf(run->cli->arena, "%zu", run->report.counts[what][fate]));
    }
    table_print(t);
}

static void show_key(struct import_run *run, const char *what, struct str path,
                     enum import_key_state state, struct str trouble, const char *missing)
{
    struct arena *arena = run->cli->arena;
    struct str line =
        state == KEY_GOOD ? arena_printf(arena, "%s: %.*s, stays in use\n", what, STR_ARG(path))
        : state == KEY_MISSING
            ? arena_printf(arena, "%s: %.*s is not there: %s\n", what, STR_ARG(path), missing)
            : arena_printf(arena, "%s: %.*s cannot be used: %.*s\n", what, STR_ARG(path),
                           STR_ARG(trouble));

    cli_put_text(run->cli->out, line);
}

static void show_notes(struct import_run *run, enum import_fate fate, const char *head)
{
    const struct import_report *r = &run->report;
    size_t n = 0;

    for (size_t i = 0; i < r->n_notes; i++) {
        const struct import_note *note = &r->notes[i];

        if (note->fate != fate || ++n > SHOWN_NOTES)
            continue;
        if (n == 1)
            (void)fprintf(run->cli->out, "\n%s:\n", head);
        (void)fprintf(run->cli->out, "  %s %llu", import_what_name(note->what),
                      (unsigned long long)note->id);
        if (note->name.len > 0) {
            (void)fputs(" (", run->cli->out);
            cli_put_word(run->cli->out, str_sub(note->name, 0, 80));
            (void)fputs(")", run->cli->out);
        }
        (void)fputs(": ", run->cli->out);
        cli_put_word(run->cli->out, note->text);
        (void)fputs("\n", run->cli->out);
    }
    if (n > SHOWN_NOTES)
        (void)fprintf(run->cli->out, "  and %zu more; --output json has all\n", n - SHOWN_NOTES);
}

static void show_end(struct import_run *run)
{
    const struct config *config = run->cli->config;
    struct arena *arena = run->cli->arena;
    struct str line;

    if (run->is_written && config->file.len > 0)
        line = arena_printf(arena, "\nWritten to %.*s. Start it: hatsize serve --config %.*s\n",
                            STR_ARG(run->target_name), STR_ARG(config->file));
    else if (run->is_written)
        line = arena_printf(arena, "\nWritten to %.*s. Start it: hatsize serve\n",
                            STR_ARG(run->target_name));
    else
        line = arena_printf(arena, "\nNothing was written%s. It would be %.*s\n",
                            run->is_dry ? ": this was a dry run" : "", STR_ARG(run->target_name));
    cli_put_text(run->cli->out, line);
}

static void show_human(struct import_run *run)
{
    const struct config *config = run->cli->config;
    struct arena *arena = run->cli->arena;

    cli_put_text(run->cli->out, arena_printf(arena, "headscale %.*s: %.*s\n\n",
                                             STR_ARG(run->report.release), STR_ARG(run->source)));
    show_counts(run);
    show_key(run, "server's key", config->noise_key_path, run->noise, run->noise_trouble,
             "every client would have to log in again");
    if (config->derp.enabled)
        show_key(run, "relay's key", config->derp.private_key_path, run->relay, run->relay_trouble,
                 "a new one is made, which no client minds");
    cli_put_text(run->cli->out, arena_printf(arena, "policy: %.*s\n", STR_ARG(policy_words(run))));
    show_notes(run, IMPORT_CHANGED, "changed");
    show_notes(run, IMPORT_PRESENT, "there already");
    show_notes(run, IMPORT_LEFT, "left out");
    show_notes(run, IMPORT_DAMAGED, "damaged, cannot be read");
    show_end(run);
}

void import_show(struct import_run *run)
{
    if (cli_is_human(run->cli))
        show_human(run);
    else
        show_machine(run);
}
