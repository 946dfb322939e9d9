/* The rules of stream.h, over TCP and over a pair. */

#include "harness.h"

#define BIG ((size_t)6 << 20)

/* ---- Data both ways ---- */

/* Writes `rest` in pieces of a size of its own, a few at a time, then waits for on_writable. */
struct source {
    struct end *end;
    struct str rest;
    size_t most_pending;
};

static void pour(struct source *from)
{
    while (from->rest.len > 0 && stream_pending(from->end->s) < 256 << 10) {
        struct str piece = str_sub(from->rest, 0, 9973);

        from->rest = str_from_index(from->rest, piece.len);
        end_write(from->end, piece);
        from->most_pending = MAX(from->most_pending, stream_pending(from->end->s));
    }
}

static struct source *sources[2]; /* of rig->a and rig->b, for the hooks */

static void pour_on(struct end *e)
{
    pour(sources[0]->end == e ? sources[0] : sources[1]);
}

static void moves_megabytes_both_ways(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str left = noise(1, BIG), right = noise(2, BIG);
    struct source from_a = {.end = &rig->a, .rest = left}, from_b = {.end = &rig->b, .rest = right};

    sources[0] = &from_a;
    sources[1] = &from_b;
    rig->a.writable = rig->b.writable = pour_on;
    pour(&from_a);
    pour(&from_b);
    RUN_UNTIL(rig->loop, rig->a.got.len == BIG && rig->b.got.len == BIG);
    assert_memory_equal(rig->b.got.ptr, left.ptr, BIG);
    assert_memory_equal(rig->a.got.ptr, right.ptr, BIG);
    assert_in_range(from_a.most_pending, 1, 512 << 10);
    RUN_UNTIL(rig->loop, stream_pending(rig->a.s) == 0 && stream_pending(rig->b.s) == 0);
    rig_free(rig);
    str_free(&left);
    str_free(&right);
}

static void waits_for_a_slow_reader(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str data = noise(3, BIG);
    struct source from_a = {.end = &rig->a, .rest = data};

    sources[0] = sources[1] = &from_a;
    rig->a.writable = pour_on;
    stream_read_stop(rig->b.s);
    stream_read_stop(rig->b.s); /* twice is once */
    pour(&from_a);
    RUN_ROUNDS(rig->loop, 100);
    assert_int_equal(rig->b.got.len, 0);
    /* Kernel buffers take some over TCP, never all this. */
    end_write(&rig->a, from_a.rest);
    from_a.rest = STR_NONE;
    size_t told = rig->a.n_writable;

    RUN_ROUNDS(rig->loop, 50);
    assert_true(stream_pending(rig->a.s) > 0);
    assert_int_equal(rig->a.n_writable, told);
    assert_int_equal(rig->b.got.len, 0);
    /* In sips. */
    for (int i = 0; i < 20 && rig->b.got.len < BIG; i++) {
        stream_read_start(rig->b.s);
        loop_run_once(rig->loop, 1);
        stream_read_stop(rig->b.s);
        size_t had = rig->b.got.len;

        RUN_ROUNDS(rig->loop, 3);
        assert_int_equal(rig->b.got.len, had);
    }
    stream_read_start(rig->b.s);
    RUN_UNTIL(rig->loop, rig->b.got.len == BIG && stream_pending(rig->a.s) == 0);
    assert_memory_equal(rig->b.got.ptr, data.ptr, BIG);
    assert_true(rig->a.n_writable > told);
    rig_free(rig);
    str_free(&data);
}

static void tells_of_an_empty_queue_once(join_fn *join)
{
    struct rig *rig = rig_new(join);

    RUN_ROUNDS(rig->loop, 5);
    assert_int_equal(rig->a.n_writable, 0); /* nothing was ever queued */
    end_write(&rig->a, STR(""));
    RUN_ROUNDS(rig->loop, 5);
    assert_int_equal(rig->a.n_writable, 0);
    end_write(&rig->a, STR("one"));
    end_write(&rig->a, STR("two"));
    assert_int_equal(stream_pending(rig->a.s), 6);
    RUN_UNTIL(rig->loop, rig->b.got.len == 6);
    RUN_ROUNDS(rig->loop, 5);
    assert_int_equal(rig->a.n_writable, 1);
    assert_int_equal(rig->b.n_data, 1); /* went out together */
    assert_str(buf_str(&rig->b.got), STR("onetwo"));
    rig_free(rig);
}

