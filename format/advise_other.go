//go:build !linux

package format

// adviseHugePages is for Linux only.
func adviseHugePages([]byte) {}
