package main

import (
	"context"
	"errors"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/packed"
)

// container is a .tti file, packed or not.
type container interface {
	Path() string
	Size() int64 // of the .tti file
	Version() (major, minor int)
	IndexChecksum() uint64
	Sections() []format.Section
	Section(name string) (format.Section, bool)
	Copy(s format.Section) ([]byte, error)
	Meta() (format.Meta, error)
	Verify(ctx context.Context, progress func(done, total int64)) error
	Close() error
}

// openContainer opens a .tti or .tti.zst file, whatever its name says.
func openContainer(path string) (container, error) {
	file, err := format.Open(path)
	if errors.Is(err, format.ErrPacked) {
		file, err := packed.Open(path)
		if err != nil {
			return nil, err
		}
		return file, nil
	}
	if err != nil {
		return nil, mistaken(path, err)
	}
	return file, nil
}
