package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

var cacheEncodings = []CacheEncoding{CacheF32, CacheF16, CacheInt8}

// attentionCase is a cache filled with keys and values of some kind, and queries.
type attentionCase struct {
	head       Head
	dimensions int // of the head, before padding
	q          []float32
}

func newAttentionCase(random *rand.Rand, encoding CacheEncoding, dimensions, positions, queries int, value func(*rand.Rand) float32) attentionCase {
	c := attentionCase{head: NewHeads(encoding, 1, dimensions, positions)[0], dimensions: dimensions}
	row := func() []float32 {
		x := make([]float32, dimensions)
		for i := range x {
			x[i] = value(random)
		}
		return x
	}
	for p := range c.head.Positions {
		c.head.Store(p, row(), row())
	}
	c.q = make([]float32, queries*c.head.Dimensions)
	for i := range queries {
		copy(c.q[i*c.head.Dimensions:], row())
	}
	return c
}

// attend returns what a set makes of the case, into rows that are longer than the head.
func (c *attentionCase) attend(t testing.TB, s *Set, first, queries int) []float32 {
	t.Helper()
	const guard, gap = 4321.5, 7
	stride := c.head.Dimensions + gap
	out := slices.Repeat([]float32{guard}, queries*stride)
	scores := slices.Repeat([]float32{float32(math.NaN())}, ScoreSpace(c.head.Positions))
	s.Attend(out, stride, c.q, &c.head, first, queries, scores)
	for i := range queries {
		for _, v := range out[i*stride+c.head.Dimensions : (i+1)*stride] {
			if v != guard {
				t.Fatalf("%s wrote behind query %d", s.Name(), i)
			}
		}
	}
	return out
}

func TestAttendIsTheReference(t *testing.T) {
	const positions = 112
	for _, encoding := range cacheEncodings {
		for k, kind := range kinds {
			t.Run(fmt.Sprint(encoding, "/", kind.name), func(t *testing.T) {
				random := rand.New(rand.NewPCG(15, uint64(k)))
				for _, dimensions := range []int{5, 16, 32, 64, 80, 96, 128} {
					c := newAttentionCase(random, encoding, dimensions, positions, 64, kind.value)
					for _, shape := range [][2]int{{0, 1}, {0, 9}, {0, 64}, {1, 2}, {13, 3}, {14, 4}, {15, 1}, {15, 5}, {16, 1}, {30, 6}, {31, 7}, {33, 8}, {48, 64}, {random.IntN(48), 1 + random.IntN(64)}} {
						want := c.attend(t, &reference, shape[0], shape[1])
						for _, s := range Sets() {
							got := c.attend(t, s, shape[0], shape[1])
							if i := unequal(got, want); i >= 0 {
								stride := len(got) / shape[1]
								t.Fatalf("%s: head of %d, %d queries at %d: query %d, dimension %d is %x, want %x",
									s.Name(), dimensions, shape[1], shape[0], i/stride, i%stride, got[i], want[i])
							}
						}
					}
				}
			})
		}
	}
}

// TestAttendDoesNotDependOnTheTile runs queries together and one at a time, with everything behind the
// position of the last query poisoned: what a tile shares must not leak.
func TestAttendDoesNotDependOnTheTile(t *testing.T) {
	random := rand.New(rand.NewPCG(16, 16))
	poison := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -math.MaxFloat32, float32(math.Copysign(0, -1))}
	for _, encoding := range cacheEncodings {
		for _, s := range Sets() {
			for queries := 1; queries <= 9; queries++ {
				for _, first := range []int{0, 3, 12, 15, 16, 29, 32} {
					const dimensions, positions = 64, 48
					c := newAttentionCase(random, encoding, dimensions, positions, queries, kinds[0].value)
					c.poison(first+queries, poison[random.IntN(len(poison))])
					together := c.attend(t, s, first, queries)
					// One at a time, each with everything poisoned behind its own position.
					for i := queries - 1; i >= 0; i-- {
						c.poison(first+i+1, poison[random.IntN(len(poison))])
						alone := attentionCase{c.head, dimensions, c.q[i*dimensions:]}
						got := alone.attend(t, s, first+i, 1)
						want := together[i*len(got):][:len(got)]
						if d := unequal(got, want); d >= 0 {
							t.Fatalf("%s, %v: query %d of %d at %d: dimension %d is %x alone, %x together",
								s.Name(), encoding, i, queries, first, d, got[d], want[d])
						}
					}
				}
			}
		}
	}
}

// TestAttendNearTheLimitOfExp gives one of two positions a score around the one whose weight becomes
// zero, and a value that makes the smallest weight visible.
func TestAttendNearTheLimitOfExp(t *testing.T) {
	const dimensions = 16
	limit := math.Float32bits(ExpMin)
	for bits := limit - 200; bits < limit+200; bits++ {
		head := NewHeads(CacheF32, 1, dimensions, 16)[0]
		zero, score, large := make([]float32, dimensions), make([]float32, dimensions), slices.Repeat([]float32{0x1p100}, dimensions)
		score[3] = math.Float32frombits(bits)
		head.Store(0, zero, zero)
		head.Store(1, score, large)
		c := attentionCase{head, dimensions, make([]float32, dimensions)}
		c.q[3] = 1
		want := c.attend(t, &reference, 1, 1)
		for _, s := range Sets() {
			if got := c.attend(t, s, 1, 1); unequal(got, want) >= 0 {
				t.Fatalf("%s: a score of %x gives %x, want %x", s.Name(), score[3], got[0], want[0])
			}
		}
	}
}

