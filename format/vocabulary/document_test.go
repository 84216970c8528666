package vocabulary

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format"
)

// The tests of this file keep the chapter on the tokenizer section in FORMAT.md true.

func document(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(b), "\n## The tokenizer section\n")
	chapter, _, found := strings.Cut(chapter, "\n## ")
	if !found {
		t.Fatal("FORMAT.md has no chapter on the tokenizer section")
	}
	return chapter
}

// block returns the fenced block with this label.
func block(t *testing.T, label string) string {
	t.Helper()
	_, rest, _ := strings.Cut(document(t), "\n```"+label+"\n")
	content, _, found := strings.Cut(rest, "\n```")
	if !found {
		t.Fatalf("FORMAT.md has no block %q", label)
	}
	return content + "\n"
}

func TestDocumentPatterns(t *testing.T) {
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(Patterns)) {
		fmt.Fprintf(&want, "%-9s  %s\n", name, Patterns[name])
	}
	if got := block(t, "patterns"); got != want.String() {
		t.Errorf("the patterns are\n%swant\n%s", got, want.String())
	}
}

// names returns the JSON names of a struct's fields.
func names(value any) (names []string) {
	for field := range reflect.TypeOf(value).NumField() {
		name, _, _ := strings.Cut(reflect.TypeOf(value).Field(field).Tag.Get("json"), ",")
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// TestDocumentKeys holds the table of keys against the settings.
func TestDocumentKeys(t *testing.T) {
	_, table, _ := strings.Cut(document(t), "\n| key | value |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var keys []string
	for row := range strings.Lines(table) {
		for _, key := range quoted.FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			keys = append(keys, key[1])
		}
	}
	slices.Sort(keys)
	var known []string
	for field := range reflect.TypeFor[Settings]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Settings]().Field(field).Tag.Get("json"), ",")
		known = append(known, name)
	}
	slices.Sort(known)
	if !slices.Equal(keys, known) {
		t.Errorf("the keys are %q, want %q", keys, known)
	}
}

// TestDocumentSteps holds the table of steps against stepTypes: the types of each stage, and the keys of each type, by
// trying which of them its check takes.
func TestDocumentSteps(t *testing.T) {
	full := map[string]func(s *Step){
		"text": func(s *Step) { s.Text = "x" }, "with": func(s *Step) { s.With = "x" }, "pattern": func(s *Step) { s.Pattern = GPT2Pattern },
		"behavior": func(s *Step) { s.Behavior = Isolated }, "invert": func(s *Step) { s.Invert = true }, "individual_digits": func(s *Step) { s.Each = true },
		"add_prefix_space": func(s *Step) { s.Space = true }, "prepend_scheme": func(s *Step) { s.Scheme = First },
		"split": func(s *Step) { s.Split = true }, "start": func(s *Step) { s.Start = 1 },
	}
	if all := append(slices.Collect(maps.Keys(full)), "type"); len(all) != len(names(Step{})) {
		t.Fatalf("%d keys of steps are known here, want %q", len(all), names(Step{}))
	}
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| (normalizer|pre_tokenizer|decoder) \\| `(\\w+)` \\|([^|]*)\\|").FindAllStringSubmatch(document(t), -1) {
		documented[row[1]+" "+row[2]] = row[3]
	}
	types := 0
	for _, list := range new(Settings).stages() {
		for name, kind := range stepTypes[list.stage] {
			types++
			row, found := documented[list.name+" "+name]
			if !found {
				t.Errorf("FORMAT.md does not know step %s of %s", name, list.name)
			}
			var keys, taken []string
			for _, key := range quoted.FindAllStringSubmatch(row, -1) {
				keys = append(keys, key[1])
			}
			for key, set := range full {
				var s, before Step
				set(&s)
				before = s
				if kind.check(&s); s != before {
					taken = append(taken, key)
				}
			}
			slices.Sort(keys)
			slices.Sort(taken)
			if !slices.Equal(keys, taken) {
				t.Errorf("step %s of %s has keys %q in FORMAT.md, want %q", name, list.name, keys, taken)
			}
		}
	}
	if types != len(documented) {
		t.Errorf("FORMAT.md has %d types of steps, want %d", len(documented), types)
	}
}

// example is the definition of the worked example of version 2.
func example() Definition {
	unknown := int32(0)
	return Definition{
		Tokens: []string{"<unk>", "▁", "a", "▁a", "<0xC3>", "<0xA9>", "<s>", "x x"},
		Merges: []Merge{{1, 2, 3}},
		Added:  []Added{{ID: 6, Control: true}, {ID: 7, Pattern: "▁x▁x", Normalized: true}},
		Settings: Settings{
			Unit:       Characters,
			Normalizer: []Step{{Type: Prepend, Text: "▁"}, {Type: Replace, Text: " ", With: "▁"}},
			Decoder: []Step{
				{Type: Replace, Text: "▁", With: " "}, {Type: ByteFallback}, {Type: Fuse}, {Type: Strip, Text: " ", Start: 1},
			},
			ByteFallback: true, Unknown: &unknown, FuseUnknown: true, Prefix: []int32{6}, End: []int32{6},
		},
	}
}

// TestDocumentExample compares the example of version 2 with what Build makes of it.
func TestDocumentExample(t *testing.T) {
	section, err := Build(example())
	if err != nil {
		t.Fatal(err)
	}
	var dump strings.Builder
	previous, repeated := "", false
	for line := range strings.Lines(hex.Dump(section)) {
		switch content := line[8:]; {
		case content != previous:
			previous, repeated = content, false
			dump.WriteString(line)
		case !repeated:
			repeated = true
			dump.WriteString("*\n")
		}
	}
	if got := block(t, "tokenizer"); got != dump.String() {
		t.Errorf("FORMAT.md has another section than Build makes:\n%s", dump.String())
	}
	v, err := Open(section)
	if err != nil {
		t.Fatal(err)
	}
	want, err := v.Settings.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := format.CanonicalJSON([]byte(block(t, "settings"))); err != nil || string(got) != string(want) {
		t.Errorf("FORMAT.md has the settings %s (%v), want %s", got, err, want)
	}
}
