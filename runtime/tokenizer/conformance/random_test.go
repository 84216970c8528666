package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tti-llm/tti/convert/bpe"
	format "github.com/tti-llm/tti/format/vocabulary"
)

var tokenizers = flag.Int("tokenizers", 60, "tokenizers of random steps that are compared with the reference")

// TestRandomTokenizers puts steps together at random, around the small vocabularies, and compares with the reference what
// both make of such a tokenizer.
func TestRandomTokenizers(t *testing.T) {
	if *packages == "" {
		t.Skip("needs -packages: see make conformance")
	}
	const textsOfEach = 300
	for i := range *tokenizers {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			random := rand.New(rand.NewPCG(*seed, uint64(i)))
			d := randomTokenizer(t, random)
			first, err := format.Build(d)
			if err != nil {
				t.Fatal(err)
			}
			directory := export(t, first)
			if !bytes.Equal(section(t, directory), first) {
				t.Fatalf("another section comes back: %+v", d.Settings)
			}
			s := newSubject(t, directory)
			made := newTexts(t, directory, s)
			var texts []string
			for n := range textsOfEach {
				texts = append(texts, made.text(*seed, uint64(i*textsOfEach+n)))
			}
			o := newOracle(t, directory)
			c := comparison{subject: s, oracle: o}
			for _, want := range o.read(texts) {
				if s.difference(want) != "" {
					small := o.read([]string{minimize(want.Text, c.differs)})[0]
					t.Fatalf("%s\n%s\n%+v", s.difference(small), small, d.Settings)
				}
			}
		})
	}
}

// randomTokenizer is one of the small vocabularies with other steps.
func randomTokenizer(t *testing.T, r *rand.Rand) format.Definition {
	t.Helper()
	name, bytes := pick(r, []string{"gemma", "llama2", "llama2-unk", "metaspace"}), r.IntN(2) == 0
	if bytes {
		name = pick(r, []string{"llama3", "o200k", "deepseek", "smollm"})
	}
	d, _, err := bpe.Load(os.DirFS(testdata+"tokenizers/small/"+name), bpe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	unk := d.Unknown
	d.Settings = format.Settings{Unit: d.Unit, Prefix: d.Prefix, Suffix: d.Suffix, End: d.End, IgnoreMerges: r.IntN(2) == 0}
	for range r.IntN(3) {
		d.Normalizer = append(d.Normalizer, pick(r, randomNormalizers))
	}
	for range r.IntN(4) {
		d.PreTokenizer = append(d.PreTokenizer, randomPreTokenizer(r))
	}
	for i := range d.Added { // what they are found by follows from the normalizers
		d.Added[i].Pattern = d.Added[i].Content
		d.Added[i].Normalized = false
	}
	if bytes {
		step := format.Step{Type: format.ByteLevel, Space: r.IntN(3) == 0, Pattern: pick(r, []string{"", format.GPT2Pattern})}
		d.PreTokenizer, d.Decoder = append(d.PreTokenizer, step), []format.Step{{Type: format.ByteLevel}}
		return d
	}
	d.ByteFallback, d.FuseUnknown = r.IntN(2) == 0, r.IntN(2) == 0
	if r.IntN(3) > 0 {
		d.Unknown = unk
	}
	d.Decoder = append(d.Decoder, pick(r, randomDecoders)...)
	return d
}

var randomNormalizers = []format.Step{
	{Type: format.NFC},
	{Type: format.Prepend, Text: "▁"},
	{Type: format.Prepend, Text: "a "},
	{Type: format.Replace, Text: " ", With: "▁"},
	{Type: format.Replace, Text: "e", With: ""},
	{Type: format.Replace, Text: "  ", With: " "},
	{Type: format.Replace, Text: "a", With: "\u0301a"},
}

func randomPreTokenizer(r *rand.Rand) format.Step {
	switch r.IntN(5) {
	case 0:
		return format.Step{Type: format.Digits, Each: r.IntN(2) == 0}
	case 1:
		return format.Step{Type: format.Metaspace, Text: pick(r, []string{"▁", "_"}), Scheme: pick(r, []string{format.Always, format.First, format.Never}), Split: r.IntN(2) == 0}
	}
	step := format.Step{Type: format.Split, Behavior: pick(r, []string{format.Isolated, format.Removed, format.MergedWithPrevious}), Invert: r.IntN(2) == 0}
	if r.IntN(3) == 0 {
		step.Text = pick(r, []string{" ", "▁", "e", "th", "  "})
		return step
	}
	step.Pattern = pick(r, []string{"gpt2", "llama3", "qwen2", "qwen3.5", "o200k", "tekken", "numbers-3", "cjk", "deepseek"})
	return step
}

var randomDecoders = [][]format.Step{
	{{Type: format.Fuse}},
	{{Type: format.ByteFallback}, {Type: format.Fuse}},
	{{Type: format.Replace, Text: "▁", With: " "}, {Type: format.ByteFallback}, {Type: format.Fuse}, {Type: format.Strip, Text: " ", Start: 1}},
	{{Type: format.Replace, Text: "<0x41>", With: "x"}, {Type: format.Replace, Text: "x", With: "<0x42>"}, {Type: format.ByteFallback}},
	{{Type: format.Metaspace, Text: "▁", Scheme: format.Always}, {Type: format.Fuse}, {Type: format.Strip, Text: "a", Start: 3}},
	{{Type: format.Metaspace, Text: "▁", Scheme: format.First}, {Type: format.Replace, Text: " t", With: "T"}},
	{{Type: format.Replace, Text: "e", With: "▁"}, {Type: format.Metaspace, Text: "▁", Scheme: format.Never}, {Type: format.ByteFallback}},
}
