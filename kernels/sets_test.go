package kernels

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestFeatures compares with what Linux says. Names that it does not know would be noticed where the CPU has the feature.
func TestFeatures(t *testing.T) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || runtime.GOARCH != "amd64" { // an emulator shows that of its host
		t.Skip("no Linux on amd64")
	}
	var flags []string
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "flags" {
			flags = strings.Fields(value)
			break
		}
	}
	for _, f := range features {
		if has := slices.Contains(flags, f.name); has != f.has {
			t.Errorf("%s: %v, Linux says %v", f.name, f.has, has)
		}
	}
}

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
