package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/tti-llm/tti/convert/hub/hubtest"
	"github.com/tti-llm/tti/convert/modelfiles"
)

var testReference = Reference{Repository: hubtest.Repository}

// repositoryFolder is where the cache keeps the test repository, spelled out as HuggingFace documents it.
func repositoryFolder(c *Client) string {
	return filepath.Join(c.Cache, "models--fables--tiny-gpt")
}

func mustFetch(t *testing.T, c *Client, progress Progress) Snapshot {
	t.Helper()
	snapshot, err := c.Fetch(t.Context(), testReference, progress)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// checkSnapshot compares every wanted file with the hub's, and looks for debris.
func checkSnapshot(t *testing.T, c *Client, snapshot Snapshot, files map[string][]byte) {
	t.Helper()
	if want := filepath.Join(repositoryFolder(c), "snapshots", hubtest.Commit); snapshot.Directory != want {
		t.Errorf("snapshot is in %s, want %s", snapshot.Directory, want)
	}
	for _, name := range snapshot.Files {
		got, err := os.ReadFile(filepath.Join(snapshot.Directory, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, files[name]) {
			t.Errorf("%s: %d bytes that differ from the hub's %d", name, len(got), len(files[name]))
		}
	}
	filepath.WalkDir(c.Cache, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".incomplete") || strings.HasSuffix(path, ".tmp") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
}

func TestFetch(t *testing.T) {
	files := model()
	hub := hubtest.New(t, files)
	c := newClient(t, hub)
	snapshot := mustFetch(t, c, nil)
	checkSnapshot(t, c, snapshot, files)
	if snapshot.Commit != hubtest.Commit || snapshot.Unconfirmed != nil || !slices.Equal(snapshot.Files, wanted) {
		t.Errorf("got %+v", snapshot)
	}

	var got []string
	filepath.WalkDir(c.Cache, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(c.Cache, path)
			got = append(got, filepath.ToSlash(relative))
		}
		return err
	})
	var want []string
	for _, name := range wanted {
		etag := hubtest.ETag(name, files[name])
		want = append(want, "models--fables--tiny-gpt/snapshots/"+hubtest.Commit+"/"+name,
			"models--fables--tiny-gpt/blobs/"+etag, ".locks/models--fables--tiny-gpt/"+etag+".lock")
		if runtime.GOOS != "windows" {
			if target, err := os.Readlink(filepath.Join(snapshot.Directory, name)); target != "../../blobs/"+etag {
				t.Errorf("%s links to %q (%v), want ../../blobs/%s", name, target, err, etag)
			}
		}
	}
	want = append(want, "models--fables--tiny-gpt/refs/main")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the cache holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if ref, _ := os.ReadFile(filepath.Join(repositoryFolder(c), "refs", "main")); string(ref) != hubtest.Commit {
		t.Errorf("refs/main holds %q", ref)
	}
	for _, request := range hub.Seen("") {
		if strings.Contains(request, "README") || strings.Contains(request, ".bin") || strings.Contains(request, "onnx") || strings.Contains(request, "tokenizer.model") {
			t.Errorf("needless request: %s", request)
		}
	}

	before := len(hub.Seen(""))
	again := mustFetch(t, c, func(file string, _, _ int64) { t.Errorf("progress for %s, which is in the cache", file) })
	if now := hub.Seen("")[before:]; len(now) != 1 || again.Directory != snapshot.Directory {
		t.Errorf("a second fetch asked for %q and got %s; want the listing alone", now, again.Directory)
	}
}

// TestCommit asks for what a revision stands for, which downloads nothing.
func TestCommit(t *testing.T) {
	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	if commit, err := c.Commit(t.Context(), testReference); commit != hubtest.Commit || err != nil {
		t.Errorf("got %q, %v", commit, err)
	}
	if _, err := c.Commit(t.Context(), Reference{hubtest.Repository, "nowhere"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a revision that does not exist: %v", err)
	}
	if _, err := c.Commit(t.Context(), Reference{Repository: "../x"}); err == nil {
		t.Error("a hostile reference was asked about")
	}
	if seen := hub.Seen(""); len(seen) != 2 || len(hub.Seen("GET /api/models/")) != 2 {
		t.Errorf("requests %q", seen)
	}
	pinned := strings.Repeat("ab", 20)
	if commit, err := c.Commit(t.Context(), Reference{hubtest.Repository, pinned}); commit != pinned || err != nil || len(hub.Seen("")) != 2 {
		t.Errorf("a commit stands for %q, %v", commit, err)
	}
	c.Offline = true
	if _, err := c.Commit(t.Context(), testReference); !errors.Is(err, ErrOffline) {
		t.Errorf("offline without a cache: %v", err)
	}
	c.Offline = false
	mustFetch(t, c, nil)
	c.Offline = true
	before := len(hub.Seen(""))
	if commit, err := c.Commit(t.Context(), testReference); commit != hubtest.Commit || err != nil || len(hub.Seen("")) != before {
		t.Errorf("offline got %q, %v", commit, err)
	}
	if folder, err := c.Folder(testReference); folder != repositoryFolder(c) || err != nil {
		t.Errorf("folder %q, %v", folder, err)
	}
}

func TestFetchRevision(t *testing.T) {
	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	for _, revision := range []string{"refs/pr/1", hubtest.Commit} {
		snapshot, err := c.Fetch(t.Context(), Reference{hubtest.Repository, revision}, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkSnapshot(t, c, snapshot, hub.Files)
	}
	ref, err := os.ReadFile(filepath.Join(repositoryFolder(c), "refs", "refs", "pr", "1"))
	if string(ref) != hubtest.Commit {
		t.Errorf("refs/refs/pr/1 holds %q (%v)", ref, err)
	}
	if _, err := os.Stat(filepath.Join(repositoryFolder(c), "refs", hubtest.Commit)); err == nil {
		t.Error("a commit was recorded as a ref to itself")
	}
	if _, err := c.Fetch(t.Context(), Reference{hubtest.Repository, "nope"}, nil); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "Invalid rev id: nope") {
		t.Errorf("unknown revision: %v", err)
	}
	hub.OnHub = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		hubtest.WriteListing(w, hubtest.Commit, wanted...)
		return true
	}
	if _, err := c.Fetch(t.Context(), Reference{hubtest.Repository, strings.Repeat("a", 40)}, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("another commit than the one asked for: %v", err)
	}
}

