// Package strictjson reads JSON from outside so that no two readers can see two things in one text.
// It is encoding/json but for these differences:
//
//   - Names match byte for byte. encoding/json takes "EOS_Token" and "eoſ_token" for "eos_token".
//   - A name that occurs twice in one object is refused; encoding/json lets the last one win.
//   - Text that is not UTF-8 and halves of surrogate pairs are refused, not replaced by U+FFFD.
//   - Depth and number of entries are bounded, and with them the memory that a text takes.
//   - An error is short and one line, whatever the text holds.
//
// Names that a struct has no field for are passed over, as all formats read here ask for.
// encoding/json/v2 would do most of this, but needs an experiment of the toolchain to be switched on.
package strictjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// What texts may hold where nothing else is said.
const (
	MaxDepth   = 100 // Python refuses a thousand
	MaxEntries = 1 << 20
)

// Limits bound what a text may hold. Zero stands for the default.
type Limits struct {
	Depth   int // of objects and lists in each other; default MaxDepth
	Entries int // names of an object, or items of a list, and those of all around it; default MaxEntries
	Values  int // names and values of the whole text; default: as many as fit

	// Complete asks for all fields of structs: what is missing, or null without being a pointer, is refused.
	Complete bool
}

// Unmarshal is [Limits.Unmarshal] under the default limits.
func Unmarshal(data []byte, value any) error { return Limits{}.Unmarshal(data, value) }

// Unmarshal checks a text and stores it in the value that value points to, as encoding/json would, but
//
//   - a field of a struct must have a tag, or it is left alone;
//   - a struct that has UnmarshalText may stand in the text as an object or as a string.
//
// What value holds after an error is undefined.
func (l Limits) Unmarshal(data []byte, value any) error {
	if err := l.Check(data); err != nil {
		return err
	}
	if err := decode(data, value, l.Complete); err != nil {
		return clipped(err)
	}
	return nil
}

// Check refuses a text that is not one JSON value, that readers could see two things in, or that exceeds the limits.
func (l Limits) Check(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return clipped(json.Unmarshal(data, new(json.RawMessage)))
	}
	if err := checkSurrogates(data); err != nil {
		return err
	}
	return l.checkNames(data)
}

// level is an object or a list that is open.
type level struct {
	object  bool
	named   bool                // the next token of an object is a value
	names   map[string]struct{} // of an object so far
	entries int
}

// checkNames walks through a valid text.
func (l Limits) checkNames(data []byte) error {
	depth, most, values := cmp.Or(l.Depth, MaxDepth), cmp.Or(l.Entries, MaxEntries), cmp.Or(l.Values, math.MaxInt)
	var levels []level
	entries := 0 // of all levels
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a number may be too large for a float64
	for tokens := 0; ; {
		token, err := decoder.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return clipped(err)
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			entries -= levels[len(levels)-1].entries
			levels = levels[:len(levels)-1]
			continue
		}
		if tokens++; tokens > values {
			return fmt.Errorf("more than %d names and values", values)
		}
		if len(levels) > 0 {
			top := &levels[len(levels)-1]
			if top.named = top.object && !top.named; top.named || !top.object {
				top.entries++
				if entries++; entries > most {
					return fmt.Errorf("more than %d entries", most)
				}
			}
			if top.named {
				name := token.(string) // no valid object has another name
				if _, twice := top.names[name]; twice {
					return fmt.Errorf("%.60q occurs twice", name)
				}
				if top.names == nil {
					top.names = map[string]struct{}{}
				}
				top.names[name] = struct{}{}
				continue
			}
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			if len(levels) == depth {
				return fmt.Errorf("nested deeper than %d levels", depth)
			}
			levels = append(levels, level{object: token == json.Delim('{')})
		}
	}
}

// checkSurrogates refuses halves of surrogate pairs in a valid text.
func checkSurrogates(data []byte) error {
	for {
		// In a valid text a backslash is in a string and begins an escape.
		start := bytes.IndexByte(data, '\\')
		if start < 0 {
			return nil
		}
		data = data[start:]
		unit, ok := codeUnit(data)
		switch {
		case !ok:
			data = data[2:]
			continue
		case unit&0xfc00 == 0xd800:
			if low, ok := codeUnit(data[6:]); ok && low&0xfc00 == 0xdc00 {
				data = data[12:]
				continue
			}
			fallthrough
		case unit&0xfc00 == 0xdc00:
			return fmt.Errorf("%s is half of a surrogate pair", data[:6])
		}
		data = data[6:]
	}
}

// codeUnit returns the number of an escape such as \u00e9.
func codeUnit(data []byte) (uint64, bool) {
	if !bytes.HasPrefix(data, []byte(`\u`)) || len(data) < 6 {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return unit, err == nil
}

// clipped cuts an error short, for encoding/json quotes numbers and texts in full.
func clipped(err error) error { return fmt.Errorf("%.200s", err) }
