package format

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Kind says what a section is for.
type Kind uint32

const (
	KindMeta      Kind = 1 // what the file holds, as JSON: see Meta
	KindTokenizer Kind = 2 // the vocabulary: see package vocabulary
	KindTensor    Kind = 3 // one tensor of the model
)

// Names of the sections of which a file has at most one.
const (
	MetaName      = "meta"
	TokenizerName = "tokenizer"
)

// MaxNameLength bounds the name of a section, in bytes.
const MaxNameLength = 56

// MaxSections bounds the sections of a file, and its index to 128 MiB. The largest models known have under 100,000 tensors.
const MaxSections = 1 << 20

// kinds is the one table of what the format knows about each kind.
var kinds = map[Kind]struct {
	name   string
	alone  bool // at most one in a file, and it bears the kind's name
	opaque bool // its encoding is Bytes; otherwise it is anything but Bytes
}{
	KindMeta:      {MetaName, true, true},
	KindTokenizer: {TokenizerName, true, true},
	KindTensor:    {"tensor", false, false},
}

// String returns the name FORMAT.md and the command line use.
func (k Kind) String() string {
	if known, ok := kinds[k]; ok {
		return known.name
	}
	return fmt.Sprintf("kind(%d)", uint32(k))
}

// Known reports whether this version knows what the kind is for. A file may hold sections of other
// kinds if they are optional; they are listed and verified, and otherwise left alone.
func (k Kind) Known() bool {
	_, ok := kinds[k]
	return ok
}

// Section describes one section of a file: what it is and where it lies.
type Section struct {
	Name           string   // 1 to MaxNameLength bytes of UTF-8 without control characters, unique in the file
	Kind           Kind     // what it is for
	Optional       bool     // a reader that does not know Kind may skip it
	Encoding       Encoding // how the bytes stand for the values
	Shape          []int    // 1 to 4 dimensions; [length] for Bytes, unpadded [out, in] for panels
	Offset, Length int64    // in bytes; Offset is a multiple of Alignment
	Checksum       uint64   // XXH64 of the section's bytes
}

// Validate checks all that a section says of itself, its place in the file excepted. What a
// section of an unknown, optional kind says of its encoding and shape is its own affair.
func (s Section) Validate() error {
	if err := validateName(s.Name); err != nil {
		return err
	}
	kind, known := kinds[s.Kind]
	switch {
	case !known && !s.Optional:
		return fmt.Errorf("%w: %v is required", ErrUnsupported, s.Kind)
	case !known:
		if s.Length <= 0 {
			return fmt.Errorf("%d bytes, want at least 1", s.Length)
		}
		return nil
	case kind.alone && s.Name != kind.name:
		return fmt.Errorf("%v has another name than its kind", s.Kind)
	}
	size, err := s.Encoding.Size(s.Shape)
	switch {
	case err != nil:
		return err
	case kind.opaque != (s.Encoding == Bytes):
		return fmt.Errorf("encoding %v is not one for %v", s.Encoding, s.Kind)
	case size != s.Length:
		return fmt.Errorf("%d bytes, want %d for %v %v", s.Length, size, s.Encoding, s.Shape)
	}
	return nil
}

func validateName(name string) error {
	if len(name) == 0 || len(name) > MaxNameLength {
		return fmt.Errorf("name of %d bytes, want 1 to %d", len(name), MaxNameLength)
	}
	if !utf8.ValidString(name) {
		return errors.New("name is not UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("name contains control character %U", r)
		}
	}
	return nil
}

// validateSections checks every section and that together they fill a file of the given size
// behind header and index, as tightly as their alignment allows. That one rule excludes overlaps,
// hidden bytes and any other order.
func validateSections(sections []Section, fileSize int64) error {
	byName := make(map[string]struct{}, len(sections))
	end := indexEnd(len(sections))
	for _, s := range sections {
		if err := s.Validate(); err != nil {
			return fmt.Errorf("section %q: %w", s.Name, err)
		}
		if _, twice := byName[s.Name]; twice {
			return fmt.Errorf("section %q: name is used twice", s.Name)
		}
		byName[s.Name] = struct{}{}
		if want := align(end); s.Offset != want {
			return fmt.Errorf("section %q: offset %d, want %d", s.Name, s.Offset, want)
		}
		if s.Length > fileSize-s.Offset {
			return fmt.Errorf("section %q: %d bytes at %d in a file of %d", s.Name, s.Length, s.Offset, fileSize)
		}
		end = s.Offset + s.Length
	}
	if end != fileSize {
		return fmt.Errorf("last section ends at %d, want %d, the end of the file", end, fileSize)
	}
	if _, ok := byName[MetaName]; !ok {
		return fmt.Errorf("section %q is missing", MetaName)
	}
	return nil
}

// indexEnd returns where the index of count records ends; it is aligned.
func indexEnd(count int) int64 { return headerSize + recordSize*int64(count) }

// align rounds an offset up to Alignment. Callers keep it far from overflow: offsets lie inside a
// file or a plan, and both are bounded.
func align(offset int64) int64 { return (offset + Alignment - 1) &^ (Alignment - 1) }
