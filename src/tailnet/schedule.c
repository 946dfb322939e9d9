#include "tailnet/schedule_internal.h"

void schedule_fini(struct schedule *s)
{
    mem_free(s->heap);
    *s = (struct schedule){0};
}

static void place(struct schedule *s, size_t slot, struct deadline *dl)
{
    s->heap[slot - 1] = dl;
    dl->slot = slot;
}

static void sift_up(struct schedule *s, struct deadline *dl)
{
    size_t slot = dl->slot;

    for (; slot > 1 && s->heap[slot / 2 - 1]->at_ms > dl->at_ms; slot /= 2)
        place(s, slot, s->heap[slot / 2 - 1]);
    place(s, slot, dl);
}

static void sift_down(struct schedule *s, struct deadline *dl)
{
    size_t slot = dl->slot;

    for (size_t child = slot * 2; child <= s->len; slot = child, child *= 2) {
        if (child < s->len && s->heap[child]->at_ms < s->heap[child - 1]->at_ms)
            child++;
        if (s->heap[child - 1]->at_ms >= dl->at_ms)
            break;
        place(s, slot, s->heap[child - 1]);
    }
    place(s, slot, dl);
}

void schedule_set(struct schedule *s, struct deadline *dl, int64_t at_ms)
{
    dl->at_ms = at_ms;
    if (dl->slot == 0) {
        s->heap = mem_room(s->heap, s->len, &s->cap, 16, sizeof(*s->heap));
        place(s, ++s->len, dl);
    }
    sift_up(s, dl);
    sift_down(s, dl);
}

void schedule_clear(struct schedule *s, struct deadline *dl)
{
    size_t slot = dl->slot;

    if (slot == 0)
        return;
    dl->slot = 0;

    struct deadline *last = s->heap[--s->len];

    if (last == dl)
        return;
    place(s, slot, last);
    sift_up(s, last);
    sift_down(s, last);
}

struct deadline *schedule_take_due(struct schedule *s, int64_t now_ms)
{
    if (s->len == 0 || s->heap[0]->at_ms > now_ms)
        return NULL;

    struct deadline *dl = s->heap[0];

    schedule_clear(s, dl);
    return dl;
}

int64_t schedule_next_ms(const struct schedule *s)
{
    return s->len == 0 ? INT64_MAX : s->heap[0]->at_ms;
}
