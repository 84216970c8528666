package spec_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/runtime"
	"github.com/tti-llm/tti/spec"
)

// again is a Drafter that guesses what stood a number of tokens before: text that goes in rounds.
type again struct{ distance int }

// Origin implements spec.Drafter.
func (a again) Origin() spec.Origin { return spec.FromNGram }

// Offer implements spec.Drafter: a whole round can be guessed once there was one.
func (a again) Offer(text []int32) spec.Offer {
	if len(text) < a.distance {
		return spec.Offer{}
	}
	return spec.Offer{Length: a.distance}
}

// Propose implements spec.Drafter.
func (a again) Propose(_ context.Context, text []int32, n int, _ *runtime.Sampler, _ func(float64) bool) ([]int32, error) {
	return text[len(text)-a.distance:][:n], nil
}

// Whatever a Drafter guesses, the text is the one that plain decoding gives.
func ExampleGenerate() {
	folder, err := os.MkdirTemp("", "tti")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "fable.tti")
	if err := convert.Convert(context.Background(), "../testdata/fable", path, convert.Options{Mode: convert.Int8}); err != nil {
		log.Fatal(err)
	}
	model, err := runtime.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	prompt, err := model.Tokenizer().Encode("The wolf said no, the fox said no, the bear said no,")
	if err != nil {
		log.Fatal(err)
	}

	speculative, plain := "", ""
	for token, err := range spec.Generate(context.Background(), model, again{distance: 4}, prompt, runtime.Sampling{}, runtime.MaxTokens(24)) {
		if err != nil {
			log.Fatal(err)
		}
		speculative += token.Text
	}
	for token, err := range model.Generate(context.Background(), prompt, runtime.Sampling{}, runtime.MaxTokens(24)) {
		if err != nil {
			log.Fatal(err)
		}
		plain += token.Text
	}
	fmt.Println(speculative == plain && plain != "")
	// Output: true
}

// A Decoder writes several texts, learns meanwhile what pays, and tells what became of the guesses.
func ExampleDecoder() {
	target, err := runtime.Open("gpt2.tti")
	if err != nil {
		log.Fatal(err)
	}
	defer target.Close()
	draft, err := runtime.Open("distilgpt2.tti") // it will run on the target's threads
	if err != nil {
		log.Fatal(err)
	}
	defer draft.Close()
	model, err := spec.NewModel(draft, target)
	if err != nil {
		log.Fatal(err)
	}
	decoder := spec.New(target, &spec.NGram{}, model)
	for _, beginning := range []string{"Once upon a time", "There are three reasons"} {
		prompt, err := target.Tokenizer().Encode(beginning)
		if err != nil {
			log.Fatal(err)
		}
		for token, err := range decoder.Generate(context.Background(), prompt, runtime.Sampling{Temperature: 0.8}) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Print(token.Text)
		}
		fmt.Printf("\n%.2f target passes per token\n", decoder.Statistics().PassesPerToken())
	}
}
