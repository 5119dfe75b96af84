/* A garbage-collected heap that speaks the text form: the template to copy for an adapter in C.
 *
 * A line comes in (`0 alloc r0 2 24`), the heap does what it says, a line goes out (`at 94029 40 0`), and with it what
 * the collector did meanwhile (`ok; shade 94029; stack 0`). That is the whole protocol: `answer`, and `main` at the
 * end. For a heap of your own keep these two and let `mutate` and `collect` call it. Claim less, and you need less.
 *
 * This heap marks in steps behind a hybrid barrier, scans each stack once, allocates black, and never moves an object.
 * Its objects are real memory: addresses are those of the process, and what is freed goes back to malloc. It claims all
 * there is to claim of such a collector: weak pointers, finalizers and cleanups have a part of their own, which can be
 * left out.
 *
 *     cc -std=c11 -O2 -Wall -Wextra -o heap heap.c
 *     heaplaw check -- ./heap
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOTS = 16, GLOBALS = 4, WEAKS = 4, MUTATORS = 4, WORDS = 6, LINE = 1 << 12 };
enum { LIMIT = 64 << 20 }; /* bytes: an allocation that would take the heap over this is refused */
enum { PERIOD = 120000 }; /* milliseconds: a cycle starts by itself if none has marked for longer */

#define HELLO \
    "heap heap.c collect steps mutators addresses stats frees phases colors barrier batch invariant=modified-weak " \
    "weak finalizers cleanups abort faults clock pauses incremental"

enum color { WHITE, GREY, BLACK };
enum phase { OFF, MARK, TERMINATE, SWEEP };

struct object {
    struct object *next; /* of all objects, the youngest first */
    struct object *behind; /* in the queue of grey ones */
    struct object *later; /* in the queue of those whose finalizer is due */
    uint64_t pointers, bytes, usable;
    uint64_t identity; /* of the weak pointers to it in this life; 0: none was made */
    enum color color;
    bool finalizer; /* it has one that is not due */
    struct object *fields[]; /* then the data; the object's address is where its fields begin */
};

struct cleanup {
    struct cleanup *next;
    struct object *of, *with; /* `of` is nil when the object is freed: the cleanup is due */
};

struct mutator {
    struct object *roots[ROOTS];
    bool joined, unscanned;
};

static struct {
    struct object *objects, *first_grey, *last_grey, **unswept; /* `unswept`: the link to the next object to sweep */
    struct object *globals[GLOBALS], *weak[WEAKS]; /* a weak slot is nil from its object's death on */
    struct object *first_dead, *last_dead; /* found dead, and kept for their finalizers, which are due */
    struct cleanup *cleanups;
    struct mutator mutators[MUTATORS];
    bool globals_unscanned;
    enum phase phase;
    uint64_t stamp, count, bytes, identities;
    uint64_t failing; /* which request for memory from now on is refused; 0: none */
    uint64_t clock, overdue; /* milliseconds: the time, and after when a cycle starts by itself; 0: never */
} heap;

/* ---- The line that goes out: the answer is printed at once, the events are kept for the end of the line. */

static char *events;
static size_t events_length, events_room;
static jmp_buf line_done;

static void tell(const char *format, ...) {
    if (events_room - events_length < 64) events = realloc(events, events_room += 4096);
    if (!events) abort();
    va_list rest;
    va_start(rest, format);
    events_length += (size_t)vsnprintf(events + events_length, 64, format, rest);
    va_end(rest);
}

static _Noreturn void give_up(const char *answer) { /* answers, and is done with the line */
    fputs(answer, stdout);
    longjmp(line_done, 1);
}

static uintptr_t address(const struct object *object) { return (uintptr_t)object->fields; }

/* The stamp that fills these bytes is printed, or the first byte that does not fit. */
static void print_content(const unsigned char *data, uint64_t length) {
    uint64_t stamp = 0;
    for (uint64_t i = 0; i < length && i < 8; i++) stamp |= (uint64_t)data[i] << 8 * i;
    for (uint64_t i = 8; i < length; i++)
        if (data[i] != data[i - 8]) {
            printf("torn@%" PRIu64, i);
            return;
        }
    printf("%" PRIu64, stamp);
}

