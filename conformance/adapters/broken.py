"""Heaps that are wrong in one way each, so that one can see what the laws say to it: `heap.py --break NAME`.

Each class is one fault and overrides as little of the right heap as that takes. `NoBarrier` is called `no-barrier`, and
its first line says what is wrong. The faults at the end are not about heaps at all: they break the protocol.
"""
import collections, os, re, sys, time

from heap import BASE, CYCLE, LIMIT, NIL, Heap, content, stamped

FAULTS = {}

def fault(broken):
    FAULTS[re.sub("(?<!^)([A-Z])", r"-\1", broken.__name__).lower()] = broken
    return broken

def chosen(arguments):
    """The heap that the command line asks for."""
    match arguments:
        case ["--list"]:
            for name, broken in FAULTS.items(): print(f"{name:<20} {broken.__doc__}")
            sys.exit()
        case ["--break", name] if name in FAULTS:
            FAULTS[name].hello = Heap.hello.replace("heap.py", f"heap.py/{name}")
            return FAULTS[name]()
        case _: sys.exit(f"usage: heap.py [--list | --break NAME]\nnames: {' '.join(FAULTS)}")

# ---- The barrier, and what goes past it.

class Barrier(Heap):
    """The right heap still, with a barrier that can be overridden."""
    def store(self, slots, first, values):
        for index, new in enumerate(values, int(first)):
            self.barrier(slots[index], new)
            slots[index] = new

    def barrier(self, old, new):
        self.shade(old)
        self.shade(new)

@fault
class NoBarrier(Barrier):
    """Stores shade nothing."""
    def barrier(self, old, new): pass

@fault
class NoInsertion(Barrier):
    """Stores shade only what is overwritten: deletion without its snapshot."""
    def barrier(self, old, new): self.shade(old)

@fault
class NoDeletion(Barrier):
    """Stores shade only what is stored: insertion without its rescan."""
    def barrier(self, old, new): self.shade(new)

@fault
class NilIsSpecial(Barrier):
    """Storing nil has no barrier, as if it did not cut an edge."""
    def barrier(self, old, new): new == NIL or super().barrier(old, new)

@fault
class BulkIsBare(Barrier):
    """Move and wipe write fields without the barrier."""
    def perform(self, *words):
        self.bulk = words[1:] and words[1] in ("move", "wipe")
        return super().perform(*words)

    def barrier(self, old, new): self.bulk or super().barrier(old, new)

@fault
class GlobalsAreBare(Heap):
    """Globals are written without the barrier."""
    def store(self, slots, first, values):
        if slots is self.globals: slots[int(first)] = values[0]
        else: super().store(slots, first, values)

@fault
class SendIsBare(Heap):
    """A reference that is handed from stack to stack is not shaded."""
    def perform(self, *words):
        match words:
            case [by, "send", root, to, into]: self.stacks[to][into] = self.stacks[by][root]
            case _: return super().perform(*words)

# ---- Marking.

@fault
class AllocateWhite(Heap):
    """Objects are born white while marking."""
    def alloc(self, roots, into, fields, data):
        reply = super().alloc(roots, into, fields, data)
        if reply.endswith("black"): self.white.add(roots[into])
        return reply.replace("black", "white")

@fault
class LostRoot(Heap):
    """The stack scan skips r0."""
    def perform(self, *words):
        match words:
            case ["gc", "handshake", by] if by in self.unscanned: self.unscanned[by] = {**self.unscanned[by], "r0": NIL}
        return super().perform(*words)

@fault
class LostGlobals(Heap):
    """The globals are said to be scanned, but nobody looks at them."""
    def perform(self, *words):
        if words[:2] != ("gc", "mark"): return super().perform(*words)
        hidden, self.globals = self.globals, []
        try: return super().perform(*words)
        finally: self.globals = hidden

@fault
class SkipsField(Heap):
    """The scan of an object forgets its last field."""
    def perform(self, *words):
        if words[:2] != ("gc", "mark"): return super().perform(*words)
        hidden = [(object, object.fields) for object in self.objects.values()]
        for object, fields in hidden: object.fields = fields[:-1]
        try: return super().perform(*words)
        finally:
            for object, fields in hidden: object.fields = fields