// poison overwrites the keys and values from a position on with a value.
func (c *attentionCase) poison(from int, value float32) {
	row := slices.Repeat([]float32{value}, c.dimensions)
	for p := from; p < c.head.Positions; p++ {
		c.head.Store(p, row, row)
	}
}

func TestStoreIsTheReference(t *testing.T) {
	for _, encoding := range cacheEncodings {
		for k, kind := range kinds {
			random := rand.New(rand.NewPCG(17, uint64(k)))
			for _, dimensions := range []int{5, 16, 64, 80, 128} {
				for _, s := range Sets() {
					want, got := NewHeads(encoding, 1, dimensions, 32)[0], NewHeads(encoding, 1, dimensions, 32)[0]
					for _, position := range []int{0, 5, 15, 16, 31} {
						key, value := make([]float32, dimensions), make([]float32, dimensions)
						for i := range key {
							key[i], value[i] = kind.value(random), kind.value(random)
						}
						want.Store(position, key, value)
						s.Store(&got, position, key, value)
					}
					if !sameHeads(&got, &want) {
						t.Fatalf("%s, %v, %s: head of %d differs", s.Name(), encoding, kind.name, dimensions)
					}
				}
			}
		}
	}
}

func sameHeads(a, b *Head) bool {
	sameHalf := func(x, y uint16) bool {
		return x == y || x&0x7fff > 0x7c00 && y&0x7fff > 0x7c00 // both NaN
	}
	return slices.Equal(a.KeysInt8, b.KeysInt8) && slices.Equal(a.ValuesInt8, b.ValuesInt8) &&
		slices.EqualFunc(a.KeysF16, b.KeysF16, sameHalf) && slices.EqualFunc(a.ValuesF16, b.ValuesF16, sameHalf) &&
		unequal(a.KeysF32, b.KeysF32) < 0 && unequal(a.ValuesF32, b.ValuesF32) < 0 &&
		unequal(a.KeyScales, b.KeyScales) < 0 && unequal(a.ValueScales, b.ValueScales) < 0
}

// BenchmarkAttend measures one head of 64 dimensions in cache: one query at depths 100 and 900, batches of two,
// three and five for verification there, and a prefill of 512.
func BenchmarkAttend(b *testing.B) {
	random := rand.New(rand.NewPCG(18, 18))
	const dimensions, positions = 64, 1024
	for _, encoding := range []CacheEncoding{CacheF16, CacheF32, CacheInt8} {
		c := newAttentionCase(random, encoding, dimensions, positions, 512, kinds[0].value)
		out, scores := make([]float32, 512*dimensions), make([]float32, ScoreSpace(positions))
		for _, shape := range []struct {
			name           string
			first, queries int
		}{{"decode100", 99, 1}, {"verify100x2", 98, 2}, {"verify100x3", 97, 3}, {"decode900", 899, 1}, {"verify900", 895, 5}, {"prefill512", 0, 512}} {
			for _, s := range Sets() {
				b.Run(fmt.Sprintf("%s/%v/%s", shape.name, encoding, s.Name()), func(b *testing.B) {
					for b.Loop() {
						s.Attend(out, dimensions, c.q, &c.head, shape.first, shape.queries, scores)
					}
					products := shape.queries * (2*shape.first + shape.queries + 1) / 2 * 2 * dimensions
					b.ReportMetric(float64(products)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmac/s")
				})
			}
		}
	}
}

// BenchmarkDecodeFromMemory attends at depth 900 with the 144 heads of a model of 12 layers and 12 heads,
// on one thread and on two. Two such caches take turns, which together do not fit into the processor's.
func BenchmarkDecodeFromMemory(b *testing.B) {
	random := rand.New(rand.NewPCG(19, 19))
	const dimensions, positions, depth, count = 64, 1024, 900, 144
	for _, encoding := range []CacheEncoding{CacheF16, CacheF32, CacheInt8} {
		heads := NewHeads(encoding, 2*count, dimensions, positions)
		row := normal(random, dimensions, 1)
		for i := range heads {
			for p := range positions {
				heads[i].Store(p, row, row)
			}
		}
		q := normal(random, dimensions, 0.3)
		for _, s := range Sets() {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%v/%s/threads=%d", encoding, s.Name(), threads), func(b *testing.B) {
					b.SetBytes(int64(count * depth * heads[0].BytesPerPosition()))
					var wait sync.WaitGroup
					for thread := range threads {
						wait.Go(func() {
							out, scores := make([]float32, dimensions), make([]float32, ScoreSpace(positions))
							for pass := range b.N {
								for i := thread; i < count; i += threads {
									s.Attend(out, dimensions, q, &heads[pass%2*count+i], depth-1, 1, scores)
								}
							}
						})
					}
					wait.Wait()
				})
			}
		}
	}
}

func BenchmarkStore(b *testing.B) {
	random := rand.New(rand.NewPCG(20, 20))
	key, value := normal(random, 64, 1), normal(random, 64, 1)
	for _, encoding := range cacheEncodings {
		head := NewHeads(encoding, 1, 64, 1024)[0]
		for _, s := range Sets() {
			b.Run(fmt.Sprintf("%v/%s", encoding, s.Name()), func(b *testing.B) {
				position := 0
				for b.Loop() {
					s.Store(&head, position, key, value)
					position = (position + 1) % 1024
				}
			})
		}
	}
}