/* Whether a stream can flush or not, all comes, in order, and who waits is told. */
static void flushes(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str data = noise(8, BIG);

    RUN_ROUNDS(rig->loop, 5);
    (void)stream_flush(rig->a.s); /* nothing */
    end_write(&rig->a, STR("one"));
    rig->a.in_call = true;
    bool at_once = stream_flush(rig->a.s);
    rig->a.in_call = false;
    assert_int_equal(rig->a.n_writable, 0);
    assert_int_equal(stream_pending(rig->a.s) == 0, at_once);
    RUN_UNTIL(rig->loop, rig->b.got.len == 3);
    RUN_ROUNDS(rig->loop, 5);
    assert_int_equal(rig->a.n_writable, !at_once);
    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    assert_false(stream_flush(rig->a.s));
    end_write(&rig->a, STR("two"));
    assert_false(stream_flush(rig->a.s));
    assert_true(stream_pending(rig->a.s) > 0);
    stream_read_start(rig->b.s);
    RUN_UNTIL(rig->loop, rig->b.got.len == BIG + 6 && stream_pending(rig->a.s) == 0);
    assert_memory_equal(rig->b.got.ptr + 3, data.ptr, BIG);
    assert_memory_equal(rig->b.got.ptr + 3 + BIG, "two", 3);
    RUN_UNTIL(rig->loop, rig->a.n_writable == (at_once ? 1 : 2));
    end_close(&rig->a);
    assert_false(stream_flush(rig->a.s));
    rig_free(rig);
    str_free(&data);
}

/* ---- Ends ---- */

static void closes_after_what_is_queued(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str data = noise(4, BIG);

    end_write(&rig->a, data);
    end_close(&rig->a);
    stream_write(rig->a.s, STR("too late"));
    stream_close(rig->a.s);
    stream_read_stop(rig->a.s);
    stream_unread(rig->a.s, STR("never seen"));
    assert_int_equal(rig->a.n_close, 0);
    RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
    assert_int_equal(rig->b.got.len, BIG);
    assert_memory_equal(rig->b.got.ptr, data.ptr, BIG);
    assert_int_equal(rig->a.got.len, 0);
    assert_false(rig->a.has_why);
    rig_free(rig);
    str_free(&data);
}

static void aborts_with_what_is_queued(join_fn *join)
{
    struct rig *rig = rig_new(join);

    end_write(&rig->a, STR("lost"));
    end_abort(&rig->a);
    stream_abort(rig->a.s);
    stream_close(rig->a.s);
    stream_write(rig->a.s, STR("lost too"));
    assert_int_equal(rig->a.n_close, 0);
    RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
    assert_int_equal(rig->b.got.len, 0);
    assert_false(rig->a.has_why);
    rig_free(rig);
}

/* The other does not read: closing gives up after its ten seconds, abort at once. */
static void closes_though_nobody_reads(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str data = noise(5, BIG);

    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    end_close(&rig->a);
    RUN_ROUNDS(rig->loop, 30);
    clock_test_advance_ms(11000);
    RUN_UNTIL(rig->loop, rig->a.n_close);
    rig_free(rig);

    rig = rig_new(join);
    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    end_close(&rig->a);
    RUN_ROUNDS(rig->loop, 3);
    if (rig->a.s)
        end_abort(&rig->a);
    RUN_UNTIL(rig->loop, rig->a.n_close);
    rig_free(rig);
    str_free(&data);
}

