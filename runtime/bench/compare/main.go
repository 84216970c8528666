// Command compare measures two builds of tti in turns, so that whatever else the machine does meets both alike, and
// prints how fast the second is beside the first: the median of the ratios of all rounds, with its 95 % interval.
//
//	go run ./runtime/bench/compare [-rounds 10] [-least 0.95] OLD NEW
//
// It fails where an interval lies wholly below least.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/tti-llm/tti/runtime/bench/statistics"
)

func main() {
	rounds := flag.Int("rounds", 10, "how often each build measures each mode")
	least := flag.Float64("least", 0.95, "the least ratio that is no error")
	model := flag.String("model", "gpt2", "the size that is measured, as tti bench --synthetic has it")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: compare [flags] OLD NEW")
		os.Exit(2)
	}
	slower, err := compare(flag.Arg(0), flag.Arg(1), *model, *rounds, *least)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	if slower {
		os.Exit(1)
	}
}

// modes are the arguments of tti bench for each way to encode weights.
var modes = [][]string{{"--mode", "f32"}, {"--mode", "int8"}, {"--mode", "int4"}, {"--mode", "int4", "--int4", "all"}}

// compare prints a row for every figure, and reports whether one of them is slower than it may be.
func compare(before, after, model string, rounds int, least float64) (slower bool, err error) {
	var logs float64
	var rows int
	for _, mode := range modes {
		ratios := make(map[string][]float64)
		for round := range rounds {
			builds := []string{before, after}
			if round%2 == 1 {
				slices.Reverse(builds)
			}
			speeds := make(map[string]map[string]float64)
			for _, build := range builds {
				arguments := append([]string{"bench", "--synthetic", model, "--repeats", "1", "--json"}, mode...)
				if speeds[build], err = measure(build, arguments); err != nil {
					return false, err
				}
			}
			for name, speed := range speeds[after] {
				if base := speeds[before][name]; base > 0 {
					ratios[name] = append(ratios[name], speed/base)
				}
			}
		}
		names := make([]string, 0, len(ratios))
		for name := range ratios {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			m := statistics.Median(ratios[name])
			low, high := interval(ratios[name])
			verdict := ""
			if high < least {
				slower, verdict = true, "  slower"
			}
			fmt.Printf("%-18s %-14s %.3f [%.3f, %.3f]%s\n", strings.Join(mode[1:], " "), name, m, low, high, verdict)
			logs, rows = logs+math.Log(m), rows+1
		}
	}
	fmt.Printf("geometric mean %.4f\n", math.Exp(logs/float64(max(rows, 1))))
	return slower, nil
}

// measure runs tti bench and returns its figures, the more the faster.
func measure(build string, arguments []string) (map[string]float64, error) {
	command := exec.Command(build, arguments...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", build, err)
	}
	var result struct {
		Decode []struct {
			Depth int
			Rate  float64 `json:"tok_s"`
		}
		Prefill []struct {
			Tokens int
			Rate   float64 `json:"tok_s"`
		}
		Batch []struct {
			Tokens       int
			Milliseconds float64 `json:"ms"`
		}
	}
	if err := json.Unmarshal(output, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", build, err)
	}
	speeds := make(map[string]float64)
	for _, d := range result.Decode {
		speeds[fmt.Sprintf("decode at %d", d.Depth)] = d.Rate
	}
	for _, p := range result.Prefill {
		speeds[fmt.Sprintf("prefill %d", p.Tokens)] = p.Rate
	}
	for _, b := range result.Batch {
		if b.Tokens == 5 || b.Tokens == 16 {
			speeds[fmt.Sprintf("batch of %d", b.Tokens)] = 1 / b.Milliseconds
		}
	}
	return speeds, nil
}

// interval returns the 95 % interval of the median by the bootstrap: B. Efron, "Bootstrap Methods: Another Look at the
// Jackknife" (1979).
func interval(values []float64) (low, high float64) {
	const draws = 2000
	random := rand.New(rand.NewPCG(1, 1))
	medians := make([]float64, draws)
	drawn := make([]float64, len(values))
	for i := range medians {
		for j := range drawn {
			drawn[j] = values[random.IntN(len(values))]
		}
		medians[i] = statistics.Median(drawn)
	}
	slices.Sort(medians)
	return medians[draws*25/1000], medians[draws*975/1000]
}
