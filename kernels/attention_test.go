package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

var kvEncodingList = []KVEncoding{KVF32, KVF16, KVInt8}

// softCaps are bounds of scores: none, one that most scores exceed and Gemma 2's.
var softCaps = []float32{0, 2.5, 50}

// newPages returns pages for that many positions.
func newPages(l KVLayout, positions int) []KVPage {
	pages := make([]KVPage, (positions+l.Positions-1)/l.Positions)
	for i := range pages {
		pages[i] = make(KVPage, l.PageBytes())
	}
	return pages
}

// attentionCase is a head among others, filled with keys and values of some kind, and rows of queries.
type attentionCase struct {
	head  KVHead
	width int // of the head, before padding
	keys  [][]float32
	value [][]float32
	q     []float32
}

// newAttentionCase fills a head in pages of the given number of positions.
func newAttentionCase(random *rand.Rand, encoding KVEncoding, width, page, positions, rows int, value func(*rand.Rand) float32) *attentionCase {
	layout := NewKVLayout(encoding, 2, 3, width, page)
	c := &attentionCase{head: layout.Head(newPages(layout, positions), 1, 1), width: width}
	row := func() []float32 {
		x := make([]float32, width)
		for i := range x {
			x[i] = value(random)
		}
		return x
	}
	for p := range positions {
		c.keys, c.value = append(c.keys, row()), append(c.value, row())
		storeReference(&c.head, p, c.keys[p], c.value[p])
	}
	c.q = make([]float32, rows*c.head.Width)
	for i := range rows {
		copy(c.q[i*c.head.Width:], row())
	}
	return c
}

// paged returns the same case in pages of another size.
func (c *attentionCase) paged(page int) *attentionCase {
	other := *c
	layout := NewKVLayout(c.head.Encoding, 1, 1, c.width, page)
	other.head = layout.Head(newPages(layout, len(c.keys)), 0, 0)
	for p := range c.keys {
		storeReference(&other.head, p, c.keys[p], c.value[p])
	}
	return &other
}

// queries returns the queries of one sequence.
func (c *attentionCase) queries(counts []int, window int, softCap float32) *Queries {
	return &Queries{Head: c.head, Rows: c.q, Counts: counts, Window: window, SoftCap: softCap, Spans: []Span{{c.head.pages, 0, len(counts), 0, counts[len(counts)-1]}}}
}

// attend returns what a set makes of the case, into rows that are longer than the head.
func (c *attentionCase) attend(t testing.TB, s *Set, counts []int, window int, softCap float32) []float32 {
	t.Helper()
	const guard, gap = 4321.5, 7
	stride := c.head.Width + gap
	out := slices.Repeat([]float32{guard}, len(counts)*stride)
	scores := slices.Repeat([]float32{float32(math.NaN())}, ScoreSpace(counts[len(counts)-1]))
	s.Attend(out, stride, c.queries(counts, window, softCap), scores)
	for i := range counts {
		for _, v := range out[i*stride+c.head.Width : (i+1)*stride] {
			if v != guard {
				t.Fatalf("%s wrote behind row %d", s.Name(), i)
			}
		}
	}
	return out
}

// causal returns the counts of consecutive queries from a position on, each for as many heads.
func causal(first, queries, heads int) []int {
	var counts []int
	for i := range queries * heads {
		counts = append(counts, first+i/heads+1)
	}
	return counts
}

func TestAttendIsTheReference(t *testing.T) {
	needsAnother(t)
	const positions = 112
	for _, encoding := range kvEncodingList {
		for k, kind := range kinds {
			t.Run(fmt.Sprint(encoding, "/", kind.name), func(t *testing.T) {
				random := rand.New(rand.NewPCG(15, uint64(k)))
				widths := []int{5, 16, 32, 64, 80, 96, 128, 256}
				if testing.Short() { // for emulators: each kind has other widths
					widths = []int{widths[k%8], widths[(k+4)%8]}
				}
				for _, width := range widths {
					page := 16 << random.IntN(3)
					c := newAttentionCase(random, encoding, width, page, positions, 64, kind.value)
					for _, counts := range [][]int{
						causal(0, 1, 1), causal(0, 9, 1), causal(0, 64, 1), causal(1, 2, 1), causal(13, 3, 1), causal(14, 4, 1), causal(15, 1, 1),
						causal(15, 5, 1), causal(16, 1, 1), causal(30, 6, 1), causal(31, 7, 1), causal(33, 8, 1), causal(48, 64, 1),
						causal(random.IntN(48), 1+random.IntN(64), 1),
						causal(37, 1, 2), causal(63, 1, 3), causal(64, 1, 4), causal(47, 3, 3), causal(90, 1, 8), causal(20, 8, 7), causal(111, 1, 5), causal(79, 2, 6),
						{1, 1, 40, 40, 41, 112}, {16, 112, 112}, {17, 33, 65, 66, 100},
					} {
						for _, window := range []int{0, 1 + random.IntN(20), []int{1, 16, 24}[random.IntN(3)], 200} {
							softCap := softCaps[random.IntN(len(softCaps))]
							want := c.attend(t, &reference, counts, window, softCap)
							for _, s := range others() {
								got := c.attend(t, s, counts, window, softCap)
								if i := unequal(got, want); i >= 0 {
									stride := len(got) / len(counts)
									t.Fatalf("%s: head of %d, pages of %d, counts %v, window %d, cap %v: row %d, dimension %d is %x, want %x",
										s.Name(), width, page, counts, window, softCap, i/stride, i%stride, got[i], want[i])
								}
							}
						}
					}
				}
			})
		}
	}
}

