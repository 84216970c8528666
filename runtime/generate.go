package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// FinishReason says why a text ended.
type FinishReason string

const (
	FinishStop      FinishReason = "stop"      // the model's end-of-text token or a stop string
	FinishLength    FinishReason = "length"    // the wanted number of tokens, or no position left
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
	Tokens       int           // generated, an end-of-text token included
	Prefill      time.Duration // until the first token was drawn
	Decode       time.Duration // for all tokens after the first
}

// GenerateOption changes how a text is generated.
type GenerateOption func(*Generation)

// MaxTokens ends the text after n tokens; without it the model's context is the limit.
func MaxTokens(n int) GenerateOption { return func(g *Generation) { g.limit = min(g.limit, n) } }

// Stop ends the text before the first occurrence of any of the strings.
func Stop(strings ...string) GenerateOption { return func(g *Generation) { g.stops = strings } }

// IgnoreEndOfText treats the end-of-text token as any other.
func IgnoreEndOfText() GenerateOption { return func(g *Generation) { g.endOfText = -1 } }

// Report makes the generation keep its outcome in o.
func Report(o *Outcome) GenerateOption { return func(g *Generation) { g.outcome = o } }

// Generation is the bookkeeping of one generated text, whoever draws its tokens: it knows the
// limits, recognizes the end and makes text of tokens.
type Generation struct {
	limit     int
	endOfText int32
	stops     []string
	text      *TextStream
	outcome   *Outcome
	start     time.Time
}

// NewGeneration starts the clock for a text that follows a prompt of the given length. It fails
// with ErrEmpty or ErrContextFull if that prompt cannot be run.
func (m *Model) NewGeneration(promptTokens int, options ...GenerateOption) (*Generation, error) {
	if promptTokens == 0 {
		return nil, fmt.Errorf("prompt: %w", ErrEmpty)
	}
	if promptTokens > m.shape.Context {
		return nil, fmt.Errorf("%w: the prompt has %d tokens, the model %d positions", ErrContextFull, promptTokens, m.shape.Context)
	}
	g := &Generation{
		// The last token needs no position of its own: nothing is computed from it.
		limit:     m.shape.Context - promptTokens + 1,
		endOfText: m.shape.EndOfText,
		outcome:   new(Outcome),
		start:     time.Now(),
	}
	for _, option := range options {
		option(g)
	}
	g.text = NewTextStream(m.tokenizer, g.stops...)
	*g.outcome = Outcome{PromptTokens: promptTokens}
	if g.limit <= 0 {
		g.outcome.Finish = FinishLength
	}
	return g, nil
}

// Done reports whether the text has ended.
func (g *Generation) Done() bool { return g.outcome.Finish != "" }

// Remaining returns how many more tokens there can be.
func (g *Generation) Remaining() int { return g.limit - g.outcome.Tokens }

// Outcome returns what can be said so far.
func (g *Generation) Outcome() Outcome { return *g.outcome }

// Accept takes the next token of the text. It must not be called once the text is Done.
func (g *Generation) Accept(id int32) Token {
	g.outcome.Tokens++
	if elapsed := time.Since(g.start); g.outcome.Tokens == 1 {
		g.outcome.Prefill = elapsed
	} else {
		g.outcome.Decode = elapsed - g.outcome.Prefill
	}
	token := Token{ID: id}
	if id == g.endOfText {
		g.outcome.Finish = FinishStop
	} else {
		var stopped bool
		if token.Text, stopped = g.text.Push(id); stopped {
			g.outcome.Finish = FinishStop
		} else if g.Remaining() <= 0 {
			g.outcome.Finish = FinishLength
		}
	}
	if g.Done() {
		token.Text += g.text.Flush()
	}
	return token
}

// Fail records that the text ends by an error: a context that is done cancels it.
func (g *Generation) Fail(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		g.outcome.Finish = FinishCancelled
	}
}

// Generate runs the prompt in a new session and yields the tokens of the text that follows, an
// end-of-text token included. An error is the last thing it yields; a cancelled context is one, and
// comes within one token. Report tells how the text ended.
func (m *Model) Generate(ctx context.Context, prompt []int32, sampling Sampling, options ...GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		s, err := m.NewSession()
		if err != nil {
			yield(Token{}, err)
			return
		}
		s.Generate(ctx, prompt, sampling, options...)(yield)
	}
}

// Generate is Model.Generate in a session that may hold the beginning of the prompt already: its
// positions must be those of the first tokens of the prompt, and are not computed again. Afterwards it
// holds prompt and text but for the last token.
func (s *Session) Generate(ctx context.Context, prompt []int32, sampling Sampling, options ...GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		sampler, err := NewSampler(sampling)
		if err != nil {
			yield(Token{}, err)
			return
		}
		g, err := s.model.NewGeneration(len(prompt), options...)
		if err != nil {
			yield(Token{}, err)
			return
		}
		s.Truncate(len(prompt) - 1) // the last token's logits are needed
		tokens := append(make([]int32, 0, len(prompt)+max(g.Remaining(), 0)), prompt...)
		for !g.Done() {
			id, err := s.next(ctx, sampler, tokens)
			if err != nil {
				g.Fail(err)
				yield(Token{}, err)
				return
			}
			tokens = append(tokens, id)
			if !yield(g.Accept(id), nil) {
				return
			}
		}
	}
}

// next runs the tokens that the session does not hold yet and draws the one that follows.
func (s *Session) next(ctx context.Context, sampler *Sampler, tokens []int32) (int32, error) {
	logits, err := s.AppendContext(ctx, tokens[s.length:])
	if err != nil {
		return 0, err
	}
	return sampler.Draw(logits, tokens)
}
