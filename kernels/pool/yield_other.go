//go:build !linux

package pool

import "runtime"

// yield lets another thread have the processor where the system offers that without cgo; elsewhere it
// is the Go scheduler's turn.
func yield() { runtime.Gosched() }
