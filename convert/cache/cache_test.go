package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/convert/hub"
	"github.com/tti-llm/tti/format/lockfile"
)

var (
	older, newer = strings.Repeat("a1", 20), strings.Repeat("b2", 20)
	model        = hub.Reference{Repository: "org/name"}
)

// stub is a hub and a converter whose work can be counted.
type stub struct {
	head            string // commit of every revision
	fail            error  // of the conversion, in its middle
	content         []byte
	asked, fetched  int
	converted, wait atomic.Int32
}

// newStub returns one whose conversions write a small .tti file.
func newStub(t *testing.T) *stub {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tti")
	if err := convert.Convert(t.Context(), "../../testdata/fable-draft", path, convert.Options{Mode: convert.Int8, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &stub{head: older, content: content}
}

func (s *stub) maker() Maker {
	return Maker{
		Commit: func(_ context.Context, r hub.Reference) (string, error) {
			s.asked++
			return s.stands(r), nil
		},
		Fetch: func(_ context.Context, r hub.Reference) (convert.Source, error) {
			s.fetched++
			return convert.Source{Commit: s.stands(r)}, nil
		},
		Convert: func(_ context.Context, _ convert.Source, target string) error {
			s.converted.Add(1)
			if s.fail != nil {
				os.WriteFile(target+".partial", s.content[:10], 0o666)
				return s.fail
			}
			return os.WriteFile(target, s.content, 0o666)
		},
		Waiting: func() { s.wait.Add(1) },
	}
}

func (s *stub) stands(r hub.Reference) string {
	if hub.IsCommit(r.Revision) {
		return r.Revision
	}
	return s.head
}

// get is Get, which must succeed.
func (s *stub) get(t *testing.T, c Cache, r hub.Reference, mode string, update bool) Model {
	t.Helper()
	found, err := c.Get(t.Context(), r, mode, update, s.maker())
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(found.Path); err != nil || !slices.Equal(content, s.content) {
		t.Errorf("%s: %v, or not what was converted", found.Path, err)
	}
	return found
}

// counts compares how often a stub has worked.
func (s *stub) counts(t *testing.T, asked, fetched, converted int) {
	t.Helper()
	if s.asked != asked || s.fetched != fetched || int(s.converted.Load()) != converted {
		t.Errorf("asked %d times, fetched %d, converted %d; want %d, %d, %d", s.asked, s.fetched, s.converted.Load(), asked, fetched, converted)
	}
}

// listed returns the models of a cache in short.
func listed(t *testing.T, c Cache) (list []string) {
	t.Helper()
	models, err := c.Models()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		list = append(list, m.ID+" "+strings.Join(m.Revisions, ",")+" "+m.Commit[:2]+" "+m.Mode)
	}
	return list
}

func expect(t *testing.T, c Cache, want ...string) {
	t.Helper()
	if got := listed(t, c); !slices.Equal(got, want) {
		t.Errorf("the cache has %q, want %q", got, want)
	}
}

// TestGet follows a model whose branch moves on.
func TestGet(t *testing.T) {
	s, c := newStub(t), Cache{filepath.Join(t.TempDir(), "not", "yet")}
	expect(t, c)
	first := s.get(t, c, model, "int8", false)
	s.counts(t, 1, 1, 1)
	if first.ID != "org/name" || first.Commit != older || first.Mode != "int8" || first.Bytes != int64(len(s.content)) || time.Since(first.Used) > time.Minute {
		t.Errorf("got %+v", first)
	}
	s.head = newer
	mark := strings.TrimSuffix(first.Path, ".tti") + ".used"
	if err := os.Chtimes(mark, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if again := s.get(t, c, model, "int8", false); again.Path != first.Path || time.Since(again.Used) > time.Minute {
		t.Errorf("again got %+v", again)
	}
	s.get(t, c, hub.Reference{Repository: "org/name", Revision: "main"}, "int8", false)
	s.get(t, c, hub.Reference{Repository: "org/name", Revision: older}, "int8", false)
	s.get(t, c, hub.Reference{Repository: "org/name", Revision: older[:8]}, "int8", false)
	s.counts(t, 1, 1, 1)

	s.get(t, c, model, "int4", false) // of the same commit, though the branch has moved
	s.counts(t, 1, 2, 2)
	expect(t, c, "org/name main a1 int4", "org/name main a1 int8")

	s.get(t, c, model, "int8", true)
	s.counts(t, 2, 3, 3)
	expect(t, c, "org/name  a1 int4", "org/name  a1 int8", "org/name main b2 int8")
	s.get(t, c, model, "int8", true) // nothing new
	s.get(t, c, hub.Reference{Repository: "org/name", Revision: "refs/pr/1"}, "int8", false)
	s.counts(t, 4, 3, 3)
	expect(t, c, "org/name  a1 int4", "org/name  a1 int8", "org/name main,refs/pr/1 b2 int8")
	if r, mode, ok := c.Holder(first.Path); r != (hub.Reference{Repository: "org/name", Revision: older}) || mode != "int8" || !ok {
		t.Errorf("%s is of %v in %q: %v", first.Path, r, mode, ok)
	}
	for _, path := range []string{"x.tti", mark, filepath.Join(c.Directory, "x.tti"), c.Directory} {
		if _, _, ok := c.Holder(path); ok {
			t.Errorf("%s is taken for a model", path)
		}
	}
}

// TestDamaged has a file that was cut off: it is made again.
func TestDamaged(t *testing.T) {
	s, c := newStub(t), Cache{t.TempDir()}
	found := s.get(t, c, model, "int8", false)
	if err := os.Truncate(found.Path, found.Bytes/2); err != nil {
		t.Fatal(err)
	}
	s.get(t, c, model, "int8", false)
	s.counts(t, 1, 2, 2)
}

// TestFailure has a conversion that fails, as on a full disk: nothing of it is left, and what was there is.
func TestFailure(t *testing.T) {
	s, c := newStub(t), Cache{t.TempDir()}
	s.fail = errors.New("the disk is full")
	for range 2 {
		if _, err := c.Get(t.Context(), model, "int8", false, s.maker()); !errors.Is(err, s.fail) {
			t.Fatal(err)
		}
		expect(t, c)
		if entries, err := os.ReadDir(c.Directory); len(entries) != 0 || err != nil {
			t.Errorf("left are %v, %v", entries, err)
		}
		s.counts(t, s.asked, s.fetched, s.asked)
	}
	s.fail = nil
	s.get(t, c, model, "int8", false)
	s.fail = errors.New("again")
	if _, err := c.Get(t.Context(), model, "int4", false, s.maker()); !errors.Is(err, s.fail) {
		t.Fatal(err)
	}
	expect(t, c, "org/name main a1 int8")
}

// TestAtOnce asks for one model from many sides at once: it is made once.
func TestAtOnce(t *testing.T) {
	s, c := newStub(t), Cache{t.TempDir()}
	var all sync.WaitGroup
	begun := make(chan struct{})
	slow := s.maker()
	write := slow.Convert
	slow.Convert = func(ctx context.Context, source convert.Source, target string) error {
		<-begun
		return write(ctx, source, target)
	}
	for range 4 {
		all.Go(func() {
			if _, err := c.Get(t.Context(), model, "int8", false, slow); err != nil {
				t.Error(err)
			}
		})
	}
	for s.wait.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Remove(model, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("removed while it is made: %v", err)
	}
	expect(t, c)
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(stop, model, "int8", false, slow); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted while it waits: %v", err)
	}
	close(begun)
	all.Wait()
	s.counts(t, 1, 1, 1)
}

func TestRemove(t *testing.T) {
	s, c := newStub(t), Cache{t.TempDir()}
	if _, err := c.Remove(model, ""); !errors.Is(err, ErrAbsent) {
		t.Errorf("from an empty cache: %v", err)
	}
	fill := func() {
		s.head = older
		s.get(t, c, model, "int8", true)
		s.get(t, c, model, "int4", true)
		s.head = newer
		s.get(t, c, model, "int8", true)
		s.get(t, c, hub.Reference{Repository: "gpt2"}, "int8", true)
	}
	at := func(revision string) hub.Reference { return hub.Reference{Repository: "org/name", Revision: revision} }
	all := []string{"gpt2 main b2 int8", "org/name  a1 int4", "org/name  a1 int8", "org/name main b2 int8"}
	for _, k := range []struct {
		r       hub.Reference
		mode    string
		removed int
		left    []string
	}{
		{model, "", 3, all[:1]},
		{model, "int8", 2, all[:2]},
		{model, "f32", 0, all},
		{at("main"), "", 1, all[:3]},
		{at("main"), "int4", 0, all},
		{at("v1"), "", 0, all},
		{at(older[:7]), "", 2, []string{all[0], all[3]}},
		{at(older), "int8", 1, []string{all[0], all[1], all[3]}},
		{hub.Reference{Repository: "org/other"}, "", 0, all},
		{hub.Reference{Repository: "gpt2"}, "", 1, all[1:]},
	} {
		fill()
		removed, err := c.Remove(k.r, k.mode)
		if len(removed) != k.removed || (err == nil) != (k.removed > 0) || err != nil && !errors.Is(err, ErrAbsent) {
			t.Errorf("%s %s: removed %v, %v", k.r, k.mode, removed, err)
		}
		expect(t, c, k.left...)
	}
	// A revision without a file is forgotten: it stands for what the hub says next.
	fill()
	if _, err := c.Remove(at("main"), ""); err != nil {
		t.Fatal(err)
	}
	if commit, err := c.Commit(model); !errors.Is(err, ErrAbsent) {
		t.Errorf("main stands for %s, %v", commit, err)
	}
	if _, err := c.Remove(model, ""); err != nil {
		t.Fatal(err)
	}
	// What a killed process has left goes, too.
	broken := filepath.Join(c.Directory, "org--name", older, "int8.tti.partial")
	if err := errors.Join(os.MkdirAll(filepath.Dir(broken), 0o777), os.WriteFile(broken, s.content, 0o666)); err != nil {
		t.Fatal(err)
	}
	if removed, err := c.Remove(model, ""); len(removed) > 0 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(broken))); err == nil {
		t.Error("what was broken off is still there")
	}
}

// TestStrangers has things in the directory that are none of its models.
func TestStrangers(t *testing.T) {
	s, c := newStub(t), Cache{t.TempDir()}
	s.get(t, c, model, "int8", false)
	for _, name := range []string{"notes.txt", "a--b--c/" + older + "/int8.tti", "org--name/" + older + "/x.txt", "org--name/short/int8.tti", "org--name/refs/odd%zz", "org--name/refs/empty"} {
		path := filepath.Join(c.Directory, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, c, "org/name main a1 int8")
	held, err := lockfile.Try(c.repository("org/name").lockPath())
	if err != nil {
		t.Fatal(err)
	}
	s.get(t, c, model, "int8", false) // what is there needs no lock
	held.Remove()
}
