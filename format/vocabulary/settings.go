package vocabulary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/strictjson"
)

// Settings are what a tokenizer does besides its tables: the last part of a section of version 2, as canonical JSON.
// Names are those of HuggingFace's tokenizer.json where that has one. The zero value is not a tokenizer; see [Classic].
type Settings struct {
	// Unit says what a word is before any merge.
	Unit Unit `json:"unit"`
	// Normalizer is applied to the text between added tokens, and PreTokenizer cuts that into words: each step cuts what
	// the one before it has left.
	Normalizer   []Step `json:"normalizer,omitempty"`
	PreTokenizer []Step `json:"pre_tokenizer,omitempty"`
	// Decoder turns the texts of tokens into the text of a sequence.
	Decoder []Step `json:"decoder,omitempty"`

	// IgnoreMerges makes a word that is a token that token, whatever its merges lead to.
	IgnoreMerges bool `json:"ignore_merges,omitempty"`
	// ByteFallback spells a character without a token in its bytes, if all of them have one.
	ByteFallback bool `json:"byte_fallback,omitempty"`
	// Unknown is the token of a character that has none; without it such characters are lost. FuseUnknown makes one of
	// several in a row.
	Unknown     *int32 `json:"unk,omitempty"`
	FuseUnknown bool   `json:"fuse_unk,omitempty"`
	// Cut says where a word of characters falls apart before it is merged, for speed alone. Build finds it.
	Cut *Cut `json:"cut,omitempty"`

	// Prefix and Suffix are what the post-processor puts around a text.
	Prefix []int32 `json:"prefix,omitempty"`
	Suffix []int32 `json:"suffix,omitempty"`
	// End are the tokens that end a text.
	End []int32 `json:"end,omitempty"`

	// The texts of special tokens, as chat templates know them; nil where there is none.
	BOS *string `json:"bos_token,omitempty"`
	EOS *string `json:"eos_token,omitempty"`
	UNK *string `json:"unk_token,omitempty"`
	PAD *string `json:"pad_token,omitempty"`
	// Templates are the chat templates by name; the one that is meant where none is named is called DefaultTemplate.
	Templates map[string]string `json:"chat_templates,omitempty"`
}

// DefaultTemplate is the name of the chat template that is meant where none is named.
const DefaultTemplate = "default"

// Unit is what a word is cut into before any merge.
type Unit string

const (
	Bytes      Unit = "byte"
	Characters Unit = "character"
)

// Cut is a promise about the merges: none has a right half that begins with the character Before and a left half that
// ends with another one, unless that is in After. So no token can reach over such a place.
type Cut struct {
	Before string `json:"before"`
	After  string `json:"unless_after,omitempty"`
}

// Step is a normalizer, pre-tokenizer or decoder. Which fields it has depends on its type; the others are zero.
type Step struct {
	Type    string `json:"type"`
	Text    string `json:"text,omitempty"`    // what Prepend puts before, Replace and Split look for, Strip takes away, Metaspace writes for a space
	With    string `json:"with,omitempty"`    // what Replace puts there
	Pattern string `json:"pattern,omitempty"` // of Split and ByteLevel: a name of [Patterns]

	Behavior string `json:"behavior,omitempty"` // of Split: what becomes of the matches
	Invert   bool   `json:"invert,omitempty"`   // of Split: the text between matches is meant
	Each     bool   `json:"individual_digits,omitempty"`
	Space    bool   `json:"add_prefix_space,omitempty"` // of ByteLevel: a space before words that begin without one
	Scheme   string `json:"prepend_scheme,omitempty"`   // of Metaspace
	Split    bool   `json:"split,omitempty"`            // of Metaspace
	Start    int    `json:"start,omitempty"`            // of Strip: how many at the start of the text
}

// The types of steps.
const (
	NFC          = "NFC"
	Prepend      = "Prepend"
	Replace      = "Replace"
	Split        = "Split"
	Digits       = "Digits"
	ByteLevel    = "ByteLevel"
	Metaspace    = "Metaspace"
	ByteFallback = "ByteFallback"
	Fuse         = "Fuse"
	Strip        = "Strip"
)

