#pragma once

/* A stream over a stream; see layer.c. */

#include "net/net_internal.h"

struct layer {
    struct stream stream;
    struct stream *below;
    void (*on_below_data)(struct layer *l, struct str data);
    bool (*is_cut)(const struct layer *l); /* an end here would be in the middle; may be NULL */
    struct deferred end;                   /* when `below` has gone first */
};

void layer_init(struct layer *l, struct stream *below, const struct stream_ops *ops,
                void (*on_data)(struct layer *l, struct str data));
size_t layer_pending(const struct stream *s);
void layer_flush(struct stream *s);
void layer_update_reading(struct stream *s);
void layer_close(struct stream *s);
void layer_abort(struct stream *s);
void layer_fini(struct layer *l);
