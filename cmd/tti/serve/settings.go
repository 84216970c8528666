package serve

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
)

const (
	maxStops      = 16 // the interface allows 4
	maxStopLength = 1000
	// maxDrawnSeed is the largest seed that is drawn for a request without one: clients that keep numbers as float64 can give
	// it back.
	maxDrawnSeed = 1<<53 - 1
)

// settings are the fields that all requests for texts have. nil stands for what was not given.
type settings struct {
	Model         string           `json:"model"`
	Stream        bool             `json:"stream"`
	StreamOptions json.RawMessage  `json:"stream_options"`
	Choices       *int             `json:"n"`
	Seed          *json.RawMessage `json:"seed"`
	Stop          json.RawMessage  `json:"stop"`
	MaxTokens     *int             `json:"max_tokens"`

	Temperature       *float64 `json:"temperature"`
	TopP              *float64 `json:"top_p"`
	TopK              *int     `json:"top_k"`
	MinP              *float64 `json:"min_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
	FrequencyPenalty  *float64 `json:"frequency_penalty"`
	PresencePenalty   *float64 `json:"presence_penalty"`

	LogitBias map[string]float64 `json:"logit_bias"`
	MinTokens int                `json:"min_tokens"`
	IgnoreEOS bool               `json:"ignore_eos"`

	streamed streamOptions // what check has read
}

type streamOptions struct {
	IncludeUsage       bool `json:"include_usage"`
	IncludeOrigins     bool `json:"include_origins"`     // who came up with each token, beyond the interface
	IncludeObfuscation bool `json:"include_obfuscation"` // which hides lengths from listeners; answers do not depend on it
}

// wantsOrigins reports whether a stream is to say who came up with each token.
func (s *settings) wantsOrigins() bool { return s.streamed.IncludeOrigins }

// check refuses values that are out of range, and reads those that are objects.
func (s *settings) check() error {
	if given := string(s.StreamOptions); given != "" && given != "null" {
		if !s.Stream {
			return badField("stream_options", "is given without stream")
		}
		if err := readObject("stream_options", s.StreamOptions, &s.streamed); err != nil {
			return err
		}
	}
	if s.Choices != nil && *s.Choices < 1 {
		return badField("n", "want at least 1")
	}
	if s.MaxTokens != nil && (*s.MaxTokens < 0 || *s.MaxTokens > math.MaxInt32) {
		return badField("max_tokens", "want a number of tokens")
	}
	if s.MinTokens < 0 || s.MinTokens > math.MaxInt32 {
		return badField("min_tokens", "want a number of tokens")
	}
	if s.TopK != nil && (*s.TopK < -1 || *s.TopK > math.MaxInt32) {
		return badField("top_k", "want a number of tokens, or -1 for all")
	}
	for _, number := range []struct {
		name        string
		value       *float64
		least, most float64
	}{
		{"temperature", s.Temperature, 0, 2},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"repetition_penalty", s.RepetitionPenalty, 0.01, 100},
		{"frequency_penalty", s.FrequencyPenalty, -2, 2},
		{"presence_penalty", s.PresencePenalty, -2, 2},
	} {
		if v := number.value; v != nil && !(*v >= number.least && *v <= number.most) {
			return badField(number.name, "%v is not between %v and %v", *v, number.least, number.most)
		}
	}
	return nil
}

// sampling returns how tokens are drawn: by the request, else as the model's file wishes, else as the interface does it.
func (s *settings) sampling(wish *format.Generation, seed uint64) runtime.Sampling {
	wished := runtime.Wished(wish, runtime.Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1})
	return runtime.Sampling{
		Temperature: value(wished.Temperature, s.Temperature),
		TopK:        max(value(wished.TopK, s.TopK), 0),
		// 0 asks for the one most probable token, but means no filter to the runtime.
		TopP:              max(value(wished.TopP, s.TopP), math.SmallestNonzeroFloat64),
		MinP:              value(wished.MinP, s.MinP),
		RepetitionPenalty: value(wished.RepetitionPenalty, s.RepetitionPenalty),
		FrequencyPenalty:  value(0, s.FrequencyPenalty),
		PresencePenalty:   value(0, s.PresencePenalty),
		Seed:              seed,
	}
}

// value returns the last of the values that is there, or else otherwise.
func value[T any](otherwise T, values ...*T) T {
	for _, v := range values {
		if v != nil {
			otherwise = *v
		}
	}
	return otherwise
}

// seed returns the request's seed, or one drawn by chance.
func (s *settings) seed() (uint64, error) {
	if s.Seed == nil || string(*s.Seed) == "null" {
		return rand.Uint64N(maxDrawnSeed + 1), nil
	}
	var seed uint64
	if err := json.Unmarshal(*s.Seed, &seed); err == nil {
		return seed, nil
	}
	var negative int64
	if err := json.Unmarshal(*s.Seed, &negative); err != nil {
		return 0, badField("seed", "want a whole number of 64 bits")
	}
	return uint64(negative), nil
}

// limits returns how texts end; most is the largest number of tokens if none is given, negative for as many as there is room for.
func (s *settings) limits(most int) ([]runtime.GenerateOption, error) {
	stops, err := texts("stop", s.Stop)
	if err != nil {
		return nil, err
	}
	if len(stops) > maxStops {
		return nil, badField("stop", "%d strings, at most %d are allowed", len(stops), maxStops)
	}
	for _, stop := range stops {
		if stop == "" || len(stop) > maxStopLength {
			return nil, badField("stop", "a string of %d bytes, want 1 to %d", len(stop), maxStopLength)
		}
	}
	options := []runtime.GenerateOption{runtime.Stop(stops...), runtime.MinTokens(s.MinTokens)}
	if most = value(most, s.MaxTokens); most >= 0 {
		options = append(options, runtime.MaxTokens(most))
	}
	if s.IgnoreEOS {
		options = append(options, runtime.IgnoreEOS())
	}
	return options, nil
}

// texts reads a field that is a string or a list of strings.
func texts(name string, field json.RawMessage) (list []string, err error) {
	switch text := strings.TrimSpace(string(field)); {
	case text == "" || text == "null":
		return nil, nil
	case text[0] == '"':
		list = make([]string, 1)
		err = json.Unmarshal(field, &list[0])
	default:
		err = json.Unmarshal(field, &list)
	}
	if err != nil {
		return nil, badField(name, "want a string or a list of strings")
	}
	return list, nil
}

// choices returns how many texts are wanted for each prompt.
func (s *settings) choices() int { return cmp.Or(value(0, s.Choices), 1) }
