package main

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
)

// TestDownloadProgress looks at the terminal during a slow download: how much there is, how fast it
// comes and how long it will take.
func TestDownloadProgress(t *testing.T) {
	_, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, _ int) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		for len(content) > 0 && r.Context().Err() == nil {
			n := min(len(content), 20<<10)
			w.Write(content[:n])
			w.(http.Flusher).Flush()
			content = content[n:]
			time.Sleep(50 * time.Millisecond)
		}
		return true
	}
	ownCache(t)
	t.Setenv("HF_ENDPOINT", hub.URL())
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_TOKEN", hubtest.Token)
	target := filepath.Join(t.TempDir(), "out.tti")
	s, process := newScreen(t, "convert", hubtest.Repository, "-o", target)
	s.sees("from the hub's cache", 0)
	process.Wait()
	shown := s.text(0)
	if !regexp.MustCompile(`downloading +\d+% \|[^|]*\| \([\d.]+/[\d.]+ MB, [\d.]+ [kM]B/s\) \[\d+s:\d+s\]`).MatchString(shown) {
		t.Errorf("the terminal shows %q", shown)
	}
}
