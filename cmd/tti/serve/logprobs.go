package serve

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/tti-llm/tti/spec/engine"
)

// leastLogprob stands for the logarithm of 0, which JSON has no number for; the interface does the same.
const leastLogprob = -9999

// maxTop is the largest number of most probable tokens that can be asked for.
const maxTop = 20

// scored is a token and how probable it was.
type scored struct {
	piece   string // its bytes
	logprob float64
	first   bool // nothing precedes it, so there is no probability
	top     []alternative
}

// alternative is a token that might have stood there.
type alternative struct {
	piece   string
	logprob float64
}

// score names the tokens of what the engine says.
func (m *model) score(id int32, l engine.Logprobs) (scored, error) {
	s := scored{logprob: finite(l.Logprob)}
	var err error
	if s.piece, err = m.piece(id); err != nil {
		return s, err
	}
	for _, t := range l.Top {
		a := alternative{logprob: finite(t.Logprob)}
		if a.piece, err = m.piece(t.ID); err != nil {
			return s, err
		}
		s.top = append(s.top, a)
	}
	return s, nil
}

func finite(logprob float64) float64 { return max(logprob, leastLogprob) }

// piece returns the bytes of a token within a text: at its beginning some tokenizers leave a space out.
func (m *model) piece(id int32) (string, error) {
	text, ends, err := m.Tokenizer().Pieces([]int32{id, id})
	if err != nil {
		return "", err
	}
	return text[ends[0]:], nil
}

// scorePrompt names the tokens of a prompt, of which the first has no probability.
func (m *model) scorePrompt(ids []int32, probable []engine.Logprobs) ([]scored, error) {
	text, ends, err := m.Tokenizer().Pieces(ids)
	if err != nil {
		return nil, err
	}
	list := make([]scored, len(ids))
	start := 0
	for i, end := range ends {
		if i == 0 {
			list[i].first = true
		} else if list[i], err = m.score(ids[i], probable[i-1]); err != nil {
			return nil, err
		}
		list[i].piece = text[start:end]
		start = end
	}
	return list, nil
}

// characters returns how many characters begin in a piece of text, so that the sum over pieces is that of the text.
func characters(piece string) (count int) {
	for i := range len(piece) {
		if utf8.RuneStart(piece[i]) {
			count++
		}
	}
	return count
}

// chatToken is a token in the logprobs of a chat completion.
type chatToken struct {
	Token   string      `json:"token"`
	Logprob float64     `json:"logprob"`
	Bytes   []int       `json:"bytes"`
	Top     []chatToken `json:"top_logprobs,omitempty"`
}

// chatLogprobs returns the logprobs of a chat completion.
func chatLogprobs(list []scored) any {
	content := []any{}
	for _, s := range list {
		top := []chatToken{}
		for _, a := range s.top {
			top = append(top, newChatToken(a.piece, a.logprob))
		}
		content = append(content, struct {
			chatToken
			Top []chatToken `json:"top_logprobs"` // there even if empty
		}{newChatToken(s.piece, s.logprob), top})
	}
	return map[string]any{"content": content, "refusal": nil}
}

func newChatToken(piece string, logprob float64) chatToken {
	t := chatToken{Token: strings.ToValidUTF8(piece, "\uFFFD"), Logprob: logprob, Bytes: []int{}}
	for _, b := range []byte(piece) {
		t.Bytes = append(t.Bytes, int(b))
	}
	return t
}

// completionScores are the logprobs of a completion.
type completionScores struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []*float64           `json:"token_logprobs"`
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"` // of characters
}

// completionLogprobs returns the logprobs of a completion, whose first token here begins at a character of the text.
func completionLogprobs(list []scored, offset int) any {
	scores := completionScores{[]string{}, []*float64{}, []map[string]float64{}, []int{}}
	for _, s := range list {
		scores.Tokens = append(scores.Tokens, named(s.piece))
		scores.Offsets = append(scores.Offsets, offset)
		offset += characters(s.piece)
		if s.first {
			scores.Logprobs, scores.Top = append(scores.Logprobs, nil), append(scores.Top, nil)
			continue
		}
		top := map[string]float64{named(s.piece): s.logprob}
		for _, a := range s.top {
			if _, twice := top[named(a.piece)]; !twice { // tokens may have the same text: the more probable one comes first
				top[named(a.piece)] = a.logprob
			}
		}
		scores.Logprobs, scores.Top = append(scores.Logprobs, &s.logprob), append(scores.Top, top)
	}
	return scores
}

// named returns a piece, spelled as the interface does it if it is not text: a part of a character.
func named(piece string) string {
	if utf8.ValidString(piece) {
		return piece
	}
	var spelled strings.Builder
	spelled.WriteString("bytes:")
	for _, b := range []byte(piece) {
		fmt.Fprintf(&spelled, `\x%02x`, b)
	}
	return spelled.String()
}

// checkTop refuses numbers of most probable tokens that cannot be had.
func checkTop(field string, top *int) error {
	if top != nil && (*top < 0 || *top > maxTop) {
		return badField(field, "%d is not between 0 and %d", *top, maxTop)
	}
	return nil
}

// bias returns the field of that name with ids for its names.
func (s *settings) bias(vocabulary int) (map[int32]float32, error) {
	bias := map[int32]float32{}
	for name, value := range s.LogitBias {
		var id int32
		if _, err := fmt.Sscanf(name, "%d", &id); err != nil || fmt.Sprint(id) != name {
			return nil, badField("logit_bias", "%.20q is no token id", name)
		}
		if err := checkIDs("logit_bias", []int32{id}, vocabulary); err != nil {
			return nil, err
		}
		if !(math.Abs(value) <= 100) {
			return nil, badField("logit_bias", "%v is not between -100 and 100", value)
		}
		bias[id] = float32(value)
	}
	return bias, nil
}
