package runtime

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/tti-llm/tti/runtime/generation"
)

// What texts are made of and how; see package generation.
type (
	Sampling       = generation.Sampling     // how tokens are drawn; the zero value is greedy
	Sampler        = generation.Sampler      // draws tokens
	Token          = generation.Token        // one generated token
	Outcome        = generation.Outcome      // what there is to say of a text when it has ended
	FinishReason   = generation.FinishReason // why it ended
	GenerateOption = generation.Option       // changes how a text is generated
	Mask           = generation.Mask         // which tokens may be drawn
	Allowed        = generation.Allowed      // tells that for a text
	Logprob        = generation.Logprob      // a token and the logarithm of its probability
)

// Why a text has ended.
const (
	FinishStop      = generation.FinishStop      // a token that ends a text, or a stop string
	FinishLength    = generation.FinishLength    // the wanted number of tokens
	FinishContext   = generation.FinishContext   // no position left in the model's context
	FinishCancelled = generation.FinishCancelled // the context is done
)

// MaxTokens ends the text after n tokens, at least 0; without it the model's context is the limit.
func MaxTokens(n int) GenerateOption { return generation.MaxTokens(n) }

// MinTokens lets no token that ends a text be drawn before there are n others, unless no other is allowed.
func MinTokens(n int) GenerateOption { return generation.MinTokens(n) }

// Constrain lets only tokens be drawn that a constraint allows. begin is called once for each text.
func Constrain(begin func() Allowed) GenerateOption { return generation.Constrain(begin) }

// Stop ends the text before the first occurrence of any of the strings.
func Stop(strings ...string) GenerateOption { return generation.Stop(strings...) }

// IgnoreEOS treats the token that ends a text as any other.
func IgnoreEOS() GenerateOption { return generation.IgnoreEOS() }

// Report makes the generation keep its outcome in o.
func Report(o *Outcome) GenerateOption { return generation.Report(o) }

// NewSampler returns a sampler for the settings, which must be valid, on the model's kernels. It fails with ErrOption, and with
// ErrToken for a bias of a token that the model does not have.
func (m *Model) NewSampler(s Sampling) (*Sampler, error) {
	for id := range s.LogitBias {
		if int(id) >= m.shape.Vocabulary {
			return nil, fmt.Errorf("logit bias: %w: %d, the vocabulary has %d", ErrToken, id, m.shape.Vocabulary)
		}
	}
	return generation.NewSampler(m.kernels, s)
}

// NewGeneration starts the bookkeeping of a text that follows a prompt, for those who draw its tokens
// themselves; see generation.New. It fails with ErrClosed too.
func (m *Model) NewGeneration(prompt []int32, options ...GenerateOption) (*generation.Generation, error) {
	if err := m.closed(); err != nil {
		return nil, err
	}
	return generation.New(m.tokenizer, generation.Limits{Context: m.shape.Context, Ends: m.ends}, prompt, options...)
}

// Generate runs the prompt in a new session and yields the tokens of the text that follows, a token that ends it included.
// An error is the last thing it yields; a cancelled context is one, and comes within one token. Report tells how the
// text ended.
func (m *Model) Generate(ctx context.Context, prompt []int32, sampling Sampling, options ...GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		s := m.NewSession()
		defer s.Close()
		s.Generate(ctx, prompt, sampling, options...)(yield)
	}
}

// Generate is Model.Generate in a session that may hold the beginning of the prompt already: what the session's tokens have
// in common with the prompt is not computed again, and the rest of them is forgotten. Afterwards it holds prompt and
// text but for the last token.
func (s *Session) Generate(ctx context.Context, prompt []int32, sampling Sampling, options ...GenerateOption) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		if err := s.generate(ctx, prompt, sampling, options, yield); err != nil {
			yield(Token{}, err)
		}
	}
}

func (s *Session) generate(ctx context.Context, prompt []int32, sampling Sampling, options []GenerateOption, yield func(Token, error) bool) error {
	sampler, err := s.model.NewSampler(sampling)
	if err != nil {
		return err
	}
	g, err := s.model.NewGeneration(prompt, options...)
	if err != nil {
		return err
	}
	sampler.Begin(g.Rules())
	s.Keep(prompt[:len(prompt)-1]) // the last token's logits are needed
	tokens := slices.Clone(prompt)
	for !g.Done() {
		logits, err := s.AppendContext(ctx, tokens[s.Len():])
		if err != nil {
			g.Fail(err)
			return err
		}
		id, err := sampler.Draw(logits, tokens)
		if err != nil {
			return err
		}
		tokens = append(tokens, id)
		token, err := g.Accept(id)
		if err != nil {
			return err
		}
		if !yield(token, nil) {
			return nil
		}
	}
	return nil
}
