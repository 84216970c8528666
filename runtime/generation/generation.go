// Package generation makes texts of logits: it draws tokens, knows when a text ends, and turns tokens into text as they
// come. Whoever decodes in a way of their own, such as a drafter or a server, stands on it; others start at
// runtime.Model.Generate.
//
// It runs no model. A draw is a pure function of what it is given, see [Sampling].
package generation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tti-llm/tti/runtime/tokenizer"
)

var (
	// ErrContextFull is returned where tokens do not fit into the positions that are left.
	ErrContextFull = errors.New("context is full")
	// ErrEmpty is returned where at least one token is needed.
	ErrEmpty = errors.New("no tokens")
)

// FinishReason says why a text ended.
type FinishReason string

const (
	FinishStop      FinishReason = "stop"      // a token that ends a text, or a stop string
	FinishLength    FinishReason = "length"    // the wanted number of tokens
	FinishContext   FinishReason = "context"   // no position left in the model's context
	FinishCancelled FinishReason = "cancelled" // the context is done
)

// Token is one generated token.
type Token struct {
	ID int32
	// Text is what can be shown now that this token is there: whole characters, and nothing that
	// may belong to a stop string. The texts of all tokens together are the text of the answer.
	Text string
}

// Outcome is what there is to say of a generation. It is complete when the generation has ended.
type Outcome struct {
	Finish       FinishReason
	PromptTokens int
	Tokens       int           // generated, an EOS included
	Prefill      time.Duration // until the first token was drawn
	Decode       time.Duration // for all tokens after the first
}

// Option changes how a text is generated.
type Option func(*Generation)

// MaxTokens ends the text after n tokens, at least 0; without it the model's context is the limit.
func MaxTokens(n int) Option {
	return func(g *Generation) {
		if n < 0 {
			g.invalid = fmt.Errorf("%w: at most %d tokens", ErrOption, n)
		}
		if n <= g.limit {
			g.limit, g.atLimit = n, FinishLength
		}
	}
}

// MinTokens lets no token that ends a text be drawn before there are n others, unless no other is allowed. Stop strings and
// MaxTokens end it all the same.
func MinTokens(n int) Option {
	return func(g *Generation) {
		if n < 0 {
			g.invalid = fmt.Errorf("%w: at least %d tokens", ErrOption, n)
		}
		g.rules.MinTokens = n
	}
}

// Constrain lets only tokens be drawn that a constraint allows. begin is called once for each text.
func Constrain(begin func() Allowed) Option {
	return func(g *Generation) { g.rules.Allowed = begin() }
}

// Stop ends the text before the first occurrence of any of the strings.
func Stop(strings ...string) Option { return func(g *Generation) { g.stops = strings } }

// IgnoreEOS treats the token that ends a text as any other.
func IgnoreEOS() Option { return func(g *Generation) { g.ends = nil } }

// Report makes the generation keep its outcome in o, unless that is nil.
func Report(o *Outcome) Option {
	return func(g *Generation) {
		if o != nil {
			g.outcome = o
		}
	}
}

// Generation is the bookkeeping of one generated text, whoever draws its tokens: it knows the
// limits, recognizes the end and makes text of tokens.
type Generation struct {
	limit   int
	atLimit FinishReason // what reaching the limit means
	ends    []int32
	rules   Rules
	stops   []string
	text    *TextStream
	outcome *Outcome
	start   time.Time
	invalid error // of an option
}

// Limits are what a model imposes on its texts.
type Limits struct {
	Context int     // positions
	Ends    []int32 // the tokens that end a text
}

// New starts the clock for a text that follows a prompt. It fails with ErrEmpty or ErrContextFull if
// that prompt cannot be run, and with ErrOption for an option that makes no sense.
func New(t *tokenizer.Tokenizer, limits Limits, prompt []int32, options ...Option) (*Generation, error) {
	promptTokens := len(prompt)
	if promptTokens == 0 {
		return nil, fmt.Errorf("prompt: %w", ErrEmpty)
	}
	if promptTokens > limits.Context {
		return nil, fmt.Errorf("%w: the prompt has %d tokens, the model %d positions", ErrContextFull, promptTokens, limits.Context)
	}
	g := &Generation{
		// The last token needs no position of its own: nothing is computed from it.
		limit:   limits.Context - promptTokens + 1,
		atLimit: FinishContext,
		ends:    limits.Ends,
		outcome: new(Outcome),
		start:   time.Now(),
	}
	for _, option := range options {
		if option != nil {
			option(g)
		}
	}
	if g.invalid != nil {
		return nil, g.invalid
	}
	g.text = NewTextStream(t.NewAnswer(prompt), g.stops...)
	*g.outcome = Outcome{PromptTokens: promptTokens}
	if g.limit == 0 {
		g.outcome.Finish = g.atLimit
	}
	return g, nil
}

// Rules returns what the Sampler of the text has to know of it.
func (g *Generation) Rules() Rules {
	r := g.rules
	r.Prompt, r.Ends = g.outcome.PromptTokens, g.ends
	return r
}

// Done reports whether the text has ended.
func (g *Generation) Done() bool { return g.outcome.Finish != "" }

// Remaining returns how many more tokens there can be.
func (g *Generation) Remaining() int { return g.limit - g.outcome.Tokens }

// Outcome returns what can be said so far.
func (g *Generation) Outcome() Outcome { return *g.outcome }

// Accept takes the next token of the text. It must not be called once the text is Done. Where the tokenizer cannot tell
// what the token means, because its file is closed or has changed, the error says so, and the text cannot go on.
func (g *Generation) Accept(id int32) (Token, error) {
	token, ended := Token{ID: id}, slices.Contains(g.ends, id)
	if !ended {
		var err error
		if token.Text, ended, err = g.text.Push(id); err != nil {
			return Token{}, err
		}
	}
	g.outcome.Tokens++
	if elapsed := time.Since(g.start); g.outcome.Tokens == 1 {
		g.outcome.Prefill = elapsed
	} else {
		g.outcome.Decode = elapsed - g.outcome.Prefill
	}
	switch {
	case ended:
		g.outcome.Finish = FinishStop
	case g.Remaining() <= 0:
		g.outcome.Finish = g.atLimit
	}
	if g.Done() {
		token.Text += g.text.Flush()
	}
	return token, nil
}

// Fail records that the text ends by an error: a context that is done cancels it.
func (g *Generation) Fail(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		g.outcome.Finish = FinishCancelled
	}
}

// CommonPrefix returns how many tokens two texts have in common at their beginnings.
func CommonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
