"""Heaps that are wrong in one way each, so that one can see what the laws say to it: `heap.py --break NAME`.

Each class is one fault and overrides as little of the right heap as that takes. `NoBarrier` is called `no-barrier`, and
its first line says what is wrong. The faults at the end are not about heaps at all: they break the protocol.
"""
import os, re, sys, time

from heap import NIL, Heap, stamped

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

@fault
class NoBarrier(Heap):
    """Stores shade nothing."""
    def barrier(self, old, new): pass

@fault
class NoInsertion(Heap):
    """Stores shade only what is overwritten: deletion without its snapshot."""
    def barrier(self, old, new): self.shade(old)

@fault
class NoDeletion(Heap):
    """Stores shade only what is stored: insertion without its rescan."""
    def barrier(self, old, new): self.shade(new)

@fault
class NilIsSpecial(Heap):
    """Storing nil has no barrier, as if it did not cut an edge."""
    def barrier(self, old, new): new == NIL or super().barrier(old, new)

@fault
class BulkIsBare(Heap):
    """Move and wipe write fields without the barrier."""
    def op_move(self, *operands): self.bare(super().op_move, *operands)
    def op_wipe(self, *operands): self.bare(super().op_wipe, *operands)

    def bare(self, write, *operands):
        self.barrier = lambda old, new: None
        try: write(*operands)
        finally: del self.barrier

@fault
class GlobalsAreBare(Heap):
    """Globals are written without the barrier."""
    def store(self, by, place, new):
        if place[0] == "g": self.set(by, place, new)
        else: super().store(by, place, new)

@fault
class SendIsBare(Heap):
    """A reference that is handed from stack to stack is not shaded."""
    def hand_over(self, value): pass

# ---- Marking.

@fault
class AllocateWhite(Heap):
    """Objects are born white while marking."""
    def newborn(self): return "white" if self.phase == "mark" else "black"

@fault
class LostRoot(Heap):
    """The stack scan skips r0."""
    def gc_handshake(self, by):
        stack = self.stacks.get(by, [NIL])
        hidden, stack[0] = stack[0], NIL
        try: return super().gc_handshake(by)
        finally: stack[0] = hidden

@fault
class LostGlobals(Heap):
    """The globals are said to be scanned, but nobody looks at them."""
    def mark_step(self):
        hidden, self.globals = self.globals, []
        try: return super().mark_step()
        finally: self.globals = hidden

@fault
class SkipsField(Heap):
    """The scan of an object forgets its last field."""
    def scan(self, at):
        fields = self.objects[at].fields
        self.objects[at].fields = fields[:-1]
        super().scan(at)
        self.objects[at].fields = fields

@fault
class ShadeBackwards(Heap):
    """The barrier turns black objects grey again."""
    def barrier(self, old, new):
        for at in {old, new} & self.objects.keys():
            if self.objects[at].color == "black": self.objects[at].color = "white"
        super().barrier(old, new)

@fault
class PrematureFinish(Heap):
    """Finish succeeds while objects are still grey: their referents are freed."""
    def gc_finish(self):
        self.grey.clear()
        return super().gc_finish()

@fault
class ForgetsStack(Heap):
    """Finish succeeds while a stack has not been scanned."""
    def gc_finish(self):
        self.unscanned &= {"globals"}
        return super().gc_finish()

@fault
class PhaseSkip(Heap):
    """The cycle goes from mark to sweep without terminate."""
    def enter(self, phase): phase == "terminate" or super().enter(phase)

# ---- Sweeping and freeing.

@fault
class FreesYoung(Heap):
    """The sweep takes everything that was born since the cycle started for garbage."""
    def gc_start(self):
        if self.phase != "mark": self.old = set(self.objects)
        return super().gc_start()

    def gc_finish(self):
        reply = super().gc_finish()
        for at in self.unswept if self.phase == "sweep" else []:
            if at not in self.old: self.objects[at].color = "white"
        return reply

