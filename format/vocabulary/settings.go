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

// stepType is what there is to know of a type of step in a stage.
type stepType struct {
	// check gets the step without its type, takes from it what it looks at, and reports whether this makes sense.
	check func(s *Step) bool
	// growth is how many times as long a text may become by the step, nil for a step that makes none longer.
	growth func(s Step) int
}

// stepTypes are the types of steps that a stage may have.
var stepTypes = map[stage]map[string]stepType{
	normalizing: {
		NFC:     {anything, func(Step) int { return 3 }}, // U+1D160, for one; Unicode's FAQ on normalization knows no worse
		Prepend: {func(s *Step) bool { return take(&s.Text) != "" }, func(s Step) int { return 1 + len(s.Text) }},
		Replace: {(*Step).takeReplace, replaceGrowth},
	},
	preTokenizing: {
		Split:  {(*Step).takeSplit, nil},
		Digits: {func(s *Step) bool { take(&s.Each); return true }, nil},
		ByteLevel: {func(s *Step) bool { take(&s.Space); p := take(&s.Pattern); return p == "" || p == GPT2Pattern }, func(s Step) int {
			if s.Space {
				return 2
			}
			return 1
		}},
		Metaspace: {func(s *Step) bool { take(&s.Split); return s.takeMetaspace() }, func(s Step) int { return 1 + len(s.Text) }},
	},
	decoding: {
		Replace:      {(*Step).takeReplace, replaceGrowth},
		ByteLevel:    {anything, nil},
		ByteFallback: {anything, nil},
		Fuse:         {anything, nil},
		Strip: {func(s *Step) bool {
			text, start := take(&s.Text), take(&s.Start)
			return utf8.RuneCountInString(text) == 1 && start > 0
		}, nil},
		Metaspace: {(*Step).takeMetaspace, nil},
	},
}

func anything(*Step) bool { return true }

// replaceGrowth rounds up.
func replaceGrowth(s Step) int { return max(1, (len(s.With)+len(s.Text)-1)/len(s.Text)) }

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

func (s *Step) takeReplace() bool {
	take(&s.With)
	return take(&s.Text) != ""
}

func (s *Step) takeMetaspace() bool {
	scheme := take(&s.Scheme)
	return utf8.RuneCountInString(take(&s.Text)) == 1 && (scheme == Always || scheme == First || scheme == Never)
}

// MaxSteps bounds the steps of a stage. The longest list in use has four.
const MaxSteps = 16

// MaxStepText bounds the texts of a step, and what a character may be merged to in [Cut], in bytes.
const MaxStepText = 64

// MaxGrowth bounds how many times as long normalizers and pre-tokenizers may make a text together, and decoders a token: a
// few steps could make gigabytes of a word otherwise. Those in use reach 12.
const MaxGrowth = 64

// MaxAround bounds the tokens that the post-processor puts before a text, and those that it puts after it. Those in use put one.
const MaxAround = 1024

