// Package tokenizer is byte-pair encoding over a tokenizer section: text to ids and back, exactly as HuggingFace's
// tokenizers do it for the tokenizer.json that the section was made from. It works in place on the section.
//
// A text goes through four rooms. added.go finds added tokens in it; normalize.go, compose.go and pretokenize.go turn what lies between
// into words, scan.go by the published patterns; merge.go makes tokens of a word. decode.go and stream.go are the way back.
//
// HuggingFace's library takes valid UTF-8 alone. Here any bytes may come: one that is not part of valid UTF-8 counts as the
// character U+FFFD where characters are told apart, and is encoded as the byte it is, by byte fallback where units are
// characters. Byte-level tokenizers without a normalizer encode and decode any byte string to itself.
//
// Start reading at Tokenizer.Encode.
package tokenizer

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/tti-llm/tti/format/vocabulary"
)

// ErrTooLong refuses texts whose positions do not fit 32 bits, as they are or as normalizers and pre-tokenizers make them.
var ErrTooLong = errors.New("text is longer than 2 GiB")

// ErrUnknownToken is wrapped by errors about ids outside the vocabulary.
var ErrUnknownToken = errors.New("no such token")

// Tokenizer encodes and decodes. It is safe for concurrent use.
type Tokenizer struct {
	vocabulary *vocabulary.View
	guard      Guard
	raw        finder // of added tokens that are looked for before normalizing
	normalized finder // of the others
	words      splitter
	ascii      [utf8.RuneSelf]int32 // the tokens of characters, where these are the units
	decoder    decoder
	control    map[int32]bool
	shown      map[int32]string // what normalized added tokens decode from, where characters are the units
}

// Guard calls a function that reads a section for a moment, and returns its error, or one of its own that says why the
// section cannot be read; see format.File.Guard.
type Guard func(read func() error) error

// New returns the tokenizer of a section, which it reads for as long as it is used. The section must not change any more;
// for one that may, see NewGuarded. Its tables are checked first; a caller that trusts them calls NewGuarded.
func New(section []byte) (*Tokenizer, error) {
	view, err := vocabulary.Open(section)
	if err != nil {
		return nil, err
	}
	if err := view.Check(); err != nil {
		return nil, err
	}
	return newTokenizer(view, func(read func() error) error { return read() }), nil
}

// NewGuarded is New for a section of a mapped file, which others may truncate, write to or close. From then on it is
// read under guard alone, and what guard returns ends a call. While NewGuarded runs, its caller is the guard. The tables
// are not checked: whatever they hold, calls end, with the wrong ids at worst. See Check.
func NewGuarded(section []byte, guard Guard) (*Tokenizer, error) {
	view, err := vocabulary.Open(section)
	if err != nil {
		return nil, err
	}
	return newTokenizer(view, guard), nil
}

func newTokenizer(view *vocabulary.View, guard Guard) *Tokenizer {
	settings := &view.Settings
	t := &Tokenizer{vocabulary: view, guard: guard, decoder: newDecoder(settings.Decoder), control: make(map[int32]bool), shown: make(map[int32]string)}
	first := slices.IndexFunc(view.Added, func(a vocabulary.Added) bool { return a.Normalized })
	if first < 0 {
		first = len(view.Added)
	}
	t.raw, t.normalized = newFinder(view.Added[:first]), newFinder(view.Added[first:])
	for _, a := range view.Added {
		t.control[a.ID] = t.control[a.ID] || a.Control
		if a.Normalized && settings.Unit == vocabulary.Characters {
			t.shown[a.ID] = a.Pattern
		}
	}
	splitters := make([]splitter, len(settings.PreTokenizer))
	for i, step := range settings.PreTokenizer {
		splitters[i] = newSplitter(step)
	}
	t.words = chain(splitters)
	if settings.Unit == vocabulary.Characters {
		for c := range t.ascii {
			t.ascii[c], _ = view.Find([]byte{byte(c)})
		}
	}
	return t
}

// Check checks the tables of the section, each once.
func (t *Tokenizer) Check() error { return t.guard(t.vocabulary.Check) }

// Encode returns the ids of text. Text that spells a control token, such as <|endoftext|>, is
// plain text. Added tokens that are no control tokens are found as HuggingFace does. Nothing is put around the text. It
// fails with ErrTooLong, and a tokenizer of a file with what the file's guard says.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	return t.encode(text, request{})
}

// EncodeSpecial is Encode, but text that spells a control token becomes that token.
func (t *Tokenizer) EncodeSpecial(text string) ([]int32, error) {
	return t.encode(text, request{control: true})
}

// EncodePrompt is Encode for a text that a model is to go on with: what the tokenizer's post-processor puts before a text,
// such as <s>, comes first.
func (t *Tokenizer) EncodePrompt(text string) ([]int32, error) {
	ids, err := t.Encode(text)
	if err != nil {
		return nil, err
	}
	return t.WithPrefix(ids), nil
}

