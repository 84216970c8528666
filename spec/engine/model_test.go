package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/converttest"
	"github.com/tti-llm/tti/runtime"
)

var (
	f32     = convert.Options{Mode: convert.F32}
	int8    = convert.Options{Mode: convert.Int8}
	int4    = convert.Options{Mode: convert.Int4}
	int4All = convert.Options{Mode: convert.Int4, Int4: convert.All}
)

// files are the models that the tests share.
var files converttest.Files

func TestMain(m *testing.M) { os.Exit(files.Run(m.Run)) }

// open returns a model of testdata in the given mode, open until the test ends.
func open(t testing.TB, source string, o convert.Options, options ...runtime.Option) *runtime.Model {
	t.Helper()
	path := files.Path(t, filepath.Join("..", "..", "testdata", source), o)
	m, err := runtime.Open(path, append([]runtime.Option{runtime.WithoutVerify()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// start returns an engine that ends with the test, before its model.
func start(t testing.TB, m *runtime.Model, o Options) *Engine {
	t.Helper()
	e, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func encode(t testing.TB, m *runtime.Model, text string) []int32 {
	t.Helper()
	ids, err := m.Tokenizer().Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// written is everything that can be seen of a text.
type written struct {
	tokens   []runtime.Token
	logprobs []Logprobs // of the tokens, where asked for
	prompt   []Logprobs // of the prompt, of choice 0 where asked for
	finish   runtime.FinishReason
	err      error
}

func (w written) equal(other written) bool {
	same := func(a, b Logprobs) bool { return a.Logprob == b.Logprob && slices.Equal(a.Top, b.Top) }
	return slices.Equal(w.tokens, other.tokens) && slices.EqualFunc(w.logprobs, other.logprobs, same) && slices.EqualFunc(w.prompt, other.prompt, same) &&
		w.finish == other.finish && fmt.Sprint(w.err) == fmt.Sprint(other.err)
}

func (w written) String() string {
	text := ""
	for _, token := range w.tokens {
		text += token.Text
	}
	return fmt.Sprintf("%d tokens, %q, %s, %v", len(w.tokens), text, w.finish, w.err)
}

// alone generates the choices of a request one by one, without an engine.
func alone(t testing.TB, m *runtime.Model, r Request) []written {
	t.Helper()
	var choices []written
	for i := range max(r.Choices, 1) {
		sampling := r.Sampling
		sampling.Seed = ChoiceSeed(sampling.Seed, i)
		var w written
		var outcome runtime.Outcome
		for token, err := range m.Generate(context.Background(), r.Prompt, sampling, append(r.Limits[:len(r.Limits):len(r.Limits)], runtime.Report(&outcome))...) {
			if w.err = err; err == nil {
				w.tokens = append(w.tokens, token)
			}
		}
		w.finish = outcome.Finish
		if r.Logprobs || r.Echo {
			addLogprobs(t, m, r, &w)
		}
		if i > 0 || !r.Echo {
			w.prompt = nil
		}
		choices = append(choices, w)
	}
	return choices
}

// addLogprobs looks prompt and text up in the logits that a session gives in one piece.
func addLogprobs(t testing.TB, m *runtime.Model, r Request, w *written) {
	t.Helper()
	ids := slices.Clone(r.Prompt)
	for _, token := range w.tokens {
		ids = append(ids, token.ID)
	}
	s := m.NewSession()
	defer s.Close()
	sampler, err := m.NewSampler(runtime.Sampling{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.AppendAll(ids[:min(len(ids), m.Shape().Context)])
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[1:] {
		var l Logprobs
		if l.Logprob, l.Top = sampler.Logprobs(rows[i], id, r.Top); i+1 < len(r.Prompt) {
			w.prompt = append(w.prompt, l)
		} else if r.Logprobs {
			w.logprobs = append(w.logprobs, l)
		}
	}
}

// collect reads a stream to its end.
func collect(s *Stream, r Request) []written {
	written := make([]written, max(r.Choices, 1))
	for token, err := range s.Tokens() {
		if err != nil {
			for i := range written {
				written[i].err = err
			}
			break
		}
		w := &written[token.Choice]
		if w.tokens = append(w.tokens, token.Token); r.Logprobs {
			w.logprobs = append(w.logprobs, token.Logprobs)
		}
	}
	written[0].prompt = s.Prompt()
	for i, outcome := range s.Outcomes() {
		written[i].finish = outcome.Finish
	}
	return written
}

// submit hands a request in that must be taken.
func submit(t testing.TB, e *Engine, r Request) *Stream {
	t.Helper()
	s, err := e.Submit(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
