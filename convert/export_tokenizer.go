package convert

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/tti-llm/tti/convert/bpe"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/vocabulary"
)

// tokenizer writes the tokenizer's files, and makes sure that they say what the section says.
func (e *exporter) tokenizer(model exported) error {
	s, ok := e.file.Section(format.TokenizerName)
	if !ok {
		return nil
	}
	section, err := e.file.Copy(s)
	if err != nil {
		return err
	}
	view, err := vocabulary.Open(section)
	if err != nil {
		return err
	}
	options := tokenizerOptions(view.Tokens(), model.eos, model.bos)
	files, err := bpe.Export(view.Definition(), options, model.context)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := e.write(name, files[name]); err != nil {
			return err
		}
	}
	definition, _, err := bpe.Load(os.DirFS(e.directory), options)
	if err != nil {
		return fmt.Errorf("the tokenizer cannot be expressed in HuggingFace's files: %w", err)
	}
	if again, err := vocabulary.Build(definition); err != nil || string(again) != string(section) {
		return errors.Join(errors.New("the tokenizer cannot be expressed in HuggingFace's files"), err)
	}
	return nil
}
