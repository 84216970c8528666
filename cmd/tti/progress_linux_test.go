package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
)

// TestDownloadProgress looks at the terminal while the other half of an interrupted download comes in
// slowly: how much there is, how fast it comes and how long it will take.
func TestDownloadProgress(t *testing.T) {
	_, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
		if attempt == 1 {
			sendHalf(hub, w, r, content)
			return true
		}
		http.ServeContent(slowWriter{w}, r, "", time.Time{}, bytes.NewReader(content))
		return true
	}
	user := newHubUser(t, hub)
	interrupted := user.command("convert", hubtest.Repository)
	if err := interrupted.Start(); err != nil {
		t.Fatal(err)
	}
	user.waitForHalves(files)
	interrupted.Process.Kill()
	interrupted.Wait()
	// The index is to be downloaded too: when it is whole, before the shards are known, the bar is at its end.
	folder := filepath.Join(user.home, "hub", "models--fables--tiny-gpt")
	const index = "model.safetensors.index.json"
	if err := errors.Join(os.RemoveAll(filepath.Join(folder, "snapshots")), os.Remove(filepath.Join(folder, "blobs", hubtest.ETag(index, files[index])))); err != nil {
		t.Fatal(err)
	}

	ownCache(t)
	t.Setenv("HF_ENDPOINT", user.endpoint)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_HOME", user.home)
	t.Setenv("HF_TOKEN", hubtest.Token)
	target := filepath.Join(t.TempDir(), "out.tti")
	s, process := newScreen(t, "convert", hubtest.Repository, "-o", target)
	s.sees("from the hub's cache", 0)
	process.Wait()
	shown := s.text(0)
	if !regexp.MustCompile(`downloading +\d+% \|[^|]*\| \(\d+/9\d\d kB, [\d.]+ [kM]B/s\) \[\d+s:\d+s\]`).MatchString(shown) {
		t.Errorf("the terminal shows %q", shown)
	}
}

// slowWriter sends at most 500 kB/s.
type slowWriter struct{ http.ResponseWriter }

func (s slowWriter) Write(p []byte) (written int, err error) {
	for chunk := range slices.Chunk(p, 20<<10) {
		n, err := s.ResponseWriter.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
		s.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(40 * time.Millisecond)
	}
	return written, nil
}
