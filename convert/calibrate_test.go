package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/panel"
	"github.com/tti-llm/tti/kernels"
)

// someText is a text of a few windows of the tiny model, the last one not full.
var someText = strings.Repeat("Of making many books there is no end. ", 3)

// A calibrated file is the same for any number of workers, chosen kernels and run.
func TestCalibrationIsReproducible(t *testing.T) {
	untied := tiny
	untied.Untied, untied.Hidden = true, 70
	for name, m := range map[string]synthetic.Model{"tied": tiny, "untied": untied} {
		source := newTestModel(t, m).write(t)
		if name == "untied" && testing.Short() {
			continue
		}
		for _, o := range []Options{{Mode: Int8}, {Mode: Int4, Int4: All}} {
			o.NoSync, o.Calibrate = true, &Calibration{Text: someText}
			var want []byte
			for i, set := range kernels.Sets() {
				t.Setenv(kernels.Environment, set.Name())
				for _, o.Workers = range []int{1, 2, 3}[:max(3-2*i, 1)] {
					target := filepath.Join(t.TempDir(), "m.tti")
					if err := Convert(t.Context(), source, target, o); err != nil {
						t.Fatal(err)
					}
					got, err := os.ReadFile(target)
					if err != nil {
						t.Fatal(err)
					}
					if want == nil {
						want = got
					}
					if !bytes.Equal(got, want) {
						t.Errorf("%s %s%s: other bytes with kernels %s and %d workers", name, o.Mode, o.Int4, set.Name(), o.Workers)
					}
				}
			}
		}
	}
}

func TestCalibrationIsNamed(t *testing.T) {
	source, target := newTestModel(t, tiny).write(t), filepath.Join(t.TempDir(), "m.tti")
	var done, total int64
	o := Options{Mode: Int4, Int4: Blocks, NoSync: true, Calibrate: &Calibration{
		Text: someText, Progress: func(d, t int64) { done, total = d, t },
	}}
	if err := Convert(t.Context(), source, target, o); err != nil {
		t.Fatal(err)
	}
	file, err := format.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	meta, err := file.Meta()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(someText))
	if meta.Mode != "int4-blocks-calibrated" || meta.Sources[calibrationSource] != hex.EncodeToString(sum[:]) {
		t.Errorf("mode %q, sources %v", meta.Mode, meta.Sources)
	}
	if want := int64(tiny.Embedding * (tiny.Vocabulary + tiny.Layers*12*tiny.Embedding)); done != want || total != want {
		t.Errorf("%d of %d weights are done, want %d", done, total, want)
	}
}

// rms returns the root mean square distance of outputs from what they should be, [tokens, width].
func rms(outputs, targets []float32) float64 {
	sum := 0.0
	for i, y := range outputs {
		sum += (float64(y) - float64(targets[i])) * (float64(y) - float64(targets[i]))
	}
	return math.Sqrt(sum / float64(len(outputs)))
}

// What a calibrated matrix makes of its inputs is nearer to the target than what a plainly rounded
// one makes of them, be the target what the original makes of them or of somewhat different ones.
func TestCalibratedOutputsAreNoWorse(t *testing.T) {
	source := newTestModel(t, synthetic.Model{Vocabulary: 300, Context: 8, Embedding: 96, Layers: 1, Heads: 2}).write(t)
	for _, scope := range []Scope{MLP, Blocks, All} {
		for _, drift := range []float32{0, 0.3} {
			t.Run(fmt.Sprint(scope, " ", drift), func(t *testing.T) {
				m, err := openModel(source)
				if err != nil {
					t.Fatal(err)
				}
				defer m.close()
				p, err := m.plan()
				if err != nil {
					t.Fatal(err)
				}
				mode, err := modeName(Int4, scope)
				if err != nil {
					t.Fatal(err)
				}
				c, err := newCalibration(p, encodings[mode], nil, Options{Workers: 2, Calibrate: &Calibration{}})
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range p.weights {
					if w.IsMatrix() {
						checkOutputs(t, c, w.Tensor, drift)
					}
				}
			})
		}
	}
}

// outputs returns what a matrix makes of its inputs, [x.Tokens, padded rows].
func (c *calibration) outputs(m panel.Matrix, bias []float32, x *kernels.Activations) []float32 {
	stride := format.PaddedRows(m.Rows)
	out, padded := make([]float32, x.Tokens*stride), make([]float32, stride)
	copy(padded, bias)
	c.kernels.MatMul(out, stride, &m, x, padded, 0, m.Panels())
	return out
}

