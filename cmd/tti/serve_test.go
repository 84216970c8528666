package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/serve"
)

// served is a stream that a test reads while a command writes it.
type served struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (o *served) Write(b []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.Write(b)
}

func (o *served) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.String()
}

// TestServeAndReplay serves a model under a name until it is interrupted, and computes the logged answer again.
func TestServeAndReplay(t *testing.T) {
	log := filepath.Join(t.TempDir(), "answers.jsonl")
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	var notes served
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"serve", "fox=" + draftInt8, "--listen", "127.0.0.1:0", "--log", log, "--threads", "2", "--memory", "1GB"}, nil, io.Discard, &notes)
	}()
	address := regexp.MustCompile(`listening on (\S+)\n`)
	var found []string
	for deadline := time.Now().Add(time.Minute); found == nil; time.Sleep(time.Millisecond) {
		if found = address.FindStringSubmatch(notes.String()); time.Now().After(deadline) {
			t.Fatalf("does not listen: %s", &notes)
		}
	}
	r, err := http.Post(found[1]+"/completions", "application/json", strings.NewReader(`{"model":"fox","prompt":"The","max_tokens":5}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 {
		t.Errorf("status %d", r.StatusCode)
	}
	interrupt()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d: %s", code, &notes)
	}
	if got := succeeds(t, "", "replay", log, "--model", draftInt8, "--threads", "1"); got != "1 the same, 0 different, 0 without an answer\n" {
		t.Error(got)
	}
	other := tti(t, "", "replay", log, "--model", draftF32)
	if other.code != 1 || !strings.Contains(other.stdout, "another file") || !strings.Contains(other.stdout, "\n0 the same, 1 different") {
		t.Errorf("another file: %+v", other)
	}
	if err := os.WriteFile(log, []byte("no record\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, 1, "line 1", "replay", log, "--model", draftInt8)
}

func TestServeRefusals(t *testing.T) {
	for _, k := range []struct {
		code    int
		pattern string
		args    []string
	}{
		{2, "no models given", []string{"serve"}},
		{2, "reached from other machines: want --keys", []string{"serve", draftInt8, "--listen", "0.0.0.0:0"}},
		{2, "--pprof", []string{"serve", draftInt8, "--pprof", ":0"}},
		{2, "belong together", []string{"serve", draftInt8, "--tls-cert", "x"}},
		{2, "want a size", []string{"serve", draftInt8, "--memory", "much"}},
		{1, "none.tti", []string{"serve", "none.tti", "--listen", "127.0.0.1:0"}},
		{1, "nowhere", []string{"serve", draftInt8, "--keys", "nowhere"}},
		{2, "no models given", []string{"replay", "x"}},
		{1, "nowhere", []string{"replay", "nowhere", "--model", draftInt8}},
	} {
		refuses(t, k.code, k.pattern, k.args...)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "5": 5, "16GB": 16e9, "1.5MB": 1.5e6, "3kB": 3000, "7B": 7} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v", text, int64(b), err)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "1PB", "NaN", "1e30GB"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestServeSources finds what arguments name: files, folders, and directories of models, which are converted once they are named.
func TestServeSources(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // where other systems have caches
	cmd := newServe()
	cmd.SetErr(io.Discard)
	var flags serveFlags
	flags.modes.register(&cobra.Command{}) // for the defaults
	folder := filepath.Dir(draftInt8)
	sources, err := flags.sources(context.Background(), cmd, []string{draftInt8, "a=" + draftInt8, folder, draftSource, "b=" + draftSource})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []serve.Source{{Path: draftInt8}, {Name: "a", Path: draftInt8}, {Path: folder}, {Name: "fable-draft"}, {Name: "b"}} {
		got := sources[i]
		if got.Name != want.Name || want.Path != "" && got.Path != want.Path {
			t.Errorf("source %+v, want %+v", got, want)
		}
		if want.Path == "" && !bytes.Equal(readFile(t, got.Path), readFile(t, draftInt8)) {
			t.Errorf("%s is another file than tti convert writes", got.Path)
		}
	}
	if _, err := flags.sources(context.Background(), cmd, []string{"a=" + folder}); exitCode(err) != exitUsage {
		t.Errorf("a name for a folder: %v", err)
	}
}

func TestServeDrafts(t *testing.T) {
	flags := serveFlags{drafts: []string{"ngram", "a=b.tti", "a=ngram"}}
	if got, err := flags.draftsByModel(t.Context(), newServe()); err != nil || !reflect.DeepEqual(got, map[string][]string{"": {"ngram"}, "a": {"b.tti", "ngram"}}) {
		t.Errorf("%v", got)
	}
}
