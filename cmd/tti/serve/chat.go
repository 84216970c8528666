package serve

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tti-llm/tti/runtime/chat"
	"github.com/tti-llm/tti/spec"
)

var chatKind = &kind{
	endpoint: "/v1/chat/completions",
	prefix:   "chatcmpl-",
	object:   "chat.completion",
	chunk:    "chat.completion.chunk",
	decode: func(body []byte) (request, error) {
		var r chatRequest
		return &r, decode(body, &r)
	},
	whole: func(index int, c *choice, scores any) any {
		text := c.text.String()
		return chatChoice{Index: index, Message: &chatMessage{Role: "assistant", Content: &text}, Logprobs: scores, Finish: c.finish}
	},
	part: func(index int, p part) any {
		d := &chatDelta{Content: &p.text}
		if p.first {
			d.Role = "assistant"
		}
		return chatChoice{Index: index, Delta: d, Logprobs: p.scores, Origins: p.origins}
	},
	scores: func(list []scored, _ int) any { return chatLogprobs(list) },
	last: func(index int, c *choice) any {
		return chatChoice{Index: index, Delta: &chatDelta{}, Finish: c.finish, Origins: c.origins}
	},
}

// chatChoice is an answer, with Message, or a piece of one, with Delta.
type chatChoice struct {
	Index    int          `json:"index"`
	Message  *chatMessage `json:"message,omitempty"`
	Delta    *chatDelta   `json:"delta,omitempty"`
	Logprobs any          `json:"logprobs"`
	Finish   *string      `json:"finish_reason"`

	Origins []spec.Origin `json:"origins,omitempty"`
}

type chatMessage struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
	Refusal *string `json:"refusal"`
}

type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// chatRequest asks for the next message of a conversation.
type chatRequest struct {
	settings
	Messages            []json.RawMessage `json:"messages"`
	MaxCompletionTokens *int              `json:"max_completion_tokens"`
	Logprobs            bool              `json:"logprobs"`
	TopLogprobs         *int              `json:"top_logprobs"`

	// As other servers have them.
	AddGenerationPrompt  *bool           `json:"add_generation_prompt"`
	ContinueFinalMessage bool            `json:"continue_final_message"`
	Variables            json.RawMessage `json:"chat_template_kwargs"`
}

// inMessage are the fields of a message.
type inMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Name      *string         `json:"name"`
	Reasoning *string         `json:"reasoning_content"`
}

// roles are those of messages, with what templates call them. Messages of tools come with tools.
var roles = map[string]string{"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

// contentPart is a piece of a message.
type contentPart struct {
	Type string  `json:"type"`
	Text *string `json:"text"`
}

func (r *chatRequest) common() *settings { return &r.settings }
func (r *chatRequest) most() int         { return -1 }

func (r *chatRequest) logprobs() (wanted bool, top int) { return r.Logprobs, value(0, r.TopLogprobs) }

func (r *chatRequest) check() error {
	if len(r.Messages) == 0 {
		return badField("messages", "is missing or empty")
	}
	if r.MaxCompletionTokens != nil {
		if *r.MaxCompletionTokens < 0 || *r.MaxCompletionTokens > math.MaxInt32 {
			return badField("max_completion_tokens", "want a number of tokens")
		}
		if r.MaxTokens != nil && *r.MaxTokens != *r.MaxCompletionTokens {
			return badField("max_completion_tokens", "is %d, and max_tokens is %d", *r.MaxCompletionTokens, *r.MaxTokens)
		}
		r.MaxTokens = r.MaxCompletionTokens
	}
	if r.TopLogprobs != nil && !r.Logprobs {
		return badField("top_logprobs", "is given without logprobs")
	}
	if err := checkTop("top_logprobs", r.TopLogprobs); err != nil {
		return err
	}
	if r.ContinueFinalMessage && r.AddGenerationPrompt != nil && *r.AddGenerationPrompt {
		return badField("continue_final_message", "is given with add_generation_prompt")
	}
	return nil
}

// prompts implements request: the conversation in the model's own format.
func (r *chatRequest) prompts(m *model, now time.Time) ([]prompt, error) {
	ids, err := r.encode(m, now)
	if err != nil {
		return nil, err
	}
	if len(ids) > m.Shape().Context {
		return nil, tooLong("messages", len(ids), m.Shape().Context)
	}
	return []prompt{{ids: ids}}, nil
}

func (r *chatRequest) encode(m *model, now time.Time) ([]int32, error) {
	if m.template == nil {
		return nil, badField("messages", "%v", chat.ErrNoTemplate)
	}
	messages := make([]chat.Message, len(r.Messages))
	for i, text := range r.Messages {
		var err error
		if messages[i], err = readMessage(fmt.Sprintf("messages[%d]", i), text); err != nil {
			return nil, err
		}
	}
	options := chat.Options{
		AddGenerationPrompt:  value(!r.ContinueFinalMessage, r.AddGenerationPrompt),
		ContinueFinalMessage: r.ContinueFinalMessage,
		// The clock of the answer, in UTC, so that a template that tells the date does so again when the answer is computed again.
		Now: func() time.Time { return now.UTC() },
	}
	if len(r.Variables) > 0 {
		if err := json.Unmarshal(r.Variables, &options.Variables); err != nil {
			return nil, badField("chat_template_kwargs", "want an object")
		}
	}
	ids, err := m.template.Encode(m.Tokenizer(), messages, options)
	if err != nil {
		return nil, badField("messages", "%v", err)
	}
	if len(ids) == 0 {
		return m.beginning()
	}
	return ids, nil
}

// readMessage reads a message; where names it.
func readMessage(where string, text json.RawMessage) (chat.Message, error) {
	var m inMessage
	if err := readObject(where, text, &m); err != nil {
		return nil, err
	}
	role, known := roles[m.Role]
	if !known {
		return nil, badField(where+".role", "%.20q is not one of system, developer, user, assistant", m.Role)
	}
	content, err := readContent(where+".content", m.Content)
	if err != nil {
		return nil, err
	}
	message := chat.Text(role, content)
	for _, extra := range []struct {
		name string
		text *string
	}{{"name", m.Name}, {"reasoning_content", m.Reasoning}} {
		if extra.text != nil {
			message = append(message, chat.Field{Name: extra.name, Value: *extra.text})
		}
	}
	return message, nil
}

// readContent returns the text of a message: a string, or parts, which are put on lines of their own.
func readContent(where string, content json.RawMessage) (string, error) {
	var text string
	switch kind := strings.TrimSpace(string(content)); {
	case kind == "" || kind == "null":
		return "", badField(where, "is missing")
	case kind[0] == '"':
		err := json.Unmarshal(content, &text)
		return text, err
	}
	var parts []json.RawMessage
	if err := limits.Unmarshal(content, &parts); err != nil {
		return "", badField(where, "want a string or a list of parts")
	}
	var lines []string
	for i, text := range parts {
		var part contentPart
		if err := readObject(fmt.Sprintf("%s[%d]", where, i), text, &part); err != nil {
			return "", err
		}
		if part.Type != "text" {
			return "", unsupported(fmt.Sprintf("%s[%d].type %.20q", where, i, part.Type))
		}
		if part.Text == nil {
			return "", badField(fmt.Sprintf("%s[%d].text", where, i), "is missing")
		}
		lines = append(lines, *part.Text)
	}
	return strings.Join(lines, "\n"), nil
}
