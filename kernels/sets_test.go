package kernels

import (
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
