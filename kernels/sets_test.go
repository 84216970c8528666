package kernels

import (
	"os"
	"slices"
	"testing"
)

// needsAnother skips a test that holds other sets to the reference where there is no other.
func needsAnother(t *testing.T) {
	t.Helper()
	if len(Sets()) == 1 {
		t.Skip("the reference is the only set of kernels here")
	}
}

// others returns every set but the reference.
func others() []*Set {
	return slices.DeleteFunc(Sets(), func(s *Set) bool { return s == &reference })
}

// TestDetection: where somebody knows which set is the fastest one of this CPU, as of one that is emulated, it is found.
func TestDetection(t *testing.T) {
	want := os.Getenv("TTI_FASTEST")
	if want == "" {
		t.Skip("TTI_FASTEST does not say which set is the fastest one")
	}
	if got := Sets()[0].Name(); got != want {
		t.Errorf("the fastest set is %s, want %s", got, want)
	}
}
