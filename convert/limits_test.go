package convert

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/format/packed"
	"github.com/tti-llm/tti/format/strictjson"
	"github.com/tti-llm/tti/format/vocabulary"
)

// limit is a row of a table of limits.
type limit struct {
	what string
	most int64
	unit string
}

// fileLimits are those of a .tti file.
var fileLimits = []limit{
	{"sections", format.MaxSections, ""},
	{"name of a section", format.MaxNameLength, "bytes"},
	{"dimensions of a section", format.MaxRank, ""},
	{"section `meta`", format.MaxMetaLength, "bytes"},
	{"objects and arrays in each other in `meta`", strictjson.MaxDepth, ""},
	{"a hyper-parameter that counts something", math.MaxInt32, ""},
	{"token that a merge makes", vocabulary.MaxMergedLength, "bytes"},
	{"added token", vocabulary.MaxAddedLength, "bytes"},
	{"places of the index that a look-up goes through", vocabulary.MaxProbes, ""},
	{"settings of a tokenizer", vocabulary.MaxSettings, "bytes"},
	{"steps of a normalizer, pre-tokenizer or decoder", vocabulary.MaxSteps, ""},
	{"text in a step, and in `unless_after`", vocabulary.MaxStepText, "bytes"},
	{"`prefix` and `suffix` of a tokenizer, each", vocabulary.MaxAround, "ids"},
	{"what normalizers and pre-tokenizers make of a text, and decoders of a token, for each of its bytes", vocabulary.MaxGrowth, "bytes"},
	{"contents of a frame of the packed form", packed.MaxFrameSize, "bytes"},
	{"contents of a packed file, for each of its bytes", packed.MaxRatio, "bytes"},
}

// sourceLimits are those of a model directory.
func sourceLimits() (limits []limit) {
	for _, name := range []string{
		modelfiles.Configuration, modelfiles.Generation, modelfiles.Tokenizer, modelfiles.Vocabulary, modelfiles.Merges,
		modelfiles.TokenizerConfig, modelfiles.AddedTokens, modelfiles.SpecialTokensMap, modelfiles.ChatTemplate, modelfiles.Index,
	} {
		limits = append(limits, limit{"`" + name + "`", modelfiles.MaxSize(name), "bytes"})
	}
	return append(limits,
		limit{"tensors in an index", modelfiles.MaxTensors, ""},
		limit{"files that an index names", modelfiles.MaxShards, ""},
		limit{"objects and lists in each other in JSON", strictjson.MaxDepth, ""},
		limit{"entries of an object or a list in JSON, with those of all around it", strictjson.MaxEntries, ""},
		limit{"header of a safetensors file", maxHeader, "bytes"},
		limit{"names and values in it", maxHeaderValues, ""},
		limit{"objects and lists in each other in it", maxHeaderDepth, ""},
		limit{"dimensions of a tensor in it", maxRank, ""},
		limit{"name of a tensor in it", maxTensorName, "bytes"},
	)
}

// TestLimitsAreDocumented compares FORMAT.md with what the code goes by.
func TestLimitsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../format/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for title, limits := range map[string][]limit{"of a file": fileLimits, "of a model directory": sourceLimits()} {
		var table strings.Builder
		fmt.Fprintf(&table, "| %s | at most |\n|---|---:|\n", title)
		for _, l := range limits {
			fmt.Fprintf(&table, "| %s | %s |\n", l.what, strings.TrimSpace(grouped(l.most)+" "+l.unit))
		}
		if !strings.Contains(string(document), "\n\n"+table.String()+"\n") {
			t.Errorf("FORMAT.md lacks the table\n%s", table.String())
		}
	}
}

// grouped writes a number as FORMAT.md does.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// TestLargestHyperparameter holds the limit that has no name in the code.
func TestLargestHyperparameter(t *testing.T) {
	h := architecture.GPT2{Context: 1, Embedding: 1, Layers: 1, Heads: 1, Hidden: 1, Activation: architecture.GELU}
	for size, allowed := range map[int]bool{math.MaxInt32: true, math.MaxInt32 + 1: false} {
		h.Vocabulary = size
		if err := h.Validate(); (err == nil) != allowed {
			t.Errorf("%d: %v", size, err)
		}
	}
}
