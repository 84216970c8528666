//go:build amd64 && !linux

package kernels

// permitTiles is for Linux only: how other systems permit tiles has not been tried.
func permitTiles() bool { return false }