@fault
class ShadeBackwards(Barrier):
    """The barrier turns black objects grey again."""
    def barrier(self, old, new):
        if self.phase == "mark": self.white |= {old, new} & self.objects.keys() - self.grey
        super().barrier(old, new)

@fault
class PrematureFinish(Heap):
    """Finish succeeds while objects are still grey: their referents are freed."""
    def perform(self, *words):
        if words == ("gc", "finish"): self.grey = [at for at in self.grey if at == "globals"]
        return super().perform(*words)

@fault
class ForgetsStack(Heap):
    """Finish succeeds while a stack has not been scanned."""
    def perform(self, *words):
        if words == ("gc", "finish"): self.unscanned.clear()
        return super().perform(*words)

@fault
class PhaseSkip(Heap):
    """The cycle goes from mark to sweep without terminate."""
    def answer(self, line): return super().answer(line).replace("; phase terminate", "")

# ---- Sweeping and freeing.

@fault
class FreesYoung(Heap):
    """The sweep takes everything that was born since the cycle started for garbage."""
    def perform(self, *words):
        if words == ("gc", "start") and self.phase != "mark": self.old = set(self.objects)
        reply = super().perform(*words)
        if words == ("gc", "finish") and self.phase == "sweep": self.white.update(set(self.unswept) - self.old)
        return reply

@fault
class SweepsNewborns(Heap):
    """What is born while sweeping is swept by that same sweep."""
    def alloc(self, roots, into, fields, data):
        reply = super().alloc(roots, into, fields, data)
        if self.phase == "sweep" and reply != "full":
            self.white.add(roots[into])
            self.unswept.insert(0, roots[into])
        return reply

@fault
class BreaksOffSweep(Heap):
    """A new cycle starts without finishing the sweep of the last one."""
    def perform(self, *words):
        if words == ("gc", "start") and self.phase == "sweep": self.phase, self.unswept = "off", []
        return super().perform(*words)

@fault
class NeverFrees(Heap):
    """Nothing is ever freed."""
    def perform(self, *words):
        reply = super().perform(*words)
        if words == ("gc", "finish") and self.phase == "sweep": self.white.clear()
        return reply

@fault
class FullLeavesGarbage(Heap):
    """A full collection only finishes the cycle under way: what became garbage since its start stays."""
    def perform(self, *words):
        if words != ("gc", "full"): return super().perform(*words)
        for step in CYCLE: super().perform("gc", *step.split())

@fault
class LeaksCycles(Heap):
    """Objects that refer to themselves are never freed."""
    def perform(self, *words):
        reply = super().perform(*words)
        if words == ("gc", "finish") and self.phase == "sweep":
            self.white -= {at for at, object in self.objects.items() if at in object.fields}
        return reply

@fault
class DoubleFree(Heap):
    """What is freed is freed twice, and handed out twice."""
    class Places(list):
        def append(self, at): self.extend([at, at])

    def __init__(self):
        super().__init__()
        self.free = collections.defaultdict(self.Places)

    def answer(self, line): return re.sub(r"; free \d+", r"\g<0>\g<0>", super().answer(line))

@fault
class SilentFree(Heap):
    """Objects are freed without a word."""
    def answer(self, line): return re.sub(r"; free \d+", "", super().answer(line))

# ---- Memory.

@fault
class DirtyMemory(Heap):
    """Memory that is used again is not zeroed."""
    def alloc(self, roots, into, fields, data):
        top, reply = self.top, super().alloc(roots, into, fields, data)
        if reply == "full" or self.top > top: return reply  # if the top has moved, the memory is new
        words = reply.split()
        words[3] = str(content(stamped(self.stamp - 1, 8 * fields + data)))
        return " ".join(words)

@fault
class Overlap(Heap):
    """An object begins in the last eight bytes of the one before it."""
    def alloc(self, roots, into, fields, data):
        top = self.top
        if 8 * fields + data > 8 and top > BASE: self.top -= 8
        reply = super().alloc(roots, into, fields, data)
        self.top = max(self.top, top)  # a place was used again
        return reply

@fault
class SharesPlace(Heap):
    """Two objects in a row get the same address now and then."""
    def alloc(self, roots, into, fields, data):
        last = max(self.objects, default=NIL)
        size = self.objects[last].size if last else 0
        if self.stamp % 4 == 3 and size // 2 < 8 * fields + data <= size:
            self.free[size].append(last)
            self.white.discard(last)
        return super().alloc(roots, into, fields, data)