func TestProgress(t *testing.T) {
	hub := hubtest.New(t, model())
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
		if attempt == 1 {
			hubtest.Cut(w, r, content, 1<<20)
		}
		return false
	}
	var calling sync.Mutex
	done, announced, flowing := map[string]int64{}, map[string]bool{}, false
	mustFetch(t, newClient(t, hub), func(file string, now, total int64) {
		if !calling.TryLock() {
			t.Error("calls overlap")
			return
		}
		defer calling.Unlock()
		time.Sleep(time.Millisecond) // for others to come in
		if total != int64(len(hub.Files[file])) || now < done[file] || now > total {
			t.Errorf("%s: %d of %d after %d", file, now, total, done[file])
		}
		if !announced[file] && flowing {
			t.Errorf("%s: announced after the first byte of another file", file)
		}
		announced[file], flowing, done[file] = true, flowing || now > 0, now
	})
	for _, name := range wanted {
		if done[name] != int64(len(hub.Files[name])) {
			t.Errorf("%s: ended at %d of %d", name, done[name], len(hub.Files[name]))
		}
	}
}

// TestRecovery has the store or the hub misbehave for a while: the fetch must succeed all the same.
func TestRecovery(t *testing.T) {
	half := len(model()["model.safetensors"]) / 2
	status := func(code int, header, value string) func(http.ResponseWriter, *http.Request, []byte, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte, attempt int) bool {
			if attempt <= 2 {
				if header != "" {
					w.Header().Set(header, value)
				}
				w.WriteHeader(code)
			}
			return attempt <= 2
		}
	}
	cases := map[string]struct {
		misbehave func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool
		waits     []time.Duration // nil: not checked
	}{
		"drops the connection at every MiB": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt <= 3 {
				hubtest.Cut(w, r, content, 1<<20)
			}
			return false
		}, []time.Duration{time.Second, time.Second, time.Second}}, // it advances, so waits do not grow
		"drops the connection, then ignores ranges": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt == 1 {
				hubtest.Cut(w, r, content, half)
			}
			w.Write(content)
			return true
		}, nil},
		"drops the connection, then sends another range": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt == 1 {
				hubtest.Cut(w, r, content, half)
			}
			if r.Header.Get("Range") == "" {
				return false
			}
			r.Header.Set("Range", "bytes=5-")
			return false
		}, nil},
		"drops the connection, then calls every range unsatisfiable": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt == 1 {
				hubtest.Cut(w, r, content, half)
			}
			if r.Header.Get("Range") == "" {
				return false
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}, nil},
		"drops the connection, then sends wrong bytes for the rest": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			switch attempt {
			case 1:
				hubtest.Cut(w, r, content, half)
			case 2:
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, len(content))))
				return true
			}
			return false
		}, nil},
		"ends a chunked answer early": {func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt == 1 {
				w.Write(content[:half])
				w.(http.Flusher).Flush()
				return true
			}
			return false
		}, nil},
		"closes without an answer": {func(http.ResponseWriter, *http.Request, []byte, int) bool { return false }, nil},
		"429 with Retry-After":     {status(429, "Retry-After", "7"), []time.Duration{7 * time.Second, 7 * time.Second}},
		"429 with RateLimit":       {status(429, "RateLimit", `"resolvers";r=0;t=55`), []time.Duration{55 * time.Second, 55 * time.Second}},
		"500":                      {status(500, "", ""), []time.Duration{time.Second, 2 * time.Second}},
		"503":                      {status(503, "Retry-After", "0"), []time.Duration{time.Second, 2 * time.Second}},
	}
	closes := cases["closes without an answer"]
	closes.misbehave = func(_ http.ResponseWriter, _ *http.Request, _ []byte, attempt int) bool {
		if attempt <= 2 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	cases["closes without an answer"] = closes

	for name, test := range cases {
		t.Run("store "+name, func(t *testing.T) {
			hub := hubtest.New(t, model())
			hub.OnStore = test.misbehave
			c := newClient(t, hub)
			var waits []time.Duration
			*c.timing = quickTiming(&waits)
			checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
			if test.waits != nil && !slices.Equal(waits, test.waits) {
				t.Errorf("waited %v between attempts, want %v", waits, test.waits)
			}
		})
	}
	for _, name := range []string{"429 with Retry-After", "500", "closes without an answer"} {
		t.Run("hub "+name, func(t *testing.T) {
			hub := hubtest.New(t, model())
			hub.OnHub = func(w http.ResponseWriter, r *http.Request, attempt int) bool {
				return cases[name].misbehave(w, r, nil, attempt) // for each request: listing, HEAD and GET
			}
			c := newClient(t, hub)
			checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
		})
	}
}

