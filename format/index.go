package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	recordSize   = 128
	flagRequired = 1 << 0
)

// record is one section as the index holds it, field by field.
type record struct {
	Offset, Length uint64
	Checksum       uint64 // XXH64 of the section
	Kind           uint32
	Flags          uint32
	Encoding       uint32
	Rank           uint32
	Shape          [maxRank]uint64
	Name           [MaxNameLength]byte
}

// newRecord returns the record of a valid section.
func newRecord(s Section) record {
	r := record{
		Offset:   uint64(s.Offset),
		Length:   uint64(s.Length),
		Checksum: s.Checksum,
		Kind:     uint32(s.Kind),
		Encoding: uint32(s.Encoding),
		Rank:     uint32(len(s.Shape)),
	}
	if !s.Optional {
		r.Flags = flagRequired
	}
	for i, dimension := range s.Shape {
		r.Shape[i] = uint64(dimension)
	}
	copy(r.Name[:], s.Name)
	return r
}

// Validate checks what would be lost in the conversion to a Section: reserved bits, padding, and
// numbers beyond the range of its fields.
func (r *record) Validate() error {
	switch {
	case r.Offset > math.MaxInt64 || r.Length > math.MaxInt64:
		return fmt.Errorf("%d bytes at %d are out of range", r.Length, r.Offset)
	case r.Flags&^flagRequired != 0:
		return fmt.Errorf("flags %#x, want 0 or %#x", r.Flags, flagRequired)
	case r.Rank < 1 || r.Rank > maxRank:
		return fmt.Errorf("rank %d, want 1 to %d", r.Rank, maxRank)
	case len(bytes.Trim(r.Name[len(r.name()):], "\x00")) != 0:
		return errors.New("name is followed by bytes other than 0")
	}
	for i, dimension := range r.Shape {
		if used := i < int(r.Rank); used != (dimension != 0) || dimension > math.MaxInt {
			return fmt.Errorf("shape %v does not fit rank %d", r.Shape, r.Rank)
		}
	}
	return nil
}

// name is what stands before the zero padding.
func (r *record) name() string {
	name, _, _ := bytes.Cut(r.Name[:], []byte{0})
	return string(name)
}

// section converts a valid record.
func (r *record) section() Section {
	shape := make([]int, r.Rank)
	for i := range shape {
		shape[i] = int(r.Shape[i])
	}
	return Section{
		Name:     r.name(),
		Kind:     Kind(r.Kind),
		Optional: r.Flags&flagRequired == 0,
		Encoding: Encoding(r.Encoding),
		Shape:    shape,
		Offset:   int64(r.Offset),
		Length:   int64(r.Length),
		Checksum: r.Checksum,
	}
}

// encodeIndex returns the records of the sections, one after the other.
func encodeIndex(sections []Section) []byte {
	index := make([]byte, 0, recordSize*len(sections))
	for _, s := range sections {
		var err error
		if index, err = binary.Append(index, binary.LittleEndian, newRecord(s)); err != nil {
			panic(err) // only for a type that is wrong in this program
		}
	}
	return index
}

// decodeIndex returns the sections of an index whose length is a multiple of recordSize and
// checks all of it against the size of the file. What it allocates is a small multiple of the
// index.
func decodeIndex(index []byte, fileSize int64) ([]Section, error) {
	sections := make([]Section, 0, len(index)/recordSize)
	for raw := range slices.Chunk(index, recordSize) {
		var r record
		if _, err := binary.Decode(raw, binary.LittleEndian, &r); err != nil {
			panic(err) // only for a type or a length that is wrong in this program
		}
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("section %q: %w", r.name(), err)
		}
		sections = append(sections, r.section())
	}
	return sections, validateSections(sections, fileSize)
}
