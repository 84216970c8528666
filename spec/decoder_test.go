package spec

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/runtime/generation"
)

// oracle is a drafter that knows the text, prompt included, and may be told to do wrong.
type oracle struct {
	text  []int32
	wrong func(position int) bool
	fail  func(position int) error
	asked int
}

func (o *oracle) Origin() Origin { return FromDraft }

func (o *oracle) Offer(text []int32) Offer { return Offer{Length: max(0, len(o.text)-len(text))} }

func (o *oracle) Propose(_ context.Context, text []int32, n int, _ *runtime.Sampler, _ func(float64) bool) ([]int32, error) {
	o.asked++
	if o.fail != nil {
		if err := o.fail(len(text)); err != nil {
			return nil, err
		}
	}
	draft := slices.Clone(o.text[len(text):][:n])
	for i := range draft {
		if o.wrong != nil && o.wrong(len(text)+i) {
			draft[i] ^= 1
		}
	}
	return draft, nil
}

// newOracle knows the greedy text after a prompt.
func newOracle(target *runtime.Model, prompt []int32, tokens int) *oracle {
	o := &oracle{text: slices.Clone(prompt)}
	for _, token := range plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(tokens), runtime.IgnoreEOS()).tokens {
		o.text = append(o.text, token.ID)
	}
	return o
}

const once = "Once upon a time there was a king who had"

func TestPassesArePerfectDraftsPlusOne(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	want := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(41))
	for _, length := range []int{1, 3, 7, MaxLength, 1000} {
		d := decoder(t, target, newOracle(target, prompt, 60))
		d.Length = length
		if got := speculatively(t, d, prompt, runtime.Sampling{}, runtime.MaxTokens(41)); !got.equal(want) {
			t.Fatalf("length %d: %v, want %v", length, got, want)
		}
		per := min(length, MaxLength) + 1
		if s, passes := d.Statistics(), 1+(40+per-1)/per; s.TargetPasses != passes || s.Rejected != 0 || s.Drafted != s.Accepted {
			t.Errorf("length %d: %+v, want %d passes", length, s, passes)
		}
	}
}

// TestEndInsideADraft ends texts by every means at every place of a draft.
func TestEndInsideADraft(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	whole := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(24))
	check := func(name string, options ...runtime.GenerateOption) written {
		t.Helper()
		want := plainly(target, prompt, runtime.Sampling{}, options...)
		d := decoder(t, target, newOracle(target, prompt, 40))
		d.Length = 8
		if got := speculatively(t, d, prompt, runtime.Sampling{}, options...); !got.equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		return want
	}
	for n := range 20 {
		check(fmt.Sprint(n, " tokens"), runtime.MaxTokens(n))
	}
	for i, token := range whole.tokens {
		if stop := strings.TrimSpace(token.Text); stop != "" {
			if w := check("stop at "+stop, runtime.MaxTokens(24), runtime.Stop(stop)); w.finish != runtime.FinishStop || len(w.tokens) > i+1 {
				t.Errorf("%q does not stop the text: %v", stop, w)
			}
		}
	}
}

// TestEOSInsideADraft finds texts that end with the model's own token, also where the draft
// model has the same idea.
func TestEOSInsideADraft(t *testing.T) {
	target := model(t, "fable", f32)
	end := target.Shape().EOS
	prompt := []int32{end}
	ended := 0
	for seed := range uint64(40) {
		sampling := runtime.Sampling{Temperature: 2.5, Seed: seed} // hot enough to come upon it
		want := plainly(target, prompt, sampling, runtime.MaxTokens(100))
		if want.finish != runtime.FinishStop {
			continue
		}
		ended++
		know := &oracle{text: slices.Clone(prompt)}
		for _, token := range want.tokens {
			know.text = append(know.text, token.ID)
		}
		know.text = append(know.text, 1, 2, 3, 4, 5, 6, 7, 8) // the draft goes on
		for _, drafter := range []Drafter{know, drafter(t, model(t, "fable-draft", f32), target)} {
			for _, length := range []int{1, 3, 8} {
				d := decoder(t, target, drafter)
				d.Length = length
				if got := speculatively(t, d, prompt, sampling, runtime.MaxTokens(100)); !got.equal(want) {
					t.Errorf("seed %d, length %d: %v, want %v", seed, length, got, want)
				}
			}
		}
	}
	if ended < 3 {
		t.Errorf("only %d texts ended", ended)
	}
}

