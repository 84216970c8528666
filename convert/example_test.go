package convert_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/format"
)

// A source may also be the name of a model on the HuggingFace hub, such as gpt2.
func ExampleConvert() {
	folder, err := os.MkdirTemp("", "tti")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	target := filepath.Join(folder, "fable.tti")
	if err := convert.Convert(context.Background(), "../testdata/fable", target, convert.Options{Mode: convert.Int4, Int4: convert.All}); err != nil {
		log.Fatal(err)
	}
	file, err := format.Open(target)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	meta, err := file.Meta()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(meta.Architecture, meta.Mode, len(meta.Sources), "source files")
	// Output: gpt2 int4-all 4 source files
}
