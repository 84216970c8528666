package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// generated returns what the generator writes, by file name.
func generated(t *testing.T) map[string]string {
	t.Helper()
	folder := t.TempDir()
	if err := write(folder); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(content)
	}
	return files
}

// TestSameEveryTime generates twice in one process: nothing may be left over from the first time.
func TestSameEveryTime(t *testing.T) {
	if !maps.Equal(generated(t), generated(t)) {
		t.Error("the second time gives something else")
	}
}

// TestTilesCoverEveryRange: tiles of one panel must be there, and come last.
func TestTilesCoverEveryRange(t *testing.T) {
	for _, m := range machines {
		for _, table := range m.tables {
			for i, tiles := range table.tokens {
				descending := slices.IsSortedFunc(tiles.panels, func(a, b int) int { return b - a })
				if !descending || len(tiles.panels) == 0 || tiles.panels[len(tiles.panels)-1] != 1 {
					t.Errorf("%s%s, %d tokens: tiles of %v panels, want a descending list that ends with 1", table.name, m.Name, i+1, tiles.panels)
				}
			}
		}
	}
}

// TestWords compares every word with what GNU's assembler makes of the syntax behind it.
func TestWords(t *testing.T) {
	const assembler, copier = "aarch64-linux-gnu-as", "aarch64-linux-gnu-objcopy"
	for _, tool := range []string{assembler, copier} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	syntax := map[string]string{} // by word
	line := regexp.MustCompile(`\tWORD \$0x([0-9a-f]{8}) // (.*)\n`)
	for _, content := range generated(t) {
		for _, match := range line.FindAllStringSubmatch(content, -1) {
			if before, ok := syntax[match[1]]; ok && before != match[2] {
				t.Errorf("word %s is %q and %q", match[1], before, match[2])
			}
			syntax[match[1]] = match[2]
		}
	}
	words := slices.Sorted(maps.Keys(syntax))
	var source strings.Builder
	fmt.Fprintln(&source, "\t.arch armv8.2-a+dotprod+i8mm")
	for _, w := range words {
		fmt.Fprintf(&source, "\t%s\n", syntax[w])
	}
	folder := t.TempDir()
	object, code := filepath.Join(folder, "words.o"), filepath.Join(folder, "words")
	command := exec.Command(assembler, "-o", object, "-")
	command.Stdin = strings.NewReader(source.String())
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.2000s", err, output)
	}
	if output, err := exec.Command(copier, "-O", "binary", "-j", ".text", object, code).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	assembled, err := os.ReadFile(code)
	if err != nil {
		t.Fatal(err)
	}
	if len(words) < 1000 || len(assembled) != 4*len(words) {
		t.Fatalf("%d words became %d bytes", len(words), len(assembled))
	}
	for i, w := range words {
		b := slices.Clone(assembled[4*i : 4*i+4])
		slices.Reverse(b)
		if got := fmt.Sprintf("%x", b); got != w {
			t.Errorf("%s: word %s, the assembler makes %s", syntax[w], w, got)
		}
	}
	t.Logf("%d different words", len(words))
}
