#pragma once

/*
 * What is to happen when: deadlines in a binary heap, embedded in what they are about. Setting,
 * moving and clearing cost O(log n); asking for the next costs nothing.
 */

#include "core/mem.h"

enum deadline_kind {
    DEADLINE_OFFLINE,   /* a node's grace is over */
    DEADLINE_EPHEMERAL, /* an ephemeral node stayed away too long */
    DEADLINE_EXPIRY,    /* a node key expires */
    DEADLINE_ATTRIBUTE, /* a custom attribute of a node ends */
    DEADLINE_EXPIRING,  /* it does so in a day */
    DEADLINE_PENDING,   /* a registration waited too long */
    DEADLINE_REVOKED,   /* a revoked auth key was kept long enough */
    DEADLINE_API_KEY,   /* an access token or a session ends */
    DEADLINE_SHARE,     /* a share ends */
    DEADLINE_SHARE_INVITE,
    DEADLINE_USER_INVITE,
};

struct deadline {
    int64_t at_ms; /* unix */
    enum deadline_kind kind;
    size_t slot; /* in the heap, from 1; 0: not set */
};

struct schedule {
    struct deadline **heap;
    size_t len;
    size_t cap;
};

void schedule_fini(struct schedule *s);
/* Sets or moves. */
void schedule_set(struct schedule *s, struct deadline *dl, int64_t at_ms);
/* Harmless when not set. */
void schedule_clear(struct schedule *s, struct deadline *dl);
/* Takes the earliest out if it is due; NULL when none is. */
struct deadline *schedule_take_due(struct schedule *s, int64_t now_ms);
/* INT64_MAX: nothing. */
int64_t schedule_next_ms(const struct schedule *s);
