package format

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
)

func TestRoundTrip(t *testing.T) {
	sample := newSample(t)
	path := sample.write(t, WriteOptions{})
	mapped, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer mapped.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inMemory, err := FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	// One byte off is as bad as an address gets; the views must not care.
	misaligned, err := FromBytes(append([]byte{0}, data...)[1:])
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*File{"Open": mapped, "FromBytes": inMemory, "FromBytes misaligned": misaligned} {
		t.Run(name, func(t *testing.T) {
			if f.Size() != int64(len(data)) {
				t.Errorf("size %d, want %d", f.Size(), len(data))
			}
			if major, minor := f.Version(); major != VersionMajor || minor != VersionMinor {
				t.Errorf("version %d.%d", major, minor)
			}
			if want := xxhash.Sum64(data[64 : 64+128*len(sample.sections)]); f.IndexChecksum() != want {
				t.Errorf("index checksum %x, want %x", f.IndexChecksum(), want)
			}
			sections := f.Sections()
			if len(sections) != len(sample.sections) {
				t.Fatalf("%d sections, want %d", len(sections), len(sample.sections))
			}
			for i, got := range sections {
				want := sample.sections[i]
				content := sample.contents[i]
				if got.Name != want.Name || got.Kind != want.Kind || got.Optional != want.Optional ||
					got.Encoding != want.Encoding || !slices.Equal(got.Shape, want.Shape) {
					t.Errorf("section %d is %+v, want %+v", i, got, want)
				}
				if got.Offset%Alignment != 0 || got.Checksum != xxhash.Sum64(content) {
					t.Errorf("section %q: offset %d, checksum %x", got.Name, got.Offset, got.Checksum)
				}
				view := f.Bytes(got)
				if !bytes.Equal(view, content) || cap(view) != len(view) {
					t.Errorf("section %q: contents differ or have room behind them", got.Name)
				}
				if got.Encoding != Bytes {
					if got := len(Float32s(view[:len(view)/4*4])); got != len(view)/4 {
						t.Errorf("%d values, want %d", got, len(view)/4)
					}
				}
				if byName, ok := f.Section(got.Name); !ok || byName.Offset != got.Offset {
					t.Errorf("section %q is not found by its name", got.Name)
				}
			}
			if _, ok := f.Section("nothing"); ok {
				t.Error("a section that does not exist was found")
			}
			meta, err := f.Meta()
			if err != nil || meta.Mode != sampleMeta().Mode {
				t.Errorf("meta %+v, %v", meta, err)
			}
			var last, total int64
			err = f.Verify(context.Background(), func(done, of int64) { last, total = done, of })
			if err != nil {
				t.Error(err)
			}
			var want int64
			for _, content := range sample.contents {
				want += int64(len(content))
			}
			if last != want || total != want {
				t.Errorf("progress ended at %d of %d, want %d", last, total, want)
			}
		})
	}
	if err := inMemory.Close(); err != nil {
		t.Error(err)
	}
}

// detected reports whether Open or Verify refuses these bytes, and fails the test if they refuse
// them without one of the package's reasons.
func detected(t *testing.T, data []byte) bool {
	t.Helper()
	f, err := FromBytes(data)
	if err == nil {
		err = f.Verify(context.Background(), nil)
	}
	if err == nil {
		return false
	}
	reasons := 0
	for _, reason := range []error{ErrNotTTI, ErrTruncated, ErrChecksum, ErrUnsupported, ErrCorrupt} {
		if errors.Is(err, reason) {
			reasons++
		}
	}
	if reasons != 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q wraps %d reasons, want one, in one line", err, reasons)
	}
	return true
}

// TestEveryBitCounts flips every bit of a file and expects every flip to be detected.
func TestEveryBitCounts(t *testing.T) {
	data := newSample(t).bytes(t)
	if detected(t, data) {
		t.Fatal("the whole file is refused")
	}
	flips, found := 0, 0
	for i := range data {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			data[i] ^= flip
			flips++
			if detected(t, data) {
				found++
			} else {
				t.Errorf("byte %d ^ %#x goes unnoticed", i, flip)
			}
			data[i] ^= flip
		}
	}
	t.Logf("%d of %d flips in %d bytes detected", found, flips, len(data))
}

