package kv

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tti-llm/tti/kernels"
)

// layout has pages of 16 positions of 128 bytes each.
var layout = kernels.NewKVLayout(kernels.KVF32, 1, 1, 16, 16)

// written is a sequence and what was last written to each of its positions.
type written struct {
	*Sequence
	marks []uint64
}

func (w *written) place(position int) []byte {
	return w.Pages()[position/16][position%16*8:][:8]
}

func (w *written) append(t *testing.T, marks ...uint64) {
	t.Helper()
	if err := w.Reserve(len(w.marks), len(w.marks)+len(marks)); err != nil {
		t.Fatal(err)
	}
	for _, mark := range marks {
		binary.LittleEndian.PutUint64(w.place(len(w.marks)), mark)
		w.marks = append(w.marks, mark)
	}
}

// TestSequencesKeepTheirOwn lets a family of sequences grow, fork, shrink and end at random: each holds what was written
// to it, whatever the others do, and the pool counts each page that somebody holds once.
func TestSequencesKeepTheirOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	pool, err := NewPool(layout, 0)
	if err != nil {
		t.Fatal(err)
	}
	family := []*written{{Sequence: pool.NewSequence()}}
	for step := range 20_000 {
		i := random.IntN(len(family))
		switch w := family[i]; random.IntN(6) {
		case 0:
			if len(family) < 12 {
				n := random.IntN(len(w.marks) + 1)
				family = append(family, &written{w.Fork(n), slices.Clone(w.marks[:n])})
			}
		case 1:
			n := random.IntN(len(w.marks) + 1)
			w.Truncate(n)
			w.marks = w.marks[:n]
		case 2:
			if len(family) > 1 {
				w.Close()
				family = slices.Delete(family, i, i+1)
			}
		default:
			marks := make([]uint64, random.IntN(20))
			for j := range marks {
				marks[j] = random.Uint64()
			}
			if len(w.marks) < 150 {
				w.append(t, marks...)
			}
		}
		distinct := map[*byte]bool{}
		for _, w := range family {
			for position, mark := range w.marks {
				if got := binary.LittleEndian.Uint64(w.place(position)); got != mark {
					t.Fatalf("step %d: position %d of %d holds %x, want %x", step, position, len(w.marks), got, mark)
				}
			}
			for _, page := range w.Pages() {
				distinct[&page[0]] = true
			}
			if most := (len(w.marks) + 15) / 16; len(w.Pages()) != most {
				t.Fatalf("step %d: %d pages for %d positions", step, len(w.Pages()), len(w.marks))
			}
		}
		if want := int64(len(distinct) * layout.PageBytes()); pool.Taken() != want {
			t.Fatalf("step %d: %d bytes taken, want %d", step, pool.Taken(), want)
		}
	}
	for _, w := range family {
		w.Close()
	}
	if pool.Taken() != 0 {
		t.Errorf("%d bytes stay taken", pool.Taken())
	}
}

// TestLimit reserves more than there may be, alone and to copy a shared page: nothing is lost, and nothing is kept.
func TestLimit(t *testing.T) {
	if _, err := NewPool(layout, int64(layout.PageBytes())-1); !errors.Is(err, ErrLimit) {
		t.Errorf("a pool without a page: %v", err)
	}
	pool, err := NewPool(layout, 3*int64(layout.PageBytes()))
	if err != nil {
		t.Fatal(err)
	}
	w := &written{Sequence: pool.NewSequence()}
	w.append(t, make([]uint64, 20)...)
	if err := w.Reserve(20, 49); !errors.Is(err, ErrLimit) || len(w.Pages()) != 2 {
		t.Errorf("a fourth page: %v, %d pages are held", err, len(w.Pages()))
	}
	fork := w.Fork(20)
	if err := fork.Reserve(20, 21); err != nil { // the third page is the copy
		t.Fatal(err)
	}
	other := w.Fork(10)
	if err := other.Reserve(10, 11); !errors.Is(err, ErrLimit) {
		t.Errorf("a copy too many: %v", err)
	}
	w.Close()
	if err := other.Reserve(10, 11); err != nil {
		t.Errorf("after a page was given back: %v", err)
	}
}

// TestPagesAreUsedAgain: what was given back is taken first, until nobody has wanted it for a while.
func TestPagesAreUsedAgain(t *testing.T) {
	pool, err := NewPool(layout, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := pool.NewSequence()
	if err := s.Reserve(0, 1); err != nil {
		t.Fatal(err)
	}
	first := &s.Pages()[0][0]
	s.Close()
	if err := s.Reserve(0, 1); err != nil || &s.Pages()[0][0] != first {
		t.Errorf("a new page was made: %v", err)
	}
	s.Close()
	pool.forgetIdle()
	if err := s.Reserve(0, 1); err != nil || &s.Pages()[0][0] == first {
		t.Errorf("a forgotten page was taken: %v", err)
	}
}
