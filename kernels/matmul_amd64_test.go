package kernels

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAVX2KernelsUseNoAVX512 looks for what only AVX-512 has: registers, which the generator's allocator would hand out, and
// some instructions would take, if a tile needed more than 16; and the dot product of bytes as Go's assembler writes it.
func TestAVX2KernelsUseNoAVX512(t *testing.T) {
	wide := regexp.MustCompile(`\bZ\d+|\b[XY](1[6-9]|2\d|3[01])\b|\bK[1-7]\b|\bVPDPBUSD\b`)
	for _, file := range []string{"matmul_amd64.s", "rows_amd64.s"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, function := range strings.Split(string(source), "\nTEXT ")[1:] {
			name, _, _ := strings.Cut(function, "(")
			if strings.Contains(name, "AVX512") || strings.Contains(name, "AMX") {
				continue
			}
			checked++
			if register := wide.FindString(function); register != "" {
				t.Errorf("%s: %s uses %s", file, name, register)
			}
		}
		if checked == 0 {
			t.Errorf("%s: no kernels without AVX-512 found", file)
		}
	}
}

// TestAMXTakesManyTokensOnly looks at the table without running it: few machines have AMX.
func TestAMXTakesManyTokensOnly(t *testing.T) {
	for i, tiles := range withAMX(int8AVX512Tiles, int8AMXTiles) {
		want := int8AMXTiles[i]
		if i < 7 {
			want = int8AVX512Tiles[i]
		}
		if len(tiles) == 0 || len(tiles) != len(want) || tiles[len(tiles)-1].panels != 1 {
			t.Errorf("%d tokens: %d kernels, want %d, the last one for one panel", i+1, len(tiles), len(want))
		}
	}
}