// TestStalls has servers fall silent: before the answer, and in the middle of it.
func TestStalls(t *testing.T) {
	const silences = 2
	for _, after := range []int{0, 1 << 20} {
		t.Run(fmt.Sprintf("store after %d bytes", after), func(t *testing.T) {
			hub := hubtest.New(t, model())
			hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
				if attempt > silences {
					return false
				}
				if after > 0 && r.Header.Get("Range") == "" {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(content[:after])
					w.(http.Flusher).Flush()
				}
				hub.Hang(r)
				return true
			}
			c := newClient(t, hub)
			c.timing.stall, c.timing.attempts = 150*time.Millisecond, 100
			checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
			if after > 0 && len(hub.Seen("STORE model.safetensors bytes=")) == 0 {
				t.Error("did not resume after a stall")
			}
		})
	}
	// A byte now and then is no better than none.
	drip := func(w http.ResponseWriter, r *http.Request) bool {
		for range 200 {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return true
			case <-time.After(10 * time.Millisecond):
			}
		}
		return true
	}
	for name, arrange := range map[string]func(*hubtest.Server){
		"store drips": func(hub *hubtest.Server) {
			hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, _ int) bool {
				w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				return drip(w, r)
			}
		},
		"hub drips": func(hub *hubtest.Server) {
			hub.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool { return drip(w, r) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub := hubtest.New(t, model())
			arrange(hub)
			c := newClient(t, hub)
			c.timing.stall, c.timing.attempts = 200*time.Millisecond, 2
			if _, err := c.Fetch(t.Context(), testReference, nil); !errors.Is(err, errStalled) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("hub for ever", func(t *testing.T) {
		hub := hubtest.New(t, model())
		hub.OnHub = func(_ http.ResponseWriter, r *http.Request, _ int) bool { hub.Hang(r); return true }
		c := newClient(t, hub)
		c.timing.stall, c.timing.attempts = 20*time.Millisecond, 3
		if _, err := c.Fetch(t.Context(), testReference, nil); !errors.Is(err, errStalled) || len(hub.Seen("")) > 3 {
			t.Errorf("after %d requests: %v", len(hub.Seen("")), err)
		}
	})
}

// TestRefusals has servers lie or refuse: the fetch must fail for the right reason, and the file must not be in the cache.
func TestRefusals(t *testing.T) {
	type hubHandler = func(w http.ResponseWriter, r *http.Request, attempt int) bool
	type storeHandler = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool
	listing := func(commit string, names ...string) hubHandler {
		return func(w http.ResponseWriter, r *http.Request, _ int) bool {
			hubtest.WriteListing(w, commit, names...)
			return true
		}
	}
	answer := func(code int) hubHandler {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool { w.WriteHeader(code); return true }
	}
	// onWeights changes the hub's description of the weights.
	onWeights := func(header, value string) hubHandler {
		return func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Method != http.MethodHead || !hubtest.IsLarge(r.URL.Path) {
				return false
			}
			hubtest.Describe(w, "model.safetensors", model()["model.safetensors"])
			w.Header().Set(header, value)
			w.Header().Set("Location", "http://store.invalid/")
			w.WriteHeader(http.StatusFound)
			return true
		}
	}
	size := len(model()["model.safetensors"])
	cases := map[string]struct {
		hub   hubHandler
		store storeHandler
		want  error  // nil: any
		says  string // part of the message
	}{
		"401":                 {hub: answer(401), want: ErrUnauthorized},
		"403":                 {hub: answer(403), want: ErrUnauthorized, says: "terms"},
		"404":                 {hub: answer(404), want: ErrNotFound},
		"400":                 {hub: answer(400), says: "400 Bad Request"},
		"always 500":          {hub: answer(500), says: "500 Internal Server Error"},
		"listing without end": {hub: func(w http.ResponseWriter, r *http.Request, _ int) bool { fmt.Fprint(w, "<html>log in"); return true }, says: "no listing"},
		"commit is a path":    {hub: listing("../../../../tmp/x", wanted...), says: "want a git hash"},
		"commit is short":     {hub: listing("0123456", wanted...), says: "want a git hash"},
		"listing climbs":      {hub: listing(hubtest.Commit, append([]string{"../config.json"}, wanted...)...), want: ErrUnsafeName},
		"listing is absolute": {hub: listing(hubtest.Commit, append([]string{"/etc/passwd"}, wanted...)...), want: ErrUnsafeName},
		"listing backslashes": {hub: listing(hubtest.Commit, append([]string{`..\config.json`}, wanted...)...), want: ErrUnsafeName},
		"asks to wait too long": {hub: func(w http.ResponseWriter, r *http.Request, attempt int) bool {
			if attempt > 1 {
				t.Error("asked again")
			}
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(429)
			return true
		}, says: "24h"},
		"redirects for ever": {hub: func(w http.ResponseWriter, r *http.Request, attempt int) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, want: errRedirect},
		"etag is a path":     {hub: onWeights("X-Linked-Etag", `"../../../x"`), want: ErrMismatch, says: "etag"},
		"etag of a partial":  {hub: onWeights("X-Linked-Etag", `"x.incomplete"`), want: ErrMismatch, says: "etag"},
		"etag is empty":      {hub: onWeights("X-Linked-Etag", `""`), want: ErrMismatch, says: "etag"},
		"size is negative":   {hub: onWeights("X-Linked-Size", "-1"), want: ErrMismatch, says: "size"},
		"size is missing":    {hub: onWeights("X-Linked-Size", ""), want: ErrMismatch, says: "size"},
		"size is too small":  {hub: onWeights("X-Linked-Size", "1000"), want: ErrMismatch},
		"size is too large":  {hub: onWeights("X-Linked-Size", "100000000000"), want: ErrMismatch},
		"another commit":     {hub: onWeights("X-Repo-Commit", strings.Repeat("f", 40)), want: ErrMismatch, says: "commit"},
		"no commit":          {hub: onWeights("X-Repo-Commit", ""), want: ErrMismatch, says: "commit"},
		"digest of others":   {hub: onWeights("X-Linked-Etag", strings.Repeat("0", 64)), want: ErrMismatch, says: "digest"},
		"no digest, longer":  {hub: onWeights("X-Linked-Etag", "opaque-1"), store: longer, want: ErrMismatch, says: "more than"},
		"store 404":          {store: storeAnswer(404), want: ErrNotFound},
		"store 403":          {store: storeAnswer(403), want: ErrUnauthorized},
		"store 204":          {store: storeAnswer(204), says: "204"},
		"store always 500":   {store: storeAnswer(500), says: "500"},
		"announces fewer":    {store: announce(size - 1), want: ErrMismatch, says: "bytes"},
		"announces more":     {store: announce(size + 1), want: ErrMismatch, says: "bytes"},
		"sends more, chunks": {store: longer, want: ErrMismatch, says: "more than"},
		"always sends fewer": {store: func(w http.ResponseWriter, _ *http.Request, content []byte, _ int) bool {
			w.(http.Flusher).Flush()
			w.Write(content[:len(content)-1])
			return true
		}, says: "connection ended"},
		"wrong bytes": {store: func(w http.ResponseWriter, r *http.Request, content []byte, _ int) bool {
			changed := bytes.Clone(content)
			changed[len(changed)/2] ^= 1
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(changed))
			return true
		}, want: ErrMismatch, says: "digest"},
		"always another range": {store: func(w http.ResponseWriter, r *http.Request, content []byte, _ int) bool {
			r.Header.Set("Range", "bytes=1-")
			return false
		}, want: ErrMismatch, says: "range"},
		"drops at once, always": {store: func(http.ResponseWriter, *http.Request, []byte, int) bool { panic(http.ErrAbortHandler) }, says: "EOF"},
		"trickles": {store: func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
			if attempt > 10 {
				t.Error("a few bytes an attempt are no reason to go on")
			}
			hubtest.Cut(w, r, content, 10)
			return false
		}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			hub := hubtest.New(t, model())
			hub.OnHub, hub.OnStore = test.hub, test.store
			c := newClient(t, hub)
			_, err := c.Fetch(t.Context(), testReference, nil)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got error %v; want %v and %q in it", err, test.want, test.says)
			}
			if !strings.HasPrefix(err.Error(), "hub "+hubtest.Repository+": ") || strings.Contains(err.Error(), hubtest.Token) || strings.Contains(err.Error(), "Signature") {
				t.Errorf("error %q does not name the repository, or tells secrets", err)
			}
			if len(hub.Seen("")) > 40 {
				t.Errorf("%d requests", len(hub.Seen("")))
			}
			folder := repositoryFolder(c)
			for _, pattern := range []string{"refs/*", "snapshots/*/model.safetensors", "blobs/" + hubtest.ETag("model.safetensors", hub.Files["model.safetensors"]), "blobs/opaque*"} {
				if found, _ := filepath.Glob(filepath.Join(folder, filepath.FromSlash(pattern))); len(found) > 0 {
					t.Errorf("in the cache: %v", found)
				}
			}
		})
	}
}

