//go:build !amd64 && !arm64

package kernels

// sets holds what this architecture has, the fastest first.
var sets = []*Set{&reference}
