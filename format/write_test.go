package format

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tti-llm/tti/format/killtest"
)

// listing returns the names in a directory.
func listing(t *testing.T, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func TestWriteIsDeterministic(t *testing.T) {
	sample := newSample(t)
	want := sample.bytes(t)
	for workers := range 9 {
		got, err := os.ReadFile(sample.write(t, WriteOptions{Workers: workers}))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d workers write another file (%v)", workers, err)
		}
	}
	// Neither pieces of one byte nor one large piece matter.
	path := filepath.Join(t.TempDir(), "pieces.tti")
	err := Write(context.Background(), path, sample.sections, func(_ context.Context, i int, w io.Writer) error {
		if i%2 == 0 {
			_, err := io.Copy(w, bytes.NewReader(sample.contents[i]))
			return err
		}
		for _, b := range sample.contents[i] {
			if _, err := w.Write([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("pieces make another file (%v)", err)
	}
}

// fullDisk takes so many bytes and no more.
type fullDisk struct {
	io.WriterAt
	room *atomic.Int64
}

func (d fullDisk) WriteAt(p []byte, offset int64) (int, error) {
	if d.room.Add(-int64(len(p))) < 0 {
		return 0, syscall.ENOSPC
	}
	return d.WriterAt.WriteAt(p, offset)
}

// TestWriteFails makes it fail in many ways, with and without an existing target. The target must
// stay as it was, and alone in its directory.
func TestWriteFails(t *testing.T) {
	sample := newSample(t)
	boom := errors.New("boom")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	replaceSection := func(i int, s Section) []Section {
		sections := newSample(t).sections
		sections[i] = s
		return sections
	}
	disk := func(room int64) WriteOptions {
		return WriteOptions{disk: func(w io.WriterAt) io.WriterAt {
			left := new(atomic.Int64)
			left.Store(room)
			return fullDisk{w, left}
		}}
	}
	whole := int64(len(sample.bytes(t)))
	extra := func(bytes int) func(context.Context, int, io.Writer) error {
		return func(ctx context.Context, i int, w io.Writer) error {
			if i != 3 {
				return sample.fill(ctx, i, w)
			}
			content := append(sample.contents[i], 1)
			w.Write(content[:len(sample.contents[i])+bytes]) // its error must not be needed
			return nil
		}
	}
	tests := []struct {
		name     string
		ctx      context.Context
		sections []Section
		fill     func(context.Context, int, io.Writer) error
		opts     WriteOptions
		want     error  // if not nil
		text     string // that the error must contain
	}{
		{name: "fill fails", fill: func(ctx context.Context, i int, w io.Writer) error {
			if i == 4 {
				w.Write([]byte{1})
				return boom
			}
			return sample.fill(ctx, i, w)
		}, want: boom, text: `section "q4"`},
		{name: "fill writes too little", fill: extra(-1), text: `section "cube": 47 bytes were written, want 48`},
		{name: "fill writes too much", fill: extra(1), want: errSectionFull, text: `section "cube"`},
		{name: "fill writes for ever", fill: func(ctx context.Context, i int, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return err
				}
			}
		}, want: errSectionFull},
		{name: "cancelled before", ctx: cancelled, want: context.Canceled},
		{name: "no room at all", opts: disk(0), want: syscall.ENOSPC, text: "section"},
		{name: "no room in the middle", opts: disk(whole / 2), want: syscall.ENOSPC, text: "section"},
		{name: "no room for the index", opts: disk(whole - 2000), want: syscall.ENOSPC},
		{name: "no sections", sections: []Section{}, text: "meta"},
		{name: "name twice", sections: replaceSection(3, sample.sections[2]), text: `"ln_f.weight"`},
		{name: "name too long", sections: replaceSection(3, Section{Name: strings.Repeat("x", 57), Kind: KindTensor, Encoding: Float32, Shape: []int{1}}), text: "57"},
		{name: "shape of 0", sections: replaceSection(3, Section{Name: "x", Kind: KindTensor, Encoding: Float32, Shape: []int{0}}), text: `"x"`},
		{name: "shape too large", sections: replaceSection(3, Section{Name: "x", Kind: KindTensor, Encoding: Float32, Shape: []int{1 << 40, 1 << 40}}), text: `"x"`},
		{name: "no such encoding", sections: replaceSection(3, Section{Name: "x", Kind: KindTensor, Encoding: 99, Shape: []int{1}}), want: ErrUnsupported},
		{name: "no such kind", sections: replaceSection(3, Section{Name: "x", Kind: 99, Encoding: Bytes, Shape: []int{1}}), want: ErrUnsupported},
	}
	for _, test := range tests {
		for _, existing := range []string{"", "the old file"} {
			t.Run(test.name+"/"+existing, func(t *testing.T) {
				directory := t.TempDir()
				path := filepath.Join(directory, "out.tti")
				left := ""
				if existing != "" {
					left = "out.tti"
					if err := os.WriteFile(path, []byte(existing), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				test := test
				if test.ctx == nil {
					test.ctx = context.Background()
				}
				if test.sections == nil {
					test.sections = sample.sections
				}
				if test.fill == nil {
					test.fill = sample.fill
				}
				err := Write(test.ctx, path, test.sections, test.fill, test.opts)
				if err == nil || test.want != nil && !errors.Is(err, test.want) {
					t.Fatalf("%v, want %v", err, test.want)
				}
				message := err.Error()
				if !strings.Contains(message, test.text) || !strings.Contains(message, path) || strings.Contains(message, "\n") {
					t.Errorf("%q does not name %q and the file in one line", message, test.text)
				}
				if got := listing(t, directory); got != left {
					t.Errorf("left behind: %q, want %q", got, left)
				}
				if content, _ := os.ReadFile(path); string(content) != existing {
					t.Error("the existing target was touched")
				}
			})
		}
	}
}

// TestWriteCancelled cancels while a section is being written, by a fill that does not look.
func TestWriteCancelled(t *testing.T) {
	sample := newSample(t)
	directory := t.TempDir()
	ctx, cancel := context.WithCancelCause(context.Background())
	err := Write(ctx, filepath.Join(directory, "out.tti"), sample.sections, func(ctx context.Context, i int, w io.Writer) error {
		cancel(errors.New("a reason of their own"))
		return sample.fill(ctx, i, w)
	}, WriteOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if got := listing(t, directory); got != "" {
		t.Errorf("left behind: %q", got)
	}
}

// TestWriteTargets tries targets that cannot be replaced, none of which a plain rename would spare
// from root.
func TestWriteTargets(t *testing.T) {
	sample := newSample(t)
	directory := t.TempDir()
	target := func(name string) string { return filepath.Join(directory, name) }
	if err := os.WriteFile(target("read-only"), []byte("old"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(target("directory"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target("file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	before := listing(t, directory)
	tests := []struct {
		name, path string
		want       error
		text       string
	}{
		{"read-only file", target("read-only"), fs.ErrPermission, "is read-only"},
		{"directory", target("directory"), nil, "is a directory"},
		{"directory to come", target("missing") + string(filepath.Separator), fs.ErrNotExist, "missing"},
		{"missing directory", filepath.Join(target("missing"), "out.tti"), fs.ErrNotExist, "directory " + target("missing")},
		{"file as directory", filepath.Join(target("file"), "out.tti"), nil, "not a directory"},
		{"device", os.DevNull, nil, "not a regular file"},
		{"nothing", "", nil, "empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Write(context.Background(), test.path, sample.sections, sample.fill, WriteOptions{})
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("%v, want %q", err, test.text)
			}
			t.Log(err)
		})
	}
	if after := listing(t, directory); after != before {
		t.Errorf("directory holds %q, want %q", after, before)
	}
}

func TestWriteReplaces(t *testing.T) {
	sample := newSample(t)
	path := sample.write(t, WriteOptions{})
	sample.contents[1][0] ^= 1
	var last, total int64
	opts := WriteOptions{Progress: func(written, of int64) { last, total = written, of }}
	if err := Write(context.Background(), path, sample.sections, sample.fill, opts); err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Bytes(f.Sections()[1]); !bytes.Equal(got, sample.contents[1]) {
		t.Error("the new contents are not there")
	}
}

// TestWriteSpares replaces a file that a reader has mapped, that not everyone may read, and that is
// named by a link: the reader keeps the old file, the new one its permissions, the link its target.
func TestWriteSpares(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be replaced, and links are a privilege")
	}
	sample := newSample(t)
	path := sample.write(t, WriteOptions{})
	link := filepath.Join(t.TempDir(), "link.tti")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	sample.contents[1][0] ^= 1
	if err := Write(context.Background(), link, sample.sections, sample.fill, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := old.Verify(context.Background(), nil); err != nil {
		t.Errorf("the reader of the old file: %v", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link was replaced: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions are %v, want those of the old file; %v", info.Mode(), err)
	}
	replaced, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer replaced.Close()
	if replaced.IndexChecksum() == old.IndexChecksum() {
		t.Error("the new file is the old one")
	}
}

// TestTwoWriters lets many write one target at the same time. Whoever is refused must say why;
// what is there in the end must be whole.
func TestTwoWriters(t *testing.T) {
	sample := newSample(t)
	directory := t.TempDir()
	path := filepath.Join(directory, "out.tti")
	var done atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				err := Write(context.Background(), path, sample.sections, sample.fill, WriteOptions{NoSync: true})
				if err == nil {
					done.Add(1)
				} else if !strings.Contains(err.Error(), "another process is writing it") {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, sample.bytes(t)) {
		t.Errorf("the file is not whole (%v)", err)
	}
	if got := listing(t, directory); got != "out.tti" {
		t.Errorf("left behind: %q", got)
	}
	t.Logf("%d of 160 writes done, the others refused", done.Load())
	if done.Load() == 0 {
		t.Error("nobody succeeded")
	}
}

// TestKilled kills a process that writes, at many moments, and finds the old or the new file,
// whole, and nothing else after the next write.
func TestKilled(t *testing.T) {
	sample := newSample(t)
	other := newSample(t)
	other.contents[1][0] ^= 1
	path := filepath.Join(t.TempDir(), "out.tti")
	versions := [][]byte{sample.bytes(t), other.bytes(t)}
	write := func(path string, s container) error {
		return Write(context.Background(), path, s.sections, s.fill, WriteOptions{NoSync: true})
	}
	if err := write(path, sample); err != nil {
		t.Fatal(err)
	}
	killtest.Run(t, path, 30, func(path string) error {
		return errors.Join(write(path, other), write(path, sample))
	}, func(kill int) {
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
			t.Fatalf("after kill %d the target is neither old nor new (%v)", kill, err)
		}
		if err := write(path, sample); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, filepath.Dir(path)); got != "out.tti" {
			t.Fatalf("after the next write the directory holds %q", got)
		}
	})
}
