package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format"
)

func TestInspectJSON(t *testing.T) {
	text := succeeds(t, "", "inspect", draftInt8, "--json")
	var found inspection
	decodeStrictly(t, text, &found)

	file, err := format.Open(draftInt8)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if found.File != draftInt8 || found.Bytes != file.Size() || found.Architecture != "gpt2" || found.Mode != "int8" || found.Format != format.Specification {
		t.Errorf("found %+v", found)
	}
	if len(found.Sources) != 4 || len(found.Sources["config.json"]) != 64 {
		t.Errorf("sources %v", found.Sources)
	}
	tensors, bytes := 0, int64(0)
	for i, s := range file.Sections() {
		entry := found.Sections[i]
		if entry.Name != s.Name || entry.Bytes != s.Length || entry.Offset != s.Offset || !slices.Equal(entry.Shape, s.Shape) ||
			entry.Checksum != fmt.Sprintf("%016x", s.Checksum) || entry.Encoding != s.Encoding.String() {
			t.Errorf("section %+v is shown as %+v", s, entry)
		}
		if s.Kind == format.KindTensor {
			tensors++
			bytes += s.Length
		}
	}
	if len(found.Sections) != len(file.Sections()) || found.Total.Tensors != tensors || found.Total.Bytes != bytes {
		t.Errorf("total %+v, want %d tensors of %d bytes", found.Total, tensors, bytes)
	}
	sum := total{Encoding: "all"}
	for _, e := range found.Encodings {
		sum.Tensors += e.Tensors
		sum.Weights += e.Weights
		sum.Bytes += e.Bytes
	}
	sum.BitsPerWeight = 8 * float64(sum.Bytes) / float64(sum.Weights)
	if sum != found.Total {
		t.Errorf("encodings sum up to %+v, total is %+v", sum, found.Total)
	}
}

func TestInspectText(t *testing.T) {
	brief, full := succeeds(t, "", "inspect", draftInt8), succeeds(t, "", "inspect", draftInt8, "--tensors")
	for _, want := range []string{"architecture", "gpt2", "n_layer", "model.safetensors", "sha256", "bits per weight", "tokenizer"} {
		if !strings.Contains(brief, want) {
			t.Errorf("output lacks %q:\n%s", want, brief)
		}
	}
	if strings.Contains(brief, "h.0.mlp.c_fc.weight") || !strings.Contains(full, "h.0.mlp.c_fc.weight") {
		t.Error("--tensors makes no difference to tensors")
	}
	if strings.Contains(full, "\t") || strings.Contains(full, "\x1b") {
		t.Error("output has tabs or escape sequences")
	}
}

func TestHumanSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 9_994: "9.99 kB", 12_345: "12.3 kB", 999_499: "999 kB", 999_500: "1.00 MB",
		124_439_808: "124 MB", 5_000_000_000: "5.00 GB", math.MaxInt64: "9.22 EB",
	} {
		if got := humanSize(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	if text := succeeds(t, "", "verify", draftInt8); !strings.HasPrefix(text, draftInt8+": ok, ") {
		t.Errorf("verify says %q", text)
	}
}

// TestInspectErrors compares the int8 file, and the f32 file, with their source.
func TestInspectErrors(t *testing.T) {
	var found inspection
	decodeStrictly(t, succeeds(t, "", "inspect", draftInt8, "--errors", draftSource, "--json"), &found)
	matrices := 0
	for _, e := range found.Errors {
		matrices += e.Matrices
		// A uniform error of at most half a step, the step being 1/127 of a row's largest weight.
		if e.Encoding != "int8" || !(e.Relative > 0.004 && e.Relative < 0.02) || e.SQNR == nil || !(*e.SQNR > 35 && *e.SQNR < 55) || !(e.Max > e.RMSE) {
			t.Errorf("errors %+v", e)
		}
	}
	want := 0
	for _, e := range found.Encodings {
		if e.Encoding == "int8" {
			want = e.Tensors
		}
	}
	if matrices != want || want == 0 {
		t.Errorf("errors of %d matrices, want %d", matrices, want)
	}
	if text := succeeds(t, "", "inspect", draftF32, "--errors", draftSource); !strings.Contains(text, "mean|e|/mean|w|") || strings.Count(text, "exact") == 0 {
		t.Errorf("output %q", text)
	}
	refuses(t, 1, "made from another model", "inspect", draftInt8, "--errors", "../../testdata/fable")
	other := t.TempDir() // of the same shape, trained a little further
	if err := os.CopyFS(other, os.DirFS(draftSource)); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join(other, "model.safetensors")
	content := readFile(t, weights)
	content[len(content)-1] ^= 1
	if err := os.WriteFile(weights, content, 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, 1, `model\.safetensors: SHA-256 \w{64}, want \w{64}: the file was made from another model`, "inspect", draftInt8, "--errors", other)
	refuses(t, 1, "nowhere", "inspect", draftInt8, "--errors", "./nowhere")
}

// TestModesArePlain: which matrices are in four bits is said wherever a name does not.
func TestModesArePlain(t *testing.T) {
	for mode, want := range map[string]string{
		"f32": "f32", "int8": "int8", "int4": "int4 (MLP int4, attention and embedding int8)", "int4-calibrated": "int4-calibrated (MLP int4, attention and embedding int8)",
		"int4-blocks": "int4-blocks (MLP and attention int4, embedding int8)", "int4-all-calibrated": "int4-all-calibrated (all matrices int4)", "int4\x1b": "int4\x1b",
	} {
		if got := modeText(mode); got != want {
			t.Errorf("mode %q is shown as %q, want %q", mode, got, want)
		}
	}
	if text := succeeds(t, "", "inspect", chatModel(t)); !strings.Contains(text, "int4 (MLP int4, attention and embedding int8)") {
		t.Errorf("inspect shows %q", text)
	}
}
