package kernels

import (
	"math/rand/v2"
	"testing"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/guardtest"
	"github.com/tti-llm/tti/format/panel"
)

// FuzzKernelsStayInside gives kernels of random shapes their inputs and outputs right behind, or right before, pages that
// cannot be touched. One that reads or writes outside of them does not fail the test, it kills the process.
func FuzzKernelsStayInside(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 50))
		set, side := Sets()[random.IntN(len(Sets()))], guardtest.Sides[random.IntN(len(guardtest.Sides))]
		m := guardtest.New(t, side)
		matMulInside(t, set, m, random)
		rowsInside(set, m, random)
		attentionInside(set, m, random)
	})
}

// guardedMatrix moves a matrix.
func guardedMatrix(t *testing.T, m *guardtest.Memory, w panel.Matrix) panel.Matrix {
	t.Helper()
	size, err := w.Encoding.Size([]int{w.Rows, w.Columns})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := panel.View(w.Encoding, w.Rows, w.Columns, m.Bytes(int(size)))
	if err != nil {
		t.Fatal(err)
	}
	copy(moved.Codes, w.Codes)
	copy(moved.RowScales, w.RowScales)
	copy(moved.GroupScales, w.GroupScales)
	return moved
}

func guardedActivations(m *guardtest.Memory, x *Activations) *Activations {
	return &Activations{
		Tokens: x.Tokens, Columns: x.Columns,
		Values: guardtest.Copy(m, x.Values), Codes: guardtest.Copy(m, x.Codes), Scales: guardtest.Copy(m, x.Scales), Sums: guardtest.Copy(m, x.Sums),
	}
}

func matMulInside(t *testing.T, s *Set, m *guardtest.Memory, random *rand.Rand) {
	for _, encoding := range matrixEncodings {
		rows, columns, tokens := 1+random.IntN(300), 1+random.IntN(400), 1+random.IntN(20)
		w := randomMatrix(t, random, encoding, rows, columns, func() float32 { return float32(random.NormFloat64()) })
		x, bias := input(random, tokens, columns), normal(random, format.PaddedRows(rows), 1)
		last := 1 + random.IntN(w.Panels())
		first, stride := random.IntN(last), last*panelRows+random.IntN(3)
		want := make([]float32, (tokens-1)*stride+last*panelRows)
		reference.MatMul(want, stride, &w, x, bias[:last*panelRows], first, last)

		moved, out := guardedMatrix(t, m, w), guardtest.Copy(m, make([]float32, len(want)))
		s.MatMul(out, stride, &moved, guardedActivations(m, x), guardtest.Copy(m, bias[:last*panelRows]), first, last)
		if i := unequal(out, want); i >= 0 {
			t.Fatalf("%v [%d %d], %d tokens: element %d is %x, want %x", encoding, rows, columns, tokens, i, out[i], want[i])
		}
	}
}

func rowsInside(s *Set, m *guardtest.Memory, random *rand.Rand) {
	n := 1 + random.IntN(300)
	x, y := normal(random, n, 1), normal(random, n, 1)
	row := func() []float32 { return guardtest.Copy(m, x) }
	other := guardtest.Copy(m, y)

	for f := range s.activate {
		s.Activate(ActivationFunction(f), row())
		s.Gate(ActivationFunction(f), row(), other)
	}
	s.SoftCap(row(), 30)
	half := n / 2
	s.Rotate(guardtest.Copy(m, x[:2*half]), guardtest.Copy(m, y[:half]), guardtest.Copy(m, y[half:2*half]))
	s.Add(row(), other)
	s.Scale(row(), other, 3)
	s.ArgMax(row())
	s.Threshold(row(), 1+random.IntN(min(n, MaxThreshold)))
	s.Collect(guardtest.Copy(m, make([]int32, CollectSpace(n))), row(), 0)
	s.Count(row(), 0)
	s.Read(guardtest.Copy(m, make([]byte, n)))

	rows := 1 + random.IntN(5)
	xStride, dstStride := n+random.IntN(4), n+random.IntN(4)
	s.LayerNorm(guardtest.Copy(m, make([]float32, (rows-1)*dstStride+n)), dstStride,
		guardtest.Copy(m, normal(random, (rows-1)*xStride+n, 1)), xStride, rows, other, row(), 1e-5)
	s.RMSNorm(guardtest.Copy(m, make([]float32, (rows-1)*dstStride+n)), dstStride,
		guardtest.Copy(m, normal(random, (rows-1)*xStride+n, 1)), xStride, rows, other, 1e-5)

	a := guardedActivations(m, input(random, rows, n))
	s.Quantize(a, 0, rows)
	s.QuantizeColumns(a, 0, n)
}

func attentionInside(s *Set, m *guardtest.Memory, random *rand.Rand) {
	for _, encoding := range kvEncodingList {
		width, positions, rows := 1+random.IntN(260), 1+random.IntN(150), 1+random.IntN(12)
		// One head of one layer: its first and last bytes are those of the page.
		layout := NewKVLayout(encoding, 1, 1, width, 16<<random.IntN(3))
		var pages []KVPage
		for p := 0; p < positions; p += layout.Positions {
			pages = append(pages, m.Bytes(layout.PageBytes()))
		}
		head := layout.Head(pages, 0, 0)
		for p := range positions {
			s.Store(&head, p, guardtest.Copy(m, normal(random, width, 1)), guardtest.Copy(m, normal(random, width, 1)))
		}
		stride := head.Width + random.IntN(3)
		counts := causal(positions-1, 1, rows)
		if rows <= positions && random.IntN(2) == 0 {
			counts = causal(positions-rows, rows, 1)
		}
		window := random.IntN(2) * random.IntN(40)
		out := guardtest.Copy(m, make([]float32, (rows-1)*stride+head.Width))
		queries := Queries{
			Head: head, Rows: guardtest.Copy(m, normal(random, rows*head.Width, 1)), Counts: counts, Window: window, SoftCap: float32(random.IntN(2) * 30),
			Spans: []Span{{pages, 0, rows, 0, positions}},
		}
		s.Attend(out, stride, &queries, guardtest.Copy(m, make([]float32, ScoreSpace(positions))))
	}
}
