// An adapter to start from: go build adapter.go && heaplaw check -- ./adapter
//
// Each line that comes in is answered by a line. This heap allocates and never frees, so it claims next to nothing and
// few laws apply; "your heap here" marks what to replace. Then claim more in hello, one word at a time, and look again:
// collect steps mutators addresses stats frees phases colors batch invariant=weak, and then perhaps weak finalizers
// cleanups abort faults clock.
// The protocol is told in conformance/adapters/README.md.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const hello = "heap my-heap addresses"

type object struct {
	address uint64
	fields  []*object
	data    []byte
}

// What your collector has to take for its roots, and the next address.
type heap struct {
	roots      [4][16]*object
	globals    [4]*object
	top, stamp uint64
}

func number(word string) int {
	n, _ := strconv.Atoi(word)
	return n
}

// slots gives the slots from r1, r1.2 or g0 on.
func (h *heap) slots(by int, name string) []*object {
	root, field, isField := strings.Cut(name, ".")
	at := number(root[1:])
	switch {
	case root[0] == 'g':
		return h.globals[at:]
	case isField:
		return h.roots[by][at].fields[number(field):]
	}
	return h.roots[by][at:]
}

func store(place *(*object), value *object) {
	*place = value // your heap here: the write barrier
}

// fill writes the number stamp, eight little-endian bytes again and again.
func (h *heap) fill(o *object) {
	for i := range o.data {
		o.data[i] = byte(h.stamp >> (i % 8 * 8))
	}
}

// content is the number that fills these bytes, or where the pattern breaks.
func content(data []byte) string {
	var found uint64
	for i, b := range data {
		if i < 8 {
			found |= uint64(b) << (i * 8)
		} else if b != data[i-8] {
			return fmt.Sprintf("torn@%d", i)
		}
	}
	return strconv.FormatUint(found, 10)
}

func (h *heap) alloc(by int, into string, fields, data int) string {
	h.stamp++
	size := uint64(max(8, 8*fields+(data+7)/8*8))
	o := &object{h.top, make([]*object, fields), make([]byte, data)} // your heap here; "full" if there is no room
	h.top += size
	h.slots(by, into)[0] = o
	found := content(o.data) // before it is filled: what the new memory reads
	h.fill(o)
	return fmt.Sprintf("at %d %d %s", o.address, size, found)
}

func (h *heap) mutate(by int, verb string, w []string) string {
	switch verb {
	case "alloc":
		data := 0
		if len(w) > 2 {
			data = number(w[2])
		}
		return h.alloc(by, w[0], number(w[1]), data)
	case "load":
		value := h.slots(by, w[1])[0]
		h.slots(by, w[0])[0] = value
		if value == nil {
			return "nil"
		}
		return fmt.Sprintf("ref %d", value.address)
	case "store":
		var value *object
		if w[1] != "nil" {
			value = h.slots(by, w[1])[0]
		}
		store(&h.slots(by, w[0])[0], value)
	case "copy":
		h.slots(by, w[0])[0] = h.slots(by, w[1])[0]
	case "clear":
		h.slots(by, w[0])[0] = nil
	case "wipe":
		for i := range number(w[1]) {
			store(&h.slots(by, w[0])[i], nil)
		}
	case "move":
		n := number(w[2])
		copy(h.slots(by, w[0])[:n], h.slots(by, w[1])[:n]) // your heap here: a barrier for each
	case "write":
		h.stamp++
		h.fill(h.slots(by, w[0])[0])
	case "read":
		return "data " + content(h.slots(by, w[0])[0].data)
	case "safepoint":
	default:
		// your heap here: join exit send park unpark; weak strong finalizer finalize cleanup clean
		return "unknown"
	}
	return "ok"
}

func (h *heap) collect(verb string, w []string) string {
	return "unknown" // your heap here: full, stats; start, handshake 0, mark 3, finish, sweep 3; abort
}

func main() {
	h := &heap{top: 4096}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "hello":
			fmt.Println(hello)
		case words[0] == "reset":
			h = &heap{top: 4096} // your heap here: forget everything
			fmt.Println("ok")
		case words[0] == "gc":
			fmt.Println(h.collect(words[1], words[2:]))
		case words[0] == "env":
			fmt.Println("unknown") // your heap here: fail 2, clock 1000
		default:
			fmt.Println(h.mutate(number(words[0]), words[1], words[2:]))
		}
	}
}
