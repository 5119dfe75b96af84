/* heaplaw: a garbage-collected heap in C.
 *
 * A heap hands out objects, of any number of threads, and frees those that can no longer be reached. Objects do not move.
 * The collector works while the program does; it never stops all threads.
 *
 *     heaplaw_heap *heap = heaplaw_create(NULL);
 *     heaplaw_mutator *me = heaplaw_join(heap);
 *     heaplaw_enter(me);
 *     size_t list = heaplaw_push(me, HEAPLAW_NIL);               // a root slot: what it holds stays
 *     for (int i = 0; i < 10; i++) {
 *         heaplaw_ref node = heaplaw_alloc(me, 1, sizeof i);     // one field, and room for a number
 *         heaplaw_store(me, node, 0, heaplaw_get(me, list));
 *         heaplaw_write(me, node, sizeof(heaplaw_ref), &i, sizeof i);
 *         heaplaw_set(me, list, node);
 *     }
 *     heaplaw_leave(me);
 *     heaplaw_destroy(heap);
 *
 * OBJECTS. An object is a run of words: first its pointer fields, counted from 0, then bytes of data. All of it is zero at
 * first. It is named by its address, a heaplaw_ref; 0 is nil. Go through these functions to reach it, not through a pointer
 * of your own: stores of pointers have to be seen by the collector, and other threads may look at the same time.
 *
 * SAFEPOINTS. heaplaw_alloc, heaplaw_safepoint, heaplaw_enter, heaplaw_park and heaplaw_collect are safepoints. At one, an
 * object may be freed that cannot be reached from a slot, from a global, or from an object that can. So what you hold in a
 * variable across a safepoint you must also hold in a slot. What heaplaw_alloc has just given is safe until the next one.
 *
 * NUMBERS. A word that is odd is no reference, and is left alone wherever a reference may stand: in fields, slots and
 * globals. So small integers need no object.
 *
 * THREADS. A thread takes part as a mutator: one joins, or is handed one that is parked. A mutator runs between heaplaw_enter
 * and heaplaw_park, on the thread that entered. While it runs the collector waits for its safepoints: so a loop that
 * allocates nothing needs a heaplaw_safepoint, and what blocks or takes long belongs between heaplaw_park and heaplaw_enter.
 * Slots stay when it parks. A thread must not wait for the collector, in heaplaw_collect, while another mutator of the same
 * heap runs on it. References go from one thread to another through fields and globals, not through variables.
 * Functions that take a heap may be called by any thread at any time.
 *
 * MISTAKES. A function that is refused has done nothing. It gives a code, or, if it has something else to give, 0 or NULL
 * (heaplaw_push: SIZE_MAX); then heaplaw_error() has the code, and heaplaw_message() says it in words. Both are the thread's
 * own, and stay until it is refused again: what succeeds does not reset them. What is checked: that handles and pointers
 * are not NULL, that the mutator runs, and on this thread, that slots and globals exist, and that the heap has memory where
 * an object is read or written. What is not: that a reference is one of an object that is still there, with so many fields.
 * A stale one reads nonsense or damages other objects, never memory that is not the heap's. A handle that was given back
 * must not be used again. If the C library has no memory for what is kept of mutators, the process ends.
 *
 * A whole program is examples/c/trees.c.
 *
 * To build: cargo rustc -p heaplaw-optimized --release --features c --crate-type staticlib
 * To link:  cc program.c libheaplaw_optimized.a -lpthread -ldl -lm
 */
#ifndef HEAPLAW_H
#define HEAPLAW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A heap. */
typedef struct heaplaw_heap heaplaw_heap;

/* One of the threads of control that share a heap. */
typedef struct heaplaw_mutator heaplaw_mutator;

/* The address of an object; or HEAPLAW_NIL; or an odd number. */
typedef uintptr_t heaplaw_ref;

#define HEAPLAW_NIL ((heaplaw_ref)0)

/* Why a function was refused. */
enum heaplaw_code {
    HEAPLAW_OK,           /* it was not */
    HEAPLAW_NULL,         /* a handle or a pointer is NULL */
    HEAPLAW_NOT_RUNNING,  /* the mutator is parked: heaplaw_enter comes first */
    HEAPLAW_RUNNING,      /* the mutator runs already */
    HEAPLAW_OTHER_THREAD, /* the mutator runs on another thread */
    HEAPLAW_NO_MEMORY,    /* no room for the object; a heap that collects by itself has tried */
    HEAPLAW_OS,           /* the kernel refused */
    HEAPLAW_NO_PLACE,     /* no such slot or global, or no memory of the heap there */
    HEAPLAW_CHANGED,      /* heaplaw_cas: the field holds something else; heaplaw_error() does not tell of this */
    HEAPLAW_CORRUPT       /* heaplaw_verify: the heap is damaged; a bug in heaplaw */
};

/* What a heap is made with. Zero is the default, for each. */
struct heaplaw_config {
    size_t reservation; /* bytes of addresses to reserve, beyond which it never grows: 1 GiB; they cost nothing until used */
    size_t limit;       /* bytes of memory to take at most: the reservation */
    size_t globals;     /* how many globals there are: 16 */
    size_t soft_limit;  /* bytes of memory to keep to, if collecting can: none (Go: GOMEMLIMIT) */
    unsigned workers;   /* threads that collect in the background: none, so that it collects if told to, or if paced */
    int gogc;           /* growth in per cent until the end of the next cycle: 100; less than 0 for never (Go: GOGC) */
    int paced;          /* whether a heap without workers collects by itself, in the threads that allocate: no */
};
typedef struct heaplaw_config heaplaw_config;

