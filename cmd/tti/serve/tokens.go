package serve

import (
	"encoding/json"
	"net/http"
	"time"
)

// tokenizeRequest asks for the ids of a text, or of a conversation.
type tokenizeRequest struct {
	Model               string            `json:"model"`
	Prompt              *string           `json:"prompt"`
	Special             *bool             `json:"add_special_tokens"`
	Pieces              bool              `json:"return_token_strs"`
	Messages            []json.RawMessage `json:"messages"`
	AddGenerationPrompt *bool             `json:"add_generation_prompt"`
	ContinueFinal       bool              `json:"continue_final_message"`
	Variables           json.RawMessage   `json:"chat_template_kwargs"`
}

type tokenizeResponse struct {
	Count   int      `json:"count"`
	Context int      `json:"max_model_len"`
	Tokens  []int32  `json:"tokens"`
	Pieces  []string `json:"token_strs,omitempty"`
}

type detokenizeRequest struct {
	Model  string  `json:"model"`
	Tokens []int32 `json:"tokens"`
}

// tokenize answers with the ids that a completion, or a chat completion, of the same text would begin with.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, s.options.MaxBody)
	if err != nil {
		return err
	}
	var q tokenizeRequest
	if err := decode(body, &q); err != nil {
		return err
	}
	if (q.Prompt == nil) == (len(q.Messages) == 0) {
		return badField("prompt", "want either prompt or messages")
	}
	m, _, release, err := s.models.acquire(q.Model)
	if err != nil {
		return err
	}
	defer release()
	ids, err := q.encode(m)
	if err != nil {
		return err
	}
	answer := tokenizeResponse{Count: len(ids), Context: m.Shape().Context, Tokens: append([]int32{}, ids...)}
	if q.Pieces {
		text, ends, err := m.Tokenizer().Pieces(ids)
		if err != nil {
			return err
		}
		start := 0
		for _, end := range ends {
			answer.Pieces = append(answer.Pieces, text[start:end])
			start = end
		}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (q *tokenizeRequest) encode(m *model) ([]int32, error) {
	if q.Prompt == nil {
		conversation := chatRequest{Messages: q.Messages, AddGenerationPrompt: q.AddGenerationPrompt, ContinueFinalMessage: q.ContinueFinal, Variables: q.Variables}
		return conversation.encode(m, time.Now())
	}
	if value(true, q.Special) {
		return m.encode(*q.Prompt)
	}
	return m.Tokenizer().Encode(*q.Prompt)
}

// detokenize answers with the text of ids.
func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, s.options.MaxBody)
	if err != nil {
		return err
	}
	var q detokenizeRequest
	if err := decode(body, &q); err != nil {
		return err
	}
	m, _, release, err := s.models.acquire(q.Model)
	if err != nil {
		return err
	}
	defer release()
	if err := checkIDs("tokens", q.Tokens, m.Shape().Vocabulary); err != nil {
		return err
	}
	text, err := m.Tokenizer().Decode(q.Tokens)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"prompt": text})
	return nil
}