// TestAccept is asked about a model when everything but its weights is there, and only if those are to be downloaded.
func TestAccept(t *testing.T) {
	whole := model()
	sharded := maps.Clone(whole)
	delete(sharded, modelfiles.Weights)
	sharded[modelfiles.Index] = []byte(`{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`)
	sharded["1.safetensors"], sharded["2.safetensors"] = noise(1, 100), noise(2, 100)
	for name, files := range map[string]map[string][]byte{"one file": whole, "shards": sharded} {
		hub := hubtest.New(t, files)
		c := newClient(t, hub)
		refusal, asked := errors.New("not this one"), 0
		c.Accept = func(plan Plan) error {
			asked++
			size, count := int64(0), 0
			for file, content := range files {
				if isWeights(file) && !strings.Contains(file, "/") {
					size, count = size+int64(len(content)), count+1
				}
			}
			if plan.Commit != hubtest.Commit || plan.Bytes != size || plan.Present != 0 || plan.Files != count {
				t.Errorf("%s: asked about %+v, want %d bytes in %d files", name, plan, size, count)
			}
			directory := plan.Directory
			for file := range files {
				_, err := os.Stat(filepath.Join(directory, file))
				if wants := slices.Contains(wanted, file) || file == modelfiles.Index; (err == nil) != (wants && !isWeights(file)) {
					t.Errorf("%s: when asked, %s is there: %v", name, file, err == nil)
				}
			}
			return refusal
		}
		if _, err := c.Fetch(t.Context(), testReference, nil); !errors.Is(err, refusal) || len(hub.Seen("STORE")) > 0 {
			t.Errorf("%s: %v after %q", name, err, hub.Seen("STORE"))
		}
		refusal = nil
		checkSnapshot(t, c, mustFetch(t, c, nil), files)
		mustFetch(t, c, nil)
		if asked != 2 {
			t.Errorf("%s: asked %d times, want twice", name, asked)
		}
	}
}

// TestTooLarge has files and answers that are larger than any model's: they are refused by what is announced, before
// anything is downloaded.
func TestTooLarge(t *testing.T) {
	for _, name := range append(slices.Clone(wanted), modelfiles.Index) {
		if hubtest.IsLarge(name) {
			continue
		}
		files := model()
		if name == modelfiles.Index {
			delete(files, modelfiles.Weights)
		}
		content := files[name]
		files[name] = append(content, make([]byte, modelfiles.MaxSize(name)+1-int64(len(content)))...)
		hub := hubtest.New(t, files)
		if _, err := newClient(t, hub).Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
		if hub.Served() > 1<<20 {
			t.Errorf("%s: %d bytes were downloaded", name, hub.Served())
		}
	}
	hub := hubtest.New(t, model())
	hub.OnHub = func(w http.ResponseWriter, _ *http.Request, attempt int) bool {
		if attempt > 1 {
			t.Error("a listing that is too large is asked for again")
		}
		w.Write(bytes.Repeat([]byte(" "), maxListing+1))
		return true
	}
	if _, err := newClient(t, hub).Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("listing: %v", err)
	}
}

// TestETagsStayApart has the ETag of one file be the name of another's partial file: with both in one folder one of
// them would be lost.
func TestETagsStayApart(t *testing.T) {
	hub := hubtest.New(t, model())
	hub.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		etag := map[string]string{"vocab.json": "x", "merges.txt": "X.Incomplete"}[path.Base(r.URL.Path)]
		if etag == "" || !strings.HasPrefix(r.URL.Path, "/api/resolve-cache/") {
			return false
		}
		content := hub.Files[path.Base(r.URL.Path)]
		w.Header().Set("X-Repo-Commit", hubtest.Commit)
		w.Header().Set("ETag", strconv.Quote(etag))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		return true
	}
	if snapshot, err := newClient(t, hub).Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %+v, %v", snapshot, err)
	}
}