// TestEveryLengthCounts truncates a file at every length, and makes it longer.
func TestEveryLengthCounts(t *testing.T) {
	data := newSample(t).bytes(t)
	for n := range data {
		_, err := FromBytes(data[:n])
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("%d of %d bytes: %v, want ErrTruncated", n, len(data), err)
		}
	}
	for _, more := range []int{1, 64, 4096} {
		if _, err := FromBytes(append(bytes.Clone(data), make([]byte, more)...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes more: %v, want ErrCorrupt", more, err)
		}
	}
}

// TestVerifyNamesTheFirst damages sections of very different sizes, which are not verified in file
// order.
func TestVerifyNamesTheFirst(t *testing.T) {
	data := newSample(t).bytes(t)
	f, err := FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"später", "f32", "q8", "ln_f.weight"} {
		s, _ := f.Section(name)
		f.Bytes(s)[0] ^= 1
		err := f.Verify(context.Background(), nil)
		if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%v, want ErrChecksum in %q", err, name)
		}
	}
}

func TestVerifyIsCancelled(t *testing.T) {
	f, err := FromBytes(newSample(t).bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = f.Verify(ctx, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestMetaChecksItsSection(t *testing.T) {
	data := newSample(t).bytes(t)
	f, err := FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := f.Section(MetaName)
	f.Bytes(s)[20] ^= 1
	if _, err := f.Meta(); !errors.Is(err, ErrChecksum) {
		t.Errorf("%v, want ErrChecksum", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	directory := t.TempDir()
	file := func(name string, content string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, path string
		want       error
	}{
		{"missing", filepath.Join(directory, "missing"), os.ErrNotExist},
		{"directory", directory, nil},
		{"empty", file("empty", ""), ErrTruncated},
		{"short", file("short", "\x89TTI\r\n"), ErrTruncated},
		{"foreign and short", file("foreign", "PK"), ErrNotTTI},
		{"foreign", file("long", strings.Repeat("GGUF", 100)), ErrNotTTI},
		{"text mode", file("text", "\x89TTI\n\x1a\n\n"+strings.Repeat("\x00", 100)), ErrNotTTI},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := Open(test.path)
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if !strings.Contains(err.Error(), test.path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not name the file in one line", err)
			}
			t.Log(err)
		})
	}
}

// TestCloseWaitsForReaders closes a file that others verify and read under Guard.
func TestCloseWaitsForReaders(t *testing.T) {
	path := newSample(t).write(t, WriteOptions{})
	for range 200 {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		section := f.Sections()[0]
		var group sync.WaitGroup
		for _, read := range []func() error{
			func() error { return f.Verify(context.Background(), nil) },
			func() error { _, err := f.Meta(); return err },
			func() error {
				return f.Guard(func() error { xxhash.Sum64(f.Bytes(section)); return nil })
			},
		} {
			group.Go(func() {
				for {
					if err := read(); errors.Is(err, ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 2 {
			group.Go(func() {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}

// TestCloseWithinProgress closes a file from what is told how far its verification is.
func TestCloseWithinProgress(t *testing.T) {
	f, err := Open(newSample(t).write(t, WriteOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	err = f.Verify(context.Background(), func(int64, int64) { f.Close() })
	if !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestCopy copies every section, and refuses one whose bytes have changed, and a closed file.
func TestCopy(t *testing.T) {
	content := newSample(t).bytes(t)
	f, err := FromBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Sections() {
		got, err := f.Copy(s)
		if err != nil || !bytes.Equal(got, f.Bytes(s)) {
			t.Errorf("%s: %v", s.Name, err)
		}
		f.data[s.Offset] ^= 1
		if _, err := f.Copy(s); !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("%s has changed: %v", s.Name, err)
		}
		if got[0] == f.data[s.Offset] {
			t.Errorf("%s: the copy has changed too", s.Name)
		}
	}
	f.Close()
	if _, err := f.Copy(f.Sections()[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
