#!/usr/bin/env python3
"""A garbage-collected heap that speaks the text form: the template to copy for an adapter in any language.

A line comes in (`0 alloc r0 2 24`), the heap does what it says, a line goes out (`at 4096 64 0`), and with it what the
collector did meanwhile (`ok; shade 4096; stack 0`). For a heap of your own keep `answer` and the loop at the end, and
let the cases of `perform` call it. Claim less in `hello`, and you need fewer of them.

This heap marks in steps behind a hybrid barrier, scans each stack once, allocates black, and never moves an object.
"""
import collections, itertools, sys, types

NIL, BASE, LIMIT = 0, 4096, 64 << 20  # addresses: objects lie in BASE .. LIMIT
EMPTY = {f"r{number}": NIL for number in range(16)}  # a stack
CYCLE = "start, handshake 0, handshake 1, handshake 2, handshake 3, mark 99999999, finish, sweep 99999999".split(", ")

def stamped(stamp, length): return (stamp.to_bytes(8, "little") * (length // 8 + 1))[:length]
def content(data):  # the stamp that fills these bytes, or the first byte that does not fit
    stamp = int.from_bytes(data[:8], "little")
    if data == stamped(stamp, len(data)): return stamp
    return f"torn@{next(i for i, byte in enumerate(data) if byte != data[i % 8])}"

class Heap:
    hello = "heap heap.py collect steps mutators addresses stats frees phases colors invariant=modified-weak"
    def __init__(self):
        self.objects, self.top, self.free = {}, BASE, collections.defaultdict(list)  # free: given back, by size
        self.stacks, self.globals, self.stamp = {"0": dict(EMPTY)}, [NIL] * 4, 0
        self.phase, self.white, self.grey, self.unscanned, self.unswept = "off", set(), [], {}, []

    def answer(self, line):
        self.events, words = [], line.replace(".", " ").replace(" g", " g ").split()  # places: `r1 2`, `g 0`
        try: reply = self.perform(*words)
        except (LookupError, TypeError, ValueError) as error: reply = f"trap {error!r}".replace(";", ",")
        return "; ".join([reply or "ok", *self.events])

    def perform(self, *words):
        roots = self.stacks.get(words[0])
        match words:
            case ["hello"]: return self.hello
            case ["reset"]: self.__init__()
            # The mutators. Fields and globals are written by `store`, which has the barrier. `nil` is no root.
            case [_, "alloc", into, fields, *data]: return self.alloc(roots, into, int(fields), int(*data))
            case [_, "load", into, of, index]:
                at = roots[into] = self.slots(roots, of)[int(index)]
                return f"ref {at}" if at else "nil"
            case [_, "store", of, index, value]: self.store(self.slots(roots, of), index, [roots.get(value, NIL)])
            case [_, "wipe", of, index, count]: self.store(self.slots(roots, of), index, [NIL] * int(count))
            case [_, "move", of, index, source, first, count]:
                fields, run = self.slots(roots, source), range(int(first), int(first) + int(count))
                self.store(self.slots(roots, of), index, [fields[i] for i in run])
            case [_, "copy", into, root]: roots[into] = roots[root]
            case [_, "clear", root]: roots[root] = NIL
            case [_, "read", root]: return f"data {content(self.objects[roots[root]].data)}"
            case [_, "write", root]:
                self.stamp += 1
                self.objects[roots[root]].data = stamped(self.stamp, len(self.objects[roots[root]].data))
            case [_, "send", root, to, into]:
                self.shade(roots[root])  # no store, so no other barrier
                self.stacks[to][into] = roots[root]
            case [by, "join"]: self.stacks[by] = dict(EMPTY)  # nothing in there to scan
            case [by, "exit"]:
                del self.stacks[by]
                self.unscanned.pop(by, None)
            case [_, "safepoint" | "park" | "unpark"]: pass  # any moment between two lines is a safepoint here
            # The collector. What is out of season is idle.
            case ["gc", "start"] if self.phase != "mark":
                for _ in self.work(): pass
                self.phase, self.white, self.grey = "mark", set(self.objects), ["globals"]
                self.unscanned = dict(self.stacks)
                self.events.append("phase mark")
            case ["gc", "handshake", by] if by in self.unscanned:
                for at in self.unscanned.pop(by).values(): self.shade(at)
                self.events.append(f"stack {by}")
            case ["gc", "mark" | "sweep" as phase, count] if phase == self.phase:
                return "ok" if list(itertools.islice(self.work(), int(count))) else "idle"
            case ["gc", "finish"] if self.phase == "mark" and not self.grey and not self.unscanned:
                self.phase, self.unswept = "sweep", list(self.objects)
                self.events += ["phase terminate", "phase sweep"]
            case ["gc", "full"]:  # the cycle under way, if there is one, and then a whole one
                for step in CYCLE * (2 if self.phase == "mark" else 1): self.perform("gc", *step.split())
            case ["gc", "stats"]: return f"stats {len(self.objects)} {sum(it.size for it in self.objects.values())}"
            case ["gc", "start" | "handshake" | "mark" | "finish" | "sweep", *_]: return "idle"
            case _: return "unknown"

    def alloc(self, roots, into, fields, data):
        self.stamp, asked = self.stamp + 1, 8 * fields + data
        size = 1 << max(3, (asked - 1).bit_length())  # a power of two, at least 8
        at = self.free[size].pop() if self.free[size] else self.top
        if at + size > LIMIT: return "full"
        self.top = max(self.top, at + size)
        self.objects[at] = types.SimpleNamespace(size=size, fields=[NIL] * fields, data=stamped(self.stamp, data))
        roots[into] = at
        return f"at {at} {size} {content(bytes(asked))}" + (" black" if self.phase == "mark" else "")

    def slots(self, roots, of): return self.globals if of == "g" else self.objects[roots[of]].fields
    def store(self, slots, first, values):
        for index, new in enumerate(values, int(first)):
            for at in (slots[index], new): self.shade(at)  # the barrier
            slots[index] = new

    def shade(self, at):
        if self.phase == "mark" and at in self.white:
            self.white.remove(at)
            self.grey.append(at)
            self.events.append(f"shade {at}")

    def work(self):  # marks or sweeps, one step at a time
        while self.grey:
            at = self.grey.pop(0)
            for to in self.globals if at == "globals" else self.objects[at].fields: self.shade(to)
            yield self.events.append("globals" if at == "globals" else f"scan {at}")
        while self.unswept:
            if (at := self.unswept.pop()) in self.white:
                self.free[self.objects.pop(at).size].append(at)
                self.events.append(f"free {at}")
            yield
        if self.phase == "sweep":
            self.phase = "off"
            yield self.events.append("phase off")

if __name__ == "__main__":
    if sys.argv[1:]: import broken  # `--list` shows the faults, `--break NAME` seeds one
    heap = broken.chosen(sys.argv[1:]) if sys.argv[1:] else Heap()
    for line in sys.stdin:
        if line := line.partition("#")[0].strip(): print(heap.answer(line), flush=True)
