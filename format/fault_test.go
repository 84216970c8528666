//go:build unix

package format

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTruncatedUnderTheMapping truncates an open file at many lengths. Reading beyond its end
// raises SIGBUS, which kills a process that does not expect it.
func TestTruncatedUnderTheMapping(t *testing.T) {
	page := os.Getpagesize()
	content := make([]byte, 40*page)
	for i := range content {
		content[i] = byte(i>>8) + 1
	}
	sample := newSample(t)
	sample.sections = append(sample.sections, Section{Name: "large", Kind: KindTensor, Encoding: Float32, Shape: []int{len(content) / 4}})
	sample.contents = append(sample.contents, content)

	for _, left := range []int64{0, 1, headerSize, int64(page), int64(20*page) + 7} {
		path := sample.write(t, WriteOptions{})
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, left); err != nil {
			t.Fatal(err)
		}
		// What is left of a last page reads as zeros beyond the end, so a checksum may tell first.
		err = f.Verify(context.Background(), nil)
		if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrChecksum) || left == 0 && !errors.Is(err, ErrTruncated) {
			t.Errorf("Verify at %d bytes: %v", left, err)
		}
		if left == 0 {
			if _, err := f.Meta(); !errors.Is(err, ErrTruncated) {
				t.Errorf("Meta: %v, want ErrTruncated", err)
			}
		}
		large, _ := f.Section("large")
		err = GuardFault(func() error {
			sum := float32(0)
			for _, v := range Float32s(f.Bytes(large)) {
				sum += v
			}
			return fmt.Errorf("no fault, and the sum is %v", sum)
		})
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("a view at %d bytes: %v, want ErrTruncated", left, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTruncatedWhileOpening lets the index lie beyond the end by the time it is read.
func TestTruncatedWhileOpening(t *testing.T) {
	path := newSample(t).write(t, WriteOptions{})
	mapping, err := mapFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer mapping.Unmap()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := newFile(mapping); !errors.Is(err, ErrTruncated) {
		t.Errorf("%v, want ErrTruncated", err)
	}
}

// TestGuardFaultPassesPanics lets through what is not the file's fault.
func TestGuardFaultPassesPanics(t *testing.T) {
	recovered := func(f func() error) (value any) {
		defer func() { value = recover() }()
		GuardFault(f)
		return nil
	}
	if got := recovered(func() error { panic("mine") }); got != "mine" {
		t.Errorf("recovered %v, want the panic's own value", got)
	}
	var none *File
	if got := recovered(func() error { _ = none.path; return nil }); got == nil {
		t.Error("a nil pointer was taken for a fault of the file")
	}
	if err := GuardFault(func() error { panic(Changed("a length of -1")) }); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "-1") {
		t.Errorf("changed contents: %v, want ErrCorrupt", err)
	}
	want := errors.New("mine")
	if err := GuardFault(func() error { return want }); err != want {
		t.Errorf("%v, want f's own error", err)
	}
}
