package float16

import (
	"math"
	"testing"
)

// nearestFloat16 is the definition: of all finite binary16 values the nearest, ties to the even
// code, and infinity from the middle between the largest and the next power of two on.
func nearestFloat16(x float32) uint16 {
	best, distance := uint16(0), math.Inf(1)
	for code := range uint16(0x7c00) {
		d := math.Abs(math.Abs(float64(x)) - value16(code))
		if d < distance || d == distance && code%2 == 0 {
			best, distance = code, d
		}
	}
	if math.Abs(float64(x)) >= 65520 {
		best = 0x7c00
	}
	if math.Signbit(float64(x)) {
		best |= 0x8000
	}
	return best
}

func value16(code uint16) float64 {
	exponent, mantissa := int(code>>10), float64(code&0x3ff)
	if exponent == 0 {
		return math.Ldexp(mantissa, -24)
	}
	return math.Ldexp(1024+mantissa, exponent-25)
}

func TestFloat32IsExact(t *testing.T) {
	for code := range uint16(0x7c00) {
		if got := float64(ToFloat32(code)); got != value16(code) {
			t.Fatalf("ToFloat32(%#x) = %v, want %v", code, got, value16(code))
		}
		if got := ToFloat32(code | 0x8000); float64(got) != -value16(code) || !math.Signbit(float64(got)) {
			t.Fatalf("ToFloat32(%#x) = %v, want %v", code|0x8000, got, -value16(code))
		}
	}
	for code := uint16(0x7c01); code < 0x8000; code++ {
		if got := ToFloat32(code); got == got {
			t.Fatalf("ToFloat32(%#x) = %v, want NaN", code, got)
		}
	}
	if !math.IsInf(float64(ToFloat32(0xfc00)), -1) {
		t.Fatal("ToFloat32(0xfc00) is not -Inf")
	}
}

func TestFloat16RoundsToNearestEven(t *testing.T) {
	for code := range uint16(0x7c00) { // every value comes back, and every middle goes to even
		x := ToFloat32(code)
		if got := FromFloat32(x); got != code {
			t.Fatalf("FromFloat32(%v) = %#x, want %#x", x, got, code)
		}
		middle := float32((value16(code) + value16(code+1)) / 2)
		if code == 0x7bff {
			middle = 65520
		}
		even := code + code%2
		for _, c := range []struct {
			x    float32
			want uint16
		}{{middle, even}, {math.Nextafter32(middle, 0), code}, {math.Nextafter32(middle, 1e9), code + 1}} {
			if got := FromFloat32(c.x); got != c.want {
				t.Fatalf("FromFloat32(%v) = %#x, want %#x", c.x, got, c.want)
			}
		}
	}
	for _, x := range []float32{1e-10, -3e-6, 0.1, -7.7, 12345.678, 65519, 65520, 1e30, float32(math.Inf(-1)), math.SmallestNonzeroFloat32} {
		if got, want := FromFloat32(x), nearestFloat16(x); got != want {
			t.Errorf("FromFloat32(%v) = %#x, want %#x", x, got, want)
		}
	}
	if nan := ToFloat32(FromFloat32(float32(math.NaN()))); nan == nan {
		t.Error("NaN did not stay NaN")
	}
}
