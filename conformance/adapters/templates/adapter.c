/* An adapter to start from: cc -o adapter adapter.c && heaplaw check -- ./adapter
 *
 * Each line that comes in is answered by a line. This heap allocates and never frees, so it claims next to nothing and
 * few laws apply; `your heap here` marks what to replace. Then claim more in `HELLO`, one word at a time, and look
 * again: collect steps mutators addresses stats frees phases colors batch invariant=weak, and then perhaps weak
 * finalizers cleanups abort faults clock.
 * The protocol is told in conformance/adapters/README.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO "heap my-heap addresses"

struct object { uint64_t pointers, bytes; struct object *fields[]; }; /* then the data */

static struct object *roots[4][16], *globals[4]; /* what your collector has to take for its roots */
static uint64_t region[1 << 20], top, stamp; /* 8 MiB to allocate from */

static struct object **slot(int by, const char *name) { /* `r1`, `r1.2` or `g0` */
    char *end;
    unsigned long number = strtoul(name + 1, &end, 10);
    if (name[0] == 'g') return &globals[number % 4];
    struct object **root = &roots[by][number % 16];
    return *end == '.' ? &(*root)->fields[strtoul(end + 1, NULL, 10)] : root;
}

static void store(struct object **place, struct object *value) {
    *place = value; /* your heap here: the write barrier */
}

static unsigned char *data(struct object *object) { return (unsigned char *)(object->fields + object->pointers); }

static void fill(struct object *object) { /* with the number `stamp`, eight little-endian bytes again and again */
    for (uint64_t i = 0; i < object->bytes; i++) data(object)[i] = (unsigned char)(stamp >> i % 8 * 8);
}

static void print_content(const unsigned char *bytes, uint64_t length) { /* the number that fills these bytes */
    uint64_t found = 0;
    for (uint64_t i = 0; i < length && i < 8; i++) found |= (uint64_t)bytes[i] << 8 * i;
    for (uint64_t i = 8; i < length; i++)
        if (bytes[i] != bytes[i - 8]) { printf("torn@%" PRIu64, i); return; }
    printf("%" PRIu64, found);
}

static void alloc(int by, const char *into, uint64_t pointers, uint64_t bytes) {
    uint64_t size = pointers + (bytes + 7) / 8 + !(pointers + bytes), words = size + sizeof(struct object) / 8;
    stamp++;
    if (words > sizeof region / 8 - top) { printf("full"); return; }
    struct object *object = (struct object *)&region[top]; /* your heap here */
    top += words;
    *object = (struct object){.pointers = pointers, .bytes = bytes};
    printf("at %" PRIuPTR " %" PRIu64 " ", (uintptr_t)object->fields, 8 * size);
    print_content((unsigned char *)object->fields, 8 * pointers + bytes); /* before it is filled */
    fill(object);
    *slot(by, into) = object;
}

static void mutate(int by, const char *verb, const char *a, const char *b, const char *c) {
    if (!strcmp(verb, "alloc")) { alloc(by, a, strtoul(b, NULL, 10), strtoul(c, NULL, 10)); return; }
    if (!strcmp(verb, "load")) {
        struct object *value = *slot(by, a) = *slot(by, b);
        if (value) printf("ref %" PRIuPTR, (uintptr_t)value->fields); else printf("nil");
        return;
    }
    if (!strcmp(verb, "read")) {
        printf("data ");
        print_content(data(*slot(by, a)), (*slot(by, a))->bytes);
        return;
    }
    if (!strcmp(verb, "store")) store(slot(by, a), strcmp(b, "nil") ? *slot(by, b) : NULL);
    else if (!strcmp(verb, "copy")) *slot(by, a) = *slot(by, b);
    else if (!strcmp(verb, "clear")) *slot(by, a) = NULL;
    else if (!strcmp(verb, "write")) stamp++, fill(*slot(by, a));
    else if (!strcmp(verb, "wipe")) for (long i = 0; i < atol(b); i++) store(slot(by, a) + i, NULL);
    else if (!strcmp(verb, "move")) /* your heap here: a barrier for each */
        memmove(slot(by, a), slot(by, b), strtoul(c, NULL, 10) * sizeof(struct object *));
    else if (strcmp(verb, "safepoint")) {
        printf("unknown"); /* your heap here: join exit send park unpark; weak strong finalizer finalize cleanup clean */
        return;
    }
    printf("ok");
}

static void collect(const char *verb, const char *operand) {
    (void)verb, (void)operand; /* your heap here: full, stats; start, handshake 0, mark 3, finish, sweep 3; abort */
    printf("unknown");
}

int main(void) {
    static char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        char who[8] = "", verb[16] = "", a[16] = "", b[16] = "", c[16] = "";
        line[strcspn(line, "#")] = '\0';
        if (sscanf(line, "%7s %15s %15s %15s %15s", who, verb, a, b, c) < 1) continue;
        if (!strcmp(who, "hello")) printf(HELLO);
        else if (!strcmp(who, "reset")) { /* your heap here: forget everything */
            memset(roots, 0, sizeof roots), memset(globals, 0, sizeof globals), memset(region, 0, 8 * top);
            top = stamp = 0;
            printf("ok");
        } else if (!strcmp(who, "gc")) collect(verb, a);
        else if (!strcmp(who, "env")) printf("unknown"); /* your heap here: fail 2, clock 1000 */
        else mutate(who[0] & 3, verb, a, b, c);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
