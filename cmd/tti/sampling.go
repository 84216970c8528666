package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
)

// What texts are drawn with where neither the user nor the model's makers say it: lively, and hardly ever absurd.
const (
	usualTemperature = 0.8
	usualTopP        = 0.95
)

// samplingFlags say how tokens are drawn. What is not given is as the model's makers want it.
type samplingFlags struct {
	temperature         number
	topK                count
	topP, minP, penalty number
	seed                seedFlag

	set *pflag.FlagSet // of these flags alone
}

func newSamplingFlags() samplingFlags {
	return samplingFlags{
		temperature: number{most: math.MaxFloat64},
		topK:        count{most: math.MaxInt32},
		topP:        number{least: math.SmallestNonzeroFloat64, most: 1},
		minP:        number{most: 1},
		penalty:     number{least: 0x1p-126, most: math.MaxFloat32}, // what runtime.Sampling takes
	}
}

// register adds the flags to a command. What they are without being given depends on the model, so no default is shown.
func (f *samplingFlags) register(cmd *cobra.Command) {
	f.set = pflag.NewFlagSet("", pflag.ContinueOnError)
	f.set.SortFlags = false
	f.set.Var(&f.temperature, "temp", "temperature; 0 always takes the most probable token. This and what follows is by default what the "+
		"model's generation_config says, or else temperature 0.8 and top-p 0.95")
	f.set.Var(&f.topK, "top-k", "draw from the k most probable tokens; 0: from all")
	f.set.Var(&f.topP, "top-p", "draw from the most probable tokens that make up this share; 1: from all")
	f.set.Var(&f.minP, "min-p", "draw from tokens at least this share as probable as the best one; 0: from all")
	f.set.Var(&f.penalty, "repeat-penalty", "make tokens that occurred this much less likely; 1: not at all")
	f.set.Var(&f.seed, "seed", "what draws depend on: the same seed, the same text (default: any, which --stats and --json show)")
	cmd.Flags().AddFlagSet(f.set)
}

// resolve gives the flags that are not given their values, by the wishes of the model's makers, nil where there are none.
func (f *samplingFlags) resolve(wish *format.Generation) {
	wanted := wishes(wish)
	for name, setting := range map[string]func(){
		"temp":           func() { f.temperature.value = wanted.Temperature },
		"top-k":          func() { f.topK.value = wanted.TopK },
		"top-p":          func() { f.topP.value = wanted.TopP },
		"min-p":          func() { f.minP.value = wanted.MinP },
		"repeat-penalty": func() { f.penalty.value = wanted.RepetitionPenalty },
		"seed":           func() { f.seed = randomSeed() },
	} {
		if !f.set.Changed(name) {
			setting()
		}
	}
}

// wishes returns the sampling that the makers of a model want, and the usual one where they do not say whether to draw.
func wishes(wish *format.Generation) runtime.Sampling {
	otherwise := runtime.Sampling{Temperature: usualTemperature, TopP: usualTopP, RepetitionPenalty: 1}
	if wish != nil && wish.Sample != nil {
		otherwise.Temperature, otherwise.TopP = 1, 1
	}
	return runtime.Wished(wish, otherwise)
}

// drawingSettings have no effect where the most probable token is always taken.
var drawingSettings = []string{"top-k", "top-p", "min-p", "seed"}

// check refuses flags that have no effect because the most probable token is always taken.
func (f *samplingFlags) check(cmd *cobra.Command) error {
	return drawingOnly(cmd, f.temperature.value, drawingSettings...)
}

// drawingOnly refuses flags that were given and say how to draw, at a temperature at which nothing is drawn.
func drawingOnly(cmd *cobra.Command, temperature float64, names ...string) error {
	if temperature > 0 {
		return nil
	}
	given := slices.IndexFunc(names, cmd.Flags().Changed)
	if given < 0 {
		return nil
	}
	hint := "give --temp too"
	if cmd.Flags().Changed("temp") {
		hint = "want a temperature above 0"
	}
	return usagef(cmd, "--%s has no effect at temperature 0, which always takes the most probable token; %s", names[given], hint)
}

// sampling returns what the flags mean.
func (f *samplingFlags) sampling() runtime.Sampling {
	return runtime.Sampling{
		Temperature:       f.temperature.value,
		TopK:              f.topK.value,
		TopP:              f.topP.value,
		MinP:              f.minP.value,
		RepetitionPenalty: f.penalty.value,
		Seed:              uint64(f.seed),
	}
}

// drawn is the sampling in the object of run --json.
type drawn struct {
	Temperature       float64 `json:"temperature"` // 0: always the most probable token, and no seed matters
	TopK              int     `json:"top_k"`
	TopP              float64 `json:"top_p"`
	MinP              float64 `json:"min_p"`
	RepetitionPenalty float64 `json:"repetition_penalty"`
	Seed              uint64  `json:"seed"`
}

func newDrawn(s runtime.Sampling) drawn {
	return drawn{s.Temperature, s.TopK, s.TopP, s.MinP, s.RepetitionPenalty, s.Seed}
}

// String names what the next text depends on.
func (d drawn) String() string {
	if d.Temperature == 0 {
		return "greedy"
	}
	return fmt.Sprintf("seed %d", d.Seed)
}

// seedFlag is a flag for a whole number of 64 bits.
type seedFlag uint64

func (s *seedFlag) String() string { return strconv.FormatUint(uint64(*s), 10) }
func (s *seedFlag) Type() string   { return "int" }
func (s *seedFlag) Set(text string) error {
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("want a whole number from 0 to %d", uint64(math.MaxUint64))
	}
	*s = seedFlag(value)
	return nil
}

// randomSeed returns a seed that nobody can foresee, short enough to be typed, and whole in programs whose numbers are float64.
func randomSeed() seedFlag {
	var bytes [4]byte
	rand.Read(bytes[:]) // which never fails
	return seedFlag(binary.LittleEndian.Uint32(bytes[:]))
}
