package serve

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tti-llm/tti/spec"
)

var completionKind = &kind{
	endpoint: "/v1/completions",
	prefix:   "cmpl-",
	object:   "text_completion",
	chunk:    "text_completion",
	decode: func(body []byte) (request, error) {
		var r completionRequest
		return &r, decode(body, &r)
	},
	whole: func(index int, c *choice, scores any) any {
		return completionChoice{Text: c.text.String(), Index: index, Logprobs: scores, Finish: c.finish}
	},
	part: func(index int, p part) any {
		return completionChoice{Text: p.text, Index: index, Logprobs: p.scores, Origins: p.origins}
	},
	last: func(index int, c *choice) any {
		return completionChoice{Index: index, Finish: c.finish, Origins: c.origins}
	},
	scores: completionLogprobs,
}

// completionChoice is a text, or a piece of one.
type completionChoice struct {
	Text     string  `json:"text"`
	Index    int     `json:"index"`
	Logprobs any     `json:"logprobs"`
	Finish   *string `json:"finish_reason"`

	Origins []spec.Origin `json:"origins,omitempty"`
}

// completionRequest asks for texts that follow prompts.
type completionRequest struct {
	settings
	Prompt   json.RawMessage `json:"prompt"`
	Echo     bool            `json:"echo"`
	Logprobs *int            `json:"logprobs"`
}

// defaultCompletion is what the interface says of max_tokens.
const defaultCompletion = 16

func (r *completionRequest) common() *settings { return &r.settings }
func (r *completionRequest) check() error      { return checkTop("logprobs", r.Logprobs) }
func (r *completionRequest) most() int         { return defaultCompletion }

func (r *completionRequest) logprobs() (wanted bool, top int) {
	return r.Logprobs != nil, value(0, r.Logprobs)
}

// prompts implements request: the prompt is a text, a list of ids, or a list of either.
func (r *completionRequest) prompts(m *model, _ time.Time) ([]prompt, error) {
	lists, err := readPrompts(m, r.Prompt)
	if err != nil {
		return nil, err
	}
	if len(lists) > maxPrompts {
		return nil, badField("prompt", "%d prompts, at most %d are allowed", len(lists), maxPrompts)
	}
	prompts := make([]prompt, len(lists))
	for i, ids := range lists {
		if len(ids) > m.Shape().Context {
			return nil, tooLong("prompt", len(ids), m.Shape().Context)
		}
		prompts[i] = prompt{ids, r.Echo}
		if err := checkIDs("prompt", ids, m.Shape().Vocabulary); err != nil {
			return nil, err
		}
	}
	return prompts, nil
}

func checkIDs(field string, ids []int32, vocabulary int) error {
	for _, id := range ids {
		if id < 0 || int(id) >= vocabulary {
			return badField(field, "there is no token %d, the vocabulary has %d", id, vocabulary)
		}
	}
	return nil
}

func readPrompts(m *model, field json.RawMessage) (lists [][]int32, err error) {
	switch text := strings.TrimSpace(string(field)); {
	case text == "" || text == "null":
		return nil, badField("prompt", "is missing")
	case compact(field) == "[]":
		return nil, badField("prompt", "is empty")
	case strings.HasPrefix(text, `"`) || holdsStrings(field):
		list, err := texts("prompt", field)
		if err != nil {
			return nil, err
		}
		for _, text := range list {
			ids, err := m.encode(text)
			if err != nil {
				return nil, err
			}
			lists = append(lists, ids)
		}
	case json.Unmarshal(field, new([]int32)) == nil:
		lists = make([][]int32, 1)
		err = json.Unmarshal(field, &lists[0])
	default:
		err = json.Unmarshal(field, &lists)
	}
	if err != nil {
		return nil, badField("prompt", "want a string, a list of strings, a list of token ids, or a list of such lists")
	}
	for i := range lists {
		if len(lists[i]) == 0 {
			if lists[i], err = m.beginning(); err != nil {
				return nil, err
			}
		}
	}
	return lists, nil
}

func holdsStrings(list json.RawMessage) bool {
	var items []json.RawMessage
	return json.Unmarshal(list, &items) == nil && len(items) > 0 && strings.HasPrefix(string(items[0]), `"`)
}

// encode returns the ids of a text that the model is to go on with.
func (m *model) encode(text string) ([]int32, error) { return m.Tokenizer().EncodePrompt(text) }

// beginning returns the prompt of a text that begins with nothing.
func (m *model) beginning() ([]int32, error) {
	if prompt := m.Beginning(); len(prompt) > 0 {
		return prompt, nil
	}
	return nil, badField("prompt", "is empty, and the model has no token to begin a text with")
}
