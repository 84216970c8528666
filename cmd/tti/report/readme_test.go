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
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	block := regexp.MustCompile(`(?s)(<!-- report(-[a-z0-9]+)?: ([a-z]+) -->\n).*?(<!-- end -->)`)
	want := block.ReplaceAllFunc(text, func(found []byte) []byte {
		parts := block.FindSubmatch(found)
		table, ok := tables[string(parts[3])]
		if !ok {
			t.Fatalf("the document asks for table %q, which there is not", parts[3])
		}
		r, err := Read(committed + string(parts[2]))
		if err != nil {
			t.Fatal(err)
		}
		shown++
		return []byte(string(parts[1]) + "\n" + table(r) + "\n" + string(parts[4]))
	})
	if shown == 0 {
		t.Error("it shows no table of a report")
	}
	if string(want) == string(text) {
		return
	}
	if *update {
		if err := os.WriteFile(path, want, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("it shows other figures than the committed report; make readme mends it")
}
