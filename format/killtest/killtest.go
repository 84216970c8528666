// Package killtest is for tests of what a process leaves that is killed while it writes.
package killtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tti-llm/tti/format/trials"
)

// target names, in the environment of a process that is to be killed, what it is to write.
const target = "TTI_KILLTEST_TARGET"

// Run runs the calling test in a process of its own, in which write writes the file or directory at
// path again and again, and kills that process at many moments: kills times, unless trials are asked for. After every kill it calls after, which
// is to look at what there is now, and to leave nothing but path in its directory.
//
// What the test does before it calls Run, it does in each process.
func Run(t *testing.T, path string, kills int, write func(path string) error, after func(kill int)) {
	if path := os.Getenv(target); path != "" {
		// No longer than this, in case the one who is to kill it is killed.
		for start := time.Now(); time.Since(start) < 20*time.Second; {
			if err := write(path); err != nil {
				t.Fatal(err)
			}
		}
		t.SkipNow()
	}
	if testing.Short() && !trials.Asked() {
		t.Skip("starts many processes")
	}
	kills = trials.Count(t, kills, kills)
	directory, debris := filepath.Dir(path), 0
	temporary := t.TempDir() // for those who cannot clear up
	for kill := range kills {
		before := modified(t, directory)
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), target+"="+path, "TMPDIR="+temporary, "TMP="+temporary)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// Not before it has begun, and then at any moment of its rounds.
		for start := time.Now(); modified(t, directory).Equal(before) && time.Since(start) < 10*time.Second; {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(kill%60) * 411 * time.Microsecond)
		child.Process.Kill()
		child.Wait()
		entries, err := os.ReadDir(directory)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != filepath.Base(path) {
			debris++
		}
		after(kill)
	}
	t.Logf("%d of %d kills left something for the next time to clear", debris, kills)
}

// modified returns when something was last created, renamed or removed in a directory.
func modified(t *testing.T, directory string) time.Time {
	info, err := os.Stat(directory)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}
