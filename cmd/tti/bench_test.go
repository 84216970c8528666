package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tti-llm/tti/cmd/tti/report"
	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/runtime/bench"
)

func TestBenchJSON(t *testing.T) {
	output := succeeds(t, "", "bench", draftInt8, "--threads", "1", "--repeats", "1", "--json")
	hasKeys(t, output, "model", "threads", "kernels", "cpu_features", "decode", "decode[].depth", "decode[].tok_s", "decode[].gb_s", "decode[].of_roofline", "decode[].tokens",
		"decode[].tok_s_quartiles", "decode[].tok_s_quartiles.low", "decode[].tok_s_quartiles.high",
		"prefill[].tok_s_quartiles", "prefill[].tok_s_quartiles.low", "prefill[].tok_s_quartiles.high",
		"prefill", "prefill[].tokens", "prefill[].tok_s", "batch", "batch[].tokens", "batch[].ms", "roofline_gb_s", "open_ms", "peak_rss_mb")
	var r bench.Result
	decodeStrictly(t, output, &r)
	if r.Model != draftInt8 || r.Threads != 1 || r.Kernels == "" || !(r.Roofline > 0 && r.Open > 0 && r.PeakRSS >= 0) {
		t.Errorf("result %+v", r)
	}
	if len(r.Decode) != 2 || r.Decode[0].Depth != 0 || r.Decode[1].Depth != 448 || len(r.Prefill) != 2 || r.Prefill[0].Tokens != 128 ||
		r.Prefill[1].Tokens != 512 || len(r.Batch) != 16 || r.Batch[15].Tokens != 16 {
		t.Errorf("result %+v", r)
	}
	for _, d := range r.Decode {
		if !(d.Rate > 0) || math.Abs(d.OfRoofline-d.Bandwidth/r.Roofline) > 1e-9 {
			t.Errorf("decode %+v with a roofline of %v", d, r.Roofline)
		}
	}
}

func TestBenchText(t *testing.T) {
	output := succeeds(t, "", "bench", draftInt8, "--threads", "1", "--repeats", "1")
	for _, want := range []string{"roofline ", "decode at depth", "448", "prefill of tokens", "512", "batch of tokens", "times one"} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
}

// TestBenchSynthetic makes a model of a made-up size in the user's cache directory.
func TestBenchSynthetic(t *testing.T) {
	cache := t.TempDir()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} { // on Linux, macOS, Windows
		t.Setenv(name, cache)
	}
	synthetic.Models["tiny"] = synthetic.Model{Vocabulary: 300, Context: 40, Embedding: 64, Layers: 1, Heads: 2}
	defer delete(synthetic.Models, "tiny")
	output := succeeds(t, "", "bench", "--synthetic", "tiny", "--mode", "int4", "--int4", "all", "--threads", "1", "--repeats", "1", "--json")
	var r bench.Result
	decodeStrictly(t, output, &r)
	if !strings.HasPrefix(r.Model, cache) || filepath.Base(r.Model) != "tiny-int4-all.tti" {
		t.Errorf("the model is %s", r.Model)
	}
	var found inspection
	decodeStrictly(t, succeeds(t, "", "inspect", r.Model, "--json"), &found)
	if found.Mode != "int4-all" {
		t.Errorf("its mode is %s", found.Mode)
	}
}

// TestBenchSyntheticReport makes a report about a model of a made-up size, with texts at once.
func TestBenchSyntheticReport(t *testing.T) {
	synthetic.Models["tiny"] = synthetic.Model{Vocabulary: 300, Context: 48, Embedding: 64, Layers: 1, Heads: 2}
	defer delete(synthetic.Models, "tiny")
	folder := filepath.Join(t.TempDir(), "report")
	o := tti(t, "", "bench", "--report", folder, "--synthetic", "tiny", "--concurrency", "1,2", "--threads", "1", "--repeats", "1", "--quick")
	if o.code != 0 || !strings.Contains(o.stderr, "report.json and charts") {
		t.Fatalf("exit code %d, standard error %q", o.code, o.stderr)
	}
	r, err := report.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 1 || r.Models[0] != "tiny" || r.Rounds != 1 || r.Concurrency == nil || r.Concurrency.Mode != "int8" || len(r.Concurrency.Rows) != 4 {
		t.Errorf("it is about %q, in %d rounds, %+v", r.Models, r.Rounds, r.Concurrency)
	}
}
