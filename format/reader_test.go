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
