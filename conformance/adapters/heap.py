#!/usr/bin/env python3
"""A garbage-collected heap that speaks the text form: the template to copy for an adapter in any language.

A line comes in (`0 alloc r0 2 24`), the heap does what it says, a line goes out (`at 4096 64 0`), and with it what the
collector did meanwhile (`ok; shade 4096; stack 0`). That is the whole protocol: `Heap.answer`, and the loop at the end.
For a heap of your own keep these two and let the `op_` and `gc_` methods call it. Claim less, and you need fewer.

This heap marks in steps behind a hybrid barrier, scans each stack once, allocates black, and never moves an object.
`--break NAME` seeds a fault from broken.py, `--list` shows them all.
"""
import collections, itertools, sys, types

NIL, BASE, LIMIT = 0, 4096, 64 << 20  # addresses: objects lie in BASE .. LIMIT

def stamped(stamp, length): return (stamp.to_bytes(8, "little") * (length // 8 + 1))[:length]

def content(data):  # the stamp that fills these bytes, or the first byte that does not fit
    stamp = int.from_bytes(data[:8], "little")
    if data == stamped(stamp, len(data)): return stamp
    return f"torn@{next(i for i, byte in enumerate(data) if byte != data[i % 8])}"

def run(place, count):  # `r1.2 3` means `r1.2`, `r1.3` and `r1.4`
    root, index = place.split(".")
    return [f"{root}.{i}" for i in range(int(index), int(index) + int(count))]

class Heap:
    hello = "heap heap.py collect steps mutators addresses stats frees phases colors invariant=modified-weak"

    def __init__(self):
        self.objects, self.globals, self.stacks = {}, [NIL] * 4, {0: [NIL] * 16}  # by address; -; by mutator
        self.top, self.free = BASE, collections.defaultdict(list)  # never handed out yet; given back, by size
        self.grey, self.unscanned, self.unswept = collections.deque(), set(), []  # unscanned: stacks and "globals"
        self.phase, self.stamp, self.events = "off", 0, []

    def answer(self, line):
        who, *words = line.split()
        if who in ("hello", "reset"): return self.hello if who == "hello" else self.__init__() or "ok"
        self.events = []
        try:
            verb, *operands = words
            step = getattr(self, ("gc_" if who == "gc" else "op_") + verb, lambda *_: "unknown")
            reply = step(*map(int, operands)) if who == "gc" else step(int(who), *operands)
        except (LookupError, TypeError, ValueError) as error: reply = f"trap {error!r}".replace(";", ",")
        return "; ".join([reply or "ok", *self.events])

    # ---- Mutators. They name slots: `r1` on their stack, and the places `r1.2` and `g0`, which have a barrier.

    def object(self, by, root): return self.objects[self.get(by, root)]

    def slot(self, by, name):  # a list, and an index into it
        root, _, field = name.partition(".")
        if field: return self.object(by, root).fields, int(field)
        return self.globals if root[0] == "g" else self.stacks[by], int(root[1:])

    def get(self, by, name):
        slots, index = self.slot(by, name)
        return slots[index]

    def set(self, by, name, value):
        slots, index = self.slot(by, name)
        slots[index] = value

    def store(self, by, place, new):
        if self.phase == "mark": self.barrier(self.get(by, place), new)
        self.set(by, place, new)

    def barrier(self, old, new):
        self.shade(old)
        self.shade(new)

    def take(self, size):  # the address of so many bytes, or None
        if self.free[size]: return self.free[size].pop()
        if self.top + size > LIMIT: return None
        self.top += size
        return self.top - size

    def size_class(self, asked): return 1 << max(3, (asked - 1).bit_length())  # a power of two, at least 8
    def newborn(self): return "black"
    def memory(self, at, length): return bytearray(length)  # zeroed

    def op_alloc(self, by, into, fields, data=0):
        self.stamp, fields, data = self.stamp + 1, int(fields), int(data)
        size = self.size_class(8 * fields + data)
        if (at := self.take(size)) is None: return "full"
        memory, slots, color = self.memory(at, 8 * fields + data), [NIL] * fields, self.newborn()
        self.objects[at] = types.SimpleNamespace(size=size, fields=slots, data=memory[8 * fields:], color=color)
        self.set(by, into, at)
        self.fill(self.objects[at])
        return f"at {at} {size} {content(memory)}" + (f" {color}" if self.phase == "mark" else "")

    def fill(self, object): object.data[:] = stamped(self.stamp, len(object.data))

    def op_write(self, by, root):
        self.stamp += 1
        self.fill(self.object(by, root))

    def op_read(self, by, root): return f"data {content(self.object(by, root).data)}"

    def op_load(self, by, into, place):
        value = self.get(by, place)
        self.set(by, into, value)
        return "nil" if value == NIL else f"ref {value}"

    def op_store(self, by, place, value): self.store(by, place, NIL if value == "nil" else self.get(by, value))
    def op_copy(self, by, into, source): self.set(by, into, self.get(by, source))
    def op_clear(self, by, root): self.set(by, root, NIL)

    def op_wipe(self, by, into, count):
        for place in run(into, count): self.store(by, place, NIL)

    def op_move(self, by, into, source, count):
        values = [self.get(by, place) for place in run(source, count)]
        for place, value in zip(run(into, count), values): self.store(by, place, value)

    def op_send(self, by, value, receiver):
        (to, into), value = receiver.split("."), self.get(by, value)
        self.hand_over(value)
        self.set(int(to), into, value)

    def hand_over(self, value):  # from stack to stack, past the barrier
        if self.phase == "mark": self.shade(value)

    def op_safepoint(self, by): pass  # any moment between two lines is a safepoint here
    op_park = op_unpark = op_safepoint
    def op_join(self, by): self.stacks[by] = [NIL] * 16  # nothing in there to scan

    def op_exit(self, by):
        del self.stacks[by]
        self.unscanned.discard(by)

    # ---- The collector. What is out of season is idle.

    def tell(self, event, of): self.events.append(f"{event} {of}")

    def enter(self, phase):
        self.phase = phase
        self.tell("phase", phase)

    def shade(self, at):
        if at in self.objects and self.objects[at].color == "white":
            self.objects[at].color = "grey"
            self.grey.append(at)
            self.tell("shade", at)

    def scan(self, at):
        for to in self.objects[at].fields: self.shade(to)
        self.objects[at].color = "black"
        self.tell("scan", at)

    def release(self, at):
        self.free[self.objects.pop(at).size].append(at)
        self.tell("free", at)

    def gc_start(self):
        if self.phase == "mark": return "idle"
        while self.sweep_step(): pass
        for object in self.objects.values(): object.color = "white"
        self.unscanned = {"globals", *self.stacks}
        self.enter("mark")

    def gc_handshake(self, by):
        if by not in self.unscanned: return "idle"
        for at in self.stacks[by]: self.shade(at)
        self.unscanned.remove(by)
        self.tell("stack", by)

    def mark_step(self):
        if "globals" in self.unscanned:
            for at in self.globals: self.shade(at)
            self.unscanned.remove("globals")
            self.events.append("globals")
        elif self.grey: self.scan(self.grey.popleft())
        else: return False
        return True

    def gc_finish(self):
        if self.phase != "mark" or self.grey or self.unscanned: return "idle"
        self.enter("terminate")
        self.enter("sweep")
        self.unswept = list(self.objects)

    def sweep_step(self):
        if self.phase != "sweep": return False
        if not self.unswept: self.enter("off")
        elif self.objects[at := self.unswept.pop()].color == "white": self.release(at)
        return True

    def gc_full(self):
        for _ in range(2 if self.phase == "mark" else 1):  # the cycle under way, then a whole one
            self.gc_start()
            for by in sorted(self.stacks): self.gc_handshake(by)
            while self.mark_step(): pass
            self.gc_finish()
        while self.sweep_step(): pass

    def steps(self, step, count): return "ok" if any([*itertools.takewhile(bool, map(step, range(count)))]) else "idle"
    def gc_mark(self, count): return self.steps(lambda _: self.mark_step(), count)
    def gc_sweep(self, count): return self.steps(lambda _: self.sweep_step(), count)
    def gc_stats(self): return f"stats {len(self.objects)} {sum(object.size for object in self.objects.values())}"

if __name__ == "__main__":
    if sys.argv[1:]: import broken
    heap = broken.chosen(sys.argv[1:]) if sys.argv[1:] else Heap()
    for line in sys.stdin:
        line = line.partition("#")[0]
        if line.strip(): print(heap.answer(line), flush=True)
