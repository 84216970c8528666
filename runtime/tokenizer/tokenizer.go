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
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
)

// ErrTooLong refuses texts whose positions do not fit 32 bits.
var ErrTooLong = errors.New("text is longer than 2 GiB")

// ErrUnknownToken is wrapped by errors about ids outside the vocabulary.
var ErrUnknownToken = errors.New("no such token")

// Tokenizer encodes and decodes. It is safe for concurrent use.
type Tokenizer struct {
	vocabulary *vocabulary.View
	guard      Guard
	digest     uint64
	plain, all finder // added tokens found by Encode and by EncodeSpecial
}

// Guard calls a function that reads a section for a moment, and returns its error, or one of its own that says why the
// section cannot be read; see format.File.Guard.
type Guard func(read func() error) error

// New checks a tokenizer section and returns its tokenizer, which reads the section for as long as
// it is used. The section must not change any more; for one that may, see NewGuarded.
func New(section []byte) (*Tokenizer, error) {
	return NewGuarded(section, func(read func() error) error { return read() })
}

// NewGuarded is New for a section of a mapped file, which others may truncate, write to or close. From then on it is
// read under guard alone, and what guard returns ends a call. While NewGuarded runs, its caller is the guard.
func NewGuarded(section []byte, guard Guard) (*Tokenizer, error) {
	view, err := vocabulary.Open(section)
	if err != nil {
		return nil, err
	}
	return &Tokenizer{
		vocabulary: view, guard: guard, digest: view.Digest(), plain: newFinder(view, false), all: newFinder(view, true),
	}, nil
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
// Bytes that are not valid UTF-8 count as neither letter, number nor space. It fails with
// ErrTooLong, and a tokenizer of a file with what the file's guard says.
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
	e := encoder{
		merger: merger{t.vocabulary}, added: added, text: text,
		// English takes about four bytes a token, and the slice grows where text takes fewer.
		ids: make([]int32, 0, len(text)/4+1),
	}
	for {
		if err := t.guard(e.step); err != nil {
			return nil, err
		}
		if e.at == len(text) {
			return e.ids, nil
		}
	}
}

// encoder is a text on its way to ids.
type encoder struct {
	merger     merger
	added      *finder
	text       string
	at         int // up to here there are ids
	start, end int // of the next added token in text, both at its end if there is none, or before at if that is not known
	id         int32
	ids        []int32
}

// Bounds of what is done under one guard, for whoever waits to close the file.
const (
	stepBytes  = 1 << 16
	stepTokens = 1 << 14
)

// step encodes some more of the text: a single word, however long, as a whole. The next added token is looked for at once
// too, be it ever so far.
func (e *encoder) step() error {
	for last := min(len(e.text), e.at+stepBytes); e.at < last; {
		if e.at == e.end {
			start, end, id := e.added.next(e.text[e.at:])
			e.start, e.end, e.id = e.at+start, e.at+end, id
		}
		if e.at < e.start {
			n := wordLength(e.text[e.at:e.start])
			e.ids = e.merger.append(e.ids, e.text[e.at:e.at+n])
			e.at += n
		} else {
			e.ids = append(e.ids, e.id)
			e.at = e.end
		}
	}
	return nil
}

// Decode returns the exact bytes the ids stand for, which need not be valid UTF-8: a character may
// be spread over tokens. It fails with ErrUnknownToken on an id outside the vocabulary.
func (t *Tokenizer) Decode(ids []int32) (string, error) {
	for i, id := range ids {
		if !t.known(id) {
			return "", fmt.Errorf("decode: id %d at %d: %w, the vocabulary has %d", id, i, ErrUnknownToken, t.Size())
		}
	}
	var text strings.Builder
	for {
		step := ids[:min(len(ids), stepTokens)]
		err := t.guard(func() error {
			for _, id := range step {
				text.Write(t.vocabulary.Token(id)) // never fails
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if ids = ids[len(step):]; len(ids) == 0 {
			return text.String(), nil
		}
	}
}

func (t *Tokenizer) known(id int32) bool { return id >= 0 && int(id) < t.Size() }

// Size returns the number of tokens; ids are 0 up to, and without, it.
func (t *Tokenizer) Size() int { return t.vocabulary.Tokens() }

// EOS returns the id that ends a text, if the vocabulary has one.
func (t *Tokenizer) EOS() (int32, bool) { return t.vocabulary.EOS() }

// Digest tells vocabularies apart: equal digests mean equal tokens and merges, whatever the list
// of added tokens says.
func (t *Tokenizer) Digest() uint64 { return t.digest }
