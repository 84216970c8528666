package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Index is what the header and the index of a file say: its sections, and where they lie.
type Index struct {
	header   header
	sections []Section
	byName   map[string]int // position in sections
}

// zstdMagic begins a packed file.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// ReadIndex reads the header and the index of a file of the given size and checks them completely.
// The error wraps one of this package's sentinels if the contents are at fault.
func ReadIndex(r io.ReaderAt, size int64) (*Index, error) {
	start, err := readBytes(r, 0, min(size, headerSize))
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, zstdMagic):
		return nil, ErrPacked
	case len(start) == headerSize:
	case bytes.HasPrefix(magic[:], start[:min(len(start), len(magic))]):
		return nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrTruncated, size, headerSize)
	default:
		return nil, ErrNotTTI
	}
	header := decodeHeader(start)
	if err := header.Validate(size); err != nil {
		return nil, err
	}
	index, err := readBytes(r, headerSize, int64(header.IndexLength))
	if err != nil {
		return nil, err
	}
	if err := checkSum(xxhash.Sum64(index), header.IndexChecksum); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	sections, err := decodeIndex(index, size)
	switch {
	case errors.Is(err, ErrUnsupported):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	x := &Index{header: header, sections: sections, byName: make(map[string]int, len(sections))}
	for i, s := range sections {
		x.byName[s.Name] = i
	}
	return x, nil
}

// readBytes returns length bytes of a file, which the caller has compared with its size.
func readBytes(r io.ReaderAt, offset, length int64) ([]byte, error) {
	b := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, offset, length), b); err != nil {
		return nil, short(err)
	}
	return b, nil
}

// Size returns the length of the file in bytes.
func (x *Index) Size() int64 { return int64(x.header.FileSize) }

// Version returns the version of the specification that the file follows.
func (x *Index) Version() (major, minor int) { return int(x.header.Major), int(x.header.Minor) }

// IndexChecksum returns the XXH64 of the index. As the index holds the checksum of every section,
// two files with the same one have the same contents, unless someone meant them to collide.
func (x *Index) IndexChecksum() uint64 { return x.header.IndexChecksum }

// Sections returns the sections in file order, those of unknown optional kinds too.
func (x *Index) Sections() []Section { return slices.Clone(x.sections) }

// Section returns the section of this name.
func (x *Index) Section(name string) (Section, bool) {
	i, ok := x.byName[name]
	if !ok {
		return Section{}, false
	}
	return x.sections[i], true
}

// ReadMeta returns what the file says it holds, after checking that section's checksum.
func (x *Index) ReadMeta(r io.ReaderAt) (meta Meta, err error) {
	section, _ := x.Section(MetaName) // every index has one
	defer func() {
		if err != nil {
			err = about(section, err)
		}
	}()
	if section.Length > MaxMetaLength {
		return Meta{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrCorrupt, section.Length, MaxMetaLength)
	}
	content, err := readBytes(r, section.Offset, section.Length)
	if err != nil {
		return Meta{}, err
	}
	if err := checkSum(xxhash.Sum64(content), section.Checksum); err != nil {
		return Meta{}, err
	}
	return ParseMeta(content)
}

// about says which section an error is about.
func about(s Section, err error) error { return fmt.Errorf("section %q: %w", s.Name, err) }

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
	Shape          [MaxRank]uint64
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
	case r.Rank < 1 || r.Rank > MaxRank:
		return fmt.Errorf("rank %d, want 1 to %d", r.Rank, MaxRank)
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
