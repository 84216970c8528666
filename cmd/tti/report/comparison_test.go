package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// comparison is what another engine and this one did on one machine on one day, as testdata/comparison has it. It is measured
// by hand: the other engine's program is not ours to ship.
type comparison struct {
	Model, Machine, Date string
	Threads              int
	Engines              []struct {
		Name, Version, Build, Command string
		Modes                         map[string]string
	}
	Rows []struct {
		What, Mode string
		Rates      [][2]float64 `json:"tok_s"` // of each engine: the lowest and the highest of its runs
	}
}

const comparisonFolder = "../../../testdata/comparison"

func readComparison(t *testing.T) (c comparison) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(comparisonFolder, "comparison.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range c.Rows {
		if len(row.Rates) != len(c.Engines) {
			t.Fatalf("%s has %d rates of %d engines", row.What, len(row.Rates), len(c.Engines))
		}
	}
	return c
}

// figures draws the other engine's best runs and our slowest ones.
func (c comparison) figures(Report) []figure {
	decode := figure{y: "tokens per second, one after the other", kind: bars}
	prompt := figure{y: "thousand tokens per second, prompt of 512", kind: bars}
	for _, row := range c.Rows {
		switch {
		case strings.HasPrefix(row.What, "prompt"):
			prompt.categories = append(prompt.categories, row.Mode)
		case row.What == "decode":
			decode.categories = append(decode.categories, row.Mode)
		default:
			decode.categories = append(decode.categories, row.Mode+"\nat a depth\nof 900")
		}
	}
	for i, e := range c.Engines {
		var writing, reading []point
		for _, row := range c.Rows {
			rate := c.rate(i, row.Rates[i])
			if strings.HasPrefix(row.What, "prompt") {
				reading = append(reading, point{x: float64(len(reading)), y: rate / 1000, label: fmt.Sprintf("%.1f", rate/1000)})
			} else {
				writing = append(writing, point{x: float64(len(writing)), y: rate, label: whole(rate)})
			}
		}
		decode.series = append(decode.series, series{e.Name, i + 1, writing})
		prompt.series = append(prompt.series, series{e.Name, i + 1, reading})
	}
	return []figure{decode, prompt}
}

// rate returns what is shown of an engine's runs: the slowest of ours, the fastest of another's.
func (c comparison) rate(engine int, runs [2]float64) float64 {
	if c.Engines[engine].Name == "tti" {
		return runs[0]
	}
	return runs[1]
}

func whole(rate float64) string { return grouped(fmt.Sprintf("%.0f", rate)) }

// table is what README.md shows of it.
func (c comparison) table() string {
	header := []string{"tokens per second"}
	for _, e := range c.Engines {
		header = append(header, e.Name)
	}
	ours := slices.Index(header, "tti") - 1
	var rows [][]string
	for _, row := range c.Rows {
		if row.Mode != "8 bit" {
			continue
		}
		cells, best := []string{row.What}, 0.0
		for i, runs := range row.Rates {
			rate := c.rate(i, runs)
			cells = append(cells, whole(rate))
			if i != ours {
				best = max(best, rate)
			}
		}
		rows = append(rows, append(cells, fmt.Sprintf("%.1f times", c.rate(ours, row.Rates[ours])/best)))
	}
	return table(append(header, "tti to the faster of the others"), rows)
}

// details is what the gallery says of it: enough to repeat it.
func (c comparison) details() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s. %s. %d threads, %s. Bars are the fastest runs of the other engine and the slowest of tti.\n\n", c.Model, c.Machine, c.Threads, c.Date)
	var rows [][]string
	for _, e := range c.Engines {
		rows = append(rows, []string{e.Name, e.Version, e.Build, e.Modes["8 bit"] + ", " + e.Modes["4 bit"], "`" + strings.ReplaceAll(e.Command, "; ", "`; `") + "`"})
	}
	text.WriteString(table([]string{"engine", "version", "build", "8 bit, 4 bit", "commands"}, rows))
	return text.String()
}

// TestComparison: its picture is that of its figures, and so is the table in README.md.
func TestComparison(t *testing.T) {
	c := readComparison(t)
	drawing := chart{"comparison", "GPT-2's size beside another engine", c.figures}
	checkCommitted(t, drawing, Report{}, comparisonFolder)
	replaceTables(t, "../../../README.md", regexp.MustCompile(`(?s)(<!-- comparison: table -->\n).*?(<!-- end -->)`), func([]string) string { return c.table() })
}
