package format

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// referenceSize is the table of FORMAT.md in integers that cannot overflow, or nil if the shape is
// not one of the encoding.
func referenceSize(e Encoding, shape []int) *big.Int {
	number := func(n int64) *big.Int { return big.NewInt(n) }
	product := func(factors ...*big.Int) *big.Int {
		p := number(1)
		for _, f := range factors {
			p.Mul(p, f)
		}
		return p
	}
	if len(shape) == 0 || len(shape) > 4 {
		return nil
	}
	var dimensions []*big.Int
	for _, d := range shape {
		if d <= 0 {
			return nil
		}
		dimensions = append(dimensions, number(int64(d)))
	}
	up := func(n *big.Int, to int64) *big.Int { // ceil(n / to)
		n = new(big.Int).Add(n, number(to-1))
		return n.Div(n, number(to))
	}
	switch {
	case e == Float32:
		return product(append(dimensions, number(4))...)
	case e == Bytes && len(shape) == 1:
		return dimensions[0]
	case e == Bytes || len(shape) != 2:
		return nil
	}
	P, G := up(dimensions[0], 16), up(dimensions[1], 64)
	C := product(G, number(64))
	sum := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	return map[Encoding]*big.Int{
		PanelF32:  product(number(64), P, C),
		PanelF16:  product(number(32), P, C),
		PanelInt8: sum(product(number(16), P, C), product(number(64), P)),
		PanelInt4: sum(product(number(8), P, C), product(number(32), P, G)),
	}[e]
}

// TestSize compares Size with the reference on shapes small, large, and beyond all bounds.
func TestSize(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	dimension := func() int {
		if random.IntN(20) == 0 {
			return []int{0, -1, math.MinInt, math.MaxInt, math.MaxInt - 63, math.MaxInt / 4}[random.IntN(6)]
		}
		return 1 + random.IntN(1<<random.IntN(40))
	}
	accepted := 0
	for range 50_000 {
		shape := make([]int, random.IntN(6))
		if random.IntN(2) == 0 {
			shape = make([]int, 2)
		}
		for i := range shape {
			shape[i] = dimension()
		}
		for e := range encodings {
			want := referenceSize(e, shape)
			got, err := e.Size(shape)
			// Size may refuse what is too large for any file, far below what overflows.
			if tooLarge := want != nil && want.Cmp(big.NewInt(1<<50)) > 0; err != nil && tooLarge {
				continue
			}
			if (err == nil) != (want != nil) || err == nil && want.Cmp(big.NewInt(got)) != 0 {
				t.Fatalf("%v %v: %d, %v, want %v", e, shape, got, err, want)
			}
			if err == nil {
				accepted++
			}
		}
	}
	t.Logf("%d sizes compared", accepted)
}

func TestUnknownEncoding(t *testing.T) {
	if _, err := Encoding(20).Size([]int{1}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if Encoding(20).String() != "encoding(20)" || Encoding(20).IsPanel() || !PanelInt4.IsPanel() || Float32.IsPanel() {
		t.Error("names or panels of encodings are wrong")
	}
}

// TestViews reads values where they lie and refuses what does not hold whole ones.
func TestViews(t *testing.T) {
	b := aligned([]byte{0, 0, 0x80, 0x3f, 1, 2, 3, 4})
	if v := Float32s(b); len(v) != 2 || v[0] != 1 {
		t.Errorf("Float32s: %v", v)
	}
	if v := Uint32s(b); len(v) != 2 || v[1] != 0x04030201 {
		t.Errorf("Uint32s: %x", v)
	}
	if v := Uint16s(b[4:]); len(v) != 2 || v[1] != 0x0403 {
		t.Errorf("Uint16s: %x", v)
	}
	if v := Float32s(nil); len(v) != 0 {
		t.Errorf("of nothing: %v", v)
	}
	b[4] = 9
	if Uint32s(b)[1] != 0x04030209 {
		t.Error("a view is a copy")
	}
	for name, f := range map[string]func(){
		"misaligned float32": func() { Float32s(b[1:5]) },
		"ragged float32":     func() { Float32s(b[:6]) },
		"misaligned uint32":  func() { Uint32s(b[2:6]) },
		"misaligned uint16":  func() { Uint16s(b[1:3]) },
		"ragged uint16":      func() { Uint16s(b[:3]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
