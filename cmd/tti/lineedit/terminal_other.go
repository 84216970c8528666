//go:build !unix && !windows

package lineedit

import (
	"errors"
	"os"
)

// terminal has no modes here.
type terminal struct{}

func openTerminal(_, _ *os.File, _ chan<- change) (*terminal, error) {
	return nil, errors.ErrUnsupported
}

func (*terminal) edit() error   { return nil }
func (*terminal) answer() error { return nil }
func (*terminal) suspend()      {}
func (*terminal) close() error  { return nil }
