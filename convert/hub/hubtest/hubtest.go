// Package hubtest is a HuggingFace hub for tests: a real HTTP server on loopback that speaks the hub's API and
// misbehaves as it is told to. No product code uses it. Start reading at Server.
package hubtest

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What every server has: one repository with one commit, and one token that it wants to see.
const (
	Repository = "fables/tiny-gpt"
	Commit     = "0123456789abcdef0123456789abcdef01234567"
	Token      = "hf_secret"
)

// Server speaks the hub's API on loopback, as huggingface.co does: small files live in git and are reached by
// a redirect on the same host, which does not describe them; weights live in a store on another host,
// and the hub describes them on the redirect to it. The store has ETags of its own, which mean nothing.
type Server struct {
	t          *testing.T
	hub, store *httptest.Server
	Files      map[string][]byte
	closing    chan struct{} // releases handlers that hang

	// Set before the first request; each may be nil. They return true if they have answered.
	OnHub   func(w http.ResponseWriter, r *http.Request, attempt int) bool
	OnStore func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool

	mutex    sync.Mutex
	head     string         // commit of the branch; empty: Commit
	requests []string       // "METHOD path", and for the store "STORE name range"
	attempts map[string]int // of each of them
	served   atomic.Int64
}

// New starts a server of the files; the test stops it.
func New(t *testing.T, files map[string][]byte) *Server {
	f := &Server{t: t, Files: files, closing: make(chan struct{}), attempts: map[string]int{}}
	f.store = httptest.NewServer(f.counted(f.serveStore)) // first, as the hub redirects to it
	f.hub = httptest.NewServer(f.counted(f.serveHub))
	t.Cleanup(func() {
		close(f.closing)
		f.hub.Close()
		f.store.Close()
	})
	return f
}

// URL is the hub's address.
func (f *Server) URL() string { return f.hub.URL }

// StoreURL is the address of the store of large files.
func (f *Server) StoreURL() string { return f.store.URL }

// Served returns how many bytes of files and listings have been sent so far.
func (f *Server) Served() int64 { return f.served.Load() }

func (f *Server) counted(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(&countingWriter{w, &f.served}, r) })
}

type countingWriter struct {
	http.ResponseWriter
	count *atomic.Int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.count.Add(int64(n))
	return n, err
}

func (c *countingWriter) Flush() { c.ResponseWriter.(http.Flusher).Flush() }

// IsLarge tells whether a file is in the store.
func IsLarge(name string) bool { return strings.HasSuffix(name, ".safetensors") }

// ETag returns the digest by which the hub knows a file.
func ETag(name string, content []byte) string {
	if IsLarge(name) {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(content)), content...)))
}

func (f *Server) count(request string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests = append(f.requests, request)
	f.attempts[request]++
	return f.attempts[request]
}

// Seen returns the requests so far that begin with prefix.
func (f *Server) Seen(prefix string) []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r string) bool { return !strings.HasPrefix(r, prefix) })
}

// Move lets the branch stand at another commit, which has the same files. The one before is gone.
func (f *Server) Move(commit string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.head = commit
}

func (f *Server) commit() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return cmp.Or(f.head, Commit)
}

func (f *Server) serveHub(w http.ResponseWriter, r *http.Request) {
	attempt := f.count(r.Method + " " + r.URL.Path)
	if got, want := r.Header.Get("Authorization"), "Bearer "+Token; got != want {
		f.t.Errorf("%s %s: hub got authorization %q, want %q", r.Method, r.URL.Path, got, want)
	}
	if f.OnHub != nil && f.OnHub(w, r, attempt) {
		return
	}
	if revision, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/models/"+Repository+"/revision/"); ok {
		f.ServeListing(w, revision)
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/"+Repository+"/resolve/"+f.commit()+"/"); ok {
		content, exists := f.Files[name]
		switch {
		case !exists:
			w.Header().Set("X-Error-Code", "EntryNotFound")
			http.Error(w, "Entry not found", http.StatusNotFound)
		case IsLarge(name):
			Describe(w, name, content)
			w.Header().Set("X-Repo-Commit", f.commit())
			http.Redirect(w, r, f.store.URL+"/"+name+"?Signature=abc", http.StatusFound)
		default:
			http.Redirect(w, r, "/api/resolve-cache/"+name, http.StatusTemporaryRedirect)
		}
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/resolve-cache/"); ok {
		w.Header().Set("X-Repo-Commit", f.commit())
		w.Header().Set("ETag", strconv.Quote(ETag(name, f.Files[name])))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Files[name]))
		return
	}
	http.NotFound(w, r)
}

// Describe tells size and digest of a large file, as the hub does on the redirect to the store.
func Describe(w http.ResponseWriter, name string, content []byte) {
	w.Header().Set("X-Repo-Commit", Commit)
	w.Header().Set("X-Linked-Etag", strconv.Quote(ETag(name, content)))
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
}

// ServeListing answers with the list of the files at a revision.
func (f *Server) ServeListing(w http.ResponseWriter, revision string) {
	if revision != "main" && revision != url.PathEscape("refs/pr/1") && revision != f.commit() {
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.Header().Set("X-Error-Message", "Invalid rev id: "+revision)
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var names []string
	for name := range f.Files {
		names = append(names, name)
	}
	WriteListing(w, f.commit(), names...)
}

// WriteListing answers with the list of a repository.
func WriteListing(w http.ResponseWriter, commit string, names ...string) {
	type sibling struct {
		Name string `json:"rfilename"`
	}
	siblings := []sibling{}
	for _, name := range names {
		siblings = append(siblings, sibling{name})
	}
	json.NewEncoder(w).Encode(map[string]any{"id": Repository, "sha": commit, "siblings": siblings, "private": false})
}

func (f *Server) serveStore(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	f.count(strings.TrimSpace("STORE " + name + " " + r.Header.Get("Range")))
	attempt := f.count("store " + name)
	if r.Header.Get("Authorization") != "" {
		f.t.Errorf("store got the token")
	}
	content := f.Files[name]
	w.Header().Set("ETag", strconv.Quote(strings.Repeat("ab", 32)))
	if f.OnStore != nil && f.OnStore(w, r, content, attempt) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// Hang holds an answer back until the client gives up.
func (f *Server) Hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.closing:
	}
}

// Cut serves what was asked for, but breaks the connection after so many bytes.
func Cut(w http.ResponseWriter, r *http.Request, content []byte, after int) {
	http.ServeContent(&cutWriter{ResponseWriter: w, left: after}, r, "", time.Time{}, bytes.NewReader(content))
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
