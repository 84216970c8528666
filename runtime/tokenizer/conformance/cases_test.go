package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
)

// The cases are the reference's: testdata/tokenizers/README.md.
func TestCases(t *testing.T) {
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			s := v.open(t)
			for _, name := range v.cases {
				cases := readCases(t, testdata+"tokenizers/"+name)
				wrong := 0
				for _, want := range cases {
					if what := s.difference(want); what != "" {
						wrong++
						t.Errorf("%s: %s\n%s", name, what, want)
					}
				}
				t.Logf("%s: %d of %d differ", name, wrong, len(cases))
			}
		})
	}
}

func readCases(t *testing.T, name string) (cases []reading) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r reading
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: line %d: %v", name, len(cases)+1, err)
		}
		cases = append(cases, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s: no cases", name)
	}
	return cases
}

// What Rust's documentation and the Unicode standard (3.9, table 3-8) say.
func TestLossy(t *testing.T) {
	for text, want := range map[string]string{
		"Hello \xF0\x90\x80World": "Hello \uFFFDWorld",
		"\xE4\xBD":                "\uFFFD",
		"\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64": "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd",
		"\xE0\x80\x80\xED\xA0\x80":                             "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
		"\uFFFD\xFF":                                           "\uFFFD\uFFFD",
	} {
		if got := lossy(text); got != want {
			t.Errorf("%q: %+q, want %+q", text, got, want)
		}
	}
}