// TestListingHasOneMeaning has listings in which encoding/json would see another commit and other files than Python does.
func TestListingHasOneMeaning(t *testing.T) {
	entries := ""
	for _, name := range wanted {
		entries += fmt.Sprintf(`{"rfilename":%q,"RFilename":"../x"},`, name)
	}
	entries = "[" + strings.TrimSuffix(entries, ",") + "]"
	for text, refused := range map[string]bool{
		`{"sha":"` + hubtest.Commit + `","siblings":` + entries + `,"ſha":"0000","Siblings":[],"ſiblingſ":[]}`: false,
		`{"sha":"` + hubtest.Commit + `","siblings":` + entries + `,"sha":"` + hubtest.Commit + `"}`:           true,
	} {
		hub := hubtest.New(t, model())
		hub.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if strings.HasPrefix(r.URL.Path, "/api/models/") {
				fmt.Fprint(w, text)
				return true
			}
			return false
		}
		c := newClient(t, hub)
		snapshot, err := c.Fetch(t.Context(), testReference, nil)
		switch {
		case refused && (err == nil || !strings.Contains(err.Error(), `"sha" occurs twice`)):
			t.Errorf("%s: %v", text, err)
		case !refused && err != nil:
			t.Errorf("%s: %v", text, err)
		case !refused:
			checkSnapshot(t, c, snapshot, hub.Files)
		}
	}
}

func storeAnswer(code int) func(http.ResponseWriter, *http.Request, []byte, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) bool { w.WriteHeader(code); return true }
}

// announce gives the answer another length than the file's.
func announce(length int) func(http.ResponseWriter, *http.Request, []byte, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, content []byte, _ int) bool {
		w.Header().Set("Content-Length", strconv.Itoa(length))
		w.Write(append(bytes.Clone(content), 0)[:length])
		return true
	}
}

// longer sends a byte too many, without announcing a length.
func longer(w http.ResponseWriter, _ *http.Request, content []byte, _ int) bool {
	w.(http.Flusher).Flush()
	w.Write(append(bytes.Clone(content), 0))
	return true
}

// TestToken lets the hub redirect the listing: to itself, which keeps the token, and away, which does not.
// That the store never gets it, and the hub always does, every test here checks.
func TestToken(t *testing.T) {
	hub := hubtest.New(t, model())
	elsewhere := hubtest.New(t, model()) // on the same host, but another port
	hub.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/models/old/"):
			http.Redirect(w, r, strings.Replace(r.URL.Path, "/old/name/", "/"+hubtest.Repository+"/", 1), http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/api/models/"):
			http.Redirect(w, r, elsewhere.StoreURL()+r.URL.Path, http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/old/name/"):
			http.Redirect(w, r, strings.Replace(r.URL.Path, "/old/name/", "/"+hubtest.Repository+"/", 1), http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	}
	elsewhere.OnStore = func(w http.ResponseWriter, r *http.Request, _ []byte, _ int) bool {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("another host got authorization %q", got)
		}
		elsewhere.ServeListing(w, "main")
		return true
	}
	snapshot, err := newClient(t, hub).Fetch(t.Context(), Reference{Repository: "old/name"}, nil)
	if err != nil || len(elsewhere.Seen("STORE")) != 1 || len(hub.Seen("GET /api/models/"+hubtest.Repository)) != 1 {
		t.Errorf("%v: %v, by %q", snapshot, err, elsewhere.Seen(""))
	}
}

func TestNoDowngrade(t *testing.T) {
	s := &session{client: &Client{Token: hubtest.Token}}
	s.endpoint, _ = newEndpoint("https://hub.example")
	request := func(address string) *http.Request {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Authorization": {"Bearer " + hubtest.Token}}, Response: &http.Response{}}
	}
	from := []*http.Request{request("https://hub.example/a")}
	if err := s.redirect(request("http://hub.example/a"), from); !errors.Is(err, errRedirect) {
		t.Errorf("redirect from https to http: %v", err)
	}
	for address, keeps := range map[string]bool{
		"https://hub.example/b":          true,
		"https://HUB.example/b":          true,
		"https://cdn.hub.example/b":      false,
		"https://hub.example:8443/b":     false,
		"https://hub.example.evil.com/b": false,
		"https://hub.example@evil.com/b": false,
	} {
		next := request(address)
		if err := s.redirect(next, from); err != nil || (next.Header.Get("Authorization") != "") != keeps {
			t.Errorf("redirect to %s: error %v, authorization %q", address, err, next.Header.Get("Authorization"))
		}
	}
}

// interrupt fetches until the store has sent half the weights, and cancels.
func interrupt(t *testing.T, hub *hubtest.Server, c *Client) {
	t.Helper()
	half := len(hub.Files["model.safetensors"]) / 2
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, _ int) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:half])
		w.(http.Flusher).Flush()
		hub.Hang(r)
		return true
	}
	_, err := c.Fetch(ctx, testReference, func(file string, done, _ int64) {
		if file == "model.safetensors" && done == int64(half) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted fetch: %v", err)
	}
	hub.OnStore = nil
}

func TestResume(t *testing.T) {
	files := model()
	weights := files["model.safetensors"]
	half := len(weights) / 2
	partial := func(c *Client) string {
		return filepath.Join(repositoryFolder(c), "blobs", hubtest.ETag("model.safetensors", weights)+".incomplete")
	}
	t.Run("after an interruption", func(t *testing.T) {
		hub := hubtest.New(t, files)
		c := newClient(t, hub)
		interrupt(t, hub, c)
		if _, err := os.Stat(filepath.Join(repositoryFolder(c), "refs")); err == nil {
			t.Error("an incomplete snapshot has a ref")
		}
		first := int64(-1)
		snapshot := mustFetch(t, c, func(file string, done, _ int64) {
			if file == "model.safetensors" && first < 0 {
				first = done
			}
		})
		checkSnapshot(t, c, snapshot, files)
		want := fmt.Sprintf("STORE model.safetensors bytes=%d-", half)
		if got := hub.Seen("STORE"); first != int64(half) || len(got) != 2 || got[1] != want {
			t.Errorf("requests %q, progress from %d; want %q", got, first, want)
		}
	})
	for name, test := range map[string]struct {
		found    []byte
		requests int
	}{
		"all but the last byte":     {weights[:len(weights)-1], 1},
		"all of it":                 {weights, 0},
		"too much":                  {append(bytes.Clone(weights), 1), 1},
		"holes":                     {make([]byte, half), 2}, // the rest, then the whole
		"all of it, but with holes": {make([]byte, len(weights)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			hub := hubtest.New(t, files)
			c := newClient(t, hub)
			if err := os.MkdirAll(filepath.Dir(partial(c)), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(partial(c), test.found, 0o666); err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, c, mustFetch(t, c, nil), files)
			if got := hub.Seen("STORE"); len(got) != test.requests {
				t.Errorf("requests %q, want %d", got, test.requests)
			}
		})
	}
}