// What Split does with a match.
const (
	Isolated           = "Isolated"
	Removed            = "Removed"
	MergedWithPrevious = "MergedWithPrevious"
)

// Where Metaspace puts its character before a text that begins without it.
const (
	Always = "always" // everywhere
	First  = "first"  // at the very start
	Never  = "never"
)

// Patterns are the patterns that texts are cut by, by their names in a section. Each is known by its exact text.
var Patterns = map[string]string{
	"gpt2":      `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
	"llama3":    `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"qwen2":     `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"qwen3.5":   `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"o200k":     `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"tekken":    `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"numbers-3": `\p{N}{1,3}`,
	"cjk":       `[一-龥぀-ゟ゠-ヿ]+`,
	"deepseek":  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
}

// GPT2Pattern is the name of the pattern that ByteLevel cuts by.
const GPT2Pattern = "gpt2"

// Classic returns the settings of GPT-2's tokenizer, which are those of every section of version 1. end is the token that
// ends a text, or None.
func Classic(end int32) Settings {
	s := Settings{
		Unit:         Bytes,
		PreTokenizer: []Step{{Type: ByteLevel, Pattern: GPT2Pattern}},
		Decoder:      []Step{{Type: ByteLevel}},
	}
	if end != None {
		s.End = []int32{end}
	}
	return s
}

// stage is a list of steps.
type stage int

const (
	normalizing stage = iota
	preTokenizing
	decoding
)

// stepTypes has a check for every type of step that a stage may have. A check gets the step without what it is to
// look at, and reports whether this makes sense.
var stepTypes = map[stage]map[string]func(s *Step) bool{
	normalizing: {
		NFC:     func(*Step) bool { return true },
		Prepend: func(s *Step) bool { return take(&s.Text) != "" },
		Replace: func(s *Step) bool { take(&s.With); return take(&s.Text) != "" },
	},
	preTokenizing: {
		Split:     (*Step).takeSplit,
		Digits:    func(s *Step) bool { take(&s.Each); return true },
		ByteLevel: func(s *Step) bool { take(&s.Space); p := take(&s.Pattern); return p == "" || p == GPT2Pattern },
		Metaspace: func(s *Step) bool { take(&s.Split); return s.takeMetaspace() },
	},
	decoding: {
		Replace:      func(s *Step) bool { take(&s.With); return take(&s.Text) != "" },
		ByteLevel:    func(*Step) bool { return true },
		ByteFallback: func(*Step) bool { return true },
		Fuse:         func(*Step) bool { return true },
		Strip: func(s *Step) bool {
			return utf8.RuneCountInString(take(&s.Text)) == 1 && take(&s.Start) > 0
		},
		Metaspace: (*Step).takeMetaspace,
	},
}

// take returns a value and leaves zero in its place.
func take[T any](value *T) (taken T) {
	taken, *value = *value, taken
	return taken
}

func (s *Step) takeSplit() bool {
	take(&s.Invert)
	pattern, text, behavior := take(&s.Pattern), take(&s.Text), take(&s.Behavior)
	_, known := Patterns[pattern]
	return known != (text != "") && (known || pattern == "") &&
		(behavior == Isolated || behavior == Removed || behavior == MergedWithPrevious)
}

func (s *Step) takeMetaspace() bool {
	scheme := take(&s.Scheme)
	return utf8.RuneCountInString(take(&s.Text)) == 1 && (scheme == Always || scheme == First || scheme == Never)
}

// maxSteps bounds the steps of a stage. The longest list in use has four.
const maxSteps = 16

// maxStepText bounds the texts of a step, and with maxSteps what a step may make of a text.
const maxStepText = 64