// TestLongAttendIsTheReference has more rows and positions than go through the cache in one step.
func TestLongAttendIsTheReference(t *testing.T) {
	needsAnother(t)
	random := rand.New(rand.NewPCG(25, 25))
	for _, encoding := range kvEncodingList {
		for _, page := range []int{16, 64, 512} {
			c := newAttentionCase(random, encoding, 32, page, 2*attendPositions+40, 24, kinds[0].value)
			for _, first := range []int{attendPositions - 24, attendPositions - 6, attendPositions - 1, attendPositions, 2*attendPositions - 4, 2*attendPositions + 16} {
				for _, counts := range [][]int{causal(first, 24, 1), causal(first, 5, 1), causal(first, 6, 4), causal(first, 2, 7), append(causal(3, 7, 1), first+9)} {
					for _, window := range []int{0, 3, 40, attendPositions + 5} {
						want := c.attend(t, &reference, counts, window, 0)
						for _, s := range others() {
							if i := unequal(c.attend(t, s, counts, window, 0), want); i >= 0 {
								t.Fatalf("%s, %v: pages of %d, counts %v, window %d: value %d differs", s.Name(), encoding, page, counts, window, i)
							}
						}
					}
				}
			}
		}
	}
}

// attendExactly is attention by its textbook definition in float64. A soft cap of 0 is none.
func attendExactly(q []float32, keys, values [][]float32, softCap float64) []float64 {
	scores, sum, out := make([]float64, len(keys)), 0.0, make([]float64, len(keys[0]))
	for t, key := range keys {
		for d, k := range key {
			scores[t] += float64(q[d]) * float64(k)
		}
		if softCap > 0 {
			scores[t] = softCap * math.Tanh(scores[t]/softCap)
		}
		scores[t] = math.Exp(scores[t])
		sum += scores[t]
	}
	for t, value := range values {
		for d, v := range value {
			out[d] += scores[t] / sum * float64(v)
		}
	}
	return out
}

func TestAttendIsAttention(t *testing.T) {
	counts := []int{1, 2, 2, 17, 17, 33, 34, 34, 34, 37}
	for encoding, allowed := range map[KVEncoding]float64{KVF32: 1e-6, KVF16: 4e-3, KVInt8: 5e-2} {
		random := rand.New(rand.NewPCG(10, uint64(encoding)))
		for _, width := range []int{64, 5, 80} {
			c := newAttentionCase(random, encoding, width, 16, 37, len(counts), func(r *rand.Rand) float32 { return float32(r.NormFloat64()) })
			for i := range c.q {
				c.q[i] *= 0.3
			}
			for k, window := range []int{0, 1, 9, 30, 0, 9} {
				softCap, allowed := softCaps[k%len(softCaps)], allowed
				if softCap > 0 {
					allowed *= 2 // its own rounding
				}
				got := c.attend(t, &reference, counts, window, softCap)
				stride := len(got) / len(counts)
				for i, count := range counts {
					first := 0
					if window > 0 {
						first = max(0, count-window)
					}
					for d, want := range attendExactly(c.q[i*c.head.Width:], c.keys[first:count], c.value[first:count], float64(softCap)) {
						if got := float64(got[i*stride+d]); math.Abs(got-want) > allowed {
							t.Fatalf("%v: window %d, row %d of %d positions, dimension %d: %v, want %v", encoding, window, i, count, d, got, want)
						}
					}
				}
			}
		}
	}
}

