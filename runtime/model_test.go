package runtime_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/converttest"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
)

// converted are the models that the tests share.
var converted converttest.Files

func TestMain(m *testing.M) { os.Exit(converted.Run(m.Run)) }

// modelFile returns testdata/source converted to the mode.
func modelFile(t testing.TB, source string, o convert.Options) string {
	t.Helper()
	return converted.Path(t, filepath.Join("..", "testdata", source), o)
}

func open(t testing.TB, path string, options ...runtime.Option) *runtime.Model {
	t.Helper()
	m, err := runtime.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// session returns a session that ends with the test.
func session(t testing.TB, m *runtime.Model) *runtime.Session {
	t.Helper()
	s := m.NewSession()
	t.Cleanup(s.Close)
	return s
}

// modes are all ways to keep a model.
var modes = []convert.Options{
	{Mode: convert.F32}, {Mode: convert.F16}, {Mode: convert.Int8},
	{Mode: convert.Int4}, {Mode: convert.Int4, Int4: convert.Blocks}, {Mode: convert.Int4, Int4: convert.All},
}

// golden is a reference computed in float64 by an independent implementation; see
// testdata/golden/README.md.
type golden struct {
	VocabularySize int          `json:"vocab_size"`
	Cases          []goldenCase `json:"cases"`
	Eval           struct {
		IDs        []int32 `json:"ids"` // of families
		Tokens     int     `json:"tokens"`
		Scored     int     `json:"scored"`
		NLL        float64 `json:"nll_mean"`
		Perplexity float64 `json:"perplexity"`
	} `json:"eval"`

	logits []float32
}

type goldenCase struct {
	Prompt     string    `json:"prompt"`
	IDs        []int32   `json:"ids"`
	LogitsRow  int       `json:"logits_row"`
	LogitsRows int       `json:"logits_rows"`
	GreedyIDs  []int32   `json:"greedy_ids"`
	GreedyText string    `json:"greedy_text"`
	GreedyGap  []float64 `json:"greedy_gap"`
}

func loadGolden(t testing.TB, name string) golden {
	t.Helper()
	return loadReference(t, "golden", name)
}

func loadReference(t testing.TB, kind, name string) golden {
	t.Helper()
	folder := filepath.Join("..", "testdata", kind)
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	logits, err := os.ReadFile(filepath.Join(folder, name+".logits.f32"))
	if err != nil {
		t.Fatal(err)
	}
	g.logits = format.Float32s(logits)
	return g
}