// WithPrefix returns ids with what the post-processor puts before a text, unless they begin with it already.
func (t *Tokenizer) WithPrefix(ids []int32) []int32 {
	prefix := t.vocabulary.Settings.Prefix
	if len(ids) >= len(prefix) && slices.Equal(ids[:len(prefix)], prefix) {
		return ids
	}
	return slices.Concat(prefix, ids)
}

// Wrap returns the ids of a text with all that the post-processor puts around it.
func (t *Tokenizer) Wrap(ids []int32) []int32 {
	return slices.Concat(t.vocabulary.Settings.Prefix, ids, t.vocabulary.Settings.Suffix)
}

// EncodeTemplate is EncodeSpecial for text in which the character reserved stands inside of what must not become a control
// token. It is left out once control tokens have been found.
func (t *Tokenizer) EncodeTemplate(text string, reserved rune) ([]int32, error) {
	return t.encode(text, request{control: true, reserved: string(reserved)})
}

// Decode returns the bytes the ids stand for, control tokens included, which need not be valid UTF-8: a character may
// be spread over tokens. It fails with ErrUnknownToken on an id outside the vocabulary.
//
// HuggingFace's tokenizers return U+FFFD for bytes that are no UTF-8 and, where bytes are spelled as tokens such as <0xE2>,
// for all bytes in a row of these if any of them is wrong.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	if err := t.checkIDs(ids); err != nil {
		return "", err
	}
	return t.decode(ids, nil)
}

// Pieces is Decode, and says where in the text each token ends.
func (t *Tokenizer) Pieces(ids []int32) (text string, ends []int, err error) {
	if err := t.checkIDs(ids); err != nil {
		return "", nil, err
	}
	ends = make([]int, len(ids))
	text, err = t.decode(ids, ends)
	return text, ends, err
}

func (t *Tokenizer) checkIDs(ids []int32) error {
	for i, id := range ids {
		if !t.known(id) {
			return fmt.Errorf("decode: id %d at %d: %w, the vocabulary has %d", id, i, ErrUnknownToken, t.Size())
		}
	}
	return nil
}

func (t *Tokenizer) known(id int32) bool { return id >= 0 && int(id) < t.Size() }

// Size returns the number of tokens; ids are 0 up to, and without, it.
func (t *Tokenizer) Size() int { return t.vocabulary.Tokens() }

// Ends returns the ids that end a text, the one that is meant most first. It must not be changed.
func (t *Tokenizer) Ends() []int32 { return t.vocabulary.Settings.End }

// EOS returns the id that ends a text, if the vocabulary has one.
func (t *Tokenizer) EOS() (int32, bool) {
	if ends := t.Ends(); len(ends) > 0 {
		return ends[0], true
	}
	return vocabulary.None, false
}

// Settings returns all that the section says besides its tables. It must not be changed.
func (t *Tokenizer) Settings() *vocabulary.Settings { return &t.vocabulary.Settings }

// Added returns the added tokens. They must not be changed.
func (t *Tokenizer) Added() []vocabulary.Added { return t.vocabulary.Added }

// IsControl reports whether a token is a control token.
func (t *Tokenizer) IsControl(id int32) bool { return t.control[id] }

// Control yields the texts of all control tokens.
func (t *Tokenizer) Control() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, a := range t.vocabulary.Added {
			if a.Control && !yield(a.Content) {
				return
			}
		}
	}
}

// Extends reports whether every id of other means the same here: its tokens are the first of these, and the merges are
// the same. Tokens without text at other's end, which pad its model, do not count. It fails as Encode does.
func (t *Tokenizer) Extends(other *Tokenizer) (extends bool, err error) {
	if t.vocabulary == other.vocabulary { // nor may the guard of one file be called within itself
		return true, nil
	}
	guardErr := t.guard(func() error {
		err = other.guard(func() error {
			extends = t.vocabulary.Extends(other.vocabulary)
			return nil
		})
		return nil
	})
	if err != nil { // the inner guard has caught what went wrong with either file
		if own := t.Check(); own != nil {
			return false, own
		}
	}
	return extends, errors.Join(guardErr, err)
}

// Same reports whether every id means the same in both.
func (t *Tokenizer) Same(other *Tokenizer) (bool, error) {
	if extends, err := t.Extends(other); err != nil || !extends {
		return false, err
	}
	return other.Extends(t)
}

// Version returns the version of the section.
func (t *Tokenizer) Version() int { return t.vocabulary.Version() }

// checkLength refuses texts that are too long.
func checkLength(text string) error {
	if len(text) > math.MaxInt32 {
		return ErrTooLong
	}
	return nil
}
