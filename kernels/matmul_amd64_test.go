package kernels

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAVX2KernelsUseNoAVX512 looks for registers that only AVX-512 has. The generator's allocator
// would hand them out, and some instructions would take them, if a tile needed more than 16.
func TestAVX2KernelsUseNoAVX512(t *testing.T) {
	source, err := os.ReadFile("matmul_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	wide := regexp.MustCompile(`\bZ\d+|\b[XY](1[6-9]|2\d|3[01])\b|\bK[1-7]\b`)
	checked := 0
	for _, function := range strings.Split(string(source), "\nTEXT ")[1:] {
		name, _, _ := strings.Cut(function, "(")
		if !strings.Contains(name, "AVX2") {
			continue
		}
		checked++
		if register := wide.FindString(function); register != "" {
			t.Errorf("%s uses %s", name, register)
		}
	}
	if checked == 0 {
		t.Error("no AVX2 kernels found")
	}
}
