package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/edsrzf/mmap-go"
)

// File is an open .tti file. Its methods may be called from several goroutines at once, Close
// excepted: after Close, every view of the file is memory that no longer exists.
type File struct {
	path     string
	data     []byte    // the whole file
	mapping  mmap.MMap // what Close unmaps; nil for FromBytes
	header   header
	sections []Section
	byName   map[string]int // position in sections
}

// Open maps a file for reading and checks its header and index completely, and the contents of its
// sections not at all: that is what Verify is for. Its cost does not depend on the size of the
// sections. The error wraps one of this package's sentinels if the contents are at fault.
func Open(path string) (*File, error) {
	mapping, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	f, err := newFile(mapping)
	if err != nil {
		if mapping != nil {
			mapping.Unmap()
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.path, f.mapping = path, mapping
	return f, nil
}

// mapFile maps a whole regular file; the mapping of an empty one is nil.
func mapFile(path string) (mmap.MMap, error) {
	// Asked before it is opened, because opening a named pipe would wait for its other end.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s: is a directory, want a file", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the mapping outlives it
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, nil
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%s: %w: %d bytes are more than this machine can map", path, ErrUnsupported, info.Size())
	}
	mapping, err := mmap.MapRegion(file, int(info.Size()), mmap.RDONLY, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: map %d bytes: %w", path, info.Size(), err)
	}
	return mapping, nil
}

// FromBytes opens a file that lies in memory, under the same checks as Open. The File keeps data,
// which must not change any more, or a copy of it if data does not start at a multiple of
// Alignment.
func FromBytes(data []byte) (*File, error) { return newFile(aligned(data)) }

// newFile checks header and index of data, the whole of a file.
func newFile(data []byte) (*File, error) {
	if !littleEndian {
		return nil, fmt.Errorf("%w: this machine is big-endian, the format is little-endian", ErrUnsupported)
	}
	f := &File{data: data}
	if err := GuardFault(f.parse); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) parse() error {
	if len(f.data) < headerSize {
		if bytes.HasPrefix(magic[:], f.data[:min(len(f.data), len(magic))]) {
			return fmt.Errorf("%w: %d bytes, want at least %d", ErrTruncated, len(f.data), headerSize)
		}
		return ErrNotTTI
	}
	fileSize := int64(len(f.data))
	f.header = decodeHeader(f.data)
	if err := f.header.Validate(fileSize); err != nil {
		return err
	}
	index := f.data[headerSize:][:f.header.IndexLength]
	if sum := xxhash.Sum64(index); sum != f.header.IndexChecksum {
		return fmt.Errorf("%w: index: %016x, want %016x", ErrChecksum, sum, f.header.IndexChecksum)
	}
	sections, err := decodeIndex(index, fileSize)
	switch {
	case errors.Is(err, ErrUnsupported):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	f.sections = sections
	f.byName = make(map[string]int, len(sections))
	for i, s := range sections {
		f.byName[s.Name] = i
	}
	return nil
}

// Path returns the path given to Open, or "" after FromBytes.
func (f *File) Path() string { return f.path }

// Size returns the length of the file in bytes.
func (f *File) Size() int64 { return int64(len(f.data)) }

// Version returns the version of the specification that the file follows.
func (f *File) Version() (major, minor int) { return int(f.header.Major), int(f.header.Minor) }

// IndexChecksum returns the XXH64 of the index. As the index holds the checksum of every section,
// two files with the same one have the same contents, unless someone meant them to collide.
func (f *File) IndexChecksum() uint64 { return f.header.IndexChecksum }

// Sections returns the sections in file order, those of unknown optional kinds too.
func (f *File) Sections() []Section { return slices.Clone(f.sections) }

// Section returns the section of this name.
func (f *File) Section(name string) (Section, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Section{}, false
	}
	return f.sections[i], true
}

// Bytes returns the contents of a section of this file: a view, not a copy, that is valid until
// Close and must not be written to (a mapping cannot be: the process would die). Nothing has
// checked the contents unless Verify has. If others may truncate the file meanwhile, read the
// view under GuardFault.
func (f *File) Bytes(s Section) []byte {
	end := s.Offset + s.Length
	return f.data[s.Offset:end:end]
}

// Meta returns what the file says it holds, after checking that section's checksum.
func (f *File) Meta() (meta Meta, err error) {
	section, _ := f.Section(MetaName) // parse has made sure there is one
	err = GuardFault(func() error {
		if err := f.verifySection(context.Background(), section, nil); err != nil {
			return err
		}
		meta, err = ParseMeta(f.Bytes(section))
		return err
	})
	if err != nil {
		return Meta{}, f.about(section, err)
	}
	return meta, nil
}

// about says which section of which file an error is about.
func (f *File) about(s Section, err error) error {
	err = fmt.Errorf("section %q: %w", s.Name, err)
	if f.path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// Close unmaps the file. Views of it must not be touched afterwards.
func (f *File) Close() error {
	f.data = nil
	if f.mapping == nil {
		return nil
	}
	return f.mapping.Unmap() // and forgets it, so that closing twice does no harm
}
