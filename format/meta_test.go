package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
)

// TestMetaIsCanonical writes the canonical form out by hand: keys sorted at every depth, numbers
// and characters such as < as they are.
func TestMetaIsCanonical(t *testing.T) {
	m := sampleMeta()
	m.Tool = "tti \u2028\t\x01\"\\é"
	got, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"architecture":"gpt2",` +
		`"hyperparameters":{"activation":"<gelu>","layer_norm_epsilon":1e-05,"n_layer":2},` +
		`"mode":"int4",` +
		`"sources":{"config.json":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",` +
		`"model.safetensors":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},` +
		`"specification":"1.1",` +
		`"tool":"tti \u2028\t\u0001\"\\é"}`
	if string(got) != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	back, err := ParseMeta(got)
	if err != nil {
		t.Fatal(err)
	}
	if back.Tool != m.Tool || !maps.Equal(back.Sources, m.Sources) || !bytes.Contains(back.Hyperparameters, []byte("1e-05")) {
		t.Errorf("%+v", back)
	}
	again, err := back.Encode()
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("encoded again: %s, %v", again, err)
	}
}

func TestMetaRefuses(t *testing.T) {
	valid, err := sampleMeta().Encode()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(valid), old) {
			t.Fatalf("nothing to replace: %s", old)
		}
		return strings.Replace(string(valid), old, new, 1)
	}
	tests := map[string]string{
		"empty":             "",
		"no JSON":           "tti",
		"array":             "[]",
		"null":              "null",
		"cut off":           string(valid[:len(valid)-1]),
		"two values":        string(valid) + "{}",
		"newline":           string(valid) + "\n",
		"white space":       replace(`"mode":`, `"mode": `),
		"byte order mark":   "\ufeff" + string(valid),
		"key twice":         replace(`"mode":"int4"`, `"mode":"int4","mode":"f32"`),
		"keys unsorted":     replace(`"mode":"int4",`, ``)[:1] + `"mode":"int4",` + replace(`"mode":"int4",`, ``)[1:],
		"key in upper case": replace(`"mode"`, `"Mode"`),
		"needless escape":   replace(`gpt2`, `\u0067pt2`),
		"half a surrogate":  replace(`gpt2`, `\ud800`),
		"not UTF-8":         replace(`gpt2`, "\xff"),
		"key missing":       replace(`"mode":"int4",`, ``),
		"value null":        replace(`"mode":"int4"`, `"mode":null`),
		"value a number":    replace(`"mode":"int4"`, `"mode":4`),
		"value empty":       replace(`"mode":"int4"`, `"mode":""`),
		"array of hyper":    replace(`"hyperparameters":{`, `"hyperparameters":[{`),
		"sources null":      `{"architecture":"a","hyperparameters":{},"mode":"m","sources":null,"specification":"1.0","tool":"t"}`,
		"hash too short":    replace(`c752"`, `c7"`),
		"hash upper case":   replace(`c752"`, `C752"`),
		"too long":          replace(`gpt2`, strings.Repeat("x", MaxMetaLength)),
		"too deep":          replace(`"n_layer":2`, `"n_layer":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if m, err := ParseMeta([]byte(text)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%+v, %v, want ErrCorrupt", m, err)
			} else if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
		})
	}
	for name, change := range map[string]func(*Meta){
		"no architecture":    func(m *Meta) { m.Architecture = "" },
		"mode not UTF-8":     func(m *Meta) { m.Mode = "\xff" },
		"no hyperparameters": func(m *Meta) { m.Hyperparameters = nil },
		"broken object":      func(m *Meta) { m.Hyperparameters = json.RawMessage(`{"a":`) },
		"no sources":         func(m *Meta) { m.Sources = nil },
		"a hash of nothing":  func(m *Meta) { m.Sources["config.json"] = "" },
		"a source of no name": func(m *Meta) {
			m.Sources[""] = m.Sources["config.json"]
		},
		"too long": func(m *Meta) { m.Tool = strings.Repeat("x", MaxMetaLength) },
	} {
		t.Run("encode/"+name, func(t *testing.T) {
			m := sampleMeta()
			change(&m)
			if b, err := m.Encode(); err == nil {
				t.Errorf("%s", b)
			}
		})
	}
}

// TestMetaFromTheFuture has keys this version does not know.
func TestMetaFromTheFuture(t *testing.T) {
	text := `{"architecture":"a","colour":["blue"],"hyperparameters":{},"mode":"m","sources":{},"specification":"1.7","tool":"t"}`
	if m, err := ParseMeta([]byte(text)); err != nil || m.Specification != "1.7" {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMetaMatchesNamesExactly has names beside the known ones that encoding/json would take for these.
func TestMetaMatchesNamesExactly(t *testing.T) {
	text := `{"Mode":"A","architecture":"a","hyperparameters":{},"mode":"m","sources":{},"specification":"1.7","tool":"t","ſources":{"x":"y"}}`
	if m, err := ParseMeta([]byte(text)); err != nil || m.Mode != "m" || len(m.Sources) > 0 {
		t.Errorf("%+v, %v", m, err)
	}
}
