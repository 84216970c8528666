package format

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// The tests of this file keep the examples in FORMAT.md true.

func document(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// block returns the fenced block of FORMAT.md with this label.
func block(t *testing.T, label string) string {
	t.Helper()
	_, rest, _ := strings.Cut(document(t), "\n```"+label+"\n")
	content, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("FORMAT.md has no block %q", label)
	}
	return content
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDocumentChecksums(t *testing.T) {
	for _, text := range []string{"", "tti"} {
		if sum := fmt.Sprintf("`%016x`", xxhash.Sum64String(text)); !strings.Contains(document(t), sum) {
			t.Errorf("checksum of %q is %s", text, sum)
		}
	}
}

// TestDocumentFile compares the last example with what Write makes of it.
func TestDocumentFile(t *testing.T) {
	if dump := hex.Dump(newExample(t).bytes(t)); block(t, "hexdump") != dump {
		t.Errorf("FORMAT.md has another file than Write makes:\n%s", dump)
	}
}

// walk visits every weight of a panel section, padding included, in the order of the file: the
// layout as a walk instead of as formulas. high says that it is in the high bits of its byte.
func walk(e Encoding, rows, columns int, visit func(row, column, offset int, high bool)) {
	perLine := map[Encoding]int{PanelF32: 1, PanelF16: 2, PanelInt8: 4, PanelInt4: 8}[e]
	offset := 0
	for top := 0; top < rows; top += 16 {
		for left := 0; left < (columns+63)/64*64; left += perLine {
			switch e {
			case PanelF32, PanelF16:
				for column := left; column < left+perLine; column++ {
					for row := top; row < top+16; row++ {
						visit(row, column, offset, false)
						offset += 4 / perLine
					}
				}
			default:
				for row := top; row < top+16; row++ {
					for column := left; column < left+4; column++ {
						visit(row, column, offset, false)
						if e == PanelInt4 {
							visit(row, column+4, offset, true)
						}
						offset++
					}
				}
			}
		}
	}
}

// TestDocumentPlaces checks the table of places against a walk through the file.
func TestDocumentPlaces(t *testing.T) {
	const rows, columns, row, column = 17, 70, 16, 69
	line := regexp.MustCompile(`(?m)^\| (f32|f16|int8|int4) \| (\d+) \| (\d+)(, high bits)? \|(?: (\d+))? \|$`)
	found := line.FindAllStringSubmatch(document(t), -1)
	if len(found) != 4 {
		t.Fatalf("%d rows in the table of places, want 4", len(found))
	}
	for _, fields := range found {
		var encoding Encoding
		for _, e := range []Encoding{PanelF32, PanelF16, PanelInt8, PanelInt4} {
			if e.String() == fields[1] {
				encoding = e
			}
		}
		size, err := encoding.Size([]int{rows, columns})
		if err != nil || int(size) != number(t, fields[2]) {
			t.Errorf("%v: length %d, want %s; %v", encoding, size, fields[2], err)
		}
		end, seen := 0, false
		walk(encoding, rows, columns, func(r, c, offset int, high bool) {
			end = max(end, offset+1)
			if r != row || c != column {
				return
			}
			seen = true
			if offset != number(t, fields[3]) || high != (fields[4] != "") {
				t.Errorf("%v: weight at %s, want %d", encoding, fields[3], offset)
			}
		})
		if !seen {
			t.Errorf("%v: the walk does not reach the weight", encoding)
		}
		switch encoding {
		case PanelInt8: // 16 float32 of panel 0 come first
			if want := end + 16*4; number(t, fields[5]) != want {
				t.Errorf("%v: scale at %s, want %d", encoding, fields[5], want)
			}
		case PanelInt4: // two groups of panel 0 come first, and group 0 of panel 1
			if want := end + 3*16*2; number(t, fields[5]) != want {
				t.Errorf("%v: scale at %s, want %d", encoding, fields[5], want)
			}
		}
	}
}

// TestDocumentPanels builds the sections of the small matrix and compares the bytes shown.
func TestDocumentPanels(t *testing.T) {
	tests := []struct {
		encoding Encoding
		codes    [2][6]int
		scales   []byte
	}{
		{PanelInt4, [2][6]int{{1, -1, 2, 7, 0, -7}, {1, 2, 3, 4, -1, -2}}, []byte{0x00, 0x38, 0x00, 0x34}},
		{PanelInt8, [2][6]int{{16, -16, 32, 112, 0, -112}, {16, 32, 48, 64, -16, -32}}, []byte{0, 0, 0, 0x3d, 0, 0, 0x80, 0x3c}},
	}
	line := regexp.MustCompile(`(?m)^offset +(\d+)   ((?:[0-9A-F]{2} ?)+)  `)
	for _, test := range tests {
		size, err := test.encoding.Size([]int{2, 6})
		if err != nil {
			t.Fatal(err)
		}
		section := make([]byte, size)
		end := 0
		walk(test.encoding, 2, 6, func(row, column, offset int, high bool) {
			code := 0
			if row < 2 && column < 6 {
				code = test.codes[row][column]
			}
			switch {
			case test.encoding == PanelInt8:
				section[offset] = byte(code + 128)
			case high:
				section[offset] |= byte(code+8) << 4
			default:
				section[offset] |= byte(code + 8)
			}
			end = offset + 1
		})
		copy(section[end:], test.scales)
		shown := line.FindAllStringSubmatch(block(t, test.encoding.String()), -1)
		if len(shown) < 6 {
			t.Fatalf("%v: %d lines understood", test.encoding, len(shown))
		}
		for _, fields := range shown {
			want, err := hex.DecodeString(strings.ReplaceAll(fields[2], " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := section[number(t, fields[1]):][:len(want)]; !bytes.Equal(got, want) {
				t.Errorf("%v: at %s % X, want % X", test.encoding, fields[1], got, want)
			}
		}
	}
}