/* How much there is. */
struct heaplaw_stats {
    size_t objects;  /* allocated and not yet freed */
    size_t bytes;    /* their bytes, rounded up as they were */
    size_t in_use;   /* bytes of the pages that hold them */
    size_t mapped;   /* bytes of memory taken from the kernel */
    size_t released; /* of these, bytes with no memory behind them now */
    size_t cycles;   /* which cycle was the last */
};
typedef struct heaplaw_stats heaplaw_stats;

/* ---- mistakes */

/* The code of what was refused last on this thread; HEAPLAW_OK if nothing ever was. */
int heaplaw_error(void);

/* The same in words, until something else is refused. Not to be freed. */
const char *heaplaw_message(void);

/* ---- heaps */

/* A new heap; NULL if the kernel refuses. A config of NULL is the default. */
heaplaw_heap *heaplaw_create(const heaplaw_config *config);

/* Gives a heap back. Its memory goes when the last of its mutators has left too. NULL does nothing. */
void heaplaw_destroy(heaplaw_heap *heap);

/* Tells how much there is: exact if nobody allocates or collects meanwhile. */
int heaplaw_get_stats(const heaplaw_heap *heap, heaplaw_stats *into);

/* Writes a line about the last cycle, in the words of Go's gctrace, cut to `size` bytes with the zero at its end; gives how
 * long the whole line is, 0 if there was no cycle. As snprintf: buffer may be NULL. */
size_t heaplaw_trace(const heaplaw_heap *heap, char *buffer, size_t size);

/* Checks all that the heap believes about itself, while no mutator runs and nobody collects. Slow. */
int heaplaw_verify(const heaplaw_heap *heap);

/* ---- mutators */

/* A new mutator, which is parked and has no slots. */
heaplaw_mutator *heaplaw_join(const heaplaw_heap *heap);

/* Gives a mutator back, parked or running on this thread, and with it all its slots. */
int heaplaw_leave(heaplaw_mutator *mutator);

/* Begins to run on this thread. A safepoint. */
int heaplaw_enter(const heaplaw_mutator *mutator);

/* Ceases to run; another thread may enter then. A safepoint, and all the time until the next heaplaw_enter is one. */
int heaplaw_park(const heaplaw_mutator *mutator);

/* Lets the collector have what it asks for. */
int heaplaw_safepoint(const heaplaw_mutator *mutator);

/* Runs a whole cycle: all that cannot be reached is freed. The mutator may run or be parked. */
int heaplaw_collect(const heaplaw_mutator *mutator);

/* ---- objects. The mutator must be running, here and below. */

/* A new object of so many pointer fields and so many bytes of data after them; 0 if there is no room. A safepoint. */
heaplaw_ref heaplaw_alloc(const heaplaw_mutator *mutator, size_t pointers, size_t bytes);

/* What a pointer field holds. */
heaplaw_ref heaplaw_load(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index);

/* Stores a reference in a pointer field. Who loads it sees the object as it was then. */
int heaplaw_store(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index, heaplaw_ref value);

/* The same, and gives what the field held, in one step for all threads. */
heaplaw_ref heaplaw_swap(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index, heaplaw_ref value);

/* The same, if the field holds *expected. If not, gives HEAPLAW_CHANGED, and *expected is what it holds. */
int heaplaw_cas(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index, heaplaw_ref *expected, heaplaw_ref value);

/* A word of an object's data. Counted from the start of the object: the first has the number `pointers`. */
uintptr_t heaplaw_word(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index);

/* Overwrites it. Not for references. */
int heaplaw_set_word(const heaplaw_mutator *mutator, heaplaw_ref object, size_t index, uintptr_t value);

/* Reads bytes of an object, from `at` on, counted from its start: the data begins at pointers * sizeof(heaplaw_ref). */
int heaplaw_read(const heaplaw_mutator *mutator, heaplaw_ref object, size_t at, void *data, size_t size);

/* Overwrites them. Not for references. */
int heaplaw_write(const heaplaw_mutator *mutator, heaplaw_ref object, size_t at, const void *data, size_t size);

/* ---- slots: the mutator's own roots, a stack */

/* Pushes a slot that holds this; gives its number, counted from 0. SIZE_MAX if refused. */
size_t heaplaw_push(const heaplaw_mutator *mutator, heaplaw_ref value);

/* What a slot holds. */
heaplaw_ref heaplaw_get(const heaplaw_mutator *mutator, size_t slot);

/* Overwrites a slot. */
int heaplaw_set(const heaplaw_mutator *mutator, size_t slot, heaplaw_ref value);

/* Pops this slot and all above it. */
int heaplaw_pop_to(const heaplaw_mutator *mutator, size_t slot);

/* ---- globals: roots that all mutators share */

/* What a global holds. */
heaplaw_ref heaplaw_global(const heaplaw_mutator *mutator, size_t index);

/* Stores a reference in a global. */
int heaplaw_set_global(const heaplaw_mutator *mutator, size_t index, heaplaw_ref value);

#ifdef __cplusplus
}
#endif

#endif
