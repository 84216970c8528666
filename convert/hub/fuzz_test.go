package hub

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
)

// hostileAnswers makes the answers of a hub and of its store as a program says, two bytes for each request.
type hostileAnswers struct {
	mutex    sync.Mutex
	program  []byte
	text     string // for bodies and headers
	renamed  bool   // a digest or a listing was given that is not the files' own
	storeURL string
	hubURL   string
}

// What headers are filled with, besides the fuzzer's text.
var hostileValues = []string{
	"", "0", "-1", "18446744073709551616", "bytes 0-0/1", "bytes 5-9/10", "bytes */*", `"../../x"`, `W/"x"`, `"x.incomplete"`, "/", "//x", "file:///etc/passwd",
	"http://127.0.0.1:1/", strings.Repeat("a", 1<<12), strings.Repeat("0", 40), strings.Repeat("0", 64),
}

// What files are called in listings.
var hostileNames = []string{
	"config.json", "CONFIG.JSON", "../config.json", "/etc/passwd", `..\config.json`, "a/../../b.safetensors", "model.safetensors", "model.safetensors/x", "",
	".", "x\x00y", "x\x1b[2J", "con", strings.Repeat("d/", 200) + "x", "vocab.json", "merges.txt", "model.safetensors.index.json", ".locks/x", "refs/main",
}

func (h *hostileAnswers) answer(w http.ResponseWriter, r *http.Request) bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if len(h.program) < 2 {
		return false
	}
	what, a := h.program[0], int(h.program[1])
	h.program = h.program[2:]
	value := h.text
	if a < len(hostileValues) {
		value = hostileValues[a]
	}
	header := w.Header()
	switch what % 10 {
	case 1:
		header.Set("X-Error-Message", value)
		header.Set("Retry-After", value)
		w.WriteHeader([]int{200, 204, 206, 301, 304, 400, 401, 404, 416, 429, 500, 503}[a%12])
	case 2:
		w.Write([]byte(h.text))
	case 3:
		h.renamed = true
		names := []string{"config.json", "vocab.json", "merges.txt", "model.safetensors", hostileNames[a%len(hostileNames)], h.text}
		hubtest.WriteListing(w, hubtest.Commit, names[a%3:]...)
	case 4:
		h.renamed = true
		header.Set("X-Repo-Commit", hubtest.Commit)
		header.Set([]string{"ETag", linkedETag, linkedSize, repoCommit}[a%4], value)
		header.Set([]string{"ETag", linkedETag}[a/4%2], strconv.Quote(hostileValues[a%len(hostileValues)]))
		w.Write([]byte(h.text))
	case 5:
		locations := []string{r.URL.String(), "/", h.storeURL + "/config.json", h.hubURL + r.URL.Path, "http://127.0.0.1:1/", "file:///etc/passwd", "ftp://x/", "?", value}
		header.Set("Location", locations[a%len(locations)])
		w.WriteHeader([]int{301, 302, 303, 307, 308}[a%5])
	case 6: // less than announced
		header.Set("Content-Length", strconv.Itoa(len(h.text)+1+a))
		w.Write([]byte(h.text))
	case 7:
		header.Set("Content-Range", value)
		w.WriteHeader(http.StatusPartialContent)
		w.Write([]byte(h.text))
	case 8: // the usual answer, with something more
		header.Set([]string{"Content-Range", "Content-Encoding", "X-Error-Code", "RateLimit", "Accept-Ranges"}[a%5], value)
		return false
	case 9:
		panic(http.ErrAbortHandler) // the connection breaks
	default:
		return false
	}
	return true
}

func (h *hostileAnswers) hasRenamed() bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.renamed
}

// FuzzAnswers lets hub and store answer anything. Fetch ends, with the hub's own files or one plain line that says why not,
// writes nothing but into its cache, and gives the token to nobody else.
func FuzzAnswers(f *testing.F) {
	for what := range byte(10) {
		for _, a := range []byte{0, 7, 13, 200} {
			f.Add([]byte{what, a, 0, 0, what, a}, `{"sha":"`+hubtest.Commit+`","siblings":[{"rfilename":"config.json"}]}`)
			f.Add([]byte{0, 0, 0, 0, what, a, what, a, 0, 0, what, a}, "text")
		}
	}
	files := map[string][]byte{
		"config.json": []byte(`{"model_type":"gpt2"}`), "vocab.json": []byte(`{"a":0}`), "merges.txt": []byte("#version: 0.2\n"), "README.md": []byte("not needed"),
		"model.safetensors.index.json": []byte(`{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}`),
		"one.safetensors":              noise(4, 3000), "two.safetensors": noise(5, 10),
	}
	f.Fuzz(func(t *testing.T, program []byte, text string) {
		if len(program) > 40 || len(text) > 2000 {
			return
		}
		server := hubtest.New(t, files)
		h := &hostileAnswers{program: program, text: text, storeURL: server.StoreURL(), hubURL: server.URL()}
		server.OnHub = func(w http.ResponseWriter, r *http.Request, _ int) bool { return h.answer(w, r) }
		server.OnStore = func(w http.ResponseWriter, r *http.Request, _ []byte, _ int) bool { return h.answer(w, r) }
		c := newClient(t, server)
		folder := t.TempDir()
		c.Cache = filepath.Join(folder, "cache")
		c.timing.attempts, c.timing.stall = 3, 5*time.Second

		snapshot, err := c.Fetch(t.Context(), testReference, nil)
		switch {
		case err != nil:
			if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") || len(err.Error()) > 3000 {
				t.Errorf("not one plain line: %q", err)
			}
		case !h.hasRenamed():
			for _, name := range snapshot.Files {
				if content, err := os.ReadFile(filepath.Join(snapshot.Directory, name)); err != nil || !bytes.Equal(content, files[name]) {
					t.Errorf("%s: %d bytes that are not the hub's, %v", name, len(content), err)
				}
			}
		}
		filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			inside, _ := filepath.Rel(c.Cache, path)
			if err != nil || inside == ".." || inside == "." {
				return err
			}
			first, _, _ := strings.Cut(filepath.ToSlash(inside), "/")
			if first != "models--fables--tiny-gpt" && first != ".locks" {
				t.Errorf("%s is written", path)
			}
			return nil
		})
	})
}
