package format

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/edsrzf/mmap-go"
)

// File is an open .tti file. Its methods may be called from several goroutines at once, in any order: Close waits for
// those that read, and afterwards they fail with ErrClosed. Only views are their user's business, see Bytes.
type File struct {
	*Index
	path    string
	readers sync.RWMutex // what follows is read by many and written by Close
	data    []byte       // the whole file, nil once closed
	mapping mmap.MMap    // what Close unmaps; nil for FromBytes
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
		if errors.Is(err, ErrPacked) {
			err = fmt.Errorf("%w: run \"tti unpack %s\" first", err, path)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.path, f.mapping = path, mapping
	return f, nil
}

// OpenRegular opens a file for reading and returns its size. It refuses what is no regular file before
// it opens it, because opening a named pipe would wait for its other end.
func OpenRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, fmt.Errorf("%s: is a directory, want a file", path)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// mapFile maps a whole regular file; the mapping of an empty one is nil.
func mapFile(path string) (mmap.MMap, error) {
	file, size, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the mapping outlives it
	if size == 0 {
		return nil, nil
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("%s: %w: %d bytes are more than this machine can map", path, ErrUnsupported, size)
	}
	mapping, err := mmap.MapRegion(file, int(size), mmap.RDONLY, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: map %d bytes: %w", path, size, err)
	}
	adviseHugePages(mapping)
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
	err := GuardFault(func() (err error) {
		f.Index, err = ReadIndex(bytes.NewReader(data), int64(len(data)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Path returns the path given to Open, or "" after FromBytes.
func (f *File) Path() string { return f.path }

// Bytes returns the contents of a section of this file: a view, not a copy, that is valid until
// Close and must not be written to (a mapping cannot be: the process would die). Nothing has
// checked the contents unless Verify has. Whoever uses a view while others may truncate the file reads it under
// GuardFault; while others may close the file, it must be got and read under Guard.
func (f *File) Bytes(s Section) []byte {
	end := s.Offset + s.Length
	return f.data[s.Offset:end:end]
}

// Copy returns the contents of a section, after checking that the very bytes it returns have the section's checksum: they
// stay what they are whatever becomes of the file. They start at a multiple of Alignment, as a view does.
// Errors name the section.
func (f *File) Copy(s Section) ([]byte, error) {
	content := aligned(make([]byte, s.Length))
	err := f.Guard(func() error {
		copy(content, f.Bytes(s))
		return nil
	})
	if err == nil {
		err = checkSum(xxhash.Sum64(content), s.Checksum)
	}
	if err != nil {
		return nil, about(s, err)
	}
	return content, nil
}

// Guard is GuardFault for a function that reads views of this file. Close waits until it has returned; after Close it is
// not called, and the error is ErrClosed. It may not call Close or Guard, whose waiting would never end. What takes
// long should be divided into several calls.
func (f *File) Guard(read func() error) error {
	f.readers.RLock()
	defer f.readers.RUnlock()
	if f.data == nil {
		return ErrClosed
	}
	return GuardFault(read)
}

// Meta returns what the file says it holds, after checking that section's checksum.
func (f *File) Meta() (meta Meta, err error) {
	err = f.Guard(func() (err error) {
		meta, err = f.ReadMeta(bytes.NewReader(f.data))
		return err
	})
	if err != nil {
		return Meta{}, f.about(err)
	}
	return meta, nil
}

// about says which file an error is about.
func (f *File) about(err error) error {
	if f.path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// Close unmaps the file, as soon as nobody reads it under Guard. Views of it must not be touched afterwards.
func (f *File) Close() error {
	f.readers.Lock()
	defer f.readers.Unlock()
	f.data = nil
	if f.mapping == nil {
		return nil
	}
	return f.mapping.Unmap() // and forgets it, so that closing twice does no harm
}