// Validate returns an error for settings that no tokenizer has. Ids are those of a vocabulary of the given size. A step or
// pattern that is unknown is format.ErrUnsupported: a later version may know it.
func (s *Settings) Validate(tokens int) error {
	if s.Unit != Bytes && s.Unit != Characters {
		return fmt.Errorf("%w: unit %.60q", format.ErrUnsupported, s.Unit)
	}
	for _, list := range []struct {
		name  string
		stage stage
		steps []Step
	}{{"normalizer", normalizing, s.Normalizer}, {"pre_tokenizer", preTokenizing, s.PreTokenizer}, {"decoder", decoding, s.Decoder}} {
		if len(list.steps) > maxSteps {
			return fmt.Errorf("%s: %d steps, at most %d are allowed", list.name, len(list.steps), maxSteps)
		}
		for _, step := range list.steps {
			if err := step.validate(list.stage); err != nil {
				return fmt.Errorf("%s: %w", list.name, err)
			}
		}
	}
	if err := s.validateUnit(); err != nil {
		return err
	}
	ids := append(append(append([]int32{}, s.Prefix...), s.Suffix...), s.End...)
	if s.Unknown != nil {
		ids = append(ids, *s.Unknown)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= tokens {
			return fmt.Errorf("token %d of %d", id, tokens)
		}
	}
	if c := s.Cut; c != nil && utf8.RuneCountInString(c.Before) != 1 {
		return fmt.Errorf("cut before %.60q", c.Before)
	}
	return nil
}

func (step Step) validate(in stage) error {
	check, ok := stepTypes[in][step.Type]
	if !ok {
		return fmt.Errorf("%w: step %.60q", format.ErrUnsupported, step.Type)
	}
	if len(step.Text) > maxStepText || len(step.With) > maxStepText {
		return fmt.Errorf("step %s: a text longer than %d bytes", step.Type, maxStepText)
	}
	if step.Type == Split && step.Pattern != "" && Patterns[step.Pattern] == "" {
		return fmt.Errorf("%w: pattern %.60q", format.ErrUnsupported, step.Pattern)
	}
	rest := step
	rest.Type = ""
	if !check(&rest) || rest != (Step{}) {
		return fmt.Errorf("step %s has settings that make no sense", step.Type)
	}
	return nil
}

// validateUnit checks that steps and unit belong together: what is cut into bytes is put together from bytes.
func (s *Settings) validateUnit() error {
	has := func(steps []Step, kind string) (count int) {
		for _, step := range steps {
			if step.Type == kind {
				count++
			}
		}
		return count
	}
	if s.Unit == Bytes {
		last := len(s.PreTokenizer) - 1
		if has(s.PreTokenizer, ByteLevel) != 1 || s.PreTokenizer[last].Type != ByteLevel || len(s.Decoder) != 1 || s.Decoder[0].Type != ByteLevel {
			return errors.New("bytes are cut by ByteLevel, the last pre-tokenizer, and put together by ByteLevel, the only decoder")
		}
		if s.ByteFallback || s.Unknown != nil || s.FuseUnknown || s.Cut != nil {
			return errors.New("bytes are never unknown")
		}
		return nil
	}
	if has(s.PreTokenizer, ByteLevel)+has(s.Decoder, ByteLevel) > 0 {
		return errors.New("ByteLevel of characters")
	}
	fused := false
	for _, step := range s.Decoder {
		if fused != (step.Type == Strip) {
			return errors.New("decoder: Fuse, and nothing else, comes before Strip")
		}
		fused = fused || step.Type == Fuse
	}
	return nil
}

// encode returns the settings as canonical JSON.
func (s *Settings) encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return format.CanonicalJSON(text)
}

// parseSettings reads and validates what encode has written.
func parseSettings(text []byte, tokens int) (s Settings, err error) {
	if err := strictjson.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: settings: %w", format.ErrCorrupt, err)
	}
	canonical, err := format.CanonicalJSON(text)
	if err != nil || !bytes.Equal(text, canonical) {
		return s, fmt.Errorf("%w: settings: not canonical JSON", format.ErrCorrupt)
	}
	if err := s.Validate(tokens); err != nil {
		if errors.Is(err, format.ErrUnsupported) {
			return s, fmt.Errorf("settings: %w", err)
		}
		return s, fmt.Errorf("%w: settings: %w", format.ErrCorrupt, err)
	}
	return s, nil
}
