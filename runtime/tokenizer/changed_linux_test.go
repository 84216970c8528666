package tokenizer_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/edsrzf/mmap-go"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
	"github.com/tti-llm/tti/runtime/tokenizer"
)

// TestChangedUnderTheMapping cuts and overwrites the file of a section after it was checked: every call gives a text, ids
// or an error, and none ends the process.
func TestChangedUnderTheMapping(t *testing.T) {
	section, err := vocabulary.Build(define(t, filepath.Join("..", "..", "testdata", "fable")))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for round := range 60 {
		path := filepath.Join(t.TempDir(), "section")
		if err := os.WriteFile(path, section, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		mapping, err := mmap.Map(file, mmap.RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.New(mapping)
		if err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			err = os.Truncate(path, int64(random.IntN(len(section))))
		} else {
			noise := make([]byte, len(section))
			for i := range noise {
				noise[i] = byte(random.Uint32() >> 24)
			}
			_, err = file.WriteAt(noise, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				failed++
			}
			if err != nil && !errors.Is(err, format.ErrTruncated) && !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		_, err = tok.Encode("Once upon a time there was a wolf, and 17 more of them <|endoftext|>")
		check(err)
		stream := tok.NewStream()
		for id := range int32(tok.Size()) {
			tok.Token(id)
			_, err = tok.Decode([]int32{id})
			check(err)
			_, err = stream.Next(id)
			check(err)
		}
		if err := errors.Join(mapping.Unmap(), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if failed == 0 {
		t.Error("no call has met a change")
	}
}
