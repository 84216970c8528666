package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/runtime"
)

// openModel is runtime.Open, with errors that say what a file is that is no .tti file, and which command helps.
func openModel(path string, options ...runtime.Option) (*runtime.Model, error) {
	model, err := runtime.Open(path, options...)
	if err != nil {
		return nil, mistaken(path, damaged(path, err))
	}
	return model, nil
}

// checkFile says why a file is no .tti file, by its header and index alone.
func checkFile(path string) error {
	file, err := format.Open(path)
	if err != nil {
		return mistaken(path, err)
	}
	return file.Close()
}

// mistaken returns what was given for a .tti file, if it is something that can be recognized, and else the error.
func mistaken(path string, err error) error {
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		return missing(path, statErr)
	case statErr != nil:
		return err
	case info.IsDir():
		return mistakenDirectory(path)
	case !errors.Is(err, format.ErrNotTTI):
		return err
	}
	head, readErr := headOf(path)
	if readErr != nil {
		return err
	}
	for _, kind := range kinds {
		if kind.is(head) {
			return &mistake{fmt.Sprintf("%s: is %s; %s", path, kind.name, strings.ReplaceAll(kind.help, "DIR", filepath.Dir(path))), err}
		}
	}
	return err
}

// mistake is an error in other words.
type mistake struct {
	text string
	err  error
}

func (m *mistake) Error() string { return m.text }
func (m *mistake) Unwrap() error { return m.err }

// missing says that there is no such file, and what may be meant by a name that is none.
func missing(path string, err error) error {
	text := fmt.Sprintf("%s: there is no such file", path)
	_, notID := hub.ParseReference(path)
	_, near := os.Stat(path + ".tti")
	switch {
	case near == nil:
		text += fmt.Sprintf("; did you mean %s.tti?", path)
	case filepath.Ext(path) != "":
	case notID != nil:
		text += "; want a .tti file, or the id of a model of the hub, such as org/name"
	default:
		text += fmt.Sprintf("; \"tti convert %s\" makes a .tti file of the model on the hub", path)
	}
	return &mistake{text, err}
}

func mistakenDirectory(path string) error {
	if _, err := os.Stat(filepath.Join(path, "config.json")); err == nil {
		return fmt.Errorf("%s: is a model directory, want a .tti file; \"tti convert %s\" makes one of it", path, path)
	}
	return fmt.Errorf("%s: is a directory, want a .tti file; \"tti convert\" makes one of a directory that holds a model", path)
}

// headBytes are enough to recognize a file by.
const headBytes = 4096

func headOf(path string) ([]byte, error) {
	file, _, err := format.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	head := make([]byte, headBytes)
	n, err := io.ReadFull(file, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

// kinds are the files that are taken for .tti files, the first that fits. In their help DIR is where they are.
var kinds = []struct {
	name, help string
	is         func(head []byte) bool
}{
	{"a safetensors file, the weights of a model", `"tti convert DIR" makes a .tti file of them and what lies beside them`, isSafetensors},
	{"a GGUF file, which other programs run", `"tti convert" makes a .tti file of the model that it was made from`, begins("GGUF")},
	{"a pickled PyTorch file, which can run code and is not read", `"tti convert" takes the weights as safetensors`, isPickle},
	{"text", `"tti run MODEL.tti --file" continues a text, "tti eval MODEL.tti --text" scores one`, isText},
}

func begins(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

// isSafetensors recognizes the length of a header and the JSON object that it is of; see the format's README.
func isSafetensors(head []byte) bool {
	return len(head) > 9 && binary.LittleEndian.Uint64(head) < 1<<32 && head[8] == '{' && head[9] == '"'
}

// isPickle recognizes torch.save's zip archives and the bare pickles of before.
func isPickle(head []byte) bool {
	return begins("PK\x03\x04")(head) && bytes.Contains(head, []byte("data.pkl")) || begins("\x80\x02")(head)
}

// isText recognizes UTF-8 without control characters other than white space. Its last character may be cut.
func isText(head []byte) bool {
	for len(head) > 0 {
		r, size := utf8.DecodeRune(head)
		if r == utf8.RuneError && size == 1 {
			return len(head) < utf8.UTFMax && !utf8.FullRune(head)
		}
		if r < ' ' && !strings.ContainsRune("\t\n\v\f\r", r) {
			return false
		}
		head = head[size:]
	}
	return true
}