// TestKilled kills a process in the middle of a download: the next one gets its lock and goes on where it ended.
func TestKilled(t *testing.T) {
	const endpointVariable, cacheVariable = "TEST_HUB_ENDPOINT", "TEST_HUB_CACHE"
	if endpoint := os.Getenv(endpointVariable); endpoint != "" { // in the process to be killed
		c := &Client{Endpoint: endpoint, Cache: os.Getenv(cacheVariable), Token: hubtest.Token}
		_, err := c.Fetch(t.Context(), testReference, nil)
		t.Fatalf("not killed in time: %v", err)
	}

	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	weights := hub.Files["model.safetensors"]
	half := len(weights) / 2
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
		if attempt > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:half])
		w.(http.Flusher).Flush()
		hub.Hang(r)
		return true
	}
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	process.Env = append(os.Environ(), endpointVariable+"="+hub.URL(), cacheVariable+"="+c.Cache)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(repositoryFolder(c), "blobs", hubtest.ETag("model.safetensors", weights)+".incomplete")
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	for arrived := int64(0); arrived < int64(half); {
		select {
		case err := <-ended:
			t.Fatalf("the process ended by itself: %v", err)
		case <-time.After(time.Millisecond):
		}
		if info, err := os.Stat(partial); err == nil {
			arrived = info.Size()
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := (&Client{Cache: c.Cache, Offline: true}).Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("a killed download counts as whole: %v", err)
	}
	checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
	if got, want := hub.Seen("STORE"), fmt.Sprintf("STORE model.safetensors bytes=%d-", half); len(got) != 2 || got[1] != want {
		t.Errorf("requests %q, want %q last", got, want)
	}
}

// TestSharedBlob has a revision whose weights another revision brought into the cache.
func TestSharedBlob(t *testing.T) {
	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	snapshot := mustFetch(t, c, nil)
	if err := os.Rename(snapshot.Directory, filepath.Join(filepath.Dir(snapshot.Directory), strings.Repeat("e", 40))); err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
	if got := hub.Seen("STORE"); len(got) != 1 {
		t.Errorf("downloaded again: %q", got)
	}

	// A blob that someone cut short is replaced, and a link without its blob.
	blob := filepath.Join(repositoryFolder(c), "blobs", hubtest.ETag("model.safetensors", hub.Files["model.safetensors"]))
	if err := os.Truncate(blob, 5); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(snapshot.Directory, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
	pointer := filepath.Join(snapshot.Directory, "model.safetensors")
	if target, err := os.Readlink(pointer); err == nil { // otherwise the system has no symbolic links
		if err := os.Remove(blob); err != nil {
			t.Fatal(err)
		}
		checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
		if again, err := os.Readlink(pointer); again != target {
			t.Errorf("a link to %q became one to %q (%v)", target, again, err)
		}
	}
}

// TestTwoClients lets two clients want the same file at the same time: one downloads, the other waits.
func TestTwoClients(t *testing.T) {
	hub := hubtest.New(t, model())
	both := make(chan struct{})
	var heads int
	hub.OnHub = func(_ http.ResponseWriter, r *http.Request, attempt int) bool {
		if r.Method == http.MethodHead && hubtest.IsLarge(r.URL.Path) && attempt == 2 {
			heads++
			close(both)
		}
		return false
	}
	hub.OnStore = func(_ http.ResponseWriter, r *http.Request, _ []byte, _ int) bool {
		<-both // Until then both have found the cache without the file.
		return false
	}
	first := newClient(t, hub)
	second := *first
	var running sync.WaitGroup
	snapshots := make([]Snapshot, 2)
	for i, c := range []*Client{first, &second} {
		running.Go(func() {
			var err error
			if snapshots[i], err = c.Fetch(t.Context(), testReference, nil); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, snapshot := range snapshots {
		checkSnapshot(t, first, snapshot, hub.Files)
	}
	if got := hub.Seen("STORE"); len(got) != 1 || heads != 1 {
		t.Errorf("downloads: %q, want one", got)
	}
}

// TestForeignLock plays the part of huggingface_hub, which locks, downloads, deletes the lock file (as
// filelock does on unlocking) and unlocks.
func TestForeignLock(t *testing.T) {
	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	weights := hub.Files["model.safetensors"]
	etag := hubtest.ETag("model.safetensors", weights)
	path := filepath.Join(c.Cache, ".locks", "models--fables--tiny-gpt", etag+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	foreign := flock.New(path)
	if err := foreign.Lock(); err != nil {
		t.Fatal(err)
	}
	described := make(chan struct{})
	hub.OnHub = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Method == http.MethodHead && hubtest.IsLarge(r.URL.Path) {
			close(described)
		}
		return false
	}
	done := make(chan error)
	go func() {
		_, err := c.Fetch(t.Context(), testReference, nil)
		done <- err
	}()
	<-described
	time.Sleep(20 * time.Millisecond) // a chance to download in spite of the lock
	blob := filepath.Join(repositoryFolder(c), "blobs", etag)
	if err := errors.Join(os.MkdirAll(filepath.Dir(blob), 0o777), os.WriteFile(blob, weights, 0o666)); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(foreign.Unlock(), <-done); err != nil {
		t.Fatal(err)
	}
	if got := hub.Seen("STORE"); len(got) != 0 {
		t.Errorf("downloaded what another process was downloading: %q", got)
	}
}

// TestLock has many take the lock, and delete its file before they let it go, as Python's filelock does:
// whoever then holds the lock on the file without a name must not believe to be alone.
func TestLock(t *testing.T) {
	f, err := newFolder(t.TempDir(), hubtest.Repository)
	if err != nil {
		t.Fatal(err)
	}
	timing := quickTiming(nil)
	timing.lockPoll = time.Microsecond
	var inside atomic.Int32
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 60 {
				lock, err := f.lock(t.Context(), "x", timing)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				runtime.Gosched()
				inside.Add(-1)
				if runtime.GOOS != "windows" { // There an open file cannot be deleted.
					os.Remove(filepath.Join(f.root, ".locks", f.name, "x.lock"))
				}
				lock.Release()
			}
		})
	}
	running.Wait()

	lock, err := f.lock(t.Context(), "x", timing)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.lock(ctx, "x", timing); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a lock ended with %v", err)
	}
}