// TestAttendDoesNotDependOnTheTile runs rows together and one at a time, with everything that a row does
// not see poisoned: what a tile shares must not leak.
func TestAttendDoesNotDependOnTheTile(t *testing.T) {
	random := rand.New(rand.NewPCG(16, 16))
	poison := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -math.MaxFloat32, float32(math.Copysign(0, -1))}
	for _, encoding := range kvEncodingList {
		for _, s := range Sets() {
			for rows := 1; rows <= 9; rows++ {
				for _, first := range []int{0, 3, 12, 15, 16, 29, 32} {
					for _, window := range []int{0, 2, 17} {
						const width, positions = 64, 48
						c := newAttentionCase(random, encoding, width, 16, positions, rows, kinds[0].value)
						counts := causal(first, (rows+1)/2, 2)[:rows]
						c.poison(counts[rows-1], positions, poison[random.IntN(len(poison))])
						softCap := softCaps[random.IntN(len(softCaps))]
						together := c.attend(t, s, counts, window, softCap)
						for i, count := range counts {
							alone := c.paged(32)
							alone.q = c.q[i*width:]
							alone.poison(0, seenFrom(count, window), poison[random.IntN(len(poison))])
							alone.poison(count, positions, poison[random.IntN(len(poison))])
							got := alone.attend(t, s, counts[i:i+1], window, softCap)
							want := together[i*len(got):][:len(got)]
							if d := unequal(got, want); d >= 0 {
								t.Fatalf("%s, %v: row %d of %v, window %d: dimension %d is %x alone, %x together",
									s.Name(), encoding, i, counts, window, d, got[d], want[d])
							}
						}
					}
				}
			}
		}
	}
}

// TestAttendInSteps takes the steps one by one, as threads that share a head do, in random parts.
func TestAttendInSteps(t *testing.T) {
	random := rand.New(rand.NewPCG(23, 23))
	for _, encoding := range kvEncodingList {
		for _, s := range Sets() {
			for range 40 {
				width, rows, window := 16*(1+random.IntN(8)), 1+random.IntN(9), random.IntN(2)*(1+random.IntN(60))
				c := newAttentionCase(random, encoding, width, 16<<random.IntN(3), 150, rows, kinds[0].value)
				counts := causal(random.IntN(140), (rows+2)/3, 3)[:rows]
				softCap := softCaps[random.IntN(len(softCaps))]
				want := c.attend(t, s, counts, window, softCap)
				stride := len(want) / rows
				got := slices.Clone(want) // keeps what lies between the rows
				row, q := PaddedPositions(counts[rows-1]), c.queries(counts, window, softCap)
				scores, sums := make([]float32, rows*row), make([]float32, rows)
				for from := 0; from < row; {
					to := from + blockPositions*(1+random.IntN((row-from)/blockPositions))
					s.Scores(scores, row, q, 0, rows, from, to)
					from = to
				}
				for i := range counts {
					clear(got[i*stride:][:width])
					sums[i] = s.Softmax(scores[i*row:][:row], q, i)
				}
				for from := 0; from < width; {
					to := from + 16*(1+random.IntN((width-from)/16))
					s.Weigh(got, stride, scores, row, sums, q, 0, rows, from, to)
					from = to
				}
				if i := unequal(got, want); i >= 0 {
					t.Fatalf("%s, %v: head of %d, counts %v, window %d: row %d, dimension %d is %x, want %x",
						s.Name(), encoding, width, counts, window, i/stride, i%stride, got[i], want[i])
				}
			}
		}
	}
}

// TestAttendNearTheLimitOfExp gives one of two positions a score around the one whose weight becomes
// zero, and a value that makes the smallest weight visible.
func TestAttendNearTheLimitOfExp(t *testing.T) {
	const width = 16
	layout := NewKVLayout(KVF32, 1, 1, width, 16)
	c := &attentionCase{head: layout.Head(newPages(layout, 16), 0, 0), width: width, q: make([]float32, width)}
	c.q[3] = 1
	limit := math.Float32bits(ExpMin)
	for bits := limit - 200; bits < limit+200; bits++ {
		zero, score, large := make([]float32, width), make([]float32, width), slices.Repeat([]float32{0x1p100}, width)
		score[3] = math.Float32frombits(bits)
		storeReference(&c.head, 0, zero, zero)
		storeReference(&c.head, 1, score, large)
		want := c.attend(t, &reference, []int{2}, 0, 0)
		for _, s := range Sets() {
			if got := c.attend(t, s, []int{2}, 0, 0); unequal(got, want) >= 0 {
				t.Fatalf("%s: a score of %x gives %x, want %x", s.Name(), score[3], got[0], want[0])
			}
		}
	}
}