@fault
class Misaligned(Heap):
    """All addresses are off by four."""
    def __init__(self):
        super().__init__()
        self.top += 4

@fault
class Short(Heap):
    """The size is rounded down to a multiple of 16, not up."""
    def alloc(self, roots, into, fields, data):
        reply = super().alloc(roots, into, fields, data)
        if reply == "full": return reply
        size = self.objects[roots[into]].size = (8 * fields + data) // 16 * 16
        words = reply.split()
        words[2] = str(size)
        return " ".join(words)

@fault
class CorruptsData(Heap):
    """The scan keeps its mark in the object's data."""
    def answer(self, line):
        reply = super().answer(line)
        for at in re.findall(r"; scan (\d+)", reply):
            data = self.objects[int(at)].data if int(at) in self.objects else b""
            if data: self.objects[int(at)].data = data[:-1] + bytes([data[-1] ^ 0x80])
        return reply

@fault
class LosesWrites(Heap):
    """Data of more than 16 bytes is not written again."""
    def perform(self, *words):
        match words:
            case [by, "write", root] if len(self.objects[self.stacks[by][root]].data) > 16: self.stamp += 1
            case _: return super().perform(*words)

@fault
class LosesStores(Heap):
    """A store of what is already held by r0 goes astray while sweeping."""
    def perform(self, *words):
        if words[0] in self.stacks: self.held = self.stacks[words[0]]["r0"]
        return super().perform(*words)

    def store(self, slots, first, values):
        for index, new in enumerate(values, int(first)):
            if self.phase != "sweep" or new != self.held: super().store(slots, index, [new])

@fault
class Moves(Heap):
    """A full collection moves the first object elsewhere, and corrects every reference to it."""
    def perform(self, *words):
        reply = super().perform(*words)
        if words == ("gc", "full") and self.objects: self.move(min(self.objects), self.top)
        return reply

    def move(self, old, new):
        if new + self.objects[old].size > LIMIT: return
        self.objects[new] = self.objects.pop(old)
        self.top += self.objects[new].size
        for slots in [self.globals, *(object.fields for object in self.objects.values())]:
            slots[:] = [new if at == old else at for at in slots]
        for roots in self.stacks.values(): roots.update({root: new for root, at in roots.items() if at == old})

@fault
class Miscounts(Heap):
    """The statistics count one object too many."""
    def perform(self, *words):
        if words != ("gc", "stats"): return super().perform(*words)
        return f"stats {len(self.objects) + 1} {sum(object.size for object in self.objects.values())}"

@fault
class MiscountsBytes(Heap):
    """The statistics count the bytes that were asked for, not those that are taken."""
    def perform(self, *words):
        if words != ("gc", "stats"): return super().perform(*words)
        return f"stats {len(self.objects)} {sum(8 * len(it.fields) + len(it.data) for it in self.objects.values())}"

# ---- The protocol. They fail at the first operation, so that the heap can be greeted and reset.

class Unanswered(Heap):
    def answer(self, line):
        if line.split()[0] in ("hello", "reset"): return super().answer(line)
        return self.fail(super().answer(line))

@fault
class Crash(Unanswered):
    """Ends with a traceback."""
    def fail(self, reply): raise SystemError("the heap is on fire")

@fault
class SilentExit(Unanswered):
    """Ends without a word, as if all were well."""
    def fail(self, reply): os._exit(0)

@fault
class Hang(Unanswered):
    """Never answers."""
    def fail(self, reply): time.sleep(3600)

@fault
class Garbage(Unanswered):
    """Answers something that is not an answer."""
    def fail(self, reply): return "fine, thanks"

@fault
class Chatty(Unanswered):
    """Answers everything twice."""
    def fail(self, reply): return f"{reply}\n{reply}"

@fault
class Drip(Unanswered):
    """Sends a byte now and then, and never ends the line."""
    def fail(self, reply):
        while True:
            print("o", end="", flush=True)
            time.sleep(0.05)

@fault
class Flood(Unanswered):
    """Sends a line without end."""
    def fail(self, reply):
        while True: sys.stdout.write("o" * 65536)
