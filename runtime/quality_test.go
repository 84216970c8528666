package runtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tti-llm/tti/runtime"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
)

// calibration is one by the first bytes of the text that is there for it.
func calibration(t *testing.T, bytes int) *convert.Calibration {
	t.Helper()
	text, err := os.ReadFile("../testdata/golden/fable-calib.txt")
	if err != nil {
		t.Fatal(err)
	}
	return &convert.Calibration{Text: string(text[:min(bytes, len(text))])}
}

// quality converts a model in testdata and compares it with the one in f32 on a text that neither training
// nor calibration has seen. It returns the bits per weight of the tensors and the size of the file too.
func quality(t *testing.T, name string, o convert.Options, length int) (c runtime.Comparison, bits float64, bytes int64) {
	t.Helper()
	o.NoSync = true
	path := filepath.Join(t.TempDir(), "quality.tti")
	if err := convert.Convert(t.Context(), "../testdata/"+name, path, o); err != nil {
		t.Fatal(err)
	}
	model := open(t, path)
	reference := open(t, modelFile(t, name, convert.Options{Mode: convert.F32}), runtime.WithThreads(model.Threads()))
	text, err := os.ReadFile("../testdata/golden/fable-eval.txt")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := model.Tokenizer().Encode(string(text[:min(length, len(text))]))
	if err != nil {
		t.Fatal(err)
	}
	if c, err = runtime.Compare(t.Context(), reference, model, ids, 0, nil); err != nil {
		t.Fatal(err)
	}
	file, err := format.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var used, weights int64
	for _, s := range file.Sections() {
		if s.Kind == format.KindTensor {
			count := int64(1)
			for _, n := range s.Shape {
				count *= int64(n)
			}
			used, weights = used+s.Length, weights+count
		}
	}
	return c, float64(8*used) / float64(weights), file.Size()
}

// TestCalibrationKeepsMore holds what is lost after a calibration by a very short text to 60 % of
// what plain rounding loses.
func TestCalibrationKeepsMore(t *testing.T) {
	if testing.Short() {
		t.Skip("calibrates a model")
	}
	o := convert.Options{Mode: convert.Int4, Int4: convert.All}
	plain, _, _ := quality(t, "fable", o, 4000)
	o.Calibrate = calibration(t, 10000)
	calibrated, _, _ := quality(t, "fable", o, 4000)
	if t.Logf("divergence %.5f, calibrated %.5f", plain.Divergence, calibrated.Divergence); calibrated.Divergence > 0.6*plain.Divergence {
		t.Errorf("divergence %v, calibrated %v", plain.Divergence, calibrated.Divergence)
	}
}

// TestQuality prints the quality of every mode and bounds the rise of perplexity: for int8 and what is
// calibrated by what is aimed at, for int4 without calibration by little more than was measured. It
// runs where TTI_QUALITY is set, as make quality does: it takes a minute or two.
func TestQuality(t *testing.T) {
	if os.Getenv("TTI_QUALITY") == "" {
		t.Skip("TTI_QUALITY is not set")
	}
	for _, name := range []string{"fable", "fable-llama"} {
		t.Run(name, func(t *testing.T) { qualities(t, name) })
	}
}

func qualities(t *testing.T, name string) {
	var table strings.Builder
	table.WriteString("| mode | bytes | bits per weight | perplexity | against f32 | mean KL | top-1 agreement |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, row := range []struct {
		name       string
		mode       convert.Mode
		scope      convert.Scope
		calibrated bool
		most       float64 // rise of perplexity of fable
		llama      float64 // of fable-llama
	}{
		{"f32", convert.F32, "", false, 1e-9, 1e-9},
		{"f16", convert.F16, "", false, 0.0001, 0.0001},
		{"int8", convert.Int8, "", false, 0.0015, 0.003},
		{"int8, calibrated", convert.Int8, "", true, 0.0015, 0.003},
		{"int4", convert.Int4, convert.MLP, false, 0.008, 0.02},
		{"int4, calibrated", convert.Int4, convert.MLP, true, 0.0035, 0.012},
		{"int4 blocks", convert.Int4, convert.Blocks, false, 0.011, 0.02},
		{"int4 blocks, calibrated", convert.Int4, convert.Blocks, true, 0.006, 0.012},
		{"int4 all", convert.Int4, convert.All, false, 0.014, 0.03},
		{"int4 all, calibrated", convert.Int4, convert.All, true, 0.0085, 0.012},
	} {
		o := convert.Options{Mode: row.mode, Int4: row.scope}
		if row.calibrated {
			o.Calibrate = calibration(t, 1<<20)
		}
		c, bits, bytes := quality(t, name, o, 1<<20)
		fmt.Fprintf(&table, "| %s | %d | %.2f | %.4f | %+.3f %% | %.5f | %.2f %% |\n", row.name, bytes, bits, c.Model.Perplexity, 100*c.Rise, c.Divergence, 100*c.Agreement)
		most := row.most
		if name == "fable-llama" {
			most = row.llama
		}
		if c.Rise > most {
			t.Errorf("%s: perplexity rises by %.3f %%, want at most %.3f %%", row.name, 100*c.Rise, 100*most)
		}
	}
	t.Log("\n" + table.String())
}
