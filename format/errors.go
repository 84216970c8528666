package format

import "errors"

// What a caller may want to tell apart when a file is refused. Every error of this package about
// the contents of a file wraps exactly one of them.
var (
	ErrNotTTI      = errors.New("not a tti file")
	ErrPacked      = errors.New("file is packed") // for package packed to read
	ErrTruncated   = errors.New("file is truncated")
	ErrChecksum    = errors.New("checksum does not match")
	ErrUnsupported = errors.New("unsupported by this version")
	ErrCorrupt     = errors.New("file is corrupt")
)

// ErrClosed is returned by whatever reads a file that was closed.
var ErrClosed = errors.New("closed")