/* Told to an end that has stopped reading before the other closed: nothing is lost. */
static void keeps_what_came_before_the_end(join_fn *join)
{
    struct rig *rig = rig_new(join);

    stream_read_stop(rig->b.s);
    end_write(&rig->a, STR("last words"));
    end_close(&rig->a);
    RUN_UNTIL(rig->loop, rig->a.n_close);
    RUN_ROUNDS(rig->loop, 10);
    assert_int_equal(rig->b.n_close, 0);
    stream_read_start(rig->b.s);
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_str(buf_str(&rig->b.got), STR("last words"));
    assert_false(rig->b.has_why);
    rig_free(rig);
}

/* We have much queued for a peer that goes. */
static void ends_when_the_peer_does(join_fn *join)
{
    struct str data = noise(6, BIG);

    for (int how = 0; how < 2; how++) {
        struct rig *rig = rig_new(join);

        stream_read_stop(rig->b.s);
        end_write(&rig->a, data);
        RUN_ROUNDS(rig->loop, 10);
        assert_true(stream_pending(rig->a.s) > 0);
        if (how == 0)
            end_abort(&rig->b);
        else
            end_close(&rig->b);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_false(rig->b.has_why);
        rig_free(rig);
    }
    str_free(&data);
}

static void limits_what_is_queued(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct str data = noise(7, BIG);

    stream_set_write_limit(rig->a.s, BIG);
    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    end_write(&rig->a, data); /* queued is at the limit, not past it */
    assert_int_equal(stream_pending(rig->a.s), 2 * BIG);
    end_write(&rig->a, STR("x"));
    rig->a.is_ended = true;
    assert_int_equal(rig->a.n_close, 0);
    RUN_UNTIL(rig->loop, rig->a.n_close);
    assert_true(rig->a.has_why);
    assert_int_equal(rig->a.why.code, ERR_LIMIT);
    rig_free(rig);
    str_free(&data);
}

static void frees_with_everything_open(join_fn *join)
{
    struct str data = noise(8, BIG);
    struct rig *rig = rig_new(join);

    rig_free(rig); /* idle */

    rig = rig_new(join); /* queued both ways */
    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    end_write(&rig->b, data);
    RUN_ROUNDS(rig->loop, 3);
    rig_free(rig);

    rig = rig_new(join); /* closing, and it would take long */
    stream_read_stop(rig->b.s);
    end_write(&rig->a, data);
    end_close(&rig->a);
    RUN_ROUNDS(rig->loop, 3);
    rig_free(rig);

    rig = rig_new(join); /* aborted, put back, not yet run */
    stream_unread(rig->b.s, STR("put back"));
    end_write(&rig->a, data);
    end_abort(&rig->a);
    rig_free(rig);
    str_free(&data);
}

/* ---- From inside the callbacks ---- */

static void close_inside(struct end *e)
{
    end_close(e);
}

static void abort_inside(struct end *e)
{
    end_abort(e);
}

static void close_other_inside(struct end *e)
{
    if (e->other->s && !e->other->is_ended)
        end_close(e->other);
}

static void abort_other_inside(struct end *e)
{
    if (e->other->s && !e->other->is_ended)
        end_abort(e->other);
}

static void write_and_close_inside(struct end *e)
{
    end_write(e, STR("bye"));
    end_close(e);
}

static void stop_and_abort_inside(struct end *e)
{
    stream_read_stop(e->s);
    stream_unread(e->s, STR("again"));
    end_abort(e);
}

/* In on_close the stream is still there to be asked and called, to no effect. */
static void poke_inside(struct end *e)
{
    stream_write(e->s, STR("late"));
    stream_close(e->s);
    stream_abort(e->s);
    stream_read_stop(e->s);
    stream_read_start(e->s);
    stream_unread(e->s, STR("late"));
    (void)stream_pending(e->s);
    (void)stream_loop(e->s);
}

static const struct {
    const char *name;
    void (*act)(struct end *e);
} acts[] = {
    {"close", close_inside},
    {"abort", abort_inside},
    {"close the other", close_other_inside},
    {"abort the other", abort_other_inside},
    {"write and close", write_and_close_inside},
    {"stop, put back and abort", stop_and_abort_inside},
};