func checkOutputs(t *testing.T, c *calibration, tensor architecture.Tensor, drift float32) {
	t.Helper()
	before := original{c, t.Context()}
	matrix, err := before.Matrix(tensor)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.encoded(t.Context(), tensor, c.encodings[kindOf(tensor)])
	if err != nil {
		t.Fatal(err)
	}
	var bias []float32
	_, biased := c.biases[tensor.Name]
	if biased {
		if bias, err = before.Vector(c.biases[tensor.Name].Tensor); err != nil {
			t.Fatal(err)
		}
	}
	if biased != (tensor.Role != architecture.TokenEmbedding) {
		t.Fatalf("%s has a bias: %v", tensor.Name, biased)
	}
	columns := matrix.Columns
	random := rand.New(rand.NewPCG(1, uint64(columns)))
	direction := make([]float32, columns)
	for k := range direction {
		direction[k] = float32(random.NormFloat64())
	}
	outputs := format.PaddedRows(matrix.Rows)
	if !biased {
		outputs, drift = 0, 0
	}
	m := newMoments(format.PaddedColumns(columns), outputs)
	type block struct {
		x       *kernels.Activations
		targets []float32
	}
	var blocks []block
	for _, tokens := range []int{100, 37} { // a block that is no multiple of anything
		before, x := kernels.NewActivations(tokens, columns), kernels.NewActivations(tokens, columns)
		for i := range tokens {
			common := 1 + float32(random.NormFloat64())
			for k := range columns {
				value := common*direction[k] + float32(random.NormFloat64())
				before.Row(i)[k], x.Row(i)[k] = value, value*(1-drift)+drift*float32(random.NormFloat64())
			}
		}
		c.kernels.Quantize(x, 0, tokens)
		targets := c.outputs(matrix, bias, before)
		blocks = append(blocks, block{x, targets})
		if !biased {
			err = m.add(t.Context(), c, x, nil)
		} else {
			err = m.add(t.Context(), c, x, targets)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	calibrated, err := c.round(t.Context(), tensor, m)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blocks {
		got := rms(c.outputs(calibrated.weights, calibrated.bias, b.x), b.targets)
		want := rms(c.outputs(plain, bias, b.x), b.targets)
		if t.Logf("%s block %d: error %.5f, by plain rounding %.5f", tensor.Name, i, got, want); !(got < want) {
			t.Errorf("%s block %d: error %v, by plain rounding %v", tensor.Name, i, got, want)
		}
	}
	// Its sections are what was applied.
	if _, err := panel.View(c.encodings[kindOf(tensor)], tensor.Shape[0], tensor.Shape[1], c.sections[tensor.Name]); err != nil {
		t.Error(err)
	}
	if section := c.sections[c.biases[tensor.Name].Name]; biased && len(section) != 4*tensor.Shape[0] {
		t.Errorf("%s: bias of %d bytes", tensor.Name, len(section))
	}
}

func TestMomentsAgainstDefinition(t *testing.T) {
	const columns, outputs = 64, 16
	c := &calibration{kernels: kernels.Sets()[0], workers: 3}
	random := rand.New(rand.NewPCG(5, 6))
	m := newMoments(columns, outputs)
	count, means, targetMeans := 0, [columns]float64{}, [outputs]float64{}
	var squares [columns][columns]float64
	var products [outputs][columns]float64
	for _, tokens := range []int{70, 5} {
		x, y := kernels.NewActivations(tokens, columns), make([]float32, tokens*outputs)
		for i := range x.Values {
			x.Values[i] = 1 + float32(random.NormFloat64())
		}
		for i := range y {
			y[i] = 2 + float32(random.NormFloat64())
		}
		c.kernels.Quantize(x, 0, tokens)
		if err := m.add(t.Context(), c, x, y); err != nil {
			t.Fatal(err)
		}
		count += tokens
		for i := range tokens {
			seen := func(k int) float64 { return float64(x.Codes[i*columns+k]) * float64(x.Scales[i]) }
			for j := range columns {
				means[j] += seen(j)
				for k := range columns {
					squares[j][k] += seen(j) * seen(k)
				}
				for r := range outputs {
					products[r][j] += float64(y[i*outputs+r]) * seen(j)
				}
			}
			for r := range outputs {
				targetMeans[r] += float64(y[i*outputs+r])
			}
		}
	}
	m.mean(true)
	n := float64(count)
	for j := range columns {
		for k := range columns {
			if want := squares[j][k]/n - means[j]/n*means[k]/n; math.Abs(m.squares[j*columns+k]-want) > 1e-5 {
				t.Fatalf("square %d %d: %v, want %v", j, k, m.squares[j*columns+k], want)
			}
		}
		for r := range outputs {
			if want := products[r][j]/n - targetMeans[r]/n*means[j]/n; math.Abs(m.products[r*columns+j]-want) > 1e-5 {
				t.Fatalf("product %d %d: %v, want %v", r, j, m.products[r*columns+j], want)
			}
		}
	}
}

func TestCalibrationRefuses(t *testing.T) {
	source := newTestModel(t, tiny).write(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		options Options
		text    string
		want    string
	}{
		"f32":       {t.Context(), Options{Mode: F32}, "x", "mode f32"},
		"f16":       {t.Context(), Options{Mode: F16}, "x", "mode f16"},
		"empty":     {t.Context(), Options{Mode: Int8}, "", "empty"},
		"cancelled": {cancelled, Options{Mode: Int8}, "x", context.Canceled.Error()},
	} {
		test.options.Calibrate = &Calibration{Text: test.text}
		target := filepath.Join(t.TempDir(), "m.tti")
		err := Convert(test.ctx, source, target, test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(target); err == nil {
			t.Errorf("%s: there is a target", name)
		}
	}
}
