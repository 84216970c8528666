package tokenizer

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format/vocabulary"
)

// request is how a text is to be encoded.
type request struct {
	control  bool   // control tokens are found
	reserved string // a character that keeps them from being found, "" for none
}

func (t *Tokenizer) encode(text string, r request) ([]int32, error) {
	if err := checkLength(text); err != nil {
		return nil, err
	}
	e := encoder{
		tokenizer: t, request: r,
		merger: merger{vocabulary: t.vocabulary, settings: &t.vocabulary.Settings, ascii: &t.ascii},
		// English takes about four bytes a token, and the slice grows where text takes fewer.
		ids: make([]int32, 0, len(text)/4+1),
	}
	if len(text) >= cacheText {
		e.cache = make([]cached, cachePlaces)
	}
	if e.text(text) {
		e.flush()
	}
	return e.ids, e.err
}

// encoder is a text on its way to ids.
type encoder struct {
	tokenizer *Tokenizer
	request   request
	merger    merger
	waiting   []item
	bytes     int // of the words that wait
	total     int // bytes of all words
	ids       []int32
	cache     []cached
	err       error
}

// item is a word, or an added token where that is empty.
type item struct {
	word string
	id   int32
}

// cached is a word that has been merged before and where its ids are.
type cached struct {
	word         string
	start, count int32
}

const (
	// stepBytes bounds what is merged under one guard, for whoever waits to close the file: a single word, however long, as
	// a whole.
	stepBytes = 1 << 16
	// cacheText is from how many bytes of text on merged words are remembered, cachePlaces how many, and cacheWord up to
	// which length.
	cacheText   = 1 << 12
	cachePlaces = 1 << 13
	cacheWord   = 32
)

// text finds the added tokens that are looked for in raw text. Like those below it returns false once there is an error.
func (e *encoder) text(text string) bool {
	clean, broken := text, []int(nil)
	if e.request.reserved != "" {
		clean, broken = withoutReserved(text, e.request.reserved)
	}
	allowed := func(m match) bool { return !m.added.Control || e.request.control && !inside(broken, m.start, m.end) }
	return e.tokenizer.raw.split(clean, allowed, func(start, end int, added *vocabulary.Added) bool {
		if added != nil {
			return e.add(item{id: added.ID})
		}
		if text := clean[start:end]; !inside(broken, start, end) {
			return e.normalized(text, start == 0)
		}
		return e.reserved(withReserved(clean, start, end, broken, e.request.reserved), start == 0)
	})
}

// normalized normalizes a text and finds the other added tokens.
func (e *encoder) normalized(text string, first bool) bool {
	allowed := func(m match) bool { return !m.added.Control || e.request.control }
	text, ok := e.normalize(text)
	return ok && e.plain(text, first, allowed)
}

func (e *encoder) normalize(text string) (normalized string, ok bool) {
	normalized, err := Normalize(e.tokenizer.vocabulary.Settings.Normalizer, text)
	return normalized, err == nil || e.fail(err)
}

func (e *encoder) fail(err error) bool {
	e.ids, e.err = nil, err
	return false
}

// plain cuts a normalized text into words.
func (e *encoder) plain(text string, first bool, allowed func(match) bool) bool {
	return e.tokenizer.normalized.split(text, allowed, func(start, end int, added *vocabulary.Added) bool {
		if added != nil {
			return e.add(item{id: added.ID})
		}
		return e.tokenizer.words(piece{text[start:end], first && start == 0}, e.word)
	})
}

// reserved is normalized for a text with the reserved character in it. It finds control tokens first.
func (e *encoder) reserved(text string, first bool) bool {
	text, ok := e.normalize(text)
	if !ok {
		return false
	}
	control := func(m match) bool { return m.added.Control }
	return e.tokenizer.normalized.split(text, control, func(start, end int, added *vocabulary.Added) bool {
		if added != nil {
			return e.add(item{id: added.ID})
		}
		rest := strings.ReplaceAll(text[start:end], e.request.reserved, "")
		for _, step := range e.tokenizer.vocabulary.Settings.Normalizer {
			if step.Type == vocabulary.NFC { // what the character has kept apart
				rest = compose(rest)
			}
		}
		return e.plain(rest, first && start == 0, func(m match) bool { return !m.added.Control })
	})
}

// word cuts a word further where no merge can reach over the place, so that long ones cost no more than short ones.
func (e *encoder) word(p piece) bool {
	cut, text := e.merger.settings.Cut, p.text
	if cut == nil || e.merger.settings.IgnoreMerges {
		return e.add(item{word: text})
	}
	for begin, at := 0, 0; ; {
		n := strings.Index(text[at:], cut.Before)
		if n < 0 {
			return begin == len(text) || e.add(item{word: text[begin:]})
		}
		at += n
		if at > begin {
			before, _ := utf8.DecodeLastRuneInString(text[begin:at])
			if !strings.HasSuffix(text[begin:at], cut.Before) && (cut.After == "" || !strings.ContainsRune(cut.After, before)) {
				if !e.add(item{word: text[begin:at]}) {
					return false
				}
				begin = at
			}
		}
		at += len(cut.Before)
	}
}

func (e *encoder) add(i item) bool {
	if e.total += len(i.word); e.total > math.MaxInt32 {
		return e.fail(ErrTooLong)
	}
	e.waiting = append(e.waiting, i)
	if e.bytes += len(i.word) + 1; e.bytes < stepBytes {
		return true
	}
	return e.flush()
}

// flush makes ids of what waits.
func (e *encoder) flush() bool {
	err := e.tokenizer.guard(func() error {
		for _, i := range e.waiting {
			if i.word == "" {
				e.ids = append(e.ids, i.id)
			} else {
				e.merge(i.word)
			}
		}
		return nil
	})
	e.waiting, e.bytes = e.waiting[:0], 0
	return err == nil || e.fail(err)
}

// merge adds the ids of a word.
func (e *encoder) merge(word string) {
	if e.cache == nil || len(word) > cacheWord || len(word) == 1 {
		e.ids = e.merger.append(e.ids, word)
		return
	}
	c := &e.cache[xxhash.Sum64String(word)%cachePlaces]
	if c.word == word {
		e.ids = append(e.ids, e.ids[c.start:c.start+c.count]...)
		return
	}
	start := len(e.ids)
	e.ids = e.merger.append(e.ids, word)
	*c = cached{word, int32(start), int32(len(e.ids) - start)}
}
