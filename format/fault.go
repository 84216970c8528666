package format

import (
	"fmt"
	"runtime/debug"
)

// GuardFault runs f, which reads mapped memory on the calling goroutine, and returns its error. If
// f touches a page that the file no longer has, because the file was truncated under the mapping
// or its disk fails, the process would die of a signal; here it becomes an error that wraps
// ErrTruncated. Other panics pass. Goroutines that f starts need a guard of their own.
func GuardFault(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		// The documented mark of a memory fault at an address other than nil.
		switch fault := recover().(type) {
		case nil:
		case interface {
			error
			Addr() uintptr
		}:
			err = fmt.Errorf("%w: a mapped page cannot be read any more", ErrTruncated)
		default:
			panic(fault)
		}
	}()
	return f()
}
