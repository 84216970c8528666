package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/tti-llm/tti/convert/hub/hubtest"
)

// TestConvertFullDisk converts to a file system that has room for the int8 file and not for the f32
// one beside it. Mounting it takes root.
func TestConvertFullDisk(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(directory, 0)
	target := filepath.Join(directory, "out.tti")
	if o := tti(t, "", "convert", draftSource, "--mode", "int8", "-o", target); o.code != 0 {
		t.Fatal(o.stderr)
	}
	before := readFile(t, target)
	refuses(t, 1, `out\.tti: .*no space left on device`, "convert", draftSource, "--mode", "f32", "-o", target)
	if !bytes.Equal(readFile(t, target), before) {
		t.Error("the existing target was touched")
	}
	if left := names(t, directory); len(left) != 1 {
		t.Errorf("beside the target there is %q", left)
	}
}

// TestConvertRefusedByDirectory converts to a directory that takes no new files. It is mounted
// so, since permissions mean nothing to root.
func TestConvertRefusedByDirectory(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("mount a read-only tmpfs: %v", err)
	}
	defer syscall.Unmount(directory, 0)
	refuses(t, 1, `create a file in `+regexp.QuoteMeta(directory)+`: read-only file system`,
		"convert", draftSource, "-o", filepath.Join(directory, "x.tti"))
}

// TestDownloadFullDisk has a cache without room for the model. With more room, the download goes on.
func TestDownloadFullDisk(t *testing.T) {
	_, files := writeSynthetic(t, shardedModel)
	hub := hubtest.New(t, files)
	user := newHubUser(t, hub)
	if err := syscall.Mount("tmpfs", user.home, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(user.home, 0)
	code, stderr := user.run("", "convert", hubtest.Repository)
	// Files come side by side, so any of them may be the one that finds the disk full.
	if code != 1 || !regexp.MustCompile(`^`+announced+`tti: .*: no space left on device\n$`).MatchString(stderr) {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
	if left := names(t, user.directory); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
	if err := syscall.Mount("tmpfs", user.home, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if code, stderr := user.run("", "convert", hubtest.Repository); code != 0 {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
}

// TestCacheFullDisk has a cache without room for the converted model: it holds no part of it, and takes the model when there is more room.
func TestCacheFullDisk(t *testing.T) {
	hub := hubtest.New(t, draftFiles(t))
	user := newHubUser(t, hub)
	folder := filepath.Join(user.home, ".cache", "tti")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(folder, 0)
	code, stderr := user.run("", "run", hubtest.Repository, "x")
	if code != 1 || !regexp.MustCompile(`^`+loading+`tti: .*no space left on device\n$`).MatchString(stderr) {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
	if left := names(t, filepath.Join(folder, "models")); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if code, stderr := user.run("", "run", hubtest.Repository, "x"); code != 0 || len(hub.Seen("STORE")) != 1 {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
}
