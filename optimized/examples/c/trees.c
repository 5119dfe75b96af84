/* Binary trees on the heap, in C: two threads grow them, and each hands half of its own to the other to be counted.
 *
 * What a function holds across an allocation it holds in a slot. What goes from one thread to the other goes through a field
 * of an object that a global holds; there the collector sees it.
 *
 *     cargo rustc -p heaplaw-optimized --release --features c --crate-type staticlib
 *     cc -I optimized/include optimized/examples/c/trees.c target/release/libheaplaw_optimized.a -lpthread -ldl -lm
 */
#include "heaplaw.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 12, ROUNDS = 100, THREADS = 2, POST = 0 };

/* Ends the program if something does not hold. */
#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s (%d: %s)\n", __FILE__, __LINE__, #holds, heaplaw_error(), heaplaw_message());   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A tree of this depth, from the leaves up. The caller has it in no slot yet. */
static heaplaw_ref grow(const heaplaw_mutator *me, int depth)
{
    size_t left = 0;
    if (depth > 0) {
        left = heaplaw_push(me, grow(me, depth - 1));
        heaplaw_push(me, grow(me, depth - 1));
    }
    heaplaw_ref tree = heaplaw_alloc(me, 2, 0);
    CHECK(tree != HEAPLAW_NIL);
    if (depth > 0) {
        heaplaw_store(me, tree, 0, heaplaw_get(me, left));
        heaplaw_store(me, tree, 1, heaplaw_get(me, left + 1));
        heaplaw_pop_to(me, left);
    }
    return tree;
}

/* How many nodes it has. No safepoint. */
static long count(const heaplaw_mutator *me, heaplaw_ref tree)
{
    return tree == HEAPLAW_NIL ? 0 : 1 + count(me, heaplaw_load(me, tree, 0)) + count(me, heaplaw_load(me, tree, 1));
}

/* What a thread is given, and what it gives back. */
struct work {
    heaplaw_heap *heap;
    size_t number;
    long counted;
};

static void *run(void *argument)
{
    struct work *work = argument;
    heaplaw_mutator *me = heaplaw_join(work->heap);
    CHECK(me && heaplaw_enter(me) == HEAPLAW_OK);
    /* The post has a box for each thread. The global keeps it, so it needs no slot. */
    heaplaw_ref post = heaplaw_global(me, POST);
    for (int round = 0; round < ROUNDS; round++) {
        size_t own = heaplaw_push(me, grow(me, DEPTH));
        /* Lays half of the tree, which keeps it, into the other's box when that is empty; waits for a half of the other's. */
        heaplaw_ref nothing = HEAPLAW_NIL, half = heaplaw_load(me, heaplaw_get(me, own), 0), theirs;
        size_t other = (work->number + 1) % THREADS;
        while (heaplaw_cas(me, post, other, &nothing, half) == HEAPLAW_CHANGED) {
            nothing = HEAPLAW_NIL;
            CHECK(heaplaw_park(me) == HEAPLAW_OK);
            sched_yield();
            CHECK(heaplaw_enter(me) == HEAPLAW_OK);
        }
        while ((theirs = heaplaw_swap(me, post, work->number, HEAPLAW_NIL)) == HEAPLAW_NIL) {
            CHECK(heaplaw_park(me) == HEAPLAW_OK);
            sched_yield();
            CHECK(heaplaw_enter(me) == HEAPLAW_OK);
        }
        work->counted += count(me, theirs);
        CHECK(heaplaw_pop_to(me, own) == HEAPLAW_OK);
    }
    CHECK(heaplaw_leave(me) == HEAPLAW_OK);
    return NULL;
}

/* A thread that uses another's mutator. */
static void *stranger(void *argument)
{
    heaplaw_mutator *theirs = argument;
    CHECK(heaplaw_alloc(theirs, 1, 0) == 0 && heaplaw_error() == HEAPLAW_OTHER_THREAD);
    CHECK(heaplaw_enter(theirs) == HEAPLAW_OTHER_THREAD && heaplaw_park(theirs) == HEAPLAW_OTHER_THREAD);
    CHECK(heaplaw_collect(theirs) == HEAPLAW_OTHER_THREAD && heaplaw_leave(theirs) == HEAPLAW_OTHER_THREAD);
    return NULL;
}

