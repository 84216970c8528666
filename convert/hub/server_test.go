package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testRepository = "fables/tiny-gpt"
	testCommit     = "0123456789abcdef0123456789abcdef01234567"
	testToken      = "hf_secret"
)

// fakeHub speaks the hub's API on loopback, as huggingface.co does: small files live in git and are reached by
// a redirect on the same host, which does not describe them; weights live in a store on another host,
// and the hub describes them on the redirect to it. The store has ETags of its own, which mean nothing.
type fakeHub struct {
	t          *testing.T
	hub, store *httptest.Server
	files      map[string][]byte
	closing    chan struct{} // releases handlers that hang

	// Set before the first request; each may be nil. They return true if they have answered.
	onHub   func(w http.ResponseWriter, r *http.Request, attempt int) bool
	onStore func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool

	mutex    sync.Mutex
	requests []string       // "METHOD path", and for the store "STORE name range"
	attempts map[string]int // of each of them
}

func newFakeHub(t *testing.T, files map[string][]byte) *fakeHub {
	f := &fakeHub{t: t, files: files, closing: make(chan struct{}), attempts: map[string]int{}}
	f.hub = httptest.NewServer(http.HandlerFunc(f.serveHub))
	f.store = httptest.NewServer(http.HandlerFunc(f.serveStore))
	t.Cleanup(func() {
		close(f.closing)
		f.hub.Close()
		f.store.Close()
	})
	return f
}

// model is a small repository with everything that is to be fetched and much that is not.
func model() map[string][]byte {
	return map[string][]byte{
		"config.json":            []byte(`{"model_type":"gpt2"}`),
		"model.safetensors":      noise(1, 3<<20+17),
		"vocab.json":             []byte(`{"a":0}`),
		"merges.txt":             []byte("#version: 0.2\n"),
		"generation_config.json": {}, // an empty file is a file
		"tokenizer.json":         []byte(`{"not":"needed"}`),
		"pytorch_model.bin":      noise(2, 100),
		"README.md":              []byte("not needed"),
		"onnx/model.safetensors": noise(3, 100),
	}
}

// wanted are the files of model that Fetch is to bring.
var wanted = []string{"config.json", "model.safetensors", "vocab.json", "merges.txt", "generation_config.json"}

func noise(seed byte, size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	return content
}

func isLarge(name string) bool { return strings.HasSuffix(name, ".safetensors") }

func etagOf(name string, content []byte) string {
	if isLarge(name) {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(content)), content...)))
}

func (f *fakeHub) count(request string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests = append(f.requests, request)
	f.attempts[request]++
	return f.attempts[request]
}

// seen returns the requests so far that begin with prefix.
func (f *fakeHub) seen(prefix string) []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r string) bool { return !strings.HasPrefix(r, prefix) })
}

func (f *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	attempt := f.count(r.Method + " " + r.URL.Path)
	if got, want := r.Header.Get("Authorization"), "Bearer "+testToken; got != want {
		f.t.Errorf("%s %s: hub got authorization %q, want %q", r.Method, r.URL.Path, got, want)
	}
	if f.onHub != nil && f.onHub(w, r, attempt) {
		return
	}
	if revision, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/models/"+testRepository+"/revision/"); ok {
		f.serveListing(w, revision)
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/"+testRepository+"/resolve/"+testCommit+"/"); ok {
		content, exists := f.files[name]
		switch {
		case !exists:
			w.Header().Set("X-Error-Code", "EntryNotFound")
			http.Error(w, "Entry not found", http.StatusNotFound)
		case isLarge(name):
			describe(w, name, content)
			http.Redirect(w, r, f.store.URL+"/"+name+"?Signature=abc", http.StatusFound)
		default:
			http.Redirect(w, r, "/api/resolve-cache/"+name, http.StatusTemporaryRedirect)
		}
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/resolve-cache/"); ok {
		w.Header().Set("X-Repo-Commit", testCommit)
		w.Header().Set("ETag", strconv.Quote(etagOf(name, f.files[name])))
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(f.files[name])))
		return
	}
	http.NotFound(w, r)
}

func describe(w http.ResponseWriter, name string, content []byte) {
	w.Header().Set("X-Repo-Commit", testCommit)
	w.Header().Set("X-Linked-Etag", strconv.Quote(etagOf(name, content)))
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
}

func (f *fakeHub) serveListing(w http.ResponseWriter, revision string) {
	if revision != "main" && revision != url.PathEscape("refs/pr/1") && revision != testCommit {
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.Header().Set("X-Error-Message", "Invalid rev id: "+revision)
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var names []string
	for name := range f.files {
		names = append(names, name)
	}
	writeListing(w, testCommit, names...)
}

func writeListing(w http.ResponseWriter, commit string, names ...string) {
	type sibling struct {
		Name string `json:"rfilename"`
	}
	siblings := []sibling{}
	for _, name := range names {
		siblings = append(siblings, sibling{name})
	}
	json.NewEncoder(w).Encode(map[string]any{"id": testRepository, "sha": commit, "siblings": siblings, "private": false})
}

func (f *fakeHub) serveStore(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	f.count(strings.TrimSpace("STORE " + name + " " + r.Header.Get("Range")))
	attempt := f.count("store " + name)
	if r.Header.Get("Authorization") != "" {
		f.t.Errorf("store got the token")
	}
	content := f.files[name]
	w.Header().Set("ETag", strconv.Quote(strings.Repeat("ab", 32)))
	if f.onStore != nil && f.onStore(w, r, content, attempt) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

// hang holds an answer back until the client gives up.
func (f *fakeHub) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.closing:
	}
}

// cut serves what was asked for, but breaks the connection after so many bytes.
func cut(w http.ResponseWriter, r *http.Request, content []byte, after int) {
	http.ServeContent(&cutWriter{ResponseWriter: w, left: after}, r, "", time.Time{}, strings.NewReader(string(content)))
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// testClient is a client of the hub with an empty cache, which does not really wait between attempts.
func (f *fakeHub) client() *Client {
	timing := quickTiming(nil)
	return &Client{Endpoint: f.hub.URL, Cache: f.t.TempDir(), Token: testToken, timing: &timing}
}

// quickTiming records waits, if asked to, in place of waiting.
func quickTiming(waits *[]time.Duration) timing {
	var mutex sync.Mutex
	t := defaultTiming
	t.lockPoll = time.Millisecond
	t.sleep = func(ctx context.Context, d time.Duration) error {
		mutex.Lock()
		defer mutex.Unlock()
		if waits != nil {
			*waits = append(*waits, d)
		}
		return context.Cause(ctx)
	}
	return t
}
