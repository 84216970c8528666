// Package tokenizer is GPT-2's byte-level BPE over a tokenizer section: text to ids and back.
// It works in place on the section and builds no tables of its own. Any byte string, valid UTF-8
// or not, encodes and decodes to itself.
//
// It never normalizes text, never adds a token that the text does not spell, and never reads a
// file. Start reading at Tokenizer.Encode, then words.go and merge.go.
package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// ErrTooLong refuses texts whose positions do not fit 32 bits.
var ErrTooLong = errors.New("text is longer than 2 GiB")

// ErrUnknownToken is wrapped by errors about ids outside the vocabulary.
var ErrUnknownToken = errors.New("no such token")

// Tokenizer encodes and decodes. It is safe for concurrent use.
type Tokenizer struct {
	vocabulary *vocabulary.View
	plain, all finder // added tokens found by Encode and by EncodeSpecial
}

// New checks a tokenizer section and returns its tokenizer, which reads the section for as long as
// it is used.
func New(section []byte) (*Tokenizer, error) {
	view, err := vocabulary.Open(section)
	if err != nil {
		return nil, err
	}
	return &Tokenizer{vocabulary: view, plain: newFinder(view, false), all: newFinder(view, true)}, nil
}

// Encode returns the ids of text by the tokenizer of a section, as convert.Calibration wants them.
func Encode(section []byte, text string) ([]int32, error) {
	t, err := New(section)
	if err != nil {
		return nil, err
	}
	return t.Encode(text)
}

// Encode returns the ids of text. Text that spells a control token, such as <|endoftext|>, is
// plain text. Added tokens that are no control tokens are found as a whole, as HuggingFace does.
// Bytes that are not valid UTF-8 count as neither letter, number nor space. It fails with ErrTooLong and, where the section
// is mapped from a file that has changed, with format.ErrTruncated or format.ErrCorrupt, as the other methods do.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	return t.encode(text, &t.plain)
}

// EncodeSpecial is Encode, but text that spells a control token becomes that token: the leftmost
// and of several the longest.
func (t *Tokenizer) EncodeSpecial(text string) ([]int32, error) {
	return t.encode(text, &t.all)
}

func (t *Tokenizer) encode(text string, added *finder) ([]int32, error) {
	if len(text) > math.MaxInt32 {
		return nil, ErrTooLong
	}
	// English takes about four bytes a token, and the slice grows where text takes fewer.
	ids := make([]int32, 0, len(text)/4+1)
	m := merger{vocabulary: t.vocabulary}
	err := guarded(func() error {
		for len(text) > 0 {
			start, end, id := added.next(text)
			for rest := text[:start]; rest != ""; {
				n := wordLength(rest)
				ids = m.append(ids, rest[:n])
				rest = rest[n:]
			}
			if end > start {
				ids = append(ids, id)
			}
			text = text[end:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// guarded runs f, which reads the section. That may be mapped from a file which has been truncated or overwritten since it
// was checked: what cannot be read, and indices that lead out of the tables, become errors.
func guarded(f func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			if _, ok := reason.(runtime.Error); !ok {
				panic(reason)
			}
			err = fmt.Errorf("%w: the tokenizer section has changed: %v", format.ErrCorrupt, reason)
		}
	}()
	return format.GuardFault(f)
}

// Decode returns the exact bytes the ids stand for, which need not be valid UTF-8: a character may
// be spread over tokens. It fails with ErrUnknownToken on an id outside the vocabulary.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	var text strings.Builder
	err := guarded(func() error {
		for i, id := range ids {
			if !t.known(id) {
				return fmt.Errorf("decode: id %d at %d: %w, the vocabulary has %d", id, i, ErrUnknownToken, t.Size())
			}
			text.Write(t.vocabulary.Token(id))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return text.String(), nil
}

func (t *Tokenizer) known(id int32) bool { return id >= 0 && int(id) < t.Size() }

// Token returns a copy of a token's bytes: nil for an id outside the vocabulary, empty for one that only pads it.
func (t *Tokenizer) Token(id int32) (token []byte) {
	if !t.known(id) {
		return nil
	}
	// A section that has changed has no such token any more.
	_ = guarded(func() error {
		token = append([]byte{}, t.vocabulary.Token(id)...)
		return nil
	})
	return token
}

// Size returns the number of tokens; ids are 0 up to, and without, it.
func (t *Tokenizer) Size() int { return t.vocabulary.Tokens() }

// EOS returns the id that ends a text, if the vocabulary has one.
func (t *Tokenizer) EOS() (int32, bool) { return t.vocabulary.EOS() }

// Digest tells vocabularies apart: equal digests mean equal tokens and merges, whatever the list
// of added tokens says.
func (t *Tokenizer) Digest() uint64 { return t.vocabulary.Digest() }
