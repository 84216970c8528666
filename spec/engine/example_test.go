package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec/engine"
)

// Texts of many clients are written side by side, each as if it were alone.
func Example() {
	folder, err := os.MkdirTemp("", "tti")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "fable.tti")
	if err := convert.Convert(context.Background(), "../../testdata/fable", path, convert.Options{Mode: convert.Int8}); err != nil {
		log.Fatal(err)
	}
	model, err := runtime.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	e, err := engine.New(model, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	beginnings := []string{"The wolf", "Once upon a time", "There was a king"}
	texts := make([]string, len(beginnings))
	var group sync.WaitGroup
	for i, beginning := range beginnings {
		prompt, err := model.Tokenizer().Encode(beginning)
		if err != nil {
			log.Fatal(err)
		}
		stream, err := e.Submit(context.Background(), engine.Request{
			Prompt:   prompt,
			Sampling: runtime.Sampling{Temperature: 0.8, Seed: uint64(i)},
			Limits:   []runtime.GenerateOption{runtime.MaxTokens(20)},
		})
		if err != nil {
			log.Fatal(err) // engine.ErrBusy: too many wait
		}
		group.Go(func() {
			for token, err := range stream.Tokens() {
				if err != nil {
					log.Fatal(err)
				}
				texts[i] += token.Text
			}
		})
	}
	group.Wait()

	for i, beginning := range beginnings {
		prompt, err := model.Tokenizer().Encode(beginning)
		if err != nil {
			log.Fatal(err)
		}
		alone := ""
		for token, err := range model.Generate(context.Background(), prompt, runtime.Sampling{Temperature: 0.8, Seed: uint64(i)}, runtime.MaxTokens(20)) {
			if err != nil {
				log.Fatal(err)
			}
			alone += token.Text
		}
		fmt.Println(texts[i] == alone)
	}
	// Output:
	// true
	// true
	// true
}
