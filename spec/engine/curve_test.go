package engine

import (
	"math"
	"testing"

	"github.com/tti-llm/tti/runtime/forward"
)

// TestCurve measures a machine that takes 10 and 1 for every row: what lies between is on the line, what lies beyond is not
// underestimated.
func TestCurve(t *testing.T) {
	var c curve
	cost := func(rows int) float64 { return 10 + float64(rows) }
	if c.seconds(5) != 0 {
		t.Errorf("unmeasured: %v", c.seconds(5))
	}
	for _, rows := range []int{4, 8, 20} {
		c.add(rows, cost(rows))
	}
	for rows := 1; rows <= 3*forward.MaxRows; rows++ {
		got := c.seconds(rows)
		switch {
		case rows < 4 && got != cost(4), rows >= 4 && rows <= 20 && math.Abs(got-cost(rows)) > 1e-9, rows > 20 && got < cost(rows):
			t.Errorf("%d rows: %v, they cost %v", rows, got, cost(rows))
		}
	}
}

// TestCurveLearnsStepwise lets a scheduler that knows nothing use what the curve allows: it soon uses the whole budget, and
// never a step exceeds it.
func TestCurveLearnsStepwise(t *testing.T) {
	for _, decoding := range []int{1, 4, 31} {
		for _, slope := range []float64{0.02, 0.2, 1} {
			cost := func(rows int) float64 { return 10 + slope*float64(rows) }
			var c curve
			c.add(decoding, cost(decoding))
			more := 0
			for range 12 {
				more = c.beside(decoding, 2)
				if more > 1 && cost(decoding+more) > 2*cost(decoding)+1e-9 {
					t.Fatalf("%d rows beside %d cost %v, alone %v", more, decoding, cost(decoding+more), cost(decoding))
				}
				c.add(decoding+more, cost(decoding+more))
			}
			want := 1
			for want < forward.MaxRows && decoding+want < forward.MaxRows && cost(decoding+want+1) <= 2*cost(decoding) {
				want++
			}
			if more < want*9/10 {
				t.Errorf("%d rows beside %d at %v a row, there is time for %d", more, decoding, slope, want)
			}
		}
	}
}

// TestCurveFollows lets the machine become slower and faster.
func TestCurveFollows(t *testing.T) {
	var c curve
	for _, speed := range []float64{1, 3, 0.5} {
		for range 60 {
			c.add(1, 10*speed)
			c.add(30, 40*speed)
		}
		for rows, want := range map[int]float64{1: 10 * speed, 30: 40 * speed} {
			if got := c.seconds(rows); math.Abs(got-want) > 0.1*want {
				t.Errorf("at %v: %d rows take %v, want %v", speed, rows, got, want)
			}
		}
	}
}

// TestCurveOfSeveralPasses measures only batches of more rows than a pass has.
func TestCurveOfSeveralPasses(t *testing.T) {
	cost := func(rows int) float64 { // of passes that take 10 and 1 for every row
		return float64(10*((rows+forward.MaxRows-1)/forward.MaxRows) + rows)
	}
	var c curve
	for range 200 {
		for _, rows := range []int{64, 70, 100, 128, 150} {
			if c.beside(rows, 2) == 0 && c.measures > 0 {
				t.Fatalf("nothing may go beside %d rows", rows)
			}
			c.add(rows, cost(rows))
		}
	}
	for _, rows := range []int{64, 70, 100, 128, 150, 192} {
		if got := c.seconds(rows); math.Abs(got-cost(rows)) > 0.05*cost(rows) {
			t.Errorf("%d rows: %v, they cost %v", rows, got, cost(rows))
		}
	}
}

// TestCurveMeasuresAlone: what goes beside some rows is decided when it is known how long they take.
func TestCurveMeasuresAlone(t *testing.T) {
	var c curve
	c.add(64, 74)
	if c.beside(3, 2) != 0 {
		t.Errorf("%d rows go beside 3, which were never measured", c.beside(3, 2))
	}
	c.add(2, 12)
	if got := c.beside(3, 2); got < 8 || 10+3+got > 2*(10+3) {
		t.Errorf("%d rows go beside 3", got)
	}
}
