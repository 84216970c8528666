package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Limits of what is read, and with it of the memory that a directory can ask for: a token, merge or
// added token of a few bytes takes up to 400 while everything is put together.
const (
	// maxFileSize is for files with a vocabulary. GPT-2's own are 1 and 2 MB; the largest in use take about 30 MB.
	maxFileSize = 64 << 20
	// maxSettingsSize is for all others. With many added tokens they reach 1 MB.
	maxSettingsSize = 2 << 20
	// maxEntries is for the tokens, merges and added tokens of a file. The largest vocabularies have 260,000.
	maxEntries = 1 << 20
)

func maxSize(name string) int64 {
	switch name {
	case "vocab.json", "merges.txt", "tokenizer.json":
		return maxFileSize
	}
	return maxSettingsSize
}

// reader reads the files of a model directory and remembers their names.
type reader struct {
	directory fs.FS
	read      []string
}

// has reports whether there is a regular file, or a link to one, of this name.
func (r *reader) has(name string) (bool, error) {
	info, err := fs.Stat(r.directory, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s: not a regular file", name)
	case info.Size() > maxSize(name):
		return false, tooLarge(name)
	}
	return true, nil
}

func tooLarge(name string) error {
	return fmt.Errorf("%s: larger than %d MiB", name, maxSize(name)>>20)
}

// contents returns a file's bytes, or an error that is fs.ErrNotExist.
func (r *reader) contents(name string) ([]byte, error) {
	present, err := r.has(name)
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	file, err := r.directory.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize(name)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > maxSize(name) {
		return nil, tooLarge(name)
	}
	r.read = append(r.read, name)
	return data, nil
}

// parse reads a JSON file into value, which stays as it is if there is no such file.
func (r *reader) parse(name string, value any) error {
	data, err := r.contents(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// refusal is something a tokenizer may use that would need more than GPT-2's.
type refusal struct {
	what string
	used bool
}

// refuse returns an error naming the first of them that is used.
func refuse(refusals []refusal) error {
	for _, r := range refusals {
		if r.used {
			return fmt.Errorf("%s is not supported", r.what)
		}
	}
	return nil
}
