#!/usr/bin/env python3
"""An adapter to start from: heaplaw check -- python3 adapter.py

Each line that comes in is answered by a line. This heap allocates and never frees, so it claims next to nothing and few
laws apply; `your heap here` marks what to replace. Then claim more in `HELLO`, one word at a time, and look again:
collect steps mutators addresses stats frees phases colors batch invariant=weak, and then perhaps weak finalizers cleanups
abort faults clock.
The protocol is told in conformance/adapters/README.md.
"""
import sys

HELLO = "heap my-heap addresses"

class Object:
    def __init__(self, address, fields, data):
        self.address, self.fields, self.data = address, [None] * fields, bytearray(data)

def content(data):  # the number that fills these bytes, eight little-endian ones again and again
    for i in range(8, len(data)):
        if data[i] != data[i - 8]: return f"torn@{i}"
    return int.from_bytes(data[:8], "little")

class Heap:
    def __init__(self):
        self.roots, self.globals = [[None] * 16 for _ in range(4)], [None] * 4  # what your collector takes for roots
        self.top, self.stamp = 4096, 0

    def place(self, by, name):  # `r1`, `r1.2` or `g0`: a list, and an index into it
        root, _, field = name.partition(".")
        slots = self.globals if root[0] == "g" else self.roots[by]
        return (slots[int(root[1:])].fields, int(field)) if field else (slots, int(root[1:]))

    def get(self, by, name):
        slots, index = self.place(by, name)
        return slots[index]

    def set(self, by, name, value):  # your heap here: the write barrier, unless the name is a root
        slots, index = self.place(by, name)
        slots[index] = value

    def stamped(self, object):
        object.data[:] = (self.stamp.to_bytes(8, "little") * (len(object.data) // 8 + 1))[:len(object.data)]

    def op_alloc(self, by, into, fields, data="0"):
        self.stamp += 1
        size = max(8, 8 * int(fields) + (int(data) + 7) // 8 * 8)
        object = Object(self.top, int(fields), int(data))  # your heap here; `full` if there is no room
        self.top += size
        self.set(by, into, object)
        found = content(object.data)  # before it is filled: what the new memory reads
        self.stamped(object)
        return f"at {object.address} {size} {found}"

    def op_load(self, by, into, place):
        self.set(by, into, self.get(by, place))
        return f"ref {self.get(by, into).address}" if self.get(by, into) else "nil"

    def op_store(self, by, place, value): self.set(by, place, None if value == "nil" else self.get(by, value))
    def op_copy(self, by, into, root): self.set(by, into, self.get(by, root))
    def op_clear(self, by, root): self.set(by, root, None)
    def op_read(self, by, root): return f"data {content(self.get(by, root).data)}"
    def op_safepoint(self, by): pass

    def op_write(self, by, root):
        self.stamp += 1
        self.stamped(self.get(by, root))

    def op_wipe(self, by, into, count):
        (slots, at), n = self.place(by, into), int(count)
        slots[at:at + n] = [None] * n  # your heap here: a barrier for each

    def op_move(self, by, into, source, count):
        (slots, at), (others, start), n = self.place(by, into), self.place(by, source), int(count)
        slots[at:at + n] = others[start:start + n]  # your heap here: a barrier for each

    # Your heap here: these are sent only if you claim what they need (`collect`, `stats`, `steps`, `mutators`, `weak` ...).
    def unknown(self, *_): return "unknown"
    gc_full = gc_stats = gc_start = gc_handshake = gc_mark = gc_finish = gc_sweep = gc_abort = unknown
    op_join = op_exit = op_send = op_park = op_unpark = env_fail = env_clock = unknown
    op_weak = op_strong = op_finalizer = op_finalize = op_cleanup = op_clean = unknown

heap = Heap()
for line in sys.stdin:
    who, *words = line.partition("#")[0].split() or [""]
    if who == "hello": answer = HELLO
    elif who == "reset": heap, answer = Heap(), "ok"
    elif not words: continue
    else:
        by = () if who in ("gc", "env") else (int(who),)
        step = getattr(heap, f"{'op' if by else who}_{words[0]}", heap.unknown)
        answer = step(*by, *words[1:]) or "ok"
    print(answer, flush=True)
