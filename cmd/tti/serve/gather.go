package serve

import (
	"time"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// gathering puts the tokens of a call together.
type gathering struct {
	answer
	call    *call
	streams []*engine.Stream
	to      sink
	latest  []time.Time // when a choice had its latest token
	offsets []int       // characters of a choice so far
	echoed  []bool      // of prompts
}

func (c *call) newGathering(streams []*engine.Stream, to sink) *gathering {
	choices := len(streams) * c.settings.choices()
	return &gathering{
		answer: answer{choices: make([]choice, choices)}, call: c, streams: streams, to: to,
		latest: make([]time.Time, choices), offsets: make([]int, choices), echoed: make([]bool, len(streams)),
	}
}

// take adds a token.
func (g *gathering) take(e event) error {
	if err := g.echo(e.prompt); err != nil {
		return err
	}
	i := e.prompt*g.call.settings.choices() + e.token.Choice
	g.time(i)
	c := &g.choices[i]
	c.tokens++
	if g.call.settings.wantsOrigins() {
		c.origins = append(c.origins, e.token.Origin)
	}
	var tokens []scored
	if g.call.scores {
		s, err := g.call.model.score(e.token.ID, e.token.Logprobs)
		if err != nil {
			return err
		}
		tokens = append(tokens, s)
	}
	return g.add(i, e.token.Text, tokens)
}

// time keeps when a token came.
func (g *gathering) time(choice int) {
	now := time.Now()
	if g.first.IsZero() {
		g.first = now
	}
	if !g.latest[choice].IsZero() {
		g.gaps = append(g.gaps, now.Sub(g.latest[choice]))
	}
	g.latest[choice] = now
}

// echo puts a prompt before its texts, if that is wanted and has not been done. How probable its tokens were is known when the
// first token has come.
func (g *gathering) echo(prompt int) error {
	if g.echoed[prompt] || !g.call.prompts[prompt].echo {
		return nil
	}
	g.echoed[prompt] = true
	ids, m := g.call.prompts[prompt].ids, g.call.model
	text, err := m.Tokenizer().Decode(ids)
	if err != nil {
		return err
	}
	var tokens []scored
	if g.call.scores {
		if tokens, err = m.scorePrompt(ids, g.streams[prompt].Prompt()); err != nil {
			return err
		}
	}
	each := g.call.settings.choices()
	for i := prompt * each; i < (prompt+1)*each; i++ {
		if err := g.add(i, text, tokens); err != nil {
			return err
		}
	}
	return nil
}

// add adds a piece of text and its tokens to a choice.
func (g *gathering) add(i int, text string, tokens []scored) error {
	c := &g.choices[i]
	p := part{text: text, first: !c.begun}
	c.text.WriteString(text)
	if g.call.scores {
		p.scores = g.call.kind.scores(tokens, g.offsets[i])
		c.scored = append(c.scored, tokens...)
		for _, s := range tokens {
			g.offsets[i] += characters(s.piece)
		}
	}
	if text == "" && !g.call.scores { // held back, or a control token
		return nil
	}
	c.begun = true
	p.origins, c.origins = c.origins, nil
	return g.to.add(i, p)
}

// finishReasons are what the interface calls the ways in which a text ends. It has none for one that was cancelled.
var finishReasons = map[runtime.FinishReason]*string{
	runtime.FinishStop:    new("stop"),
	runtime.FinishLength:  new("length"),
	runtime.FinishContext: new("length"),
}

// end fills in what is known once all texts have ended.
func (g *gathering) end() error {
	for i, stream := range g.streams {
		if err := g.echo(i); err != nil {
			return err
		}
		g.usage.Prompt += len(g.call.prompts[i].ids)
		for j, outcome := range stream.Outcomes() {
			c := &g.choices[i*g.call.settings.choices()+j]
			c.finish = finishReasons[outcome.Finish]
			g.usage.Completion += c.tokens
			if j == 0 { // the prompt is run once
				g.usage.Details.Cached += outcome.Cached
			}
		}
	}
	g.usage.Total = g.usage.Prompt + g.usage.Completion
	return nil
}