/* What is refused, and how that is told. */
static void mistakes(heaplaw_heap *heap)
{
    heaplaw_mutator *me = heaplaw_join(heap);
    CHECK(heaplaw_alloc(me, 1, 0) == 0 && heaplaw_error() == HEAPLAW_NOT_RUNNING);
    CHECK(heaplaw_enter(me) == HEAPLAW_OK && heaplaw_enter(me) == HEAPLAW_RUNNING);
    CHECK(heaplaw_load(me, 4096, 0) == 0 && heaplaw_error() == HEAPLAW_NO_PLACE);
    CHECK(heaplaw_load(me, SIZE_MAX, SIZE_MAX) == 0 && heaplaw_store(me, 0, 0, 0) == HEAPLAW_NO_PLACE);
    CHECK(heaplaw_read(me, 8, 8, heap, SIZE_MAX) == HEAPLAW_NO_PLACE);
    CHECK(heaplaw_set(me, 0, 0) == HEAPLAW_NO_PLACE && heaplaw_set_global(me, 16, 0) == HEAPLAW_NO_PLACE);
    CHECK(heaplaw_alloc(me, 0, SIZE_MAX) == 0 && heaplaw_error() == HEAPLAW_NO_MEMORY);
    CHECK(heaplaw_enter(NULL) == HEAPLAW_NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, stranger, me) == 0 && pthread_join(thread, NULL) == 0);
    /* What was refused there is not this thread's. */
    printf("refused: %s\n", heaplaw_message());
    /* Data, and numbers where references may stand. */
    heaplaw_ref object = heaplaw_alloc(me, 1, 16);
    char text[6] = "";
    CHECK(heaplaw_write(me, object, 9, "hello", 6) == HEAPLAW_OK && heaplaw_read(me, object, 9, text, 6) == HEAPLAW_OK);
    CHECK(heaplaw_set_word(me, object, 2, 5) == HEAPLAW_OK && heaplaw_word(me, object, 2) == 5);
    CHECK(heaplaw_store(me, object, 0, 7) == HEAPLAW_OK && heaplaw_push(me, object) == 0);
    CHECK(heaplaw_collect(me) == HEAPLAW_OK && heaplaw_load(me, object, 0) == 7);
    printf("kept: %s\n", text);
    CHECK(heaplaw_leave(me) == HEAPLAW_OK);
}

int main(void)
{
    heaplaw_config config = {.workers = 1};
    heaplaw_heap *heap = heaplaw_create(&config);
    CHECK(heap);
    mistakes(heap);

    heaplaw_mutator *me = heaplaw_join(heap);
    CHECK(heaplaw_enter(me) == HEAPLAW_OK);
    CHECK(heaplaw_set_global(me, POST, heaplaw_alloc(me, THREADS, 0)) == HEAPLAW_OK);
    CHECK(heaplaw_park(me) == HEAPLAW_OK);
    struct work work[THREADS];
    pthread_t threads[THREADS];
    for (size_t number = 0; number < THREADS; number++) {
        work[number] = (struct work){heap, number, 0};
        CHECK(pthread_create(&threads[number], NULL, run, &work[number]) == 0);
    }
    for (size_t number = 0; number < THREADS; number++) {
        CHECK(pthread_join(threads[number], NULL) == 0);
        printf("thread %zu counted %ld nodes of the other\n", number, work[number].counted);
        CHECK(work[number].counted == ROUNDS * ((1L << DEPTH) - 1));
    }

    heaplaw_stats stats;
    char line[200];
    CHECK(heaplaw_collect(me) == HEAPLAW_OK && heaplaw_get_stats(heap, &stats) == HEAPLAW_OK);
    CHECK(heaplaw_trace(heap, line, sizeof line) > 0);
    printf("objects left: %zu\n", stats.objects);
    fprintf(stderr, "%zu cycles, the last: %s\n", stats.cycles, line);
    CHECK(stats.objects == 1 && stats.cycles > 1);
    CHECK(heaplaw_leave(me) == HEAPLAW_OK);
    heaplaw_destroy(heap);
    return 0;
}
