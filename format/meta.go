package format

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/strictjson"
)

// MaxMetaLength bounds the meta section, in bytes: thousands of source files, and little to parse.
const MaxMetaLength = 1 << 20

// Meta says what a file holds and what it was made from. It contains no clock and no path, so that
// the same source and options give the same bytes.
type Meta struct {
	Architecture    string            `json:"architecture"`    // "gpt2"
	Hyperparameters json.RawMessage   `json:"hyperparameters"` // the architecture's own JSON object
	Mode            string            `json:"mode"`            // how the weights are encoded: "f32", "int4", ...
	Sources         map[string]string `json:"sources"`         // name of each source file: its SHA-256 in lower-case hexadecimal
	Specification   string            `json:"specification"`   // version of FORMAT.md: "1.1"
	Tool            string            `json:"tool"`            // what wrote the file: "tti 0.1.0"
	Generation      *Generation       `json:"generation,omitempty"`
}

// Generation is how a model's makers want its texts drawn, as far as they say: fields of generation_config.json, nil where
// it is silent. Without Sample it says nothing about whether to draw at all.
type Generation struct {
	Sample            *bool    `json:"do_sample,omitempty"` // false: always the most probable token
	Temperature       *float64 `json:"temperature,omitempty"`
	TopK              *int     `json:"top_k,omitempty"`
	TopP              *float64 `json:"top_p,omitempty"`
	MinP              *float64 `json:"min_p,omitempty"`
	RepetitionPenalty *float64 `json:"repetition_penalty,omitempty"`
}

// Validate returns an error for settings that no texts can be drawn by.
func (g *Generation) Validate() error {
	for _, number := range []struct {
		name        string
		value       *float64
		least, most float64
	}{
		{"temperature", g.Temperature, 0, math.MaxFloat32},
		{"top_p", g.TopP, 0, 1},
		{"min_p", g.MinP, 0, 1},
		{"repetition_penalty", g.RepetitionPenalty, math.SmallestNonzeroFloat32, math.MaxFloat32},
	} {
		if v := number.value; v != nil && !(*v >= number.least && *v <= number.most) {
			return fmt.Errorf("%s is %g", number.name, *v)
		}
	}
	if g.TopK != nil && (*g.TopK < 0 || *g.TopK > math.MaxInt32) {
		return fmt.Errorf("top_k is %d", *g.TopK)
	}
	return nil
}

// Validate checks what every file's meta must say; what the values mean is for others.
func (m Meta) Validate() error {
	required := []struct{ key, value string }{
		{"architecture", m.Architecture},
		{"mode", m.Mode},
		{"specification", m.Specification},
		{"tool", m.Tool},
	}
	for _, field := range required {
		if field.value == "" || !utf8.ValidString(field.value) {
			return fmt.Errorf("meta: %s is %q, want text", field.key, field.value)
		}
	}
	if trimmed := bytes.TrimSpace(m.Hyperparameters); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("meta: hyperparameters are not a JSON object")
	}
	if m.Sources == nil {
		return errors.New("meta: sources are missing")
	}
	if m.Generation != nil {
		if err := m.Generation.Validate(); err != nil {
			return fmt.Errorf("meta: generation: %w", err)
		}
	}
	for name, sum := range m.Sources {
		if name == "" || !utf8.ValidString(name) {
			return fmt.Errorf("meta: source has the name %q", name)
		}
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 || hex.EncodeToString(raw) != sum {
			return fmt.Errorf("meta: source %q: SHA-256 is %q, want 64 lower-case hexadecimal digits", name, sum)
		}
	}
	return nil
}

// Encode returns the contents of the meta section: canonical JSON.
func (m Meta) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	if b, err = CanonicalJSON(b); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	if len(b) > MaxMetaLength {
		return nil, fmt.Errorf("meta: %d bytes, want at most %d", len(b), MaxMetaLength)
	}
	return b, nil
}

// ParseMeta reads the contents of a meta section. Keys it does not know are ignored, for a later
// minor version may add some; anything that is not canonical is refused with ErrCorrupt, so that
// no two readers can see different values in it. The result does not refer to b.
func ParseMeta(b []byte) (Meta, error) {
	m, err := parseMeta(b)
	if err != nil {
		return Meta{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}

func parseMeta(b []byte) (m Meta, err error) {
	if len(b) > MaxMetaLength {
		return m, fmt.Errorf("meta: %d bytes, want at most %d", len(b), MaxMetaLength)
	}
	if err := strictjson.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("meta: %w", err)
	}
	canonical, err := CanonicalJSON(b)
	if err != nil {
		return m, fmt.Errorf("meta: %w", err)
	}
	if !bytes.Equal(b, canonical) {
		return m, errors.New("meta: not canonical JSON")
	}
	return m, m.Validate()
}

// CanonicalJSON returns the one JSON text that FORMAT.md allows for the value that b is: keys sorted by
// their bytes and unique, no white space, numbers as they stand.
func CanonicalJSON(b []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var canonical bytes.Buffer
	encoder := json.NewEncoder(&canonical)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(canonical.Bytes(), []byte("\n")), nil
}