// poison overwrites the keys and values of positions first <= p < last with a value.
func (c *attentionCase) poison(first, last int, value float32) {
	row := slices.Repeat([]float32{value}, c.width)
	for p := first; p < last; p++ {
		storeReference(&c.head, p, row, row)
	}
}

// TestStoreIsTheReference compares whole pages, other heads and layers included.
func TestStoreIsTheReference(t *testing.T) {
	for _, encoding := range kvEncodingList {
		for k, kind := range kinds {
			random := rand.New(rand.NewPCG(17, uint64(k)))
			for _, width := range []int{5, 16, 64, 80, 128} {
				layout := NewKVLayout(encoding, 2, 3, width, 16)
				for _, s := range Sets() {
					want, got := newPages(layout, 32), newPages(layout, 32)
					wantHead, gotHead := layout.Head(want, 1, 1), layout.Head(got, 1, 1)
					for _, position := range []int{0, 5, 15, 16, 31} {
						key, value := make([]float32, width), make([]float32, width)
						for i := range key {
							key[i], value[i] = kind.value(random), kind.value(random)
						}
						storeReference(&wantHead, position, key, value)
						s.Store(&gotHead, position, key, value)
					}
					for i := range want {
						if !samePages(&gotHead, got[i], want[i]) {
							t.Fatalf("%s, %v, %s: page %d of a head of %d differs", s.Name(), encoding, kind.name, i, width)
						}
					}
				}
			}
		}
	}
}

// samePages compares two pages; NaNs may differ in sign and payload.
func samePages(h *KVHead, a, b KVPage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	isNaN := func(x float32) bool { return x != x }
	switch h.Encoding {
	case KVF32:
		for i := range len(a) / 4 {
			if x, y := float32At(a, i), float32At(b, i); math.Float32bits(x) != math.Float32bits(y) && !(isNaN(x) && isNaN(y)) {
				return false
			}
		}
		return true
	case KVF16:
		for i := range len(a) / 2 {
			if x, y := float16At(a, i), float16At(b, i); math.Float32bits(x) != math.Float32bits(y) && !(isNaN(x) && isNaN(y)) {
				return false
			}
		}
		return true
	}
	return bytes.Equal(a[:h.keyScales], b[:h.keyScales]) && unequal(scalesOf(h, a), scalesOf(h, b)) < 0 &&
		bytes.Equal(a[h.valueScales+4*h.Positions:], b[h.valueScales+4*h.Positions:])
}

func scalesOf(h *KVHead, page KVPage) (scales []float32) {
	for i := range 2 * h.Positions {
		scales = append(scales, float32At(page[h.keyScales:], i))
	}
	return scales
}

// TestPartsOfAPage checks that the parts of all heads and layers fill a page without overlap.
func TestPartsOfAPage(t *testing.T) {
	for _, encoding := range kvEncodingList {
		layout := NewKVLayout(encoding, 3, 2, 20, 64)
		end := 0
		for layer := range layout.Layers {
			for head := range layout.Heads {
				h := layout.Head(newPages(layout, 1), layer, head)
				if h.keys != end {
					t.Fatalf("%v: layer %d, head %d begins at %d, want %d", encoding, layer, head, h.keys, end)
				}
				half := layout.Positions * layout.Width * h.Encoding.Bytes()
				if h.values != h.keys+half || h.keyScales != h.values+half || h.valueScales != h.keyScales+4*layout.Positions {
					t.Fatalf("%v: parts at %d, %d, %d, %d", encoding, h.keys, h.values, h.keyScales, h.valueScales)
				}
				if end = h.keyScales; encoding == KVInt8 {
					end = h.valueScales + 4*layout.Positions
				}
			}
		}
		if end != layout.PageBytes() {
			t.Errorf("%v: a page has %d bytes, its parts %d", encoding, layout.PageBytes(), end)
		}
	}
}

