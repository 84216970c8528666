//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
	"github.com/tti-llm/tti/convert/synthetic"
)

// largeHubEnvironment, if it is set, makes the hub's model one of 124 million parameters:
//
//	TTI_HUB_LARGE=1 go test ./cmd/tti -run TestConvertKilledDuringDownload -v
const largeHubEnvironment = "TTI_HUB_LARGE"

// shardedModel is written as models are that are too large for one file.
var shardedModel = synthetic.Model{Vocabulary: 1000, Positions: 64, Embedding: 128, Layers: 4, Heads: 4, Type: "BF16", Shards: 3}

// writeSynthetic writes a model and returns its directory and the contents of its files.
func writeSynthetic(t *testing.T, model synthetic.Model) (directory string, files map[string][]byte) {
	t.Helper()
	directory, files = t.TempDir(), map[string][]byte{}
	if err := synthetic.Write(t.Context(), directory, model); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, directory) {
		files[name] = readFile(t, filepath.Join(directory, name))
	}
	return directory, files
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// names lists a directory.
func names(t *testing.T, directory string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

// hubUser is somebody with an empty cache and an empty working directory, who converts from a hub.
type hubUser struct {
	t                         *testing.T
	endpoint, home, directory string
}

func newHubUser(t *testing.T, hub *hubtest.Server) *hubUser {
	return &hubUser{t, hub.URL(), t.TempDir(), t.TempDir()}
}

// command returns a process of the program that has not been started.
func (u *hubUser) command(args ...string) *exec.Cmd {
	u.t.Helper()
	cmd := command(u.t, args...)
	cmd.Dir = u.directory
	cmd.Env = append(cmd.Env, "HF_ENDPOINT="+u.endpoint, "HF_HOME="+u.home, "HF_TOKEN="+hubtest.Token,
		"HF_HUB_CACHE=", "HUGGINGFACE_HUB_CACHE=", "HF_HUB_OFFLINE=", "TRANSFORMERS_OFFLINE=", "HF_HUB_DISABLE_IMPLICIT_TOKEN=")
	return cmd
}

// run runs the program with one more variable set, and returns its exit code and standard error.
func (u *hubUser) run(environment string, args ...string) (code int, stderr string) {
	u.t.Helper()
	cmd := u.command(args...)
	cmd.Env = append(cmd.Env, environment)
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// partials returns the lengths of downloads under way, by name.
func (u *hubUser) partials() map[string]int64 {
	found := map[string]int64{}
	filepath.WalkDir(u.home, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".incomplete") {
			if info, err := entry.Info(); err == nil {
				found[entry.Name()] = info.Size()
			}
		}
		return nil
	})
	return found
}

// halfThenHang lets the store send half of every file at the first attempt, and no more.
func halfThenHang(hub *hubtest.Server) {
	hub.OnStore = func(w http.ResponseWriter, r *http.Request, content []byte, attempt int) bool {
		if attempt > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		hub.Hang(r)
		return true
	}
}

// waitForHalves waits until half of every shard has arrived.
func (u *hubUser) waitForHalves(files map[string][]byte) {
	u.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		arrived, partials := true, u.partials()
		for name, content := range files {
			if hubtest.IsLarge(name) {
				arrived = arrived && partials[hubtest.ETag(name, content)+".incomplete"] == int64(len(content)/2)
			}
		}
		if arrived {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("the halves do not arrive: %v", partials)
		}
	}
}

// TestConvertKilledDuringDownload kills the program when half of every shard is there. The next one
// fetches the other halves only and writes the file that the same model in a directory gives.
func TestConvertKilledDuringDownload(t *testing.T) {
	model := shardedModel
	if os.Getenv(largeHubEnvironment) != "" {
		model = synthetic.Models["gpt2"]
		model.Type, model.Shards = shardedModel.Type, shardedModel.Shards
	}
	directory, files := writeSynthetic(t, model)
	local := filepath.Join(t.TempDir(), "local.tti")
	if o := tti(t, "", "convert", directory, "--mode", "int4", "-o", local); o.code != 0 {
		t.Fatal(o.stderr)
	}
	hub := hubtest.New(t, files)
	halfThenHang(hub)
	user := newHubUser(t, hub)

	cmd := user.command("convert", hubtest.Repository, "--mode", "int4")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	user.waitForHalves(files)
	cmd.Process.Kill()
	cmd.Wait()
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("killed during the download, it leaves %q", left)
	}

	code, stderr := user.run("", "convert", hubtest.Repository, "--mode", "int4")
	if code != 0 || !strings.Contains(stderr, "from the hub's cache") {
		t.Fatalf("exit code %d, standard error %q", code, stderr)
	}
	total := int64(0)
	for name, content := range files {
		total += int64(len(content))
		if !hubtest.IsLarge(name) {
			continue
		}
		want := []string{"STORE " + name, fmt.Sprintf("STORE %s bytes=%d-", name, len(content)/2)}
		if got := hub.Seen("STORE " + name); !slices.Equal(got, want) {
			t.Errorf("requests %q, want %q", got, want)
		}
	}
	t.Logf("%d bytes served for files of %d bytes", hub.Served(), total)
	if hub.Served() > total*3/2 {
		t.Errorf("%d bytes served for files of %d bytes", hub.Served(), total)
	}
	target := filepath.Join(user.directory, "tiny-gpt-int4.tti")
	if !bytes.Equal(readFile(t, target), readFile(t, local)) {
		t.Error("the file differs from the local conversion's")
	}
	if left := names(t, user.directory); len(left) != 1 {
		t.Errorf("beside the target there is %q", left)
	}
	if left := user.partials(); len(left) > 0 {
		t.Errorf("the cache holds %v", left)
	}
}