// Validate returns an error for settings that no tokenizer has. Ids are those of a vocabulary of the given size. A step or
// pattern that is unknown is format.ErrUnsupported: a later version may know it.
func (s *Settings) Validate(tokens int) error {
	if s.Unit != Bytes && s.Unit != Characters {
		return fmt.Errorf("%w: unit %.60q", format.ErrUnsupported, s.Unit)
	}
	for _, list := range s.stages() {
		if err := list.validate(); err != nil {
			return fmt.Errorf("%s: %w", list.name, err)
		}
	}
	if s.growth(normalizing)*s.growth(preTokenizing) > MaxGrowth {
		return fmt.Errorf("normalizer and pre_tokenizer make a text more than %d times as long", MaxGrowth)
	}
	if s.growth(decoding) > MaxGrowth {
		return fmt.Errorf("decoder makes a token more than %d times as long", MaxGrowth)
	}
	if err := s.validateUnit(); err != nil {
		return err
	}
	if most := max(len(s.Prefix), len(s.Suffix)); most > MaxAround {
		return fmt.Errorf("%d tokens before or after a text, at most %d are allowed", most, MaxAround)
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
	if c := s.Cut; c != nil && (utf8.RuneCountInString(c.Before) != 1 || len(c.After) > MaxStepText) {
		return fmt.Errorf("cut before %.60q unless after %.60q", c.Before, c.After)
	}
	return s.validateTexts()
}

// validateTexts makes sure that JSON can hold what was not read from JSON.
func (s *Settings) validateTexts() error {
	for name, template := range s.Templates {
		if !utf8.ValidString(name) || !utf8.ValidString(template) {
			return fmt.Errorf("chat template %.60q is not UTF-8", name)
		}
	}
	for _, text := range []*string{s.BOS, s.EOS, s.UNK, s.PAD} {
		if text != nil && !utf8.ValidString(*text) {
			return fmt.Errorf("special token %.60q is not UTF-8", *text)
		}
	}
	return nil
}

// steps is the list of a stage, by the name it has in the settings.
type steps struct {
	name  string
	stage stage
	list  []Step
}

func (s *Settings) stages() [3]steps {
	return [3]steps{
		{"normalizer", normalizing, s.Normalizer}, {"pre_tokenizer", preTokenizing, s.PreTokenizer}, {"decoder", decoding, s.Decoder},
	}
}

func (s steps) validate() error {
	if len(s.list) > MaxSteps {
		return fmt.Errorf("%d steps, at most %d are allowed", len(s.list), MaxSteps)
	}
	for _, step := range s.list {
		if err := step.validate(s.stage); err != nil {
			return err
		}
	}
	return nil
}

// growth returns how many times as long a text may become in a stage whose steps have been validated, or a number beyond
// MaxGrowth if it is more than that.
func (s *Settings) growth(in stage) int {
	growth := 1
	for _, step := range s.stages()[in].list {
		if by := stepTypes[in][step.Type].growth; by != nil {
			growth = min(growth*by(step), MaxGrowth+1)
		}
	}
	return growth
}

func (step Step) validate(in stage) error {
	kind, ok := stepTypes[in][step.Type]
	if !ok {
		return fmt.Errorf("%w: step %.60q", format.ErrUnsupported, step.Type)
	}
	for _, text := range []string{step.Text, step.With} {
		if len(text) > MaxStepText || !utf8.ValidString(text) {
			return fmt.Errorf("step %s: a text that is longer than %d bytes or not UTF-8", step.Type, MaxStepText)
		}
	}
	if step.Type == Split && step.Pattern != "" && Patterns[step.Pattern] == "" {
		return fmt.Errorf("%w: pattern %.60q", format.ErrUnsupported, step.Pattern)
	}
	rest := step
	rest.Type = ""
	if !kind.check(&rest) || rest != (Step{}) {
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
	return validateEnd(s.Decoder)
}

// validateEnd makes sure that what decodes tokens one by one does the same: the pieces are fused at the end, and then the
// start of the text may be stripped.
func validateEnd(decoder []Step) error {
	if last := len(decoder) - 1; last >= 0 && decoder[last].Type == Strip {
		if decoder = decoder[:last]; last == 0 || decoder[last-1].Type != Fuse {
			return errors.New("decoder: Strip without Fuse before it")
		}
	}
	for i, step := range decoder {
		if step.Type == Strip || step.Type == Fuse && i < len(decoder)-1 {
			return errors.New("decoder: Fuse and Strip are not at the end")
		}
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

// parseSettings reads and validates what encode has written, and nothing else: whatever is not known may change what the
// tokenizer does.
func parseSettings(text []byte, tokens int) (s Settings, err error) {
	if err := strictjson.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: settings: %w", format.ErrCorrupt, err)
	}
	canonical, err := s.encode()
	if err != nil || !bytes.Equal(text, canonical) {
		return s, otherwiseWritten(text)
	}
	if err := s.Validate(tokens); err != nil {
		if errors.Is(err, format.ErrUnsupported) {
			return s, fmt.Errorf("settings: %w", err)
		}
		return s, fmt.Errorf("%w: settings: %w", format.ErrCorrupt, err)
	}
	return s, nil
}

// otherwiseWritten returns why a text is not what encode makes of the settings in it.
func otherwiseWritten(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(new(Settings)); err != nil {
		return fmt.Errorf("%w: settings: %w", format.ErrUnsupported, err)
	}
	return fmt.Errorf("%w: settings: not the canonical JSON of what they say", format.ErrCorrupt)
}
