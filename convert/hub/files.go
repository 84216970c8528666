package hub

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tti-llm/tti/convert/modelfiles"
)

// optionalFiles say which tokens are special, how generation ends and how a model chats; many repositories lack some.
var optionalFiles = []string{
	modelfiles.Generation, modelfiles.SpecialTokensMap, modelfiles.AddedTokens, modelfiles.TokenizerConfig, modelfiles.ChatTemplate,
}

// pickled are the endings of files that Python's pickle writes.
var pickled = []string{".bin", ".pt", ".pth", ".pkl", ".ckpt"}

// choose picks out of the names of a repository those that a conversion needs, without the shards, which
// only the index knows: sharded tells that the index is among them.
func choose(names []string) (files []string, sharded bool, err error) {
	has := func(name string) bool { return slices.Contains(names, name) }
	if !has(modelfiles.Configuration) {
		return nil, false, fmt.Errorf("%s: %w", modelfiles.Configuration, ErrNotFound)
	}
	files = append(files, modelfiles.Configuration)

	switch {
	case has(modelfiles.Weights):
		files = append(files, modelfiles.Weights)
	case has(modelfiles.Index):
		files, sharded = append(files, modelfiles.Index), true
	default:
		return nil, false, noSafetensors(names)
	}

	switch {
	case has(modelfiles.Tokenizer): // it says more than the others
		files = append(files, modelfiles.Tokenizer)
	case has(modelfiles.Vocabulary) && has(modelfiles.Merges):
		files = append(files, modelfiles.Vocabulary, modelfiles.Merges)
	case has(modelfiles.SentencePiece):
		return nil, false, fmt.Errorf("%s: %w beside %s; transformers' AutoTokenizer writes one", modelfiles.Tokenizer, ErrNotFound, modelfiles.SentencePiece)
	default:
		return nil, false, fmt.Errorf("%s with %s, or %s: %w", modelfiles.Vocabulary, modelfiles.Merges, modelfiles.Tokenizer, ErrNotFound)
	}

	for _, name := range optionalFiles {
		if has(name) {
			files = append(files, name)
		}
	}
	return files, sharded, nil
}

// noSafetensors says what there is in place of safetensors weights.
func noSafetensors(names []string) error {
	for _, name := range names {
		if slices.Contains(pickled, path.Ext(name)) && !strings.Contains(name, "/") {
			return fmt.Errorf("%w: only pickled ones (%s), which tti does not read because unpickling a file runs the code in it; "+
				"Python's save_pretrained writes safetensors", ErrNoSafetensors, name)
		}
	}
	return fmt.Errorf("%w: neither %s nor %s", ErrNoSafetensors, modelfiles.Weights, modelfiles.Index)
}

func isWeights(name string) bool { return strings.HasSuffix(name, modelfiles.WeightsEnding) }

// shards returns the files that the weight map at path spreads the tensors over, sorted, each once.
func shards(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	most := modelfiles.MaxSize(modelfiles.Index)
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("larger than %d bytes", most)
	}
	_, names, err := modelfiles.ParseIndex(content)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if !isWeights(name) {
			return nil, fmt.Errorf("%w: the weight map names %.100q", ErrNoSafetensors, name)
		}
	}
	return names, nil
}