/* ---- The collector. What is out of season is idle. */

static void enter(enum phase phase) {
    static const char *const names[] = {"off", "mark", "terminate", "sweep"};
    tell("; phase %s", names[heap.phase = phase]);
}

static void shade(struct object *object) {
    if (!object || object->color != WHITE) return;
    object->color = GREY;
    object->behind = NULL;
    heap.last_grey = *(heap.first_grey ? &heap.last_grey->behind : &heap.first_grey) = object;
    tell("; shade %" PRIuPTR, address(object));
}

static void shade_fields(struct object *object) {
    for (uint64_t i = 0; i < object->pointers; i++) shade(object->fields[i]);
}

static bool handshake(int by) {
    struct mutator *mutator = &heap.mutators[by];
    if (heap.phase != MARK || !mutator->unscanned) return false;
    for (int i = 0; i < ROOTS; i++) shade(mutator->roots[i]);
    mutator->unscanned = false;
    tell("; stack %d", by);
    return true;
}

static void shade_attached(void);
static bool keep(struct object *object);

static bool mark_step(void) {
    struct object *object = heap.first_grey;
    if (heap.phase != MARK) return false;
    if (heap.globals_unscanned) {
        for (int i = 0; i < GLOBALS; i++) shade(heap.globals[i]);
        shade_attached();
        heap.globals_unscanned = false;
        tell("; globals");
    } else if (object) {
        shade_fields(object);
        heap.first_grey = object->behind;
        object->color = BLACK;
        tell("; scan %" PRIuPTR, address(object));
    } else return false;
    return true;
}

static bool finish(void) {
    bool unscanned = heap.globals_unscanned;
    for (int by = 0; by < MUTATORS; by++) unscanned |= heap.mutators[by].unscanned;
    if (heap.phase != MARK || heap.first_grey || unscanned) return false;
    enter(TERMINATE);
    enter(SWEEP);
    heap.unswept = &heap.objects;
    heap.overdue = heap.clock + PERIOD;
    return true;
}

static bool give_up_marking(void) {
    if (heap.phase != MARK) return false;
    heap.first_grey = NULL;
    enter(OFF);
    return true;
}

static void release(struct object *object) {
    tell("; free %" PRIuPTR, address(object));
    for (struct cleanup *it = heap.cleanups; it; it = it->next)
        if (it->of == object) it->of = NULL;
    heap.count--;
    heap.bytes -= object->usable;
    free(object);
}

static bool sweep_step(void) {
    if (heap.phase != SWEEP) return false;
    struct object *object = *heap.unswept;
    if (!object) enter(OFF);
    else if (object->color != WHITE || keep(object)) heap.unswept = &object->next;
    else *heap.unswept = object->next, release(object);
    return true;
}

static bool start(void) {
    if (heap.phase == MARK) return false;
    while (sweep_step()) continue;
    for (struct object *object = heap.objects; object; object = object->next) object->color = WHITE;
    for (int by = 0; by < MUTATORS; by++) heap.mutators[by].unscanned = heap.mutators[by].joined;
    heap.globals_unscanned = true;
    enter(MARK);
    return true;
}

/* What mutators waited for, counted in roots that were looked at and mutators that were told. In `gc full` nobody counts. */
static void pause_all(void) {
    int joined = 0;
    for (int by = 0; by < MUTATORS; by++) joined += heap.mutators[by].joined;
    tell("; pause all %d", joined);
}

static void pause_one(int by) {
    int units = 1;
    for (int i = 0; i < ROOTS; i++) units += heap.mutators[by].roots[i] != NULL;
    tell("; pause %d %d", by, units);
}

static void full(void) {
    for (int cycles = heap.phase == MARK ? 2 : 1; cycles > 0; cycles--) { /* the one under way, then a whole one */
        start();
        for (int by = 0; by < MUTATORS; by++) handshake(by);
        while (mark_step()) continue;
        finish();
    }
    while (sweep_step()) continue;
}

