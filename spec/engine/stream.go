package engine

import (
	"iter"
	"slices"
	"sync"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// Token is one generated token of a choice.
type Token struct {
	runtime.Token
	Choice int         // counted from 0
	Origin spec.Origin // who came up with it: unlike the token it depends on the machine and on what else runs
	Logprobs
}

// Logprobs says how probable a token was, where the request asks for that.
type Logprobs struct {
	Logprob float64           // the logarithm of the token's probability
	Top     []runtime.Logprob // the most probable tokens at its place, in descending order
}

// Outcome is what there is to say of a choice when it has ended.
type Outcome struct {
	runtime.Outcome
	Drafted   int // guesses that were checked
	Accepted  int // of these, the ones that were right
	Cached    int // tokens of the prompt that did not have to be run, because a text before began alike
	Preempted int // how often its pages were taken back, to be computed again
}

// Stream is how the texts of a request come. It is safe for concurrent use. Tokens that nobody has read yet are kept, so
// that a slow reader holds up nobody.
type Stream struct {
	mutex    sync.Mutex
	changed  *sync.Cond
	tokens   []Token    // not read yet
	prompt   []Logprobs // of its tokens but the first
	outcomes []Outcome
	ended    bool
	err      error // why, if not by itself
	closed   bool
}

func newStream(choices int) *Stream {
	s := &Stream{outcomes: make([]Outcome, choices)}
	s.changed = sync.NewCond(&s.mutex)
	return s
}

// Tokens yields the tokens of all choices as they are drawn, those of one choice in their order. An error is the last thing
// it yields; a cancelled context is one. Leaving the loop closes the Stream. Tokens are yielded once.
func (s *Stream) Tokens() iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		defer s.Close()
		for more := true; more; {
			var tokens []Token
			var err error
			tokens, more, err = s.next()
			for _, token := range tokens {
				if !yield(token, nil) {
					return
				}
			}
			if err != nil {
				yield(Token{}, err)
			}
		}
	}
}

// next waits for tokens or the end, and returns what there is, and whether more may come.
func (s *Stream) next() (tokens []Token, more bool, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for len(s.tokens) == 0 && !s.ended {
		s.changed.Wait()
	}
	tokens, s.tokens = s.tokens, nil
	if s.ended {
		err = s.err
	}
	return tokens, !s.ended, err
}

// Outcomes returns what can be said of the choices so far: all there is to say once the stream has ended.
func (s *Stream) Outcomes() []Outcome {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.outcomes)
}

// Prompt returns how probable the tokens of the prompt were, but the first, which nothing precedes. It is complete when the
// first token has come or the stream has ended, and empty unless the request has Echo.
func (s *Stream) Prompt() []Logprobs {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.prompt)
}

// Close says that nobody wants the texts any more: they end at the next step with context.Canceled. Once they have ended it
// does nothing.
func (s *Stream) Close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closed = true
}

func (s *Stream) isClosed() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.closed
}

// deliver adds tokens of a choice, and keeps its outcome.
func (s *Stream) deliver(choice int, tokens []Token, outcome Outcome) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.outcomes[choice] = outcome
	s.tokens = append(s.tokens, tokens...)
	s.changed.Broadcast()
}

// deliverPrompt adds what was found of tokens of the prompt.
func (s *Stream) deliverPrompt(found []Logprobs) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.prompt = append(s.prompt, found...)
}

// end ends the stream, for the first error that there is.
func (s *Stream) end(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !s.ended {
		s.ended, s.err = true, err
		s.changed.Broadcast()
	}
}
