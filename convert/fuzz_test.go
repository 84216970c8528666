package convert

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tti-llm/tti/convert/synthetic"
	"github.com/tti-llm/tti/format/architecture"
	"github.com/tti-llm/tti/runtime"
)

// sourceNames are the files that a mutated source may have, those that a whole one has first.
var sourceNames = []string{
	configurationFile, weightsFile, "vocab.json", "merges.txt", "tokenizer.json", indexFile, generationFile, "added_tokens.json", "tokenizer_config.json",
	"special_tokens_map.json", "one.safetensors",
}

// sourceWords are what mutations put in the place of numbers and words.
var sourceWords = []string{
	"0", "1", "2", "-1", "7", "24", "300", "65536", "2147483648", "1e300", "null", "true", "[]", "{}", `""`, `"gelu"`, `"F16"`, `"BF16"`, `"I64"`, `"gpt2"`, `"llama"`, `"gemma2"`, `"yarn"`, `"sliding_attention"`, `"../x"`,
	`"one.safetensors"`, `"<|endoftext|>"`, `"wte.weight"`, `"\u017f"`, `"a b"`,
}

// sourceWord finds what they replace.
var sourceWord = regexp.MustCompile(`-?[0-9][0-9.e]*|"[^"]{0,40}"|true|false|null`)

// mutateSource changes a source as a program says, in steps of four bytes: what to do, with which file, where, and with
// what. text is put in by some.
func mutateSource(files map[string][]byte, program []byte, text []byte) {
	for ; len(program) >= 4; program = program[4:] {
		name, a, b := sourceNames[int(program[1])%len(sourceNames)], int(program[2]), int(program[3])
		content := slices.Clone(files[name])
		switch program[0] % 9 {
		case 0: // one byte
			if len(content) > 0 {
				content[(a<<8|b)%min(len(content), 1<<12)] = byte(a ^ b)
			}
		case 1: // another word, in the beginning or in the header
			if words := sourceWord.FindAllIndex(content[:min(len(content), 1<<13)], -1); len(words) > 0 {
				at := words[a%len(words)]
				content = slices.Concat(content[:at[0]], []byte(sourceWords[b%len(sourceWords)]), content[at[1]:])
			}
		case 2: // the same length, so that a header stays as long as it says
			if words := sourceWord.FindAllIndex(content[:min(len(content), 1<<13)], -1); len(words) > 0 {
				at := words[a%len(words)]
				copy(content[at[0]:at[1]], sourceWords[b%len(sourceWords)]+strings.Repeat(" ", 40))
			}
		case 3:
			content = content[:len(content)*a/256]
		case 4:
			content = append(content, bytes.Repeat([]byte{byte(a)}, b)...)
		case 5:
			content = slices.Clone(text)
		case 6:
			content = nil // it is not there
		case 7: // another file's contents
			content = files[sourceNames[a%len(sourceNames)]]
		case 8: // numbers that are any: weights come last
			noise := rand.New(rand.NewPCG(uint64(a), uint64(b)))
			for i := len(content) / 2; i < len(content); i++ {
				content[i] = byte(noise.Uint32())
			}
		}
		files[name] = content
	}
}

// tinyDecoder is a model of the other architecture with much of what a decoder can have.
var tinyDecoder = synthetic.Decoder{
	Config: map[string]any{
		"model_type": "gemma2", "sliding_window": 3, "query_pre_attn_scalar": 8, "attention_bias": true, "rope_scaling": map[string]any{"type": "linear", "factor": 2},
	},
	Sizes: architecture.Decoder{
		Vocabulary: 300, Context: 8, Embedding: 24, Layers: make([]architecture.DecoderLayer, 2), Heads: 4, KVHeads: 2, HeadWidth: 8, Hidden: 40,
		InputNorms: true, OutputNorms: true, QueryKeyNorm: architecture.NoNorm, NormOffset: 1, QKVBias: true, OutputBias: true,
	},
}

// FuzzSource converts whole directories that are changed anywhere. What is accepted becomes a file that verifies, opens
// and runs; what is refused leaves nothing.
func FuzzSource(f *testing.F) {
	var wholes []map[string][]byte
	for _, shape := range []synthetic.Shape{tiny, tinyDecoder} {
		directory := f.TempDir()
		if err := synthetic.Write(f.Context(), directory, shape); err != nil {
			f.Fatal(err)
		}
		whole := map[string][]byte{}
		for _, name := range sourceNames[:4] {
			content, err := os.ReadFile(filepath.Join(directory, name))
			if err != nil {
				f.Fatal(err)
			}
			whole[name] = content
		}
		wholes = append(wholes, whole)
	}
	f.Add([]byte{}, []byte{}, byte(0))
	for what := range byte(9) {
		for name := range byte(len(sourceNames)) {
			f.Add([]byte{what, name, 3 * name, 7}, []byte(`{"weight_map":{"wte.weight":"one.safetensors"}}`), name)
			f.Add([]byte{what, name, 5 * name, 7}, []byte(`{}`), name+byte(len(modes)))
		}
	}
	f.Add([]byte{7, 10, 1, 0, 6, 1, 0, 0, 5, 5, 0, 0}, []byte(`{"weight_map":{"wte.weight":"one.safetensors"},"metadata":{}}`), byte(2))
	f.Fuzz(func(t *testing.T, program, text []byte, mode byte) {
		if len(program) > 40 || len(text) > 1<<14 {
			return
		}
		files := map[string][]byte{}
		for name, content := range wholes[int(mode)/len(modes)%len(wholes)] {
			files[name] = content
		}
		mutateSource(files, program, text)
		folder := t.TempDir()
		source, target := filepath.Join(folder, "source"), filepath.Join(folder, "target", "new.tti")
		if err := os.MkdirAll(source, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Dir(target), 0o777); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			if content != nil {
				if err := os.WriteFile(filepath.Join(source, name), content, 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
		m := modes[int(mode)%len(modes)]
		if err := Convert(t.Context(), source, target, Options{Mode: m.mode, Int4: m.scope, NoSync: true}); err != nil {
			checkMessage(t, err, "")
			if left, _ := os.ReadDir(filepath.Dir(target)); len(left) > 0 {
				t.Errorf("refused with %v, it leaves %v", err, left)
			}
			return
		}
		model, err := runtime.Open(target, runtime.WithThreads(runtime.NewThreads(1)))
		if err != nil {
			t.Fatalf("what was converted does not open: %v", err)
		}
		defer model.Close()
		for _, err := range model.Generate(t.Context(), []int32{0, 1}, runtime.Sampling{}, runtime.MaxTokens(2)) {
			if err != nil && !errors.Is(err, runtime.ErrNotANumber) {
				t.Errorf("what was converted does not run: %v", err)
			}
		}
	})
}
