package engine

import (
	"context"
	"fmt"

	"github.com/tti-llm/tti/runtime"
)

// Request asks for texts that follow a prompt. Only the prompt is needed: without anything else it asks for the greedy text
// up to its end.
type Request struct {
	// Prompt is what the texts follow. It must not be changed before the request has ended.
	Prompt []int32
	// Sampling says how tokens are drawn.
	Sampling runtime.Sampling
	// Limits say how the texts end, as for runtime.Model.Generate: MaxTokens, Stop and so on.
	Limits []runtime.GenerateOption
	// Choices is how many texts are wanted. The first is drawn with the sampling's seed, each further one with a seed of its
	// own, see ChoiceSeed. The prompt is run once for all. 0: 1.
	Choices int
	// Plain lets nothing be guessed for these texts.
	Plain bool
	// Logprobs asks for the logarithm of each drawn token's probability, and of those of as many most probable tokens as
	// Top says. Echo asks for the same of the prompt's tokens but the first, see Stream.Prompt; what is cached of the
	// prompt must then be run again. They are the model's own, before what Sampling makes of them.
	Logprobs, Echo bool
	Top            int
	// Key names whose request this is. Those of different keys have their turns side by side, however many each of them
	// hands in.
	Key string
}

// ChoiceSeed returns the seed of choice i, counted from 0, of a request with a seed. Choice 0 has the request's own.
func ChoiceSeed(seed uint64, i int) uint64 {
	if i == 0 {
		return seed
	}
	// The finalizer of SplitMix64 in D. Stafford's variant 13, as the noise of draws has it, with another increment.
	z := seed + uint64(i)*0xd1342543de82ef95
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// job is a request on its way. Apart from its stream it belongs to the scheduler once it was submitted.
type job struct {
	Request
	ctx    context.Context
	stream *Stream
	texts  []*text // of all choices
	open   int     // texts that have not ended
}

// newJob checks a request and readies its texts.
func (e *Engine) newJob(ctx context.Context, r Request) (*job, error) {
	r.Choices = max(r.Choices, 1)
	if r.Choices > e.options.Texts {
		return nil, fmt.Errorf("%w: %d choices, the engine runs %d texts", runtime.ErrOption, r.Choices, e.options.Texts)
	}
	if r.Top < 0 {
		return nil, fmt.Errorf("%w: the %d most probable tokens", runtime.ErrOption, r.Top)
	}
	vocabulary := e.model.Shape().Vocabulary
	for i, id := range r.Prompt {
		if id < 0 || int(id) >= vocabulary {
			return nil, fmt.Errorf("prompt: token %d: %w: %d, the vocabulary has %d", i, runtime.ErrToken, id, vocabulary)
		}
	}
	j := &job{Request: r, ctx: ctx, stream: newStream(r.Choices)}
	for i := range r.Choices {
		t, err := newText(e.model, j, i)
		if err != nil {
			return nil, err
		}
		if j.texts = append(j.texts, t); !t.done() {
			j.open++
		}
		j.stream.outcomes[i] = t.outcome()
	}
	return j, nil
}

// finished reports whether all texts have ended.
func (j *job) finished() bool { return j.open == 0 }

// cancelled returns why the client does not want the texts any more, nil if it does.
func (j *job) cancelled() error {
	if j.stream.isClosed() {
		return context.Canceled
	}
	return j.ctx.Err()
}
