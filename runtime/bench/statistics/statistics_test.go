package statistics

import "testing"

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values      []float64
		share, want float64
	}{{nil, 0.5, 0}, {[]float64{3}, 0.25, 3}, {[]float64{9, 1}, 0.5, 5}, {[]float64{9, 1, 2}, 0.5, 2}, {[]float64{5, 1, 2, 3, 4}, 0.75, 4}, {[]float64{4, 0}, 0.25, 1}} {
		if got := Quantile(c.values, c.share); got != c.want {
			t.Errorf("%v of %v is %v, want %v", c.share, c.values, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 100, 1, 3}, 3.5}} {
		if got := Median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}
