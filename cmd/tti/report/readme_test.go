package report

import (
	"flag"
	"os"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "draw the committed report again, and write its tables into the documents")

// documents show tables of the committed reports.
var documents = []string{"quant/README.md", "runtime/bench/README.md", "spec/README.md"}

// TestREADME compares the tables of documents with the committed reports. A table is all between
// <!-- report: NAME --> or <!-- report-gpt2: NAME --> and <!-- end -->, the latter from the folder of
// that name beside the first.
func TestREADME(t *testing.T) {
	for _, document := range documents {
		t.Run(document, func(t *testing.T) { testTables(t, "../../../"+document) })
	}
}

func testTables(t *testing.T, path string) {
	block := regexp.MustCompile(`(?s)(<!-- report(-[a-z0-9]+)?: ([a-z]+) -->\n).*?(<!-- end -->)`)
	replaceTables(t, path, block, func(parts []string) string {
		table, ok := tables[parts[3]]
		if !ok {
			t.Fatalf("the document asks for table %q, which there is not", parts[3])
		}
		r, err := Read(committed + parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return table(r)
	})
}

// replaceTables compares a document with what it should show between the first and the last group of a block.
func replaceTables(t *testing.T, path string, block *regexp.Regexp, table func(parts []string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	want := block.ReplaceAllStringFunc(string(text), func(found string) string {
		shown++
		parts := block.FindStringSubmatch(found)
		return parts[1] + "\n" + table(parts) + "\n" + parts[len(parts)-1]
	})
	if shown == 0 {
		t.Errorf("%s shows no table", path)
	}
	if want == string(text) {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s shows other figures than the committed report; make readme mends it", path)
}
