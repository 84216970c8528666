//go:build unix

package lockfile

import "syscall"

// noFollow makes opening a link fail.
const noFollow = syscall.O_NOFOLLOW
