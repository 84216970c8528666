package format_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tti-llm/tti/format"
)

// Open checks header and index; Verify checks every bit of the rest.
func ExampleOpen() {
	file, err := format.Open("../testdata/version1/tiny-int4.tti")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := file.Verify(context.Background(), nil); err != nil {
		log.Fatal(err)
	}
	for _, s := range file.Sections()[:6] {
		fmt.Println(s.Name, s.Kind, s.Encoding, s.Shape)
	}
	// Output:
	// meta meta bytes [689]
	// tokenizer tokenizer bytes [2528]
	// wte.weight tensor int8 [268 36]
	// wpe.weight tensor float32 [24 36]
	// h.0.ln_1.weight tensor float32 [36]
	// h.0.ln_1.bias tensor float32 [36]
}
