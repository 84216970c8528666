package format

import (
	"fmt"
	"runtime/debug"
)

// Changed is what a reader of mapped memory panics with where it meets what was checked before and cannot be there:
// somebody has written to the file. It says what was met. Under a guard it becomes an error that wraps ErrCorrupt.
type Changed string

func (c Changed) Error() string {
	return fmt.Sprintf("%v: %s, after it was checked", ErrCorrupt, string(c))
}

func (c Changed) Unwrap() error { return ErrCorrupt }

// GuardFault runs f, which reads mapped memory on the calling goroutine, and returns its error. If
// f touches a page that the file no longer has, because the file was truncated under the mapping
// or its disk fails, the process would die of a signal; here it becomes an error that wraps
// ErrTruncated. A panic with Changed becomes an error too. Other panics pass. Goroutines that f starts need a guard of
// their own.
func GuardFault(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if reason := recover(); reason != nil {
			if err = FaultError(reason); err == nil {
				panic(reason)
			}
		}
	}()
	return f()
}

// FaultError returns the error that a recovered panic stands for if it was a memory fault, under
// debug.SetPanicOnFault, or Changed, and nil if it was another panic.
func FaultError(reason any) error {
	if changed, ok := reason.(Changed); ok {
		return changed
	}
	// The documented mark of a memory fault at an address other than nil.
	fault, ok := reason.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	return fmt.Errorf("%w: a mapped page cannot be read any more (%v)", ErrTruncated, fault)
}