static bool steps(bool step(void), const char *count) { /* until one finds nothing to do; whether any did */
    long taken = 0, most = strtol(count, NULL, 10);
    while (taken < most && step()) taken++;
    return taken > 0;
}

static void collect(char *const *words) {
    const char *verb = words[0], *operand = words[1];
    bool done = true;
    if (!strcmp(verb, "full")) full();
    else if (!strcmp(verb, "start")) done = start();
    else if (!strcmp(verb, "handshake")) done = handshake(atoi(operand) % MUTATORS);
    else if (!strcmp(verb, "mark")) done = steps(mark_step, operand);
    else if (!strcmp(verb, "finish")) done = finish();
    else if (!strcmp(verb, "sweep")) done = steps(sweep_step, operand);
    else if (!strcmp(verb, "abort")) done = give_up_marking();
    else if (strcmp(verb, "stats")) give_up("unknown");
    if (done && (!strcmp(verb, "start") || !strcmp(verb, "finish") || !strcmp(verb, "abort"))) pause_all();
    if (done && !strcmp(verb, "handshake")) pause_one(atoi(operand) % MUTATORS);
    if (strcmp(verb, "stats")) fputs(done ? "ok" : "idle", stdout);
    else printf("stats %" PRIu64 " %" PRIu64, heap.count, heap.bytes);
}

/* ---- Mutators. They name slots: `r1` on their stack, and the places `r1.2` and `g0`, which have a barrier. */

static struct object **slot(int by, const char *name) {
    char *end;
    uint64_t number = strtoul(name + 1, &end, 10);
    if (name[0] == 'g' && number < GLOBALS) return &heap.globals[number];
    if (name[0] != 'r' || number >= ROOTS) give_up("trap no such slot");
    struct object **root = &heap.mutators[by].roots[number];
    if (*end != '.') return root;
    uint64_t index = strtoul(end + 1, NULL, 10);
    if (!*root || index >= (*root)->pointers) give_up("trap no such field");
    return &(*root)->fields[index];
}

/* So many fields from this one on. Lines that were sent ahead may have been overtaken by an answer, so they can ask for
 * anything. */
static struct object **fields(int by, const char *name, uint64_t count) {
    struct object **first = slot(by, name), *object = heap.mutators[by].roots[strtoul(name + 1, NULL, 10) % ROOTS];
    if (!strchr(name, '.') || count > object->pointers - (uint64_t)(first - object->fields)) give_up("trap no such field");
    return first;
}

static struct object *held(int by, const char *root) {
    struct object *object = *slot(by, root);
    if (!object) give_up("trap the root is nil");
    return object;
}

static void store(struct object **place, struct object *value) {
    if (heap.phase == MARK) shade(*place), shade(value); /* the barrier: deletion, and insertion */
    *place = value;
}

static void fill(struct object *object) { /* with the next stamp */
    unsigned char *data = (unsigned char *)(object->fields + object->pointers);
    for (uint64_t i = 0; i < object->bytes; i++) data[i] = (unsigned char)(heap.stamp >> i % 8 * 8);
}

static void *request(size_t size) { /* zeroed memory, unless the environment refuses it */
    return heap.failing && --heap.failing == 0 ? NULL : calloc(1, size);
}

static void alloc(int by, const char *into, uint64_t pointers, uint64_t bytes) {
    heap.stamp++;
    uint64_t size = 8 * pointers + bytes, usable = size ? (size + 7) / 8 * 8 : 8;
    struct object *object = usable > LIMIT - heap.bytes ? NULL : request(sizeof *object + usable);
    if (!object) give_up("full");
    object->next = heap.objects, object->pointers = pointers, object->bytes = bytes, object->usable = usable;
    object->color = BLACK;
    heap.objects = *slot(by, into) = object;
    heap.count++, heap.bytes += usable;
    if (heap.unswept == &heap.objects) heap.unswept = &object->next; /* it is too young to be swept */
    printf("at %" PRIuPTR " %" PRIu64 " ", address(object), usable);
    print_content((unsigned char *)object->fields, size);
    if (heap.phase == MARK) fputs(" black", stdout);
    fill(object);
}

