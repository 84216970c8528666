package convert

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tables returns the rows of the tables of FAMILIES.md by the first cell of the head: the words in backticks of each cell.
func tables(t *testing.T) map[string][][][]string {
	t.Helper()
	text, err := os.ReadFile("FAMILIES.md")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("`([^`]*)`")
	found, head := map[string][][][]string{}, ""
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
		case strings.HasPrefix(line, "|---"):
		case head == "":
			head = strings.Trim(cells[0], "`| ")
		default:
			var row [][]string
			for _, cell := range cells {
				var words []string
				for _, match := range word.FindAllStringSubmatch(cell, -1) {
					words = append(words, match[1])
				}
				row = append(row, words)
			}
			found[head] = append(found[head], row)
		}
	}
	return found
}

// TestDocument compares the tables of FAMILIES.md with the code.
func TestDocument(t *testing.T) {
	found := tables(t)
	var listed, known []string
	for _, row := range found["model_type"] {
		listed = append(listed, row[0][0]+": "+strings.Join(row[1], ", "))
	}
	for _, f := range families {
		known = append(known, f.modelType()+": "+strings.Join(f.classes(), ", "))
	}
	slices.Sort(listed)
	slices.Sort(known)
	if !slices.Equal(listed, known) {
		t.Errorf("FAMILIES.md has the families\n%s\nthere are\n%s", strings.Join(listed, "\n"), strings.Join(known, "\n"))
	}

	var types []string
	for _, row := range found["rope_type"] {
		types = append(types, row[0][0])
	}
	var implemented []string
	for kind := range ropeFields {
		implemented = append(implemented, string(kind))
	}
	if slices.Sort(implemented); !slices.Equal(slices.Sorted(slices.Values(types)), implemented) {
		t.Errorf("FAMILIES.md has the types of rotary embedding %v, there are %v", types, implemented)
	}

	var refused []string
	for _, row := range found["field"] {
		refused = append(refused, row[0]...)
	}
	for _, name := range decoderUnsupported {
		if !slices.Contains(refused, name) {
			t.Errorf("FAMILIES.md does not say that %s is refused", name)
		}
	}
	for _, name := range refused { // each has a model that is refused by it
		tried := slices.Contains(decoderUnsupported, name)
		for _, c := range familyRefusals {
			tried = tried || strings.Contains(c.want, strings.TrimSuffix(name, "s"))
		}
		if !tried {
			t.Errorf("nothing shows that %s is refused, as FAMILIES.md says", name)
		}
	}

	text, err := os.ReadFile("FAMILIES.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(decoderActivations)) {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("FAMILIES.md does not name the activation %s", name)
		}
	}
}
