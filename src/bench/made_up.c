/* See made_up.h. */

#include "bench/made_up.h"

#include <inttypes.h>

size_t made_up_people(size_t nodes)
{
    return MAX(nodes * 6 / 10 / MADE_UP_DEVICES, (size_t)1);
}

size_t made_up_owner(size_t i, size_t people)
{
    return i % 10 < 6 ? 1 + i % people : 0;
}

size_t made_up_tag(size_t i)
{
    return i * 7 / 10 % MADE_UP_TAGS;
}

static uint64_t below(struct made_up *m, uint64_t n)
{
    return rand_seeded_below(&m->rand, n);
}

static void put_groups(struct made_up *m, struct buf *b)
{
    struct buf groups[MADE_UP_GROUPS] = {0};

    for (size_t i = 1; i <= m->people; i++) {
        for (uint64_t k = 0, n = 1 + below(m, 3); k < n; k++)
            buf_printf(&groups[below(m, MADE_UP_GROUPS)], ",\"p%zu@example.com\"", i);
    }
    buf_put(b, STR("\"groups\":{"));
    for (size_t i = 0; i < MADE_UP_GROUPS; i++) {
        buf_printf(b, "%s\"group:g%zu\":[", i ? "," : "", i);
        buf_put(b, str_from_index(buf_str(&groups[i]), groups[i].len ? 1 : 0));
        buf_put_char(b, ']');
        buf_fini(&groups[i]);
    }
    buf_put(b, STR("},\"tagOwners\":{"));
    for (size_t i = 0; i < MADE_UP_TAGS; i++)
        buf_printf(b, "%s\"tag:t%zu\":[]", i ? "," : "", i);
    buf_put_char(b, '}');
}

static void put_source(struct made_up *m, struct buf *b)
{
    switch (below(m, 10)) {
    case 0:
        buf_put(b, STR("\"autogroup:member\""));
        return;
    case 1:
        buf_printf(b, "\"p%" PRIu64 "@example.com\"", 1 + below(m, m->people));
        return;
    case 2:
    case 3:
    case 4:
        buf_printf(b, "\"tag:t%" PRIu64 "\"", below(m, MADE_UP_TAGS));
        return;
    default:
        buf_printf(b, "\"group:g%" PRIu64 "\"", below(m, MADE_UP_GROUPS));
        return;
    }
}

static void put_destination(struct made_up *m, struct buf *b)
{
    unsigned port = (unsigned)(22 + below(m, 9000));

    switch (below(m, 10)) {
    case 0:
        buf_printf(b, "\"group:g%" PRIu64 ":%u\"", below(m, MADE_UP_GROUPS), port);
        return;
    case 1:
        buf_printf(b, "\"10.%" PRIu64 ".0.0/16:%u\"", below(m, 200), port);
        return;
    case 2:
        buf_put(b, STR("\"autogroup:internet:*\""));
        return;
    default:
        buf_printf(b, "\"tag:t%" PRIu64 ":%u,%u-%u\"", below(m, MADE_UP_TAGS), port, port + 10,
                   port + 20);
        return;
    }
}

static void put_rules(struct made_up *m, struct buf *b)
{
    buf_put(b, STR(",\"acls\":["));
    if (m->self)
        buf_put(b, STR("{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
                       "\"dst\":[\"autogroup:self:*\"]}"));
    for (size_t i = 0; i < m->rules; i++) {
        buf_put(b, i || m->self ? STR(",{\"action\":\"accept\",\"src\":[")
                                : STR("{\"action\":\"accept\",\"src\":["));
        put_source(m, b);
        for (uint64_t k = below(m, 3); k > 0; k--) {
            buf_put_char(b, ',');
            put_source(m, b);
        }
        buf_put(b, STR("],\"dst\":["));
        put_destination(m, b);
        if (below(m, 2)) {
            buf_put_char(b, ',');
            put_destination(m, b);
        }
        buf_put(b, STR("]}"));
    }
    if (m->last_rule.len > 0)
        buf_printf(b, "%s%.*s", m->rules || m->self ? "," : "", STR_ARG(m->last_rule));
    buf_put_char(b, ']');
}

void made_up_put_policy(struct made_up *m, struct buf *b)
{
    buf_put_char(b, '{');
    put_groups(m, b);
    put_rules(m, b);
    buf_put_char(b, '}');
}
