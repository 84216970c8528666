package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tti-llm/tti/spec"
	"github.com/tti-llm/tti/spec/engine"
)

// maxPrompts bounds the prompts of one request, which are queued together.
const maxPrompts = 128

// request is a decoded body that asks for texts.
type request interface {
	common() *settings
	check() error
	// prompts returns what the model reads. Chat templates may tell the date.
	prompts(m *model, now time.Time) ([]prompt, error)
	// most is the largest number of tokens of a text where the request names none, negative for no bound but the context.
	most() int
	// logprobs tells whether probabilities of tokens are wanted, and of how many that might have been.
	logprobs() (wanted bool, top int)
}

// prompt is what a model reads, and what of it is written before the text of each choice.
type prompt struct {
	ids  []int32
	echo bool
}

// kind is one of the two ways to ask for texts.
type kind struct {
	endpoint      string
	prefix        string // of ids
	object, chunk string // that answers say they are
	decode        func(body []byte) (request, error)
	whole         func(index int, c *choice, scores any) any // choice of an answer
	part          func(index int, p part) any                // piece of one
	last          func(index int, c *choice) any             // what a stream says of it at its end
	scores        func(list []scored, offset int) any        // logprobs
}

var kinds = []*kind{chatKind, completionKind}

// call is a request that was understood, with a model that is open for it.
type call struct {
	kind     *kind
	settings *settings
	model    *model
	name     string // of the model
	id       string
	created  time.Time
	seed     uint64
	prompts  []prompt
	scores   bool             // logprobs are wanted
	requests []engine.Request // one for each prompt
	release  func()
}

// fixed is what a call takes from a record instead of its request. The zero value is for requests of clients.
type fixed struct {
	model string
	seed  *uint64
	now   time.Time
}

// newCall understands a request. The caller must call release.
func (s *Server) newCall(k *kind, body []byte, key string, f fixed) (*call, error) {
	r, err := k.decode(body)
	if err != nil {
		return nil, err
	}
	c := &call{kind: k, settings: r.common(), created: f.now, id: newID(k.prefix)}
	if c.created.IsZero() {
		c.created = time.Now()
	}
	if err := c.settings.check(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if c.seed, err = c.settings.seed(); err != nil {
		return nil, err
	}
	if f.seed != nil {
		c.seed = *f.seed
	}
	name := c.settings.Model
	if f.model != "" {
		name = f.model
	}
	if c.model, c.name, c.release, err = s.models.acquire(name); err != nil {
		return nil, err
	}
	if err := c.prepare(r, key); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// prepare makes what the engine is asked for.
func (c *call) prepare(r request, key string) (err error) {
	if c.prompts, err = r.prompts(c.model, c.created); err != nil {
		return err
	}
	if n, most := c.settings.choices(), c.model.texts; n > most {
		return badField("n", "%d texts, this server writes at most %d at once", n, most)
	}
	limits, err := c.settings.limits(r.most())
	if err != nil {
		return err
	}
	sampling := c.settings.sampling(c.model.Meta().Generation, c.seed)
	if sampling.LogitBias, err = c.settings.bias(c.model.Shape().Vocabulary); err != nil {
		return err
	}
	var top int
	c.scores, top = r.logprobs()
	for _, p := range c.prompts {
		c.requests = append(c.requests, engine.Request{
			Prompt:   p.ids,
			Sampling: sampling,
			Limits:   limits,
			Choices:  c.settings.choices(),
			Logprobs: c.scores,
			Echo:     c.scores && p.echo,
			Top:      top,
			Key:      key,
		})
	}
	return nil
}

func newID(prefix string) string {
	var random [12]byte
	rand.Read(random[:]) // never fails
	return prefix + hex.EncodeToString(random[:])
}

// choice is a text so far.
type choice struct {
	text   strings.Builder
	tokens int
	begun  bool     // a part of it was handed on
	scored []scored // if that is wanted: the tokens, those of an echo too
	finish *string  // nil while it has not ended

	origins []spec.Origin // if they are wanted: of the latest tokens, whose text was not handed on yet
}

// answer is what came of a call.
type answer struct {
	choices []choice // those of the first prompt first
	usage   usage
	first   time.Time       // when the first token came
	gaps    []time.Duration // between tokens of a choice
}

// usage is how many tokens a call took.
type usage struct {
	Prompt     int          `json:"prompt_tokens"`
	Completion int          `json:"completion_tokens"`
	Total      int          `json:"total_tokens"`
	Details    usageDetails `json:"prompt_tokens_details"`
}

type usageDetails struct {
	Cached int `json:"cached_tokens"` // of the prompt, that were not computed again
}

// sink is told of a text as it comes.
type sink interface {
	add(choice int, p part) error
	idle() error // nothing came for a while
}

// part is a piece of a text as it comes.
type part struct {
	text   string
	first  bool // of its text
	scores any  // logprobs of its tokens, nil if they are not wanted

	origins []spec.Origin // of its tokens, nil if they are not wanted
}

// event is a token of a prompt's choice, or the error that ends its prompt's texts.
type event struct {
	prompt int
	token  engine.Token
	err    error
}

// start hands the call to the engine: all of its prompts, or none.
func (c *call) start(ctx context.Context) ([]*engine.Stream, error) {
	var streams []*engine.Stream
	for _, r := range c.requests {
		stream, err := c.model.engine.Submit(ctx, r)
		if err != nil {
			for _, s := range streams {
				s.Close()
			}
			return nil, err
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

// finish reads the texts to their end, and tells to of them. When to fails, so does the call.
func (c *call) finish(ctx context.Context, streams []*engine.Stream, to sink) (answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := c.newGathering(streams, to)
	events := readAll(ctx, streams)
	quiet := time.NewTicker(pingEvery)
	defer quiet.Stop()
	for {
		select {
		case <-quiet.C:
			if err := to.idle(); err != nil {
				return g.answer, err
			}
		case e, more := <-events:
			if !more {
				return g.answer, errors.Join(ctx.Err(), g.end())
			}
			if e.err != nil {
				return g.answer, e.err
			}
			quiet.Reset(pingEvery)
			if err := g.take(e); err != nil {
				return g.answer, err
			}
		}
	}
}

// readAll returns the tokens of all streams as they come. The channel is closed when all have ended. A reader that stops early
// must end ctx.
func readAll(ctx context.Context, streams []*engine.Stream) <-chan event {
	events := make(chan event)
	var readers sync.WaitGroup
	for i, stream := range streams {
		readers.Go(func() {
			for token, err := range stream.Tokens() {
				select {
				case events <- event{i, token, err}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		readers.Wait()
		close(events)
	}()
	return events
}

// response is an answer, or a chunk of one.
type response struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"` // seconds since 1970
	Model       string `json:"model"`
	Fingerprint string `json:"system_fingerprint"`
	Seed        uint64 `json:"seed"`
	Choices     []any  `json:"choices"`
	Usage       any    `json:"usage,omitempty"`
}

func (c *call) response(object string, choices ...any) response {
	return response{c.id, object, c.created.Unix(), c.name, c.model.fingerprint, c.seed, append([]any{}, choices...), nil}
}

// whole returns the answer in one piece.
func (c *call) whole(a answer) response {
	var choices []any
	for i := range a.choices {
		var scores any
		if c.scores {
			scores = c.kind.scores(a.choices[i].scored, 0)
		}
		choices = append(choices, c.kind.whole(i, &a.choices[i], scores))
	}
	r := c.response(c.kind.object, choices...)
	r.Usage = a.usage
	return r
}
