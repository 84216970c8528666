package lockfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	if err != nil || first.Found() {
		t.Fatal(first, err)
	}
	if _, err := Try(path); err != ErrHeld {
		t.Errorf("%v, want %v", err, ErrHeld)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Wait(ctx, path, time.Microsecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := Wait(t.Context(), path, time.Microsecond)
	if err != nil || !second.Found() {
		t.Fatal(second, err)
	}
	second.Remove()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the file is still there")
	}
	if _, err := Try(filepath.Join(path, "lock")); err == nil || !strings.HasPrefix(err.Error(), "create a file in "+path+": ") {
		t.Errorf("without a directory: %v", err)
	}
}

// TestOneHolder has many take the lock, which half of them remove, and wants never two to hold it.
func TestOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for round := range 50 {
				lock, err := Wait(t.Context(), path, time.Microsecond)
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				holders.Add(-1)
				if (i+round)%2 == 0 {
					lock.Remove()
				} else {
					lock.Release()
				}
			}
		})
	}
	group.Wait()
}

// TestLink plants links where the lock will be, which none may follow.
func TestLink(t *testing.T) {
	directory := t.TempDir()
	precious := filepath.Join(directory, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"nothing": filepath.Join(directory, "made"), "file": precious, "directory": directory, "itself": "itself"} {
		path := filepath.Join(directory, name)
		if err := os.Symlink(target, path); err != nil {
			t.Skip(err)
		}
		for _, take := range []func() (*Lock, error){
			func() (*Lock, error) { return Try(path) },
			func() (*Lock, error) { return Wait(t.Context(), path, time.Millisecond) },
		} {
			if _, err := take(); err == nil || !strings.Contains(err.Error(), path+": is not a regular file") {
				t.Errorf("link to %s: %v", name, err)
			}
		}
	}
	if _, err := os.Lstat(filepath.Join(directory, "made")); err == nil {
		t.Error("a file was made where a link points")
	}
	if content, err := os.ReadFile(precious); string(content) != "precious" {
		t.Errorf("%q, %v", content, err)
	}
}
