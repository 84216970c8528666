// Package sparsetest writes files that are mostly holes, for tests of files that would be too large otherwise: format.Write
// would fill the holes. It goes by the letter of FORMAT.md and shares nothing with the writer.
package sparsetest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/tti-llm/tti/format"
)

// Section is a section and what it holds. Without a Content it is a hole: zeros, which take no room on most disks. The checksums
// of holes are as they are given.
type Section struct {
	format.Section
	Content []byte
}

// Write writes a file and returns its path. The test is skipped where the disk has no holes and no room.
func Write(t testing.TB, sections []Section) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse.tti")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var index []byte
	end := int64(64 + 128*len(sections))
	for _, s := range sections {
		offset := (end + 63) / 64 * 64
		length, err := s.Encoding.Size(s.Shape)
		if err != nil {
			t.Fatal(err)
		}
		if s.Content != nil {
			s.Checksum = xxhash.Sum64(s.Content)
			if _, err := file.WriteAt(s.Content, offset); err != nil {
				t.Skipf("write at %d: %v", offset, err)
			}
		}
		index = append(index, record(s.Section, offset, length)...)
		end = offset + length
	}
	header := []byte{0x89, 'T', 'T', 'I', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0, 0, 0, 0, 0}
	for _, number := range []uint64{uint64(end), 64, uint64(len(index)), xxhash.Sum64(index), 0} {
		header = binary.LittleEndian.AppendUint64(header, number)
	}
	header = binary.LittleEndian.AppendUint64(header, xxhash.Sum64(header))
	if _, err := file.WriteAt(append(header, index...), 0); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(end); err != nil {
		t.Skipf("no room for %d bytes: %v", end, err)
	}
	return path
}

// record is a section's part of the index.
func record(s format.Section, offset, length int64) []byte {
	const required = 1
	flags := uint32(required)
	if s.Optional {
		flags = 0
	}
	b := make([]byte, 128)
	for i, number := range []uint64{uint64(offset), uint64(length), s.Checksum} {
		binary.LittleEndian.PutUint64(b[8*i:], number)
	}
	for i, number := range []uint32{uint32(s.Kind), flags, uint32(s.Encoding), uint32(len(s.Shape))} {
		binary.LittleEndian.PutUint32(b[24+4*i:], number)
	}
	for i, dimension := range s.Shape {
		binary.LittleEndian.PutUint64(b[40+8*i:], uint64(dimension))
	}
	copy(b[72:], s.Name)
	return b
}
