/* The worker pool: a queue, its threads, and a message back to the loop that asked. */

#include <pthread.h>

#include "core/mem.h"
#include "net/loop.h"

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct worker_job *first, **tail;
    bool is_ending;
    pthread_t *threads;
    size_t n_threads;
};

static void report(struct loop_message *msg)
{
    struct worker_job *job = CONTAINER_OF(msg, struct worker_job, message);

    job->done(job);
}

static struct worker_job *take(struct worker_pool *pool)
{
    struct worker_job *job;

    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->is_ending)
        (void)pthread_cond_wait(&pool->more, &pool->lock);
    job = pool->first;
    if (job) {
        pool->first = job->next;
        if (!pool->first)
            pool->tail = &pool->first;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *worker_main(void *arg)
{
    struct worker_pool *pool = arg;

    (void)pthread_setname_np(pthread_self(), "worker");
    for (struct worker_job *job = take(pool); job; job = take(pool)) {
        job->work(job);
        job->message = (struct loop_message){.run = report};
        loop_post(job->loop, &job->message);
    }
    return NULL;
}

int worker_pool_new(size_t threads, struct worker_pool **out, struct err *err)
{
    struct worker_pool *pool = NEW(struct worker_pool);

    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->more, NULL);
    pool->tail = &pool->first;
    pool->threads = mem_alloc_array(threads, sizeof(*pool->threads));
    for (size_t i = 0; i < threads; i++) {
        int status = pthread_create(&pool->threads[i], NULL, worker_main, pool);

        if (status != 0) {
            worker_pool_free(pool);
            return err_sys(err, status, "starting a worker thread");
        }
        pool->n_threads++;
    }
    *out = pool;
    return 0;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_ending = true;
    (void)pthread_cond_broadcast(&pool->more);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n_threads; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->more);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
}

void worker_submit(struct worker_pool *pool, struct worker_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    *pool->tail = job;
    pool->tail = &job->next;
    (void)pthread_cond_signal(&pool->more);
    (void)pthread_mutex_unlock(&pool->lock);
}
