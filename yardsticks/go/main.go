// The workloads of ../src/bin/collectors in Go. Its argument is one of them; it prints the seconds that passed, and the
// largest resident size in MiB.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"
)

type tree struct{ left, right *tree }

func grow(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{grow(depth - 1), grow(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

// trees is the binary trees of the Computer Language Benchmarks Game, by one mutator.
func trees(depth int) {
	stretch := grow(depth + 1).count()
	long := grow(depth)
	total := 0
	for d := 4; d <= depth; d += 4 {
		for range 1 << (depth - d + 4) {
			total += grow(d).count()
		}
	}
	must(stretch == 1<<(depth+2)-1 && long.count() == 1<<(depth+1)-1 && total > 0)
}

type node struct {
	left, right *node
	i, j        int32
}

func make1(depth int) *node {
	if depth <= 0 {
		return &node{}
	}
	return &node{left: make1(depth - 1), right: make1(depth - 1)}
}

func populate(depth int, n *node) {
	if depth <= 0 {
		return
	}
	n.left, n.right = &node{}, &node{}
	populate(depth-1, n.left)
	populate(depth-1, n.right)
}

// gcbench is Ellis, Kovac and Boehm's: trees of all sizes beside a long-lived tree of depth 16 and an array of 4 MB.
func gcbench() {
	size := func(depth int) int { return 1<<(depth+1) - 1 }
	make1(18)
	long := &node{}
	populate(16, long)
	array := make([]float64, 500_000)
	for i := range array[:250_000] {
		array[i] = 1 / float64(i+1)
	}
	for depth := 4; depth <= 16; depth += 2 {
		rounds := 2 * size(18) / size(depth)
		for range rounds {
			populate(depth, &node{})
		}
		for range rounds {
			make1(depth)
		}
	}
	must(long.left != nil && array[1000] == 1.0/1001)
}

// Eight words, of which two are pointers.
type block struct {
	a, b *block
	data [6]uint64
}

// drop allocates 30 million blocks beside 64 MiB of live ones; each lives until 1,000 more were allocated.
func drop() {
	live := make([]*block, 1<<20)
	for i := range live {
		live[i] = &block{}
	}
	recent := make([]*block, 1000)
	for i := range 30_000_000 {
		recent[i%1000] = &block{}
	}
	must(live[5] != nil && recent[7] != nil)
}

type random uint64

func (r *random) below(n int) int {
	*r = *r*6364136223846793005 + 1442695040888963407
	return int(uint64(*r>>33) % uint64(n))
}

// mark links 1 GiB of blocks at random and collects; only the collection is timed.
func mark() time.Duration {
	debug.SetGCPercent(-1)
	all := make([]*block, 1<<24)
	for i := range all {
		all[i] = &block{}
	}
	r := random(1)
	for _, b := range all {
		b.a, b.b = all[r.below(len(all))], all[r.below(len(all))]
	}
	// The blocks are reached by their links, from a few of them.
	roots := append([]*block(nil), all[:64]...)
	all = nil
	runtime.GC()
	start := time.Now()
	runtime.GC()
	took := time.Since(start)
	must(roots[3].a != nil)
	return took
}

// store writes 400 million pointers into 1,024 objects while nothing is collected.
func store() {
	debug.SetGCPercent(-1)
	objects := make([]*block, 1024)
	for i := range objects {
		objects[i] = &block{}
	}
	for i := range 400_000_000 {
		objects[i&1023].a = objects[(i>>1)&1023]
	}
	must(objects[9].a != nil)
}

// pauses keeps so many MiB of blocks alive while goroutines replace them. It prints how often the collector stopped the world,
// and the median, the 99th percentile and the longest of these stops in microseconds; then how long it took to replace a
// block: what one in 10,000 exceeds, one in a million, and the longest.
func pauses(mib, mutators int) {
	const turns, quick = 20_000_000, time.Microsecond
	blocks := (mib << 20) / 72 / mutators
	slow := make([][]time.Duration, mutators)
	var group sync.WaitGroup
	for mutator := range mutators {
		group.Go(func() {
			table := make([]*block, blocks)
			last := time.Now()
			for turn := range blocks + turns/mutators {
				index := turn % blocks
				b := &block{a: table[(index+blocks/2)%blocks]}
				if b.a != nil {
					b.a.a = nil
				}
				table[index] = b
				now := time.Now()
				if took := now.Sub(last); took > quick {
					slow[mutator] = append(slow[mutator], took)
				}
				last = now
			}
			runtime.KeepAlive(table)
		})
	}
	group.Wait()
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	histogram := sample[0].Value.Float64Histogram()
	var count uint64
	for _, n := range histogram.Counts {
		count += n
	}
	at := func(percent uint64) float64 {
		wanted, seen := (count*percent+99)/100, uint64(0)
		for i, n := range histogram.Counts {
			seen += n
			if n > 0 && seen >= wanted {
				return histogram.Buckets[i+1] * 1e6
			}
		}
		return 0
	}
	all := slices.Concat(slow...)
	slices.Sort(all)
	operations := mutators * (blocks + turns/mutators)
	exceeded := func(by int) float64 {
		if by >= len(all) {
			return 0
		}
		return all[len(all)-1-by].Seconds() * 1e6
	}
	fmt.Printf("%d %.1f %.1f %.1f ", count, at(50), at(99), at(100))
	fmt.Printf("%.1f %.1f %.1f\n", exceeded(operations/10_000), exceeded(operations/1_000_000), exceeded(0))
}

func must(sound bool) {
	if !sound {
		panic("wrong result")
	}
}

// peak is the largest resident size so far, in MiB.
func peak() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kib, _ := strconv.Atoi(strings.Fields(after)[0])
	return kib / 1024
}

type queen struct {
	next   *queen
	column int
}

func safe(column int, at *queen) bool {
	for distance := 1; at != nil; at, distance = at.next, distance+1 {
		if at.column == column || at.column == column-distance || at.column == column+distance {
			return false
		}
	}
	return true
}

func place(left int, placed *queen) int {
	if left == 0 {
		return 1
	}
	ways := 0
	for column := range 11 {
		if safe(column, placed) {
			ways += place(left-1, &queen{placed, column})
		}
	}
	return ways
}

// cache asks 10 million times for one of 16,384 keys, small ones more often. A map leads from keys to blocks by weak
// pointers; the last 8,192 that were asked for are held.
func cache() {
	const keys, asks = 1 << 14, 10_000_000
	values := map[int]weak.Pointer[block]{}
	held := make([]*block, 8192)
	r := random(1)
	hits := 0
	for ask := range asks {
		key := r.below(keys) * r.below(keys) / keys
		value := values[key].Value()
		if value != nil {
			hits++
		} else {
			value = &block{data: [6]uint64{5: uint64(key)}}
			values[key] = weak.Make(value)
		}
		must(value.data[5] == uint64(key))
		held[ask%len(held)] = value
	}
	must(hits >= 5_556_007 && hits < asks)
}

func main() {
	start := time.Now()
	var took time.Duration
	switch os.Args[1] {
	case "trees":
		trees(20)
	case "gcbench":
		for range 3 {
			gcbench()
		}
	case "drop":
		drop()
	case "queens":
		for range 50 {
			if place(11, nil) != 2680 {
				panic("queens")
			}
		}
	case "cache":
		cache()
	case "mark":
		took = mark()
	case "store":
		store()
	case "pauses":
		mib, _ := strconv.Atoi(os.Args[2])
		mutators, _ := strconv.Atoi(os.Args[3])
		pauses(mib, mutators)
		return
	default:
		// There is no such workload in Go.
		os.Exit(3)
	}
	if took == 0 {
		took = time.Since(start)
	}
	fmt.Printf("%.4f %d\n", took.Seconds(), peak())
}