// TestContextsEnd runs into the end of the target's and of the draft's context.
func TestContextsEnd(t *testing.T) {
	for _, c := range []struct{ target, draft string }{{"random-short", "fable-draft"}, {"fable", "random-short"}, {"random-short", "random-short"}} {
		target := model(t, c.target, f32)
		for _, prompt := range []int{1, 40, 46, 47, 48} {
			ids := make([]int32, prompt)
			want := plainly(target, ids, runtime.Sampling{}, runtime.MaxTokens(80), runtime.IgnoreEOS())
			for _, length := range []int{1, 5, 0} {
				d := decoder(t, target, drafter(t, model(t, c.draft, f32), target))
				d.Length = length
				if got := speculatively(t, d, ids, runtime.Sampling{}, runtime.MaxTokens(80), runtime.IgnoreEOS()); !got.equal(want) || got.err != nil {
					t.Errorf("%+v, prompt of %d, length %d: %v, want %v", c, prompt, length, got, want)
				}
				if err := d.Statistics().DraftError; err != nil {
					t.Errorf("%+v, prompt of %d, length %d: %v", c, prompt, length, err)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	target := model(t, "random-short", f32)
	d := decoder(t, target, &NGram{})
	for name, c := range map[string]struct {
		prompt   []int32
		sampling runtime.Sampling
		want     error
	}{
		"no prompt":       {nil, runtime.Sampling{}, runtime.ErrEmpty},
		"long prompt":     {make([]int32, 49), runtime.Sampling{}, runtime.ErrContextFull},
		"unknown token":   {[]int32{5000}, runtime.Sampling{}, runtime.ErrToken},
		"bad temperature": {[]int32{1}, runtime.Sampling{Temperature: -1}, runtime.ErrOption},
	} {
		want := plainly(target, c.prompt, c.sampling)
		if got := speculatively(t, d, c.prompt, c.sampling); !errors.Is(got.err, c.want) || !got.equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestDraftFailures lets drafters fail and misbehave in the middle of a text: it goes on without.
func TestDraftFailures(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	want := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(40))
	outOfIdeas := errors.New("out of ideas")
	half := len(prompt) + 22
	text := newOracle(target, prompt, 60).text
	unknown, negative := slices.Clone(text), slices.Clone(text)
	unknown[half], negative[half] = 2048, -1
	for name, c := range map[string]struct {
		oracle
		want error
	}{
		"error":          {oracle{text: text, fail: func(at int) error { return map[bool]error{true: outOfIdeas}[at > half] }}, outOfIdeas},
		"unknown token":  {oracle{text: unknown}, runtime.ErrToken},
		"negative token": {oracle{text: negative}, runtime.ErrToken},
	} {
		d := decoder(t, target, &c.oracle)
		d.Length = 4
		if got := speculatively(t, d, prompt, runtime.Sampling{}, runtime.MaxTokens(40)); !got.equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		s := d.Statistics()
		if asked := c.asked; !errors.Is(s.DraftError, c.want) || asked > s.Drafts+1 || s.Accepted < 10 {
			t.Errorf("%s: asked %d times, statistics %+v", name, asked, s)
		}
	}
}

func TestVocabulariesMustAgree(t *testing.T) {
	draft, target := model(t, "random-other", f32), model(t, "fable", f32)
	_, err := NewModel(draft, target)
	if !errors.Is(err, ErrVocabulary) || !strings.Contains(err.Error(), "random-other-f32-.tti") || !strings.Contains(err.Error(), "fable-f32-.tti") {
		t.Errorf("%v", err)
	}
}

func TestCancellation(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	for _, after := range []int{0, 1, 5, 6, 9} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if after == 0 {
			cancel()
		}
		d := decoder(t, target, newOracle(target, prompt, 40))
		d.Length = 4
		var outcome runtime.Outcome
		tokens, last := 0, error(nil)
		for _, err := range d.Generate(ctx, prompt, runtime.Sampling{}, runtime.MaxTokens(30), runtime.Report(&outcome)) {
			if last = err; err == nil {
				if tokens++; tokens == after {
					cancel()
				}
			}
		}
		if tokens != after || !errors.Is(last, context.Canceled) || outcome.Finish != runtime.FinishCancelled {
			t.Errorf("cancelled after %d tokens: %d tokens, %v, %q", after, tokens, last, outcome.Finish)
		}
	}
}

// TestStopListening breaks off in the middle of a draft, and goes on with another text.
func TestStopListening(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	d := decoder(t, target, newOracle(target, prompt, 40))
	d.Length = 4
	for range 2 {
		tokens := 0
		for range d.Generate(context.Background(), prompt, runtime.Sampling{}) {
			if tokens++; tokens == 4 {
				break
			}
		}
		if s := d.Statistics(); s.Tokens != 4 {
			t.Errorf("%+v", s)
		}
	}
	want := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(30))
	if got := speculatively(t, d, prompt, runtime.Sampling{}, runtime.MaxTokens(30)); !got.equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestGenerateWithAnyDrafter uses the function Generate, with guesses wrong here and there.
func TestGenerateWithAnyDrafter(t *testing.T) {
	target := model(t, "fable", f32)
	prompt := encode(t, target, once)
	o := newOracle(target, prompt, 80)
	random := rand.New(rand.NewPCG(1, 1))
	o.wrong = func(int) bool { return random.IntN(4) == 0 }
	var got written
	for token, err := range Generate(context.Background(), target, o, prompt, runtime.Sampling{}, runtime.MaxTokens(60)) {
		if err != nil {
			t.Fatal(err)
		}
		got.tokens = append(got.tokens, token.Token)
	}
	if want := plainly(target, prompt, runtime.Sampling{}, runtime.MaxTokens(60)); !slices.Equal(got.tokens, want.tokens) || o.asked == 0 {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNextPromptRunsOnlyWhatIsNew gives one Decoder a conversation: texts that go on, change at their end,
// begin anew, and break off in the middle of drafts. Each must be what plain decoding makes of it.
func TestNextPromptRunsOnlyWhatIsNew(t *testing.T) {
	target := model(t, "fable", int8)
	random := rand.New(rand.NewPCG(3, 3))
	for _, drafters := range [][]Drafter{nil, {&NGram{MinMatch: 1}}, {drafter(t, model(t, "fable-draft", int4), target)}} {
		d := decoder(t, target, drafters...)
		d.Length = 5
		text := encode(t, target, once)
		var before []int32 // in the session
		for turn := range 40 {
			sampling := runtime.Sampling{Temperature: 0.5, Seed: uint64(turn)}
			prompt := slices.Clone(text)
			limit, end := 1+random.IntN(16), 1+random.IntN(16)
			want := plainly(target, prompt, sampling, runtime.MaxTokens(limit)).tokens
			for token, err := range d.Generate(context.Background(), prompt, sampling, runtime.MaxTokens(limit)) {
				if err != nil {
					t.Fatal(err)
				}
				if text = append(text, token.ID); token.Token != want[len(text)-len(prompt)-1] {
					t.Fatalf("turn %d: token %d is %v, want %v", turn, len(text)-len(prompt), token, want)
				}
				if len(text) == len(prompt)+end { // nobody listens any more
					break
				}
			}
			if got, want := d.Statistics().Prefilled, len(prompt)-min(generation.CommonPrefix(before, prompt), len(prompt)-1); got != want {
				t.Errorf("turn %d: %d tokens of the prompt were run, want %d", turn, got, want)
			}
			before = slices.Clone(text[:len(text)-1])
			switch random.IntN(4) {
			case 0:
				text = text[:1+random.IntN(len(text))]
			case 1:
				text = append(slices.Clone(text[:len(text)/2]), random.Int32N(2000))
			case 2:
				text = append(text, random.Int32N(2000), random.Int32N(2000))
			}
		}
	}
}

// TestRulesHold drafts for texts with constraints, biases and penalties: the draft follows them too, and the text is that of plain
// decoding.
func TestRulesHold(t *testing.T) {
	target := model(t, "fable", int8)
	prompt := encode(t, target, once)
	mask := make(runtime.Mask, 2048/64)
	even := func() runtime.Allowed {
		return func(generated []int32) runtime.Mask { // even and odd tokens take turns
			for i := range mask {
				mask[i] = 0x5555555555555555 << (len(generated) % 2)
			}
			return mask
		}
	}
	sampling := runtime.Sampling{
		Temperature: 0.9, FrequencyPenalty: 0.3, PresencePenalty: 0.2, LogitBias: map[int32]float32{target.Shape().EOS: 4, 300: 2}, Seed: 3,
	}
	options := []runtime.GenerateOption{runtime.MaxTokens(40), runtime.MinTokens(25), runtime.Constrain(even)}
	want := plainly(target, prompt, sampling, options...)
	if len(want.tokens) < 25 || want.err != nil {
		t.Fatalf("%v", want)
	}
	for i, token := range want.tokens {
		if int(token.ID)%2 != i%2 {
			t.Errorf("token %d is %d", i, token.ID)
		}
	}
	for _, drafters := range [][]Drafter{{drafter(t, model(t, "fable-draft", f32), target)}, {&NGram{MinMatch: 1}}} {
		for _, length := range []int{0, 1, 4} {
			d := decoder(t, target, drafters...)
			d.Length = length
			if got := speculatively(t, d, prompt, sampling, options...); !got.equal(want) {
				t.Errorf("%s of length %d: %v, want %v", drafters[0].Origin(), length, got, want)
			}
			if s := d.Statistics(); s.DraftError != nil || length == 4 && drafters[0].Origin() == FromDraft && s.AcceptanceRate() < 0.3 {
				t.Errorf("%s of length %d: %+v", drafters[0].Origin(), length, s)
			}
		}
	}
}
