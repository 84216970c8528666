package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edsrzf/mmap-go"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format"
)

const (
	configurationFile = modelfiles.Configuration
	generationFile    = modelfiles.Generation
	weightsFile       = modelfiles.Weights
	indexFile         = modelfiles.Index
)

// model is an opened source: its configuration, and its tensors as views into mapped files.
type model struct {
	config     *config
	generation *config // nil where there is none
	tensors    map[string]tensor

	directory string
	files     []sourceFile
}

// sourceFile is one file the target is made from.
type sourceFile struct {
	name    string
	info    fs.FileInfo
	content []byte
	mapping mmap.MMap // of content, nil where it was read
}

// openModel opens all files of a model directory but the tokenizer's, and checks the headers of
// the weights. Errors name the file. The model must be closed.
func openModel(directory string) (*model, error) {
	m := &model{directory: directory, tensors: map[string]tensor{}}
	if err := m.open(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *model) open() error {
	if err := m.readConfigs(); err != nil {
		return err
	}
	switch {
	case m.exists(weightsFile):
		return m.addWeights(weightsFile)
	case m.exists(indexFile):
		return m.addShards()
	case m.exists("pytorch_model.bin"), m.exists("pytorch_model.bin.index.json"):
		return fmt.Errorf("%s: missing; pickled weights (pytorch_model.bin) can run code and are not read", weightsFile)
	}
	return fmt.Errorf("%s: missing, and no %s", weightsFile, indexFile)
}

// readConfigurations reads everything but weights and tokenizer.
func (m *model) readConfigs() (err error) {
	if m.config, err = m.readConfig(configurationFile); err != nil {
		return err
	}
	if m.exists(generationFile) {
		m.generation, err = m.readConfig(generationFile)
	}
	return err
}

// exists reports whether the directory has an entry of this name, be it a dangling link.
func (m *model) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(m.directory, name))
	return err == nil
}

func (m *model) close() {
	for _, f := range m.files {
		if f.mapping != nil {
			f.mapping.Unmap()
		}
	}
	m.files, m.tensors = nil, nil
}

func (m *model) readConfig(name string) (*config, error) {
	text, err := m.read(name)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// read reads a small file whole.
func (m *model) read(name string) ([]byte, error) {
	most := modelfiles.MaxSize(name)
	f, info, err := m.openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, plain(err))
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, most)
	}
	m.files = append(m.files, sourceFile{name: name, info: info, content: content})
	return content, nil
}

// mapFile maps a file for reading. It may be a symbolic link, as in HuggingFace's cache.
func (m *model) mapFile(name string) ([]byte, error) {
	f, info, err := m.openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mapping mmap.MMap
	if info.Size() > 0 { // no system maps nothing
		mapping, err = mmap.MapRegion(f, int(info.Size()), mmap.RDONLY, 0, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: map %d bytes: %w", name, info.Size(), err)
		}
	}
	m.files = append(m.files, sourceFile{name: name, info: info, content: mapping, mapping: mapping})
	return mapping, nil
}

// openFile opens a regular file; opening a pipe could wait for ever.
func (m *model) openFile(name string) (*os.File, fs.FileInfo, error) {
	path := filepath.Join(m.directory, name)
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file (%v)", info.Mode().Type())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, plain(err))
	}
	f, err := os.Open(path)
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, plain(err))
	}
	return f, info, nil
}

// plain takes the operation and path off an error, where the message names the file already.
func plain(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func (m *model) addWeights(name string) error {
	content, err := m.mapFile(name)
	if err != nil {
		return err
	}
	var tensors []tensor
	err = format.GuardFault(func() (err error) {
		tensors, err = readSafetensors(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, t := range tensors {
		if other, ok := m.tensors[t.name]; ok {
			return fmt.Errorf("%s: tensor %s: also in %s", name, t.name, other.file)
		}
		t.file = name
		m.tensors[t.name] = t
	}
	return nil
}

// addShards adds the files of a model whose weights are in several, as the index lists them.
func (m *model) addShards() error {
	text, err := m.read(indexFile)
	if err != nil {
		return err
	}
	shards, files, err := parseIndex(text)
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	for _, file := range files {
		if err := m.addWeights(file); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		if m.tensors[name].file != shards[name] {
			return fmt.Errorf("%s: tensor %s: missing in %s", indexFile, name, shards[name])
		}
	}
	return nil
}

// parseIndex returns the file of every tensor, and all files. They must lie beside the index.
func parseIndex(text []byte) (shards map[string]string, files []string, err error) {
	if shards, files, err = modelfiles.ParseIndex(text); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		file := shards[name]
		switch {
		case !printable(name):
			return nil, nil, fmt.Errorf("tensor name %.60q is not a plain name", name)
		case strings.ContainsAny(file, `/\:`) || !filepath.IsLocal(file) || file == "." || !printable(file):
			return nil, nil, fmt.Errorf("tensor %s: %.60q is not the name of a file beside the index", name, file)
		}
	}
	return shards, files, nil
}

// noDigests returns a placeholder of the right length for every source file's digest.
func (m *model) noDigests() map[string]string {
	digests := map[string]string{}
	for _, f := range m.files {
		digests[f.name] = strings.Repeat("0", hex.EncodedLen(sha256.Size))
	}
	return digests
}

// digests returns the SHA-256 of every source file, in hexadecimal.
func (m *model) digests(ctx context.Context) (map[string]string, error) {
	digests := map[string]string{}
	for _, f := range m.files {
		digest := sha256.New()
		err := format.GuardFault(func() error {
			for block := range slices.Chunk(f.content, chunkBytes) {
				if err := ctx.Err(); err != nil {
					return err
				}
				digest.Write(block)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		digests[f.name] = hex.EncodeToString(digest.Sum(nil))
	}
	return digests, nil
}