static size_t acting;

static void act_on_data(struct end *e, struct str data)
{
    (void)data;
    e->in_call = true;
    acts[acting].act(e);
    e->in_call = false;
}

static void act_on_writable(struct end *e)
{
    acts[acting].act(e);
}

static void ends_from_inside_callbacks(join_fn *join)
{
    struct str data = noise(9, 300 << 10);

    for (acting = 0; acting < ARRAY_LEN(acts); acting++) {
        print_message("%s\n", acts[acting].name);
        struct rig *rig = rig_new(join);

        rig->b.data = act_on_data;
        rig->a.closed = rig->b.closed = poke_inside;
        end_write(&rig->b, STR("queued"));
        end_write(&rig->a, data);
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        if (rig->b.is_ended)
            assert_int_equal(rig->b.n_data, 1);
        rig_free(rig);

        rig = rig_new(join);
        rig->a.writable = act_on_writable;
        rig->a.closed = rig->b.closed = poke_inside;
        end_write(&rig->a, STR("hello"));
        RUN_UNTIL(rig->loop, rig->a.n_close && rig->b.n_close);
        assert_int_equal(rig->a.n_writable, 1);
        rig_free(rig);
    }
    str_free(&data);
}

static void hand_over(struct end *e, struct str data)
{
    (void)data;
    end_take(e->other, e->s);
    e->s = NULL;
}

static void changes_hands_inside_a_callback(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct end third = {.got = BUF(1000)};
    struct end *b = &rig->b;

    b->data = hand_over;
    b->other = &third;
    end_write(&rig->a, STR("first"));
    RUN_UNTIL(rig->loop, b->got.len == 5);
    end_write(&rig->a, STR("second"));
    end_close(&rig->a);
    RUN_UNTIL(rig->loop, third.n_close);
    assert_str(buf_str(&third.got), STR("second"));
    assert_str(buf_str(&b->got), STR("first"));
    assert_int_equal(b->n_close, 0);
    b->n_close = 1; /* never told, as it should be */
    buf_fini(&third.got);
    rig_free(rig);
}

/* ---- Putting back ---- */

static void put_back_once(struct end *e, struct str data)
{
    if (e->n++ > 0)
        return;
    buf_clear(&e->got);
    stream_unread(e->s, data);
    assert_int_equal(e->n_data, 1); /* not from inside */
}

static void gives_back_what_was_put_back(join_fn *join)
{
    struct rig *rig = rig_new(join);

    rig->b.data = put_back_once;
    end_write(&rig->a, STR("hello, "));
    RUN_UNTIL(rig->loop, rig->b.n_data > 0);
    end_write(&rig->a, STR("world"));
    RUN_UNTIL(rig->loop, rig->b.got.len >= 12);
    assert_str(buf_str(&rig->b.got), STR("hello, world"));
    rig_free(rig);
}

static void puts_back_in_order(join_fn *join)
{
    struct rig *rig = rig_new(join);

    /* Twice: the later call puts its bytes in front. With reading stopped: kept. */
    stream_read_stop(rig->b.s);
    stream_unread(rig->b.s, STR("second "));
    stream_unread(rig->b.s, STR("first "));
    stream_unread(rig->b.s, STR(""));
    end_write(&rig->a, STR("third"));
    RUN_ROUNDS(rig->loop, 10);
    assert_int_equal(rig->b.n_data, 0);
    stream_read_start(rig->b.s);
    assert_int_equal(rig->b.n_data, 0);
    RUN_UNTIL(rig->loop, rig->b.got.len >= 18);
    assert_str(buf_str(&rig->b.got), STR("first second third"));
    rig_free(rig);
}

