//go:build !windows

package kernels

// detectI8MM is for systems that golang.org/x/sys/cpu does not know the extension of.
func detectI8MM() bool { return false }
