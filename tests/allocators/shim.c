/* A C allocator, right or wrong on purpose: one list of free blocks for each multiple of 16 bytes, cut from a mapping.
 *
 * Compiled with -D and the name of a fault, it is wrong now and then, as an allocator with a mistake is. */

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What it does wrong is seen, and then it hangs. */
#ifdef LINGERS
#define MISALIGNS
#endif

#define EXPORT __attribute__((visibility("default")))
#define LISTS (1 << 16)

/* What precedes a block: its bytes, and while it is free the next one in its list. */
struct header {
    size_t size;
    struct header *next;
};

/* Threads wait for one another, unless it is a mistake not to. */
static int locked;

static void lock(void) {
#ifndef RACES
    while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) {
    }
#endif
}

static void unlock(void) { __atomic_store_n(&locked, 0, __ATOMIC_RELEASE); }

static char *cursor, *end;
static struct header *lists[LISTS];
static unsigned long requests;

static void *take_alone(size_t wanted, size_t alignment) {
    size_t size = (wanted + 15) / 16 * 16;
    requests++;
#ifdef LINGERS
    while (requests > 3000) pause();
#endif
    if (size < wanted || size > (size_t)1 << 40) {
        errno = ENOMEM;
        return NULL;
    }
#ifdef CRASHES
    if (wanted >= 3000) raise(SIGSEGV);
#endif
#ifdef OVERLAPS
    static void *last;
    if (requests % 5 == 0 && last && ((struct header *)last - 1)->size >= size) return last;
#endif
    struct header *found = NULL;
    if (size / 16 < LISTS && alignment <= 16 && (found = lists[size / 16])) {
        lists[size / 16] = found->next;
    } else {
        uintptr_t at = ((uintptr_t)cursor + sizeof *found + alignment - 1) / alignment * alignment;
        if (at + size > (uintptr_t)end) {
            size_t room = size + alignment + ((size_t)1 << 16);
            void *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#ifdef SULKS
            static int sulks;
            sulks |= map == MAP_FAILED;
            if (sulks) return NULL;
#endif
#ifdef ABORTS
            if (map == MAP_FAILED) abort();
#endif
            if (map == MAP_FAILED) return NULL;
            cursor = map;
            end = cursor + room;
            at = ((uintptr_t)cursor + sizeof *found + alignment - 1) / alignment * alignment;
        }
        found = (struct header *)(at - sizeof *found);
        cursor = (char *)(at + size);
        found->size = size;
    }
#ifdef OVERLAPS
    last = found + 1;
#endif
#ifdef MISALIGNS
    if (requests % 5 == 0 && size > wanted + 4) return (char *)(found + 1) + 4;
#endif
    return found + 1;
}

static void *take(size_t wanted, size_t alignment) {
    lock();
    void *block = take_alone(wanted, alignment);
#ifdef SCRIBBLES
    /* The last byte of a block that was asked for with room to spare. */
    static struct header *roomy;
    if (roomy && requests % 7 == 0) ((char *)(roomy + 1))[roomy->size - 1] ^= 1;
    if (block && wanted % 16 != 0) roomy = (struct header *)block - 1;
#endif
    unlock();
    return block;
}

EXPORT void *malloc(size_t size) { return take(size, 16); }

EXPORT void free(void *block) {
    if (!block) return;
#ifdef MISALIGNS
    block = (void *)((uintptr_t)block / 16 * 16);
#endif
    struct header *header = (struct header *)block - 1;
    if (header->size / 16 >= LISTS) {
        return; /* A MiB is never used again. */
    }
    lock();
    header->next = lists[header->size / 16];
    lists[header->size / 16] = header;
    unlock();
}

EXPORT void *calloc(size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) return NULL;
    void *block = take(size, 16);
#ifdef DIRTY
    if (requests % 3 == 0) return block;
#endif
    return block ? memset(block, 0, size) : NULL;
}

EXPORT size_t malloc_usable_size(void *block) {
    if (!block) return 0;
#ifdef MISALIGNS
    block = (void *)((uintptr_t)block / 16 * 16);
#endif
    size_t size = ((struct header *)block - 1)->size;
#ifdef SHORT
    if (requests % 3 == 0) return size - 16;
#endif
    return size;
}

EXPORT void *realloc(void *block, size_t size) {
    void *fresh = take(size, 16);
    if (block && fresh) {
        size_t old = malloc_usable_size(block);
        memcpy(fresh, block, old < size ? old : size);
        free(block);
    }
    return fresh;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
#ifdef IGNORES_ALIGNMENT
    alignment = 16;
#endif
    return take(size, alignment < 16 ? 16 : alignment);
}

EXPORT void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

EXPORT int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = aligned_alloc(alignment, size);
    return *block ? 0 : ENOMEM;
}