// TestRemember has many record a revision at the same time, of whom nobody may be refused.
func TestRemember(t *testing.T) {
	f, err := newFolder(t.TempDir(), hubtest.Repository)
	if err != nil {
		t.Fatal(err)
	}
	timing := quickTiming(nil)
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for round := range 10 {
				commit := strings.Repeat(strconv.Itoa((i+round)%10), 40)
				if err := f.remember(t.Context(), "refs/pr/1", commit, timing); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if commit, err := f.commit("refs/pr/1"); err != nil {
		t.Errorf("%q, %v", commit, err)
	}
	var left []string
	for _, folder := range []string{filepath.Join(f.name, "refs", "refs", "pr"), filepath.Join(".locks", f.name, "refs", "pr")} {
		entries, err := os.ReadDir(filepath.Join(f.root, folder))
		if err != nil {
			t.Error(err)
		}
		for _, entry := range entries {
			left = append(left, entry.Name())
		}
	}
	if strings.Join(left, " ") != "1" {
		t.Errorf("there is %q", left)
	}
}

// writeCache lays the files out as Python's huggingface_hub does, by
// https://huggingface.co/docs/hub/local-cache.
func writeCache(t *testing.T, c *Client, commit string, files map[string][]byte) {
	t.Helper()
	folder := repositoryFolder(c)
	for name, content := range files {
		etag := hubtest.ETag(name, content)
		blob, pointer := filepath.Join(folder, "blobs", etag), filepath.Join(folder, "snapshots", commit, name)
		if err := errors.Join(
			os.MkdirAll(filepath.Dir(blob), 0o777), os.WriteFile(blob, content, 0o666),
			os.MkdirAll(filepath.Dir(pointer), 0o777)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(strings.Repeat("../", 2+strings.Count(name, "/")), "blobs", etag), pointer); err != nil {
			t.Skip(err) // Windows without developer mode
		}
	}
	ref := filepath.Join(folder, "refs", "main")
	if err := errors.Join(os.MkdirAll(filepath.Dir(ref), 0o777), os.WriteFile(ref, []byte(commit), 0o666)); err != nil {
		t.Fatal(err)
	}
}

func TestPythonCache(t *testing.T) {
	files := maps.Clone(model())
	delete(files, "merges.txt")
	files["tokenizer.json"] = []byte("{}")
	sharded := maps.Clone(files)
	delete(sharded, "model.safetensors")
	sharded["model.safetensors.index.json"] = []byte(`{"weight_map":{"a":"model-2.safetensors","b":"deep/model-1.safetensors","c":"model-2.safetensors"}}`)
	sharded["deep/model-1.safetensors"], sharded["model-2.safetensors"] = noise(1, 10), noise(2, 10)

	for name, test := range map[string]struct {
		files map[string][]byte
		want  []string
	}{
		"one file": {files, []string{"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"}},
		"shards":   {sharded, []string{"config.json", "model.safetensors.index.json", "tokenizer.json", "generation_config.json", "deep/model-1.safetensors", "model-2.safetensors"}},
	} {
		t.Run(name, func(t *testing.T) {
			timing := quickTiming(nil)
			// Nothing listens at this port: TCP port 1 is reserved.
			c := &Client{Endpoint: "http://127.0.0.1:1", Cache: t.TempDir(), timing: &timing}
			writeCache(t, c, hubtest.Commit, test.files)
			for _, revision := range []string{"", hubtest.Commit} {
				for _, offline := range []bool{true, false} {
					c.Offline = offline
					snapshot, err := c.Fetch(t.Context(), Reference{hubtest.Repository, revision}, nil)
					if err != nil {
						t.Fatal(err)
					}
					checkSnapshot(t, c, snapshot, test.files)
					if !slices.Equal(snapshot.Files, test.want) || (snapshot.Unconfirmed == nil) != offline {
						t.Errorf("revision %q, offline %v: %+v", revision, offline, snapshot)
					}
				}
			}

			// Without one blob the cache does not hold the model.
			if err := os.Remove(filepath.Join(repositoryFolder(c), "blobs", hubtest.ETag("model-2.safetensors", test.files[test.want[len(test.want)-1]]))); err != nil && name == "shards" {
				t.Fatal(err)
			}
			if name == "one file" {
				if err := os.Remove(filepath.Join(repositoryFolder(c), "blobs", hubtest.ETag("config.json", test.files["config.json"]))); err != nil {
					t.Fatal(err)
				}
			}
			c.Offline = true
			if _, err := c.Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrOffline) {
				t.Errorf("offline without a file: %v", err)
			}
			c.Offline = false
			if _, err := c.Fetch(t.Context(), testReference, nil); err == nil || errors.Is(err, ErrOffline) {
				t.Errorf("unreachable without a file: %v", err)
			}
		})
	}
	for _, revision := range []string{"", hubtest.Commit} {
		c := &Client{Cache: t.TempDir(), Offline: true}
		if _, err := c.Fetch(t.Context(), Reference{hubtest.Repository, revision}, nil); !errors.Is(err, ErrOffline) {
			t.Errorf("offline with an empty cache: %v", err)
		}
	}
}

