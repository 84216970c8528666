package format

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk writes to a file system too small for the file, which it mounts; that takes root.
func TestFullDisk(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(directory, 0)
	path := filepath.Join(directory, "out.tti")
	small := newSample(t)
	if err := Write(context.Background(), path, small.sections, small.fill, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	large := newSample(t)
	large.sections = append(large.sections, Section{Name: "large", Kind: KindTensor, Encoding: Float32, Shape: []int{32 << 10}})
	large.contents = append(large.contents, make([]byte, 128<<10))
	err := Write(context.Background(), path, large.sections, large.fill, WriteOptions{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	if got := listing(t, directory); got != "out.tti" {
		t.Errorf("left behind: %q", got)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, small.bytes(t)) {
		t.Errorf("the existing target was touched (%v)", err)
	}
	t.Log(err)
}

// TestOpenPipe must not wait for somebody to write into it.
func TestOpenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a pipe was opened")
	}
	sample := newSample(t)
	if err := Write(context.Background(), path, sample.sections, sample.fill, WriteOptions{}); err == nil {
		t.Error("a pipe was replaced")
	}
}
