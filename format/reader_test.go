package format

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// readerDetects is detected for a file that is read rather than mapped.
func readerDetects(data []byte) error {
	index, err := ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	return index.VerifyReader(iotest.OneByteReader(bytes.NewReader(data)))
}

// TestReaderEveryByteCounts holds what is read to what is mapped.
func TestReaderEveryByteCounts(t *testing.T) {
	data := newSample(t).bytes(t)
	if err := readerDetects(data); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0x10
		if err := readerDetects(data); err == nil || !detected(t, data) {
			t.Errorf("a change of byte %d goes unnoticed", i)
		}
		data[i] ^= 0x10
	}
}

// TestReaderChanges gives the verifier another file than the index was read from.
func TestReaderChanges(t *testing.T) {
	data := newSample(t).bytes(t)
	index, err := ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := index.VerifyReader(bytes.NewReader(data[:n])); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d of %d bytes: %v, want ErrTruncated", n, len(data), err)
		}
	}
	if err := index.VerifyReader(io.MultiReader(bytes.NewReader(data), bytes.NewReader(data[:1]))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v, want ErrCorrupt", err)
	}
	other := newExample(t).bytes(t)
	if err := index.VerifyReader(bytes.NewReader(other)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another file: %v, want ErrCorrupt", err)
	}
	failure := errors.New("the disk fails")
	if err := index.VerifyReader(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(failure))); !errors.Is(err, failure) {
		t.Errorf("%v, want %v", err, failure)
	}
}

func TestReadMeta(t *testing.T) {
	data := newSample(t).bytes(t)
	index, err := ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := index.ReadMeta(bytes.NewReader(data))
	if err != nil || meta.Mode != sampleMeta().Mode {
		t.Errorf("%v, %v", meta, err)
	}
	if _, err := index.ReadMeta(bytes.NewReader(data[:index.sections[0].Offset+1])); !errors.Is(err, ErrTruncated) {
		t.Errorf("%v, want ErrTruncated", err)
	}
}

func TestOpenPacked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tti.zst")
	for _, content := range []string{"\x28\xb5\x2f\xfd", "\x28\xb5\x2f\xfd" + string(make([]byte, 100))} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if want := path + ": file is packed: run \"tti unpack " + path + "\" first"; !errors.Is(err, ErrPacked) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestCreateDirectory(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "model")
	fill := func(directory string) error {
		return os.WriteFile(filepath.Join(directory, "file"), []byte("new"), 0o666)
	}
	failure := errors.New("no more")
	fails := func(directory string) error { fill(directory); return failure }

	// What a killed process left, and a directory that is empty, are no obstacle.
	if err := os.MkdirAll(path+".partial/old", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := CreateDirectory(path, fails); !errors.Is(err, failure) {
		t.Errorf("%v, want %v", err, failure)
	}
	if got := listing(t, parent) + listing(t, path); got != "model" {
		t.Errorf("after a failure there is %q", got)
	}
	if err := CreateDirectory(path+"/", fill); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, parent) + " " + listing(t, path); got != "model file" {
		t.Errorf("there is %q", got)
	}

	if err := CreateDirectory(path, fill); err == nil {
		t.Error("a directory with files is replaced")
	}
	if err := CreateDirectory(filepath.Join(path, "file"), fill); err == nil {
		t.Error("a file is replaced")
	}
	if err := CreateDirectory(filepath.Join(path, "no", "such"), fill); err == nil {
		t.Error("a parent is made up")
	}
	inner := func(string) error { return CreateDirectory(filepath.Join(parent, "other"), fill) }
	if err := CreateDirectory(filepath.Join(parent, "other"), inner); err == nil {
		t.Error("two create the same directory at once")
	}
	if got := listing(t, parent); got != "model" {
		t.Errorf("there is %q", got)
	}
}
