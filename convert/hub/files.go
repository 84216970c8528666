package hub

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
)

// optionalFiles say which tokens are special and how generation ends; many repositories lack some.
var optionalFiles = []string{"generation_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer_config.json"}

// pickled are the endings of files that Python's pickle writes.
var pickled = []string{".bin", ".pt", ".pth", ".pkl", ".ckpt"}

// maxIndexSize bounds what is read of a weight map; that of a model with a hundred thousand tensors has 10 MB.
const maxIndexSize = 64 << 20

// choose picks out of the names of a repository those that a conversion needs, without the shards, which
// only the index knows: sharded tells that the index is among them.
func choose(names []string) (files []string, sharded bool, err error) {
	has := func(name string) bool { return slices.Contains(names, name) }
	if !has(configFile) {
		return nil, false, fmt.Errorf("%s: %w", configFile, ErrNotFound)
	}
	files = append(files, configFile)

	switch {
	case has(weightsFile):
		files = append(files, weightsFile)
	case has(indexFile):
		files, sharded = append(files, indexFile), true
	default:
		return nil, false, noSafetensors(names)
	}

	switch {
	case has("vocab.json") && has("merges.txt"):
		files = append(files, "vocab.json", "merges.txt")
	case has("tokenizer.json"):
		files = append(files, "tokenizer.json")
	default:
		return nil, false, fmt.Errorf("vocab.json with merges.txt, or tokenizer.json: %w", ErrNotFound)
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
	return fmt.Errorf("%w: neither %s nor %s", ErrNoSafetensors, weightsFile, indexFile)
}

// shards returns the files that the weight map at path spreads the tensors over, sorted, each once.
func shards(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxIndexSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxIndexSize {
		return nil, fmt.Errorf("larger than %d bytes", maxIndexSize)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, err
	}
	names := slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	if len(names) == 0 {
		return nil, fmt.Errorf("no weight_map in it")
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if !strings.HasSuffix(name, ".safetensors") {
			return nil, fmt.Errorf("%w: the weight map names %.100q", ErrNoSafetensors, name)
		}
	}
	return names, nil
}
