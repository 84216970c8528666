package generation

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// adjustedByDefinition is what bias, mask and penalties make of logits, token by token and by their formulas: the repetition
// penalty is HuggingFace's, frequency and presence penalty are OpenAI's,
// mu[j] -> mu[j] - c[j] * frequency - float(c[j] > 0) * presence.
func adjustedByDefinition(s Sampling, r Rules, logits []float32, preceding []int32) []float32 {
	generated := preceding[r.Prompt:]
	occurrences := func(in []int32, id int32) (n float32) {
		for _, other := range in {
			if other == id {
				n++
			}
		}
		return n
	}
	var mask Mask
	if r.Allowed != nil {
		mask = r.Allowed(generated)
	}
	others := false // tokens that are allowed and do not end the text
	for id := range logits {
		others = others || mask.Allows(int32(id)) && !slices.Contains(r.Ends, int32(id))
	}
	adjusted := slices.Clone(logits)
	for i := range adjusted {
		id, x := int32(i), &adjusted[i]
		*x += s.LogitBias[id]
		if !mask.Allows(id) || others && len(generated) < r.MinTokens && slices.Contains(r.Ends, id) {
			*x = float32(math.Inf(-1))
			continue
		}
		if p := float32(s.RepetitionPenalty); p != 0 && occurrences(preceding, id) > 0 {
			if *x > 0 {
				*x /= p
			} else {
				*x *= p
			}
		}
		if n := occurrences(generated, id); n > 0 {
			product := float32(s.FrequencyPenalty) * n
			*x -= product
			*x -= float32(s.PresencePenalty)
		}
	}
	return adjusted
}

// TestDrawsFollowTheRules compares draws of all settings and rules with those by definition.
func TestDrawsFollowTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 21))
	one := func(values ...float64) float64 { return values[random.IntN(len(values))] }
	forbidden, ended := 0, 0
	for range 3000 {
		size := 70 + random.IntN(200)
		logits := normalLogits(random, size)
		preceding := make([]int32, 1+random.IntN(40))
		for i := range preceding {
			preceding[i] = random.Int32N(30)
		}
		settings := Sampling{
			Temperature: one(0, 0, 0.7, 1, 1e30), TopK: int(one(0, 5, 60)), TopP: one(0, 0.9), MinP: one(0, 0, 0.02), Seed: random.Uint64(),
			RepetitionPenalty: one(0, 1, 1.3), FrequencyPenalty: one(0, 0, 0.25, -0.5), PresencePenalty: one(0, 0, 0.5, -1),
		}
		if random.IntN(3) == 0 {
			settings.LogitBias = map[int32]float32{random.Int32N(int32(size)): 3, random.Int32N(int32(size)): -100, int32(size) + 5: 1}
		}
		rules := Rules{Prompt: random.IntN(len(preceding) + 1)}
		if random.IntN(2) == 0 {
			rules.MinTokens, rules.Ends = random.IntN(20), []int32{random.Int32N(int32(size)), random.Int32N(int32(size)), 1000}
		}
		mask := make(Mask, 1+random.IntN(size/64+1))
		if random.IntN(2) == 0 {
			for range 1 + random.IntN(50) {
				id := random.IntN(64 * len(mask))
				mask[id/64] |= 1 << (id % 64)
			}
			if random.IntN(4) == 0 && len(rules.Ends) > 0 { // nothing but an end
				mask = make(Mask, size/64+1)
				mask[rules.Ends[0]/64] = 1 << (rules.Ends[0] % 64)
			}
			rules.Allowed = func(generated []int32) Mask {
				if !slices.Equal(generated, preceding[rules.Prompt:]) {
					t.Fatalf("asked for what may follow %v, generated is %v", generated, preceding[rules.Prompt:])
				}
				return mask
			}
		}
		adjusted := adjustedByDefinition(settings, rules, logits, preceding)
		s := sampler(t, settings)
		s.Begin(rules)
		id, err := s.Draw(logits, preceding)
		if math.IsInf(float64(slices.Max(adjusted)), -1) {
			forbidden++
			if !errors.Is(err, ErrNothingAllowed) {
				t.Fatalf("%v where nothing is allowed", err)
			}
			continue
		}
		want := int32(slices.Index(adjusted, slices.Max(adjusted)))
		if settings.Temperature > 0 {
			want, _ = drawByDefinition(settings, adjusted, len(preceding))
		}
		if err != nil || id != want {
			t.Fatalf("%+v, %+v: drew %d (%v), want %d", settings, rules, id, err, want)
		}
		if again := draw(t, s, logits, preceding); again != id { // nothing stays behind in the sampler
			t.Fatalf("drew %d, then %d", id, again)
		}
		if slices.Contains(rules.Ends, id) && len(preceding)-rules.Prompt < rules.MinTokens {
			ended++
		}
	}
	if forbidden == 0 || ended == 0 {
		t.Errorf("%d draws with nothing allowed, %d with nothing but an end: too few to tell", forbidden, ended)
	}
}

// TestLogprobs compares with float64 and a full sort.
func TestLogprobs(t *testing.T) {
	random := rand.New(rand.NewPCG(22, 22))
	s := sampler(t, Sampling{Temperature: 0.5, TopK: 3, LogitBias: map[int32]float32{1: 50}}) // none of which enters
	for round := range 200 {
		logits := normalLogits(random, 2+random.IntN(3000))
		if round%2 == 0 { // ties
			for i := range logits {
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		sum := 0.0
		for _, logit := range logits {
			sum += math.Exp(float64(logit))
		}
		ids := make([]int32, len(logits))
		for i := range ids {
			ids[i] = int32(i)
		}
		slices.SortStableFunc(ids, func(a, b int32) int {
			switch {
			case logits[a] > logits[b]:
				return -1
			case logits[a] < logits[b]:
				return 1
			}
			return 0
		})
		top := []int{0, 1, 5, 20, 5000}[round%5]
		id := random.Int32N(int32(len(logits)))
		logprob, best := s.Logprobs(logits, id, top)
		if want := float64(logits[id]) - math.Log(sum); math.Abs(logprob-want) > 1e-6 {
			t.Fatalf("%v, want %v", logprob, want)
		}
		if len(best) != min(top, len(logits)) {
			t.Fatalf("%d of the best %d of %d", len(best), top, len(logits))
		}
		for i, b := range best {
			if want := float64(logits[ids[i]]) - math.Log(sum); b.ID != ids[i] || math.Abs(b.Logprob-want) > 1e-6 {
				t.Fatalf("number %d of the best is %+v, want %d with %v", i, b, ids[i], want)
			}
		}
	}
}

func TestMask(t *testing.T) {
	if !Mask(nil).Allows(1<<30) || (Mask{}).Allows(0) || !(Mask{0, 1 << 3}).Allows(67) || (Mask{0, 1 << 3}).Allows(3) || (Mask{0, 1 << 3}).Allows(200) {
		t.Error("a mask allows what it should not, or the other way round")
	}
}