static void load(struct object **root, struct object *value) {
    *root = value;
    value ? printf("ref %" PRIuPTR, address(value)) : fputs("nil", stdout);
}

static void read_data(struct object *object) {
    fputs("data ", stdout);
    print_content((unsigned char *)(object->fields + object->pointers), object->bytes);
}

static void wipe(struct object **place, uint64_t count) {
    while (count--) store(place++, NULL);
}

/* The runs may overlap, so it begins at the end that is not yet overwritten. */
static void move(struct object **to, struct object **from, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = from < to ? count - 1 - i : i;
        store(to + at, from[at]);
    }
}

static struct object *handed_over(struct object *value) { /* onto a stack, and past the barrier of a store */
    if (heap.phase == MARK) shade(value);
    return value;
}

/* ---- What is attached to objects. To leave it out, leave this part out, and `weak finalizers cleanups` in `HELLO`. */

/* The roots that it adds, scanned with the globals: all that an object with a finalizer leads to, but not the object
 * itself; the objects whose finalizer is due; the arguments of cleanups. */
static void shade_attached(void) {
    for (struct object *object = heap.objects; object; object = object->next)
        if (object->finalizer) shade_fields(object);
    for (struct object *object = heap.first_dead; object; object = object->later) shade(object);
    for (struct cleanup *it = heap.cleanups; it; it = it->next) shade(it->with);
}

/* The sweep has found an object dead: no weak pointer finds it any more. Whether it stays, for its finalizer. */
static bool keep(struct object *object) {
    for (int i = 0; i < WEAKS; i++)
        if (heap.weak[i] == object) heap.weak[i] = NULL;
    object->identity = 0;
    if (!object->finalizer) return false;
    object->finalizer = false, object->color = BLACK, object->later = NULL;
    heap.last_dead = *(heap.first_dead ? &heap.last_dead->later : &heap.first_dead) = object;
    tell("; finalize %" PRIuPTR, address(object));
    return true;
}

static struct object **weak_slot(const char *name) {
    return &heap.weak[(name[1] - '0') % WEAKS];
}

static void make_weak(struct object **into, struct object *object) {
    if (!object->identity) object->identity = ++heap.identities;
    *into = object;
    printf("weak %" PRIu64, object->identity);
}

static struct object *found(struct object *object) { /* by a weak pointer: nothing, if it only waits to be swept */
    return object && heap.phase == SWEEP && object->color == WHITE ? NULL : object;
}

static void add_finalizer(struct object *object) {
    object->finalizer = true;
    if (heap.phase == MARK) shade_fields(object); /* the step that scans such roots may be over */
}

static void add_cleanup(struct object *of, struct object *with) {
    struct cleanup *cleanup = malloc(sizeof *cleanup);
    if (!cleanup) abort();
    *cleanup = (struct cleanup){heap.cleanups, of, handed_over(with)};
    heap.cleanups = cleanup;
}

static struct object *next_dead(void) {
    struct object *object = heap.first_dead;
    if (object) heap.first_dead = object->later;
    return object;
}

static struct object *next_argument(void) {
    struct cleanup **link = &heap.cleanups, *due;
    while (*link && (*link)->of) link = &(*link)->next;
    if (!(due = *link)) return NULL;
    struct object *argument = due->with;
    *link = due->next;
    free(due);
    return argument;
}

/* ---- Everything that a mutator can ask for. */