/* What was put back comes before the end, also when the end is already known. */
static void gives_back_before_the_end(join_fn *join)
{
    struct rig *rig = rig_new(join);

    rig->b.data = put_back_once;
    end_write(&rig->a, STR("all there is"));
    end_close(&rig->a);
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_str(buf_str(&rig->b.got), STR("all there is"));
    assert_false(rig->b.has_why);
    rig_free(rig);

    rig = rig_new(join);
    stream_read_stop(rig->b.s);
    stream_unread(rig->b.s, STR("kept"));
    end_close(&rig->a);
    RUN_UNTIL(rig->loop, rig->a.n_close);
    RUN_ROUNDS(rig->loop, 10);
    assert_int_equal(rig->b.n_close, 0);
    /* It may still be written to, closed... */
    end_write(&rig->b, STR("to nobody"));
    stream_read_start(rig->b.s);
    RUN_UNTIL(rig->loop, rig->b.n_close);
    assert_str(buf_str(&rig->b.got), STR("kept"));
    rig_free(rig);

    for (int how = 0; how < 3; how++) {
        rig = rig_new(join);
        stream_read_stop(rig->b.s);
        stream_unread(rig->b.s, STR("kept"));
        end_close(&rig->a);
        RUN_UNTIL(rig->loop, rig->a.n_close);
        RUN_ROUNDS(rig->loop, 10);
        end_write(&rig->b, STR("to nobody"));
        if (how == 0)
            end_close(&rig->b);
        else if (how == 1)
            end_abort(&rig->b);
        if (how < 2)
            RUN_UNTIL(rig->loop, rig->b.n_close);
        rig_free(rig);
    }
}

/* Data waits for a consumer that is set later. */
static void waits_for_a_consumer(join_fn *join)
{
    struct rig *rig = rig_new(join);
    struct stream *s = rig->b.s;

    stream_set_events(s, NULL, NULL);
    end_write(&rig->a, STR("early"));
    RUN_ROUNDS(rig->loop, 10);
    end_take(&rig->b, s);
    RUN_UNTIL(rig->loop, rig->b.got.len == 5);
    rig_free(rig);
}

static const struct {
    const char *name;
    void (*run)(join_fn *join);
} laws[] = {
    {"moves megabytes both ways", moves_megabytes_both_ways},
    {"waits for a slow reader", waits_for_a_slow_reader},
    {"tells of an empty queue once", tells_of_an_empty_queue_once},
    {"flushes", flushes},
    {"closes after what is queued", closes_after_what_is_queued},
    {"aborts with what is queued", aborts_with_what_is_queued},
    {"closes though nobody reads", closes_though_nobody_reads},
    {"keeps what came before the end", keeps_what_came_before_the_end},
    {"ends when the peer does", ends_when_the_peer_does},
    {"limits what is queued", limits_what_is_queued},
    {"frees with everything open", frees_with_everything_open},
    {"ends from inside callbacks", ends_from_inside_callbacks},
    {"changes hands inside a callback", changes_hands_inside_a_callback},
    {"gives back what was put back", gives_back_what_was_put_back},
    {"puts back in order", puts_back_in_order},
    {"gives back before the end", gives_back_before_the_end},
    {"waits for a consumer", waits_for_a_consumer},
};

struct trial {
    join_fn *join;
    void (*run)(join_fn *join);
    char name[64];
};

static void keeps_the_law(void **state)
{
    const struct trial *t = *state;

    t->run(t->join);
}

int main(void)
{
    static struct trial trials[ARRAY_LEN(joins) * ARRAY_LEN(laws)];
    static struct CMUnitTest tests[ARRAY_LEN(trials)];

    for (size_t i = 0; i < ARRAY_LEN(trials); i++) {
        trials[i].join = joins[i % ARRAY_LEN(joins)].join;
        trials[i].run = laws[i / ARRAY_LEN(joins)].run;
        (void)snprintf(trials[i].name, sizeof(trials[i].name), "%s: %s",
                       joins[i % ARRAY_LEN(joins)].name, laws[i / ARRAY_LEN(joins)].name);
        tests[i] = (struct CMUnitTest){
            .name = trials[i].name, .test_func = keeps_the_law, .initial_state = &trials[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
