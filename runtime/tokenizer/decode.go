package tokenizer

import (
	"bytes"

	"github.com/tti-llm/tti/format/vocabulary"
)

// decoder turns tokens into text one by one. What acts at the start of the text only is told so.
type decoder struct {
	replace   [][2][]byte
	fallback  bool   // tokens such as <0xE2> are bytes
	metaspace []byte // stands for a space
	dropFirst bool   // and for nothing in the first token
	strip     []byte // is taken away from the start of the text, up to stripCount times
	count     int
}

func newDecoder(steps []vocabulary.Step) (d decoder) {
	for _, step := range steps {
		switch step.Type {
		case vocabulary.Replace:
			d.replace = append(d.replace, [2][]byte{[]byte(step.Text), []byte(step.With)})
		case vocabulary.ByteFallback:
			d.fallback = true
		case vocabulary.Metaspace:
			d.metaspace, d.dropFirst = []byte(step.Text), step.Scheme != vocabulary.Never
		case vocabulary.Strip:
			d.strip, d.count = []byte(step.Text), step.Start
		}
	}
	return d
}

// append adds the bytes of a token's text.
func (d *decoder) append(text, token []byte, first bool) []byte {
	if d.fallback {
		if b, ok := vocabulary.SpelledByte(string(token)); ok {
			return append(text, b)
		}
	}
	for _, r := range d.replace {
		if bytes.Contains(token, r[0]) {
			token = bytes.ReplaceAll(token, r[0], r[1])
		}
	}
	if d.metaspace != nil && bytes.Contains(token, d.metaspace) {
		space := []byte(" ")
		if first && d.dropFirst {
			space = nil
		}
		token = bytes.ReplaceAll(token, d.metaspace, space)
	}
	return append(text, token...)
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
