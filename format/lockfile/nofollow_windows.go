package lockfile

import "syscall"

// noFollow makes opening a link open the link itself, which is no regular file.
const noFollow = syscall.FILE_FLAG_OPEN_REPARSE_POINT
