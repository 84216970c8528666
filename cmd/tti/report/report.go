// Package report measures a model in every mode on this machine and writes what it finds: report.json
// with all figures, report.md with tables, and charts as PNG and SVG.
//
// It never shows a figure that is not in report.json: tables and charts are made from a Report alone.
// Start reading at Measure, then at the table of charts in charts.go.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/runtime/bench"
	speculation "github.com/tti-llm/tti/spec/bench"
	concurrency "github.com/tti-llm/tti/spec/engine/bench"
)

// Report is everything that was measured. Sizes are in bytes, rates in tokens a second.
type Report struct {
	Models  []string `json:"models,omitempty"` // what was measured, as it was named
	Tool    string   `json:"tool,omitempty"`   // what measured it, and its version
	Date    string   `json:"date,omitempty"`   // of the measurement, as 2006-01-02, by UTC
	Machine Machine  `json:"machine"`
	Rounds  int      `json:"rounds"` // of the measurements of speed; figures are medians
	Text    string   `json:"text"`   // the file that perplexities are about, empty for none
	Modes   []Mode   `json:"modes"`
	// Errors are those of the weights against their source, for every mode that has any.
	Errors      []Errors     `json:"errors"`
	Speculation *Speculation `json:"speculation"` // null if there was no draft
	Concurrency *Concurrency `json:"concurrency,omitempty"`
}

// Machine is what the figures depend on.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"` // that the system shows
	Threads   int    `json:"threads"`
	Kernels   string `json:"kernels"`
	Go        string `json:"go"`
	System    string `json:"system"` // operating system and architecture
}

// Mode is one file: a model in one encoding.
type Mode struct {
	Name          string          `json:"name"` // such as "int4-all", after the source's name if there are several
	FileBytes     int64           `json:"file_bytes"`
	WeightBytes   int64           `json:"weight_bytes"` // of all tensors: what is resident once they have been used
	BitsPerWeight float64         `json:"bits_per_weight"`
	PeakBytes     int64           `json:"peak_bytes"`    // of resident memory, 0 if the system does not tell
	Roofline      float64         `json:"roofline_gb_s"` // reading the weights and nothing else, 10^9 bytes a second
	Short         []bench.Decode  `json:"short"`         // short texts from the beginning
	Deep          []bench.Decode  `json:"deep"`          // at growing depths of the context
	Prefill       []bench.Prefill `json:"prefill"`
	Quality       *Quality        `json:"quality"` // null if there was no text
}

// Quality is how well a model predicts the text.
type Quality struct {
	Tokens     int     `json:"tokens"` // scored
	Perplexity float64 `json:"perplexity"`
	// Compared with the first mode of the same source, or the first file of the same hyperparameters and
	// vocabulary; see runtime.Comparison.
	Rise       float64 `json:"rise"`
	Divergence float64 `json:"kl_divergence"`
	Agreement  float64 `json:"top1_agreement"`
}

// Errors compares the weights of one mode that have the same shape and encoding with their source.
type Errors struct {
	Mode     string  `json:"mode"`
	Encoding string  `json:"encoding"`
	Shape    [2]int  `json:"shape"` // [out, in]
	Matrices int     `json:"matrices"`
	Relative float64 `json:"relative"` // mean |error| / mean |weight|
	RMSE     float64 `json:"rmse"`
	Max      float64 `json:"max"`
	SQNR     float64 `json:"sqnr_db"`
}

// Speculation is what drafts gain.
type Speculation struct {
	Target string `json:"target"` // a mode
	Draft  string `json:"draft"`
	Texts  int    `json:"texts"`
	Tokens int    `json:"tokens"` // of each
	Rounds int    `json:"rounds"`
	speculation.Result
}

// Concurrency is what many texts at once make together.
type Concurrency struct {
	Mode string `json:"mode"` // that was measured
	concurrency.Result
}

// Names of the files that Write makes, besides the charts.
const (
	JSONName     = "report.json"
	MarkdownName = "report.md"
)

// Write writes the report into a directory, which it makes if need be. All files of an earlier report are removed; it fails as Check does.
func (r Report) Write(directory string) error {
	if err := Check(directory); err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o777); err != nil {
		return err
	}
	if err := clear(directory); err != nil {
		return err
	}
	if err := r.writeJSON(directory); err != nil {
		return err
	}
	for _, c := range charts {
		if err := c.write(r, directory, ".png", ".svg"); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return os.WriteFile(filepath.Join(directory, MarkdownName), []byte(r.markdown()), 0o666)
}

func (r Report) writeJSON(directory string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", JSONName, err)
	}
	return os.WriteFile(filepath.Join(directory, JSONName), append(text, '\n'), 0o666)
}

// Read reads the report.json of a directory.
func Read(directory string) (Report, error) {
	var r Report
	text, err := os.ReadFile(filepath.Join(directory, JSONName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", JSONName, err)
	}
	return r, nil
}
