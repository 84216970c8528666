package pool

import "syscall"

// yield lets another thread have the processor if one waits for it: the thread that all wait for
// may be in its queue. runtime.Gosched would only change goroutines, of which there are no others.
// The call does not block in the kernel's sense, so the Go scheduler need not know of it.
func yield() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