// TestRevisionMoves has a cache that Python filled before the branch moved on.
func TestRevisionMoves(t *testing.T) {
	hub := hubtest.New(t, model())
	c := newClient(t, hub)
	old := maps.Clone(hub.Files)
	old["config.json"] = []byte("{}")
	writeCache(t, c, strings.Repeat("d", 40), old)
	checkSnapshot(t, c, mustFetch(t, c, nil), hub.Files)
	if ref, _ := os.ReadFile(filepath.Join(repositoryFolder(c), "refs", "main")); string(ref) != hubtest.Commit {
		t.Errorf("refs/main holds %q", ref)
	}
	if got := hub.Seen("STORE"); len(got) != 0 {
		t.Errorf("downloaded unchanged weights: %q", got)
	}
	// A hub that refuses is not a hub that cannot be reached: the cache must not hide it.
	hub.OnHub = func(w http.ResponseWriter, _ *http.Request, _ int) bool { w.WriteHeader(401); return true }
	if _, err := c.Fetch(t.Context(), testReference, nil); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("refused: %v", err)
	}
	hub.OnHub = func(w http.ResponseWriter, _ *http.Request, _ int) bool { w.WriteHeader(503); return true }
	if snapshot := mustFetch(t, c, nil); snapshot.Unconfirmed == nil || snapshot.Commit != hubtest.Commit {
		t.Errorf("unreachable: %+v", snapshot)
	}
}

func TestShards(t *testing.T) {
	base := model()
	delete(base, "model.safetensors")
	base["model-1.safetensors"], base["parts/model-2.safetensors"], base["model-3.safetensors"] = noise(1, 1000), noise(2, 1<<20), noise(3, 10)
	base["old.safetensors"] = noise(4, 10)
	for index, test := range map[string]struct {
		want error
		says string
	}{
		`{"metadata":{"total_size":1},"weight_map":{"a":"model-1.safetensors","b":"parts/model-2.safetensors","c":"model-3.safetensors","d":"model-1.safetensors"}}`: {},
		`{"weight_map":{"a":"/etc/passwd"}}`:                  {want: ErrUnsafeName},
		`{"weight_map":{"a":"/model-1.safetensors"}}`:         {want: ErrUnsafeName},
		`{"weight_map":{"a":"../model-1.safetensors"}}`:       {want: ErrUnsafeName},
		`{"weight_map":{"a":"parts/../../x.safetensors"}}`:    {want: ErrUnsafeName},
		`{"weight_map":{"a":"parts/../model-1.safetensors"}}`: {want: ErrUnsafeName},
		`{"weight_map":{"a":"..\\model-1.safetensors"}}`:      {want: ErrUnsafeName},
		`{"weight_map":{"a":"C:\\x.safetensors"}}`:            {want: ErrUnsafeName},
		`{"weight_map":{"a":"model-1.safetensors\u0000"}}`:    {want: ErrUnsafeName},
		`{"weight_map":{"a":""}}`:                             {want: ErrUnsafeName},
		`{"weight_map":{"a":"pytorch_model.bin"}}`:            {want: ErrNoSafetensors},
		`{"weight_map":{"a":"model-9.safetensors"}}`:          {want: ErrNotFound, says: "model-9.safetensors"},
		`{"weight_map":{}}`:                                   {says: "weight_map"},
		`{"weight_map":["model-1.safetensors"]}`:              {says: "weight_map"},
		`not JSON`:                                            {says: "model.safetensors.index.json"},
	} {
		t.Run(index, func(t *testing.T) {
			files := maps.Clone(base)
			files["model.safetensors.index.json"] = []byte(index)
			hub := hubtest.New(t, files)
			c := newClient(t, hub)
			snapshot, err := c.Fetch(t.Context(), testReference, nil)
			if test.want == nil && test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				checkSnapshot(t, c, snapshot, files)
				want := []string{"config.json", "model.safetensors.index.json", "vocab.json", "merges.txt", "generation_config.json",
					"model-1.safetensors", "model-3.safetensors", "parts/model-2.safetensors"}
				if !slices.Equal(snapshot.Files, want) || len(hub.Seen("STORE")) != 3 {
					t.Errorf("fetched %q by %q", snapshot.Files, hub.Seen("STORE"))
				}
				return
			}
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v and %q", err, test.want, test.says)
			}
			if got := hub.Seen("STORE"); len(got) != 0 {
				t.Errorf("requested %q", got)
			}
		})
	}
}

func TestParallel(t *testing.T) {
	files := model()
	delete(files, "model.safetensors")
	index := `{"weight_map":{"x":"config.safetensors"`
	for i := range 6 {
		name := fmt.Sprintf("model-%d.safetensors", i)
		files[name] = noise(byte(i), 1000)
		index += fmt.Sprintf(`,"%d":%q`, i, name)
	}
	files["config.safetensors"] = noise(9, 10)
	files["model.safetensors.index.json"] = []byte(index + "}}")
	hub := hubtest.New(t, files)
	three := make(chan struct{})
	var mutex sync.Mutex
	now, most := 0, 0
	hub.OnStore = func(_ http.ResponseWriter, r *http.Request, _ []byte, _ int) bool {
		mutex.Lock()
		now++
		if now == 3 && most < 3 {
			close(three)
		}
		most = max(most, now)
		mutex.Unlock()
		select {
		case <-three:
		case <-r.Context().Done():
		}
		mutex.Lock()
		now--
		mutex.Unlock()
		return false
	}
	c := newClient(t, hub)
	c.Parallel = 3
	c.timing.attempts = 1
	checkSnapshot(t, c, mustFetch(t, c, nil), files)
	if most != 3 {
		t.Errorf("%d downloads at once, want 3", most)
	}
}