static void mutate(int by, char *const *words) {
    const char *verb = words[0], *a = words[1], *b = words[2], *c = words[3];
    uint64_t size = strtoul(b, NULL, 10), count = strtoul(c, NULL, 10); /* if they are numbers */
    if (by < 0 || by >= MUTATORS) give_up("unknown");
    if (!strcmp(verb, "alloc")) { alloc(by, a, size, count); return; }
    if (!strcmp(verb, "load")) { load(slot(by, a), *slot(by, b)); return; }
    if (!strcmp(verb, "read")) { read_data(held(by, a)); return; }
    if (!strcmp(verb, "weak")) { make_weak(weak_slot(a), held(by, b)); return; }
    if (!strcmp(verb, "strong")) { load(slot(by, a), handed_over(found(*weak_slot(b)))); return; }
    if (!strcmp(verb, "finalize")) { load(slot(by, a), handed_over(next_dead())); return; }
    if (!strcmp(verb, "clean")) { load(slot(by, a), handed_over(next_argument())); return; }
    if (!strcmp(verb, "store")) store(slot(by, a), strcmp(b, "nil") ? *slot(by, b) : NULL);
    else if (!strcmp(verb, "copy")) *slot(by, a) = *slot(by, b);
    else if (!strcmp(verb, "clear")) *slot(by, a) = NULL;
    else if (!strcmp(verb, "write")) heap.stamp++, fill(held(by, a));
    else if (!strcmp(verb, "wipe")) wipe(fields(by, a, size), size);
    else if (!strcmp(verb, "move")) move(fields(by, a, count), fields(by, b, count), count);
    else if (!strcmp(verb, "send")) *slot((b[0] - '0') % MUTATORS, b + 2) = handed_over(held(by, a));
    else if (!strcmp(verb, "finalizer")) add_finalizer(held(by, a));
    else if (!strcmp(verb, "cleanup")) add_cleanup(held(by, a), held(by, b));
    else if (!strcmp(verb, "join")) heap.mutators[by] = (struct mutator){.joined = true}; /* nothing there to scan */
    else if (!strcmp(verb, "exit")) heap.mutators[by] = (struct mutator){.joined = false};
    else if (strcmp(verb, "safepoint") && strcmp(verb, "park") && strcmp(verb, "unpark")) give_up("unknown");
    fputs("ok", stdout); /* any moment between two lines is a safepoint here, so the last three need nothing */
}

/* ---- The world around the heap. */

static void environment(char *const *words) {
    uint64_t number = strtoul(words[1], NULL, 10);
    if (!strcmp(words[0], "fail")) heap.failing = number;
    else if (!strcmp(words[0], "clock")) {
        heap.clock += number;
        if (heap.overdue && heap.clock > heap.overdue && start()) pause_all(); /* idle, if it is marking */
    } else give_up("unknown");
    fputs("ok", stdout);
}

/* ---- The protocol. */

static void reset(void) {
    for (struct object *object = heap.objects, *next; object; object = next) {
        next = object->next;
        free(object);
    }
    for (struct cleanup *it = heap.cleanups, *next; it; it = next) {
        next = it->next;
        free(it);
    }
    memset(&heap, 0, sizeof heap);
    heap.mutators[0].joined = true;
}

static void answer(char *line) {
    line[strcspn(line, "#\r")] = '\0';
    char *words[WORDS] = {"", "", "", "", "", ""}, *rest;
    int count = 0;
    for (char *word = strtok_r(line, " \t", &rest); word && count < WORDS; word = strtok_r(NULL, " \t", &rest))
        words[count++] = word;
    if (count == 0) return;
    events_length = 0;
    if (!strcmp(words[0], "hello"))
        fputs(HELLO, stdout);
    else if (!strcmp(words[0], "reset"))
        reset(), fputs("ok", stdout);
    else if (!setjmp(line_done)) { /* comes back here from `give_up` */
        if (!strcmp(words[0], "gc")) collect(words + 1);
        else if (!strcmp(words[0], "env")) environment(words + 1);
        else mutate(words[0][0] - '0', words + 1);
    }
    if (events_length) fwrite(events, 1, events_length, stdout);
    putchar('\n');
}

int main(void) {
    static char input[LINE + 1];
    size_t length = 0;
    reset();
    for (;;) {
        ssize_t more = read(STDIN_FILENO, input + length, LINE - length);
        if (more <= 0) break;
        length += (size_t)more;
        char *line = input;
        for (char *end; (end = memchr(line, '\n', length - (size_t)(line - input))); line = end + 1) {
            *end = '\0';
            answer(line);
        }
        length -= (size_t)(line - input);
        memmove(input, line, length);
        fflush(stdout); /* whatever has come in is answered; lines that come together are answered together */
    }
    input[length] = '\0';
    answer(input); /* a last line without a line feed */
    reset();
    free(events);
    return 0;
}