// BenchmarkAttend measures one head of 64 dimensions in cache: one query at several depths, batches of two, three and five
// for verification there, query heads that share the head, and a prefill of 512; and what a window and a soft cap make of
// these.
func BenchmarkAttend(b *testing.B) {
	random := rand.New(rand.NewPCG(18, 18))
	const width, positions = 64, 1024
	for _, encoding := range []KVEncoding{KVF16, KVF32, KVInt8} {
		c := newAttentionCase(random, encoding, width, 32, positions, 512, kinds[0].value)
		for _, shape := range []struct {
			name    string
			counts  []int
			window  int
			softCap float32
		}{
			{"decode100", causal(99, 1, 1), 0, 0},
			{"verify100x2", causal(98, 2, 1), 0, 0},
			{"verify100x3", causal(97, 3, 1), 0, 0},
			{"decode900", causal(899, 1, 1), 0, 0},
			{"verify900", causal(895, 5, 1), 0, 0},
			{"grouped900x4", causal(899, 1, 4), 0, 0},
			{"grouped900x8", causal(899, 1, 8), 0, 0},
			{"prefill512", causal(0, 512, 1), 0, 0},

			{"decode128", causal(127, 1, 1), 0, 0},
			{"decode900window128", causal(899, 1, 1), 128, 0},
			{"grouped128x4", causal(127, 1, 4), 0, 0},
			{"grouped900x4window128", causal(899, 1, 4), 128, 0},
			{"grouped128x8", causal(127, 1, 8), 0, 0},
			{"grouped900x8window128", causal(899, 1, 8), 128, 0},
			{"prefill512window128", causal(0, 512, 1), 128, 0},
			{"decode900capped", causal(899, 1, 1), 0, 50},
			{"grouped900x4capped", causal(899, 1, 4), 0, 50},
		} {
			for _, s := range Sets() {
				b.Run(fmt.Sprintf("%s/%v/%s", shape.name, encoding, s.Name()), func(b *testing.B) {
					c.measure(b, s, shape.counts, shape.window, shape.softCap)
				})
			}
		}
	}
}

// BenchmarkAttendWidths measures four query heads that share a head of other widths at depth 900, in cache.
func BenchmarkAttendWidths(b *testing.B) {
	random := rand.New(rand.NewPCG(24, 24))
	for _, width := range []int{64, 80, 96, 128, 256} {
		c := newAttentionCase(random, KVF16, width, 32, 1024, 4, kinds[0].value)
		for _, s := range Sets() {
			b.Run(fmt.Sprintf("%d/%s", width, s.Name()), func(b *testing.B) { c.measure(b, s, causal(899, 1, 4), 0, 0) })
		}
	}
}

// measure runs attention and counts the multiply-adds that are asked for.
func (c *attentionCase) measure(b *testing.B, s *Set, counts []int, window int, softCap float32) {
	products := 0
	for _, count := range counts {
		products += 2 * (count - seenFrom(count, window)) * c.head.Width
	}
	out, scores := make([]float32, len(counts)*c.head.Width), make([]float32, ScoreSpace(counts[len(counts)-1]))
	queries := c.queries(counts, window, softCap)
	for b.Loop() {
		s.Attend(out, c.head.Width, queries, scores)
	}
	b.ReportMetric(float64(products)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmac/s")
}

// BenchmarkDecodeFromMemory attends at depth 900 with the 144 heads of a model of 12 layers and 12 heads,
// on one thread and on two. Two such caches take turns, which together do not fit into the processor's.
func BenchmarkDecodeFromMemory(b *testing.B) {
	random := rand.New(rand.NewPCG(19, 19))
	const width, positions, depth, layers, heads = 64, 1024, 900, 12, 12
	for _, encoding := range []KVEncoding{KVF16, KVF32, KVInt8} {
		for _, page := range []int{16, 32, 64, 128} {
			layout := NewKVLayout(encoding, layers, heads, width, page)
			row := normal(random, width, 1)
			var all []KVHead
			for range 2 {
				pages := newPages(layout, positions)
				for i := range layers * heads {
					all = append(all, layout.Head(pages, i/heads, i%heads))
					for p := range positions {
						storeReference(&all[len(all)-1], p, row, row)
					}
				}
			}
			q, counts := normal(random, width, 0.3), []int{depth}
			for _, s := range Sets() {
				for _, threads := range []int{1, 2} {
					b.Run(fmt.Sprintf("%v/pages=%d/%s/threads=%d", encoding, page, s.Name(), threads), func(b *testing.B) {
						b.SetBytes(int64(depth * layout.PositionBytes()))
						var wait sync.WaitGroup
						for thread := range threads {
							wait.Go(func() {
								out, scores := make([]float32, width), make([]float32, ScoreSpace(positions))
								queries := Queries{Rows: q, Counts: counts, Spans: make([]Span, 1)}
								for pass := range b.N {
									for i := thread; i < layers*heads; i += threads {
										queries.Head = all[pass%2*layers*heads+i]
										queries.Spans[0] = Span{queries.Head.pages, 0, 1, 0, depth}
										s.Attend(out, width, &queries, scores)
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
}

func BenchmarkStore(b *testing.B) {
	random := rand.New(rand.NewPCG(20, 20))
	key, value := normal(random, 64, 1), normal(random, 64, 1)
	for _, encoding := range kvEncodingList {
		layout := NewKVLayout(encoding, 1, 1, 64, 32)
		head := layout.Head(newPages(layout, 1024), 0, 0)
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
