package tokenizer

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tti-llm/tti/format/vocabulary"
)

// decoder turns tokens into text one by one. What acts at the start of the text only is told so.
type decoder struct {
	steps []decodeStep
	strip []byte // is taken away from the start of the text, up to count times
	count int
}

// decodeStep makes something of a token: the byte that it spells or, where from is there, a text with another one for from.
type decodeStep struct{ from, first, later []byte }

func newDecoder(steps []vocabulary.Step) (d decoder) {
	for _, step := range steps {
		text, with := []byte(step.Text), []byte(step.With)
		switch step.Type {
		case vocabulary.Replace:
			d.steps = append(d.steps, decodeStep{text, with, with})
		case vocabulary.ByteFallback:
			d.steps = append(d.steps, decodeStep{})
		case vocabulary.Metaspace:
			s := decodeStep{from: text, first: []byte(" "), later: []byte(" ")}
			if step.Scheme != vocabulary.Never {
				s.first = nil
			}
			d.steps = append(d.steps, s)
		case vocabulary.Strip:
			d.strip, d.count = text, step.Start
		}
	}
	return d
}

// append adds the bytes of a token's text. What follows ByteFallback leaves the bytes alone that tokens spell.
func (d *decoder) append(text, token []byte, first bool) []byte {
	for _, step := range d.steps {
		if step.from == nil {
			if b, ok := spelledByte(token); ok {
				return append(text, b)
			}
		} else if bytes.Contains(token, step.from) {
			with := step.later
			if first {
				with = step.first
			}
			token = bytes.ReplaceAll(token, step.from, with)
		}
	}
	return append(text, token...)
}

// spelledByte is vocabulary.SpelledByte for what HuggingFace's decoder takes for a byte as well: small letters, and a plus.
func spelledByte(token []byte) (byte, bool) {
	if len(token) != 6 || string(token[:3]) != "<0x" || token[5] != '>' {
		return 0, false
	}
	digits := strings.TrimPrefix(string(token[3:5]), "+")
	b, err := strconv.ParseUint(digits, 16, 8)
	return byte(b), err == nil
}

// stripStart takes away what does not belong to the start of a text, at most count times, and returns how often it did.
func (d *decoder) stripStart(text []byte, count int) (rest []byte, stripped int) {
	for stripped < count && bytes.HasPrefix(text, d.strip) {
		text = text[len(d.strip):]
		stripped++
	}
	return text, stripped
}

// append adds what a token decodes to.
func (t *Tokenizer) append(text []byte, id int32, first bool) []byte {
	if shown, ok := t.shown[id]; ok {
		return t.decoder.append(text, []byte(shown), first)
	}
	return t.decoder.append(text, t.vocabulary.Token(id), first)
}

// stepTokens bounds what is decoded under one guard, for whoever waits to close the file.
const stepTokens = 1 << 14

// decode returns the text of ids and, if ends is not nil, where in it each token ends.
func (t *Tokenizer) decode(ids []int32, ends []int) (string, error) {
	var text []byte
	for done := 0; ; {
		step := ids[done:min(len(ids), done+stepTokens)]
		err := t.guard(func() error {
			for i, id := range step {
				text = t.append(text, id, done+i == 0)
				if ends != nil {
					ends[done+i] = len(text)
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if done += len(step); done == len(ids) {
			break
		}
	}
	whole, stripped := t.decoder.stripStart(text, t.decoder.count)
	for i := range ends {
		ends[i] = max(0, ends[i]-stripped*len(t.decoder.strip))
	}
	return string(whole), nil
}
