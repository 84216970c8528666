package bpe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tti-llm/tti/convert/modelfiles"
	"github.com/tti-llm/tti/format/strictjson"
)

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
	case info.Size() > modelfiles.MaxSize(name):
		return false, tooLarge(name)
	}
	return true, nil
}

func tooLarge(name string) error {
	return fmt.Errorf("%s: larger than %d MiB", name, modelfiles.MaxSize(name)>>20)
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
	data, err := io.ReadAll(io.LimitReader(file, modelfiles.MaxSize(name)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > modelfiles.MaxSize(name) {
		return nil, tooLarge(name)
	}
	r.read = append(r.read, name)
	return data, nil
}

// parseIfThere reads a JSON file into value, which stays as it is if there is no such file.
func (r *reader) parseIfThere(name string, value any) error {
	if err := r.parse(name, value); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// parse reads a JSON file into value. If there is none, the error is fs.ErrNotExist.
func (r *reader) parse(name string, value any) error {
	data, err := r.contents(name)
	if err != nil {
		return err
	}
	if err := strictjson.Unmarshal(data, value); err != nil {
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
