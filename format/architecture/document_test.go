package architecture

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// documented reads the tensors of an architecture from the tables of FORMAT.md, of a model with two layers and with
// hyper-parameters of the given values: name, shape and whether it is kept in panels.
func documented(t *testing.T, name string, values map[string]int) (tensors []string) {
	t.Helper()
	text, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### "+name+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	section, _, _ = strings.Cut(section, "\n### ")
	_, table, ok := strings.Cut(section, "\n| section | shape | |\n")
	if !ok {
		t.Fatalf("FORMAT.md has no tensors of %s", name)
	}
	row := regexp.MustCompile("^\\| (`.*`) \\| \\[(.*)\\] \\| (.*)\\|$")
	var layer []string
	flush := func() {
		for n := 0; n < 2 && layer != nil; n++ {
			for _, line := range layer {
				tensors = append(tensors, strings.Replace(line, "h.N.", fmt.Sprintf("h.%d.", n), 1))
			}
		}
		layer = nil
	}
	for _, line := range strings.Split(table, "\n")[1:] {
		fields := row.FindStringSubmatch(line)
		if fields == nil {
			break
		}
		var shape []int
		for _, dimension := range strings.Split(fields[2], ", ") {
			factor, key, ok := strings.Cut(dimension, "·")
			if !ok {
				factor, key = "1", dimension
			}
			n, err := strconv.Atoi(factor)
			if err != nil || values[key] == 0 {
				t.Fatalf("%s: dimension %q", line, dimension)
			}
			shape = append(shape, n*values[key])
		}
		for _, tensor := range strings.Split(fields[1], ", ") {
			entry := fmt.Sprint(strings.Trim(tensor, "`"), shape, strings.Contains(fields[3], "panels"))
			if strings.HasPrefix(entry, "h.N.") {
				layer = append(layer, entry)
				continue
			}
			flush()
			tensors = append(tensors, entry)
		}
	}
	return tensors
}

func TestDocumentTensors(t *testing.T) {
	h := &GPT2{Vocabulary: 11, Context: 13, Embedding: 8, Layers: 2, Heads: 2, Hidden: 19}
	var got []string
	for tensor := range h.Tensors() {
		got = append(got, fmt.Sprint(tensor.Name, tensor.Shape, tensor.IsMatrix()))
	}
	want := documented(t, GPT2Name, map[string]int{"vocab_size": 11, "n_ctx": 13, "n_embd": 8, "n_inner": 19})
	if !slices.Equal(got, want) {
		t.Errorf("tensors are\n%s\nFORMAT.md says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStreamed(t *testing.T) {
	for _, tied := range []bool{true, false} {
		h := &GPT2{Vocabulary: 11, Context: 13, Embedding: 8, Layers: 1, Heads: 2, Hidden: 19, TiedHead: tied}
		var names []string
		for tensor := range Streamed(h) {
			names = append(names, tensor.Name)
		}
		block := []string{"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"}
		want := append(block, "lm_head.weight")
		if tied {
			want = append([]string{"wte.weight"}, block...)
		}
		if !slices.Equal(names, want) {
			t.Errorf("tied %v: %v, want %v", tied, names, want)
		}
	}
}

func TestParse(t *testing.T) {
	valid := `{"vocab_size":11,"n_ctx":13,"n_embd":8,"n_layer":1,"n_head":2,"n_inner":19,"activation":"gelu"}`
	if _, err := Parse(GPT2Name, []byte(valid)); err != nil {
		t.Error(err)
	}
	for replace, want := range map[string]string{
		`"n_head":3`:          "hyperparameters: n_embd 8 is not a multiple of n_head 3",
		`"n_head":0`:          "hyperparameters: n_head is 0",
		`"activation":"silu"`: `hyperparameters: unsupported by this version: activation "silu"`,
	} {
		key, _, _ := strings.Cut(replace, ":")
		text := regexp.MustCompile(key+`:[^,}]*`).ReplaceAllString(valid, replace)
		if _, err := Parse(GPT2Name, []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", replace, err, want)
		}
	}
	if _, err := Parse("gpt9", []byte(valid)); err == nil || !strings.Contains(err.Error(), `architecture "gpt9"`) {
		t.Errorf("gpt9: %v", err)
	}
}