@fault
class SweepsNewborns(Heap):
    """What is born while sweeping is swept by that same sweep."""
    def newborn(self):
        return "white" if self.phase == "sweep" else super().newborn()

    def op_alloc(self, by, into, fields, data=0):
        reply = super().op_alloc(by, into, fields, data)
        if self.phase == "sweep" and reply != "full": self.unswept.insert(0, self.get(by, into))
        return reply

@fault
class BreaksOffSweep(Heap):
    """A new cycle starts without finishing the sweep of the last one."""
    def gc_start(self):
        if self.phase == "sweep": self.phase, self.unswept = "off", []
        return super().gc_start()

@fault
class NeverFrees(Heap):
    """Nothing is ever freed."""
    def release(self, at): pass

@fault
class FullLeavesGarbage(Heap):
    """A full collection only finishes the cycle under way: what became garbage since its start stays."""
    def gc_full(self):
        self.gc_start()
        for by in sorted(self.stacks): self.gc_handshake(by)
        while self.mark_step(): pass
        self.gc_finish()
        while self.sweep_step(): pass

@fault
class LeaksCycles(Heap):
    """Objects that refer to themselves are never freed."""
    def release(self, at): at in self.objects[at].fields or super().release(at)

@fault
class DoubleFree(Heap):
    """What is freed is freed twice, and handed out twice."""
    def release(self, at):
        self.free[self.objects[at].size].append(at)
        super().release(at)
        self.tell("free", at)

@fault
class SilentFree(Heap):
    """Objects are freed without a word."""
    def release(self, at):
        super().release(at)
        self.events.pop()

# ---- Memory.

@fault
class DirtyMemory(Heap):
    """Memory that is used again is not zeroed."""
    def take(self, size):
        self.used = bool(self.free[size])
        return super().take(size)

    def memory(self, at, length): return bytearray(stamped(self.stamp - 1, length) if self.used else length)

@fault
class Overlap(Heap):
    """An object begins in the last eight bytes of the one before it."""
    def take(self, size):
        if size > 8 and not self.free[size] and self.top > 4096: self.top -= 8
        return super().take(size)

@fault
class SharesPlace(Heap):
    """Two objects in a row get the same address now and then."""
    def take(self, size):
        if self.stamp % 4 == 0 and self.top - size in self.objects and self.objects[self.top - size].size == size:
            return self.top - size
        return super().take(size)

@fault
class Misaligned(Heap):
    """All addresses are off by four."""
    def __init__(self):
        super().__init__()
        self.top += 4

@fault
class Short(Heap):
    """The size is rounded down to a multiple of 16, not up."""
    def size_class(self, asked): return asked // 16 * 16

@fault
class CorruptsData(Heap):
    """The scan keeps its mark in the object's data."""
    def scan(self, at):
        super().scan(at)
        if self.objects[at].data: self.objects[at].data[-1] ^= 0x80

@fault
class LosesWrites(Heap):
    """Data of more than 16 bytes is not written again."""
    def op_write(self, by, root):
        if len(self.object(by, root).data) <= 16: return super().op_write(by, root)
        self.stamp += 1

@fault
class LosesStores(Heap):
    """A store of what is already held by r0 goes astray while sweeping."""
    def store(self, by, place, new):
        if self.phase != "sweep" or new != self.get(by, "r0"): super().store(by, place, new)

@fault
class Moves(Heap):
    """A full collection moves the first object elsewhere, and corrects every reference to it."""
    def gc_full(self):
        super().gc_full()
        if not self.objects: return
        old = min(self.objects)
        if (new := self.take(self.objects[old].size)) is None: return
        self.objects[new] = self.objects.pop(old)
        for slots in [self.globals, *self.stacks.values(), *(object.fields for object in self.objects.values())]:
            slots[:] = [new if at == old else at for at in slots]

@fault
class Miscounts(Heap):
    """The statistics count one object too many."""
    def gc_stats(self):
        _, objects, size = super().gc_stats().split()
        return f"stats {int(objects) + 1} {size}"

@fault
class MiscountsBytes(Heap):
    """The statistics count the bytes that were asked for, not those that are taken."""
    def gc_stats(self):
        asked = sum(8 * len(object.fields) + len(object.data) for object in self.objects.values())
        return f"stats {len(self.objects)} {asked}"

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
